#include <string.h>

#include "base/text.h"
#include "smtp/server_inside.h"

enum { DEFAULT_RECIPIENTS = 1000, HELO_MAX = ADDRESS_DOMAIN_MAX };

/* ---------------------------------------------------------------- HELO, EHLO */

/* A domain or address literal in RFC 5321; programs of this machine say all sorts of names, so anything is taken that
 * cannot disturb a Received field. */
static bool is_helo_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = span_lower(s.data[i]);

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (!c || !strchr("-._:[]", c)))
			return false;
	}
	return s.len > 0 && s.len <= HELO_MAX;
}

static bool hello(struct server *s, const struct command *command, bool is_esmtp)
{
	struct span name = command->args;

	if (!is_helo_name(name)) {
		server_say_error(s, 501, NULL, "Say HELO or EHLO with your host name, or its address in [brackets]");
		return false;
	}
	server_drop(s);
	if (s->helo && strlen(s->helo) == name.len) {
		memcpy(s->helo, name.data, name.len);
	} else {
		mem_free(s->helo);
		s->helo = mem_span_dup(name);
	}
	s->is_esmtp = is_esmtp;
	server_enter(s, STATE_HELLO);
	return true;
}

static void do_helo(struct server *s, const struct command *command)
{
	if (hello(s, command, false))
		server_say(s, 250, NULL, s->config->hostname);
}

static void append_feature(const struct server *s, struct buf *line, unsigned feature, const char *keyword)
{
	buf_append_str(line, keyword);
	if (feature == SERVER_SIZE && s->config->max_size_bytes)
		buf_printf(line, " %llu", (unsigned long long)s->config->max_size_bytes);
	if (feature == SERVER_AUTH)
		server_auth_list(s, line);
}

static void do_ehlo(struct server *s, const struct command *command)
{
	static const struct {
		unsigned feature;
		const char *keyword;
	} rows[] = {
#define X(name, keyword) { SERVER_##name, keyword },
		SERVER_FEATURES(X)
#undef X
	};
	struct buf line;

	if (!hello(s, command, true))
		return;
	buf_init(&line, COMMAND_SHORT_MAX);
	buf_append_str(&line, s->config->hostname);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!server_offers(s, rows[i].feature))
			continue;
		buf_append(&s->out, "250-", 4);
		buf_append_span(&s->out, buf_span(&line));
		buf_append(&s->out, "\r\n", 2);
		buf_clear(&line);
		append_feature(s, &line, rows[i].feature, rows[i].keyword);
	}
	server_say(s, 250, NULL, buf_cstr(&line));
	buf_fini(&line);
}

/* ---------------------------------------------------------------- MAIL, RCPT */

/* Parameters set fields of the envelope. False: refused, and a reply was said. */
static bool set_size(struct server *s, struct span value)
{
	uint64_t size;

	if (value.len > 20 || !text_number(value, UINT64_MAX, &size)) {
		server_say_error(s, 501, "5.5.4", "SIZE= takes a number of octets");
		return false;
	}
	if (s->config->max_size_bytes && size > s->config->max_size_bytes) {
		server_say(s, 552, "5.3.4", "The message is larger than this server takes");
		return false;
	}
	s->envelope.declared_bytes = size;
	return true;
}

static bool set_body(struct server *s, struct span value)
{
	if (span_equals_fold(value, SPAN("8BITMIME")))
		s->envelope.body = SERVER_BODY_8BITMIME;
	else if (span_equals_fold(value, SPAN("7BIT")))
		s->envelope.body = SERVER_BODY_7BIT;
	else {
		server_say_error(s, 501, "5.5.4", "BODY= takes 7BIT or 8BITMIME");
		return false;
	}
	return true;
}

/* RFC 4954, 5: must be understood where AUTH is offered; what it claims is not trusted and so not kept. */
static bool set_auth(struct server *s, struct span value)
{
	struct buf decoded;
	bool good;

	buf_init(&decoded, COMMAND_LINE_MAX);
	good = span_equals(value, SPAN("<>")) || text_xtext_decode(&decoded, value);
	buf_fini(&decoded);
	if (!good)
		server_say_error(s, 501, "5.5.4", "AUTH= takes an address in xtext, or <>");
	return good;
}

static const struct param {
	enum command_verb verb;
	unsigned feature;
	struct span key;
	bool (*set)(struct server *s, struct span value);
} params[] = {
	{ COMMAND_MAIL, SERVER_SIZE, { "SIZE", 4 }, set_size },
	{ COMMAND_MAIL, SERVER_8BITMIME, { "BODY", 4 }, set_body },
	{ COMMAND_MAIL, SERVER_AUTH, { "AUTH", 4 }, set_auth },
};

static const struct param *find_param(const struct server *s, enum command_verb verb, struct span key)
{
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		if (params[i].verb == verb && span_equals_fold(params[i].key, key))
			return s->is_esmtp && server_offers(s, params[i].feature) ? &params[i] : NULL;
	return NULL;
}

static bool set_params(struct server *s, enum command_verb verb, const struct command_path *path)
{
	unsigned seen = 0;

	for (size_t i = 0; i < path->param_count; i++) {
		const struct param *param = find_param(s, verb, path->params[i].key);
		unsigned bit = param ? 1u << (param - params) : 0;

		if (!param) {
			server_say_error(s, 555, "5.5.4", "A parameter is not known here");
			return false;
		}
		if (seen & bit) {
			server_say_error(s, 501, "5.5.4", "A parameter is given twice");
			return false;
		}
		seen |= bit;
		if (!param->set(s, path->params[i].value))
			return false;
	}
	return true;
}

/* Reads "FROM:<path> params" or "TO:…"; false: refused, and a reply was said. */
static bool read_path(struct server *s, const struct command *command, struct command_path *out)
{
	bool is_mail = command->verb == COMMAND_MAIL;
	unsigned options = is_mail ? ADDRESS_NULL : ADDRESS_POSTMASTER;
	enum address_err err = ADDRESS_OK;
	struct buf text;

	if (s->config->allow_bare_local_parts)
		options |= ADDRESS_BARE;
	switch (command_path(command->args, is_mail ? SPAN("FROM:") : SPAN("TO:"), options, out, &err)) {
	case COMMAND_PATH_OK: return true;
	case COMMAND_PATH_WORD:
		server_say_error(s, 501, "5.5.4", is_mail ? "Say MAIL FROM:<address>" : "Say RCPT TO:<address>");
		return false;
	case COMMAND_PATH_PARAM: server_say_error(s, 501, "5.5.4", "Bad parameter behind the address"); return false;
	case COMMAND_PATH_MANY: server_say_error(s, 501, "5.5.4", "Too many parameters"); return false;
	case COMMAND_PATH_ADDRESS: break;
	}
	buf_init(&text, COMMAND_SHORT_MAX);
	buf_printf(&text, "Bad %s address: %s", is_mail ? "sender" : "recipient", address_err_text(err));
	if (err == ADDRESS_NOT_ASCII)
		server_say_error(s, 553, "5.6.7", buf_cstr(&text));
	else
		server_say_error(s, 501, is_mail ? "5.1.7" : "5.1.3", buf_cstr(&text));
	buf_fini(&text);
	return false;
}

/* Texts and recipients live in the arena; it has a cap, which only a flood of long addresses meets. */
static char *keep(struct server *s, const struct address *address)
{
	char *text = mem_arena_dup(&s->arena, span_of(address->text, address->len));

	if (!text)
		server_say(s, 452, "4.3.1", "The envelope is too large");
	return text;
}

void server_verbs_open(struct server *s)
{
	s->rcpt_refused = false;
	server_enter(s, STATE_MAIL);
}

static void do_mail(struct server *s, const struct command *command)
{
	struct command_path path;
	char *sender;

	/* A certificate that is trusted here proves as much. */
	if (s->config->require_auth && !s->user && !s->facts.user) {
		server_say_error(s, 530, "5.7.0", "Authentication is required");
		return;
	}
	if (!read_path(s, command, &path))
		return;
	mem_arena_reset(&s->arena);
	s->envelope = (struct server_envelope){ .sender = NULL };
	s->rcpt_end = &s->envelope.rcpts;
	if (!set_params(s, COMMAND_MAIL, &path))
		return;
	sender = keep(s, &path.address);
	if (!sender)
		return;
	s->envelope.sender = sender;
	if (s->config->ask_mail) {
		server_enter(s, STATE_ASK_MAIL);
		return;
	}
	server_verbs_open(s);
	server_say(s, 250, "2.1.0", "Ok");
}

void server_verbs_add(struct server *s)
{
	*s->rcpt_end = s->rcpt;
	s->rcpt_end = &s->rcpt->next;
	s->rcpt = NULL;
	s->envelope.rcpt_count++;
	server_enter(s, STATE_RCPT);
}

static void do_rcpt(struct server *s, const struct command *command)
{
	uint32_t max = s->config->max_recipients ? s->config->max_recipients : DEFAULT_RECIPIENTS;
	struct command_path path;
	char *address;

	if (!read_path(s, command, &path) || !set_params(s, COMMAND_RCPT, &path))
		return;
	if (s->envelope.rcpt_count >= max) {
		server_say(s, 452, "4.5.3", "Too many recipients; send this message again for the others");
		return;
	}
	address = keep(s, &path.address);
	if (!address)
		return;
	s->rcpt = mem_arena_alloc(&s->arena, sizeof(*s->rcpt));
	if (!s->rcpt) {
		server_say(s, 452, "4.3.1", "The envelope is too large");
		return;
	}
	*s->rcpt = (struct server_rcpt){ .address = address };
	if (s->config->ask_rcpt) {
		server_enter(s, STATE_ASK_RCPT);
		return;
	}
	server_verbs_add(s);
	server_say(s, 250, "2.1.5", "Ok");
}

/* ---------------------------------------------------------------- the others */

static void do_data(struct server *s, const struct command *command)
{
	(void)command;
	if (s->state == STATE_MAIL) {
		/* No mistake where RCPT, refused, and DATA were sent in one group (RFC 2920, 3.1). */
		if (s->rcpt_refused)
			server_say(s, 554, "5.5.1", "No recipient was accepted");
		else
			server_say_error(s, 503, "5.5.1", "Say RCPT TO:<address> first");
		return;
	}
	dot_decode_init(&s->dot);
	s->data_bytes = 0;
	server_say(s, 354, NULL, "Send the message; end it with a line that holds only a dot");
	server_enter(s, STATE_DATA);
}

static void do_rset(struct server *s, const struct command *command)
{
	(void)command;
	server_drop(s);
	server_say(s, 250, "2.0.0", "Ok");
}

static void do_noop(struct server *s, const struct command *command)
{
	(void)command;
	server_say(s, 250, "2.0.0", "Ok");
}

static void do_quit(struct server *s, const struct command *command)
{
	(void)command;
	server_drop(s);
	server_say(s, 221, "2.0.0", "Goodbye");
	server_enter(s, STATE_CLOSED);
}

static void do_vrfy(struct server *s, const struct command *command)
{
	if (command->args.len)
		server_say(s, 252, "2.5.2", "Addresses are not looked up; send the message and see");
	else
		server_say_error(s, 501, "5.5.4", "Say VRFY and an address");
}

static void do_expn(struct server *s, const struct command *command)
{
	(void)command;
	server_say_error(s, 502, "5.5.1", "EXPN is not available");
}

static void do_help(struct server *s, const struct command *command)
{
	(void)command;
	server_say(s, 214, "2.0.0",
		   "Commands:"
#define X(verb, max) " " #verb
		   COMMAND_VERBS(X)
#undef X
	);
}

static void do_starttls(struct server *s, const struct command *command)
{
	if (s->is_tls)
		server_say_error(s, 503, "5.5.1", "TLS is active already");
	else if (!s->is_esmtp || !server_offers(s, SERVER_STARTTLS))
		server_say_error(s, 502, "5.5.1", "STARTTLS is not available");
	else if (command->args.len)
		server_say_error(s, 501, "5.5.4", "STARTTLS takes no argument");
	else
		server_enter(s, STATE_TLS); /* 220 is said when nothing lies behind the command */
}

static void do_auth(struct server *s, const struct command *command)
{
	if (s->user)
		server_say_error(s, 503, "5.5.1", "You are authenticated already");
	else if (!(s->config->features & SERVER_AUTH) || !s->is_esmtp)
		server_say_error(s, 502, "5.5.1", "AUTH is not available");
	else if (!s->is_tls && !server_offers(s, SERVER_AUTH))
		server_say_error(s, 538, "5.7.11", "Passwords are taken over TLS only; say STARTTLS first");
	else
		server_auth_begin(s, command->args);
}

/* ---------------------------------------------------------------- the table */

#define BEFORE_HELLO BIT(START)
#define ANYWHERE     (BIT(START) | BIT(HELLO) | BIT(MAIL) | BIT(RCPT))

static const struct verb {
	void (*run)(struct server *s, const struct command *command);
	unsigned states;       /* where it may be said */
	bool needs_tls;        /* where TLS is required */
	const char *too_early; /* said in a state before, and after, those */
	const char *too_late;
} verbs[] = {
	[COMMAND_HELO] = { do_helo, ANYWHERE, false, NULL, NULL },
	[COMMAND_EHLO] = { do_ehlo, ANYWHERE, false, NULL, NULL },
	[COMMAND_MAIL] = { do_mail, BIT(HELLO), true, "Say HELO or EHLO first",
			   "A message is open already; RSET gives it up" },
	[COMMAND_RCPT] = { do_rcpt, BIT(MAIL) | BIT(RCPT), true, "Say MAIL FROM:<address> first", NULL },
	[COMMAND_DATA] = { do_data, BIT(MAIL) | BIT(RCPT), true, "Say MAIL FROM:<address> first", NULL },
	[COMMAND_RSET] = { do_rset, ANYWHERE, false, NULL, NULL },
	[COMMAND_NOOP] = { do_noop, ANYWHERE, false, NULL, NULL },
	[COMMAND_QUIT] = { do_quit, ANYWHERE, false, NULL, NULL },
	[COMMAND_VRFY] = { do_vrfy, ANYWHERE, true, NULL, NULL },
	[COMMAND_EXPN] = { do_expn, ANYWHERE, true, NULL, NULL },
	[COMMAND_HELP] = { do_help, ANYWHERE, false, NULL, NULL },
	[COMMAND_STARTTLS] = { do_starttls, BIT(HELLO), false, "Say EHLO first", "Not while a message is open" },
	[COMMAND_AUTH] = { do_auth, BIT(HELLO), true, "Say EHLO first", "Not while a message is open" },
};

static void dispatch(struct server *s, const struct command *command)
{
	const struct verb *verb = &verbs[command->verb];
	unsigned here = 1u << s->state;

	if (verb->needs_tls && s->config->require_tls && !s->is_tls)
		server_say_error(s, 530, "5.7.0", "TLS is required; say STARTTLS first");
	else if (!(verb->states & here))
		server_say_error(s, 503, "5.5.1", here < verb->states ? verb->too_early : verb->too_late);
	else
		verb->run(s, command);
}

void server_verbs_run(struct server *s, struct span line, int64_t now_ms)
{
	struct command command;

	command_parse(line, &command);
	if (command.verb == COMMAND_HTTP) {
		server_say_goodbye(s, "4.7.0", "This is not a web server");
	} else if (command.is_long) {
		server_say_error(s, 500, "5.5.2", "The line is too long");
	} else if (now_ms >= server_session_end(s) && command.verb != COMMAND_QUIT) {
		server_say_goodbye(s, "4.4.2", "The session has lasted too long");
	} else if (command.verb == COMMAND_UNKNOWN) {
		server_say_error(s, 500, "5.5.1", "The command is not known");
	} else {
		dispatch(s, &command);
	}
	if (s->state == STATE_DATA)
		s->data_ms = now_ms;
}
