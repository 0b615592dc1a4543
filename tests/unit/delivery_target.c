/* Which hosts a lane's mail may be handed to, in which order, and when there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string.h>

#include "base/buf.h"
#include "delivery/own.h"
#include "delivery/target.h"
#include "delivery/target_order.h"
#include "tests/unit/support/nameserver.h"
#include "tests/unit/support/pump.h"

static const struct ns_row zone[] = {
	{ "plain.test", "MX", "20 mx2.plain.test" },
	{ "plain.test", "MX", "10 MX1.plain.test" },
	{ "mx1.plain.test", "A", "127.0.0.5" },
	{ "mx2.plain.test", "A", "127.0.0.6" },
	{ "secure.test", "MX", "10 mx.secure.test" },
	{ "mx.secure.test", "A", "127.0.0.5" },
	{ "alias.test", "CNAME", "plain.test" },
	{ "null.test", "MX", "0 ." },
	{ "nulls.test", "MX", "0 ." },
	{ "nulls.test", "MX", "10 ." },
	{ "mixed.test", "MX", "0 ." },
	{ "mixed.test", "MX", "10 mx1.plain.test" },
	{ "host.test", "A", "127.0.0.5" },
	{ "v6.test", "AAAA", "::1" },
	{ "host.secure.test", "A", "127.0.0.5" },
	{ "empty.test", "TXT", "nothing" },
	{ "broken.test", "MX", "SERVFAIL" },
	{ "half.test", "A", "SERVFAIL" },
	{ "half.test", "AAAA", "SERVFAIL" },
	{ "numbers.test", "MX", "10 192.0.2.1" },
	{ "us.test", "MX", "10 better.test" },
	{ "us.test", "MX", "20 agent.example.org" },
	{ "us.test", "MX", "20 mx1.plain.test" },
	{ "us.test", "MX", "30 mx2.plain.test" },
	{ "better.test", "A", "127.0.0.7" },
	{ "best.test", "MX", "10 own.test" },
	{ "best.test", "MX", "20 mx1.plain.test" },
	{ "own.test", "A", "127.0.0.99" },
	{ "byname.test", "MX", "10 Agent.Example.Org" },
	{ "self.test", "A", "127.0.0.99" },
	/* SRV */
	{ "_submissions._tcp.both.test", "SRV", "10 0 465 smtps.both.test" },
	{ "_submission._tcp.both.test", "SRV", "10 0 587 smtp.both.test" },
	{ "_submission._tcp.old.test", "SRV", "10 0 587 smtp.provider.test" },
	{ "_submission._tcp.old.test", "SRV", "20 0 2525 smtp.old.test" },
	{ "_submissions._tcp.none.test", "SRV", "0 0 0 ." },
	{ "_submission._tcp.none.test", "SRV", "0 0 0 ." },
	{ "_submissions._tcp.some.test", "SRV", "0 0 0 ." },
	{ "_submission._tcp.some.test", "SRV", "0 0 587 some.test" },
	{ "_submissions._tcp.signed.secure.test", "SRV", "0 0 465 mail.elsewhere.test" },
	{ "_submissions._tcp.bad.test", "SRV", "SERVFAIL" },
	{ "_submission._tcp.bad.test", "SRV", "0 0 587 bad.test" },
	{ NULL, NULL, NULL },
};

static struct loop *loop;
static struct dns *dns;
static struct ns ns;
static struct config config = { .hostname = "agent.example.org" };
static struct config_smarthost mx = { .name = "mx", .port = 25, .tls = CONFIG_TLS_OPPORTUNISTIC, .tls_verify = true };

static struct {
	unsigned count;
	enum target_end end;
	bool is_authentic, by_dns;
	char hosts[600], status[16], text[600], alias[256];
} got;

static int setup(void **state)
{
	const char *servers[] = { ns.address };
	struct dns_config how = { .servers = servers, .server_count = 1, .hosts_file = "/dev/null" };
	char why[200];

	(void)state;
	loop = loop_new();
	ns_start(&ns, loop, zone);
	dns = dns_new(loop, &how, why, sizeof why);
	assert_non_null(dns);
	memset(&got, 0, sizeof got);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(dns);
	ns_stop(&ns);
	loop_free(loop);
	return 0;
}

static void on_done(void *arg, const struct target_result *r)
{
	(void)arg;
	got.count++;
	got.end = r->end;
	got.is_authentic = r->is_authentic;
	got.by_dns = r->by_dns;
	got.hosts[0] = '\0';
	snprintf(got.status, sizeof got.status, "%s", r->status);
	snprintf(got.text, sizeof got.text, "%s", r->text);
	snprintf(got.alias, sizeof got.alias, "%s", r->domain_alias ? r->domain_alias : "");
	for (size_t i = 0; i < r->count; i++) {
		const struct target_host *h = &r->hosts[i];
		size_t used = strlen(got.hosts);

		snprintf(got.hosts + used, sizeof got.hosts - used, "%s%u %s:%u%s%s%s", i ? ", " : "", h->preference,
			 h->name, h->port, h->tls == CONFIG_TLS_IMPLICIT ? " implicit" : "", h->reference ? " as " : "",
			 h->reference ? h->reference : "");
	}
}

static bool is_own(void *arg, const struct dns_address *address, uint16_t port)
{
	char text[ADDR_TEXT_SIZE];

	(void)arg;
	return port == 25 && strcmp(addr_host(&address->addr, text), "127.0.0.99") == 0;
}

static void resolve(const struct config_smarthost *host, const char *domain, bool we_listen, uint64_t seed)
{
	struct target_setup how = {
		.loop = loop,
		.dns = dns,
		.config = &config,
		.host = host,
		.domain = domain,
		.is_own = we_listen ? is_own : NULL,
		.seed = seed,
	};

	got.count = 0;
	target_resolve(&how, on_done, NULL);
	assert_int_equal(got.count, 0);
	assert_true(PUMP(loop, got.count, 5000));
	PUMP_IDLE(loop, 5);
	assert_int_equal(got.count, 1);
}

struct row {
	const char *name, *domain;
	bool we_listen;
	enum target_end end;
	const char *status, *hosts, *text;
	bool is_authentic;
};

static void check(const struct row *row, const struct config_smarthost *host)
{
	resolve(host, host->host ? NULL : row->domain, row->we_listen, 7);
	if (got.end != row->end || strcmp(got.status, row->status) != 0 || strcmp(got.hosts, row->hosts) != 0 ||
	    !strstr(got.text, row->text) || got.is_authentic != row->is_authentic)
		fail_msg("%s: end %d, status \"%s\", hosts \"%s\", text \"%s\", authentic %d", row->name, got.end,
			 got.status, got.hosts, got.text, got.is_authentic);
}

static void the_mx_of_a_domain(void **state)
{
	static const struct row rows[] = {
		{ "by preference", "plain.test", false, TARGET_OK, "", "10 mx1.plain.test:25, 20 mx2.plain.test:25",
		  "MX of plain.test: 10 mx1.plain.test, 20 mx2.plain.test", false },
		{ "signed", "secure.test", false, TARGET_OK, "", "10 mx.secure.test:25", "", true },
		{ "null MX", "null.test", false, TARGET_NEVER, "5.1.10", "", "takes no mail", false },
		{ "many null MX", "nulls.test", false, TARGET_NEVER, "5.1.10", "", "takes no mail", false },
		{ "null MX beside a real one", "mixed.test", false, TARGET_OK, "", "10 mx1.plain.test:25", "", false },
		{ "implicit", "host.test", false, TARGET_OK, "", "0 host.test:25", "its own mail server", false },
		{ "implicit over IPv6", "v6.test", false, TARGET_OK, "", "0 v6.test:25", "", false },
		{ "implicit and signed", "host.secure.test", false, TARGET_OK, "", "0 host.secure.test:25", "", true },
		{ "no such domain", "nosuch.test", false, TARGET_NEVER, "5.1.2", "", "there is no domain nosuch.test",
		  false },
		{ "neither MX nor address", "empty.test", false, TARGET_NEVER, "5.1.2", "",
		  "neither mail servers nor addresses", false },
		{ "MX not to be had", "broken.test", false, TARGET_NO_HOST, "", "", "broken.test", false },
		{ "addresses not to be had", "half.test", false, TARGET_NO_HOST, "", "", "half.test", false },
		{ "addresses in MX records", "numbers.test", false, TARGET_NO_HOST, "", "", "numbers.test", false },
		{ "not a name", "a..b", false, TARGET_NEVER, "5.1.2", "", "a..b", false },
		{ "an address without brackets", "192.0.2.1", false, TARGET_NEVER, "5.1.2", "", "brackets", true },
		{ "an address", "[192.0.2.1]", false, TARGET_OK, "", "0 192.0.2.1:25", "192.0.2.1", true },
		{ "an IPv6 address", "[IPv6:2001:db8::1]", false, TARGET_OK, "", "0 2001:db8::1:25", "", true },
		{ "an IPv6 address, lower case", "[ipv6:2001:db8::1]", false, TARGET_OK, "", "0 2001:db8::1:25", "",
		  true },
		{ "an IPv6 address without its tag", "[2001:db8::1]", false, TARGET_NEVER, "5.1.2", "", "", true },
		{ "an IPv4 address as IPv6", "[IPv6:192.0.2.1]", false, TARGET_NEVER, "5.1.2", "", "", true },
		{ "another kind of literal", "[x400:foo]", false, TARGET_NEVER, "5.1.2", "", "", true },
		{ "half a literal", "[192.0.2.1", false, TARGET_NEVER, "5.1.2", "", "", true },
		{ "nothing in brackets", "[]", false, TARGET_NEVER, "5.1.2", "", "", true },
		/* We are among them. */
		{ "better ones than us", "us.test", true, TARGET_OK, "", "10 better.test:25", "", false },
		{ "our name, but we do not listen", "byname.test", false, TARGET_OK, "", "10 agent.example.org:25", "",
		  false },
		{ "our name", "byname.test", true, TARGET_NEVER, "5.4.6", "", "loops back to this agent", false },
		{ "our address", "best.test", true, TARGET_NEVER, "5.4.6", "", "own.test", false },
		{ "our address as implicit MX", "self.test", true, TARGET_NEVER, "5.4.6", "", "self.test", false },
		{ "our address as a literal", "[127.0.0.99]", true, TARGET_NEVER, "5.4.6", "", "loops back", true },
		{ "others' address as a literal", "[127.0.0.98]", true, TARGET_OK, "", "0 127.0.0.98:25", "", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check(&rows[i], &mx);
}

static void a_domain_is_followed_to_where_its_alias_leads(void **state)
{
	(void)state;
	resolve(&mx, "alias.test", false, 1);
	assert_string_equal(got.hosts, "10 mx1.plain.test:25, 20 mx2.plain.test:25");
	assert_string_equal(got.alias, "plain.test");
	resolve(&mx, "plain.test", false, 1);
	assert_string_equal(got.alias, "");
}

static void no_address_is_looked_up_where_we_do_not_listen(void **state)
{
	(void)state;
	resolve(&mx, "plain.test", false, 1);
	assert_string_equal(ns.all, "MX plain.test\n");
}

static void a_name_whose_servers_are_silent_is_no_silence(void **state)
{
	static const struct ns_row silent[] = { { "plain.test", "MX", "SILENCE" }, { NULL, NULL, NULL } };
	const char *servers[] = { ns.address };
	struct dns_config how = { .servers = servers, .server_count = 1, .hosts_file = "/dev/null", .timeout_ms = 300 };

	(void)state;
	ns.rows = silent;
	dns_configure(dns, &how);
	resolve(&mx, "plain.test", false, 1);
	assert_int_equal(got.end, TARGET_NO_HOST);
}

static void no_resolver_is_silence(void **state)
{
	/* Bound, and nobody reads it. */
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char address[32];
	const char *servers[] = { address };
	struct dns_config how = { .servers = servers, .server_count = 1, .hosts_file = "/dev/null", .timeout_ms = 300 };

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(addr.sin_port));
	dns_configure(dns, &how);
	resolve(&mx, "plain.test", false, 1);
	assert_int_equal(got.end, TARGET_SILENT);
	assert_false(got.by_dns);
	close(fd);
}

static void what_the_configuration_names_needs_no_dns(void **state)
{
	struct config_smarthost host = {
		.name = "work", .host = "smtp.example.com", .port = 587, .tls = CONFIG_TLS_STARTTLS
	};

	(void)state;
	resolve(&host, NULL, true, 1);
	assert_string_equal(got.hosts, "0 smtp.example.com:587");
	assert_true(got.is_authentic);
	host.host = "/run/lmtp";
	resolve(&host, NULL, true, 1);
	assert_string_equal(got.hosts, "0 /run/lmtp:587");
	assert_int_equal(ns.asked, 0);
}

static void the_services_of_a_domain(void **state)
{
	static const struct {
		const char *host;
		enum config_tls tls;
		struct row row;
	} rows[] = {
		{ "srv:both.test",
		  CONFIG_TLS_STARTTLS,
		  { "TLS from the start comes first", NULL, true, TARGET_OK, "", "10 smtps.both.test:465 implicit", "",
		    false } },
		{ "srv:both.test",
		  CONFIG_TLS_DANE,
		  { "DANE goes by STARTTLS", NULL, true, TARGET_OK, "", "10 smtp.both.test:587", "", false } },
		{ "srv:old.test",
		  CONFIG_TLS_IMPLICIT,
		  { "a host elsewhere must be certified for the domain", NULL, true, TARGET_OK, "",
		    "10 smtp.provider.test:587 as old.test, 20 smtp.old.test:2525", "SRV of _submission of old.test",
		    false } },
		{ "srv:signed.secure.test",
		  CONFIG_TLS_STARTTLS,
		  { "signed records choose whom they like", NULL, true, TARGET_OK, "",
		    "0 mail.elsewhere.test:465 implicit", "", true } },
		{ "srv:none.test",
		  CONFIG_TLS_STARTTLS,
		  { "not offered", NULL, true, TARGET_NO_HOST, "", "", "takes no submissions", false } },
		{ "srv:some.test",
		  CONFIG_TLS_STARTTLS,
		  { "one of them offered", NULL, true, TARGET_OK, "", "0 some.test:587", "", false } },
		{ "srv:plain.test",
		  CONFIG_TLS_STARTTLS,
		  { "no records", NULL, true, TARGET_NO_HOST, "", "", "has no SRV records", false } },
		{ "srv:bad.test",
		  CONFIG_TLS_STARTTLS,
		  { "not to be had: no weaker service instead", NULL, true, TARGET_NO_HOST, "", "", "_submissions",
		    false } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct config_smarthost host = { .name = "work", .host = rows[i].host, .tls = rows[i].tls };

		check(&rows[i].row, &host);
	}
}

static void after_cancel_nothing_is_told(void **state)
{
	struct target_setup how = { .loop = loop, .dns = dns, .config = &config, .host = &mx, .is_own = is_own };
	static const char *const domains[] = { "plain.test", "host.test", "[192.0.2.1]", "us.test" };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		for (int turns = 0; turns < 6; turns++) {
			struct target *t;

			how.domain = domains[i];
			t = target_resolve(&how, on_done, NULL);
			got.count = 0;
			for (int n = 0; n < turns && !got.count; n++)
				loop_turn(loop, 0);
			if (!got.count)
				target_cancel(t);
			PUMP_IDLE(loop, 5);
			assert_true(got.count <= 1);
		}
	target_cancel(NULL);
}

/* ---------------------------------------------------------------- orders */

static void equals_are_shuffled_and_the_rest_is_sorted(void **state)
{
	unsigned first[3] = { 0 };

	(void)state;
	for (uint64_t seed = 0; seed < 3000; seed++) {
		struct dns_record list[] = { { .preference = 20, .name = "d" },
					     { .preference = 10, .name = "a" },
					     { .preference = 10, .name = "b" },
					     { .preference = 30, .name = "e" },
					     { .preference = 10, .name = "c" } };
		struct chance chance = { seed };

		target_order_mx(list, 5, &chance);
		assert_string_equal(list[3].name, "d");
		assert_string_equal(list[4].name, "e");
		first[list[0].name[0] - 'a']++;
	}
	for (size_t i = 0; i < 3; i++)
		assert_in_range(first[i], 850, 1150);
}

static void weights_are_shares(void **state)
{
	unsigned heavy = 0, zero = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 4000; seed++) {
		struct dns_record list[] = { { .preference = 1, .weight = 0, .name = "zero" },
					     { .preference = 1, .weight = 10, .name = "light" },
					     { .preference = 1, .weight = 30, .name = "heavy" },
					     { .preference = 0, .weight = 0, .name = "first" } };
		struct chance chance = { seed };

		target_order_srv(list, 4, &chance);
		assert_string_equal(list[0].name, "first");
		heavy += strcmp(list[1].name, "heavy") == 0;
		zero += strcmp(list[1].name, "zero") == 0;
	}
	assert_in_range(heavy, 2750, 3150); /* three quarters */
	assert_in_range(zero, 20, 250);     /* one in forty-one */
}

/* ---------------------------------------------------------------- where we are */

static struct dns_address address(const char *text)
{
	struct dns_address a;

	assert_true(addr_literal(text, &a.addr, &a.len));
	return a;
}

static void our_own_listeners_are_known(void **state)
{
	static const struct {
		const char *asked;
		uint16_t port;
		bool is_ours;
	} rows[] = {
		{ "127.0.0.1", 25, true },   { "127.0.0.2", 25, false }, { "127.0.0.1", 26, false },
		{ "0.0.0.0", 25, true },     { "127.0.0.2", 587, true }, { "192.0.2.1", 587, false },
		{ "0.0.0.0", 587, true },    { "::1", 587, false },      { "::1", 465, true },
		{ "127.0.0.1", 465, false }, { "::", 465, true },        { "::ffff:127.0.0.1", 25, true },
	};
	const char *one[] = { "127.0.0.1:25" }, *two[] = { "0.0.0.0:587", "[::]:465", "127.0.0.1:0" };
	struct config_listener listeners[] = { { .socket = "/run/submit" },
					       { .addresses = { one, 1 } },
					       { .addresses = { two, 3 } } };
	struct config here = { .listeners = listeners, .listener_count = 3 };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct dns_address a = address(rows[i].asked);

		if (own_is(&here, &a, rows[i].port) != rows[i].is_ours)
			fail_msg("%s:%u", rows[i].asked, rows[i].port);
	}
	assert_true(own_has_port(&here, 465));
	assert_false(own_has_port(&here, 2525));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_mx_of_a_domain),
		TEST(a_domain_is_followed_to_where_its_alias_leads),
		TEST(no_address_is_looked_up_where_we_do_not_listen),
		TEST(no_resolver_is_silence),
		TEST(a_name_whose_servers_are_silent_is_no_silence),
		TEST(what_the_configuration_names_needs_no_dns),
		TEST(the_services_of_a_domain),
		TEST(after_cancel_nothing_is_told),
		cmocka_unit_test(equals_are_shuffled_and_the_rest_is_sorted),
		cmocka_unit_test(weights_are_shares),
		cmocka_unit_test(our_own_listeners_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
