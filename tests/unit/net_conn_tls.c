/* TLS on connections: who is proven, what is refused and in which words, STARTTLS, tickets, ends. */
#include "tests/unit/support/end.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"

static struct loop *loop;
static struct tls_client *client;
static struct tls_server *server;
static struct end a, b; /* a calls, b answers */
static char folder[64], ca[128], why[256];

static char *path_of(const char *name)
{
	static char paths[4][128];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
	return paths[turn];
}

static int setup_group(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/sendoff-net-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
	return 0;
}

static int teardown_group(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int setup(void **state)
{
	int fds[2];

	(void)state;
	loop = loop_new();
	client = tls_client_new();
	server = NULL;
	why[0] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_fini(&a);
	end_fini(&b);
	tls_server_free(server);
	tls_client_free(client);
	loop_free(loop);
	return 0;
}

static void reconnect(void)
{
	int fds[2];

	end_fini(&a);
	end_fini(&b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
}

static void serve(const char *name)
{
	if (tls_server_new_self_signed(name, ca, &server, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* True when the client calls it secure. */
static bool shake(const struct tls_demand *demand)
{
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, demand), 0);
	assert_true(PUMP(loop, end_has(&a, 'S') || end_has(&a, 'F'), 5000));
	(void)PUMP(loop, end_has(&b, 'S') || end_has(&b, 'F'), 1000);
	return end_has(&a, 'S');
}

static void refused_for(const struct tls_demand *demand, const char *words)
{
	assert_false(shake(demand));
	assert_true(conn_failed_in_tls(a.conn));
	if (!strstr(conn_error(a.conn), words))
		fail_msg("\"%s\" is not in \"%s\"", words, conn_error(a.conn));
}

static const struct tls_demand proven = { .name = "mx.example.org", .verify = true, .ca_file = ca };

/* ---------------------------------------------------------------- who is proven */

static void a_peer_that_is_what_it_should_be_is_proven(void **state)
{
	struct tls_facts facts;

	(void)state;
	serve("mx.example.org");
	assert_true(shake(&proven));
	assert_true(conn_is_tls(a.conn));
	assert_true(conn_tls_facts(a.conn, &facts));
	assert_string_equal(facts.version, "TLSv1.3");
	assert_true(facts.cipher[0]);
	assert_true(facts.verified);
	assert_false(facts.resumed);
	assert_string_equal(facts.peer, "CN=mx.example.org");
	end_say(&a, "EHLO x\r\n");
	end_say(&b, "250 ok\r\n");
	assert_true(PUMP(loop, a.got.len == 8 && b.got.len == 8, 1000));
	assert_string_equal(buf_cstr(&b.got), "EHLO x\r\n");
	assert_string_equal(a.story, "SI");
}

static void a_certificate_for_another_name_is_refused_and_its_names_are_told(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	demand.name = "smtp.example.com";
	refused_for(&demand, "it is not for smtp.example.com but for mx.example.org, localhost, 127.0.0.1, ::1");
}

static void literal_addresses_are_checked_too(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	demand.name = "127.0.0.1";
	assert_true(shake(&demand));
	reconnect();
	demand.name = "::1";
	assert_true(shake(&demand));
	reconnect();
	demand.name = "192.0.2.1";
	refused_for(&demand, "it is not for 192.0.2.1");
}

static void the_name_to_check_may_differ_from_the_name_to_ask_for(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	demand.name = "10.0.0.1";
	demand.check_name = "mx.example.org";
	assert_true(shake(&demand));
	reconnect();
	demand.name = "mx.example.org";
	demand.check_name = "other.example.org";
	refused_for(&demand, "it is not for other.example.org");
}

static void an_unknown_issuer_is_refused(void **state)
{
	struct tls_server *other = NULL;

	(void)state;
	serve("mx.example.org");
	/* The file now holds another certificate of the same name. */
	assert_int_equal(tls_server_new_self_signed("mx.example.org", ca, &other, why, sizeof(why)), 0);
	tls_server_free(other);
	refused_for(&proven, "it is self-signed");
	/* Or one of another name. */
	reconnect();
	assert_int_equal(tls_server_new_self_signed("x.example", ca, &other, why, sizeof(why)), 0);
	tls_server_free(other);
	refused_for(&proven, "it is self-signed");
}

static void a_missing_ca_file_is_a_failure_that_names_it(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	demand.ca_file = "/nonexistent/ca.pem";
	refused_for(&demand, "/nonexistent/ca.pem: No such file or directory");
}

static void an_empty_ca_file_is_a_failure_that_says_so(void **state)
{
	struct tls_demand demand = proven;
	FILE *f = fopen(path_of("empty.pem"), "w");

	(void)state;
	fclose(f);
	serve("mx.example.org");
	demand.ca_file = path_of("empty.pem");
	refused_for(&demand, "no certificate of an authority in it");
}

static void without_verification_anybody_will_do_but_is_not_called_proven(void **state)
{
	struct tls_demand demand = { .name = "whoever.example" };
	struct tls_facts facts;

	(void)state;
	serve("mx.example.org");
	assert_true(shake(&demand));
	assert_true(conn_tls_facts(a.conn, &facts));
	assert_false(facts.verified);
}

static void verification_needs_something_to_check(void **state)
{
	struct tls_demand demand = { .verify = true, .ca_file = ca };

	(void)state;
	serve("mx.example.org");
	refused_for(&demand, "nothing to check the certificate against");
}

/* ---------------------------------------------------------------- made certificates */

static void write_pem(const char *name, mode_t mode, const gnutls_datum_t *pem)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(pem->data, 1, pem->size, f), pem->size);
	fclose(f);
	assert_int_equal(chmod(path_of(name), mode), 0);
}

/* A server "mx.example.org" with a certificate valid for the days given from now on, in cert.pem and key.pem. */
static void make_server(int from_days, int to_days, const char *common_name, bool with_san)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;
	unsigned char serial = 1;
	time_t now = time(NULL);

	gnutls_x509_privkey_init(&key);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		0);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, &serial, 1);
	assert_int_equal(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
						       (unsigned)strlen(common_name)),
			 0);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_activation_time(crt, now + from_days * 86400);
	gnutls_x509_crt_set_expiration_time(crt, now + to_days * 86400);
	gnutls_x509_crt_set_basic_constraints(crt, 1, -1);
	if (with_san)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, common_name,
						     (unsigned)strlen(common_name), 0);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem("cert.pem", 0644, &pem);
	write_pem("ca.pem", 0644, &pem);
	gnutls_free(pem.data);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem("key.pem", 0600, &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static void load_server(void)
{
	if (tls_server_new(path_of("cert.pem"), path_of("key.pem"), &server, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

static void an_expired_certificate_is_refused_with_its_date(void **state)
{
	char date[32];
	time_t then;
	struct tm tm;

	(void)state;
	make_server(-30, -2, "mx.example.org", true);
	then = time(NULL) - 2 * 86400;
	strftime(date, sizeof(date), "%Y-%m-%d", gmtime_r(&then, &tm));
	load_server();
	refused_for(&proven, "it expired on ");
	assert_non_null(strstr(conn_error(a.conn), date));
}

static void a_certificate_of_the_future_is_refused(void **state)
{
	(void)state;
	make_server(2, 30, "mx.example.org", true);
	load_server();
	refused_for(&proven, "it is not valid before");
}

static void every_reason_is_told(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	make_server(-30, -2, "mx.example.org", true);
	load_server();
	demand.name = "other.example";
	refused_for(&demand, "it is not for other.example but for mx.example.org; it expired on");
}

static void names_in_certificates_are_cleaned_before_anybody_sees_them(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	make_server(-1, 30, "evil\x1b[31m\r\nred", false);
	load_server();
	refused_for(&demand, "but for evil?[31m red");
}

static void a_key_that_everybody_may_read_is_refused(void **state)
{
	(void)state;
	make_server(-1, 30, "mx.example.org", true);
	assert_int_equal(chmod(path_of("key.pem"), 0644), 0);
	assert_int_equal(tls_server_new(path_of("cert.pem"), path_of("key.pem"), &server, why, sizeof(why)), -EACCES);
	assert_non_null(strstr(why, "everybody may read this key"));
	assert_int_equal(chmod(path_of("key.pem"), 0640), 0);
	load_server();
}

static void a_key_of_another_certificate_is_refused(void **state)
{
	(void)state;
	make_server(-1, 30, "mx.example.org", true);
	assert_int_equal(rename(path_of("key.pem"), path_of("old.pem")), 0);
	make_server(-1, 30, "mx.example.org", true);
	assert_true(tls_server_new(path_of("cert.pem"), path_of("old.pem"), &server, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "this key does not belong to"));
	assert_int_equal(tls_server_new("/nonexistent.pem", path_of("key.pem"), &server, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nonexistent.pem: No such file or directory");
	assert_true(tls_server_new(path_of("key.pem"), path_of("cert.pem"), &server, why, sizeof(why)) < 0);
}

/* ---------------------------------------------------------------- pins */

static void print_pin(char hex[80], char base64[80])
{
	gnutls_x509_crt_t crt;
	unsigned char id[32];
	size_t len = sizeof(id);
	gnutls_datum_t pem, coded;

	assert_int_equal(gnutls_load_file(ca, &pem), 0);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM), 0);
	assert_int_equal(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &len), 0);
	snprintf(hex, 80, "sha256:");
	for (size_t i = 0; i < 32; i++)
		snprintf(hex + 7 + 2 * i, 3, "%02X", id[i]);
	pem.data[0] = 0;
	assert_int_equal(gnutls_base64_encode2(&(gnutls_datum_t){ id, 32 }, &coded), 0);
	snprintf(base64, 80, "sha256:%s", coded.data);
	gnutls_free(coded.data);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
}

static void a_pin_proves_the_peer_whoever_signed(void **state)
{
	char hex[80], base64[80];
	const char *pins[] = { "sha256:0000000000000000000000000000000000000000000000000000000000000000", hex };
	struct tls_demand demand = { .name = "mx.example.org", .verify = true, .pins = pins, .pin_count = 2 };
	struct tls_facts facts;

	(void)state;
	serve("some.other.name");
	print_pin(hex, base64);
	assert_true(shake(&demand));
	assert_true(conn_tls_facts(a.conn, &facts));
	assert_true(facts.verified);
	reconnect();
	pins[1] = base64;
	assert_true(shake(&demand));
	reconnect();
	pins[1] = "sha256:AAAA";
	refused_for(&demand, "fits none of tls_pins: it is sha256:");
}

static void pins_that_are_not_whole_never_fit(void **state)
{
	char hex[80], base64[80], bad[160];
	const char *pins[] = { bad };
	struct tls_demand demand = { .name = "mx.example.org", .verify = true, .pins = pins, .pin_count = 1 };

	(void)state;
	serve("mx.example.org");
	print_pin(hex, base64);
	snprintf(bad, sizeof(bad), "%s00", hex);
	refused_for(&demand, "fits none");
	reconnect();
	snprintf(bad, sizeof(bad), "%.50s", hex);
	refused_for(&demand, "fits none");
	reconnect();
	snprintf(bad, sizeof(bad), "md5:%s", hex + 7);
	refused_for(&demand, "fits none");
}

/* ---------------------------------------------------------------- versions */

static void tls_1_3_can_be_demanded_and_nonsense_is_refused(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	demand.minimum = "1.3";
	assert_true(shake(&demand));
	reconnect();
	demand.minimum = "0.9";
	refused_for(&demand, "tls_minimum");
}

static void less_than_tls_1_2_is_not_spoken(void **state)
{
	gnutls_session_t old;
	gnutls_certificate_credentials_t none;
	int fd = dup(conn_fd(a.conn)), code;

	(void)state;
	end_fini(&a);
	serve("mx.example.org");
	gnutls_certificate_allocate_credentials(&none);
	gnutls_init(&old, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_priority_set_direct(old, "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT", NULL);
	gnutls_credentials_set(old, GNUTLS_CRD_CERTIFICATE, none);
	gnutls_transport_set_int(old, fd);
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	for (int i = 0; i < 20 && !end_has(&b, 'F'); i++) {
		code = gnutls_handshake(old);
		assert_int_not_equal(code, 0);
		loop_turn(loop, 5);
	}
	assert_true(end_has(&b, 'F'));
	gnutls_deinit(old);
	gnutls_certificate_free_credentials(none);
	close(fd);
}

/* ---------------------------------------------------------------- tickets */

static bool was_resumed(void)
{
	struct tls_facts facts;

	assert_true(conn_tls_facts(a.conn, &facts));
	assert_true(facts.verified);
	return facts.resumed;
}

static void talk(void)
{
	end_say(&b, "220 hello\r\n"); /* the ticket comes while reading */
	assert_true(PUMP(loop, a.got.len == 11, 1000));
}

static void a_second_connection_is_resumed_and_proven_again(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	demand.cache_key = "mx.example.org:25";
	serve("mx.example.org");
	assert_true(shake(&demand));
	assert_false(was_resumed());
	talk();
	reconnect();
	assert_true(shake(&demand));
	assert_true(was_resumed());
	talk();
	reconnect();
	demand.cache_key = "another:25";
	assert_true(shake(&demand));
	assert_false(was_resumed());
}

static void a_ticket_of_an_unproven_session_does_not_prove(void **state)
{
	struct tls_demand demand = { .name = "mx.example.org", .cache_key = "key" };

	(void)state;
	serve("mx.example.org");
	assert_true(shake(&demand));
	talk();
	reconnect();
	demand.verify = true;
	demand.ca_file = ca;
	assert_true(shake(&demand));
	assert_false(was_resumed());
	talk();
	/* The authority is no longer trusted: a ticket from better days does not help. */
	reconnect();
	make_server(-1, 30, "unrelated.example", true);
	refused_for(&demand, "refused");
}

/* ---------------------------------------------------------------- STARTTLS and ends */

static void bytes_left_over_refuse_the_switch(void **state)
{
	struct tls_demand demand = proven;

	(void)state;
	serve("mx.example.org");
	b.leave = true;
	end_say(&a, "STARTTLS\r\nMAIL FROM:<>\r\n");
	assert_true(PUMP(loop, end_has(&b, 'I'), 1000));
	conn_consume(b.conn, 10);
	assert_int_equal(conn_tls_accept(b.conn, server), -EPROTO);
	assert_false(conn_is_tls(b.conn));
	assert_int_equal(conn_input(b.conn).len, 14);
	conn_consume(b.conn, 14);
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, &demand), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, &demand), -EPROTO);
	assert_true(PUMP(loop, end_has(&a, 'S') && end_has(&b, 'S'), 5000));
}

static void start_at_input(struct end *end, enum conn_event event)
{
	if (event == CONN_INPUT && end->count++ == 0) {
		assert_true(conn_write(end->conn, "220 go\r\n", 8));
		assert_int_equal(conn_tls_accept(end->conn, server), 0);
		assert_true(conn_write(end->conn, "secret", 6)); /* after the switch: must not go in clear */
	}
}

static void the_answer_to_starttls_goes_in_clear_and_what_follows_does_not(void **state)
{
	(void)state;
	serve("mx.example.org");
	b.also = start_at_input;
	end_say(&a, "STARTTLS\r\n");
	assert_true(PUMP(loop, a.got.len, 1000));
	PUMP_IDLE(loop, 20);
	assert_string_equal(buf_cstr(&a.got), "220 go\r\n");
	assert_int_equal(conn_tls_connect(a.conn, client, &proven), 0);
	assert_true(PUMP(loop, a.got.len == 14, 2000));
	assert_string_equal(buf_cstr(&a.got), "220 go\r\nsecret");
}

static void clear_text_in_the_handshake_is_a_failure(void **state)
{
	(void)state;
	serve("mx.example.org");
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	end_say(&a, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n");
	assert_true(PUMP(loop, end_has(&b, 'F'), 1000));
	assert_true(conn_failed_in_tls(b.conn));
	assert_true(conn_error(b.conn)[0]);
	assert_string_equal(b.story, "F");
}

static void a_peer_that_goes_during_the_handshake_is_a_failure(void **state)
{
	(void)state;
	serve("mx.example.org");
	assert_int_equal(conn_tls_connect(a.conn, client, &proven), 0);
	loop_turn(loop, 20);
	end_fini(&b);
	assert_true(PUMP(loop, end_has(&a, 'F'), 1000));
	assert_non_null(strstr(conn_error(a.conn), "during the TLS handshake"));
}

static void the_deadline_holds_during_the_handshake(void **state)
{
	(void)state;
	conn_deadline(a.conn, loop_now_ms(loop) + 20);
	assert_int_equal(conn_tls_connect(a.conn, client, &(struct tls_demand){ .name = "x" }), 0);
	assert_true(PUMP(loop, end_has(&a, 'T'), 1000));
	assert_string_equal(a.story, "T");
}

static void an_end_without_close_notify_is_the_end_of_input(void **state)
{
	(void)state;
	serve("mx.example.org");
	assert_true(shake(&proven));
	end_say(&a, "rest");
	loop_turn(loop, 20);
	assert_true(PUMP(loop, conn_unsent(a.conn) == 0, 1000));
	conn_free(a.conn);
	a.conn = NULL;
	assert_true(PUMP(loop, end_has(&b, 'E') || end_has(&b, 'F'), 1000));
	assert_string_equal(b.story, "SIE");
	assert_string_equal(buf_cstr(&b.got), "rest");
}

static void finish_says_goodbye_in_tls(void **state)
{
	(void)state;
	serve("mx.example.org");
	assert_true(shake(&proven));
	end_say(&a, "221 bye\r\n");
	conn_finish(a.conn, 1000);
	a.conn = NULL;
	b.free_at_eof = true;
	assert_true(PUMP(loop, end_has(&b, 'E'), 1000));
	assert_string_equal(b.story, "SIE");
	PUMP_IDLE(loop, 20);
}

static void clear_text_after_the_end_of_tls_is_never_input(void **state)
{
	int raw;

	(void)state;
	serve("mx.example.org");
	assert_true(shake(&proven));
	raw = dup(conn_fd(a.conn));
	end_say(&a, "one");
	PUMP_IDLE(loop, 20);
	conn_free(a.conn);
	a.conn = NULL;
	assert_int_equal(send(raw, "MAIL FROM:<>\r\n", 14, MSG_NOSIGNAL), 14);
	assert_true(PUMP(loop, end_has(&b, 'E') || end_has(&b, 'F'), 1000));
	assert_string_equal(buf_cstr(&b.got), "one");
	close(raw);
}

static void pump_out(struct end *end, enum conn_event event)
{
	static char block[50 * 1024];

	if (event != CONN_DRAINED && event != CONN_SECURE)
		return;
	while (end->count < 100 * sizeof(block) && !conn_is_full(end->conn)) {
		memset(block, (char)(end->count / sizeof(block)), sizeof(block));
		assert_true(conn_write(end->conn, block, sizeof(block)));
		end->count += sizeof(block);
	}
}

static void a_large_stream_arrives_whole_over_tls(void **state)
{
	(void)state;
	serve("mx.example.org");
	a.also = pump_out;
	assert_true(shake(&proven));
	assert_true(PUMP(loop, b.got.len == (size_t)100 * 50 * 1024, 10000));
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(buf_span(&b.got).data[i * 50 * 1024], (char)i);
}

static void tls_bytes_wait_when_the_input_buffer_is_full_and_come_when_there_is_room(void **state)
{
	static char block[30 * 1024];
	struct end small;
	int fds[2];

	(void)state;
	serve("mx.example.org");
	end_fini(&b);
	end_fini(&a);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&small, loop, fds[1], 1000, 0);
	assert_int_equal(conn_tls_accept(small.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, &proven), 0);
	assert_true(PUMP(loop, end_has(&a, 'S') && end_has(&small, 'S'), 5000));
	small.leave = true;
	assert_true(conn_write(a.conn, block, sizeof(block)));
	assert_true(PUMP(loop, conn_input(small.conn).len == 1000, 3000));
	PUMP_IDLE(loop, 20);
	assert_int_equal(conn_input(small.conn).len, 1000);
	/* The rest of the record is inside the session; no poll will announce it. */
	small.leave = false;
	conn_consume(small.conn, 1000);
	assert_true(PUMP(loop, small.got.len == sizeof(block) - 1000, 2000));
	end_fini(&small);
}

static void both_ends_have_the_same_channel_binding(void **state)
{
	uint8_t x[32] = { 0 }, y[32] = { 1 };

	(void)state;
	serve("mx.example.org");
	assert_null(conn_tls(a.conn));
	assert_true(shake(&proven));
	assert_true(tls_channel_binding(conn_tls(a.conn), x));
	assert_true(tls_channel_binding(conn_tls(b.conn), y));
	assert_memory_equal(x, y, 32);
}

static void a_session_outlives_its_contexts(void **state)
{
	(void)state;
	serve("mx.example.org");
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, &proven), 0);
	tls_server_free(server);
	tls_client_free(client);
	server = NULL;
	client = NULL;
	assert_true(PUMP(loop, end_has(&a, 'S') && end_has(&b, 'S'), 5000));
	talk();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_peer_that_is_what_it_should_be_is_proven),
		TEST(a_certificate_for_another_name_is_refused_and_its_names_are_told),
		TEST(literal_addresses_are_checked_too),
		TEST(the_name_to_check_may_differ_from_the_name_to_ask_for),
		TEST(an_unknown_issuer_is_refused),
		TEST(a_missing_ca_file_is_a_failure_that_names_it),
		TEST(an_empty_ca_file_is_a_failure_that_says_so),
		TEST(without_verification_anybody_will_do_but_is_not_called_proven),
		TEST(verification_needs_something_to_check),
		TEST(an_expired_certificate_is_refused_with_its_date),
		TEST(a_certificate_of_the_future_is_refused),
		TEST(every_reason_is_told),
		TEST(names_in_certificates_are_cleaned_before_anybody_sees_them),
		TEST(a_key_that_everybody_may_read_is_refused),
		TEST(a_key_of_another_certificate_is_refused),
		TEST(a_pin_proves_the_peer_whoever_signed),
		TEST(pins_that_are_not_whole_never_fit),
		TEST(tls_1_3_can_be_demanded_and_nonsense_is_refused),
		TEST(less_than_tls_1_2_is_not_spoken),
		TEST(a_second_connection_is_resumed_and_proven_again),
		TEST(a_ticket_of_an_unproven_session_does_not_prove),
		TEST(bytes_left_over_refuse_the_switch),
		TEST(the_answer_to_starttls_goes_in_clear_and_what_follows_does_not),
		TEST(clear_text_in_the_handshake_is_a_failure),
		TEST(a_peer_that_goes_during_the_handshake_is_a_failure),
		TEST(the_deadline_holds_during_the_handshake),
		TEST(an_end_without_close_notify_is_the_end_of_input),
		TEST(finish_says_goodbye_in_tls),
		TEST(clear_text_after_the_end_of_tls_is_never_input),
		TEST(a_large_stream_arrives_whole_over_tls),
		TEST(tls_bytes_wait_when_the_input_buffer_is_full_and_come_when_there_is_room),
		TEST(both_ends_have_the_same_channel_binding),
		TEST(a_session_outlives_its_contexts),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
