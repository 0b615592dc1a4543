#include "delivery/window.h"

#include <assert.h>

enum { WORTH = 8 }; /* a line is filled when an eighth of it is free */

unsigned window_line(unsigned band, const char *submitter)
{
	return (band < TURNS_BANDS ? band : TURNS_BANDS - 1) * TURNS_LINES + turns_line(submitter);
}

static size_t room(const struct window *w, const struct window_line *line)
{
	size_t left = WINDOW_FLOWS - w->count;

	return left > line->count ? left - line->count : 0;
}

bool window_has_room(const struct window *w, unsigned line)
{
	return room(w, &w->lines[line]) > 0;
}

void window_enter(struct window *w, unsigned line)
{
	w->lines[line].count++;
	w->count++;
}

void window_leave(struct window *w, unsigned line)
{
	assert(w->lines[line].count > 0);
	w->lines[line].count--;
	w->count--;
}

/* Behind every timer of the millisecond before. */
static struct queue_timer before(int64_t when_ms)
{
	return (struct queue_timer){ .when_ms = when_ms > 0 ? when_ms - 1 : 0,
				     .kind = (enum queue_timer_kind)(when_ms > 0 ? UINT8_MAX : 0),
				     .id = when_ms > 0 ? UINT64_MAX : 0 };
}

void window_turn_away(struct window *w, unsigned at, int64_t when_ms)
{
	struct window_line *line = &w->lines[at];

	if (!line->is_short || when_ms <= line->at.when_ms)
		line->at = before(when_ms);
	w->shorts += !line->is_short;
	line->is_short = true;
}

bool window_is_pressed(const struct window *w)
{
	return w->shorts || w->count >= WINDOW_FLOWS / 2;
}

static bool is_worth_it(const struct window *w, const struct window_line *line, int64_t now_boot_ms)
{
	size_t free = room(w, line);

	return line->is_short && free && (free > line->count / WORTH || now_boot_ms >= line->again_boot_ms);
}

size_t window_to_fill(struct window *w, int64_t now_boot_ms)
{
	for (unsigned i = 0; w->shorts && i < WINDOW_LINES; i++) {
		unsigned at = (w->next + i) % WINDOW_LINES;

		if (!is_worth_it(w, &w->lines[at], now_boot_ms))
			continue;
		w->lines[at].again_boot_ms = now_boot_ms + WINDOW_LATER_MS;
		w->next = at + 1;
		return at;
	}
	return SIZE_MAX;
}

static bool is_of_line(struct queue_view *view, const struct flow_table *flows, struct queue_timer timer, unsigned line,
		       struct queue_flow *out_name)
{
	return timer.kind == QUEUE_TIMER_FLOW && !flow_table_find(flows, (uint32_t)timer.id) &&
	       queue_view_flow(view, (uint32_t)timer.id, out_name) == QUEUE_OK &&
	       window_line(out_name->band, out_name->submitter) == line;
}

bool window_next(struct window *w, unsigned at, struct queue_view *view, const struct flow_table *flows,
		 int64_t now_wall_ms, size_t *io_reads, uint32_t *out_id, struct queue_flow *out_name)
{
	struct window_line *line = &w->lines[at];
	struct queue_timer timer;

	while (line->is_short && *io_reads) {
		enum queue_err err = queue_view_timer(view, line->at, &timer);

		--*io_reads;
		if (err && err != QUEUE_NOT_FOUND)
			return false; /* unreadable just now: later */
		if (err || timer.when_ms > now_wall_ms) {
			line->is_short = false;
			w->shorts--;
			return false;
		}
		line->at = timer;
		if (!is_of_line(view, flows, timer, at, out_name))
			continue;
		*out_id = (uint32_t)timer.id;
		return true;
	}
	return false;
}

int64_t window_deadline(const struct window *w, int64_t now_boot_ms)
{
	int64_t at = INT64_MAX;

	for (unsigned i = 0; w->shorts && i < WINDOW_LINES; i++) {
		const struct window_line *line = &w->lines[i];

		if (!line->is_short || !room(w, line))
			continue;
		at = moment_min(at, is_worth_it(w, line, now_boot_ms) ? now_boot_ms : line->again_boot_ms);
	}
	return at;
}
