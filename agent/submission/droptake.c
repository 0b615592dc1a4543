#include "submission/droptake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "log.h"
#include "names.h"
#include "smtp/dropfile.h"
#include "smtp/reply.h"
#include "smtp/server.h"
#include "submission/intake.h"
#include "trust.h"
#include "who.h"

enum {
	PAGE = 64 * 1024,
	STEPS = 64, /* commands or pages a turn */
	WHY_SIZE = 400,
};

/* name, the reply that leads on */
#define STAGES(X)                     \
	X(GREETING, 220)              \
	X(HELLO, 250)                 \
	X(MAIL, 250)                  \
	X(RCPT, 250)                  \
	X(BODY, 0) /* no reply yet */ \
	X(END, 250)

enum stage {
#define X(name, code) STAGE_##name,
	STAGES(X)
#undef X
};

static const unsigned expected[] = {
#define X(name, code) [STAGE_##name] = (code),
	STAGES(X)
#undef X
};

struct droptake {
	struct droptake_setup setup;
	struct config *config; /* of the whole message */
	struct server_config server;
	struct server *engine;
	struct intake *intake;
	struct reply_reader replies;
	struct who who;
	char submitter[TRUST_NAME_SIZE], origin[80];
	enum stage stage;
	bool has_reply;
	struct reply reply; /* its text dies with the next one */
	/* The file. */
	char mail[DROPFILE_LINE_MAX];
	size_t mail_len;
	uint32_t rcpts, next; /* all of them; the next to be named */
	uint64_t next_at;     /* its line */
	uint64_t last_at;     /* the line of the one named last */
	uint64_t body_at, body_bytes, sent_bytes;
	char page[PAGE];
	struct span input; /* what the engine has not taken; in `page`, `mail` or `command` */
	char command[64];
	struct server_action action; /* that has to be done again */
	bool is_stalled;
	int64_t stalled_ms;
	struct loop_timer timer; /* goes on in the next turn */
	bool has_ended;
	enum droptake_end end;
	char why[WHY_SIZE];
};

/* ---------------------------------------------------------------- the end */

/* Told in the next turn: never from inside a call. */
static void end(struct droptake *t, enum droptake_end how, const char *why)
{
	if (t->has_ended)
		return;
	t->has_ended = true;
	t->end = how;
	snprintf(t->why, sizeof(t->why), "%s", why);
	loop_timer_in(&t->timer, 0);
}

static void end_by_reply(struct droptake *t)
{
	struct buf text;

	buf_init(&text, REPLY_TEXT_MAX + 64);
	reply_print(&t->reply, &text);
	end(t, t->reply.code < 500 ? DROPTAKE_LATER : DROPTAKE_REFUSED, buf_cstr(&text));
	buf_fini(&text);
}

void droptake_free(struct droptake *t)
{
	if (!t)
		return;
	loop_timer_stop(&t->timer);
	intake_abandon(t->intake);
	server_free(t->engine);
	reply_fini(&t->replies);
	close(t->setup.fd);
	config_unref(t->config);
	mem_free(t);
}

/* ---------------------------------------------------------------- the file */

/* Bytes of the file from `at` on, at most a page, into t->page. Its owner may have changed it meanwhile. */
static struct span read_page(struct droptake *t, uint64_t at, uint64_t until)
{
	uint64_t want = until > at ? until - at : 0;
	ssize_t n = pread(t->setup.fd, t->page, want < PAGE ? (size_t)want : PAGE, (off_t)at);

	while (n < 0 && errno == EINTR)
		n = pread(t->setup.fd, t->page, want < PAGE ? (size_t)want : PAGE, (off_t)at);
	if (n < 0)
		end(t, DROPTAKE_LATER, strerror(errno));
	return span_of(t->page, n > 0 ? (size_t)n : 0);
}

static void note_line(struct droptake *t, const struct dropfile *f, enum dropfile_part part, struct span line)
{
	if (part == DROPFILE_MAIL) {
		memcpy(t->mail, line.data, line.len);
		t->mail_len = line.len;
	} else if (part == DROPFILE_RCPT && f->rcpts == t->setup.done + 1) {
		t->next_at = f->at - line.len;
	}
}

/* Reads all lines once: is the file whole, and where is what. */
static bool scan(struct droptake *t)
{
	struct dropfile f;
	struct span input = SPAN(""), line;

	dropfile_init(&f, t->setup.file_bytes);
	for (;;) {
		enum dropfile_part part = dropfile_next(&f, &input, &line);

		if (part == DROPFILE_BAD) {
			end(t, DROPTAKE_REFUSED, f.error);
			return false;
		}
		if (part == DROPFILE_BODY)
			break;
		if (part != DROPFILE_MORE) {
			note_line(t, &f, part, line);
			continue;
		}
		input = read_page(t, f.at, f.file_bytes);
		if (input.len == 0) {
			end(t, DROPTAKE_REFUSED, "it was cut while it was read");
			return false;
		}
	}
	t->rcpts = f.rcpts;
	t->next = t->setup.done;
	t->body_at = f.at;
	t->body_bytes = f.body_bytes;
	return true;
}

/* The next RCPT line becomes input. */
static bool read_rcpt(struct droptake *t)
{
	struct span page = read_page(t, t->next_at, t->body_at);
	size_t len = span_find(page, '\n') + 1;

	if (len > page.len || len > DROPFILE_LINE_MAX || !span_starts_fold(page, SPAN("RCPT TO:"))) {
		end(t, DROPTAKE_REFUSED, "it was changed while it was read");
		return false;
	}
	t->input = span_first(page, len);
	t->last_at = t->next_at;
	t->next_at += len;
	t->next++;
	return true;
}

static bool read_body(struct droptake *t)
{
	t->input = read_page(t, t->body_at + t->sent_bytes, t->body_at + t->body_bytes);
	if (t->input.len == 0)
		end(t, DROPTAKE_REFUSED, "it was cut while it was read");
	t->sent_bytes += t->input.len;
	return t->input.len > 0;
}

/* ---------------------------------------------------------------- what the engine asks for */

static struct intake_session describe(struct droptake *t)
{
	const struct session_shared *shared = t->setup.shared;

	return (struct intake_session){
		.queue = shared->queue,
		.config = t->config,
		.routes = shared->config,
		.aliases = names_aliases(shared->names),
		.limits = shared->limits,
		.who = &t->who,
		.submitter = t->submitter,
		.origin = t->origin,
		.protocol = server_protocol(t->engine),
		.now_ms = loop_now_ms(shared->loop),
		.wall_ms = loop_wall_ms(shared->loop),
	};
}

static void answer(struct droptake *t, enum intake_verdict verdict, const struct server_reply *reply)
{
	if (verdict == INTAKE_OK)
		server_accept(t->engine, NULL);
	else
		server_refuse(t->engine, *reply);
}

/* False: it must be done again when the queue can take more. */
static bool do_action(struct droptake *t)
{
	struct intake_session about = describe(t);
	const struct server_envelope *envelope = server_envelope(t->engine);
	struct server_reply reply = { 504, "5.5.4", "not available here" };
	enum intake_verdict verdict = INTAKE_OK;
	struct span bytes = t->action.bytes;

	switch (t->action.kind) {
	case SERVER_SEND:
		t->has_reply = reply_feed(&t->replies, &bytes, &t->reply) == REPLY_DONE;
		if (bytes.len) /* one command, one reply */
			end(t, DROPTAKE_LATER, "its session went out of step");
		break;
	case SERVER_ASK_MAIL: answer(t, intake_mail(t->intake, &about, envelope, &reply), &reply); break;
	case SERVER_ASK_RCPT: answer(t, intake_rcpt(t->intake, &about, t->action.rcpt, &reply), &reply); break;
	case SERVER_BODY:
		verdict = intake_body(t->intake, &about, bytes, &reply);
		if (verdict == INTAKE_REFUSED)
			server_fail_body(t->engine, reply);
		break;
	case SERVER_STORE:
		about.state = t->setup.state;
		about.state_value = t->setup.mark(t->setup.arg, t->next, t->next == t->rcpts);
		verdict = intake_store(t->intake, &about, envelope, &reply);
		if (verdict == INTAKE_REFUSED)
			server_refuse(t->engine, reply);
		break;
	case SERVER_ABORT: intake_drop(t->intake); break;
	case SERVER_ASK_AUTH: server_refuse(t->engine, reply); break;
	case SERVER_NEED:
	case SERVER_START_TLS:
	case SERVER_CLOSE: break;
	}
	return verdict != INTAKE_BUSY;
}

/* Until the engine needs something. */
static void step(struct droptake *t)
{
	const struct session_shared *shared = t->setup.shared;
	int64_t now_ms = loop_now_ms(shared->loop);

	if (t->is_stalled) {
		if (!do_action(t))
			return;
		t->is_stalled = false;
		server_held_up(t->engine, now_ms - t->stalled_ms);
	}
	server_wall_clock(t->engine, now_ms, loop_wall_ms(shared->loop));
	do {
		server_step(t->engine, now_ms, &t->input, &t->action);
		if (do_action(t))
			continue;
		t->is_stalled = true;
		t->stalled_ms = now_ms;
		return;
	} while (t->action.kind != SERVER_NEED && t->action.kind != SERVER_CLOSE);
}

/* ---------------------------------------------------------------- what is said to it */

static bool say(struct droptake *t, enum stage stage, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool say(struct droptake *t, enum stage stage, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(t->command, sizeof(t->command), format, args);
	va_end(args);
	t->input = span_of(t->command, (size_t)len);
	t->stage = stage;
	return true;
}

static bool begin_part(struct droptake *t)
{
	t->input = span_of(t->mail, t->mail_len);
	t->stage = STAGE_MAIL;
	t->sent_bytes = 0;
	return true;
}

static bool begin_body(struct droptake *t)
{
	return say(t, t->body_bytes ? STAGE_BODY : STAGE_END, "BDAT %llu LAST\r\n", (unsigned long long)t->body_bytes);
}

/* RFC 5321, 4.5.3.1.10. */
static bool is_one_too_many(const struct droptake *t)
{
	return t->stage == STAGE_RCPT && t->reply.code == 452 && t->reply.status.subject == 5 &&
	       t->reply.status.detail == 3 && server_envelope(t->engine)->rcpt_count > 0;
}

static bool go_without_the_rest(struct droptake *t)
{
	if (!t->setup.may_split) {
		end(t, DROPTAKE_LATER, "too many messages wait that some of their recipients have");
		return false;
	}
	t->next--;
	t->next_at = t->last_at;
	return begin_body(t);
}

/* The last thing that was said went well. False: it has ended. */
static bool say_next(struct droptake *t)
{
	switch (t->stage) {
	case STAGE_GREETING: return say(t, STAGE_HELLO, "EHLO localhost\r\n");
	case STAGE_HELLO: return begin_part(t);
	case STAGE_MAIL:
	case STAGE_RCPT: t->stage = STAGE_RCPT; return t->next < t->rcpts ? read_rcpt(t) : begin_body(t);
	case STAGE_BODY:
		if (t->sent_bytes + PAGE >= t->body_bytes)
			t->stage = STAGE_END;
		return read_body(t);
	case STAGE_END:
		if (t->next < t->rcpts)
			return begin_part(t);
		end(t, DROPTAKE_DONE, "");
		return false;
	}
	return false;
}

/* What comes after a step. False: it has ended, or waits for the queue. */
static bool go_on_from_here(struct droptake *t)
{
	if (t->is_stalled || t->has_ended)
		return false;
	if (!t->has_reply && t->action.kind == SERVER_CLOSE)
		end(t, DROPTAKE_LATER, "its session was ended");
	if (!t->has_reply)
		return t->stage == STAGE_BODY && say_next(t);
	t->has_reply = false;
	if (t->reply.code == expected[t->stage])
		return say_next(t);
	if (is_one_too_many(t))
		return go_without_the_rest(t);
	end_by_reply(t);
	return false;
}

static void go_on(struct droptake *t)
{
	for (int i = 0; i < STEPS; i++) {
		step(t);
		if (!go_on_from_here(t))
			return;
	}
	loop_timer_in(&t->timer, 0);
}

static void on_timer(struct loop_timer *timer)
{
	struct droptake *t = LIST_ENTRY(timer, struct droptake, timer);

	if (t->has_ended)
		t->setup.ended(t->setup.arg, t->end, t->why);
	else
		go_on(t);
}

static void on_ready(void *arg)
{
	struct droptake *t = arg;

	if (t->is_stalled && !t->has_ended)
		go_on(t);
}

static void on_stored(void *arg, const struct intake_result *result)
{
	struct droptake *t = arg;

	if (result->err == QUEUE_OK) {
		log_event(LOG_LEVEL_INFO, "accepted", LOG_ID(result->id), LOG_TEXT("from", result->sender),
			  LOG_NUM("recipients", result->recipients), LOG_NUM("size", t->body_bytes),
			  LOG_TEXT("submitter", t->submitter), LOG_TEXT("origin", t->origin));
		t->setup.shared->accepted++;
		t->setup.accepted(t->setup.arg, t->next, t->next == t->rcpts);
		server_accept(t->engine, NULL);
	} else {
		server_refuse(t->engine, intake_reply(result->err));
	}
	go_on(t);
}

/* ---------------------------------------------------------------- the beginning */

/* sendmail(1) would have come by the Unix socket: rules about that listener are about what it kept, too. */
static const struct config_listener *listener_of(const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].socket)
			return &config->listeners[i];
	return NULL;
}

/* A file cannot log in. */
static bool takes_without_login(const struct config *config)
{
	const struct config_listener *listener = listener_of(config);
	bool some = listener && listener->trust;

	for (size_t i = 0; i < config->listener_count && !listener; i++)
		some = some || config->listeners[i].trust;
	return some;
}

static bool is_welcome(struct droptake *t)
{
	const struct config_listener *listener = listener_of(t->config);
	struct trust_peer peer = { .is_unix = true };
	char why[WHY_SIZE] = "only who logs in may send here";

	who_init(&t->who, listener ? listener->name : "drop", "", &t->setup.uid);
	trust_name(&t->who, false, t->submitter);
	snprintf(t->origin, sizeof(t->origin), "drop uid:%lu", (unsigned long)t->setup.uid);
	if (takes_without_login(t->config) && trust_judge(&t->config->trust, &peer, &t->who, why, sizeof(why)))
		return true;
	end(t, DROPTAKE_REFUSED, why);
	return false;
}

/* As for a listener, but that there is nobody to wait for. */
static void set_server(struct droptake *t)
{
	const struct config *config = t->config;

	t->server = (struct server_config){
		.hostname = config->hostname,
		.features = SERVER_FULL,
		.max_size_bytes = config->queue.max_message_bytes,
		.max_recipients = config->limits.recipients,
		.allow_bare_local_parts = true,
		.ask_mail = true,
		.ask_rcpt = true,
	};
}

struct droptake *droptake_new(const struct droptake_setup *setup)
{
	struct droptake *t = MEM_NEW(struct droptake);
	const struct session_shared *shared = setup->shared;

	t->setup = *setup;
	t->config = config_ref(shared->config);
	t->stage = STAGE_GREETING;
	reply_init(&t->replies);
	loop_timer_init(&t->timer, shared->loop, on_timer);
	set_server(t);
	t->engine = server_new(&t->server, false, loop_now_ms(shared->loop));
	t->intake = intake_new(on_ready, on_stored, t);
	if (is_welcome(t) && scan(t)) {
		if (t->next >= t->rcpts)
			end(t, DROPTAKE_DONE, "");
		else
			loop_timer_in(&t->timer, 0);
	}
	return t;
}
