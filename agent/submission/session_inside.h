/*
 * session_inside - what the parts of a session share; nobody else includes it.
 *
 * session.c keeps its life: the connection, who calls, the turn from one action of the engine to the next. session_mail.c
 * answers the engine's questions about a message, by the intake, and tells the log.
 */
#ifndef SESSION_INSIDE_H
#define SESSION_INSIDE_H

#include "submission/caller.h"
#include "submission/intake.h"
#include "submission/session.h"

struct session {
	struct list node;
	struct session_shared *shared;
	struct policy *policy;
	struct conn *conn;
	struct server *engine; /* NULL as long as the peer is not known, or may not speak yet */
	struct intake *intake;
	struct session_about *about; /* who sends the message that is open, or NULL */
	struct login *login;         /* the answer that AUTH waits for, or NULL */
	struct caller caller;
	char *client; /* whose connections are counted, or NULL */
	char *tls;    /* facts for the trace, or NULL */
	bool is_tcp;
	bool is_trusted;   /* by trust { }: need not prove who they are */
	bool is_expecting; /* a PROXY header: nothing is known of the peer yet */
	bool is_shaking;   /* the TLS handshake is under way: the engine is not to be asked meanwhile */
	bool is_stalled;   /* the queue or the peer's window is full: an action waits to be done again */
	int64_t stalled_ms;
	struct server_action action; /* the one that waits */
	struct buf held;             /* its bytes: the connection's do not outlive the call */
	struct span rest;            /* input not taken yet, during run() */
	size_t unread;               /* length of the input when rest was taken from it */
	struct loop_timer timer;     /* goes on in the next turn */
};

/* session_mail.c. The message that was open has ended. */
void session_mail_forget(struct session *s);
/* Answers to SERVER_ASK_MAIL and SERVER_ASK_RCPT. */
void session_mail_sender(struct session *s);
void session_mail_rcpt(struct session *s);
/* SERVER_BODY and SERVER_STORE; false: the action has to be done again later. */
bool session_mail_body(struct session *s);
bool session_mail_store(struct session *s);
/* The answer to SERVER_STORE. */
void session_mail_stored(struct session *s, const struct intake_result *result);
/* "office 192.0.2.7:4711": for people. */
enum { SESSION_MAIL_ORIGIN_SIZE = 256 };
void session_mail_origin(const struct session *s, char *out, size_t size);

#endif
