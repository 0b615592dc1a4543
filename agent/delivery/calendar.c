#include "delivery/calendar.h"

enum { UNREADABLE_MS = 5000 };

/* Behind every timer of that millisecond. */
static struct queue_timer end_of(int64_t when_ms)
{
	return (struct queue_timer){ .when_ms = when_ms, .kind = (enum queue_timer_kind)UINT8_MAX, .id = UINT64_MAX };
}

void calendar_init(struct calendar *c, struct queue *queue)
{
	*c = (struct calendar){ .queue = queue };
}

void calendar_rewind(struct calendar *c)
{
	c->at = (struct queue_timer){ 0 };
	c->next_wall_ms = 0;
}

void calendar_news(struct calendar *c, int64_t when_ms)
{
	if (when_ms <= c->at.when_ms)
		c->at = when_ms > 0 ? end_of(when_ms - 1) : (struct queue_timer){ 0 };
	if (when_ms < c->next_wall_ms)
		c->next_wall_ms = when_ms;
}

bool calendar_next(struct calendar *c, int64_t now_ms, struct queue_timer *out)
{
	struct queue_view *view;
	struct queue_timer timer;
	enum queue_err err;

	if (now_ms < c->next_wall_ms)
		return false;
	view = queue_view(c->queue);
	err = view ? queue_view_timer(view, c->at, &timer) : QUEUE_IO;
	if (err || timer.when_ms > now_ms) {
		c->next_wall_ms = err == QUEUE_OK          ? timer.when_ms
				  : err == QUEUE_NOT_FOUND ? INT64_MAX
							   : now_ms + UNREADABLE_MS;
		return false;
	}
	c->at = timer;
	*out = timer;
	return true;
}
