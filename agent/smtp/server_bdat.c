#include <stdio.h>

#include "base/text.h"
#include "smtp/server_inside.h"

/*
 * BDAT (RFC 3030). Whatever is said to a chunk, its octets are read to their true end and are never commands: a chunk
 * that cannot be taken is skipped, and one whose length is not understood ends the session.
 */

struct refusal {
	struct server_reply reply;
	bool is_mistake;
};

static bool is_binary(const struct server *s)
{
	return s->envelope.body == SERVER_BODY_BINARYMIME;
}

/* chunk-size [SP "LAST"] */
static bool read_args(struct span args, uint64_t *out_size, bool *out_last)
{
	struct span size = span_first(args, span_find(args, ' '));
	struct span last = span_trim(span_from(args, size.len));

	*out_last = last.len > 0;
	return text_number(size, UINT64_MAX, out_size) && (!last.len || span_equals_fold(last, SPAN("LAST")));
}

void server_bdat_is_lost(struct server *s)
{
	s->errors++;
	server_say_last(s,
			(struct server_reply){ 521, "5.5.4", "Say BDAT, the chunk's octets, and LAST with the last" });
}

/* False: nothing stands against the chunk. */
static bool find_refusal(const struct server *s, struct refusal *out)
{
	out->is_mistake = true;
	if (s->state == STATE_START)
		out->reply = (struct server_reply){ 503, "5.5.1", "Say EHLO first" };
	else if (!server_takes(s, SERVER_CHUNKING))
		out->reply = (struct server_reply){ 502, "5.5.1", "BDAT is not available" };
	else if (s->config->require_tls && !s->is_tls)
		out->reply = (struct server_reply){ 530, "5.7.0", "TLS is required; say STARTTLS first" };
	else if (s->state == STATE_HELLO)
		out->reply = (struct server_reply){ 503, "5.5.1", "Say MAIL FROM:<address> first" };
	else if (s->state == STATE_MAIL && !s->rcpt_refused)
		out->reply = (struct server_reply){ 503, "5.5.1", "Say RCPT TO:<address> first" };
	else if (s->state == STATE_MAIL)
		/* No mistake where RCPT, refused, and BDAT were sent in one group (RFC 2920, 3.1). */
		*out = (struct refusal){ { 554, "5.5.1", "No recipient was accepted" }, false };
	else
		return false;
	return true;
}

/* The message ends here for the peer, however many chunks it still sends. */
static void fail(struct server *s, struct server_reply reply)
{
	s->failure_code = reply.code;
	server_say_prepare(s, &s->failure, reply);
}

static bool is_too_large(const struct server *s, uint64_t size)
{
	uint64_t max = s->config->max_size_bytes, had = s->envelope.body_bytes;

	return max && (had > max || size > max - had);
}

void server_bdat_begin(struct server *s, struct span args)
{
	struct refusal refusal;
	uint64_t size;
	bool is_last;

	if (!read_args(args, &size, &is_last)) {
		server_bdat_is_lost(s);
		return;
	}
	s->chunk_size = s->chunk_left = size;
	s->is_last_chunk = is_last;
	s->waiting_ms = s->now_ms;
	if (find_refusal(s, &refusal)) {
		s->is_mistake = refusal.is_mistake;
		fail(s, refusal.reply);
		s->data_ms = s->now_ms;
		s->data_bytes = 0;
		server_enter(s, STATE_SKIP);
		return;
	}
	if (s->state == STATE_RCPT) {
		dot_decode_init(&s->dot);
		s->data_bytes = 0;
		s->data_ms = s->chunk_ms = s->now_ms;
		s->envelope.is_chunked = true;
	}
	s->data_ms += s->now_ms - s->chunk_ms;
	/* Text only grows when it is put right. */
	if (!s->is_discarding && is_too_large(s, size)) {
		s->is_discarding = s->abort_due = true;
		fail(s, (struct server_reply){ 552, "5.3.4", "The message is larger than this server takes" });
	}
	server_enter(s, STATE_BDAT);
}

/* Takes bytes of the chunk off the input; what they mean may be nothing yet. */
static struct span take_part(struct server *s, struct span *input)
{
	struct span chunk = *input, part;
	size_t all;

	if (chunk.len > s->chunk_left)
		chunk.len = (size_t)s->chunk_left;
	all = chunk.len;
	if (is_binary(s)) {
		part = chunk;
		s->dot.found |= dot_look(part);
		chunk.len = 0;
	} else {
		do
			dot_text(&s->dot, &chunk, &part);
		while (chunk.len && !part.len);
	}
	*input = span_from(*input, all - chunk.len);
	return part;
}

static void say_received(struct server *s)
{
	char text[48];

	snprintf(text, sizeof(text), "%llu octets received", (unsigned long long)s->chunk_size);
	server_say(s, 250, "2.0.0", text);
}

/* The chunk belongs to a message that was refused. */
static void end_refused(struct server *s)
{
	struct server_reply reply;
	int code;

	if (!s->failure_code && server_data_objection(s, &reply))
		fail(s, reply);
	code = s->failure_code;
	server_enter(s, s->is_last_chunk ? STATE_HELLO : STATE_CHUNKS);
	server_say_line(s, &s->failure);
	if (s->is_last_chunk) {
		s->is_discarding = false;
		s->failure_code = 0;
		s->reset_due = true;
	}
	if (code == 421) {
		server_drop(s);
		server_enter(s, STATE_CLOSED);
	}
}

/* True: out->bytes is to be handed out before the end. */
static bool end_chunk(struct server *s, struct server_action *out)
{
	if (s->is_last_chunk) {
		out->bytes = dot_text_end(&s->dot);
		s->envelope.body_bytes += out->bytes.len;
		server_data_judge(s);
		if (out->bytes.len && !s->is_discarding)
			return true;
	}
	s->chunk_ms = s->now_ms;
	if (s->is_discarding) {
		end_refused(s);
	} else if (s->is_last_chunk) {
		server_data_store(s);
	} else {
		server_enter(s, STATE_CHUNKS);
		say_received(s);
	}
	return false;
}

bool server_bdat_read(struct server *s, int64_t now_ms, struct span *input, struct server_action *out)
{
	size_t before = input->len;

	s->waiting_ms = now_ms;
	if (!s->chunk_left)
		return end_chunk(s, out);
	out->bytes = take_part(s, input);
	s->chunk_left -= before - input->len;
	s->data_bytes += before - input->len;
	s->envelope.body_bytes += out->bytes.len;
	server_data_judge(s);
	return out->bytes.len && !s->is_discarding;
}

void server_bdat_skip(struct server *s, int64_t now_ms, struct span *input)
{
	size_t taken = input->len < s->chunk_left ? input->len : (size_t)s->chunk_left;

	*input = span_from(*input, taken);
	s->chunk_left -= taken;
	s->data_bytes += taken;
	s->waiting_ms = now_ms;
	if (s->chunk_left)
		return;
	server_enter(s, s->state_before);
	s->failure_code = 0;
	if (!s->is_mistake || !server_say_too_many(s))
		server_say_line(s, &s->failure);
}
