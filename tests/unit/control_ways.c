#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/span.h"
#include "control/ways.h"

static const char *pins[] = { "sha256:x" }, *sources[] = { "192.0.2.1", "2001:db8::1" };
static struct config_smarthost hosts[] = {
	{ .name = "work",
	  .at = { "a.conf", 7 },
	  .host = "smtp.example.com",
	  .port = 587,
	  .tls = CONFIG_TLS_STARTTLS,
	  .tls_verify = true },
	{ .name = "pinned",
	  .host = "::1",
	  .port = 465,
	  .tls = CONFIG_TLS_IMPLICIT,
	  .tls_verify = true,
	  .tls_name = "mail.example",
	  .tls_pins = { pins, 1 } },
	{ .name = "trusting", .host = "192.0.2.9", .port = 25, .tls = CONFIG_TLS_STARTTLS },
	{ .name = "private", .host = "h", .port = 25, .tls = CONFIG_TLS_STARTTLS, .tls_verify = true, .tls_ca = "/ca" },
	{ .name = "box", .host = "/run/lmtp", .protocol = CONFIG_PROTOCOL_LMTP },
	{ .name = "srv", .host = "srv:example.org", .tls = CONFIG_TLS_STARTTLS, .tls_verify = true },
	{ .name = "free", .host = "h", .port = 25, .tls = CONFIG_TLS_OPPORTUNISTIC },
	{ .name = "far",
	  .host = "h",
	  .port = 24,
	  .protocol = CONFIG_PROTOCOL_LMTP,
	  .source = { sources, 2 },
	  .proxy = { .host = "::1", .port = 9050, .user = "me", .password = "hush" } },
};
static struct config_domain domains[] = {
	{ .pattern = "*.bank.example",
	  .mx = { .at = { "a.conf", 20 }, .port = 25, .tls = CONFIG_TLS_DANE, .mta_sts = true } },
	{ .pattern = "plain.example", .mx = { .at = { "a.conf", 30 }, .port = 25, .tls = CONFIG_TLS_OPPORTUNISTIC } },
};
static const struct config config = {
	.smarthosts = hosts,
	.smarthost_count = sizeof(hosts) / sizeof(hosts[0]),
	.domains = domains,
	.domain_count = 2,
	.mx = { .at = { "a.conf", 0 }, .port = 2525, .tls = CONFIG_TLS_OPPORTUNISTIC, .mta_sts = true },
};

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "?";
}

static void each_way_is_told_in_words(void **state)
{
	static const struct {
		const char *lane, *said;
	} rows[] = {
		{ "work",
		  "to smtp.example.com:587; starttls; encrypted, and proven by the system's authorities; a.conf:7" },
		{ "pinned",
		  "to [::1]:465; implicit; encrypted, and proven by the pinned keys (tls_pins) for the name mail.example; :0" },
		{ "trusting",
		  "to 192.0.2.9:25; starttls; encrypted, but whoever answers is believed (tls_verify = no); :0" },
		{ "private", "to h:25; starttls; encrypted, and proven by the authorities of tls_ca; :0" },
		{ "box", "to the socket /run/lmtp, over LMTP; none; in clear text; :0" },
		{ "srv",
		  "to the servers that the SRV records of example.org name; starttls; encrypted, and proven by the system's "
		  "authorities; :0" },
		{ "free", "to h:25; opportunistic; encrypted where the server can; :0" },
		{ "far", "to h:24, over LMTP; none; in clear text; :0" },
		{ "mx:example.org",
		  "to the MX of example.org, port 2525; opportunistic; encrypted where the server can; proven where the domain "
		  "publishes how (DANE, MTA-STS); :0" },
		{ "mx:my.bank.example",
		  "to the MX of my.bank.example, port 25; dane; encrypted, and proven by TLSA records; without them the mail "
		  "waits; a.conf:20" },
		{ "mx:plain.example",
		  "to the MX of plain.example, port 25; opportunistic; encrypted where the server can; proven where the domain "
		  "publishes how (DANE); a.conf:30" },
		{ "mx:[192.0.2.1]",
		  "to the address [192.0.2.1], port 2525; opportunistic; encrypted where the server can; :0" },
		{ "gone", "?; ?; ?; :0" },
	};
	struct buf said;

	(void)state;
	buf_init(&said, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span target = span_str(rows[i].lane);
		json_t *row = ways_next(&config, &target);

		assert_string_equal(text_of(row, "lane"), rows[i].lane);
		buf_clear(&said);
		buf_printf(&said, "%s; %s; %s; %s:%d", text_of(row, "to"), text_of(row, "tls"), text_of(row, "proof"),
			   text_of(row, "file"), (int)json_integer_value(json_object_get(row, "line")));
		assert_string_equal(buf_cstr(&said), rows[i].said);
		json_decref(row);
		assert_null(ways_next(&config, &target));
	}
	buf_fini(&said);
}

static void a_target_is_told_to_its_end(void **state)
{
	struct span target = SPAN("work=3,mx:example.org");
	json_t *row = ways_next(&config, &target);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(row, "weight")), 3);
	assert_int_equal(json_array_size(json_object_get(row, "source")), 0);
	assert_string_equal(text_of(row, "proxy"), "");
	json_decref(row);
	row = ways_next(&config, &target);
	assert_string_equal(text_of(row, "lane"), "mx:example.org");
	assert_int_equal(json_integer_value(json_object_get(row, "weight")), 0);
	json_decref(row);
	assert_null(ways_next(&config, &target));
}

static void a_proxy_is_told_without_its_password(void **state)
{
	struct span target = SPAN("far");
	json_t *row = ways_next(&config, &target);
	char *all = json_dumps(row, 0);

	(void)state;
	assert_string_equal(text_of(row, "proxy"), "[::1]:9050");
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "source"), 1)), "2001:db8::1");
	assert_null(strstr(all, "hush"));
	free(all);
	json_decref(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_is_told_in_words),
		cmocka_unit_test(a_target_is_told_to_its_end),
		cmocka_unit_test(a_proxy_is_told_without_its_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
