/* What a hop may be given, by what it offers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "delivery/cargo.h"
#include "smtp/ehlo.h"

static void binary_mail_needs_both_extensions(void **state)
{
	(void)state;
	assert_true(cargo_terms(EHLO_BIT(EHLO_CHUNKING) | EHLO_BIT(EHLO_BINARYMIME)).is_binary);
	assert_false(cargo_terms(EHLO_BIT(EHLO_BINARYMIME)).is_binary);
	assert_false(cargo_terms(EHLO_BIT(EHLO_CHUNKING)).is_binary);
	assert_false(cargo_terms(EHLO_BIT(EHLO_8BITMIME)).is_binary);
}

/* How mail is announced that is made fit, and how what needs no change. */
static void what_is_too_much_is_announced_as_what_it_becomes(void **state)
{
	static const struct {
		enum queue_body body;
		unsigned offers;
		bool is_looked_at;
		enum client_content content;
	} rows[] = {
		{ QUEUE_BODY_7BIT, 0, false, CLIENT_7BIT },
		{ QUEUE_BODY_8BIT, 0, true, CLIENT_7BIT },
		{ QUEUE_BODY_8BIT, EHLO_BIT(EHLO_8BITMIME), false, CLIENT_8BIT },
		{ QUEUE_BODY_BINARY, 0, true, CLIENT_7BIT },
		{ QUEUE_BODY_BINARY, EHLO_BIT(EHLO_8BITMIME) | EHLO_BIT(EHLO_BINARYMIME), true, CLIENT_8BIT },
		{ QUEUE_BODY_BINARY, EHLO_BIT(EHLO_CHUNKING) | EHLO_BIT(EHLO_BINARYMIME), false, CLIENT_BINARY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cargo cargo;

		cargo_init(&cargo, 1, rows[i].body, 100);
		if (cargo_begin(&cargo, cargo_terms(rows[i].offers), false) != rows[i].is_looked_at ||
		    cargo_content(&cargo) != rows[i].content)
			fail_msg("row %zu", i);
		cargo_fini(&cargo);
	}
}

static void what_is_converted_has_the_size_that_it_becomes(void **state)
{
	const struct span mail = SPAN("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
				      "Content-Transfer-Encoding: 8bit\r\n\r\nM\xc3\xbcnchen\r\n");
	const struct convert_facts *facts;
	struct cargo cargo;

	(void)state;
	cargo_init(&cargo, 1, QUEUE_BODY_8BIT, mail.len);
	assert_true(cargo_begin(&cargo, cargo_terms(0), false));
	convert_scan(cargo.convert, mail);
	facts = convert_scan_end(cargo.convert);
	assert_true(facts->needed && facts->size_bytes != mail.len);
	assert_int_equal(cargo_size(&cargo), facts->size_bytes);
	cargo_fini(&cargo);
	/* It was only looked at, for its header: it goes as it came. */
	cargo_init(&cargo, 1, QUEUE_BODY_8BIT, mail.len);
	assert_true(cargo_begin(&cargo, cargo_terms(EHLO_BIT(EHLO_8BITMIME)), true));
	convert_scan(cargo.convert, mail);
	convert_scan_end(cargo.convert);
	assert_int_equal(cargo_size(&cargo), mail.len);
	cargo_fini(&cargo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(binary_mail_needs_both_extensions),
		cmocka_unit_test(what_is_too_much_is_announced_as_what_it_becomes),
		cmocka_unit_test(what_is_converted_has_the_size_that_it_becomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
