/* Client certificates, renewed files and ALPN at a TLS listener. */
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
static char folder[64], why[512];

static char *path_of(const char *name)
{
	static char paths[8][128];
	static int turn;

	turn = (turn + 1) % 8;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
	return paths[turn];
}

/* ---------------------------------------------------------------- certificates */

struct pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

struct wish {
	const char *common_name, *mail, *purpose;
	int from_days, to_days; /* 0, 0: valid now */
	bool is_authority;
};

static struct pair authority, stranger;

static struct pair make(const struct wish *wish, const struct pair *issuer)
{
	static unsigned char serial;
	struct pair pair;
	time_t now = time(NULL);

	serial++;
	gnutls_x509_privkey_init(&pair.key);
	gnutls_x509_crt_init(&pair.crt);
	assert_int_equal(gnutls_x509_privkey_generate(pair.key, GNUTLS_PK_ECDSA,
						      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
			 0);
	gnutls_x509_crt_set_version(pair.crt, 3);
	gnutls_x509_crt_set_serial(pair.crt, &serial, 1);
	gnutls_x509_crt_set_key(pair.crt, pair.key);
	gnutls_x509_crt_set_activation_time(pair.crt, now + (wish->to_days ? wish->from_days : -1) * 86400);
	gnutls_x509_crt_set_expiration_time(pair.crt, now + (wish->to_days ? wish->to_days : 1) * 86400);
	gnutls_x509_crt_set_basic_constraints(pair.crt, wish->is_authority, -1);
	if (wish->common_name)
		gnutls_x509_crt_set_dn_by_oid(pair.crt, GNUTLS_OID_X520_COMMON_NAME, 0, wish->common_name,
					      (unsigned)strlen(wish->common_name));
	if (wish->mail)
		gnutls_x509_crt_set_subject_alt_name(pair.crt, GNUTLS_SAN_RFC822NAME, wish->mail,
						     (unsigned)strlen(wish->mail), 0);
	if (wish->purpose)
		gnutls_x509_crt_set_key_purpose_oid(pair.crt, wish->purpose, 0);
	if (!issuer)
		issuer = &pair;
	assert_int_equal(gnutls_x509_crt_sign2(pair.crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	return pair;
}

static void drop(struct pair *pair)
{
	gnutls_x509_crt_deinit(pair->crt);
	gnutls_x509_privkey_deinit(pair->key);
}

static void write_pem(const char *name, gnutls_datum_t *pem)
{
	FILE *f = fopen(path_of("new"), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(pem->data, 1, pem->size, f), pem->size);
	fclose(f);
	assert_int_equal(chmod(path_of("new"), 0600), 0);
	assert_int_equal(rename(path_of("new"), path_of(name)), 0);
	gnutls_free(pem->data);
}

static void write_certificate(const struct pair *pair, const char *name)
{
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crt_export2(pair->crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem(name, &pem);
}

static void write_key(const struct pair *pair, const char *name)
{
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_privkey_export2(pair->key, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem(name, &pem);
}

static void make_client(struct wish wish, const struct pair *issuer)
{
	struct pair pair = make(&wish, issuer);

	write_certificate(&pair, "client.pem");
	write_key(&pair, "client.key");
	drop(&pair);
}

static void make_server(const char *name)
{
	struct pair pair = make(&(struct wish){ .common_name = name }, NULL);

	write_certificate(&pair, "server.pem");
	write_key(&pair, "server.key");
	drop(&pair);
}

/* The pin of client.pem. */
static char *pin_of_client(void)
{
	static char pin[80];
	unsigned char digest[32];
	size_t len = sizeof(digest);
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_load_file(path_of("client.pem"), &pem), 0);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM), 0);
	assert_int_equal(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, digest, &len), 0);
	snprintf(pin, sizeof(pin), "sha256:");
	for (size_t i = 0; i < 32; i++)
		snprintf(pin + 7 + 2 * i, 3, "%02x", digest[i]);
	gnutls_x509_crt_deinit(crt);
	gnutls_free(pem.data);
	return pin;
}

/* ---------------------------------------------------------------- connections */

static int setup_group(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/sendoff-net-XXXXXX");
	assert_non_null(mkdtemp(folder));
	authority = make(&(struct wish){ .common_name = "The authority", .is_authority = true }, NULL);
	stranger = make(&(struct wish){ .common_name = "Some authority", .is_authority = true }, NULL);
	write_certificate(&authority, "ca.pem");
	return 0;
}

static int teardown_group(void **state)
{
	char command[128];

	(void)state;
	drop(&authority);
	drop(&stranger);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void connect_ends(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	client = tls_client_new();
	why[0] = '\0';
	make_server("mx.example.org");
	assert_int_equal(tls_server_new(path_of("server.pem"), path_of("server.key"), &server, why, sizeof(why)), 0);
	connect_ends();
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

static void ask_clients(const char *ca, const char *pin)
{
	if (tls_server_ask_clients(server, ca, &pin, pin != NULL, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* True when the server calls it secure. With TLS 1.3 the client learns of its refusal only later. */
static bool shake(bool with_certificate, const char *minimum)
{
	struct tls_demand demand = { .name = "mx.example.org", .minimum = minimum };

	if (with_certificate) {
		demand.certificate_file = path_of("client.pem");
		demand.key_file = path_of("client.key");
	}
	end_fini(&a);
	end_fini(&b);
	connect_ends();
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, &demand), 0);
	assert_true(PUMP(loop, end_has(&b, 'S') || end_has(&b, 'F'), 5000));
	return end_has(&b, 'S');
}

static const char *user(void)
{
	static struct tls_facts facts;

	assert_true(conn_tls_facts(b.conn, &facts));
	assert_int_equal(facts.verified, facts.user[0] != '\0');
	assert_false(facts.resumed);
	return facts.user;
}

static void refused_for(const char *words)
{
	assert_false(shake(true, NULL));
	assert_true(conn_failed_in_tls(b.conn));
	if (!strstr(conn_error(b.conn), words))
		fail_msg("\"%s\" is not in \"%s\"", words, conn_error(b.conn));
	/* And the client hears that it was its certificate. */
	assert_true(PUMP(loop, end_has(&a, 'F'), 5000));
	assert_non_null(strstr(conn_error(a.conn), "ertificate is bad"));
}

/* ---------------------------------------------------------------- who is proven */

static void a_certificate_of_the_authority_proves_its_mail_address(void **state)
{
	(void)state;
	ask_clients(path_of("ca.pem"), NULL);
	make_client((struct wish){ .common_name = "Alice",
				   .mail = "alice@example.org",
				   .purpose = GNUTLS_KP_TLS_WWW_CLIENT },
		    &authority);
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "alice@example.org");
	assert_true(shake(true, "1.2"));
	assert_string_equal(user(), "alice@example.org");
	/* Nor is it ever taken from an earlier session. */
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "alice@example.org");
}

static void without_a_mail_address_it_is_the_common_name(void **state)
{
	(void)state;
	ask_clients(path_of("ca.pem"), NULL);
	make_client((struct wish){ .common_name = "printer.example.org" }, &authority);
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "printer.example.org");
}

static void a_name_that_cannot_be_shown_is_none(void **state)
{
	static const char *const names[] = { NULL, "two\nlines", "sha256:0123456789abcdef", "who?" };

	(void)state;
	ask_clients(path_of("ca.pem"), NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char want[32];

		make_client((struct wish){ .common_name = names[i] }, &authority);
		assert_true(shake(true, NULL));
		snprintf(want, sizeof(want), "%.23s", pin_of_client());
		assert_string_equal(user(), want);
	}
}

static void a_client_may_show_none(void **state)
{
	(void)state;
	ask_clients(path_of("ca.pem"), NULL);
	assert_true(shake(false, NULL));
	assert_string_equal(user(), "");
}

static void nobody_is_asked_where_no_client_is_known(void **state)
{
	(void)state;
	make_client((struct wish){ .common_name = "Alice" }, &stranger);
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "");
}

static void a_pinned_key_is_named_by_itself(void **state)
{
	char want[32];

	(void)state;
	make_client((struct wish){ .common_name = "root", .mail = "root@example.org" }, NULL);
	ask_clients(NULL, pin_of_client());
	assert_true(shake(true, NULL));
	snprintf(want, sizeof(want), "%.23s", pin_of_client());
	assert_string_equal(user(), want);
	make_client((struct wish){ .common_name = "root" }, NULL);
	refused_for("fits none of client_pins: it is sha256:");
}

static void authority_or_pin_will_do(void **state)
{
	(void)state;
	make_client((struct wish){ .common_name = "pinned" }, NULL);
	ask_clients(path_of("ca.pem"), pin_of_client());
	assert_true(shake(true, NULL));
	assert_memory_equal(user(), "sha256:", 7);
	make_client((struct wish){ .common_name = "issued" }, &authority);
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "issued");
	make_client((struct wish){ .common_name = "neither" }, &stranger);
	refused_for("the client's certificate (CN=neither) is refused: its issuer is not trusted here");
}

/* With a pin, so that the client shows what the authority has not issued. */
static const char nobodys_pin[] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

static void what_is_not_proven_is_refused_with_the_reason(void **state)
{
	(void)state;
	ask_clients(path_of("ca.pem"), nobodys_pin);
	make_client((struct wish){ .common_name = "Alice", .from_days = -3, .to_days = -1 }, &authority);
	refused_for("the client's certificate (CN=Alice) is refused: it expired on ");
	make_client((struct wish){ .common_name = "Alice", .from_days = 2, .to_days = 3 }, &authority);
	refused_for("it is not valid before");
	make_client((struct wish){ .common_name = "Alice" }, &stranger);
	refused_for("its issuer is not trusted here: CN=Some authority");
	make_client((struct wish){ .common_name = "Alice" }, NULL);
	refused_for("it is self-signed");
	make_client((struct wish){ .common_name = "Alice", .purpose = GNUTLS_KP_TLS_WWW_SERVER }, &authority);
	refused_for("it is not meant for clients");
	make_client((struct wish){ .common_name = "Al\x1b[1m", .from_days = -3, .to_days = -1 }, &authority);
	assert_false(shake(true, NULL));
	assert_null(strchr(conn_error(b.conn), '\x1b'));
}

static void an_authority_that_cannot_be_read_is_a_failure_that_names_it(void **state)
{
	(void)state;
	assert_int_equal(tls_server_ask_clients(server, "/nonexistent.pem", NULL, 0, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nonexistent.pem: No such file or directory");
	assert_int_equal(tls_server_ask_clients(server, path_of("server.key"), NULL, 0, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "server.key: "));
}

/* ---------------------------------------------------------------- renewed files */

static const char *server_name(void)
{
	static struct tls_facts facts;

	assert_true(shake(false, NULL));
	assert_true(PUMP(loop, end_has(&a, 'S'), 5000));
	assert_true(conn_tls_facts(a.conn, &facts));
	return facts.peer;
}

static void renewed_files_are_read_and_broken_ones_leave_the_old(void **state)
{
	struct pair half = make(&(struct wish){ .common_name = "half.example.org" }, NULL);

	(void)state;
	assert_string_equal(server_name(), "CN=mx.example.org");
	assert_int_equal(tls_server_refresh(server, 10000, why, sizeof(why)), TLS_SAME);
	make_server("new.example.org");
	assert_int_equal(tls_server_refresh(server, 10999, why, sizeof(why)), TLS_SAME); /* not so soon */
	assert_int_equal(tls_server_refresh(server, 11000, why, sizeof(why)), TLS_RENEWED);
	assert_string_equal(server_name(), "CN=new.example.org");
	assert_int_equal(tls_server_refresh(server, 12000, why, sizeof(why)), TLS_SAME);
	/* The certificate comes before its key. */
	write_certificate(&half, "server.pem");
	assert_int_equal(tls_server_refresh(server, 13000, why, sizeof(why)), TLS_KEPT);
	assert_non_null(strstr(why, "this key does not belong to"));
	assert_int_equal(tls_server_refresh(server, 14000, why, sizeof(why)), TLS_SAME); /* said once */
	assert_string_equal(server_name(), "CN=new.example.org");
	write_key(&half, "server.key");
	assert_int_equal(tls_server_refresh(server, 15000, why, sizeof(why)), TLS_RENEWED);
	assert_string_equal(server_name(), "CN=half.example.org");
	assert_int_equal(unlink(path_of("server.key")), 0);
	assert_int_equal(tls_server_refresh(server, 16000, why, sizeof(why)), TLS_KEPT);
	assert_string_equal(server_name(), "CN=half.example.org");
	drop(&half);
}

static void a_renewed_authority_counts_at_once_and_sessions_keep_theirs(void **state)
{
	(void)state;
	write_certificate(&authority, "ca2.pem");
	ask_clients(path_of("ca2.pem"), nobodys_pin);
	make_client((struct wish){ .common_name = "Alice" }, &stranger);
	assert_false(shake(true, NULL));
	write_certificate(&stranger, "ca2.pem");
	assert_int_equal(tls_server_refresh(server, 10000, why, sizeof(why)), TLS_RENEWED);
	assert_true(shake(true, NULL));
	assert_string_equal(user(), "Alice");
	write_certificate(&authority, "ca2.pem");
	assert_int_equal(tls_server_refresh(server, 11000, why, sizeof(why)), TLS_RENEWED);
	assert_true(conn_write(b.conn, "x", 1));
	assert_true(PUMP(loop, a.got.len == 1, 5000));
	assert_false(shake(true, NULL));
}

/* ---------------------------------------------------------------- ALPN */

/* A client by hand, over the descriptor of `a`: the result of its handshake. */
static int shake_with_alpn(const char *protocol)
{
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t name = { (unsigned char *)(uintptr_t)protocol, (unsigned)strlen(protocol) };
	int fds[2], code;

	end_fini(&b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&b, loop, fds[1], 0, 0);
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_certificate_allocate_credentials(&credentials);
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_alpn_set_protocols(session, &name, 1, 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	gnutls_transport_set_int(session, fds[0]);
	do {
		loop_turn(loop, 10);
		code = gnutls_handshake(session);
	} while (code == GNUTLS_E_AGAIN);
	loop_turn(loop, 10);
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
	close(fds[0]);
	return code;
}

static void a_client_that_means_another_protocol_is_turned_away(void **state)
{
	(void)state;
	assert_int_equal(shake_with_alpn("smtp"), 0);
	assert_true(end_has(&b, 'S'));
	assert_int_equal(shake_with_alpn("h2"), GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_false(end_has(&b, 'S'));
	assert_true(PUMP(loop, end_has(&b, 'F'), 5000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_certificate_of_the_authority_proves_its_mail_address),
		TEST(without_a_mail_address_it_is_the_common_name),
		TEST(a_name_that_cannot_be_shown_is_none),
		TEST(a_client_may_show_none),
		TEST(nobody_is_asked_where_no_client_is_known),
		TEST(a_pinned_key_is_named_by_itself),
		TEST(authority_or_pin_will_do),
		TEST(what_is_not_proven_is_refused_with_the_reason),
		TEST(an_authority_that_cannot_be_read_is_a_failure_that_names_it),
		TEST(renewed_files_are_read_and_broken_ones_leave_the_old),
		TEST(a_renewed_authority_counts_at_once_and_sessions_keep_theirs),
		TEST(a_client_that_means_another_protocol_is_turned_away),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
