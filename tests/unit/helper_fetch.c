/* HTTPS requests through the whole way: agent's side, socket, process, libcurl, a server of the test's own. This program
 * is its own sendoff-helper. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "helper/fetch_work.h"
#include "helper/helper.h"
#include "helper/serve.h"
#include "tests/unit/support/pump.h"

#define HOST    "mta-sts.example.org"
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"

static struct loop *loop;
static struct helper *helper;
static char program[256], folder[64], ca_file[128], other_ca_file[128];
static gnutls_certificate_credentials_t credentials;

/* ---------------------------------------------------------------- a server */

/* A certificate for `name` that vouches for itself, into `file`; the server's own where it has none yet. */
static void make_certificate(const char *name, const char *file)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;
	FILE *out = fopen(file, "we");

	assert_non_null(out);
	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		0);
	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
	assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
	assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 3600), 0);
	assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
	assert_int_equal(
		gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name)), 0);
	assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), 0),
			 0);
	assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, 1, -1), 0);
	assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	assert_int_equal(fwrite(pem.data, 1, pem.size, out), pem.size);
	fclose(out);
	gnutls_free(pem.data);
	if (!credentials) {
		gnutls_certificate_allocate_credentials(&credentials);
		assert_int_equal(gnutls_certificate_set_x509_key(credentials, &crt, 1, key), 0);
	}
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static int listener;
static uint16_t port;
static const char *reply; /* NULL: says nothing */
static bool is_plain;     /* speaks HTTP, or what `reply` is, without TLS */
static unsigned visits;
static struct buf heard;

struct guest {
	struct loop_io io;
	gnutls_session_t session;
	int fd;
	bool is_greeted, is_told;
};
static struct loop_io visitors;
static struct guest guests[32];

static void hang_up(struct guest *g)
{
	loop_io_stop(&g->io);
	if (g->session)
		gnutls_deinit(g->session);
	close(g->fd);
	*g = (struct guest){ .fd = -1 };
}

/* All of it, and then some: the client may hang up in the middle. */
static void say(struct guest *g, struct span text)
{
	while (text.len) {
		ssize_t n = g->session ? gnutls_record_send(g->session, text.data, text.len)
				       : send(g->fd, text.data, text.len, MSG_NOSIGNAL);

		if (g->session ? n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED : n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = g->fd, .events = POLLOUT }, 1, 1000);
		else if (n <= 0)
			return;
		else
			text = span_from(text, (size_t)n);
	}
}

static void on_guest(struct loop_io *io, int events)
{
	struct guest *g = LIST_ENTRY(io, struct guest, io);
	char piece[4096];
	ssize_t n;

	(void)events;
	if (g->session && !g->is_greeted) {
		int result = gnutls_handshake(g->session);

		g->is_greeted = result == 0;
		if (result && gnutls_error_is_fatal(result))
			hang_up(g);
		if (result)
			return;
	}
	while ((n = g->session ? gnutls_record_recv(g->session, piece, sizeof piece)
			       : recv(g->fd, piece, sizeof piece, MSG_DONTWAIT)) > 0)
		buf_append(&heard, piece, (size_t)n);
	if (n == 0 || (g->session && n < 0 && gnutls_error_is_fatal((int)n))) {
		hang_up(g);
		return;
	}
	if (reply && !g->is_told && strstr(buf_cstr(&heard), "\r\n\r\n") &&
	    (!strstr(buf_cstr(&heard), "POST") || strstr(buf_cstr(&heard), "END"))) {
		g->is_told = true;
		say(g, span_str(reply));
		if (g->session)
			gnutls_bye(g->session, GNUTLS_SHUT_WR);
		shutdown(g->fd, SHUT_WR);
	}
}

static void on_visitor(struct loop_io *io, int events)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)io;
	(void)events;
	visits++;
	for (size_t i = 0; i < sizeof guests / sizeof guests[0] && fd >= 0; i++)
		if (guests[i].fd < 0) {
			guests[i].fd = fd;
			if (!is_plain) {
				gnutls_init(&guests[i].session, GNUTLS_SERVER | GNUTLS_NONBLOCK);
				gnutls_set_default_priority(guests[i].session);
				gnutls_credentials_set(guests[i].session, GNUTLS_CRD_CERTIFICATE, credentials);
				gnutls_transport_set_int(guests[i].session, fd);
			}
			loop_io_init(&guests[i].io, loop, fd, on_guest);
			loop_io_set(&guests[i].io, LOOP_READ);
			return;
		}
	if (fd >= 0)
		close(fd);
}

static int setup(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	char why[256] = "";

	(void)state;
	loop = loop_new();
	helper = helper_start(loop, program, why, sizeof why);
	if (!helper)
		fail_msg("%s", why);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 100), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	port = ntohs(address.sin_port);
	loop_io_init(&visitors, loop, listener, on_visitor);
	loop_io_set(&visitors, LOOP_READ);
	for (size_t i = 0; i < sizeof guests / sizeof guests[0]; i++)
		guests[i].fd = -1;
	buf_init(&heard, 1 << 20);
	reply = OK_HEAD "\r\nversion: STSv1\r\n";
	is_plain = false;
	visits = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	helper_free(helper);
	for (size_t i = 0; i < sizeof guests / sizeof guests[0]; i++)
		if (guests[i].fd >= 0)
			hang_up(&guests[i]);
	loop_io_stop(&visitors);
	close(listener);
	buf_fini(&heard);
	loop_free(loop);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
	return 0;
}

/* ---------------------------------------------------------------- requests */

static unsigned answers;
static struct helper_answer last;
static char body[70000], type[256], error[512];

static void on_answer(void *arg, const struct helper_answer *answer)
{
	(void)arg;
	answers++;
	last = *answer;
	snprintf(body, sizeof body, "%.*s", SPAN_ARGS(answer->body));
	snprintf(type, sizeof type, "%s", answer->content_type);
	snprintf(error, sizeof error, "%s", answer->error);
}

static struct helper_request *begin(const struct helper_fetch *given)
{
	struct helper_fetch fetch = *given;
	static char url[256];

	if (!fetch.url) {
		snprintf(url, sizeof url, "https://" HOST ":%u/.well-known/mta-sts.txt", port);
		fetch.url = url;
	}
	fetch.addresses = fetch.addresses ? fetch.addresses : "127.0.0.1";
	fetch.ca_file = fetch.ca_file ? fetch.ca_file : ca_file;
	fetch.timeout_ms = fetch.timeout_ms ? fetch.timeout_ms : 10000;
	return helper_fetch(helper, &fetch, on_answer, NULL);
}

static void get(struct helper_fetch fetch)
{
	answers = 0;
	buf_clear(&heard);
	begin(&fetch);
	assert_int_equal(answers, 0);
	assert_true(PUMP(loop, answers, 30000));
}

static void expect(unsigned status, const char *want_type, const char *want_body)
{
	if (!last.ok)
		fail_msg("%s", error);
	assert_int_equal(last.status, status);
	assert_string_equal(type, want_type);
	assert_string_equal(body, want_body);
}

static void expect_failure(bool is_tls, const char *words)
{
	assert_false(last.ok);
	if (last.is_tls != is_tls)
		fail_msg("is_tls %d: %s", last.is_tls, error);
	if (!strstr(error, words))
		fail_msg("\"%s\" is not in \"%s\"", words, error);
	assert_int_equal(last.body.len, 0);
}

static void what_is_asked_for_comes_with_status_and_type(void **state)
{
	(void)state;
	get((struct helper_fetch){ .url = NULL });
	expect(200, "text/plain; charset=utf-8", "version: STSv1\r\n");
	assert_non_null(strstr(buf_cstr(&heard), "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
	assert_non_null(strstr(buf_cstr(&heard), "Host: " HOST));
	assert_null(strstr(buf_cstr(&heard), "Cookie"));
	reply = "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno";
	get((struct helper_fetch){ .url = NULL });
	expect(404, "", "no");
}

static void redirects_are_an_answer_and_nothing_else(void **state)
{
	char text[256];

	(void)state;
	snprintf(text, sizeof text, "HTTP/1.1 302 There\r\nLocation: https://" HOST ":%u/other\r\n\r\n", port);
	reply = text;
	get((struct helper_fetch){ .url = NULL });
	expect(302, "", "");
	assert_int_equal(visits, 1);
}

static void a_body_is_posted_and_no_proxy_of_the_environment_is_asked(void **state)
{
	(void)state;
	reply = "HTTP/1.1 201 Taken\r\nContent-Length: 0\r\n\r\n";
	get((struct helper_fetch){ .content_type = "application/tlsrpt+json", .body = SPAN("{\"a\": 1}END") });
	expect(201, "", "");
	assert_non_null(strstr(buf_cstr(&heard), "POST /.well-known"));
	assert_non_null(strstr(buf_cstr(&heard), "Content-Type: application/tlsrpt+json\r\n"));
	assert_non_null(strstr(buf_cstr(&heard), "{\"a\": 1}END"));
	assert_null(strstr(buf_cstr(&heard), "Expect"));
}

static void a_server_that_is_not_proven_is_not_asked(void **state)
{
	struct helper_fetch wrong_name = { .url = NULL };
	char url[128];

	(void)state;
	get((struct helper_fetch){ .ca_file = other_ca_file });
	expect_failure(true, "certificate");
	snprintf(url, sizeof url, "https://other.example.org:%u/", port);
	wrong_name.url = url;
	get(wrong_name);
	expect_failure(true, "other.example.org");
	get((struct helper_fetch){ .ca_file = "/nonexistent/ca.pem" });
	assert_false(last.ok);
	assert_int_equal(heard.len, 0); /* not a byte of a request */
	is_plain = true;
	get((struct helper_fetch){ .timeout_ms = 500 });
	assert_false(last.ok);
}

static void an_answer_is_capped(void **state)
{
	char *large = mem_alloc(70000);
	int head = snprintf(large, 200, OK_HEAD "\r\n");

	(void)state;
	memset(large + head, 'x', 69999 - (size_t)head);
	large[69999] = '\0';
	reply = large;
	get((struct helper_fetch){ .url = NULL });
	expect_failure(false, "larger than 65536 bytes");
	large[head + 65536] = '\0';
	get((struct helper_fetch){ .url = NULL });
	assert_true(last.ok);
	assert_int_equal(last.body.len, 65536);
	get((struct helper_fetch){ .max_bytes = 100 });
	expect_failure(false, "larger than 100 bytes");
	mem_free(large);
}

static void what_takes_too_long_ends(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	reply = NULL;
	get((struct helper_fetch){ .timeout_ms = 300 });
	expect_failure(false, "");
	assert_non_null(error[0] ? error : NULL);
	assert_true(clock_boot_ms() - before < 8000);
}

static void what_cannot_be_asked_fails_and_says_why(void **state)
{
	struct helper_fetch bad = { .url = "http://" HOST "/" };
	char url[128];

	(void)state;
	get(bad);
	expect_failure(false, "not one of HTTPS");
	bad.url = "https://user:secret@" HOST "/";
	get(bad);
	assert_false(last.ok);
	get((struct helper_fetch){ .addresses = "localhost,1.2.3" });
	expect_failure(false, "addresses of its host are not usable");
	snprintf(url, sizeof url, "https://" HOST ":%u/", port);
	loop_io_stop(&visitors);
	close(listener);
	bad.url = url;
	get(bad);
	assert_false(last.ok);
	assert_false(last.is_tls);
	listener = socket(AF_INET, SOCK_STREAM, 0); /* for the teardown */
}

static void a_machine_without_libcurl_is_told_so(void **state)
{
	static const char *const none[] = { "libnosuch-curl.so.4", "libnosuch.so.4", NULL };
	static const char *const other[] = { "libnosuch-curl.so.4", "libc.so.6", NULL };
	struct buf why;

	(void)state;
	buf_init(&why, 1024);
	assert_false(fetch_work_load(none, &why));
	assert_non_null(strstr(buf_cstr(&why), "cannot be loaded: libnosuch-curl.so.4"));
	buf_clear(&why);
	assert_false(fetch_work_load(other, &why));
	assert_non_null(strstr(buf_cstr(&why), "too old: it has no curl_"));
	buf_fini(&why);
}

/* Whether this process, in whose place the idle helper stands, has it. */
static void libcurl_is_nowhere_but_in_the_process_of_a_request(void **state)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	bool is_there = false;

	(void)state;
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		is_there = is_there || strstr(line, "libcurl");
	fclose(maps);
	assert_false(is_there);
}

static void many_are_sent_at_once_and_too_many_are_refused_softly(void **state)
{
	unsigned good = 0;

	(void)state;
	answers = 0;
	for (int i = 0; i < 70; i++)
		begin(&(struct helper_fetch){ .timeout_ms = 60000 });
	for (unsigned seen = 0; answers < 70; seen = answers) {
		loop_turn(loop, 1000);
		good += answers > seen && last.ok;
	}
	assert_in_range(good, 1, 64);
	get((struct helper_fetch){ .url = NULL });
	expect(200, "text/plain; charset=utf-8", "version: STSv1\r\n");
}

static void after_cancel_nothing_is_told_and_others_go_on(void **state)
{
	struct helper_request *request;

	(void)state;
	reply = NULL;
	answers = 0;
	request = begin(&(struct helper_fetch){ .url = NULL });
	assert_true(PUMP(loop, visits, 10000));
	helper_cancel(request);
	PUMP_IDLE(loop, 100);
	assert_int_equal(answers, 0);
	reply = OK_HEAD "\r\nyes";
	get((struct helper_fetch){ .url = NULL });
	expect(200, "text/plain; charset=utf-8", "yes");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_is_asked_for_comes_with_status_and_type),
		TEST(redirects_are_an_answer_and_nothing_else),
		TEST(a_body_is_posted_and_no_proxy_of_the_environment_is_asked),
		TEST(a_server_that_is_not_proven_is_not_asked),
		TEST(an_answer_is_capped),
		TEST(what_takes_too_long_ends),
		TEST(what_cannot_be_asked_fails_and_says_why),
		TEST(many_are_sent_at_once_and_too_many_are_refused_softly),
		TEST(libcurl_is_nowhere_but_in_the_process_of_a_request),
		TEST(a_machine_without_libcurl_is_told_so),
		TEST(after_cancel_nothing_is_told_and_others_go_on),
	};
	int failed;
	ssize_t n;

	if (argc == 1 && strcmp(argv[0], "sendoff-helper") == 0) {
		serve_until_closed(3);
		return 0;
	}
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	n = readlink("/proc/self/exe", program, sizeof program - 1);
	program[n > 0 ? n : 0] = '\0';
	snprintf(folder, sizeof folder, "/tmp/sendoff-fetch-XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
	snprintf(other_ca_file, sizeof other_ca_file, "%s/other.pem", folder);
	make_certificate(HOST, ca_file);
	make_certificate("else.example.org", other_ca_file);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	gnutls_certificate_free_credentials(credentials);
	unlink(ca_file);
	unlink(other_ca_file);
	rmdir(folder);
	return failed;
}
