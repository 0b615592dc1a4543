/* Dialling: one of many addresses, why all failed, and what a caller may do meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/dial.h"
#include "net/local.h"
#include "tests/unit/support/pump.h"

static struct loop *loop;
static struct dial_result result;
static unsigned answers;
static struct dial_try told[DIAL_TRIES];
static size_t told_count;

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	answers = 0;
	memset(&result, 0, sizeof(result));
	result.fd = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (answers && result.fd >= 0)
		close(result.fd);
	loop_free(loop);
	return 0;
}

static void on_done(void *arg, const struct dial_result *r)
{
	(void)arg;
	result = *r;
	memcpy(told, r->tries, r->try_count * sizeof told[0]);
	told_count = r->try_count;
	answers++;
}

static struct dns_address address(const char *text)
{
	struct dns_address a;

	assert_true(addr_literal(text, &a.addr, &a.len));
	return a;
}

/* A socket that listens on the loopback address of a family; its port. */
static int listener(int family, int backlog, uint16_t *out_port)
{
	struct dns_address a = address(family == AF_INET ? "127.0.0.1" : "::1");
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a.addr, a.len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.addr, &a.len), 0);
	*out_port = addr_port(&a.addr);
	return fd;
}

static void an_address_that_answers_is_handed_out(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port), on = 0;
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = { .addresses = list, .count = 1, .port = port };
	socklen_t len = sizeof(on);
	char text[ADDR_TEXT_SIZE], want[64];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_int_equal(answers, 0);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	assert_true(result.fd >= 0);
	assert_true(fcntl(result.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(result.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(result.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_true(on);
	snprintf(want, sizeof(want), "127.0.0.1:%u", port);
	assert_string_equal(addr_text(&result.address.addr, text), want);
	PUMP_IDLE(loop, 20);
	assert_int_equal(answers, 1);
	close(fd);
}

static void the_next_address_is_tried_at_once_when_one_refuses(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port);
	struct dns_address list[] = { address("::1"), address("127.0.0.1") };
	struct dial_config config = { .addresses = list, .count = 2, .port = port, .stagger_ms = 60000 };

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	assert_int_equal(result.address.addr.ss_family, AF_INET);
	close(fd);
}

/* A listener whose backlog is full does not answer. */
static int mute(int family, uint16_t *out_port, int fillers[8])
{
	int fd = listener(family, 0, out_port);
	struct dns_address a = address(family == AF_INET ? "127.0.0.1" : "::1");

	addr_set_port(&a.addr, *out_port);
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&a.addr, a.len);
	}
	return fd;
}

static void close_all(int fd, int fillers[8])
{
	for (int i = 0; i < 8; i++)
		close(fillers[i]);
	close(fd);
}

static void a_silent_address_does_not_hold_up_the_others(void **state)
{
	uint16_t port;
	int fillers[8], silent = -1, fd = -1;
	struct dns_address list[] = { address("::1"), address("127.0.0.1") }, here = address("127.0.0.1");
	struct dial_config config = { .addresses = list, .count = 2, .stagger_ms = 30 };
	int64_t before;

	(void)state;
	for (int tries = 0; tries < 50 && fd < 0; tries++) { /* a port that is free in both families */
		silent = mute(AF_INET6, &port, fillers);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		addr_set_port(&here.addr, port);
		if (bind(fd, (struct sockaddr *)&here.addr, here.len) == 0)
			break;
		close(fd);
		close_all(silent, fillers);
		fd = -1;
	}
	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 5), 0);
	config.port = port;
	before = clock_boot_ms();
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 3000));
	assert_int_equal(result.status, DIAL_OK);
	assert_int_equal(result.address.addr.ss_family, AF_INET);
	assert_in_range(clock_boot_ms() - before, 25, 900);
	close(fd);
	close_all(silent, fillers);
}

static void silence_is_a_timeout(void **state)
{
	uint16_t port;
	int fillers[8], silent = mute(AF_INET, &port, fillers);
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = { .addresses = list, .count = 1, .port = port, .timeout_ms = 50 };
	char want[64];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 3000));
	assert_int_equal(result.status, DIAL_TIMEOUT);
	assert_int_equal(result.fd, -1);
	snprintf(want, sizeof(want), "127.0.0.1:%u: Connection timed out", port);
	assert_string_equal(result.text, want);
	close_all(silent, fillers);
}

static void refusals_are_explained_one_by_one(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, -1, &port); /* bound, so that nobody else takes it */
	struct dns_address list[] = { address("127.0.0.1"), address("::1") };
	struct dial_config config = { .addresses = list, .count = 2, .port = port };
	char want[128];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	snprintf(want, sizeof(want), "127.0.0.1:%u: Connection refused; [::1]:%u: Connection refused", port, port);
	assert_string_equal(result.text, want);
	close(fd);
}

static void many_refusals_do_not_overflow_the_explanation(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, -1, &port);
	struct dns_address list[40];
	struct dial_config config = { .addresses = list, .count = 40, .port = port };

	(void)state;
	for (size_t i = 0; i < 40; i++)
		list[i] = address("127.0.0.1");
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	assert_int_equal(strlen(result.text), sizeof(result.text) - 1);
	close(fd);
}

/* One family has no way out of this machine, or both: whether the machine is offline is a matter of the other one. */
static void no_way_to_a_host_is_no_network_only_where_there_is_no_other(void **state)
{
	static const struct {
		const char *address;
		int family, other;
	} rows[] = { { "192.0.2.1", AF_INET, AF_INET6 }, { "2001:db8::1", AF_INET6, AF_INET } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct dns_address list[] = { address(rows[i].address) };
		struct dial_config config = { .addresses = list, .count = 1, .port = 25, .timeout_ms = 50 };

		if (local_has_route(rows[i].family))
			continue;
		dial_start(loop, &config, on_done, NULL);
		assert_int_equal(answers, 0);
		assert_true(PUMP(loop, answers, 1000));
		assert_int_equal(result.status, local_has_route(rows[i].other) ? DIAL_REFUSED : DIAL_NO_NETWORK);
		answers = 0;
	}
}

static const char *const nowhere[] = { "192.0.2.77" }; /* no machine has this source address */

static void a_source_that_is_not_ours_is_no_fault_of_the_network(void **state)
{
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = {
		.addresses = list, .count = 1, .port = 25, .sources = nowhere, .source_count = 1
	};
	bool is_online = local_has_route(AF_INET) || local_has_route(AF_INET6);

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_int_equal(answers, 0);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, is_online ? DIAL_REFUSED : DIAL_NO_NETWORK);
	assert_string_equal(result.text, "127.0.0.1:25: the source address is not one of this machine's");
}

static void the_source_address_is_used(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port);
	struct dns_address list[] = { address("127.0.0.1") }, from;
	const char *const sources[] = { "::1", "127.0.0.9" };
	struct dial_config config = {
		.addresses = list, .count = 1, .port = port, .sources = sources, .source_count = 2
	};
	char text[ADDR_TEXT_SIZE];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	from.len = sizeof(from.addr);
	assert_int_equal(getsockname(result.fd, (struct sockaddr *)&from.addr, &from.len), 0);
	assert_string_equal(addr_host(&from.addr, text), "127.0.0.9");
	close(fd);
}

static void an_address_without_a_source_of_its_family_is_passed_over(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port);
	const char *const v4[] = { "127.0.0.1" }, *const v6[] = { "::1" }, *const bad[] = { "localhost" };
	struct dns_address list[] = { address("::1"), address("127.0.0.1") };
	struct dial_config config = {
		.addresses = list, .count = 2, .port = port, .stagger_ms = 60000, .sources = v4, .source_count = 1
	};
	char want[160];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	close(result.fd);
	answers = 0;
	config.addresses = list + 1;
	config.count = 1;
	config.sources = v6;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	snprintf(want, sizeof want, "127.0.0.1:%u: no source address of its family", port);
	assert_string_equal(result.text, want);
	assert_int_equal(result.fd, -1);
	answers = 0;
	config.sources = bad;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	snprintf(want, sizeof want, "127.0.0.1:%u: a source address is not an address", port);
	assert_string_equal(result.text, want);
	close(fd);
}

static void each_address_that_was_tried_is_told_of(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port);
	struct dns_address list[] = { address("::1"), address("127.0.0.1"), address("127.0.0.2") };
	struct dial_config config = { .addresses = list, .count = 3, .port = port, .stagger_ms = 60000 };

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(told_count, 3);
	assert_int_equal(told[0].error, ECONNREFUSED);
	assert_string_equal(told[0].text, "Connection refused");
	assert_true(told[0].took_ms >= 0);
	assert_int_equal(told[1].error, 0);
	assert_int_equal(told[2].took_ms, -1);
	close(fd);
}

/* ---------------------------------------------------------------- a proxy, played by the test */

static int accepted(int fd)
{
	int peer;

	PUMP_IDLE(loop, 10);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	return peer;
}

static void hears(int peer, const char *bytes, size_t len)
{
	char got[600];

	PUMP_IDLE(loop, 20);
	assert_int_equal(recv(peer, got, sizeof got, MSG_DONTWAIT), len);
	assert_memory_equal(got, bytes, len);
}

static void says(int peer, const char *bytes, size_t len)
{
	assert_int_equal(send(peer, bytes, len, MSG_NOSIGNAL), len);
}

static struct dial_config by_proxy(const struct dns_address *list, uint16_t port)
{
	return (struct dial_config){
		.addresses = list, .count = 1, .port = 25, .socks_host = "mx", .socks_port = port, .timeout_ms = 300
	};
}

static void a_proxy_is_asked_for_the_name_and_hands_over_the_line(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port), peer;
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = by_proxy(list, port);
	char bytes[16] = "";

	(void)state;
	config.socks_user = "me";
	config.socks_password = "pw";
	dial_start(loop, &config, on_done, NULL);
	peer = accepted(fd);
	hears(peer, "\x05\x02\x00\x02", 4);
	says(peer, "\x05\x02", 2);
	hears(peer, "\x01\x02me\x02pw", 7);
	says(peer, "\x01\x00", 2);
	hears(peer, "\x05\x01\x00\x03\x02mx\x00\x19", 9);
	says(peer, "\x05\x00\x00\x01\x00\x00", 6);
	PUMP_IDLE(loop, 20);
	assert_int_equal(answers, 0);
	says(peer,
	     "\x00\x00\x00\x00"
	     "220 hi",
	     10);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	assert_int_equal(addr_port(&result.address.addr), port);
	/* Not a byte of the server's was taken. */
	assert_int_equal(recv(result.fd, bytes, sizeof bytes, MSG_DONTWAIT), 6);
	assert_string_equal(bytes, "220 hi");
	close(peer);
	close(fd);
}

/* Answers what it is sent with these bytes, one piece a time, then hangs up or stays. */
static void proxy_says(const char *first, size_t first_len, const char *second, size_t second_len, bool hangs_up,
		       enum dial_status status, const char *why)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port), peer;
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = by_proxy(list, port);
	char want[200];

	answers = 0;
	dial_start(loop, &config, on_done, NULL);
	peer = accepted(fd);
	says(peer, first, first_len);
	PUMP_IDLE(loop, 20);
	if (second_len)
		says(peer, second, second_len);
	if (hangs_up)
		shutdown(peer, SHUT_WR);
	assert_true(PUMP(loop, answers, 2000));
	assert_int_equal(result.status, status);
	snprintf(want, sizeof want, "proxy 127.0.0.1:%u: %s", port, why);
	assert_string_equal(result.text, want);
	assert_int_equal(result.fd, -1);
	close(peer);
	close(fd);
}

static void what_the_proxy_says_of_the_host_is_told_from_its_own_faults(void **state)
{
	(void)state;
	proxy_says("\x05\x00", 2, "\x05\x05\x00\x01", 4, false, DIAL_REFUSED, "the host refuses the connection");
	proxy_says("\x05\x00", 2, "\x05\x03", 2, true, DIAL_REFUSED, "the network cannot be reached");
	proxy_says("\x05\xff", 2, "", 0, false, DIAL_PROXY, "it wants a login, and the configuration names no user");
	proxy_says("220 smtp\r\n", 10, "", 0, false, DIAL_PROXY, "it does not speak SOCKS5");
	proxy_says("\x05", 1, "", 0, true, DIAL_PROXY, "it hangs up");
	proxy_says("\x05", 1, "", 0, false, DIAL_PROXY, "Connection timed out");
	proxy_says("\x05\x00", 2, "", 0, true, DIAL_REFUSED, "it hangs up");
	proxy_says("\x05\x00", 2, "\x05\x00\x00\x01", 4, false, DIAL_REFUSED, "Connection timed out");
}

static void a_proxy_that_is_not_there_is_named(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, -1, &port);
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = by_proxy(list, port);
	char want[128], longest[300];

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_PROXY);
	snprintf(want, sizeof want, "proxy 127.0.0.1:%u: Connection refused", port);
	assert_string_equal(result.text, want);
	answers = 0;
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	config.socks_host = longest;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	answers = 0;
	config.count = 0;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_string_equal(result.text, "the host has no address to connect to");
	close(fd);
}

static void a_dial_is_cancelled_while_the_proxy_thinks(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port), peer;
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = by_proxy(list, port);
	struct dial *dial = dial_start(loop, &config, on_done, NULL);
	char byte;

	(void)state;
	peer = accepted(fd);
	hears(peer, "\x05\x01\x00", 3);
	dial_cancel(dial);
	PUMP_IDLE(loop, 20);
	assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(answers, 0);
	close(peer);
	close(fd);
}

static void want_of_descriptors_is_our_own_trouble(void **state)
{
	struct dns_address list[] = { address("127.0.0.1") };
	struct dial_config config = { .addresses = list, .count = 1, .port = 25 };
	struct rlimit old, few;
	int hoard[256], held = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = 60, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (held < 256 && (hoard[held] = dup(0)) >= 0)
		held++;
	dial_start(loop, &config, on_done, NULL);
	while (held)
		close(hoard[--held]);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_LOCAL);
}

static void a_host_without_addresses_fails_with_words(void **state)
{
	struct dial_config config = { .count = 0, .port = 25 };

	(void)state;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	assert_true(result.text[0]);
}

static void after_cancel_nothing_is_told(void **state)
{
	uint16_t port;
	int fd = listener(AF_INET, 5, &port);
	struct dns_address list[] = { address("127.0.0.1"), address("::1") };
	struct dial_config config = { .addresses = list, .count = 2, .port = port };
	struct dial *dial = dial_start(loop, &config, on_done, NULL);

	(void)state;
	dial_cancel(dial);
	PUMP_IDLE(loop, 40);
	config.sources = nowhere; /* known at once */
	config.source_count = 1;
	dial = dial_start(loop, &config, on_done, NULL);
	dial_cancel(dial);
	PUMP_IDLE(loop, 40);
	assert_int_equal(answers, 0);
	dial_cancel(NULL);
	close(fd);
}

static void unix_sockets_are_dialled_by_path(void **state)
{
	char folder[64] = "/tmp/sendoff-net-XXXXXX", longest[300];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct dial_config config = { .unix_path = un.sun_path };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", folder);
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	assert_non_null(strstr(result.text, "/s: No such file or directory"));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 5), 0);
	answers = 0;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	close(result.fd);
	answers = 0;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	config.unix_path = longest;
	dial_start(loop, &config, on_done, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_REFUSED);
	close(fd);
	unlink(un.sun_path);
	rmdir(folder);
}

static void a_busy_unix_socket_is_waited_for(void **state)
{
	char folder[64] = "/tmp/sendoff-net-XXXXXX";
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct dial_config config = { .unix_path = un.sun_path, .timeout_ms = 2000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[4], taken;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (int i = 0; i < 4; i++) {
		filler[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(filler[i], (struct sockaddr *)&un, sizeof(un));
	}
	dial_start(loop, &config, on_done, NULL);
	PUMP_IDLE(loop, 80);
	assert_int_equal(answers, 0);
	taken = accept(fd, NULL, NULL);
	assert_true(PUMP(loop, answers, 1000));
	assert_int_equal(result.status, DIAL_OK);
	close(taken);
	close(fd);
	for (int i = 0; i < 4; i++)
		close(filler[i]);
	unlink(un.sun_path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(an_address_that_answers_is_handed_out),
		TEST(the_next_address_is_tried_at_once_when_one_refuses),
		TEST(a_silent_address_does_not_hold_up_the_others),
		TEST(silence_is_a_timeout),
		TEST(refusals_are_explained_one_by_one),
		TEST(many_refusals_do_not_overflow_the_explanation),
		TEST(no_way_to_a_host_is_no_network_only_where_there_is_no_other),
		TEST(a_source_that_is_not_ours_is_no_fault_of_the_network),
		TEST(an_address_without_a_source_of_its_family_is_passed_over),
		TEST(each_address_that_was_tried_is_told_of),
		TEST(a_proxy_is_asked_for_the_name_and_hands_over_the_line),
		TEST(what_the_proxy_says_of_the_host_is_told_from_its_own_faults),
		TEST(a_proxy_that_is_not_there_is_named),
		TEST(a_dial_is_cancelled_while_the_proxy_thinks),
		TEST(the_source_address_is_used),
		TEST(want_of_descriptors_is_our_own_trouble),
		TEST(a_host_without_addresses_fails_with_words),
		TEST(after_cancel_nothing_is_told),
		TEST(unix_sockets_are_dialled_by_path),
		TEST(a_busy_unix_socket_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
