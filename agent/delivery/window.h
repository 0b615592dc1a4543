/*
 * window - how many flows may be in memory, and whose: the rest waits in the queue's schedule, however much there is.
 *
 * Submitters share WINDOW_LINES lines, by band and the hash of their name (turns.h). A flow comes in while its line has
 * fewer flows in memory than there is room left for everybody: one line alone takes half of the window, two a third each,
 * and whoever has none finds room. Who finds none is met again by a cursor of its line over the queue's flow timers, which
 * moves on as the line gets room: a timer is read once for each line that is short of room, not again and again.
 *
 * Bounded: WINDOW_FLOWS flows, whatever the queue's depth; a few numbers a line.
 * Never:   reads a clock.
 * Threads: the queue's.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/flow.h"
#include "delivery/moment.h"
#include "delivery/turns.h"
#include "queue/queue.h"

enum {
	WINDOW_FLOWS = 20000,
	WINDOW_LINES = TURNS_BANDS * TURNS_LINES,
	WINDOW_LATER_MS = 1000, /* a line that has little room only is filled again after this long */
};

struct window_line {
	uint32_t count;        /* flows in memory */
	bool is_short;         /* some were turned away */
	struct queue_timer at; /* the last timer that was read for it; behind it are those that were turned away */
	int64_t again_boot_ms; /* a little room counts from then on */
};

struct window {
	size_t count, shorts;
	struct window_line lines[WINDOW_LINES];
	unsigned next; /* the line whose turn it is to be filled */
};

unsigned window_line(unsigned band, const char *submitter);
bool window_has_room(const struct window *w, unsigned line);
void window_enter(struct window *w, unsigned line);
void window_leave(struct window *w, unsigned line);
/* Its flow timer stands at `when_ms`, or later. */
void window_turn_away(struct window *w, unsigned line, int64_t when_ms);
/* Room is needed: flows that could wait in the queue should. */
bool window_is_pressed(const struct window *w);

/* The line that may be filled now; SIZE_MAX: none. */
size_t window_to_fill(struct window *w, int64_t now_boot_ms);
/* The next flow of the line that was turned away. False: none within `*io_reads` timers, or none at all: the line is not
 * short any more. Texts are borrowed from the view. */
bool window_next(struct window *w, unsigned line, struct queue_view *view, const struct flow_table *flows,
		 int64_t now_wall_ms, size_t *io_reads, uint32_t *out_id, struct queue_flow *out_name);
/* Boot time when a line may be filled; INT64_MAX: when there is room. */
int64_t window_deadline(const struct window *w, int64_t now_boot_ms);

#endif
