/* The way to a next hop: which hosts and addresses are tried in which order, under which policy, and what is said when all
 * is in vain. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "delivery/approach.h"
#include "tests/unit/support/nameserver.h"
#include "tests/unit/support/pump.h"

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct ns_row zone[] = {
	{ "two.test", "MX", "10 five.test" },
	{ "two.test", "MX", "20 six.test" },
	{ "equals.test", "MX", "10 five.test" },
	{ "equals.test", "MX", "10 six.test" },
	{ "five.test", "A", "127.0.0.5" },
	{ "six.test", "A", "127.0.0.6" },
	{ "many.test", "MX", "10 manyhost.test" },
	{ "manyhost.test", "A", "127.0.0.5" },
	{ "manyhost.test", "A", "127.0.0.6" },
	{ "manyhost.test", "A", "127.0.0.7" },
	{ "dual.test", "MX", "10 dualhost.test" },
	{ "dualhost.test", "A", "127.0.0.5" },
	{ "dualhost.test", "AAAA", "::1" },
	{ "gone.test", "MX", "10 nohost.test" },
	{ "gone.test", "MX", "20 empty.test" },
	{ "empty.test", "TXT", "nothing" },
	{ "crowd.test", "MX", "10 no-a.test" },
	{ "crowd.test", "MX", "10 no-b.test" },
	{ "crowd.test", "MX", "10 no-c.test" },
	{ "crowd.test", "MX", "10 no-d.test" },
	{ "crowd.test", "MX", "10 no-e.test" },
	{ "crowd.test", "MX", "10 no-f.test" },
	{ "crowd.test", "MX", "10 no-g.test" },
	{ "crowd.test", "MX", "10 no-h.test" },
	{ "crowd.test", "MX", "10 no-i.test" },
	{ "crowd.test", "MX", "10 no-j.test" },
	{ "crowd.test", "MX", "10 no-k.test" },
	{ "crowd.test", "MX", "10 no-l.test" },
	{ "crowd.test", "MX", "10 no-m.test" },
	{ "crowd.test", "MX", "10 no-n.test" },
	{ "crowd.test", "MX", "10 no-o.test" },
	{ "crowd.test", "MX", "10 no-p.test" },
	{ "crowd.test", "MX", "20 five.test" },
	{ "partly.test", "MX", "10 nohost.test" },
	{ "partly.test", "MX", "20 fails.test" },
	{ "fails.test", "A", "SERVFAIL" },
	{ "fails.test", "AAAA", "SERVFAIL" },
	{ "null.test", "MX", "0 ." },
	{ "ours.test", "MX", "10 ourhost.test" },
	{ "ourhost.test", "A", "127.0.0.9" },
	/* DANE */
	{ "dane.secure.test", "MX", "10 mx.secure.test" },
	{ "mx.secure.test", "A", "127.0.0.5" },
	{ "_25._tcp.mx.secure.test", "TLSA", "3 1 1 " HASH },
	{ "alias.secure.test", "MX", "10 cname.secure.test" },
	{ "cname.secure.test", "CNAME", "real.secure.test" },
	{ "real.secure.test", "A", "127.0.0.5" },
	{ "_25._tcp.cname.secure.test", "TLSA", "3 1 1 " HASH },
	{ "both.secure.test", "MX", "10 bothname.secure.test" },
	{ "bothname.secure.test", "CNAME", "bothreal.secure.test" },
	{ "bothreal.secure.test", "A", "127.0.0.5" },
	{ "_25._tcp.bothreal.secure.test", "TLSA", "3 1 1 " HASH },
	{ "_25._tcp.bothname.secure.test", "TLSA", "3 1 1 " HASH },
	{ "lost.secure.test", "MX", "10 losthost.secure.test" },
	{ "losthost.secure.test", "CNAME", "SERVFAIL" },
	{ "leaves.secure.test", "MX", "10 out.secure.test" },
	{ "out.secure.test", "CNAME", "five.test" },
	{ "_25._tcp.out.secure.test", "TLSA", "3 1 1 " HASH },
	{ "sick.secure.test", "MX", "10 sickhost.secure.test" },
	{ "sick.secure.test", "MX", "20 mx.secure.test" },
	{ "sickhost.secure.test", "A", "127.0.0.6" },
	{ "_25._tcp.sickhost.secure.test", "TLSA", "SERVFAIL" },
	{ "unsigned.secure.test", "MX", "10 five.test" },
	{ "_25._tcp.five.test", "TLSA", "3 1 1 " HASH },
	{ NULL, NULL, NULL },
};

static struct loop *loop;
static struct dns *dns;
static struct ns ns;
static uint16_t port;
static int listeners[8]; /* of 127.0.0.x and, at 1, ::1; -1: none */
static struct config config;
static struct config_listener own;
static const char *own_list[1];
static struct config_smarthost mx;
static struct approach *approach;
static struct approach_setup how;
static struct {
	unsigned count;
	enum approach_end end;
	int fd;
	char status[16], text[600];
	char steps[4000];
} got;

static struct dns_address address(const char *text)
{
	struct dns_address a;

	assert_true(addr_literal(text, &a.addr, &a.len));
	return a;
}

static int listen_at(const char *text)
{
	struct dns_address a = address(text);
	int fd = socket(a.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	addr_set_port(&a.addr, port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a.addr, a.len) != 0 || listen(fd, 20) != 0) {
		close(fd);
		return -1;
	}
	if (!port) {
		assert_int_equal(getsockname(fd, (struct sockaddr *)&a.addr, &a.len), 0);
		port = addr_port(&a.addr);
	}
	return fd;
}

/* "567": who listens, of 127.0.0.5 and so on; "1": ::1. All on one port, which nobody else gets: 127.0.0.8 holds it. */
static void servers(const char *who)
{
	char text[32];

	for (; *who; who++) {
		snprintf(text, sizeof text, *who == '1' ? "::1" : "127.0.0.%c", *who);
		listeners[*who - '1'] = listen_at(text);
		if (listeners[*who - '1'] < 0)
			skip();
	}
}

static int setup(void **state)
{
	const char *list[] = { ns.address };
	struct dns_config dns_how = {
		.servers = list, .server_count = 1, .hosts_file = "/dev/null", .timeout_ms = 500
	};
	char why[200];

	(void)state;
	loop = loop_new();
	ns_start(&ns, loop, zone);
	dns = dns_new(loop, &dns_how, why, sizeof why);
	assert_non_null(dns);
	for (size_t i = 0; i < 8; i++)
		listeners[i] = -1;
	port = 0;
	listeners[7] = listen_at("127.0.0.8");
	memset(&got, 0, sizeof got);
	got.fd = -1;
	config = (struct config){ .hostname = "agent.example.org" };
	mx = (struct config_smarthost){ .name = "mx",
					.port = port,
					.tls = CONFIG_TLS_OPPORTUNISTIC,
					.tls_verify = true,
					.timeouts = { .connect_ms = 1000 } };
	how = (struct approach_setup){
		.account = { .loop = loop }, .dns = dns, .config = &config, .host = &mx, .seed = 1
	};
	approach = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	approach_free(approach);
	if (got.fd >= 0)
		close(got.fd);
	for (size_t i = 0; i < 8; i++)
		if (listeners[i] >= 0)
			close(listeners[i]);
	dns_free(dns);
	ns_stop(&ns);
	loop_free(loop);
	return 0;
}

static void on_done(void *arg, const struct approach_result *r)
{
	(void)arg;
	got.count++;
	got.end = r->end;
	if (got.fd >= 0)
		close(got.fd);
	got.fd = r->fd;
	snprintf(got.status, sizeof got.status, "%s", r->status);
	snprintf(got.text, sizeof got.text, "%s", r->text);
}

static void on_step(void *arg, const struct approach_step *step)
{
	static const char *const names[] = {
		"secret", "target", "sts", "address", "alias", "tlsa", "policy", "connect"
	};
	size_t used = strlen(got.steps);
	char where[ADDR_TEXT_SIZE] = "", *colon;

	(void)arg;
	assert_int_equal(got.count, 0);
	snprintf(where, sizeof where, "%s", step->where);
	colon = strrchr(where, ':');
	if (colon)
		*colon = '\0'; /* the port is another one each time */
	snprintf(got.steps + used, sizeof got.steps - used, "%s%s%s%s%s%s\n", names[step->kind],
		 step->host[0] ? " " : "", step->host, where[0] ? " " : "", where, step->ok ? "" : " no");
}

static void done(void)
{
	assert_true(PUMP(loop, got.count, 8000));
	PUMP_IDLE(loop, 5);
	assert_int_equal(got.count, 1);
	got.count = 0;
}

static void go(const char *domain)
{
	how.domain = domain;
	how.step = on_step;
	approach = approach_new(&how, on_done, NULL);
	assert_int_equal(got.count, 0);
	done();
}

static void next(bool without_tls)
{
	how.step = NULL;
	approach_next(approach, without_tls);
	assert_int_equal(got.count, 0);
	done();
}

static const char *where(void)
{
	static char text[ADDR_TEXT_SIZE];

	assert_int_equal(got.end, APPROACH_OK);
	return addr_host(&approach_address(approach)->addr, text);
}

/* ---------------------------------------------------------------- hosts and addresses */

static void the_first_host_that_answers_is_taken(void **state)
{
	(void)state;
	servers("56");
	go("two.test");
	assert_string_equal(where(), "127.0.0.5");
	assert_string_equal(approach_host(approach)->name, "five.test");
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_OPPORTUNISTIC);
	assert_string_equal(got.steps, "target\naddress five.test\npolicy five.test\nconnect five.test 127.0.0.5\n");
	assert_string_equal(approach_story(approach), "");
}

static void a_host_that_is_down_gives_way_to_the_next(void **state)
{
	(void)state;
	servers("6");
	go("two.test");
	assert_string_equal(where(), "127.0.0.6");
	assert_non_null(strstr(got.steps, "connect five.test 127.0.0.5 no\naddress six.test\n"));
	assert_non_null(strstr(approach_story(approach), "five.test: 127.0.0.5:"));
	assert_false(approach_has_next(approach));
}

static void a_host_that_disappoints_gives_way_to_the_next(void **state)
{
	(void)state;
	servers("56");
	go("two.test");
	assert_true(approach_has_next(approach));
	approach_note(approach, "five.test [127.0.0.5]: EHLO: 554 go away");
	next(false);
	assert_string_equal(where(), "127.0.0.6");
	assert_string_equal(approach_story(approach), "five.test [127.0.0.5]: EHLO: 554 go away");
}

static void all_addresses_of_a_host_are_tried_once(void **state)
{
	char seen[64] = "";

	(void)state;
	servers("567");
	go("many.test");
	strcat(seen, where() + 8);
	while (approach_has_next(approach)) {
		next(false);
		strcat(seen, where() + 8);
	}
	assert_int_equal(strlen(seen), 3);
	assert_true(strchr(seen, '5') && strchr(seen, '6') && strchr(seen, '7'));
}

static void when_all_is_in_vain_each_host_is_named(void **state)
{
	(void)state;
	go("two.test");
	assert_int_equal(got.end, APPROACH_REFUSED);
	assert_non_null(strstr(got.text, "five.test: 127.0.0.5:"));
	assert_non_null(strstr(got.text, "; six.test: 127.0.0.6:"));
	assert_non_null(strstr(got.text, "Connection refused"));
}

static void the_last_words_are_of_all_hosts_too(void **state)
{
	(void)state;
	servers("5");
	go("two.test");
	approach_note(approach, "five.test [127.0.0.5]: TLS: expired");
	next(false);
	assert_int_equal(got.end, APPROACH_REFUSED);
	assert_ptr_equal(strstr(got.text, "five.test [127.0.0.5]: TLS: expired; six.test: 127.0.0.6:"), got.text);
}

static void a_long_story_is_cut(void **state)
{
	char text[200];

	(void)state;
	servers("5");
	go("two.test");
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	for (int i = 0; i < 50; i++)
		approach_note(approach, text);
	assert_true(strlen(approach_story(approach)) <= APPROACH_STORY_MAX);
	assert_non_null(strstr(approach_story(approach), "; …"));
}

static void hosts_that_do_not_exist_are_a_permanent_failure(void **state)
{
	(void)state;
	go("gone.test");
	assert_int_equal(got.end, APPROACH_NEVER);
	assert_string_equal(got.status, "5.4.4");
	assert_non_null(strstr(got.text, "nohost.test: "));
	assert_non_null(strstr(got.text, "empty.test: "));
}

static void one_that_could_not_be_looked_up_is_reason_to_wait(void **state)
{
	(void)state;
	go("partly.test");
	assert_int_equal(got.end, APPROACH_NO_HOST);
}

static void more_hosts_than_are_tried_are_reason_to_wait(void **state)
{
	(void)state;
	go("crowd.test");
	assert_int_equal(got.end, APPROACH_NO_HOST);
}

static void a_dead_end_is_passed_on(void **state)
{
	(void)state;
	go("null.test");
	assert_int_equal(got.end, APPROACH_NEVER);
	assert_string_equal(got.status, "5.1.10");
	assert_string_equal(got.steps, "target no\n");
}

static void nothing_is_sent_to_our_own_listeners(void **state)
{
	static char self[32];

	(void)state;
	snprintf(self, sizeof self, "127.0.0.9:%u", port);
	own_list[0] = self;
	own = (struct config_listener){ .addresses = { own_list, 1 } };
	config.listeners = &own;
	config.listener_count = 1;
	go("ours.test");
	assert_int_equal(got.end, APPROACH_NEVER);
	assert_string_equal(got.status, "5.4.6");
	approach_free(approach);
	mx.host = "ourhost.test";
	how.step = NULL;
	go(NULL);
	assert_int_equal(got.end, APPROACH_NO_HOST);
	assert_string_equal(got.text, "127.0.0.9 is this agent itself");
}

static void a_smart_host_that_failed_is_tried_at_another_address(void **state)
{
	char first[ADDR_TEXT_SIZE];

	(void)state;
	servers("567");
	mx.host = "manyhost.test";
	go(NULL);
	snprintf(first, sizeof first, "%s", where());
	for (unsigned turn = 1; turn < 3; turn++) {
		approach_free(approach);
		how.turn = turn;
		got.steps[0] = '\0';
		go(NULL);
		assert_string_not_equal(where(), first);
	}
}

static void what_worked_comes_before_its_equals(void **state)
{
	(void)state;
	servers("56");
	for (uint64_t seed = 0; seed < 8; seed++) {
		how.seed = seed;
		how.prefer = "six.test";
		how.prefer_address = address("127.0.0.6");
		got.steps[0] = '\0';
		go("equals.test");
		assert_string_equal(where(), "127.0.0.6");
		approach_free(approach);
	}
	how.prefer = "six.test"; /* but never before a better one */
	go("two.test");
	assert_string_equal(where(), "127.0.0.5");
	approach_free(approach);
	how.prefer = "manyhost.test";
	how.prefer_address = address("127.0.0.6");
	go("many.test");
	assert_string_equal(where(), "127.0.0.6");
}

static void a_family_that_is_avoided_comes_last(void **state)
{
	bool maybe;

	(void)state;
	servers("15");
	go("dual.test");
	assert_string_equal(where(), "::1");
	assert_true(approach_has_family(approach, AF_INET, &maybe));
	approach_free(approach);
	how.avoid_family = AF_INET6;
	got.steps[0] = '\0';
	go("dual.test");
	assert_string_equal(where(), "127.0.0.5");
	assert_true(approach_has_next(approach));
	next(false);
	assert_string_equal(where(), "::1");
	assert_false(approach_has_next(approach));
	approach_free(approach);
	how.avoid_family = AF_INET; /* nothing else at this domain */
	got.steps[0] = '\0';
	go("two.test");
	assert_string_equal(where(), "127.0.0.5");
}

static void a_family_may_fall_from_favour_on_the_way(void **state)
{
	(void)state;
	servers("15");
	go("dual.test");
	assert_string_equal(where(), "::1");
	approach_avoid(approach, AF_INET);
	assert_true(approach_has_next(approach));
	next(false);
	assert_string_equal(where(), "127.0.0.5");
	assert_false(approach_has_next(approach));
}

/* ---------------------------------------------------------------- policies */

static void tlsa_records_make_a_policy(void **state)
{
	(void)state;
	servers("5");
	mx.port = 25; /* as the records say; nobody listens there, or we are not asked */
	how.only_look = true;
	go("dane.secure.test");
	assert_int_equal(got.end, APPROACH_LOOKED);
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_DANE);
	assert_string_equal(got.steps, "target\naddress mx.secure.test\ntlsa mx.secure.test\npolicy mx.secure.test\n");
}

static void the_alias_expanded_name_is_asked_first(void **state)
{
	(void)state;
	mx.port = 25;
	how.only_look = true;
	go("alias.secure.test");
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_DANE);
	assert_string_equal(approach_policy(approach)->demand.name, "cname.secure.test");
	assert_non_null(strstr(ns.all, "TLSA _25._tcp.real.secure.test\nTLSA _25._tcp.cname.secure.test\n"));
}

static void records_where_the_alias_leads_come_before_its_own(void **state)
{
	(void)state;
	mx.port = 25;
	how.only_look = true;
	go("both.secure.test");
	assert_string_equal(approach_policy(approach)->demand.name, "bothreal.secure.test");
	assert_null(strstr(ns.all, "TLSA _25._tcp.bothname.secure.test"));
}

static void a_name_that_may_be_signed_is_not_taken_for_unsigned(void **state)
{
	(void)state;
	mx.proxy = (struct config_proxy){ .host = "127.0.0.5", .port = port };
	mx.port = 25;
	how.only_look = true;
	go("lost.secure.test");
	assert_int_equal(approach_policy(approach)->end, TLSPOLICY_SKIP);
	assert_non_null(strstr(got.steps, "alias losthost.secure.test no\npolicy losthost.secure.test no\n"));
}

static void an_alias_that_leaves_the_signed_zone_leaves_its_beginning(void **state)
{
	(void)state;
	mx.port = 25;
	how.only_look = true;
	go("leaves.secure.test");
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_DANE);
	assert_string_equal(approach_policy(approach)->demand.name, "out.secure.test");
	assert_non_null(strstr(ns.all, "CNAME out.secure.test\nTLSA _25._tcp.out.secure.test\n"));
	assert_null(strstr(ns.all, "TLSA _25._tcp.five.test"));
}

static void a_host_whose_records_cannot_be_had_is_passed_over(void **state)
{
	(void)state;
	mx.port = 25;
	how.only_look = true;
	go("sick.secure.test");
	assert_int_equal(got.end, APPROACH_LOOKED);
	assert_non_null(strstr(got.steps, "policy sickhost.secure.test no\n"));
	assert_non_null(strstr(got.steps, "policy mx.secure.test\n"));
	assert_non_null(strstr(got.text, "sickhost.secure.test: DANE: "));
}

static void unsigned_zones_are_not_asked_for_tlsa(void **state)
{
	(void)state;
	mx.port = 25;
	how.only_look = true;
	go("unsigned.secure.test");
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_OPPORTUNISTIC);
	assert_null(strstr(ns.all, "TLSA"));
}

static void without_tls_the_same_address_is_called_again(void **state)
{
	(void)state;
	servers("56");
	go("two.test");
	assert_int_equal(approach_policy(approach)->tls, CLIENT_TLS_OPPORTUNISTIC);
	next(true);
	assert_string_equal(where(), "127.0.0.5");
	assert_int_equal(approach_policy(approach)->tls, CLIENT_TLS_NONE);
	next(false);
	assert_string_equal(where(), "127.0.0.6");
	assert_int_equal(approach_policy(approach)->tls, CLIENT_TLS_OPPORTUNISTIC);
}

static void a_proxy_is_asked_for_names_and_dns_only_for_whether_they_are_signed(void **state)
{
	(void)state;
	servers("5");
	mx.proxy = (struct config_proxy){ .host = "127.0.0.5", .port = port };
	mx.port = 25;
	how.only_look = true;
	go("dane.secure.test");
	assert_int_equal(approach_policy(approach)->level, TLSPOLICY_DANE);
	assert_string_equal(ns.all, "MX dane.secure.test\nCNAME mx.secure.test\nTLSA _25._tcp.mx.secure.test\n");
	approach_free(approach);
	ns.all[0] = '\0';
	got.steps[0] = '\0';
	mx.host = "abc.onion";
	mx.tls = CONFIG_TLS_OPPORTUNISTIC;
	go(NULL);
	assert_string_equal(ns.all, "");
}

static void the_end_may_come_at_any_time(void **state)
{
	static const char *const domains[] = { "two.test", "sick.secure.test", "alias.secure.test", "gone.test" };

	(void)state;
	servers("6");
	for (size_t i = 0; i < 4; i++)
		for (int turns = 0; turns < 12; turns++) {
			how.domain = domains[i];
			got.count = 0;
			approach = approach_new(&how, on_done, NULL);
			for (int n = 0; n < turns && !got.count; n++)
				loop_turn(loop, 0);
			approach_free(approach);
			approach = NULL;
			PUMP_IDLE(loop, 2);
			assert_true(got.count <= 1);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_first_host_that_answers_is_taken),
		TEST(a_host_that_is_down_gives_way_to_the_next),
		TEST(a_host_that_disappoints_gives_way_to_the_next),
		TEST(all_addresses_of_a_host_are_tried_once),
		TEST(when_all_is_in_vain_each_host_is_named),
		TEST(the_last_words_are_of_all_hosts_too),
		TEST(a_long_story_is_cut),
		TEST(hosts_that_do_not_exist_are_a_permanent_failure),
		TEST(one_that_could_not_be_looked_up_is_reason_to_wait),
		TEST(more_hosts_than_are_tried_are_reason_to_wait),
		TEST(a_dead_end_is_passed_on),
		TEST(nothing_is_sent_to_our_own_listeners),
		TEST(a_smart_host_that_failed_is_tried_at_another_address),
		TEST(what_worked_comes_before_its_equals),
		TEST(a_family_that_is_avoided_comes_last),
		TEST(a_family_may_fall_from_favour_on_the_way),
		TEST(tlsa_records_make_a_policy),
		TEST(the_alias_expanded_name_is_asked_first),
		TEST(records_where_the_alias_leads_come_before_its_own),
		TEST(a_name_that_may_be_signed_is_not_taken_for_unsigned),
		TEST(an_alias_that_leaves_the_signed_zone_leaves_its_beginning),
		TEST(a_host_whose_records_cannot_be_had_is_passed_over),
		TEST(unsigned_zones_are_not_asked_for_tlsa),
		TEST(without_tls_the_same_address_is_called_again),
		TEST(a_proxy_is_asked_for_names_and_dns_only_for_whether_they_are_signed),
		TEST(the_end_may_come_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
