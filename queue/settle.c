#include "queue/settle.h"

#include "queue/history.h"
#include "queue/message.h"

#include <stdio.h>

static void note_attempt(struct apply *a, const struct queue_outcome *o)
{
	a->rcpt.attempts++;
	a->rcpt.last_ms = o->at_ms;
	a->rcpt.reply = o->reply;
	a->rcpt.host = o->host;
}

static enum queue_err wait_on(struct apply *a, const struct queue_outcome *o)
{
	if (!message_is_held(a))
		message_unschedule(a);
	note_attempt(a, o);
	a->rcpt.state = o->kind == QUEUE_DOUBT ? QUEUE_RCPT_DOUBTFUL : QUEUE_RCPT_WAITING;
	a->rcpt.due_ms = o->due_ms;
	message_rcpt_save(a);
	return message_is_held(a) ? a->txn->err : message_schedule(a);
}

/* The report is owed: the recipient stays, but out of the schedule. */
static enum queue_err stay_for_report(struct apply *a, const struct queue_outcome *o)
{
	int64_t at_ms = o->at_ms > 0 ? o->at_ms : 1, set_ms = a->env.timer_ms[QUEUE_TIMER_REPORT];

	if (!message_is_held(a))
		message_unschedule(a);
	a->rcpt.state = o->kind == QUEUE_DELIVERED ? QUEUE_RCPT_DELIVERED : QUEUE_RCPT_FAILED;
	if (set_ms == 0 || at_ms < set_ms)
		message_set_timer(a, QUEUE_TIMER_REPORT, at_ms);
	return message_rcpt_save(a);
}

static enum queue_err end(struct apply *a, const struct queue_outcome *o)
{
	enum queue_err err;

	note_attempt(a, o);
	err = history_add(a, o);
	if (err != QUEUE_OK)
		return err;
	return o->report_owed ? stay_for_report(a, o) : message_rcpt_leave(a);
}

static enum queue_err settle_one(struct apply *a, const struct queue_outcome *o)
{
	enum queue_err err = message_rcpt(a, o->n);

	if (err == QUEUE_NOT_FOUND)
		return QUEUE_OK;
	if (err != QUEUE_OK)
		return err;
	if (!message_is_waiting(a))
		return QUEUE_OK; /* settled meanwhile */
	switch (o->kind) {
	case QUEUE_DELIVERED:
	case QUEUE_BOUNCED: return end(a, o);
	case QUEUE_DEFERRED:
	case QUEUE_DOUBT: return wait_on(a, o);
	case QUEUE_REMOVED: break;
	}
	return QUEUE_INVALID;
}

enum queue_err settle_apply(struct apply *a, const struct op_step *s)
{
	enum queue_err err = message_load(a, s->id);

	if (err == QUEUE_NOT_FOUND)
		return QUEUE_OK; /* removed while it was under way */
	for (size_t i = 0; i < s->settle.count && err == QUEUE_OK; i++)
		err = settle_one(a, &s->settle.outcomes[i]);
	return err;
}

enum queue_err settle_reported(struct apply *a, const struct op_step *s)
{
	enum queue_err err = message_load(a, s->id);

	if (err == QUEUE_OK)
		err = message_rcpt(a, s->n);
	if (err == QUEUE_NOT_FOUND)
		return QUEUE_OK;
	if (err != QUEUE_OK)
		return err;
	return message_is_waiting(a) ? QUEUE_INVALID : message_rcpt_leave(a);
}

static enum queue_err remove_one(struct apply *a, const struct op_step *s)
{
	char reply[RECORD_TEXT_MAX];
	struct queue_outcome o = { .n = a->rcpt.n, .kind = QUEUE_REMOVED, .at_ms = s->remove.at_ms, .reply = reply };
	enum queue_err err = QUEUE_OK;

	snprintf(reply, sizeof reply, "removed by %s", s->remove.by);
	/* How a settled one ended is in the history already. */
	if (message_is_waiting(a))
		err = history_add(a, &o);
	return err == QUEUE_OK ? message_rcpt_leave(a) : err;
}

enum queue_err settle_remove(struct apply *a, const struct op_step *s)
{
	enum queue_err err = message_load(a, s->id);
	uint32_t n = 0;

	if (err != QUEUE_OK)
		return err;
	if (s->n != QUEUE_ALL) {
		err = message_rcpt(a, s->n);
		return err == QUEUE_OK ? remove_one(a, s) : err;
	}
	while ((err = message_rcpt_from(a, n)) == QUEUE_OK) {
		n = a->rcpt.n + 1;
		err = remove_one(a, s);
		if (err != QUEUE_OK)
			return err;
	}
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}
