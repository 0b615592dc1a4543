#include <string.h>

#include "base/text.h"
#include "smtp/server_inside.h"

/* AUTH (RFC 4954) with the two mechanisms that hand the password over. */

enum { NAME_MAX_BYTES = 255, SECRET_MAX_BYTES = COMMAND_AUTH_MAX };

struct exchange_mechanism;

/* One exchange; a new one for every AUTH. */
struct server_exchange {
	const struct exchange_mechanism *mechanism;
	unsigned step;     /* responses so far */
	struct buf first;  /* response 1, decoded */
	struct buf second; /* response 2, decoded */
	struct server_auth question;
};

struct exchange_mechanism {
	const char *name;
	unsigned steps;
	const char *prompts[2]; /* base64 */
	bool (*read)(struct server_exchange *exchange);
};

/* What goes on to a driver is text: UTF-8 without control characters. */
static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f)
			return false;
	return s.len <= NAME_MAX_BYTES && text_is_utf8(s);
}

static bool is_secret(struct span s)
{
	return s.len > 0 && span_find(s, '\0') == s.len && text_is_utf8(s);
}

/* RFC 4616, 2: [authzid] NUL authcid NUL passwd. */
static bool read_plain(struct server_exchange *exchange)
{
	const char *text = buf_cstr(&exchange->first);
	struct span all = buf_span(&exchange->first);
	struct span authzid = span_first(all, span_find(all, '\0'));
	struct span rest = span_from(all, authzid.len + 1);
	struct span user = span_first(rest, span_find(rest, '\0'));
	struct span password = span_from(rest, user.len + 1);

	if (!is_name(authzid) || !is_name(user) || !user.len || !is_secret(password))
		return false;
	exchange->question = (struct server_auth){
		.authzid = text,
		.user = text + authzid.len + 1,
		.password = text + authzid.len + 1 + user.len + 1,
	};
	return true;
}

static bool read_login(struct server_exchange *exchange)
{
	struct span user = buf_span(&exchange->first), password = buf_span(&exchange->second);

	if (!user.len || !is_name(user) || !is_secret(password))
		return false;
	exchange->question = (struct server_auth){
		.authzid = "",
		.user = buf_cstr(&exchange->first),
		.password = buf_cstr(&exchange->second),
	};
	return true;
}

static const struct exchange_mechanism mechanisms[] = {
	{ "PLAIN", 1, { "", NULL }, read_plain },
	{ "LOGIN", 2, { "VXNlcm5hbWU6", "UGFzc3dvcmQ6" }, read_login }, /* "Username:", "Password:" */
};

void server_auth_list(struct buf *out)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (i)
			buf_append_char(out, ' ');
		buf_append_str(out, mechanisms[i].name);
	}
}

static void wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->capacity);
	buf_fini(buf);
}

void server_auth_forget(struct server *s)
{
	if (!s->exchange)
		return;
	wipe(&s->exchange->first);
	wipe(&s->exchange->second);
	mem_free(s->exchange);
	s->exchange = NULL;
	command_reader_wipe(&s->line);
}

const struct server_auth *server_auth_question(const struct server *s)
{
	return &s->exchange->question;
}

void server_auth_end(struct server *s, bool accepted)
{
	if (accepted)
		s->user = mem_strdup(s->exchange->question.user);
	server_auth_forget(s);
	server_enter(s, STATE_HELLO);
}

/* Ends an exchange that went wrong; the peer may try again. */
static void give_up(struct server *s, int code, const char *status, const char *text)
{
	server_auth_forget(s);
	if (s->state != STATE_HELLO)
		server_enter(s, STATE_HELLO);
	server_say_error(s, code, status, text);
}

static void prompt(struct server *s)
{
	server_enter(s, STATE_AUTH_LINE);
	server_say(s, 334, NULL, s->exchange->mechanism->prompts[s->exchange->step]);
}

static void respond(struct server *s, struct span base64)
{
	struct server_exchange *exchange = s->exchange;
	struct buf *into = exchange->step == 0 ? &exchange->first : &exchange->second;

	/* Room for all of it at once: no copy is left behind by growing. */
	if (!buf_reserve(into, base64.len) || !text_base64_decode(into, base64)) {
		give_up(s, 501, "5.5.2", "That is not base64");
		return;
	}
	if (++exchange->step < exchange->mechanism->steps) {
		prompt(s);
		return;
	}
	if (!exchange->mechanism->read(exchange)) {
		give_up(s, 501, "5.5.2", "The credentials are malformed");
		return;
	}
	exchange->question.mechanism = exchange->mechanism->name;
	server_enter(s, STATE_ASK_AUTH);
}

void server_auth_begin(struct server *s, struct span args)
{
	struct span name = span_first(args, span_find(args, ' '));
	struct span initial = span_trim(span_from(args, name.len));
	const struct exchange_mechanism *mechanism = NULL;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (span_equals_fold(name, span_str(mechanisms[i].name)))
			mechanism = &mechanisms[i];
	if (!mechanism) {
		server_say_error(s, 504, "5.5.4", "The mechanism is not available");
		return;
	}
	s->exchange = MEM_NEW(struct server_exchange);
	s->exchange->mechanism = mechanism;
	buf_init(&s->exchange->first, SECRET_MAX_BYTES);
	buf_init(&s->exchange->second, SECRET_MAX_BYTES);
	if (!initial.len)
		prompt(s);
	else if (span_equals(initial, SPAN("="))) /* RFC 4954, 4: an empty initial response */
		respond(s, span_of("", 0));
	else
		respond(s, initial);
}

void server_auth_line(struct server *s, struct span line)
{
	if (span_equals(line, SPAN("*")))
		give_up(s, 501, "5.7.0", "Authentication was cancelled");
	else
		respond(s, line);
}
