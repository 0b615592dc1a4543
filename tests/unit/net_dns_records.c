/* Looking up records: what is asked, of whom, how often, and what the caller hears. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/answer.h"
#include "net/dns.h"
#include "tests/unit/support/pump.h"

/* ---------------------------------------------------------------- a name server that says what it was told to */

struct server {
	struct loop_io udp, tcp, peer;
	int udp_fd, tcp_fd, peer_fd;
	bool silent, truncating;
	unsigned flags;                   /* RCODE, AD (0x20) */
	uint32_t ttl;                     /* of the records, or of the SOA when there are none */
	unsigned type;                    /* of the records */
	struct span records[80];          /* data of each */
	size_t count;                     /* none: an SOA */
	bool alias;                       /* first: the name is an alias of "end.org" */
	unsigned asked, asked_tcp, typed; /* questions, and the type of the last */
	char address[ADDR_TEXT_SIZE];
};

static struct loop *loop;
static struct dns *dns;
static struct server one, two;
static char folder[64], hosts[128];

static size_t put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return 2;
}

static size_t put_record(unsigned char *p, struct span owner, unsigned type, uint32_t ttl, struct span data)
{
	size_t n = owner.len;

	memcpy(p, owner.data, owner.len);
	n += put16(p + n, type);
	n += put16(p + n, 1);
	n += put16(p + n, ttl >> 16);
	n += put16(p + n, ttl & 0xffff);
	n += put16(p + n, (unsigned)data.len);
	memcpy(p + n, data.data, data.len);
	return n + data.len;
}

static size_t reply(struct server *s, const unsigned char *q, size_t len, unsigned char *out, bool tcp)
{
	const struct span asked = SPAN("\xc0\x0c"), end = SPAN("\3end\3org\0");
	size_t n = 12;

	while (n < len && q[n])
		n += q[n] + 1u;
	n += 5;
	assert_true(n <= len);
	s->typed = (unsigned)(q[n - 4] << 8 | q[n - 3]);
	s->asked++;
	if (s->silent)
		return 0;
	memcpy(out, q, n);
	out[2] = 0x81;
	out[3] = (unsigned char)(0x80 | s->flags);
	memset(out + 6, 0, 6);
	if (s->truncating && !tcp) {
		out[2] |= 0x02;
		return n;
	}
	put16(out + 6, (unsigned)s->count + s->alias);
	if (s->alias)
		n += put_record(out + n, asked, ANSWER_CNAME, s->ttl, end);
	for (size_t i = 0; i < s->count; i++)
		n += put_record(out + n, s->alias ? end : asked, s->type, s->ttl, s->records[i]);
	if (s->count == 0) {
		char soa[24] = { (char)0xc0, 0x0c, (char)0xc0, 0x0c };

		put16((unsigned char *)soa + 22, (unsigned)s->ttl);
		n += put_record(out + n, asked, ANSWER_SOA, 3600, span_of(soa, sizeof(soa)));
		out[9] = 1;
	}
	return n;
}

static void on_udp(struct loop_io *io, int events)
{
	struct server *s = LIST_ENTRY(io, struct server, udp);
	unsigned char q[1500], out[8192];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(s->udp_fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
	size_t n;

	(void)events;
	assert_true(len > 12);
	n = reply(s, q, (size_t)len, out, false);
	if (n)
		sendto(s->udp_fd, out, n, 0, (struct sockaddr *)&from, from_len);
}

static void on_tcp_peer(struct loop_io *io, int events)
{
	struct server *s = LIST_ENTRY(io, struct server, peer);
	unsigned char q[1500], out[8194];
	ssize_t len = recv(s->peer_fd, q, sizeof(q), 0);
	size_t n;

	(void)events;
	if (len <= 14) {
		loop_io_stop(io);
		close(s->peer_fd);
		s->peer_fd = -1;
		return;
	}
	s->asked_tcp++;
	n = reply(s, q + 2, (size_t)len - 2, out + 2, true);
	put16(out, (unsigned)n);
	assert_int_equal(send(s->peer_fd, out, n + 2, MSG_NOSIGNAL), n + 2);
}

static void on_tcp(struct loop_io *io, int events)
{
	struct server *s = LIST_ENTRY(io, struct server, tcp);

	(void)events;
	assert_int_equal(s->peer_fd, -1);
	s->peer_fd = accept(s->tcp_fd, NULL, NULL);
	loop_io_init(&s->peer, loop, s->peer_fd, on_tcp_peer);
	loop_io_set(&s->peer, LOOP_READ);
}

/* On a port that is free for both UDP and TCP. */
static void server_start(struct server *s)
{
	*s = (struct server){ .ttl = 300, .type = ANSWER_MX, .udp_fd = -1, .peer_fd = -1 };
	for (int tries = 0; tries < 50 && s->udp_fd < 0; tries++) {
		struct sockaddr_storage addr;
		socklen_t len;

		assert_true(addr_literal("127.0.0.1", &addr, &len));
		s->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		s->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(bind(s->udp_fd, (struct sockaddr *)&addr, len), 0);
		assert_int_equal(getsockname(s->udp_fd, (struct sockaddr *)&addr, &len), 0);
		addr_text(&addr, s->address);
		if (bind(s->tcp_fd, (struct sockaddr *)&addr, len) == 0 && listen(s->tcp_fd, 5) == 0)
			break;
		close(s->udp_fd);
		close(s->tcp_fd);
		s->udp_fd = -1;
	}
	assert_true(s->udp_fd >= 0);
	loop_io_init(&s->udp, loop, s->udp_fd, on_udp);
	loop_io_set(&s->udp, LOOP_READ);
	loop_io_init(&s->tcp, loop, s->tcp_fd, on_tcp);
	loop_io_set(&s->tcp, LOOP_READ);
}

static void server_stop(struct server *s)
{
	loop_io_stop(&s->udp);
	loop_io_stop(&s->tcp);
	if (s->peer_fd >= 0) {
		loop_io_stop(&s->peer);
		close(s->peer_fd);
	}
	close(s->udp_fd);
	close(s->tcp_fd);
}

static void says(struct server *s, unsigned type, struct span data)
{
	s->type = type;
	s->records[s->count++] = data;
}

/* ---------------------------------------------------------------- asking */

static struct {
	unsigned times;
	enum dns_status status;
	bool authentic;
	size_t count;
	uint32_t ttl_s;
	char name[256], text[256];
	char hosts[512]; /* "10 mx1.example.org, 20 …" */
	char data[512];
} heard;

static void on_done(void *arg, const struct dns_records *r)
{
	size_t n = 0;

	(void)arg;
	heard.times++;
	heard.status = r->status;
	heard.authentic = r->authentic;
	heard.count = r->count;
	heard.ttl_s = r->ttl_s;
	snprintf(heard.name, sizeof(heard.name), "%s", r->name);
	snprintf(heard.text, sizeof(heard.text), "%s", r->text);
	heard.hosts[0] = heard.data[0] = '\0';
	for (size_t i = 0; i < r->count && n < sizeof(heard.hosts); i++)
		n += (size_t)snprintf(heard.hosts + n, sizeof(heard.hosts) - n, "%s%u %s", i ? ", " : "",
				      r->list[i].preference, r->list[i].name);
	if (r->count)
		snprintf(heard.data, sizeof(heard.data), "%.*s", SPAN_ARGS(r->list[0].data));
}

static void start_with(const struct dns_config *more)
{
	static const char *servers[2];
	struct dns_config config = *more;
	char why[128] = "";

	servers[0] = one.address;
	servers[1] = two.address;
	config.servers = servers;
	config.hosts_file = hosts;
	dns = dns_new(loop, &config, why, sizeof(why));
	if (!dns)
		fail_msg("%s", why);
}

static void start(void)
{
	start_with(&(struct dns_config){ .server_count = 1 });
}

static void write_hosts(const char *text)
{
	FILE *f = fopen(hosts, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	dns = NULL;
	snprintf(folder, sizeof(folder), "/tmp/sendoff-net-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(hosts, sizeof(hosts), "%s/hosts", folder);
	write_hosts("127.0.0.1 localhost\n");
	server_start(&one);
	server_start(&two);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(dns);
	server_stop(&one);
	server_stop(&two);
	loop_free(loop);
	unlink(hosts);
	return rmdir(folder);
}

static enum dns_status ask(const char *name, enum dns_type type)
{
	memset(&heard, 0, sizeof(heard));
	dns_records(dns, name, type, on_done, NULL);
	assert_int_equal(heard.times, 0); /* never from inside the call */
	assert_true(PUMP(loop, heard.times, 5000));
	assert_int_equal(heard.times, 1);
	return heard.status;
}

/* ---------------------------------------------------------------- what is asked and heard */

static void each_type_is_asked_for_as_itself(void **state)
{
	static const struct {
		enum dns_type type;
		unsigned code;
		struct span data;
		const char *hosts, *text;
	} rows[] = {
		{ DNS_MX, 15, SPAN("\0\12\2mx\xc0\x0c"), "10 mx.example.org", "example.org: 1 MX record" },
		{ DNS_SRV, 33, SPAN("\0\7\0\0\0\31\2mx\xc0\x0c"), "7 mx.example.org", "example.org: 1 SRV record" },
		{ DNS_TLSA, 52, SPAN("\3\1\1abc"), "0 ", "example.org: 1 TLSA record" },
		{ DNS_TXT, 16, SPAN("\3abc"), "0 ", "example.org: 1 TXT record" },
		{ DNS_CNAME, 5, SPAN("\2mx\xc0\x0c"), "0 mx.example.org", "example.org: 1 CNAME record" },
	};

	(void)state;
	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		one.count = 0;
		says(&one, rows[i].code, rows[i].data);
		assert_int_equal(ask("Example.ORG.", rows[i].type), DNS_OK);
		assert_int_equal(one.typed, rows[i].code);
		assert_string_equal(heard.hosts, rows[i].hosts);
		assert_string_equal(heard.text, rows[i].text);
		assert_string_equal(heard.name, "example.org");
		assert_int_equal(heard.ttl_s, 300);
		assert_false(heard.authentic);
		if (rows[i].type == DNS_TLSA || rows[i].type == DNS_TXT)
			assert_string_equal(heard.data, "abc");
	}
	assert_int_equal(one.asked, 5);
}

static void the_callers_hear_where_the_aliases_led(void **state)
{
	(void)state;
	start();
	one.alias = true;
	says(&one, 15, SPAN("\0\12\1a\0"));
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	assert_string_equal(heard.name, "end.org");
	one.count = 0;
	assert_int_equal(ask("other.org", DNS_MX), DNS_NODATA);
	assert_string_equal(heard.name, "end.org");
}

static void permanent_and_temporary_failures_are_told_apart(void **state)
{
	(void)state;
	start();
	assert_int_equal(ask("a.org", DNS_MX), DNS_NODATA);
	assert_string_equal(heard.text, "a.org: no MX record");
	one.flags = ANSWER_NXDOMAIN;
	assert_int_equal(ask("b.org", DNS_MX), DNS_NXDOMAIN);
	assert_non_null(strstr(heard.text, "b.org: no such name (MX, asked 127.0.0.1:"));
	one.flags = ANSWER_SERVFAIL;
	assert_int_equal(ask("c.org", DNS_MX), DNS_TEMPORARY);
	assert_non_null(strstr(heard.text, "SERVFAIL"));
	one.flags = 0;
	says(&one, 15, SPAN("\0"));
	assert_int_equal(ask("d.org", DNS_MX), DNS_TEMPORARY);
	assert_non_null(strstr(heard.text, "malformed record"));
	assert_int_equal(ask("a b.org", DNS_MX), DNS_BAD_NAME);
	assert_int_equal(ask("", DNS_TXT), DNS_BAD_NAME);
}

static void silence_is_told_as_silence_in_time(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	one.silent = true;
	start_with(&(struct dns_config){ .server_count = 1, .timeout_ms = 150 });
	assert_int_equal(ask("example.org", DNS_MX), DNS_SILENT);
	assert_in_range(clock_boot_ms() - before, 140, 4000);
	assert_non_null(strstr(heard.text, one.address));
}

static void the_next_resolver_is_asked_when_one_fails(void **state)
{
	(void)state;
	start_with(&(struct dns_config){ .server_count = 2 });
	one.flags = ANSWER_REFUSED;
	says(&two, 15, SPAN("\0\12\1b\0"));
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	assert_string_equal(heard.hosts, "10 b");
	one.flags = ANSWER_NXDOMAIN;
	assert_int_equal(ask("other.org", DNS_MX), DNS_NXDOMAIN);
}

static void a_truncated_answer_is_asked_for_again_over_tcp(void **state)
{
	(void)state;
	one.truncating = true;
	for (int i = 0; i < 40; i++) /* more than fits in a datagram */
		says(&one, 15,
		     SPAN("\0\12\41"
			  "a2345678901234567890123456789012"
			  "b\0"));
	start();
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	assert_int_equal(heard.count, 40);
	assert_int_equal(one.asked_tcp, 1);
}

static void the_ad_bit_counts_from_whom_is_trusted(void **state)
{
	static const char *const unknown[] = { "192.0.2.1:53" };
	struct dns_config elsewhere = { .servers = unknown, .server_count = 1 };

	(void)state;
	one.flags = 0x20;
	start();
	assert_int_equal(ask("a.org", DNS_TLSA), DNS_NODATA);
	assert_true(heard.authentic);
	one.flags = 0x20 | ANSWER_NXDOMAIN;
	assert_int_equal(ask("b.org", DNS_TLSA), DNS_NXDOMAIN);
	assert_true(heard.authentic);
	assert_int_equal(ask("b.org", DNS_TLSA), DNS_NXDOMAIN); /* from the cache */
	assert_true(heard.authentic);
	says(&one, 52, SPAN("\3\1\1abc"));
	one.flags = 0x20;
	assert_int_equal(ask("c.org", DNS_TLSA), DNS_OK);
	assert_true(heard.authentic);
	one.flags = 0;
	assert_int_equal(ask("d.org", DNS_TLSA), DNS_OK);
	assert_false(heard.authentic);

	/* Who answers was trusted when it was asked, whoever is asked next. The next is not. */
	one.flags = 0x20;
	memset(&heard, 0, sizeof(heard));
	dns_records(dns, "e.org", DNS_TLSA, on_done, NULL);
	dns_configure(dns, &elsewhere);
	dns_cancel(dns_host(dns, "x.org", NULL, NULL));
	assert_true(PUMP(loop, heard.times, 5000));
	assert_true(heard.authentic);
}

static void one_resolver_of_another_machine_spoils_the_trust(void **state)
{
	const char *both[] = { one.address, "192.0.2.1:53" };
	struct dns_config config = { .servers = both, .server_count = 2, .hosts_file = hosts };

	(void)state;
	one.flags = 0x20;
	start();
	dns_configure(dns, &config);
	assert_int_equal(ask("a.org", DNS_TLSA), DNS_NODATA);
	assert_false(heard.authentic);
	assert_int_equal(ask("a.org", DNS_TLSA), DNS_NODATA); /* from the cache */
	assert_false(heard.authentic);
	config.trust_ad = true;
	dns_configure(dns, &config);
	assert_int_equal(ask("a.org", DNS_TLSA), DNS_NODATA);
	assert_true(heard.authentic);
}

/* ---------------------------------------------------------------- what needs no resolver */

static void a_name_of_the_hosts_file_exists(void **state)
{
	(void)state;
	write_hosts("192.0.2.7 lab.example lab\n");
	one.flags = 0x20 | ANSWER_NXDOMAIN;
	start();
	assert_int_equal(ask("lab.example", DNS_MX), DNS_NODATA);
	assert_false(heard.authentic);
	assert_int_equal(ask("bal.example", DNS_MX), DNS_NXDOMAIN);
	one.flags = 0;
	says(&one, 15, SPAN("\0\12\1a\0"));
	assert_int_equal(ask("lab", DNS_MX), DNS_OK); /* but what DNS knows counts */
}

static void nobody_is_asked_about_this_machine(void **state)
{
	(void)state;
	start();
	assert_int_equal(ask("localhost", DNS_MX), DNS_NODATA);
	assert_int_equal(ask("_25._tcp.localhost", DNS_TLSA), DNS_NODATA);
	assert_int_equal(one.asked, 0);
}

/* ---------------------------------------------------------------- cache */

static void answers_are_kept_for_their_time(void **state)
{
	(void)state;
	start();
	one.ttl = 1;
	says(&one, 15, SPAN("\0\12\1a\0"));
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	says(&one, 15, SPAN("\0\24\1b\0"));
	assert_int_equal(ask("EXAMPLE.org.", DNS_MX), DNS_OK);
	assert_string_equal(heard.hosts, "10 a");
	assert_true(heard.ttl_s <= 1);
	assert_int_equal(one.asked, 1);
	one.count = 0;
	assert_int_equal(ask("example.org", DNS_TXT), DNS_NODATA); /* each type for itself */
	assert_int_equal(one.asked, 2);
	PUMP_IDLE(loop, 1050);
	says(&one, 15, SPAN("\0\24\1b\0"));
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	assert_string_equal(heard.hosts, "20 b");
	one.ttl = 0;
	assert_int_equal(ask("never.org", DNS_MX), DNS_OK);
	assert_int_equal(ask("never.org", DNS_MX), DNS_OK);
	assert_int_equal(one.asked, 5);
}

static void what_was_said_can_be_forgotten(void **state)
{
	(void)state;
	start();
	one.ttl = 300;
	says(&one, 15, SPAN("\0\12\1a\0"));
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	one.count = 0;
	says(&one, 15, SPAN("\0\24\1b\0"));
	dns_forget(dns);
	assert_int_equal(ask("example.org", DNS_MX), DNS_OK);
	assert_string_equal(heard.hosts, "20 b");
	assert_int_equal(one.asked, 2);
}

static void no_is_kept_briefly_and_trouble_not_at_all(void **state)
{
	(void)state;
	start();
	one.ttl = 1;
	assert_int_equal(ask("a.org", DNS_MX), DNS_NODATA);
	assert_int_equal(ask("a.org", DNS_MX), DNS_NODATA);
	one.flags = ANSWER_NXDOMAIN;
	assert_int_equal(ask("b.org", DNS_MX), DNS_NXDOMAIN);
	assert_int_equal(ask("b.org", DNS_MX), DNS_NXDOMAIN);
	assert_int_equal(one.asked, 2);
	PUMP_IDLE(loop, 1050);
	assert_int_equal(ask("a.org", DNS_MX), DNS_NXDOMAIN);
	assert_int_equal(one.asked, 3);
	one.ttl = 3600;
	assert_int_equal(ask("c.org", DNS_MX), DNS_NXDOMAIN);
	assert_int_equal(ask("c.org", DNS_MX), DNS_NXDOMAIN);
	assert_in_range(heard.ttl_s, 1, 60);
	assert_int_equal(one.asked, 4);
	one.flags = ANSWER_SERVFAIL;
	one.asked = 0;
	assert_int_equal(ask("d.org", DNS_MX), DNS_TEMPORARY);
	assert_int_equal(ask("d.org", DNS_MX), DNS_TEMPORARY);
	assert_true(one.asked >= 2);
}

/* ---------------------------------------------------------------- the end */

static void after_cancel_nothing_is_told(void **state)
{
	(void)state;
	start();
	memset(&heard, 0, sizeof(heard));
	dns_cancel(dns_records(dns, "a.org", DNS_MX, on_done, NULL));
	dns_cancel(dns_records(dns, "", DNS_MX, on_done, NULL));
	PUMP_IDLE(loop, 80);
	assert_int_equal(heard.times, 0);
	dns_records(dns, "b.org", DNS_MX, on_done, NULL);
	loop_turn(loop, 0);
	dns_free(dns);
	dns = NULL;
	PUMP_IDLE(loop, 30);
	assert_int_equal(heard.times, 0);
}

static void too_many_questions_at_once_fail_softly(void **state)
{
	(void)state;
	one.silent = true;
	start_with(&(struct dns_config){ .server_count = 1, .timeout_ms = 200 });
	memset(&heard, 0, sizeof(heard));
	for (int i = 0; i < 9000; i++)
		dns_records(dns, "a.org", DNS_MX, on_done, NULL);
	assert_true(PUMP(loop, heard.times == 9000, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(each_type_is_asked_for_as_itself),
		TEST(the_callers_hear_where_the_aliases_led),
		TEST(permanent_and_temporary_failures_are_told_apart),
		TEST(silence_is_told_as_silence_in_time),
		TEST(the_next_resolver_is_asked_when_one_fails),
		TEST(a_truncated_answer_is_asked_for_again_over_tcp),
		TEST(the_ad_bit_counts_from_whom_is_trusted),
		TEST(one_resolver_of_another_machine_spoils_the_trust),
		TEST(a_name_of_the_hosts_file_exists),
		TEST(nobody_is_asked_about_this_machine),
		TEST(answers_are_kept_for_their_time),
		TEST(what_was_said_can_be_forgotten),
		TEST(no_is_kept_briefly_and_trouble_not_at_all),
		TEST(after_cancel_nothing_is_told),
		TEST(too_many_questions_at_once_fail_softly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
