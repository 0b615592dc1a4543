/* The resolver against a small name server that says what each test tells it to. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/answer.h"
#include "net/dns.h"
#include "net/hosts.h"
#include "tests/unit/support/pump.h"

/* ---------------------------------------------------------------- a name server */

enum saying { ANSWER, SILENCE, GARBAGE, WRONG_ID, TRUNCATE, MALFORMED };

struct server {
	struct loop_io udp, tcp, peer;
	int udp_fd, tcp_fd, peer_fd;
	enum saying a, aaaa;
	unsigned rcode_a, rcode_aaaa;
	const char *list_a, *list_aaaa; /* "192.0.2.1 192.0.2.2", or "" */
	int aliases;                    /* CNAMEs before the addresses; -1: in a circle */
	uint32_t ttl;
	bool ad, referral, no_soa;
	bool knows_root; /* else it is silent about it */
	unsigned asked, asked_tcp;
	bool saw_ad, saw_edns;
	char address[ADDR_TEXT_SIZE];
};

static struct loop *loop;
static struct dns *dns;
static struct server one, two;
static char folder[64], hosts[128], resolv[128];

static size_t put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return 2;
}

/* owner (12: the question's name, else at that offset), type, ttl and data */
static size_t put_record(unsigned char *p, unsigned owner, unsigned type, uint32_t ttl, const void *data, size_t len)
{
	size_t n = put16(p, 0xc000 | owner);

	n += put16(p + n, type);
	n += put16(p + n, 1);
	n += put16(p + n, ttl >> 16);
	n += put16(p + n, ttl & 0xffff);
	n += put16(p + n, (unsigned)len);
	memcpy(p + n, data, len);
	return n + len;
}

static unsigned put_addresses(const char *list, unsigned owner, uint32_t ttl, unsigned char *p, size_t *n)
{
	char copy[256];
	unsigned count = 0;

	snprintf(copy, sizeof(copy), "%s", list ? list : "");
	for (char *rest = copy, *word; (word = strtok_r(rest, " ", &rest)); count++) {
		struct sockaddr_storage addr;
		socklen_t len;

		assert_true(addr_literal(word, &addr, &len));
		if (addr.ss_family == AF_INET)
			*n += put_record(p + *n, owner, ANSWER_A, ttl, &((struct sockaddr_in *)&addr)->sin_addr, 4);
		else
			*n += put_record(p + *n, owner, ANSWER_AAAA, ttl, &((struct sockaddr_in6 *)&addr)->sin6_addr,
					 16);
	}
	return count;
}

/* The answer to the question in `q`; 0: none. */
static size_t reply(struct server *s, const unsigned char *q, size_t len, unsigned char *out, bool tcp)
{
	size_t end = 12, n;
	unsigned type, count = 0, owner = 12, rcode;
	enum saying saying;
	bool v4;

	while (end < len && q[end])
		end += q[end] + 1u;
	end += 5;
	assert_true(end <= len);
	type = (unsigned)(q[end - 4] << 8 | q[end - 3]);
	v4 = type == ANSWER_A;
	saying = v4 ? s->a : s->aaaa;
	rcode = v4 ? s->rcode_a : s->rcode_aaaa;
	s->asked++;
	s->saw_ad = s->saw_ad || q[3] & 0x20;
	s->saw_edns = s->saw_edns || q[11];
	if (q[12] == 0)
		saying = s->knows_root ? ANSWER : SILENCE;
	if (saying == SILENCE)
		return 0;
	memcpy(out, q, end);
	out[2] = 0x81;
	out[3] = (unsigned char)(0x80 | rcode | (s->ad ? 0x20 : 0));
	memset(out + 6, 0, 6);
	n = end;
	if (saying == GARBAGE) {
		memset(out + end, 0xc0, 40);
		out[7] = 3;
		return end + 40;
	}
	if (saying == WRONG_ID)
		out[0] ^= 0x55;
	if (saying == TRUNCATE && !tcp) {
		out[2] |= 0x02;
		return n;
	}
	for (int i = 0; i < (s->aliases < 0 ? 1 : s->aliases); i++) {
		unsigned char target[8] = { 1, (unsigned char)('a' + i), 2, 'c', 'n', 0 };

		if (s->aliases < 0)
			n += put_record(out + n, 12, ANSWER_CNAME, s->ttl, "\xc0\x0c", 2);
		else
			n += put_record(out + n, owner, ANSWER_CNAME, s->ttl, target, 6);
		owner = s->aliases < 0 ? 12 : (unsigned)n - 6;
		count++;
	}
	if (s->aliases >= 0)
		count += put_addresses(v4 ? s->list_a : s->list_aaaa, owner, s->ttl, out, &n);
	if (saying == MALFORMED) {
		n += put_record(out + n, 12, type, 60, "\1\2\3", 3);
		count++;
	}
	put16(out + 6, count);
	if (s->referral) {
		n += put_record(out + n, 12, ANSWER_NS, 60, "\xc0\x0c", 2);
		out[9] = 1;
	} else if (count == 0 && !s->no_soa) {
		n += put_record(out + n, 12, ANSWER_SOA, 60, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
		out[9] = 1;
	}
	return n;
}

static void on_udp(struct loop_io *io, int events)
{
	struct server *s = LIST_ENTRY(io, struct server, udp);
	unsigned char q[1500], out[4096];
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
	unsigned char q[1500], out[4098];
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
	int fd = accept(s->tcp_fd, NULL, NULL);

	(void)events;
	if (s->peer_fd >= 0) {
		loop_io_stop(&s->peer);
		close(s->peer_fd);
	}
	s->peer_fd = fd;
	loop_io_init(&s->peer, loop, fd, on_tcp_peer);
	loop_io_set(&s->peer, LOOP_READ);
}

/* Port 0: any that is free for both UDP and TCP. */
static void server_start_at(struct server *s, const char *where)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int one_more = 1;

	*s = (struct server){ .ttl = 300, .list_a = "192.0.2.1", .list_aaaa = "", .peer_fd = -1 };
	for (int tries = 0; tries < 50; tries++) {
		assert_true(addr_parse(where, 0, &addr, &len));
		s->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		s->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		setsockopt(s->tcp_fd, SOL_SOCKET, SO_REUSEADDR, &one_more, sizeof(one_more));
		if (bind(s->udp_fd, (struct sockaddr *)&addr, len) == 0 &&
		    getsockname(s->udp_fd, (struct sockaddr *)&addr, &len) == 0 &&
		    bind(s->tcp_fd, (struct sockaddr *)&addr, len) == 0 && listen(s->tcp_fd, 5) == 0)
			break;
		close(s->udp_fd);
		close(s->tcp_fd);
		s->udp_fd = -1;
	}
	assert_true(s->udp_fd >= 0);
	addr_text(&addr, s->address);
	loop_io_init(&s->udp, loop, s->udp_fd, on_udp);
	loop_io_set(&s->udp, LOOP_READ);
	loop_io_init(&s->tcp, loop, s->tcp_fd, on_tcp);
	loop_io_set(&s->tcp, LOOP_READ);
}

static void server_start(struct server *s)
{
	server_start_at(s, "127.0.0.1:0");
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

/* ---------------------------------------------------------------- asking */

static struct dns_addresses result;
static struct dns_address result_list[64];
static char result_name[256];
static unsigned answers;
static const char *servers[2];

static void on_done(void *arg, const struct dns_addresses *r)
{
	(void)arg;
	assert_true(r->count <= 64);
	result = *r;
	memcpy(result_list, r->list, r->count * sizeof(*r->list));
	result.list = result_list;
	snprintf(result_name, sizeof(result_name), "%s", r->name);
	answers++;
}

static void start(size_t count, int64_t timeout_ms)
{
	struct dns_config config = { .servers = servers,
				     .server_count = count,
				     .timeout_ms = timeout_ms,
				     .hosts_file = hosts,
				     .resolv_file = resolv };
	char why[128] = "";

	servers[0] = one.address;
	servers[1] = two.address;
	dns = dns_new(loop, &config, why, sizeof(why));
	if (!dns)
		fail_msg("%s", why);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

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
	snprintf(resolv, sizeof(resolv), "%s/resolv.conf", folder);
	write_file(hosts, "127.0.0.1 localhost\n");
	server_start(&one);
	server_start(&two);
	answers = 0;
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
	unlink(resolv);
	return rmdir(folder);
}

static enum dns_status ask(const char *name)
{
	answers = 0;
	dns_host(dns, name, on_done, NULL);
	assert_int_equal(answers, 0); /* never from inside the call */
	assert_true(PUMP(loop, answers, 5000));
	assert_int_equal(answers, 1);
	return result.status;
}

/* "192.0.2.1 2001:db8::1" */
static const char *addresses(void)
{
	static char text[2048];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < result.count; i++) {
		char host[ADDR_TEXT_SIZE];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
				      addr_host(&result.list[i].addr, host));
	}
	return text;
}

/* ---------------------------------------------------------------- what needs no resolver */

static void literals_and_localhost_are_known(void **state)
{
	(void)state;
	start(1, 0);
	assert_int_equal(ask("192.0.2.9"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.9");
	assert_int_equal(ask("[2001:db8::9]"), DNS_OK);
	assert_string_equal(addresses(), "2001:db8::9");
	assert_int_equal(ask("localhost"), DNS_OK);
	assert_string_equal(addresses(), "::1 127.0.0.1");
	assert_int_equal(ask("Sub.LOCALHOST."), DNS_OK);
	assert_string_equal(addresses(), "::1 127.0.0.1");
	assert_int_equal(one.asked, 0);
}

static void the_hosts_file_comes_first_and_is_always_the_present_one(void **state)
{
	(void)state;
	start(1, 0);
	write_file(hosts, "# mail\n10.0.0.7\tmx.example.org mail # here\nfd00::7 MX.example.org.\n10.0.0.8 mx\n");
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "fd00::7 10.0.0.7");
	assert_int_equal(one.asked, 0);
	write_file(hosts, "10.0.0.9 mx.example.org\n");
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "10.0.0.9");
	assert_int_equal(unlink(hosts), 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	write_file(hosts, "");
}

static void senseless_names_are_not_asked_about(void **state)
{
	static const char *const names[] = {
		"",     ".",
		"..",   "a..b",
		".a",   "a b",
		"a\nb", "\xc3\xa4.example",
		"a\\b", "1234567890123456789012345678901234567890123456789012345678901234.example"
	};
	char longest[300];

	(void)state;
	start(1, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ask(names[i]) != DNS_BAD_NAME)
			fail_msg("\"%s\" was asked about", names[i]);
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '.' : 'a';
	longest[299] = '\0';
	assert_int_equal(ask(longest), DNS_BAD_NAME);
	assert_int_equal(one.asked, 0);
}

/* ---------------------------------------------------------------- what a resolver says */

static void both_families_are_asked_for_and_v6_comes_first(void **state)
{
	(void)state;
	one.list_a = "192.0.2.1 192.0.2.2";
	one.list_aaaa = "2001:db8::1";
	one.ttl = 77;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "2001:db8::1 192.0.2.1 192.0.2.2");
	assert_int_equal(result.ttl_s, 77);
	assert_int_equal(one.asked, 2);
	assert_true(one.saw_ad && one.saw_edns);
	assert_false(result.authentic);
}

static void the_ad_bit_counts_from_loopback(void **state)
{
	(void)state;
	one.ad = true;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_true(result.authentic);
}

static void permanent_and_temporary_answers_are_told_apart(void **state)
{
	static const struct {
		const char *what;
		unsigned a, aaaa;
		const char *list_a;
		enum dns_status status;
	} rows[] = {
		{ "no such name", ANSWER_NXDOMAIN, ANSWER_NXDOMAIN, "", DNS_NXDOMAIN },
		{ "no data", 0, 0, "", DNS_NODATA },
		{ "no data and no such name", 0, ANSWER_NXDOMAIN, "", DNS_NODATA },
		{ "server failure", ANSWER_SERVFAIL, ANSWER_SERVFAIL, "", DNS_TEMPORARY },
		{ "refused", ANSWER_REFUSED, ANSWER_REFUSED, "", DNS_TEMPORARY },
		{ "format error", ANSWER_FORMERR, ANSWER_FORMERR, "", DNS_TEMPORARY },
		{ "not implemented", ANSWER_NOTIMP, ANSWER_NOTIMP, "", DNS_TEMPORARY },
		{ "A fails, AAAA has nothing", ANSWER_SERVFAIL, 0, "", DNS_TEMPORARY },
		{ "A has nothing, AAAA fails", 0, ANSWER_SERVFAIL, "", DNS_TEMPORARY },
		{ "A is there, AAAA fails", 0, ANSWER_SERVFAIL, "192.0.2.1", DNS_OK },
		{ "A is there, AAAA says no such name", 0, ANSWER_NXDOMAIN, "192.0.2.1", DNS_OK },
	};

	(void)state;
	start(1, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[64];

		one.rcode_a = rows[i].a;
		one.rcode_aaaa = rows[i].aaaa;
		one.list_a = rows[i].list_a;
		snprintf(name, sizeof(name), "row%zu.example.org", i);
		if (ask(name) != rows[i].status)
			fail_msg("%s: %s", rows[i].what, dns_status_text(result.status));
		if (result.status != DNS_OK && !strstr(result.text, name))
			fail_msg("%s: the text \"%s\" does not name it", rows[i].what, result.text);
	}
}

static void a_referral_is_not_taken_for_no_data(void **state)
{
	(void)state;
	one.list_a = "";
	one.referral = true;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_TEMPORARY);
}

static void write_long_file(const char *path, const char *last)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (int i = 0; i < 20000; i++)
		fprintf(f, "0.0.0.0\tads-%d.example.com Ads%d.\n", i, i);
	fputs(last, f);
	fclose(f);
}

/* A hundred thousand lines take tens of milliseconds to read. */
static void a_long_file_of_hosts_is_read_for_the_names_that_it_has(void **state)
{
	struct hosts_index index = { .bits = NULL };
	int vain = 0;

	(void)state;
	write_long_file(hosts, "192.0.2.7 late.example.org");
	start(1, 0);
	assert_int_equal(ask("Late.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.7");
	assert_int_equal(ask("ads19999"), DNS_OK);
	assert_string_equal(addresses(), "0.0.0.0");
	assert_int_equal(one.asked, 0);
	assert_int_equal(ask("later.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	write_long_file(hosts, "192.0.2.8 later.example.org\n");
	assert_int_equal(ask("later.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.8");
	for (int i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "mx%d.example.org", i);
		vain += hosts_index_may_have(&index, hosts, name);
	}
	assert_true(vain < 10);
	hosts_index_fini(&index);
}

static void silence_is_told_as_silence_in_time(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	one.a = one.aaaa = SILENCE;
	start(1, 150);
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
	assert_in_range(clock_boot_ms() - before, 140, 4000);
	assert_non_null(strstr(result.text, one.address));
}

/* Else one domain with dead name servers would make this machine think that it has no network. */
static void a_resolver_that_answers_others_is_not_silent(void **state)
{
	(void)state;
	one.a = one.aaaa = SILENCE;
	one.knows_root = true;
	start(1, 400);
	assert_int_equal(ask("mx.example.org"), DNS_TEMPORARY);
	assert_non_null(strstr(result.text, "no answer in time"));
	one.knows_root = false; /* it heard nothing since this one began */
	assert_int_equal(ask("mx.example.com"), DNS_SILENT);
	one.knows_root = true;
	assert_int_equal(ask("mx.example.net"), DNS_TEMPORARY);
}

static void one_silent_family_does_not_hold_up_the_other_for_long(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	one.aaaa = SILENCE;
	start(1, 20000);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	assert_true(clock_boot_ms() - before < 3000);
}

static void a_resolver_that_is_not_there_is_silence_at_once(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	start(1, 0);
	loop_io_stop(&one.udp);
	loop_io_stop(&one.tcp);
	close(one.udp_fd);
	close(one.tcp_fd);
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
	assert_true(clock_boot_ms() - before < 3000);
	server_start(&one);
}

static void garbage_is_temporary(void **state)
{
	(void)state;
	one.a = one.aaaa = GARBAGE;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_TEMPORARY);
	one.a = one.aaaa = MALFORMED;
	assert_int_equal(ask("my.example.org"), DNS_TEMPORARY);
	assert_non_null(strstr(result.text, "malformed"));
}

static void an_answer_with_the_wrong_id_is_no_answer(void **state)
{
	(void)state;
	one.a = one.aaaa = WRONG_ID;
	start(1, 150);
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
}

static void a_truncated_answer_is_asked_for_again_over_tcp(void **state)
{
	(void)state;
	one.a = TRUNCATE;
	one.list_a = "192.0.2.1 192.0.2.2 192.0.2.3";
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1 192.0.2.2 192.0.2.3");
	assert_int_equal(one.asked_tcp, 1);
}

static void aliases_are_followed_but_not_for_ever(void **state)
{
	(void)state;
	one.aliases = 3;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	assert_string_equal(result_name, "c.cn");
	one.asked = 0;
	assert_int_equal(ask("mx.example.org"), DNS_OK); /* from the cache */
	assert_int_equal(one.asked, 0);
	assert_string_equal(result_name, "c.cn");
	one.list_aaaa = "2001:db8::1";
	one.list_a = "";
	assert_int_equal(ask("v6.example.org"), DNS_OK);
	assert_string_equal(result_name, "c.cn");
	one.list_aaaa = "";
	one.aliases = 0;
	one.list_a = "192.0.2.1";
	assert_int_equal(ask("Plain.example.org."), DNS_OK);
	assert_string_equal(result_name, "plain.example.org");
	one.aliases = -1;
	assert_int_equal(ask("circle.example.org"), DNS_TEMPORARY);
	assert_non_null(strstr(result.text, "circle"));
	one.aliases = 2;
	one.list_a = "";
	assert_int_equal(ask("alias-to-nothing.example.org"), DNS_NODATA);
}

static void more_addresses_than_are_kept_do_no_harm(void **state)
{
	char many[1024];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 24; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, "10.0.0.%d ", i);
	one.list_a = many;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_int_equal(result.count, 16);
}

static void the_next_resolver_is_asked_when_one_fails(void **state)
{
	(void)state;
	one.rcode_a = one.rcode_aaaa = ANSWER_REFUSED;
	two.list_a = "192.0.2.22";
	start(2, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.22");
	/* But a name that does not exist does not exist. */
	one.rcode_a = one.rcode_aaaa = ANSWER_NXDOMAIN;
	assert_int_equal(ask("nx.example.org"), DNS_NXDOMAIN);
	assert_int_equal(two.asked, 2);
	one.rcode_a = one.rcode_aaaa = ANSWER_SERVFAIL;
	two.rcode_a = two.rcode_aaaa = ANSWER_SERVFAIL;
	assert_int_equal(ask("both.example.org"), DNS_TEMPORARY);
}

static void the_next_resolver_is_asked_when_one_is_silent(void **state)
{
	(void)state;
	one.a = one.aaaa = SILENCE;
	two.list_a = "192.0.2.22";
	start(2, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.22");
}

/* ---------------------------------------------------------------- cache */

static void answers_are_kept_for_their_time_and_failures_are_not(void **state)
{
	(void)state;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_int_equal(ask("MX.example.org."), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	assert_int_equal(one.asked, 2);
	one.ttl = 0;
	assert_int_equal(ask("ttl0.example.org"), DNS_OK);
	assert_int_equal(ask("ttl0.example.org"), DNS_OK);
	assert_int_equal(one.asked, 6);
	one.rcode_a = one.rcode_aaaa = ANSWER_NXDOMAIN;
	one.list_a = "";
	assert_int_equal(ask("nx.example.org"), DNS_NXDOMAIN);
	assert_int_equal(ask("nx.example.org"), DNS_NXDOMAIN);
	assert_int_equal(one.asked, 10);
}

static void an_answer_is_forgotten_when_its_time_is_over(void **state)
{
	(void)state;
	one.ttl = 1;
	start(1, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	PUMP_IDLE(loop, 1050);
	one.list_a = "192.0.2.2";
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.2");
}

static void the_cache_is_bounded(void **state)
{
	(void)state;
	start(1, 0);
	assert_int_equal(ask("first.example.org"), DNS_OK);
	for (int i = 0; i < 512; i++) {
		char name[64];

		snprintf(name, sizeof(name), "n%d.example.org", i);
		assert_int_equal(ask(name), DNS_OK);
	}
	one.asked = 0;
	assert_int_equal(ask("n511.example.org"), DNS_OK);
	assert_int_equal(one.asked, 0);
	assert_int_equal(ask("first.example.org"), DNS_OK);
	assert_int_equal(one.asked, 2);
}

/* ---------------------------------------------------------------- resolv.conf, cancel, reload */

static void without_a_resolver_it_says_so_at_once(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	start(0, 0);
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
	assert_non_null(strstr(result.text, "no resolver is known"));
	write_file(resolv, "search example.org\n");
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
	assert_true(clock_boot_ms() - before < 3000);
}

static void write_resolv(int last)
{
	char line[64];

	/* An address of our own, so that two runs of this test do not meet. */
	snprintf(line, sizeof(line), "nameserver 127.%d.%d.%d\n", getpid() >> 8 & 0xff, getpid() & 0xff, last);
	(void)unlink(resolv); /* as NetworkManager does it: a new file in place of the old */
	write_file(resolv, line);
	snprintf(line, sizeof(line), "127.%d.%d.%d:53", getpid() >> 8 & 0xff, getpid() & 0xff, last);
	if (one.udp_fd < 0)
		server_start_at(&one, line);
	else if (two.udp_fd < 0)
		server_start_at(&two, line);
}

static void a_changed_resolv_conf_is_used_from_the_next_question_on(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* resolv.conf knows port 53 only */
	server_stop(&one);
	server_stop(&two);
	one.udp_fd = two.udp_fd = -1;
	write_resolv(1);
	start(0, 0);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
	write_resolv(2);
	two.list_a = "192.0.2.22";
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.22");
	assert_int_equal(unlink(resolv), 0);
	assert_int_equal(ask("mx.example.org"), DNS_SILENT);
	write_resolv(1);
	assert_int_equal(ask("mx.example.org"), DNS_OK);
	assert_string_equal(addresses(), "192.0.2.1");
}

static void a_changed_list_of_resolvers_is_used_from_the_next_question_on(void **state)
{
	struct dns_config config = {
		.servers = servers, .server_count = 1, .hosts_file = hosts, .resolv_file = resolv
	};

	(void)state;
	one.a = one.aaaa = SILENCE;
	two.list_a = "192.0.2.22";
	start(1, 300);
	dns_host(dns, "slow.example.org", on_done, NULL);
	loop_turn(loop, 10);
	servers[0] = two.address;
	dns_configure(dns, &config);
	answers = 0;
	dns_host(dns, "mx.example.org", on_done, NULL);
	assert_true(PUMP(loop, answers == 1, 1000));
	assert_string_equal(addresses(), "192.0.2.22");
	/* The old channel drains: its question is still answered, and its memory goes. */
	assert_true(PUMP(loop, answers == 2, 2000));
	assert_int_equal(result.status, DNS_SILENT);
}

static void a_bad_list_of_resolvers_is_refused(void **state)
{
	const char *bad[] = { "127.0.0.1", "nonsense" };
	struct dns_config config = { .servers = bad, .server_count = 2 };
	char why[128] = "";

	(void)state;
	assert_null(dns_new(loop, &config, why, sizeof(why)));
	assert_non_null(strstr(why, "nonsense"));
}

static void after_cancel_nothing_is_told(void **state)
{
	struct dns_query *query;

	(void)state;
	start(1, 0);
	query = dns_host(dns, "mx.example.org", on_done, NULL);
	dns_cancel(query);
	query = dns_host(dns, "127.0.0.1", on_done, NULL);
	dns_cancel(query);
	query = dns_host(dns, "my.example.org", on_done, NULL);
	loop_turn(loop, 0);
	dns_cancel(query);
	PUMP_IDLE(loop, 80);
	assert_int_equal(answers, 0);
	dns_cancel(NULL);
}

static void it_can_end_with_questions_open(void **state)
{
	(void)state;
	one.a = one.aaaa = SILENCE;
	start(1, 0);
	for (int i = 0; i < 20; i++)
		dns_cancel(i % 2 ? dns_host(dns, "x.example.org", on_done, NULL) : NULL);
	dns_host(dns, "y.example.org", on_done, NULL);
	loop_turn(loop, 10);
	dns_free(dns);
	dns = NULL;
	PUMP_IDLE(loop, 30);
	assert_int_equal(answers, 0);
}

static void too_many_questions_at_once_fail_softly(void **state)
{
	(void)state;
	one.a = one.aaaa = SILENCE;
	start(1, 200);
	for (int i = 0; i < 9000; i++)
		dns_host(dns, "x.example.org", on_done, NULL);
	assert_true(PUMP(loop, answers == 9000, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(literals_and_localhost_are_known),
		TEST(the_hosts_file_comes_first_and_is_always_the_present_one),
		TEST(senseless_names_are_not_asked_about),
		TEST(both_families_are_asked_for_and_v6_comes_first),
		TEST(the_ad_bit_counts_from_loopback),
		TEST(permanent_and_temporary_answers_are_told_apart),
		TEST(a_referral_is_not_taken_for_no_data),
		TEST(a_long_file_of_hosts_is_read_for_the_names_that_it_has),
		TEST(silence_is_told_as_silence_in_time),
		TEST(a_resolver_that_answers_others_is_not_silent),
		TEST(one_silent_family_does_not_hold_up_the_other_for_long),
		TEST(a_resolver_that_is_not_there_is_silence_at_once),
		TEST(garbage_is_temporary),
		TEST(an_answer_with_the_wrong_id_is_no_answer),
		TEST(a_truncated_answer_is_asked_for_again_over_tcp),
		TEST(aliases_are_followed_but_not_for_ever),
		TEST(more_addresses_than_are_kept_do_no_harm),
		TEST(the_next_resolver_is_asked_when_one_fails),
		TEST(the_next_resolver_is_asked_when_one_is_silent),
		TEST(answers_are_kept_for_their_time_and_failures_are_not),
		TEST(an_answer_is_forgotten_when_its_time_is_over),
		TEST(the_cache_is_bounded),
		TEST(without_a_resolver_it_says_so_at_once),
		TEST(a_changed_resolv_conf_is_used_from_the_next_question_on),
		TEST(a_changed_list_of_resolvers_is_used_from_the_next_question_on),
		TEST(a_bad_list_of_resolvers_is_refused),
		TEST(after_cancel_nothing_is_told),
		TEST(it_can_end_with_questions_open),
		TEST(too_many_questions_at_once_fail_softly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
