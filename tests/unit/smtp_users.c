/* The users file: what is read, what is a mistake, and how it is changed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "smtp/users.h"

#define SHA256                                                                                                      \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ" \
	"7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SHA1   "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE="
#define CRYPT  "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
#define CRYPT6 "$6$rounds=10000$saltstring$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs"

static struct users *parse(const char *text, const char *want_errors)
{
	struct users *users;
	struct buf errors;

	buf_init(&errors, 64 * 1024);
	users = users_parse(span_str(text), "/etc/users", &errors);
	assert_string_equal(buf_cstr(&errors), want_errors);
	buf_fini(&errors);
	return users;
}

static void users_are_found_by_name(void **state)
{
	struct users *users = parse("# who may log in\n\nbob:" CRYPT "\n  alice : " SHA256 " " SHA1 "  \r\n"
				    "carol@example.org:" CRYPT6 "\n#dave:" CRYPT "\nz:" SHA1,
				    "");
	struct scram_verifier verifier;

	(void)state;
	assert_int_equal(users_count(users), 4);
	assert_string_equal(users_at(users, 0)->name, "alice");
	assert_string_equal(users_find(users, "bob")->secret, CRYPT);
	assert_int_equal(users_find(users, "bob")->has_scram, 0);
	assert_false(users_verifier(users_find(users, "bob"), SCRAM_SHA_256, &verifier));
	assert_string_equal(users_find(users, "carol@example.org")->secret, CRYPT6);
	assert_int_equal(users_find(users, "carol@example.org")->line, 5);
	assert_true(users_verifier(users_find(users, "alice"), SCRAM_SHA_256, &verifier));
	assert_true(scram_fits(&verifier, SPAN("pencil")));
	assert_true(users_verifier(users_find(users, "alice"), SCRAM_SHA_1, &verifier));
	assert_true(scram_fits(&verifier, SPAN("pencil")));
	assert_false(users_verifier(users_find(users, "z"), SCRAM_SHA_256, &verifier));
	assert_null(users_find(users, "dave"));
	assert_null(users_find(users, "Alice"));
	assert_null(users_find(users, ""));
	assert_null(users_find(users, "zz"));
	users_free(users);
	users_free(NULL);
}

static void scram_is_for_all_or_for_none(void **state)
{
	struct users *users = parse("a:" SHA256 " " SHA1 "\nb:" SHA1 "\n", "");

	(void)state;
	assert_false(users_all_have(users, SCRAM_SHA_256));
	assert_true(users_all_have(users, SCRAM_SHA_1));
	users_free(users);
	users = parse("", "");
	assert_false(users_all_have(users, SCRAM_SHA_1));
	users_free(users);
}

static void mistakes_are_told_by_line_and_no_secret_is_repeated(void **state)
{
	static const struct {
		const char *line, *error;
	} rows[] = {
		{ "alice:wonderland", "this looks like a plain password - run: sendoff user add NAME" },
		{ "alice wonderland", "there is no colon - a line is NAME:SECRET; run: sendoff user add NAME" },
		{ "alice:", "there is nothing behind the colon - run: sendoff user add NAME" },
		{ ":" CRYPT, "this is nobody's name - UTF-8 of at most 255 bytes, without blanks" },
		{ "al ice:" CRYPT, "this is nobody's name - UTF-8 of at most 255 bytes, without blanks" },
		{ "\xff:" CRYPT, "this is nobody's name - UTF-8 of at most 255 bytes, without blanks" },
		{ "al\x01:" CRYPT, "this is nobody's name - UTF-8 of at most 255 bytes, without blanks" },
		{ "alice:" CRYPT ":19000:0:99999",
		  "this is no hash of crypt(5) that is understood - run: sendoff user add NAME" },
		{ "alice:$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1",
		  "hashes of this kind are too weak, or not understood - run: sendoff user add NAME" },
		{ "alice:{PLAIN}wonderland",
		  "hashes of this kind are too weak, or not understood - run: sendoff user add NAME" },
		{ "alice:$y$short", "this is no hash of crypt(5) that is understood - run: sendoff user add NAME" },
		{ "alice:!" CRYPT, "locked users are simply left out of the file - run: sendoff user add NAME" },
		{ "alice:" SHA256 " " SHA256,
		  "this is no SCRAM verifier that is understood - run: sendoff user add NAME" },
		{ "alice:" SHA256 "  " SHA1,
		  "this is no SCRAM verifier that is understood - run: sendoff user add NAME" },
		{ "alice:" SHA256 " " CRYPT,
		  "this is no SCRAM verifier that is understood - run: sendoff user add NAME" },
		{ "bob:" CRYPT, "this user is there already - one line for each" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = mem_printf("bob:" CRYPT "\n\n%s\nzoe:" CRYPT "\n", rows[i].line);
		char *want = mem_printf("/etc/users:3: %s\n", rows[i].error);
		struct users *users = parse(text, want);

		/* The others are good all the same. */
		assert_int_equal(users_count(users), 2);
		assert_non_null(users_find(users, "bob"));
		assert_non_null(users_find(users, "zoe"));
		users_free(users);
		mem_free(text);
		mem_free(want);
	}
}

static void a_file_of_nothing_but_mistakes_is_not_told_in_full(void **state)
{
	struct buf text, errors;
	struct users *users;
	size_t lines = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&errors, 64 * 1024);
	for (int i = 0; i < 1000; i++)
		buf_append_str(&text, "x:y\n");
	users = users_parse(buf_span(&text), "f", &errors);
	for (struct span rest = buf_span(&errors); rest.len; lines++)
		rest = span_from(rest, span_find(rest, '\n') + 1);
	assert_int_equal(lines, USERS_ERRORS + 1);
	assert_non_null(strstr(buf_cstr(&errors), "f: 980 more mistakes\n"));
	assert_int_equal(users_count(users), 0);
	users_free(users);
	buf_fini(&text);
	buf_fini(&errors);
}

static void names_have_one_form(void **state)
{
	struct users *users = parse("I\xc2\xadX:" CRYPT "\n\xe2\x85\xa8:" CRYPT "\nj\xc3\xbcrgen:" CRYPT "\n",
				    "/etc/users:2: this user is there already - one line for each\n");
	char *name;

	(void)state;
	assert_non_null(users_find(users, "IX"));
	assert_non_null(users_find(users, "j\xc3\xbcrgen"));
	name = users_name(span_str("ju\xcc\x88rgen")); /* decomposed */
	assert_string_equal(name, "j\xc3\xbcrgen");
	mem_free(name);
	assert_null(users_name(SPAN("#a")));
	assert_null(users_name(SPAN("a:b")));
	assert_null(users_name(SPAN("a b")));
	assert_null(users_name(SPAN("a\0b")));
	assert_null(users_name(SPAN("a\xc2\xa0")));
	assert_null(users_name(SPAN("")));
	users_free(users);
}

static void an_edit_changes_one_line(void **state)
{
	static const struct {
		const char *before, *name, *secret, *after;
		bool had;
	} rows[] = {
		{ "", "a", "S", "a:S\n", false },
		{ "# x\nb:T", "a", "S", "# x\nb:T\na:S\n", false },
		{ "a:T\n# x\n\nb:T\n", "a", "S", "a:S\n# x\n\nb:T\n", true },
		{ " a : T\r\na:U\nb:T\n", "a", "S", "a:S\nb:T\n", true },
		{ "#a:T\naa:T\na:T\nwrong", "a", NULL, "#a:T\naa:T\nwrong\n", true },
		{ "b:T\n", "a", NULL, "b:T\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out;
		bool had = !rows[i].had;

		buf_init(&out, 1024);
		assert_true(users_edit(span_str(rows[i].before), rows[i].name, rows[i].secret, &out, &had));
		assert_string_equal(buf_cstr(&out), rows[i].after);
		assert_int_equal(had, rows[i].had);
		buf_clear(&out);
		out.max = 4;
		assert_int_equal(users_edit(span_str(rows[i].before), rows[i].name, rows[i].secret, &out, &had),
				 strlen(rows[i].after) <= 4);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_found_by_name),
		cmocka_unit_test(scram_is_for_all_or_for_none),
		cmocka_unit_test(mistakes_are_told_by_line_and_no_secret_is_repeated),
		cmocka_unit_test(a_file_of_nothing_but_mistakes_is_not_told_in_full),
		cmocka_unit_test(names_have_one_form),
		cmocka_unit_test(an_edit_changes_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
