#include "control/fields.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"

enum { TEXT_MAX = 8 * 1024 };

json_t *fields_text(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	json_t *string = len <= TEXT_MAX ? json_stringn(text ? text : "", len) : NULL;
	struct buf clean;

	if (string)
		return string;
	/* Not UTF-8, or longer than any field of ours. */
	buf_init(&clean, 2 * TEXT_MAX);
	text_clean(&clean, span_of(text, len), TEXT_MAX);
	string = json_stringn(buf_span(&clean).data, buf_span(&clean).len);
	buf_fini(&clean);
	return string;
}

json_t *fields_id(uint64_t id)
{
	char text[TEXT_ID_SIZE];

	return json_string(text_id_print(id, text));
}

static void add(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void add_text(json_t *object, const char *key, const char *text)
{
	add(object, key, fields_text(text));
}

static void add_number(json_t *object, const char *key, int64_t number)
{
	add(object, key, json_integer(number));
}

static void add_bool(json_t *object, const char *key, bool value)
{
	add(object, key, json_boolean(value));
}

static json_t *object_of(const char *type)
{
	json_t *object = json_object();

	add(object, "type", json_string(type));
	return object;
}

/* What happens when the time has passed. */
static const char *deliver_by_word(uint32_t flags)
{
	return flags & QUEUE_BY_RETURN ? "return" : flags & QUEUE_BY_NOTIFY ? "notify" : "";
}

json_t *fields_message(const struct queue_envelope *e)
{
	static const char *const bodies[] = {
		[QUEUE_BODY_7BIT] = "7bit", [QUEUE_BODY_8BIT] = "8bitmime", [QUEUE_BODY_BINARY] = "binarymime"
	};
	json_t *object = object_of("message");

	add(object, "id", fields_id(e->id));
	add_number(object, "arrival_ms", e->arrival_ms);
	add_number(object, "size_bytes", (int64_t)e->size_bytes);
	add_text(object, "sender", e->sender);
	add_text(object, "submitter", e->submitter);
	add(object, "uid", e->uid == UINT32_MAX ? json_null() : json_integer(e->uid));
	add_text(object, "origin", e->origin);
	add_text(object, "message_id", e->message_id);
	add_text(object, "subject", e->subject);
	add_text(object, "envid", e->envid);
	add_text(object, "body", bodies[e->body]);
	add_number(object, "recipients_accepted", e->rcpt_count);
	add_bool(object, "held", e->flags & QUEUE_HELD);
	add_bool(object, "damaged", e->flags & QUEUE_DAMAGED_BODY);
	add_bool(object, "report", e->flags & QUEUE_REPORT);
	add_bool(object, "warned", e->flags & QUEUE_WARNED);
	add_number(object, "hold_until_ms", e->hold_until_ms);
	add_bool(object, "held_by_administrator", e->flags & QUEUE_HELD && e->flags & QUEUE_HELD_BY_OPERATOR);
	add_number(object, "deliver_by_ms", e->deliver_by_ms);
	add_text(object, "deliver_by", deliver_by_word(e->flags));
	add_number(object, "priority", e->priority);
	add_text(object, "ret", e->ret == QUEUE_RET_FULL ? "full" : e->ret == QUEUE_RET_HDRS ? "headers" : "");
	add_bool(object, "smtputf8", e->flags & QUEUE_SMTPUTF8);
	add_bool(object, "requiretls", e->flags & QUEUE_REQUIRETLS);
	add_text(object, "route_wanted", e->route);
	add_number(object, "warn_ms", e->warn_ms);
	add_number(object, "expires_ms", e->expires_ms);
	return object;
}

const char *fields_rcpt_state(enum queue_rcpt_state state)
{
	switch (state) {
	case QUEUE_RCPT_WAITING: return "waiting";
	case QUEUE_RCPT_DOUBTFUL: return "doubtful";
	case QUEUE_RCPT_FAILED: return "failed";
	case QUEUE_RCPT_DELIVERED: return "delivered";
	}
	return "";
}

static json_t *notify_words(uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { QUEUE_NOTIFY_NEVER, "never" },
		      { QUEUE_NOTIFY_SUCCESS, "success" },
		      { QUEUE_NOTIFY_FAILURE, "failure" },
		      { QUEUE_NOTIFY_DELAY, "delay" } };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (notify & words[i].bit)
			json_array_append_new(list, json_string(words[i].word));
	return list;
}

json_t *fields_rcpt(const struct queue_rcpt *r, const char *route)
{
	json_t *object = object_of("recipient");

	add_number(object, "n", r->n);
	add_text(object, "address", r->address);
	add_text(object, "orcpt", r->orcpt);
	add(object, "notify", notify_words(r->notify));
	add_text(object, "state", fields_rcpt_state(r->state));
	add_number(object, "attempts", r->attempts);
	add_number(object, "due_ms", r->due_ms);
	add_number(object, "last_ms", r->last_ms);
	add_text(object, "reply", r->reply);
	add_text(object, "host", r->host);
	add_text(object, "route", route);
	add_text(object, "target", r->flow.target);
	return object;
}

static const char *outcome_word(enum queue_outcome_kind kind)
{
	switch (kind) {
	case QUEUE_DELIVERED: return "delivered";
	case QUEUE_BOUNCED: return "bounced";
	case QUEUE_DEFERRED: return "deferred";
	case QUEUE_DOUBT: return "doubtful";
	case QUEUE_REMOVED: return "removed";
	}
	return "";
}

json_t *fields_outcome(const struct queue_outcome *o)
{
	json_t *object = object_of("history");

	add(object, "id", fields_id(o->id));
	add_number(object, "n", o->n);
	add_text(object, "outcome", outcome_word(o->kind));
	add_number(object, "at_ms", o->at_ms);
	add_number(object, "arrival_ms", o->arrival_ms);
	add_text(object, "sender", o->sender);
	add_text(object, "recipient", o->address);
	add_text(object, "reply", o->reply);
	add_text(object, "host", o->host);
	add_text(object, "lane", o->lane);
	add_text(object, "tls", o->tls);
	add_number(object, "took_ms", o->took_ms);
	add_number(object, "attempts", o->attempts);
	add_number(object, "size_bytes", (int64_t)o->size_bytes);
	add_text(object, "submitter", o->submitter);
	add(object, "uid", o->uid == UINT32_MAX ? json_null() : json_integer(o->uid));
	add_text(object, "message_id", o->message_id);
	add_text(object, "subject", o->subject);
	return object;
}

const char *fields_trouble(enum traffic_trouble trouble)
{
	switch (trouble) {
	case TRAFFIC_WELL: return "well";
	case TRAFFIC_NETWORK: return "network";
	case TRAFFIC_LANE: return "host";
	case TRAFFIC_ACCOUNT: return "account";
	}
	return "";
}

json_t *fields_lane(const struct traffic_lane *l)
{
	json_t *object = object_of("lane");

	add_text(object, "name", l->name);
	add_text(object, "host", l->host);
	add_text(object, "trouble", fields_trouble(l->trouble));
	add_bool(object, "parked", l->parked);
	add_text(object, "paused_by", l->paused_by);
	add_number(object, "paused_ms", l->paused_ms);
	add_number(object, "since_ms", l->since_ms);
	add_number(object, "retry_ms", l->retry_ms);
	add_number(object, "failures", l->failures);
	add_text(object, "error", l->error);
	add_text(object, "advice", l->advice);
	add_number(object, "connections", l->connections);
	add_number(object, "connections_max", l->connections_max);
	add_number(object, "connecting", l->connecting);
	add_number(object, "delivered", (int64_t)l->delivered);
	add_number(object, "deferred", (int64_t)l->deferred);
	add_number(object, "bounced", (int64_t)l->bounced);
	add_number(object, "last_success_ms", l->last_success_ms);
	add_bool(object, "insecure", l->insecure);
	return object;
}

json_t *fields_condition(const struct traffic_condition *c)
{
	json_t *object = object_of("condition");

	add_text(object, "route", c->route);
	add_text(object, "when", c->when);
	add_bool(object, "holds", c->holds);
	add_bool(object, "unknown", c->is_unknown);
	add_number(object, "since_ms", c->since_ms);
	add_text(object, "file", c->at.file);
	add_number(object, "line", c->at.line);
	return object;
}

void fields_add_why(json_t *object, const struct traffic_why *w)
{
	add_text(object, "gate", traffic_gate_name(w->gate));
	add_text(object, "lane", w->lane);
	add_number(object, "since_ms", w->since_ms);
	add_number(object, "until_ms", w->until_ms);
	add_text(object, "said", w->said);
	add_text(object, "by", w->by);
	add_text(object, "text", w->text);
	add_text(object, "advice", w->advice);
}
