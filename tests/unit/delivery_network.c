/* Whether the machine can reach anything, and whether what answers is what it should be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "delivery/network.h"
#include "delivery/portal.h"
#include "net/addr.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static const struct config_backoff backoff = { .first_ms = 5 * SECOND, .factor = 2, .max_ms = 15 * MINUTE };
static struct chance chance = { .state = 7 };
static const char one, other; /* two lanes */

static struct moment at(int64_t ms)
{
	return (struct moment){ .boot_ms = 1000000 + ms, .wall_ms = 1764000000000 + ms };
}

static struct network fresh(void)
{
	struct network n;

	network_init(&n, at(0));
	return n;
}

static bool deceives(struct network *n, const void *who, int64_t ms)
{
	return network_deceives(n, who, "the certificate is for login.hotel.example", &backoff, &chance, at(ms));
}

/* ---------------------------------------------------------------- suspicion */

static void a_network_is_suspect_only_behind_a_new_default_route(void **state)
{
	struct network n = fresh();

	(void)state;
	assert_false(network_is_suspect(&n, at(0)));
	network_linked(&n, at(0).boot_ms);
	assert_true(network_is_suspect(&n, at(0)));
	assert_true(network_is_suspect(&n, at(NETWORK_SUSPECT_MS - 1)));
	assert_false(network_is_suspect(&n, at(NETWORK_SUSPECT_MS)));
}

static void a_proven_peer_ends_the_suspicion_until_the_next_link(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	assert_false(network_proven(&n, at(SECOND)));
	assert_false(network_is_suspect(&n, at(SECOND)));
	network_linked(&n, at(MINUTE).boot_ms);
	assert_true(network_is_suspect(&n, at(MINUTE)));
}

static void being_online_again_keeps_the_suspicion(void **state)
{
	struct network n = fresh();

	(void)state;
	network_failed(&n, false, "no network", &backoff, &chance, at(0));
	network_linked(&n, at(SECOND).boot_ms);
	assert_true(network_worked(&n, at(2 * SECOND)));
	assert_true(network_is_suspect(&n, at(2 * SECOND)));
}

/* ---------------------------------------------------------------- captive portals */

static void a_portal_counts_as_offline_and_others_are_asked_at_once(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	assert_true(deceives(&n, &one, SECOND));
	assert_true(n.is_offline && n.is_portal && !n.dns_only);
	assert_string_equal(n.text, "the certificate is for login.hotel.example");
	assert_true(network_allows(&n, true, &other, at(SECOND)));
	assert_false(network_allows(&n, true, &one, at(SECOND)));
	/* There may be no other: the witness is told when its own time has come. */
	assert_true(network_is_due(&n, at(SECOND)));
	assert_int_equal(network_deadline(&n), n.witness_boot_ms);
	assert_false(network_is_due(&n, at(SECOND)));
	assert_true(n.witness_boot_ms <= at(SECOND).boot_ms + 8 * SECOND);
	assert_true(network_is_due(&n, at(9 * SECOND)));
	assert_true(network_allows(&n, true, &one, at(9 * SECOND)));
	assert_int_equal(network_deadline(&n), INT64_MAX);
}

static void a_portal_is_looked_at_every_half_minute(void **state)
{
	struct network n = fresh();
	int64_t ms = SECOND;

	(void)state;
	network_linked(&n, at(0).boot_ms);
	assert_true(deceives(&n, &one, ms));
	for (int i = 0; i < 8; i++) {
		int64_t next = n.witness_boot_ms - at(0).boot_ms;

		assert_true(next > ms && next <= ms + NETWORK_PORTAL_RETRY_MS + NETWORK_LET_MS);
		ms = next;
		assert_true(network_allows(&n, true, &one, at(ms)));
		assert_false(deceives(&n, &one, ms)); /* it is known */
		assert_false(network_allows(&n, true, &other, at(ms)));
	}
	assert_true(n.offline_wall_ms == at(SECOND).wall_ms);
}

static void what_stays_wrong_is_no_portal_in_the_end(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	deceives(&n, &one, SECOND);
	assert_true(network_is_suspect(&n, at(NETWORK_PORTAL_MS - 1)));
	assert_false(network_is_suspect(&n, at(NETWORK_PORTAL_MS)));
}

static void a_proven_peer_ends_the_portal(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	deceives(&n, &one, SECOND);
	assert_true(network_proven(&n, at(MINUTE)));
	assert_false(n.is_offline || n.is_portal);
	assert_int_equal(n.since_wall_ms, at(MINUTE).wall_ms);
	assert_false(network_is_suspect(&n, at(MINUTE)));
}

static void another_network_is_looked_at_at_once(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	deceives(&n, &one, SECOND);
	deceives(&n, &one, 20 * SECOND);
	network_linked(&n, at(21 * SECOND).boot_ms);
	assert_true(network_allows(&n, true, &one, at(21 * SECOND)));
	assert_true(network_is_due(&n, at(21 * SECOND)));
	assert_true(network_is_suspect(&n, at(21 * SECOND + NETWORK_SUSPECT_MS)));
}

static void no_network_at_all_is_no_portal_any_more(void **state)
{
	struct network n = fresh();

	(void)state;
	network_linked(&n, at(0).boot_ms);
	deceives(&n, &one, SECOND);
	network_failed(&n, false, "no route", &backoff, &chance, at(MINUTE));
	assert_true(n.is_offline);
	assert_false(n.is_portal);
}

/* ---------------------------------------------------------------- signs */

static void signs_are_what_portals_show(void **state)
{
	static const struct {
		const char *name;
		struct portal_signs signs;
		const char *address;
		bool is_likely;
	} rows[] = {
		{ "another name",
		  { .phase = CLIENT_AT_TLS, .in_tls = true, .reason = TLS_FAILURE_NAME },
		  "192.0.2.1",
		  true },
		{ "self-signed",
		  { .phase = CLIENT_AT_TLS, .in_tls = true, .reason = TLS_FAILURE_UNTRUSTED },
		  "192.0.2.1",
		  true },
		{ "not pinned",
		  { .phase = CLIENT_AT_TLS, .in_tls = true, .reason = TLS_FAILURE_PIN },
		  "192.0.2.1",
		  true },
		{ "no TLSA",
		  { .phase = CLIENT_AT_TLS, .in_tls = true, .reason = TLS_FAILURE_DANE },
		  "192.0.2.1",
		  true },
		{ "expired",
		  { .phase = CLIENT_AT_TLS, .in_tls = true, .reason = TLS_FAILURE_EXPIRED },
		  "10.0.0.1",
		  false },
		{ "no TLS at a private address", { .in_tls = true, .has_name = true }, "10.0.0.1", true },
		{ "the same, IPv6", { .in_tls = true, .has_name = true }, "fd00::1", true },
		{ "the same, which the configuration names", { .in_tls = true }, "10.0.0.1", false },
		{ "no TLS elsewhere", { .in_tls = true, .has_name = true }, "192.0.2.1", false },
		{ "HTTP", { .phase = CLIENT_AT_GREETING, .is_gibberish = true }, "192.0.2.1", true },
		{ "silence", { .phase = CLIENT_AT_GREETING }, "10.0.0.1", false },
		{ "554", { .phase = CLIENT_AT_GREETING, .code = 554 }, "10.0.0.1", false },
		{ "gibberish later", { .phase = CLIENT_AT_AUTH, .is_gibberish = true }, "192.0.2.1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct portal_signs signs = rows[i].signs;
		socklen_t len;

		assert_true(addr_literal(rows[i].address, &signs.address, &len));
		if (portal_is_likely(&signs) != rows[i].is_likely)
			fail_msg("%s", rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_is_suspect_only_behind_a_new_default_route),
		cmocka_unit_test(a_proven_peer_ends_the_suspicion_until_the_next_link),
		cmocka_unit_test(being_online_again_keeps_the_suspicion),
		cmocka_unit_test(a_portal_counts_as_offline_and_others_are_asked_at_once),
		cmocka_unit_test(a_portal_is_looked_at_every_half_minute),
		cmocka_unit_test(what_stays_wrong_is_no_portal_in_the_end),
		cmocka_unit_test(a_proven_peer_ends_the_portal),
		cmocka_unit_test(another_network_is_looked_at_at_once),
		cmocka_unit_test(no_network_at_all_is_no_portal_any_more),
		cmocka_unit_test(signs_are_what_portals_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
