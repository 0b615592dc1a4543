/*
 * host - the other side of each lane: a server in some weather. It draws from dice of its own, so that what one server
 *        does changes nothing about another.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/lane.h"
#include "tests/sim/mail.h"
#include "tests/sim/mirror.h"

struct sim;

enum { HOST_MAX = 400 };

/* name, what it does */
#define HOST_WEATHERS(X)                                          \
	X(UP, "works")                                            \
	X(REFUSES, "refuses connections")                         \
	X(SILENT, "is dead: connecting takes its whole time")     \
	X(TARPITS, "works, and takes minutes for it")             \
	X(GREYLISTS, "puts off each recipient for a while")       \
	X(SAYS_421, "says 421 in its greeting")                   \
	X(CROWDED, "takes one connection and says 421 to others") \
	X(PASSWORD, "refuses the password")                       \
	X(QUOTA, "has had too much mail from this account")       \
	X(FLAPS, "comes and goes by the minute")                  \
	X(DROPS, "loses connections in the middle of mail")       \
	X(LOSES_REPLIES, "loses the reply to the final dot")

enum host_weather {
#define X(name, text) HOST_##name,
	HOST_WEATHERS(X)
#undef X
		HOST_WEATHER_COUNT
};
const char *host_weather_text(enum host_weather weather);

struct host {
	char lane[96];
	struct chance dice;
	enum host_weather weather;
	struct mirror mirror;
};

/* Its lane comes and goes. */
bool host_is_mx(const struct host *host);
/* The one behind a lane, made if need be. */
struct host *host_of(struct sim *sim, const char *lane);
/* How long it takes to come to its greeting. */
int64_t host_connect_ms(struct sim *sim, struct host *host);
/* What it then says. True: well, log in is done. It answered at all: *out_is_there. */
bool host_greets(struct sim *sim, struct host *host, struct lane_failure *out, bool *out_is_there);
/* How long a message takes. */
int64_t host_serve_ms(struct sim *sim, struct host *host, struct mail_fate *fate);
/* How a message ends. */
enum host_end { HOST_ANSWERS, HOST_BREAKS_OFF, HOST_LOST_AFTER_DOT };
enum host_end host_ends(struct sim *sim, struct host *host);
/* A recipient; `fate` NULL: of a report. */
enum host_answer { HOST_TAKES, HOST_PUTS_OFF, HOST_REFUSES_IT };
enum host_answer host_answers(struct sim *sim, struct host *host, struct mail_fate *fate);

#endif
