#include <string.h>

#include "base/instant.h"
#include "base/text.h"
#include "smtp/server_inside.h"

enum { HELO_MAX = ADDRESS_DOMAIN_MAX };

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

/* RFC 6531, 3.7.1, asks for A-labels; a machine that calls itself otherwise is understood all the same. */
static struct span helo_name(const struct server *s, struct span name, char ascii[ADDRESS_DOMAIN_SIZE])
{
	bool is_plain = text_is_ascii(name) || !server_offers(s, SERVER_SMTPUTF8);

	return !is_plain && address_domain_ascii(name, ascii) ? span_str(ascii) : name;
}

static bool hello(struct server *s, const struct command *command, bool is_esmtp)
{
	char ascii[ADDRESS_DOMAIN_SIZE];
	struct span name = helo_name(s, command->args, ascii);

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

void server_hello_helo(struct server *s, const struct command *command)
{
	if (hello(s, command, false))
		server_say(s, 250, NULL, s->config->hostname);
}

static void append_feature(const struct server *s, struct buf *line, unsigned feature, const char *keyword)
{
	char date[INSTANT_SIZE];

	buf_append_str(line, keyword);
	if (feature == SERVER_SIZE && s->config->max_size_bytes)
		buf_printf(line, " %llu", (unsigned long long)s->config->max_size_bytes);
	if (feature == SERVER_FUTURERELEASE) {
		int64_t most = server_max_hold_ms(s);

		instant_print(s->now_ms + s->wall_ms + most, date);
		buf_printf(line, " %lld %s", (long long)(most / 1000), date);
	}
	if (feature == SERVER_DELIVERBY && s->config->min_deliver_by_ms > 0)
		buf_printf(line, " %lld", (long long)(s->config->min_deliver_by_ms + 999) / 1000);
	if (feature == SERVER_LIMITS)
		buf_printf(line, " RCPTMAX=%u", server_max_recipients(s));
	if (feature == SERVER_AUTH)
		server_auth_list(s, line);
}

void server_hello_ehlo(struct server *s, const struct command *command)
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
