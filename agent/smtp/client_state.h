/*
 * client_state - the inside of a client's session: its state, its waits and its end. Shared by client.c, client_hello.c,
 *                client_auth.c and client_mail.c; nobody else includes it.
 *
 * Owns:    see client.h.
 * Threads: any, one session per thread.
 */
#ifndef SMTP_CLIENT_STATE_H
#define SMTP_CLIENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "smtp/client.h"
#include "smtp/dot.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"
#include "smtp/transaction.h"

enum client_state {
	CLIENT_STATE_TLS, /* waits for the driver; no byte may come */
	CLIENT_STATE_GREETING,
	CLIENT_STATE_EHLO,
	CLIENT_STATE_HELO,
	CLIENT_STATE_STARTTLS,
	CLIENT_STATE_AUTH,
	CLIENT_STATE_OPEN, /* transactions, or idle */
	CLIENT_STATE_QUIT,
	CLIENT_STATE_CLOSED,
	CLIENT_STATES,
};

enum client_ready { CLIENT_READY_UNSAID, CLIENT_READY_AHEAD, CLIENT_READY_IDLE };

struct client {
	struct client_config config; /* its strings are copies */
	enum client_state state;
	int64_t deadline_ms;

	struct reply_reader reader;
	struct buf out;     /* composed, not yet handed out */
	struct buf sending; /* being handed out in pieces */
	size_t handed;      /* bytes of it */
	size_t out_end;     /* where a final dot or a chunk in `out` ends; 0: none does */
	size_t sending_end;
	bool end_is_held; /* such an end was composed and is not yet handed out */
	bool is_secret;   /* `out` or `sending` may hold one */

	struct ehlo offer;
	struct client_peer peer;
	struct buf greeting, hello;
	bool is_greeted, is_tls, is_authentic, tls_is_asked;
	struct sasl *sasl;
	enum sasl_mechanism mechanism;
	unsigned auth_tried;       /* SASL_BIT() */
	struct span auth_response; /* sasl's: waits to be asked for, with auth_waits */
	bool sasl_is_done, auth_waits, has_binding;
	uint8_t binding[SASL_BINDING_LEN];

	struct transaction slots[2];
	size_t first;      /* which of them is the older */
	bool slot_is_over; /* the older one's CLIENT_MESSAGE_DONE was handed out */
	bool needs_reset, quits, no_pipelining;
	uint32_t mails;          /* MAIL commands so far */
	enum client_ready ready; /* as said */
	struct dot_encoder dot;
	bool body_is_due, body_is_asked;
	/* Of a body that goes by BDAT: what its chunk and all of it still lack, and what came for the next chunk already. */
	uint64_t chunk_left, body_left;
	struct buf rest;

	struct buf words; /* text of the failure */
	struct client_failure failure;
	bool is_failing; /* `failure` is known; acted upon when the replies still owed are in */
	bool has_failed, failure_is_handed, close_is_handed;
};

static inline struct transaction *client_state_older(struct client *c)
{
	return &c->slots[c->first];
}

static inline struct transaction *client_state_younger(struct client *c)
{
	return &c->slots[!c->first];
}

/* Asserts the table of legal moves. */
void client_state_enter(struct client *c, enum client_state state);
/* The transaction that the next reply belongs to, or NULL. */
struct transaction *client_state_owed(struct client *c);
bool client_state_is_idle(struct client *c);
enum client_phase client_state_phase(struct client *c);
/* Starts anew the wait for what is to come next. */
void client_state_rearm(struct client *c, int64_t now_ms);
/* Each wait alone is not enough: a server that always moves a little must not hold a message for ever. From now on
 * `count` replies to the transaction may take so long together, or its body until it is sent. */
void client_state_limit(struct transaction *t, int64_t wait_ms, size_t count, int64_t now_ms);
/* So many bytes of the older one's body were handed out: the rest has more time. */
void client_state_limit_body(struct client *c, size_t bytes);
/* The deadline has passed. */
void client_state_late(struct client *c, int64_t now_ms);
/* Forgets and, where there was a secret, wipes. */
void client_state_drop_output(struct client *c);

/* How messages that are still open end with their session. */
struct client_state_ending {
	bool in_doubt;               /* replies so far may have been miscounted */
	bool politely;               /* QUIT: the replies are in order and none is owed */
	enum client_outcome in_body; /* for those whose body had begun */
	enum client_outcome at_dot;  /* for those whose final dot was sent */
};
void client_state_end(struct client *c, struct client_state_ending how, int64_t now_ms);

/* Remembers the first failure. */
void client_state_note(struct client *c, enum client_object object, enum client_phase phase, const struct reply *reply);
/* The end because of a reply, or for a reason of our own. */
void client_state_fail(struct client *c, enum client_object object, const struct reply *reply, bool politely,
		       int64_t now_ms);
void client_state_fail_saying(struct client *c, enum client_object object, const char *text, bool politely,
			      int64_t now_ms);

enum client_state_loss {
	CLIENT_STATE_GONE,   /* the connection ended */
	CLIENT_STATE_SILENT, /* the deadline passed */
	CLIENT_STATE_DOUBT,  /* the replies do not fit the commands */
};
/* The connection cannot be relied on any more: everything open is unknown. */
void client_state_lose(struct client *c, enum client_state_loss loss, struct span text, int64_t now_ms);
void client_state_doubt(struct client *c, const char *text, int64_t now_ms);

#endif
