/* Addresses as text and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "net/addr.h"

static void pairs_are_read_and_printed(void **state)
{
	static const struct {
		const char *text, *shown, *host;
		uint16_t port;
		bool loopback;
	} rows[] = {
		{ "127.0.0.1:25", "127.0.0.1:25", "127.0.0.1", 25, true },
		{ "[::1]:587", "[::1]:587", "::1", 587, true },
		{ "[2001:DB8::0:1]:25", "[2001:db8::1]:25", "2001:db8::1", 25, false },
		{ "127.200.0.9:0", "127.200.0.9:0", "127.200.0.9", 0, true },
		{ "[::ffff:127.0.0.1]:25", "127.0.0.1:25", "127.0.0.1", 25, true },
		{ "[::ffff:192.0.2.1]:25", "192.0.2.1:25", "192.0.2.1", 25, false },
		{ "192.0.2.1", "192.0.2.1:53", "192.0.2.1", 53, false },
		{ "2001:db8::1", "[2001:db8::1]:53", "2001:db8::1", 53, false },
		{ "[2001:db8::1]", "[2001:db8::1]:53", "2001:db8::1", 53, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_storage addr;
		socklen_t len;
		char out[ADDR_TEXT_SIZE];

		if (!addr_parse(rows[i].text, 53, &addr, &len))
			fail_msg("%s is refused", rows[i].text);
		assert_string_equal(addr_text(&addr, out), rows[i].shown);
		assert_string_equal(addr_host(&addr, out), rows[i].host);
		assert_int_equal(addr_port(&addr), rows[i].port);
		assert_int_equal(addr_is_loopback(&addr), rows[i].loopback);
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		":25",
		"127.0.0.1",
		"[::1]",
		"::1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1:25 ",
		" 127.0.0.1:25",
		"127.1:25",
		"localhost:25",
		"[127.0.0.1]:25",
		"[::1:25",
		"::1]:25",
		"[]:25",
		"[::1]25",
		"[::1%nosuchinterface]:25",
		"[::1%]:25",
		"[::1%0]:25",
		"256.0.0.1:25",
		"[:::1]:25",
		"1.2.3.4.5:25",
		"11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111.2.3.4:25",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_storage addr;
		socklen_t len;

		if (addr_parse(rows[i], 0, &addr, &len))
			fail_msg("%s is taken", rows[i]);
	}
}

static void literals_have_no_port(void **state)
{
	struct sockaddr_storage addr;
	socklen_t len;
	char out[ADDR_TEXT_SIZE];

	(void)state;
	assert_true(addr_literal("192.0.2.1", &addr, &len));
	assert_true(addr_literal("[::1]", &addr, &len));
	addr_set_port(&addr, 25);
	assert_string_equal(addr_text(&addr, out), "[::1]:25");
	assert_true(addr_literal("fe80::1%lo", &addr, &len));
	assert_string_equal(addr_host(&addr, out), "fe80::1%lo");
	assert_true(addr_literal("fe80::1%1", &addr, &len));
	assert_false(addr_literal("192.0.2.1:25", &addr, &len));
	assert_false(addr_literal("[192.0.2.1]", &addr, &len));
	assert_false(addr_literal("mx.example.org", &addr, &len));
}

static void other_families_are_shown_as_unix(void **state)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	char out[ADDR_TEXT_SIZE];

	(void)state;
	assert_string_equal(addr_text(&addr, out), "unix");
	assert_string_equal(addr_host(&addr, out), "");
	assert_int_equal(addr_port(&addr), 0);
	assert_false(addr_is_loopback(&addr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_read_and_printed),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(literals_have_no_port),
		cmocka_unit_test(other_families_are_shown_as_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
