/* Logins, with a helper that answers by script: this program is for itself what sendoff-helper is to the agent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "helper/channel.h"
#include "log.h"
#include "submission/login.h"
#include "submission/penalty.h"
#include "tests/unit/support/pump.h"

#define HASH "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

enum { PATIENCE_MS = 60000 };

/* ---------------------------------------------------------------- the helper */

static struct channel agent;

/* The password says what the verdict is; "kept" is the only one that looks at what is kept of it. */
static void on_question(void *arg, const struct protocol_record *record)
{
	size_t end = span_find(record->payload, '\0');
	struct span kept = span_first(record->payload, end), password = span_from(record->payload, end + 1);
	struct protocol_record out = { .kind = PROTOCOL_OUTPUT, .id = record->id, .payload = SPAN("no") };

	(void)arg;
	if (record->kind != PROTOCOL_CHECK || span_equals(password, SPAN("silence")))
		return;
	if (span_equals(password, SPAN("right")) || span_equals(password, SPAN("IX")) ||
	    (span_equals(password, SPAN("kept")) && span_equals(kept, SPAN(HASH))))
		out.payload = SPAN("yes");
	if (span_equals(password, SPAN("trouble"))) {
		out.kind = PROTOCOL_FAILED;
		out.payload = SPAN("too busy");
	}
	channel_send(&agent, &out);
}

static void on_end(void *arg)
{
	loop_stop(arg);
}

static void serve(void)
{
	struct loop *loop = loop_new();

	channel_init(&agent, loop, 3, on_question, on_end, loop);
	loop_run(loop);
	channel_fini(&agent);
	loop_free(loop);
}

/* ---------------------------------------------------------------- the rig */

static char program[256], scram[2 * SCRAM_TEXT_MAX];

static struct rig {
	char dir[64], users[96];
	struct config_listener listener;
	struct loop *loop;
	struct helper *helper;
	struct login_set *set;
} rig;

static char logged[4096]; /* "event user reason\n" each */

static void on_log(void *arg, enum log_level level, const char *event, const struct log_field *fields, int64_t wall_ms)
{
	const char *user = "-", *reason = "-";
	size_t len = strlen(logged);

	(void)arg;
	(void)level;
	(void)wall_ms;
	for (; fields->key; fields++) {
		if (strcmp(fields->key, "user") == 0)
			user = fields->text;
		if (strcmp(fields->key, "reason") == 0)
			reason = fields->text;
		assert_true(!fields->text || (!strstr(fields->text, "right") && !strstr(fields->text, "wrong-one")));
	}
	snprintf(logged + len, sizeof(logged) - len, "%s %s %s\n", event, user, reason);
}

static void put_users(const char *text)
{
	FILE *file = fopen(rig.users, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(rig.users, 0600), 0);
}

static int set_up(void **state)
{
	char error[256] = "";

	(void)state;
	memset(&rig, 0, sizeof(rig));
	snprintf(rig.dir, sizeof(rig.dir), "/tmp/sendoff-login-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	snprintf(rig.users, sizeof(rig.users), "%s/users", rig.dir);
	put_users("alice:" HASH "\n");
	rig.listener = (struct config_listener){ .name = "office", .auth = CONFIG_LOGIN_REQUIRED, .users = rig.users };
	rig.loop = loop_new();
	rig.helper = helper_start(rig.loop, program, error, sizeof(error));
	if (!rig.helper)
		fail_msg("%s", error);
	rig.set = login_set_new(rig.loop, rig.helper);
	logged[0] = '\0';
	log_listen(on_log, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_listen(NULL, NULL);
	login_set_free(rig.set);
	helper_free(rig.helper);
	loop_free(rig.loop);
	unlink(rig.users);
	assert_int_equal(rmdir(rig.dir), 0);
	return 0;
}

/* ---------------------------------------------------------------- a session */

static const struct server_config server = {
	.hostname = "mx.example.org",
	.features = SERVER_PLAIN | SERVER_AUTH,
	.mechanisms = SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM | SERVER_AUTH_EXTERNAL,
	.max_errors = 1000,
};

struct session {
	struct server *engine;
	struct login *login; /* whose answer is not there yet */
	const char *source;
	char said[2048]; /* the last reply */
};

static void on_ready(void *arg);

static void go_on(struct session *s, struct span input)
{
	struct server_action action;

	while (!s->login && server_step(s->engine, 0, &input, &action) != SERVER_NEED) {
		const struct login_asker asker = { &rig.listener, s->source, on_ready, s };

		if (action.kind == SERVER_SEND)
			snprintf(s->said, sizeof(s->said), "%.*s", SPAN_ARGS(action.bytes));
		if (action.kind == SERVER_ASK_AUTH)
			s->login = login_ask(rig.set, &asker, s->engine, action.auth);
	}
	assert_true(s->login || input.len == 0);
}

static void on_ready(void *arg)
{
	struct session *s = arg;

	assert_non_null(s->login); /* never from inside login_ask() */
	s->login = NULL;
	go_on(s, SPAN(""));
}

static void say(struct session *s, const char *line)
{
	char *text = mem_printf("%s\r\n", line);

	s->said[0] = '\0';
	go_on(s, span_str(text));
	mem_free(text);
}

static void session_open(struct session *s, const char *source, const char *certified)
{
	*s = (struct session){ .engine = server_new(&server, true, 0), .source = source };
	server_know(s->engine, &(struct server_facts){ .user = certified });
	say(s, "EHLO client");
}

static void session_close(struct session *s)
{
	login_cancel(s->login);
	server_free(s->engine);
}

static void said(const struct session *s, const char *words)
{
	if (strncmp(s->said, words, strlen(words)) != 0)
		fail_msg("'%s' instead of '%s'", s->said, words);
}

static void was_logged(const char *words)
{
	if (!strstr(logged, words))
		fail_msg("'%s' is not in the log:\n%s", words, logged);
}

static void begin_plain(struct session *s, const char *user, const char *password)
{
	char *plain = mem_printf("%c%s%c%s", 1, user, 1, password);
	size_t len = strlen(user) + strlen(password) + 2;
	struct buf line;

	plain[0] = plain[strlen(user) + 1] = '\0';
	buf_init(&line, 4096);
	buf_append_str(&line, "AUTH PLAIN ");
	text_base64_encode(&line, span_of(plain, len));
	say(s, buf_cstr(&line));
	buf_fini(&line);
	mem_free(plain);
}

static void plain(struct session *s, const char *user, const char *password)
{
	begin_plain(s, user, password);
	assert_true(PUMP(rig.loop, !s->login, PATIENCE_MS));
}

/* ---------------------------------------------------------------- passwords */

static void the_helper_decides_about_passwords(void **state)
{
	struct session s;

	(void)state;
	login_set_hurry(rig.set);
	session_open(&s, "192.0.2.7", NULL);
	plain(&s, "alice", "wrong-one");
	said(&s, "535 5.7.8 wrong name or password");
	assert_string_equal(server_user(s.engine), "");
	was_logged("login-failed alice wrong password");
	plain(&s, "alice", "trouble");
	said(&s, "454 4.7.0 logins cannot be checked just now; try again later");
	was_logged("login-deferred - too busy");
	assert_string_equal(server_user(s.engine), "");
	plain(&s, "alice", "kept");
	said(&s, "235 2.7.0 ");
	was_logged("login alice -");
	assert_string_equal(server_user(s.engine), "alice");
	session_close(&s);
}

/* The helper would say yes to it. */
static void nobody_logs_in_as_a_user_who_does_not_exist(void **state)
{
	struct session s;

	(void)state;
	login_set_hurry(rig.set);
	session_open(&s, "192.0.2.7", NULL);
	plain(&s, "mallory", "right");
	said(&s, "535 5.7.8 wrong name or password");
	was_logged("login-failed mallory there is no such user");
	/* It was asked about a secret all the same, so that it took as long. */
	plain(&s, "mallory", "trouble");
	said(&s, "454 4.7.0 ");
	put_users("");
	PUMP_IDLE(rig.loop, 1100);
	plain(&s, "mallory", "right");
	said(&s, "535 5.7.8 wrong name or password");
	plain(&s, "mallory", "trouble");
	said(&s, "454 4.7.0 ");
	session_close(&s);
}

static void a_failure_leaves_nothing_of_the_login_before_it(void **state)
{
	struct session s;

	(void)state;
	put_users("alice:" HASH "\nbob:" HASH "\n");
	login_set_hurry(rig.set);
	session_open(&s, "192.0.2.7", "carol");
	plain(&s, "alice", "wrong-one");
	plain(&s, "bob", "trouble");
	say(&s, "MAIL FROM:<a@example.org>");
	say(&s, "RSET");
	assert_string_equal(server_user(s.engine), "");
	assert_string_equal(server_mechanism(s.engine), "");
	plain(&s, "bob", "right");
	said(&s, "235 ");
	assert_string_equal(server_user(s.engine), "bob");
	assert_string_equal(server_mechanism(s.engine), "PLAIN");
	/* One login a session (RFC 4954, 4): what comes then changes nothing. */
	begin_plain(&s, "alice", "wrong-one");
	assert_null(s.login);
	said(&s, "503 ");
	say(&s, "RSET");
	assert_string_equal(server_user(s.engine), "bob");
	session_close(&s);
}

/* Verifiers are made of the form of SASLprep, hashes of the password as it came. */
static void passwords_are_prepared_for_verifiers_only(void **state)
{
	static const char nine[] = "\xe2\x85\xa8"; /* U+2168, which is IX in that form */
	char *text = mem_printf("alice:%s\nbob:" HASH "\n", scram);
	struct session s;

	(void)state;
	put_users(text);
	mem_free(text);
	login_set_hurry(rig.set);
	session_open(&s, "192.0.2.7", NULL);
	plain(&s, "bob", nine);
	said(&s, "535 ");
	plain(&s, "alice", nine);
	said(&s, "235 ");
	session_close(&s);
}

static void a_failure_is_told_late_and_holds_up_nobody_else(void **state)
{
	struct session slow, quick, gone;
	int64_t before = clock_boot_ms();

	(void)state;
	session_open(&slow, "192.0.2.7", NULL);
	session_open(&quick, "192.0.2.8", NULL);
	session_open(&gone, "192.0.2.9", NULL);
	begin_plain(&slow, "mallory", "wrong-one");
	begin_plain(&gone, "eve", "wrong-one");
	assert_true(PUMP(rig.loop, strstr(logged, "mallory") && strstr(logged, "eve"), PATIENCE_MS));
	assert_non_null(slow.login);
	plain(&quick, "alice", "right");
	said(&quick, "235 ");
	session_close(&gone); /* its answer never comes */
	assert_true(PUMP(rig.loop, !slow.login, PATIENCE_MS));
	assert_true(clock_boot_ms() - before >= PENALTY_DELAY_MS);
	said(&slow, "535 ");
	/* The next would take two seconds, but the agent stops. */
	begin_plain(&slow, "mallory", "wrong-one");
	before = clock_boot_ms();
	logged[0] = '\0';
	assert_true(PUMP(rig.loop, strstr(logged, "mallory"), PATIENCE_MS));
	assert_non_null(slow.login);
	login_set_hurry(rig.set);
	loop_turn(rig.loop, 0);
	loop_turn(rig.loop, 0);
	assert_null(slow.login);
	said(&slow, "535 ");
	session_close(&slow);
	session_close(&quick);
}

static void one_customer_of_a_network_is_one_source(void **state)
{
	static const char *const kept_out[] = { "2001:db8:1:2:3::4", "2001:db8:1:2:ffff::" };
	static const char *const others[] = { "2001:db8:1:3::1", "192.0.2.7", "::1" };
	struct session s;
	char source[64];

	(void)state;
	login_set_hurry(rig.set);
	for (int i = 0; i < PENALTY_FAILURES; i++) {
		char user[24];

		snprintf(source, sizeof(source), "2001:db8:1:2::%x", i + 1);
		snprintf(user, sizeof(user), "user%d", i);
		session_open(&s, source, NULL);
		plain(&s, user, "wrong-one");
		said(&s, "535 ");
		session_close(&s);
	}
	for (size_t i = 0; i < sizeof(kept_out) / sizeof(kept_out[0]); i++) {
		session_open(&s, kept_out[i], "alice");
		plain(&s, "alice", "right");
		said(&s, "454 4.7.0 too many failed logins from 2001:db8:1:2::/64; try again in ");
		say(&s, "AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==");
		said(&s, "454 4.7.0 ");
		say(&s, "AUTH EXTERNAL =");
		said(&s, "454 4.7.0 ");
		session_close(&s);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		session_open(&s, others[i], NULL);
		plain(&s, "alice", "right");
		said(&s, "235 ");
		session_close(&s);
	}
}

/* Each is the first failure from there, but not of that name; its owner gets in all the same. */
static void a_name_is_slowed_down_wherever_it_is_used(void **state)
{
	static const char *const sources[] = { "192.0.2.1", "192.0.2.2" };
	struct session s;
	int64_t before;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		before = clock_boot_ms();
		session_open(&s, sources[i], NULL);
		plain(&s, "alice", "wrong-one");
		assert_true(clock_boot_ms() - before >= PENALTY_DELAY_MS << i);
		session_close(&s);
	}
	session_open(&s, "192.0.2.3", NULL);
	plain(&s, "alice", "right");
	said(&s, "235 ");
	session_close(&s);
}

/* ---------------------------------------------------------------- SCRAM */

/* What the server says of this user: "r=…,s=SALT,i=COUNT", without the nonce. */
static char *salt_of(const char *user)
{
	char *first = mem_printf("n,,n=%s,r=abc", user), *found;
	struct session s;
	struct buf line, text;

	buf_init(&line, 1024);
	buf_init(&text, 1024);
	buf_append_str(&line, "AUTH SCRAM-SHA-256 ");
	text_base64_encode(&line, span_str(first));
	session_open(&s, "192.0.2.7", NULL);
	say(&s, buf_cstr(&line));
	said(&s, "334 ");
	assert_true(text_base64_decode(&text, span_of(s.said + 4, strcspn(s.said + 4, "\r"))));
	found = mem_strdup(strstr(buf_cstr(&text), ",s="));
	session_close(&s);
	buf_fini(&line);
	buf_fini(&text);
	mem_free(first);
	return found;
}

static void who_does_not_exist_has_a_salt_of_their_own(void **state)
{
	char *text = mem_printf("alice:%s\n", scram), *alice, *mallory, *again, *eve, *other;

	(void)state;
	put_users(text);
	alice = salt_of("alice");
	mallory = salt_of("mallory");
	again = salt_of("mallory");
	eve = salt_of("eve");
	assert_string_equal(mallory, again);
	assert_string_not_equal(mallory, eve);
	assert_string_not_equal(mallory, alice);
	assert_int_equal(strlen(mallory), strlen(alice));
	assert_string_equal(strstr(mallory, ",i="), ",i=4096"); /* as alice's are */
	/* Another agent makes up others, or they could be told apart by asking twice. */
	login_set_free(rig.set);
	rig.set = login_set_new(rig.loop, rig.helper);
	other = salt_of("mallory");
	assert_string_not_equal(mallory, other);
	mem_free(alice);
	mem_free(mallory);
	mem_free(again);
	mem_free(eve);
	mem_free(other);
	mem_free(text);
}

/* Else whoever has another count would be known to exist. */
static void those_who_do_not_exist_are_like_all_who_do(void **state)
{
	char *more = mem_strdup(scram), *text;
	unsigned seen = 0;

	(void)state;
	memcpy(strchr(more, '$') + 1, "9096", 4);
	text = mem_printf("alice:%s\nbob:%s\n", scram, more);
	put_users(text);
	for (int i = 0; i < 40 && seen != 3; i++) {
		char user[24], *salt;

		snprintf(user, sizeof(user), "nobody%d", i);
		salt = salt_of(user);
		seen |= strstr(salt, ",i=4096") ? 1 : 0;
		seen |= strstr(salt, ",i=9096") ? 2 : 0;
		mem_free(salt);
	}
	assert_int_equal(seen, 3);
	mem_free(text);
	mem_free(more);
}

/* Up to the point where the server has proved itself. */
static void prove(struct session *s, Gsasl_session *client)
{
	char *answer, *line;

	assert_int_equal(gsasl_step64(client, "", &answer), GSASL_NEEDS_MORE);
	line = mem_printf("AUTH SCRAM-SHA-256 %s", answer);
	gsasl_free(answer);
	say(s, line);
	mem_free(line);
	for (int want = GSASL_NEEDS_MORE;; want = GSASL_OK) {
		said(s, "334 ");
		s->said[strcspn(s->said, "\r")] = '\0';
		assert_int_equal(gsasl_step64(client, s->said + 4, &answer), want);
		if (want == GSASL_OK)
			break;
		say(s, answer);
		gsasl_free(answer);
	}
	gsasl_free(answer);
}

static void a_user_who_is_removed_meanwhile_does_not_get_in(void **state)
{
	char *text = mem_printf("alice:%s\n", scram);
	Gsasl *library;
	Gsasl_session *client;
	struct session s;

	(void)state;
	login_set_hurry(rig.set);
	assert_int_equal(gsasl_init(&library), GSASL_OK);
	for (int removed = 0; removed <= 1; removed++) {
		put_users(text);
		PUMP_IDLE(rig.loop, 1100);
		assert_int_equal(gsasl_client_start(library, "SCRAM-SHA-256", &client), GSASL_OK);
		gsasl_property_set(client, GSASL_AUTHID, "alice");
		gsasl_property_set(client, GSASL_PASSWORD, "pencil");
		session_open(&s, "192.0.2.7", NULL);
		prove(&s, client);
		if (removed) {
			put_users("bob:" HASH "\n");
			PUMP_IDLE(rig.loop, 1100);
		}
		say(&s, "");
		assert_true(PUMP(rig.loop, !s.login, PATIENCE_MS));
		said(&s, removed ? "535 5.7.8 " : "235 2.7.0 ");
		assert_string_equal(server_user(s.engine), removed ? "" : "alice");
		gsasl_finish(client);
		session_close(&s);
	}
	gsasl_done(library);
	mem_free(text);
}

/* ---------------------------------------------------------------- what is offered */

static void a_mechanism_is_for_everybody_or_for_nobody(void **state)
{
	const unsigned passwords = SERVER_AUTH_PASSWORDS;
	char *one = mem_printf("alice:%s\n", scram), *both = mem_printf("alice:%s\nbob:" HASH "\n", scram);

	(void)state;
	assert_int_equal(login_mechanisms(&rig.listener), passwords | SERVER_AUTH_SCRAM);
	assert_int_equal(login_mechanisms_now(rig.set, &rig.listener), passwords);
	put_users(one);
	PUMP_IDLE(rig.loop, 1100);
	assert_int_equal(login_mechanisms_now(rig.set, &rig.listener),
			 passwords | SERVER_AUTH_SCRAM_SHA_256 | SERVER_AUTH_SCRAM_SHA_256_PLUS);
	put_users(both);
	PUMP_IDLE(rig.loop, 1100);
	assert_int_equal(login_mechanisms_now(rig.set, &rig.listener), passwords);
	rig.listener.client_ca = "ca.pem";
	assert_int_equal(login_mechanisms(&rig.listener), passwords | SERVER_AUTH_SCRAM | SERVER_AUTH_EXTERNAL);
	rig.listener.mechanisms = (struct config_strings){ (const char *[]){ "scram-sha-1", "Plain" }, 2 };
	assert_int_equal(login_mechanisms(&rig.listener), SERVER_AUTH_SCRAM_SHA_1 | SERVER_AUTH_PLAIN);
	rig.listener.mechanisms.count = 0;
	rig.listener.auth = CONFIG_LOGIN_NONE;
	assert_int_equal(login_mechanisms(&rig.listener), SERVER_AUTH_EXTERNAL);
	rig.listener.client_ca = NULL;
	rig.listener.client_pins = (struct config_strings){ (const char *[]){ "sha256:00" }, 1 };
	assert_int_equal(login_mechanisms(&rig.listener), SERVER_AUTH_EXTERNAL);
	rig.listener.client_pins.count = 0;
	assert_int_equal(login_mechanisms(&rig.listener), 0);
	mem_free(one);
	mem_free(both);
}

static void a_certificate_needs_no_users_file(void **state)
{
	struct session s;

	(void)state;
	login_set_hurry(rig.set);
	assert_int_equal(unlink(rig.users), 0);
	session_open(&s, "192.0.2.7", "carol");
	plain(&s, "alice", "right");
	said(&s, "454 4.7.0 ");
	was_logged("login-deferred - the users file cannot be used");
	say(&s, "AUTH EXTERNAL Ym9i"); /* bob */
	assert_true(PUMP(rig.loop, !s.login, PATIENCE_MS));
	said(&s, "535 5.7.8 ");
	was_logged("login-failed carol wants to act as another user");
	assert_string_equal(server_user(s.engine), "");
	say(&s, "AUTH EXTERNAL =");
	said(&s, "235 ");
	assert_string_equal(server_user(s.engine), "carol");
	session_close(&s);
}

static void without_a_helper_passwords_are_put_off(void **state)
{
	struct login_set *with = rig.set;
	struct session s;

	(void)state;
	rig.set = login_set_new(rig.loop, NULL);
	session_open(&s, "192.0.2.7", NULL);
	begin_plain(&s, "alice", "right");
	assert_null(s.login);
	said(&s, "454 4.7.0 ");
	was_logged("sendoff-helper does not run");
	session_close(&s);
	login_set_free(rig.set);
	rig.set = with;
}

static void a_login_that_is_cancelled_is_heard_of_no_more(void **state)
{
	struct session gone, next;

	(void)state;
	session_open(&gone, "192.0.2.7", NULL);
	begin_plain(&gone, "alice", "silence");
	assert_non_null(gone.login);
	session_close(&gone);
	session_open(&gone, "192.0.2.7", NULL);
	begin_plain(&gone, "alice", "right");
	session_close(&gone);
	session_open(&next, "192.0.2.7", NULL);
	plain(&next, "bob", "trouble"); /* answered behind the others */
	assert_string_equal(logged, "login-deferred - too busy\n");
	session_close(&next);
}

static void make_scram(void)
{
	struct scram_verifier verifier = { .hash = SCRAM_SHA_256,
					   .iterations = SCRAM_ITERATIONS_MIN,
					   .salt = "saltsaltsaltsal",
					   .salt_len = SCRAM_SALT_LEN };
	struct buf text;

	buf_init(&text, SCRAM_TEXT_MAX);
	scram_derive(&verifier, SPAN("pencil"));
	scram_write(&text, &verifier);
	snprintf(scram, sizeof(scram), "%s", buf_cstr(&text));
	buf_fini(&text);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_helper_decides_about_passwords),
		TEST(nobody_logs_in_as_a_user_who_does_not_exist),
		TEST(a_failure_leaves_nothing_of_the_login_before_it),
		TEST(passwords_are_prepared_for_verifiers_only),
		TEST(a_failure_is_told_late_and_holds_up_nobody_else),
		TEST(one_customer_of_a_network_is_one_source),
		TEST(a_name_is_slowed_down_wherever_it_is_used),
		TEST(who_does_not_exist_has_a_salt_of_their_own),
		TEST(those_who_do_not_exist_are_like_all_who_do),
		TEST(a_user_who_is_removed_meanwhile_does_not_get_in),
		TEST(a_mechanism_is_for_everybody_or_for_nobody),
		TEST(a_certificate_needs_no_users_file),
		TEST(without_a_helper_passwords_are_put_off),
		TEST(a_login_that_is_cancelled_is_heard_of_no_more),
	};
	ssize_t n;

	if (argc == 1 && strcmp(argv[0], "sendoff-helper") == 0) {
		serve();
		return 0;
	}
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	make_scram();
	log_open("stderr", "error");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
