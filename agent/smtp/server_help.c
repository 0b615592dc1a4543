#include "smtp/server_inside.h"

enum { LINE_MAX_BYTES = 510 - 10 }; /* RFC 5321, 4.5.3.1.5, less code and status */

/* What a command is for and how it is written; parameters come from their own table. */
static const struct {
	unsigned features; /* any of them; 0: always there */
	const char *text;
} topics[] = {
	[COMMAND_HELO] = { 0, "HELO host" },
	[COMMAND_EHLO] = { 0, "EHLO host: lists what this server offers" },
	[COMMAND_MAIL] = { 0, "MAIL FROM:<sender>" },
	[COMMAND_RCPT] = { 0, "RCPT TO:<recipient>" },
	[COMMAND_DATA] = { 0, "DATA, then the message, then a line that holds only a dot" },
	[COMMAND_BDAT] = { SERVER_CHUNKING, "BDAT octets [LAST], then so many octets of the message" },
	[COMMAND_RSET] = { 0, "RSET: gives the open message up" },
	[COMMAND_NOOP] = { 0, "NOOP: does nothing" },
	[COMMAND_QUIT] = { 0, "QUIT: ends the session" },
	[COMMAND_VRFY] = { 0, "VRFY address: never tells whether it exists" },
	[COMMAND_EXPN] = { 0, "EXPN: is not available" },
	[COMMAND_HELP] = { 0, "HELP [command]" },
	[COMMAND_STARTTLS] = { SERVER_STARTTLS, "STARTTLS: begins TLS" },
	[COMMAND_AUTH] = { SERVER_AUTH, "AUTH mechanism [initial-response]; EHLO lists the mechanisms" },
};
enum { TOPICS = sizeof(topics) / sizeof(topics[0]) };

static bool is_there(const struct server *s, int verb)
{
	return !topics[verb].features || server_offers(s, topics[verb].features);
}

static void list(const struct server *s, struct buf *text)
{
	buf_append_str(text, "Commands:");
	for (int verb = 0; verb < TOPICS; verb++)
		if (is_there(s, verb)) {
			buf_append_char(text, ' ');
			buf_append_str(text, command_verb_name((enum command_verb)verb));
		}
}

void server_help(struct server *s, struct span topic)
{
	enum command_verb verb = command_verb_of(topic);
	struct buf text;

	if (topic.len && (verb == COMMAND_UNKNOWN || !is_there(s, (int)verb))) {
		server_say_error(s, 504, "5.5.4", "There is no such command; HELP lists all");
		return;
	}
	buf_init(&text, LINE_MAX_BYTES);
	if (topic.len) {
		buf_append_str(&text, topics[verb].text);
		server_params_list(s, verb, &text);
	} else {
		list(s, &text);
	}
	server_say(s, 214, "2.0.0", buf_cstr(&text));
	buf_fini(&text);
}
