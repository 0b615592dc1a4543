/* A whole client's session. First byte: configuration; bytes from 0xf0 on are events, all others are said by the server.
 * Claims: each recipient has exactly one outcome; delivered only after a 2xx that came after the final dot; no secret
 * without protection; only CRLF line ends leave, but in binary mail; REQUIRETLS only under proven TLS; after CLOSE
 * nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/client.h"
#include "smtp/sasl.h"

enum { MESSAGES_MAX = 64, STEPS_MAX = 4096, BIGS_MAX = 8, MINUTE_MS = 60000 };

struct taken {
	struct client_message message;
	struct client_rcpt rcpts[3];
	unsigned outcomes[3];
	bool is_dotted, is_done;
	size_t dotted_at; /* bytes the server had said when the final dot was sent */
};

struct session {
	struct client *client;
	struct buf said; /* by the server */
	size_t fed;      /* of it */
	struct taken taken[MESSAGES_MAX];
	size_t count, first; /* messages taken; the oldest that is not done */
	int64_t now_ms;
	bool in_tls, is_authentic, is_unproven, has_failed, is_closed, after_cr, wants_body, has_binary;
	unsigned bigs;
};

static void demand(bool claim)
{
	if (!claim)
		abort();
}

/* What BDAT LAST ends is complete, as what a final dot ends. */
static void note_last_chunk(struct session *s, struct span bytes)
{
	struct taken *t = &s->taken[s->first];

	if (s->first == s->count || t->message.content != CLIENT_BINARY || t->is_dotted ||
	    !memmem(bytes.data, bytes.len, " LAST\r\n", 7))
		return;
	t->is_dotted = true;
	t->dotted_at = s->fed;
}

static void on_send(struct session *s, struct span bytes)
{
	demand(bytes.len > 0);
	for (size_t i = 0; i < bytes.len && !s->has_binary; i++) {
		demand(s->after_cr == (bytes.data[i] == '\n'));
		s->after_cr = bytes.data[i] == '\r';
	}
	if (!s->in_tls || !s->is_authentic || s->is_unproven)
		demand(!memmem(bytes.data, bytes.len, "REQUIRETLS", 10));
	note_last_chunk(s, bytes);
	if (!s->in_tls || !s->is_authentic)
		demand(!memmem(bytes.data, bytes.len, "c2VjcmV0", 8) && !memmem(bytes.data, bytes.len, "AUTH", 4));
	if (s->has_failed)
		demand(span_equals(bytes, SPAN("QUIT\r\n")));
}

/* A line that says 2xx begins at or behind the place where the dot was sent. */
static bool has_consent(const struct session *s, size_t from)
{
	struct span said = span_from(span_first(buf_span(&s->said), s->fed), from);

	while (said.len) {
		struct span line = span_first(said, span_find(said, '\n'));

		if (line.len >= 3 && line.data[0] == '2')
			return true;
		said = span_from(said, line.len + 1);
	}
	return false;
}

static void on_result(struct session *s, const struct client_result *r)
{
	struct taken *t = &s->taken[s->first];

	demand(s->first < s->count && r->message == &t->message && r->rcpt < t->message.rcpt_count);
	demand(t->outcomes[r->rcpt]++ == 0);
	demand(r->reply.text.len <= REPLY_TEXT_MAX);
	if (r->outcome == CLIENT_DELIVERED)
		demand(t->is_dotted && r->reply.code / 100 == 2 && has_consent(s, t->dotted_at));
	if (r->outcome == CLIENT_DOUBTFUL)
		demand(t->is_dotted);
	if (r->outcome == CLIENT_PERMANENT)
		demand(r->reply.code >= 500 || r->reply.code == 0);
}

static void on_done(struct session *s, const struct client_message *message)
{
	struct taken *t = &s->taken[s->first++];

	demand(s->first <= s->count && message == &t->message);
	for (size_t i = 0; i < t->message.rcpt_count; i++)
		demand(t->outcomes[i] == 1);
	t->is_done = true;
}

static void drain(struct session *s)
{
	struct client_action a;

	for (int i = 0;; i++) {
		demand(i < STEPS_MAX);
		client_step(s->client, s->now_ms, &a);
		demand(!s->is_closed || a.kind == CLIENT_WAIT);
		switch (a.kind) {
		case CLIENT_WAIT: demand(client_deadline(s->client) > s->now_ms); return;
		case CLIENT_SEND: on_send(s, a.data); break;
		case CLIENT_START_TLS: demand(!s->in_tls); break;
		case CLIENT_READY: demand(client_is_ready(s->client) && !s->has_failed); break;
		case CLIENT_WANT_BODY:
			demand(a.message == &s->taken[s->first].message);
			s->wants_body = true;
			break;
		case CLIENT_RCPT_RESULT: on_result(s, &a.result); break;
		case CLIENT_MESSAGE_DONE: on_done(s, a.message); break;
		case CLIENT_FAILED:
			demand(!s->has_failed && s->first == s->count);
			s->has_failed = true;
			break;
		case CLIENT_CLOSE:
			demand(s->first == s->count);
			s->is_closed = true;
			break;
		}
	}
}

static void feed(struct session *s)
{
	struct span bytes = span_from(buf_span(&s->said), s->fed);
	char *copy = malloc(bytes.len + 1);

	demand(copy != NULL);
	memcpy(copy, bytes.data, bytes.len);
	s->fed += bytes.len;
	client_feed(s->client, span_of(copy, bytes.len), s->now_ms);
	free(copy);
}

static void give_message(struct session *s, size_t rcpts, bool eight_bit)
{
	static const char *const addresses[] = { "b@example.net", "c@example.net", "d e@example.net" };
	struct taken *t = &s->taken[s->count];

	if (!client_is_ready(s->client) || s->count == MESSAGES_MAX)
		return;
	t->message = (struct client_message){
		.sender = "a@example.com",
		.content = eight_bit ? CLIENT_8BIT : CLIENT_7BIT,
		.size_bytes = eight_bit ? 5000 : 0,
		.rcpts = t->rcpts,
		.rcpt_count = rcpts,
	};
	for (size_t i = 0; i < rcpts; i++)
		t->rcpts[i].address = addresses[i];
	s->count++;
	client_message(s->client, &t->message, s->now_ms);
}

/* Binary, and with everything that can be asked for. */
static void give_demands(struct session *s)
{
	struct taken *t = &s->taken[s->count];

	if (!client_is_ready(s->client) || s->count == MESSAGES_MAX)
		return;
	t->message = (struct client_message){
		.sender = "a@b\xc3\xbc"
			  "cher.example",
		.content = s->count % 2 ? CLIENT_BINARY : CLIENT_7BIT,
		.smtputf8 = true,
		.requiretls = s->count % 4 == 0,
		.priority = -9,
		.ret = CLIENT_RET_FULL,
		.envid = "a+b=c",
		.by = s->count % 3 ? CLIENT_BY_RETURN : CLIENT_BY_NOTIFY,
		.by_trace = true,
		.by_ms = 90 * 1000,
		.size_bytes = 9,
		.rcpts = t->rcpts,
		.rcpt_count = 3,
	};
	t->rcpts[0] = (struct client_rcpt){ "b@example.net", "rfc822;x y@z", CLIENT_NOTIFY_NEVER };
	t->rcpts[1] = (struct client_rcpt){ "\xc3\xb6@example.net", "utf-8;\xc3\xb6+\\@z", CLIENT_NOTIFY_SUCCESS };
	t->rcpts[2] = (struct client_rcpt){ "c@\xc3\xb6.example", NULL, CLIENT_NOTIFY_DELAY };
	s->has_binary |= t->message.content == CLIENT_BINARY;
	s->count++;
	client_message(s->client, &t->message, s->now_ms);
}

static void give_body(struct session *s, struct span bytes)
{
	s->wants_body = false;
	client_body(s->client, bytes, s->now_ms);
}

static void end_body(struct session *s)
{
	struct taken *t = &s->taken[s->first];

	if (!s->wants_body)
		return;
	s->wants_body = false;
	client_body_end(s->client, s->now_ms);
	if (t->message.content == CLIENT_BINARY)
		return; /* its last chunk may still wait for a reply */
	t->is_dotted = true;
	t->dotted_at = s->fed;
}

static void happen(struct session *s, uint8_t event)
{
	static char big[70000];

	switch (event) {
	case 0xf0: give_message(s, 1, false); break;
	case 0xf1: give_message(s, 2, false); break;
	case 0xf2: give_message(s, 3, true); break;
	case 0xfd: give_demands(s); break;
	case 0xf3: give_body(s, SPAN("x\n.y\rz\r\n\r")); break;
	case 0xf4: end_body(s); break;
	case 0xf5: client_body_abort(s->client, s->now_ms); break;
	case 0xf6: client_quit(s->client, s->now_ms); break;
	case 0xf7: client_eof(s->client, SPAN(""), s->now_ms); break;
	case 0xf8:
	case 0xf9:
		client_tls_started(s->client, event == 0xf8, s->now_ms);
		if (!s->in_tls && client_peer(s->client)->tls)
			s->is_authentic = event == 0xf8;
		s->in_tls = client_peer(s->client)->tls;
		break;
	case 0xfa: client_tls_failed(s->client, SPAN("no"), s->now_ms); break;
	case 0xfb: s->now_ms += MINUTE_MS; break;
	case 0xfc:
		if (client_deadline(s->client) != INT64_MAX)
			s->now_ms = client_deadline(s->client);
		break;
	case 0xfe:
		/* Each costs a sanitizer tens of milliseconds. */
		if (s->bigs++ >= BIGS_MAX)
			break;
		memset(big, '\n', sizeof(big));
		give_body(s, span_of(big, sizeof(big)));
		break;
	default: break; /* 0xff: only a cut */
	}
}

static struct client_config config_of(uint8_t bits)
{
	return (struct client_config){
		.ehlo_name = "client.example",
		.tls = (enum client_tls)(bits & 3),
		.auth = bits & 4 ? SASL_ALL : 0,
		.user = "user",
		.secret = SPAN("secret"),
		.relay = bits & 8,
		.pipelining = bits & 16,
		.pipeline_next = bits & 32,
		.chunk_bytes = bits & 64 ? 4 : 0,
		.tls_unproven = bits & 128,
		/* LMTP knows no AUTH here, and so the bit is free. */
		.lmtp = (bits & 12) == 8 && bits & 128,
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session *s = calloc(1, sizeof(*s));
	struct client_config config = config_of(size ? data[0] : 0);

	demand(s != NULL);
	s->is_unproven = config.tls_unproven;
	buf_init(&s->said, size + 1);
	s->client = client_new(&config, s->now_ms);
	drain(s);
	for (size_t i = 1; i < size; i++) {
		if (data[i] < 0xf0) {
			buf_append(&s->said, &data[i], 1);
			continue;
		}
		feed(s);
		drain(s);
		happen(s, data[i]);
		drain(s);
	}
	feed(s);
	drain(s);
	client_eof(s->client, SPAN("end of the test"), s->now_ms);
	drain(s);
	demand(s->is_closed && s->first == s->count);
	client_free(s->client);
	buf_fini(&s->said);
	free(s);
	return 0;
}
