/*
 * hop_inside - what the parts of a hop share; nobody else includes it.
 *
 * hop.c keeps its life and goes the way there, hop_session.c drives connection and engine, hop_message.c takes messages and
 * hears what became of them, hop_never.c is a hop to nowhere, hop_report.c tells what TLS came to.
 */
#ifndef HOP_INSIDE_H
#define HOP_INSIDE_H

#include "delivery/hop.h"
#include "delivery/moment.h"

static inline struct moment hop_now(const struct hop *hop)
{
	return (struct moment){ loop_now_ms(hop->pool->loop), loop_wall_ms(hop->pool->loop) };
}

/* hop.c */
void hop_place(struct hop *hop, enum hop_place where);
void hop_free(struct hop *hop);

/* hop_session.c: begins one on a connected socket; moves on until there is nothing to do, and may end the hop. */
void hop_session_start(struct hop *hop, int fd);
void hop_session_pump(struct hop *hop);

/* hop_message.c */
struct load *hop_message_take(struct hop *hop); /* NULL: there is none */
void hop_message_settle(struct hop *hop, struct load *load, enum settle_verdict verdict, const char *text);
void hop_message_offer(struct hop *hop, bool ahead); /* the engine can take one */
void hop_message_look(struct hop *hop);              /* a step of reading one through */
void hop_message_stop_looking(struct hop *hop);      /* it is as before */
void hop_message_body(struct hop *hop, struct load *load);
void hop_message_result(struct hop *hop, const struct client_result *result);
void hop_message_done(struct hop *hop, struct load *load);

/* hop_never.c: the status and text of a permanent failure. */
void hop_never_begin(struct hop *hop, const char *status, const char *text);
void hop_never_step(struct hop *hop);

/* hop_report.c: the steps of the approach, and what TLS came to, for logs and for reports (RFC 8460). */
void hop_report_step(void *arg, const struct approach_step *step);
void hop_report_secure(struct hop *hop, const struct tls_facts *facts);
void hop_report_tls_failed(struct hop *hop, const char *failure, const char *text);

#endif
