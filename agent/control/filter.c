#include "control/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "route.h"

enum {
	GATES = TRAFFIC_GATE_REPORT + 1,
	PATTERN_COST = 32, /* bytes of a pattern; matching takes its length times the text's at worst */
};

static const char *const state_words[] = {
#define X(name, word, text) [FILTER_##name] = word,
	FILTER_STATES(X)
#undef X
};
enum { STATES = sizeof state_words / sizeof state_words[0] };

void filter_init(struct filter *f)
{
	*f = (struct filter){ .older_ms = -1, .newer_ms = -1, .until = UINT64_MAX };
}

void filter_fini(struct filter *f)
{
	mem_free(f->ids);
	mem_free(f->from);
	mem_free(f->to);
	mem_free(f->route);
	mem_free(f->submitter);
	mem_free(f->error);
	filter_init(f);
}

/* ---------------------------------------------------------------- the grammar */

static const char *set_text(char **field, const char *value)
{
	if (strlen(value) > FILTER_TEXT_MAX)
		return "the pattern is too long";
	mem_free(*field);
	*field = mem_strdup(value);
	return NULL;
}

static const char *set_from(struct filter *f, const char *value)
{
	/* "<>" is how people write the null sender. */
	return set_text(&f->from, strcmp(value, "<>") == 0 ? "" : value);
}

static const char *set_to(struct filter *f, const char *value)
{
	return set_text(&f->to, value);
}

static const char *set_route(struct filter *f, const char *value)
{
	return set_text(&f->route, value);
}

static const char *set_submitter(struct filter *f, const char *value)
{
	return set_text(&f->submitter, value);
}

static const char *set_error(struct filter *f, const char *value)
{
	return set_text(&f->error, value);
}

static bool add_state(struct filter *f, struct span word)
{
	for (int i = 0; i < STATES; i++)
		if (span_equals_fold(word, span_str(state_words[i]))) {
			f->states |= 1U << i;
			return true;
		}
	for (int i = 0; i < GATES; i++)
		if (span_equals_fold(word, span_str(traffic_gate_name((enum traffic_gate)i)))) {
			f->gates |= 1U << i;
			return true;
		}
	return false;
}

static const char *set_state(struct filter *f, const char *value)
{
	struct span rest = span_str(value);

	do {
		size_t comma = span_find(rest, ',');

		if (!add_state(f, span_trim(span_first(rest, comma))))
			return "no such state - waiting, doubtful, failed, delivered, bounced, removed, held, damaged, or what "
			       "it waits for: none, sending, route, network, paused, lane, account, rate, retry, release, line, "
			       "report";
		rest = span_from(rest, comma + 1);
	} while (rest.len);
	return NULL;
}

static const char *set_age(int64_t *field, const char *value)
{
	return text_duration(span_str(value), field) ? NULL : "not a duration - 90s, 5m, 4h or 5d";
}

static const char *set_older(struct filter *f, const char *value)
{
	return set_age(&f->older_ms, value);
}

static const char *set_newer(struct filter *f, const char *value)
{
	return set_age(&f->newer_ms, value);
}

static const char *set_limit(struct filter *f, const char *value)
{
	return text_number(span_str(value), UINT32_MAX, &f->limit) ? NULL : "not a number of messages";
}

static const char *set_after(struct filter *f, const char *value)
{
	return text_id(span_str(value), &f->after) ? NULL : "not a message id";
}

static const char *set_until(struct filter *f, const char *value)
{
	return text_id(span_str(value), &f->until) ? NULL : "not a message id";
}

static const char *set_all(struct filter *f, const char *value)
{
	(void)value;
	f->all = true;
	return NULL;
}

static const struct filter_option options[] = {
	{ "from", "GLOB", "the sender (<> for reports)" },
	{ "to", "GLOB", "a recipient" },
	{ "route", "GLOB", "the routing rule, or a smart host of its list" },
	{ "state", "WORD,...",
	  "waiting, doubtful, failed, held, damaged; what it waits for: route, lane, account, retry, ... (see sendoff(1))" },
	{ "submitter", "GLOB", "who handed it in: a user's name, uid:1000, user:alice, net:192.0.2.7" },
	{ "older", "DURATION", "arrived longer ago than this" },
	{ "newer", "DURATION", "arrived within this time" },
	{ "error", "TEXT", "the last reply or the host that gave it contains this" },
	{ "limit", "N", "at most so many messages" },
	{ "after", "ID", "only messages that came after this one" },
	{ "until", "ID", "only messages up to this one" },
	{ "all", NULL, "every message" },
};

static const char *(*const setters[])(struct filter *, const char *) = {
	set_from,  set_to,    set_route, set_state, set_submitter, set_older,
	set_newer, set_error, set_limit, set_after, set_until,     set_all,
};
_Static_assert(sizeof options / sizeof options[0] == sizeof setters / sizeof setters[0], "one setter for each option");

const struct filter_option *filter_options(size_t *out_count)
{
	*out_count = sizeof options / sizeof options[0];
	return options;
}

const char *filter_set(struct filter *f, const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		if (strcmp(name, options[i].name) != 0)
			continue;
		if (!options[i].value != !value)
			return value ? "takes no value" : "needs a value";
		return setters[i](f, value);
	}
	return "no such filter";
}

/* Room is doubled whenever the count is a power of two, so that no capacity need be kept. */
static void make_room(struct filter *f)
{
	if (f->id_count == 0 || (f->id_count >= 8 && (f->id_count & (f->id_count - 1)) == 0))
		f->ids = mem_realloc(f->ids, f->id_count ? 2 * f->id_count : 8, sizeof *f->ids);
}

const char *filter_add_id(struct filter *f, struct span id)
{
	uint64_t number;
	size_t at = f->id_count;

	if (!text_id(id, &number))
		return "not a message id - 13 letters and digits as list shows them";
	/* Rising order is how they come from a listing: mostly this stops at once. */
	while (at > 0 && f->ids[at - 1] > number)
		at--;
	if (at > 0 && f->ids[at - 1] == number)
		return NULL;
	if (f->id_count == FILTER_IDS_MAX)
		return "too many ids at once";
	make_room(f);
	memmove(f->ids + at + 1, f->ids + at, (f->id_count - at) * sizeof *f->ids);
	f->ids[at] = number;
	f->id_count++;
	return NULL;
}

bool filter_chooses(const struct filter *f)
{
	return f->id_count || f->all || f->from || f->submitter || f->older_ms >= 0 || f->newer_ms >= 0 ||
	       f->until != UINT64_MAX || filter_splits(f);
}

bool filter_splits(const struct filter *f)
{
	return f->to || f->route || f->error || f->states || f->gates;
}

int filter_cost(const struct filter *f)
{
	const char *const patterns[] = { f->from, f->to, f->route, f->submitter, f->error };
	size_t len = 0;

	for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
		len += patterns[i] ? strlen(patterns[i]) : 0;
	return 1 + (int)(len / PATTERN_COST);
}

/* ---------------------------------------------------------------- what fits */

static bool fits_age(const struct filter *f, int64_t arrival_ms, int64_t now_ms)
{
	int64_t age_ms = now_ms > arrival_ms ? now_ms - arrival_ms : 0;

	return (f->older_ms < 0 || age_ms > f->older_ms) && (f->newer_ms < 0 || age_ms <= f->newer_ms);
}

/* "1000" and "alice" stand for "uid:1000" and "user:alice". */
static bool fits_submitter(const struct filter *f, const char *submitter)
{
	const char *colon = strchr(submitter, ':');

	if (!f->submitter || text_glob(f->submitter, span_str(submitter)))
		return true;
	return !strchr(f->submitter, ':') && colon && text_glob(f->submitter, span_str(colon + 1));
}

static bool fits_id(const struct filter *f, uint64_t id)
{
	size_t low = 0, high = f->id_count;

	if (id <= f->after || id > f->until)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return f->id_count == 0 || (low < f->id_count && f->ids[low] == id);
}

static bool contains_fold(const char *text, const char *part)
{
	size_t len = strlen(part);
	struct span rest = span_str(text);

	for (; rest.len >= len; rest = span_from(rest, 1)) {
		if (span_starts_fold(rest, span_of(part, len)))
			return true;
		if (rest.len == 0)
			break;
	}
	return false;
}

bool filter_fits_message(const struct filter *f, const struct queue_envelope *envelope, int64_t now_ms)
{
	return fits_id(f, envelope->id) && fits_age(f, envelope->arrival_ms, now_ms) &&
	       (!f->from || text_glob(f->from, span_str(envelope->sender))) && fits_submitter(f, envelope->submitter);
}

/* One lane of a target, "work,backup", or the rule's own name. "mx" is every domain's, as in via. */
static bool fits_route(const struct filter *f, const char *route, const char *target)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	if (!f->route || text_glob(f->route, span_str(route)))
		return true;
	while (route_next(&rest, &name, &weight))
		if (text_glob(f->route, name) ||
		    (strcmp(f->route, ROUTE_DIRECT) == 0 && span_starts_fold(name, SPAN(ROUTE_MX))))
			return true;
	return false;
}

bool filter_fits_rcpt(const struct filter *f, const struct queue_rcpt *rcpt, const char *route)
{
	return (!f->to || text_glob(f->to, span_str(rcpt->address))) && fits_route(f, route, rcpt->flow.target) &&
	       (!f->error || contains_fold(rcpt->reply, f->error) || contains_fold(rcpt->host, f->error));
}

static unsigned states_of(const struct queue_envelope *envelope, enum queue_rcpt_state state)
{
	unsigned states = 0;

	switch (state) {
	case QUEUE_RCPT_WAITING: states |= envelope->flags & QUEUE_HELD ? 0 : 1U << FILTER_WAITING; break;
	case QUEUE_RCPT_DOUBTFUL: states |= 1U << FILTER_DOUBTFUL; break;
	case QUEUE_RCPT_FAILED: states |= 1U << FILTER_FAILED; break;
	case QUEUE_RCPT_DELIVERED: states |= 1U << FILTER_DELIVERED; break;
	}
	if (envelope->flags & QUEUE_HELD)
		states |= 1U << FILTER_HELD;
	if (envelope->flags & QUEUE_DAMAGED_BODY)
		states |= 1U << FILTER_DAMAGED;
	return states;
}

bool filter_needs_gate(const struct filter *f)
{
	return f->gates != 0;
}

bool filter_fits_state(const struct filter *f, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		       enum traffic_gate gate)
{
	if (!f->states && !f->gates)
		return true;
	return (states_of(envelope, rcpt->state) & f->states) || (f->gates & (1U << gate));
}

static unsigned state_of_outcome(enum queue_outcome_kind kind)
{
	switch (kind) {
	case QUEUE_DELIVERED: return 1U << FILTER_DELIVERED;
	case QUEUE_BOUNCED: return 1U << FILTER_BOUNCED | 1U << FILTER_FAILED;
	case QUEUE_DEFERRED: return 1U << FILTER_WAITING;
	case QUEUE_DOUBT: return 1U << FILTER_DOUBTFUL;
	case QUEUE_REMOVED: return 1U << FILTER_REMOVED;
	}
	return 0;
}

bool filter_fits_outcome(const struct filter *f, const struct queue_outcome *outcome, int64_t now_ms)
{
	return fits_id(f, outcome->id) && fits_age(f, outcome->at_ms, now_ms) &&
	       (!f->from || text_glob(f->from, span_str(outcome->sender))) &&
	       (!f->to || text_glob(f->to, span_str(outcome->address))) &&
	       (!f->route || text_glob(f->route, span_str(outcome->lane))) && fits_submitter(f, outcome->submitter) &&
	       (!f->error || contains_fold(outcome->reply, f->error) || contains_fold(outcome->host, f->error)) &&
	       ((!f->states && !f->gates) || (state_of_outcome(outcome->kind) & f->states));
}
