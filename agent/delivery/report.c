#include "delivery/report.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "route.h"

enum { TOKEN_SIZE = 33, RCPT_TEXT_MAX = 4096 };

struct report *report_new(const struct report_setup *setup)
{
	struct report *report = MEM_NEW(struct report);

	report->setup = *setup;
	list_init(&report->node);
	mem_arena_init(&report->arena, (size_t)REPORT_RCPTS_MAX * RCPT_TEXT_MAX);
	report->uid = UINT32_MAX;
	buf_init(&report->text, 4096);
	buf_init(&report->tail, 4096);
	return report;
}

void report_free(struct report *report)
{
	if (!report)
		return;
	if (report->has_reader)
		queue_body_close(&report->reader);
	queue_receipt_free(report->receipt);
	buf_fini(&report->text);
	buf_fini(&report->tail);
	mem_arena_fini(&report->arena);
	mem_free(report->messages);
	mem_free(report->rcpts);
	mem_free(report->n);
	list_remove(&report->node);
	mem_free(report);
}

static void fail(struct report *report, enum queue_err err)
{
	report->setup.done(report->setup.arg, report, err, 0);
}

static void done(void *arg, enum queue_err err, uint64_t id)
{
	struct report *report = arg;

	report->setup.done(report->setup.arg, report, err, id);
}

static const char *keep(struct report *report, const char *text)
{
	const char *copy = text[0] ? mem_arena_dup(&report->arena, span_str(text)) : "";

	return copy ? copy : "";
}

void report_about(struct report *report, struct queue_timer timer, const struct queue_envelope *envelope)
{
	char id[TEXT_ID_SIZE];

	if (report->message_count == report->message_room) {
		report->message_room = report->message_room ? 2 * report->message_room : 1;
		report->messages = mem_realloc(report->messages, report->message_room, sizeof *report->messages);
	}
	report->messages[report->message_count++] = (struct report_message){
		.timer = timer,
		.first = report->count,
		.id = keep(report, text_id_print(timer.id, id)),
		.message_id = keep(report, envelope->message_id),
		.subject = keep(report, envelope->subject),
		.envid = keep(report, envelope->envid),
		.arrival_ms = envelope->arrival_ms,
		.deliver_by_ms = envelope->deliver_by_ms,
	};
	/* RFC 8689, 5: what may only travel under TLS is not given away in a report either. */
	report->is_requiretls |= (envelope->flags & QUEUE_REQUIRETLS) != 0;
	report->uid = report->message_count == 1 || report->uid == envelope->uid ? envelope->uid : UINT32_MAX;
}

void report_not_about(struct report *report)
{
	report->count = report->messages[--report->message_count].first;
}

void report_add(struct report *report, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		enum dsn_action action)
{
	if (report->count == report->room) {
		report->room = report->room ? 2 * report->room : 4;
		report->rcpts = mem_realloc(report->rcpts, report->room, sizeof *report->rcpts);
		report->n = mem_realloc(report->n, report->room, sizeof *report->n);
	}
	report->messages[report->message_count - 1].count++;
	report->n[report->count] = rcpt->n;
	report->rcpts[report->count++] = (struct dsn_rcpt){
		.address = keep(report, rcpt->address),
		.orcpt = keep(report, rcpt->orcpt),
		.action = action,
		.reply = keep(report, rcpt->reply),
		.host = keep(report, rcpt->host),
		.last_ms = rcpt->last_ms,
		.status = report->setup.is_by ? "4.4.7" : "",
		.retry_until_ms = envelope->expires_ms,
		.attempts = rcpt->attempts,
	};
}

/* ---------------------------------------------------------------- composing */

static void token(char out[TOKEN_SIZE])
{
	uint8_t random[(TOKEN_SIZE - 1) / 2];

	crypto_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(out + 2 * i, 3, "%02x", random[i]);
}

/* All that is the same whatever it tells of. */
static struct dsn_report head_of(struct report *report, const char *to, char boundary[TOKEN_SIZE])
{
	const struct config *config = report->setup.scheduler->config;
	const char *at = strrchr(to, '@');
	struct span local = at ? span_of(to, (size_t)(at - to)) : span_str(to);
	char unique[TOKEN_SIZE];

	token(boundary);
	token(unique);
	snprintf(report->message_id, sizeof report->message_id, "%s@%.255s", unique, config->hostname);
	report->sender = keep(report, to);
	/* Such a mailbox can only be told by way of SMTPUTF8 (RFC 6533); a domain alone can be written in ASCII, and a
	 * server that lacks the extension must be able to take the report then. */
	report->is_utf8 = !text_is_ascii(local);
	return (struct dsn_report){
		.hostname = config->hostname,
		.from = config->postmaster,
		.sender = report->sender,
		.report_id = report->message_id,
		.boundary = boundary,
		.now_ms = report->setup.now_ms,
		.utf8 = report->is_utf8,
	};
}

static void tell_of(struct dsn_report *dsn, const struct report *report, const struct report_message *m)
{
	dsn->id = m->id;
	dsn->message_id = m->message_id;
	dsn->subject = m->subject;
	dsn->envid = m->envid;
	dsn->arrival_ms = m->arrival_ms;
	dsn->deliver_by_ms = m->deliver_by_ms;
	dsn->rcpts = report->rcpts + m->first;
	dsn->rcpt_count = m->count;
}

/* Writes the head and the tail; opens the original where it goes along. False: it cannot be read. */
static bool compose(struct report *report, struct queue_view *view, const struct queue_envelope *envelope,
		    const char *to)
{
	struct queue_bytes first = { "", 0 };
	char boundary[TOKEN_SIZE];
	size_t max = dsn_head_max(report->count);
	struct dsn_report dsn = head_of(report, to, boundary);

	tell_of(&dsn, report, &report->messages[0]);
	dsn.is_utf8 = envelope->flags & QUEUE_SMTPUTF8;
	dsn.is_8bit = envelope->body != QUEUE_BODY_7BIT;
	dsn.whole = !report->is_requiretls && dsn_wants_whole(envelope->ret == QUEUE_RET_FULL, envelope->size_bytes,
							      report->rcpts, report->count);
	if (queue_body_open(view, report->messages[0].timer.id, &report->reader) == QUEUE_OK) {
		report->has_reader = true;
		/* A damaged original does not keep the report from its sender. */
		if (!dsn.whole && queue_body_next(&report->reader, view, &first) != QUEUE_OK)
			first = (struct queue_bytes){ "", 0 };
	} else {
		dsn.whole = false;
	}
	dsn.header = dsn_header(span_of(first.data, first.len));
	buf_fini(&report->text);
	buf_init(&report->text, max);
	if (!dsn_head(&report->text, &dsn) || !dsn_tail(&report->tail, &dsn))
		return false;
	report->is_8bit = dsn_is_8bit(&dsn);
	if (report->has_reader && !dsn.whole) {
		queue_body_close(&report->reader);
		report->has_reader = false;
	}
	return true;
}

static bool compose_digest(struct report *report, const char *to)
{
	struct dsn_report *dsns = mem_calloc(report->message_count, sizeof *dsns);
	char boundary[TOKEN_SIZE];
	struct dsn_report head = head_of(report, to, boundary);
	bool ok;

	for (size_t i = 0; i < report->message_count; i++)
		tell_of(&dsns[i], report, &report->messages[i]);
	buf_fini(&report->text);
	buf_init(&report->text, dsn_digest_max(report->message_count, report->count));
	ok = dsn_digest(&report->text, &head, dsns, report->message_count);
	report->is_8bit = report->is_utf8;
	mem_free(dsns);
	return ok;
}

/* ---------------------------------------------------------------- into the queue */

/* That the message was told of. */
static void note(const struct report *report, struct queue_op *op, const struct report_message *m)
{
	if (report->setup.is_warning)
		queue_op_flags(op, m->timer.id, QUEUE_WARNED | (report->setup.is_by ? QUEUE_BY_PASSED : 0), 0, 0);
	for (size_t i = 0; i < m->count && !report->setup.is_warning; i++)
		queue_op_reported(op, m->timer.id, report->n[m->first + i]);
	/* Operations are applied in the order they were submitted: outcomes that come later set the timer anew. */
	if (report->warn_again_ms)
		queue_op_timer(op, (struct queue_timer){ .when_ms = report->warn_again_ms,
							 .kind = QUEUE_TIMER_WARN,
							 .id = m->timer.id });
	else if (!report->is_partial)
		queue_op_timer_drop(op, m->timer);
}

static void submit(struct report *report)
{
	struct queue_op *op = queue_op_new(report->setup.queue);
	/* The queue may have been busy for a while: the routes are those of now. */
	const struct config *config = report->setup.scheduler->config;
	const struct config_route *route = route_find(config, "", report->sender);
	int64_t lifetime_ms = route ? route->lifetime_ms : config->queue.lifetime_ms;
	struct buf target;
	struct queue_envelope envelope = {
		.arrival_ms = report->setup.now_ms,
		.sender = "",
		.submitter = "self",
		.uid = report->uid,
		.origin = "report",
		.envid = "",
		.message_id = report->message_id,
		.subject = report->setup.is_warning ? "Delivery is delayed" : "Delivery report",
		.ret = QUEUE_RET_HDRS,
		.body = report->is_8bit ? QUEUE_BODY_8BIT : QUEUE_BODY_7BIT,
		.flags = QUEUE_REPORT | (report->is_utf8 ? QUEUE_SMTPUTF8 : 0) |
			 (report->is_requiretls ? QUEUE_REQUIRETLS : 0) | (report->is_double ? QUEUE_DOUBLE : 0),
		.expires_ms = report->setup.now_ms + lifetime_ms,
	};
	struct queue_rcpt rcpt = {
		.address = report->sender,
		.orcpt = "",
		.notify = QUEUE_NOTIFY_NEVER,
		.flow = { .submitter = "self", .band = 1 },
		.due_ms = report->setup.now_ms,
		.reply = "",
		.host = "",
	};

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	route_target_of(config, route, report->sender, &target);
	rcpt.flow.target = buf_cstr(&target);
	queue_op_accept(op, report->receipt, &envelope, &rcpt, 1);
	buf_fini(&target);
	report->receipt = NULL;
	for (size_t i = 0; i < report->message_count; i++)
		note(report, op, &report->messages[i]);
	queue_op_submit(op, done, report);
}

/* The next piece to append: what is composed, then the original's chunks, then the tail. False: an error. */
static bool next_piece(struct report *report, struct span *out, enum queue_err *out_err)
{
	struct queue_view *view;
	struct queue_bytes bytes = { NULL, 0 };

	if (!buf_is_empty(&report->text)) {
		*out = buf_span(&report->text);
		return true;
	}
	if (report->has_reader) {
		view = queue_view(report->setup.queue);
		*out_err = view ? queue_body_next(&report->reader, view, &bytes) : QUEUE_IO;
		if (*out_err && *out_err != QUEUE_CORRUPT)
			return false;
		*out = span_of(bytes.data, bytes.len);
		if (bytes.len && *out_err == QUEUE_OK)
			return true;
		queue_body_close(&report->reader);
		report->has_reader = false;
	}
	*out = report->has_tail ? span_of("", 0) : buf_span(&report->tail);
	report->has_tail = true;
	return true;
}

static void run(void *arg)
{
	struct report *report = arg;
	struct span piece;
	enum queue_err err = QUEUE_OK;

	for (;;) {
		if (!next_piece(report, &piece, &err))
			break;
		if (!piece.len) {
			submit(report);
			return;
		}
		err = queue_receipt_append(report->receipt, piece.data, piece.len);
		if (err == QUEUE_BUSY) {
			/* What came from the map or the tail must be at hand when the queue takes bytes again. */
			if (buf_is_empty(&report->text)) {
				buf_fini(&report->text);
				buf_init(&report->text, piece.len);
				buf_append_span(&report->text, piece);
			}
			return;
		}
		if (err)
			break;
		buf_clear(&report->text);
	}
	fail(report, err);
}

static void start(struct report *report, bool is_composed)
{
	if (!is_composed) {
		fail(report, QUEUE_NO_MEMORY);
		return;
	}
	report->receipt = queue_receipt_new(report->setup.queue);
	queue_receipt_on_ready(report->receipt, run, report);
	run(report);
}

void report_start(struct report *report, struct queue_view *view, const struct queue_envelope *envelope, const char *to)
{
	start(report, compose(report, view, envelope, to));
}

void report_start_digest(struct report *report, const char *to)
{
	report->has_tail = true; /* it is in the text */
	start(report, compose_digest(report, to));
}
