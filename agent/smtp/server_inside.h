/*
 * server_inside - what the parts of the server engine share; nobody else includes it.
 *
 * server.c keeps the session's course: states and answers; server_time.c its deadlines. server_verbs.c carries out
 * commands, server_hello.c HELO and EHLO, server_params.c parameters, server_auth.c the AUTH exchange; server_data.c and
 * server_bdat.c read messages, server_help.c explains, server_say.c writes replies. Handlers only say replies and enter states; server_step() does
 * the rest.
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
	X(CHUNKS, "waits for the message")       /* a chunk has come, the last one has not */             \
	X(ASK_MAIL, "waits for a decision")      /* the driver owes an answer; no byte is taken */        \
	X(ASK_RCPT, "waits for a decision")      /* the same */                                           \
	X(DATA, "receives a message")            /* between 354 and the end of data */                    \
	X(BDAT, "receives a message")            /* the octets of a chunk are coming */                   \
	X(SKIP, "receives a message")            /* those of a refused one, to be thrown away */          \
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
	enum server_state state_before; /* an ASK: the state that a refusal leads back to; SKIP: likewise */
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
	bool is_discarding; /* DATA, BDAT, CHUNKS: what comes is thrown away; `failure` is the reply */
	bool is_mistake;    /* SKIP: the refusal counts as one */
	bool is_last_chunk; /* BDAT */
	bool knows_wall;    /* wall_ms is set */
	bool rcpt_refused;  /* of this transaction */
	uint32_t errors;
	int answer_code;
	int failure_code;
	struct command_reader line;
	struct dot_decoder dot;
	struct buf out;
	struct buf answer;  /* the driver's reply or words, without CRLF */
	struct buf failure; /* reply at the end of data or of a chunk; failure_code 0: none yet */
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
	int64_t waiting_ms;  /* the peer's turn began; DATA, BDAT: its last byte came */
	int64_t data_ms;     /* the data began; BDAT: moved by the time between chunks */
	uint64_t data_bytes; /* raw bytes of it */
	int64_t chunk_ms;    /* CHUNKS: the last chunk ended */
	uint64_t chunk_size; /* of the chunk that is coming */
	uint64_t chunk_left;
	int64_t now_ms;  /* of this step */
	int64_t wall_ms; /* the wall clock is so much ahead of now_ms */
};

static inline bool server_is_in(const struct server *s, unsigned states)
{
	return states & (1u << s->state);
}

/* ---------------------------------------------------------------- server.c */

void server_enter(struct server *s, enum server_state state);
/* Ends the transaction that is open, if one is, in favour of STATE_HELLO. */
void server_drop(struct server *s);
/* There is no transaction any more, or none yet. */
void server_forget_envelope(struct server *s);
/* Any of these features, as EHLO tells; server_takes(): and EHLO was said. */
bool server_offers(const struct server *s, unsigned features);
bool server_takes(const struct server *s, unsigned features);
uint32_t server_max_recipients(const struct server *s);
int64_t server_max_hold_ms(const struct server *s);

/* ---------------------------------------------------------------- server_say.c */

/* A reply line; `status` NULL where none belongs (RFC 2034, 4). */
void server_say(struct server *s, int code, const char *status, const char *text);
/* The same for a mistake of the peer: counts, and becomes 421 when it was one too many. */
void server_say_error(struct server *s, int code, const char *status, const char *text);
/* Counts a mistake. True: it was one too many; 421 was said, and the session ends. */
bool server_say_too_many(struct server *s);
/* Ends the transaction, says this and closes. */
void server_say_last(struct server *s, struct server_reply reply);
/* The same with 421. */
void server_say_goodbye(struct server *s, const char *status, const char *text);
/* Makes one line that fits of what a driver answered, whatever its words hold; to be said later. */
void server_say_prepare(const struct server *s, struct buf *line, struct server_reply reply);
void server_say_line(struct server *s, const struct buf *line);

/* ---------------------------------------------------------------- server_time.c */

/* When the session has lasted too long: session_timeout between transactions, twice that inside one; INT64_MAX: never. */
int64_t server_time_session_end(const struct server *s);
int64_t server_time_deadline(const struct server *s);
/* It has passed: says so and closes. */
void server_time_out(struct server *s, int64_t now_ms);

/* ---------------------------------------------------------------- server_data.c, server_bdat.c */

/* What is wrong with the message as far as it is known; false: nothing. Looked at again at its end: which of several
 * reasons is given does not depend on how the bytes came. */
bool server_data_objection(const struct server *s, struct server_reply *out);
/* Throws the message away from here on if something is wrong with it. */
void server_data_judge(struct server *s);
/* The message is whole and good. */
void server_data_store(struct server *s);
/* STATE_DATA: reads on. True: out->bytes is to be handed out. */
bool server_data_read(struct server *s, int64_t now_ms, struct span *input, struct server_action *out);

/* BDAT with these arguments, in any state where a command may stand. */
void server_bdat_begin(struct server *s, struct span args);
/* STATE_BDAT, likewise; at the end of the chunk also without input. */
bool server_bdat_read(struct server *s, int64_t now_ms, struct span *input, struct server_action *out);
/* STATE_SKIP. */
void server_bdat_skip(struct server *s, int64_t now_ms, struct span *input);
/* The peer meant a chunk, but nobody knows where it ends: says so and closes. */
void server_bdat_is_lost(struct server *s);

/* ---------------------------------------------------------------- server_params.c */

/* What a RCPT command says of its recipient, while it is not known whether the recipient is taken. */
struct server_draft {
	uint8_t notify;
	struct buf orcpt;
};

/* The longest line this verb may have, with CRLF and what the extensions offered add. */
size_t server_params_line_max(const struct server *s, enum command_verb verb);
/* Sets fields of the envelope, or of the draft. False: refused, and a reply was said. */
bool server_params_set(struct server *s, enum command_verb verb, const struct command_path *path,
		       struct server_draft *draft);
/* " [SIZE=octets] …": the parameters that may be given to this verb. */
void server_params_list(const struct server *s, enum command_verb verb, struct buf *out);

/* ---------------------------------------------------------------- server_hello.c, server_help.c */

void server_hello_helo(struct server *s, const struct command *command);
void server_hello_ehlo(struct server *s, const struct command *command);

void server_help(struct server *s, struct span topic);

/* ---------------------------------------------------------------- server_verbs.c */

void server_verbs_run(struct server *s, struct span line, int64_t now_ms);
/* The transaction or the recipient asked about is accepted. */
void server_verbs_open(struct server *s);
void server_verbs_add(struct server *s);
/* "Ok", and what is worth to be repeated of the sender's wishes. */
const char *server_verbs_ok(const struct server *s, char *text, size_t size);

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
