/*
 * sink_rules - how the sink misbehaves, when and how often.
 *
 * A rule belongs to a stage of the session and may be limited to the first times, to those after some, or to
 * addresses. Rules are asked at every arrival at a stage; the first of each kind that fits counts.
 * Owns:    copies of its texts. Pure. Threads: any, one object per thread.
 */
#ifndef SINK_RULES_H
#define SINK_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* name, what is met there */
#define SINK_RULES_STAGES(X)                    \
	X(GREETING, "greeting", "a connection") \
	X(EHLO, "ehlo", "EHLO")                 \
	X(HELO, "helo", "HELO")                 \
	X(STARTTLS, "starttls", "STARTTLS")     \
	X(AUTH, "auth", "credentials")          \
	X(MAIL, "mail", "a sender")             \
	X(RCPT, "rcpt", "a recipient")          \
	X(DATA, "data", "DATA or BDAT")         \
	X(DOT, "dot", "the end of a message")   \
	X(RSET, "rset", "RSET")                 \
	X(QUIT, "quit", "QUIT")

enum sink_rules_stage {
#define X(name, word, text) SINK_RULES_##name,
	SINK_RULES_STAGES(X)
#undef X
};

enum { SINK_RULES_MAX = 64 };

struct sink_rules_rule {
	enum { SINK_RULES_REPLY, SINK_RULES_DROP, SINK_RULES_DELAY, SINK_RULES_RAW } kind;
	enum sink_rules_stage stage;
	int code;             /* REPLY */
	char *status;         /* REPLY: "4.2.0" */
	char *text;           /* REPLY; RAW: the bytes */
	int64_t delay_ms;     /* DELAY; INT64_MAX: for ever */
	char *glob;           /* only for addresses like this; NULL: any */
	uint64_t skip, times; /* how many arrivals pass first; how many are hit after that */
};

struct sink_rules {
	struct sink_rules_rule list[SINK_RULES_MAX];
	size_t count;
};

void sink_rules_init(struct sink_rules *rules);
void sink_rules_fini(struct sink_rules *rules);

/* Each answers NULL or what is wrong. "rcpt=450 4.2.0 greylisted", "dot", "mail=2s", "dot=garbage\r\n". */
const char *sink_rules_reply(struct sink_rules *rules, const char *text);
const char *sink_rules_drop(struct sink_rules *rules, const char *text);
const char *sink_rules_delay(struct sink_rules *rules, const char *text);
const char *sink_rules_raw(struct sink_rules *rules, const char *text);
/* About the rule before: only the first `times`, not the first `skip`, only addresses like the glob. */
const char *sink_rules_times(struct sink_rules *rules, const char *text);
const char *sink_rules_skip(struct sink_rules *rules, const char *text);
const char *sink_rules_for(struct sink_rules *rules, const char *text);

/* What happens now; NULL: nothing of that kind. Borrowed until sink_rules_fini(). */
struct sink_rules_now {
	const struct sink_rules_rule *reply, *drop, *delay, *raw;
};
/* Counts the arrival. `address` is what globs are matched with, "" where a stage has none. */
struct sink_rules_now sink_rules_arrive(struct sink_rules *rules, enum sink_rules_stage stage, const char *address);
/* Whether any rule is about a command that the engine does not ask about. */
bool sink_rules_intercepts(const struct sink_rules *rules);
/* The stage of such a command line, and whether it is BDAT, which octets of the message follow; false: none. */
bool sink_rules_stage_of(struct span line, enum sink_rules_stage *out_stage, bool *out_is_chunk);

#endif
