#include "smtp/server_inside.h"

bool server_data_objection(const struct server *s, struct server_reply *out)
{
	const struct server_config *config = s->config;
	bool is_strict = config->newline == SERVER_NEWLINE_REFUSE;

	if (is_strict && (s->dot.found & DOT_BARE_NEWLINE))
		*out = (struct server_reply){ 550, "5.5.2", "The message has line ends other than CRLF" };
	else if (is_strict && (s->dot.found & DOT_NUL) && s->envelope.body != SERVER_BODY_BINARYMIME)
		*out = (struct server_reply){ 550, "5.6.0", "The message has NUL bytes in it" };
	else if (config->max_size_bytes && s->envelope.body_bytes > config->max_size_bytes)
		*out = (struct server_reply){ 552, "5.3.4", "The message is larger than this server takes" };
	else
		return false;
	return true;
}

void server_data_judge(struct server *s)
{
	struct server_reply reply;

	if (!s->is_discarding && server_data_objection(s, &reply))
		s->is_discarding = s->abort_due = true;
}

void server_data_store(struct server *s)
{
	s->envelope.has_8bit = s->dot.found & DOT_8BIT;
	s->envelope.has_nul = s->dot.found & DOT_NUL;
	server_enter(s, STATE_STORE);
}

static void end_data(struct server *s)
{
	struct server_reply reply = { 0 };

	if (!s->is_discarding) {
		server_data_store(s);
		return;
	}
	s->is_discarding = false;
	s->reset_due = true;
	server_enter(s, STATE_HELLO);
	if (s->failure_code)
		server_say_line(s, &s->failure);
	else if (server_data_objection(s, &reply))
		server_say(s, reply.code, reply.status, reply.text);
	if (s->failure_code == 421)
		server_enter(s, STATE_CLOSED);
	s->failure_code = 0;
}

bool server_data_read(struct server *s, int64_t now_ms, struct span *input, struct server_action *out)
{
	size_t before = input->len;
	enum dot_verdict verdict = DOT_MORE;
	struct span part = span_of("", 0);

	while (input->len && !part.len && verdict == DOT_MORE)
		verdict = dot_decode(&s->dot, input, &part);
	s->data_bytes += before - input->len;
	s->waiting_ms = now_ms;
	s->envelope.body_bytes += part.len;
	server_data_judge(s);
	out->bytes = part;
	if (verdict == DOT_DONE)
		end_data(s);
	return part.len && s->state == STATE_DATA && !s->is_discarding;
}
