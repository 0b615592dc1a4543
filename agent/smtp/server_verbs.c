#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "smtp/server_inside.h"

/* ---------------------------------------------------------------- MAIL, RCPT */

static void refuse_address(struct server *s, bool is_mail, enum address_err err)
{
	struct buf text;

	buf_init(&text, COMMAND_SHORT_MAX);
	buf_printf(&text, "Bad %s address: %s", is_mail ? "sender" : "recipient", address_err_text(err));
	if (err == ADDRESS_NOT_ASCII)
		server_say_error(s, 553, "5.6.7", buf_cstr(&text));
	else
		server_say_error(s, 501, is_mail ? "5.1.7" : "5.1.3", buf_cstr(&text));
	buf_fini(&text);
}

/* Reads "FROM:<path> params" or "TO:…"; false: refused, and a reply was said. */
static bool read_path(struct server *s, const struct command *command, struct command_path *out)
{
	bool is_mail = command->verb == COMMAND_MAIL;
	/* Whether MAIL may have UTF-8 in it is known when its parameters are read, behind the address. */
	bool is_utf8 = is_mail ? server_takes(s, SERVER_SMTPUTF8) : s->envelope.smtputf8;
	unsigned options = (is_mail ? ADDRESS_NULL : ADDRESS_POSTMASTER) | (is_utf8 ? ADDRESS_UTF8 : 0);
	enum address_err err = ADDRESS_OK;

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
	refuse_address(s, is_mail, err);
	return false;
}

/* Texts and recipients live in the arena; it has a cap, which only a flood of long addresses meets. */
static char *keep(struct server *s, struct span what)
{
	char *text = mem_arena_dup(&s->arena, what);

	if (!text)
		server_say(s, 452, "4.3.1", "The envelope is too large");
	return text;
}

void server_verbs_open(struct server *s)
{
	s->rcpt_refused = false;
	server_enter(s, STATE_MAIL);
}

const char *server_verbs_ok(const struct server *s, char *text, size_t size)
{
	if (!s->envelope.priority)
		return "Ok";
	snprintf(text, size, "Ok, priority %d", s->envelope.priority);
	return text;
}

/* The envelope of a MAIL command; NULL: refused, and a reply was said. */
static char *read_sender(struct server *s, const struct command *command)
{
	struct command_path path;
	struct span address;

	if (!read_path(s, command, &path) || !server_params_set(s, COMMAND_MAIL, &path, NULL))
		return NULL;
	address = span_of(path.address.text, path.address.len);
	if (!s->envelope.smtputf8 && !text_is_ascii(address)) {
		refuse_address(s, true, ADDRESS_NOT_ASCII);
		return NULL;
	}
	return keep(s, address);
}

static void do_mail(struct server *s, const struct command *command)
{
	char text[32], *sender;

	/* A certificate that is trusted here proves as much. */
	if (s->config->require_auth && !s->user && !s->facts.user) {
		server_say_error(s, 530, "5.7.0", "Authentication is required");
		return;
	}
	server_forget_envelope(s);
	sender = read_sender(s, command);
	if (!sender) {
		server_forget_envelope(s);
		return;
	}
	s->envelope.sender = sender;
	if (s->config->ask_mail) {
		server_enter(s, STATE_ASK_MAIL);
		return;
	}
	server_verbs_open(s);
	server_say(s, 250, "2.1.0", server_verbs_ok(s, text, sizeof(text)));
}

void server_verbs_add(struct server *s)
{
	*s->rcpt_end = s->rcpt;
	s->rcpt_end = &s->rcpt->next;
	s->rcpt = NULL;
	s->envelope.rcpt_count++;
	server_enter(s, STATE_RCPT);
}

/* In the arena, for server_verbs_add(); false: refused, and a reply was said. */
static bool read_rcpt(struct server *s, const struct command *command, struct server_draft *draft)
{
	struct command_path path;
	char *address, *orcpt;

	if (!read_path(s, command, &path) || !server_params_set(s, COMMAND_RCPT, &path, draft))
		return false;
	if (s->envelope.rcpt_count >= server_max_recipients(s)) {
		server_say(s, 452, "4.5.3", "Too many recipients; send this message again for the others");
		return false;
	}
	address = keep(s, span_of(path.address.text, path.address.len));
	orcpt = address ? keep(s, buf_span(&draft->orcpt)) : NULL;
	if (!orcpt)
		return false;
	s->rcpt = mem_arena_alloc(&s->arena, sizeof(*s->rcpt));
	if (!s->rcpt) {
		server_say(s, 452, "4.3.1", "The envelope is too large");
		return false;
	}
	*s->rcpt = (struct server_rcpt){ .address = address, .orcpt = orcpt, .notify = draft->notify };
	return true;
}

static void do_rcpt(struct server *s, const struct command *command)
{
	struct server_draft draft = { 0 };
	bool is_good;

	buf_init(&draft.orcpt, COMMAND_LINE_MAX);
	is_good = read_rcpt(s, command, &draft);
	buf_fini(&draft.orcpt);
	if (!is_good)
		return;
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
	if (s->envelope.body == SERVER_BODY_BINARYMIME) { /* RFC 3030, 3 */
		server_say_error(s, 503, "5.5.1", "BODY=BINARYMIME is sent by BDAT, not by DATA");
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

static void do_bdat(struct server *s, const struct command *command)
{
	server_bdat_begin(s, command->args);
}

/* RFC 6531, 3.7.4.2: UTF-8 needs the word SMTPUTF8 behind it. */
static bool take_utf8_word(const struct server *s, struct span *text)
{
	static const struct span word = SPAN(" SMTPUTF8");

	if (!server_takes(s, SERVER_SMTPUTF8) || text->len <= word.len ||
	    !span_equals_fold(span_from(*text, text->len - word.len), word))
		return false;
	*text = span_trim(span_first(*text, text->len - word.len));
	return true;
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
			return true;
	return false;
}

static void do_vrfy(struct server *s, const struct command *command)
{
	struct span text = command->args;
	bool is_utf8 = take_utf8_word(s, &text);

	if (!text.len || has_control(text) || !text_is_utf8(text))
		server_say_error(s, 501, "5.5.4", "Say VRFY and an address");
	else if (!is_utf8 && !text_is_ascii(text))
		server_say_error(s, 553, "5.6.7", "Non-ASCII characters need SMTPUTF8");
	else
		server_say(s, 252, "2.5.2", "Addresses are not looked up; send the message and see");
}

static void do_expn(struct server *s, const struct command *command)
{
	(void)command;
	server_say_error(s, 502, "5.7.2", "Lists are not expanded here");
}

static void do_help(struct server *s, const struct command *command)
{
	server_help(s, command->args);
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

#define ANYWHERE (BIT(START) | BIT(HELLO) | BIT(MAIL) | BIT(RCPT) | BIT(CHUNKS))

static const struct verb {
	void (*run)(struct server *s, const struct command *command);
	unsigned states;       /* where it may be said */
	bool needs_tls;        /* where TLS is required */
	const char *too_early; /* said in a state before, and after, those */
	const char *too_late;
} verbs[] = {
	[COMMAND_HELO] = { server_hello_helo, ANYWHERE, false, NULL, NULL },
	[COMMAND_EHLO] = { server_hello_ehlo, ANYWHERE, false, NULL, NULL },
	[COMMAND_MAIL] = { do_mail, BIT(HELLO), true, "Say HELO or EHLO first",
			   "A message is open already; RSET gives it up" },
	[COMMAND_RCPT] = { do_rcpt, BIT(MAIL) | BIT(RCPT), true, "Say MAIL FROM:<address> first",
			   "The message has begun; its recipients are known" },
	[COMMAND_DATA] = { do_data, BIT(MAIL) | BIT(RCPT), true, "Say MAIL FROM:<address> first",
			   "The message has begun with BDAT and ends with BDAT" },
	/* Decides by itself, once it knows how much of what follows is no command. */
	[COMMAND_BDAT] = { do_bdat, ANYWHERE, false, NULL, NULL },
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
	} else if (command.len > server_params_line_max(s, command.verb)) {
		if (command.verb == COMMAND_BDAT)
			server_bdat_is_lost(s);
		else
			server_say_error(s, 500, "5.5.2", "The line is too long");
	} else if (now_ms >= server_time_session_end(s) && command.verb != COMMAND_QUIT) {
		server_say_goodbye(s, "4.4.2", "The session has lasted too long");
	} else if (command.verb == COMMAND_UNKNOWN) {
		server_say_error(s, 500, "5.5.1", "The command is not known");
	} else {
		dispatch(s, &command);
	}
	if (s->state == STATE_DATA)
		s->data_ms = now_ms;
}
