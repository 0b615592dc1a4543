/*
 * server_inside - what the parts of the server engine share; nobody else includes it.
 *
 * server.c keeps the session's course: states, answers, deadlines. server_verbs.c carries out commands, server_auth.c
 * the AUTH exchange, server_data.c reads messages, server_say.c writes replies. Handlers only say replies and enter
 * states; server_step() does the rest.
 */
#ifndef SERVER_INSIDE_H
#define SERVER_INSIDE_H

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/command.h"
#include "smtp/dot.h"
#include "smtp/server.h"

/* name, what the session is doing, what is true in it */
#define SERVER_STATES(X)                                                                                  \
	X(GREET, "connects")                     /* nothing was said yet */                               \
	X(START, "waits for a greeting")         /* greeted; no HELO or EHLO since connect or TLS */      \
	X(HELLO, "waits for a command")          /* said hello; no transaction is open */                 \
	X(MAIL, "waits for recipients")          /* a sender is accepted, no recipient yet */             \
	X(RCPT, "waits for the message")         /* at least one recipient is accepted */                 \
	X(ASK_MAIL, "waits for a decision")      /* the driver owes an answer; no byte is taken */        \
	X(ASK_RCPT, "waits for a decision")      /* the same */                                           \
	X(DATA, "receives a message")            /* between 354 and the end of data */                    \
	X(STORE, "waits for the queue")          /* the message is whole; the driver owes an answer */    \
	X(AUTH_LINE, "waits for authentication") /* 334 was said */                                       \
	X(ASK_AUTH, "checks a password")         /* the driver owes an answer */                          \
	X(TLS, "starts TLS")                     /* STARTTLS is granted; only the handshake may follow */ \
	X(CLOSED, "closes")                      /* everything is said */

enum server_state {
#define X(name, doing) STATE_##name,
	SERVER_STATES(X)
#undef X
		STATE_COUNT
};

#define BIT(state) (1u << STATE_##state)

struct server {
	const struct server_config *config;
	enum server_state state;
	enum server_state state_before; /* an ASK: the state that a refusal leads back to */
	bool is_tls;
	bool is_esmtp;
	bool is_asked;    /* the question of this state was handed out */
	bool is_answered; /* and answered: `answer` holds the reply */
	bool abort_due;   /* SERVER_ABORT is to be handed out */
	bool reset_due;   /* the envelope handed out last has ended */
	bool sent;        /* `out` was handed out */
	bool close_said;
	bool peer_closed;
	bool shutting_down;
	bool touch_due;     /* the peer's turn begins with the next step: its time counts from then */
	bool tls_invited;   /* TLS: 220 was said */
	bool is_discarding; /* DATA: what comes is read to its end and thrown away; `failure` is the reply */
	bool rcpt_refused;  /* of this transaction */
	uint32_t errors;
	int answer_code;
	int failure_code;
	struct command_reader line;
	struct dot_decoder dot;
	struct buf out;
	struct buf answer;  /* the driver's reply or words, without CRLF */
	struct buf failure; /* reply at the end of data */
	char *helo;
	char *user;
	const char *mechanism;     /* of the AUTH that went well */
	struct server_facts facts; /* with copies of what it points to */
	struct mem_arena arena;
	struct server_envelope envelope;
	struct server_rcpt **rcpt_end;
	struct server_rcpt *rcpt; /* asked about, not yet in the envelope */
	struct server_exchange *exchange;
	int64_t began_ms;    /* the session, moved by server_held_up() */
	int64_t waiting_ms;  /* the peer's turn began; DATA: its last byte came */
	int64_t data_ms;     /* the data began */
	uint64_t data_bytes; /* raw bytes of it */
};

/* ---------------------------------------------------------------- server.c */

void server_enter(struct server *s, enum server_state state);
/* Ends the transaction that is open, if one is, in favour of STATE_HELLO. */
void server_drop(struct server *s);
bool server_offers(const struct server *s, unsigned feature);

/* ---------------------------------------------------------------- server_say.c */

/* A reply line; `status` NULL where none belongs (RFC 2034, 4). */
void server_say(struct server *s, int code, const char *status, const char *text);
/* The same for a mistake of the peer: counts, and becomes 421 when it was one too many. */
void server_say_error(struct server *s, int code, const char *status, const char *text);
/* Counts a mistake. True: it was one too many; 421 was said, and the session ends. */
bool server_say_too_many(struct server *s);
/* When the session has lasted too long: session_timeout between transactions, twice that inside one; INT64_MAX: never. */
int64_t server_session_end(const struct server *s);
/* Ends the transaction, says 421 and closes. */
void server_say_goodbye(struct server *s, const char *status, const char *text);
/* Makes one line that fits of what a driver answered, whatever its words hold; to be said later. */
void server_say_prepare(const struct server *s, struct buf *line, struct server_reply reply);
void server_say_line(struct server *s, const struct buf *line);

/* ---------------------------------------------------------------- server_data.c */

/* STATE_DATA: reads on. True: out->bytes is to be handed out. */
bool server_data_read(struct server *s, int64_t now_ms, struct span *input, struct server_action *out);

/* ---------------------------------------------------------------- server_verbs.c */

void server_verbs_run(struct server *s, struct span line, int64_t now_ms);
/* The transaction or the recipient asked about is accepted. */
void server_verbs_open(struct server *s);
void server_verbs_add(struct server *s);

/* ---------------------------------------------------------------- server_auth.c */

void server_auth_begin(struct server *s, struct span args);
void server_auth_line(struct server *s, struct span line);
const struct server_auth *server_auth_question(const struct server *s);
void server_auth_end(struct server *s, bool accepted);
/* The verifier that was asked for: kept until the next step carries it on. */
void server_auth_keep(struct server *s, const struct scram_verifier *verifier);
bool server_auth_has_verifier(const struct server *s);
void server_auth_verify(struct server *s);
/* Overwrites and frees what an exchange holds. */
void server_auth_forget(struct server *s);
/* SERVER_AUTH_… that can succeed on this connection; without any of them AUTH is not offered. */
unsigned server_auth_available(const struct server *s);
/* " PLAIN LOGIN" */
void server_auth_list(const struct server *s, struct buf *out);

#endif
