/*
 * log - records of key=value, one event a line, to journald, syslog or stderr.
 *
 *     2026-11-24T05:30:00+00:00 notice accepted id=0dy5m… from=<a@example.org> size=1024
 *
 * The message id comes first. The words accepted, delivered, deferred, bounced, removed, doubtful mean exactly that;
 * their form is part of the contract with log readers. Values are cleaned and quoted where they hold blanks, quotes
 * or '='. Secrets and bodies never come here.
 * Threads: one. Only main/, drivers and control log; engines and lower rooms return what happened.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
	const char *key;  /* NULL ends the list */
	const char *text; /* or NULL: `number` */
	int64_t number;
	uint64_t id; /* not 0: a message id in its printed form */
};

#define LOG_ID(value)                      \
	{                                  \
		.key = "id", .id = (value) \
	}
#define LOG_TEXT(name, value)                  \
	{                                      \
		.key = (name), .text = (value) \
	}
#define LOG_NUM(name, value)                              \
	{                                                 \
		.key = (name), .number = (int64_t)(value) \
	}

/* "auto": journald where stderr is connected to it, else stderr. Level and target by name; false: unknown name. */
bool log_open(const char *target, const char *level);
void log_close(void);
bool log_is_on(enum log_level level);
void log_fields(enum log_level level, const char *event, const struct log_field *fields);
#define log_event(level, event, ...) \
	log_fields((level), (event), (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ .key = NULL } })

/* Where lines go to stderr, those below warning are gathered and leave in one write at log_flush(), instead of one write
 * each: `flush_soon` asks for it, once until it is done. The agent flushes before any reply of the same turn of its loop
 * leaves, so whoever has been told of an event finds it in the log. NULL: no more gathering. */
void log_gather(void (*flush_soon)(void *arg), void *arg);
void log_flush(void);

/* Also hands every record (level <= info) to a listener: the control socket's event stream. */
void log_listen(void (*heard)(void *arg, enum log_level level, const char *event, const struct log_field *fields,
			      int64_t wall_ms),
		void *arg);

#endif
