/*
 * server - one SMTP session seen from the server's side (RFC 5321): bytes, answers and the time go in, bytes,
 * questions and message data come out. The same engine serves TCP, TLS, Unix sockets, `sendmail -bs` and the sink.
 *
 * Owns:    its buffers and the envelope of the transaction that is open.
 * Never:   touches a socket, a clock, a log or the queue; says 250 to a message before server_accept().
 * Threads: any, one object per thread.
 *
 * The driver's loop:
 *
 *     struct span input = what has been received;
 *     for (;;) {
 *             switch (server_step(s, now_ms, &input, &action)) {
 *             case SERVER_SEND: write action.bytes; break;
 *             case SERVER_NEED: drop what was taken from the receive buffer, wait for bytes, for the answer that
 *                               is owed, or for server_deadline(); return;
 *             ...
 *             }
 *     }
 *
 * The driver may pause between any two steps (while a write or the queue is full): that is back-pressure; it then
 * tells server_held_up() for how long, so that no deadline of the peer runs meanwhile. Replies of a pipelined group
 * leave in one SERVER_SEND. Times are milliseconds of a clock that never jumps (clock_boot_ms()).
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scram.h"
#include "base/span.h"

/* What EHLO offers, one bit a row: name, keyword. PIPELINING is only a word to the peer: we always cope with it. */
#define SERVER_FEATURES(X)                            \
	X(PIPELINING, "PIPELINING")                   \
	X(SIZE, "SIZE")                               \
	X(8BITMIME, "8BITMIME")                       \
	X(ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES") \
	X(STARTTLS, "STARTTLS")                       \
	X(AUTH, "AUTH")                               \
	X(SMTPUTF8, "SMTPUTF8")                       \
	X(DSN, "DSN")                                 \
	X(CHUNKING, "CHUNKING")                       \
	X(BINARYMIME, "BINARYMIME")                   \
	X(REQUIRETLS, "REQUIRETLS")                   \
	X(MT_PRIORITY, "MT-PRIORITY")                 \
	X(FUTURERELEASE, "FUTURERELEASE")             \
	X(DELIVERBY, "DELIVERBY")                     \
	X(LIMITS, "LIMITS")

enum server_feature_row {
#define X(name, keyword) SERVER_ROW_##name,
	SERVER_FEATURES(X)
#undef X
};

enum server_feature {
#define X(name, keyword) SERVER_##name = 1 << SERVER_ROW_##name,
	SERVER_FEATURES(X)
#undef X
	/* The small set, which asks nothing of whoever handles the message. */
	SERVER_PLAIN = SERVER_PIPELINING | SERVER_SIZE | SERVER_8BITMIME | SERVER_ENHANCEDSTATUSCODES,
	/* All that does not depend on a certificate or on users. */
	SERVER_FULL = SERVER_PLAIN | SERVER_SMTPUTF8 | SERVER_DSN | SERVER_CHUNKING | SERVER_BINARYMIME |
		      SERVER_REQUIRETLS | SERVER_MT_PRIORITY | SERVER_FUTURERELEASE | SERVER_DELIVERBY | SERVER_LIMITS,
};

/* A feature is offered only where it can be: STARTTLS before TLS, REQUIRETLS under it, BINARYMIME with CHUNKING,
 * SMTPUTF8 with 8BITMIME, FUTURERELEASE where server_wall_clock() was told, AUTH as below. What is not offered is not
 * taken either. */

enum server_newline {
	SERVER_NEWLINE_NORMALIZE, /* a bare CR or LF in a message becomes CRLF */
	SERVER_NEWLINE_REFUSE,    /* the message is refused with 550 5.5.2 when its true end has been read */
};

/* Shared by all sessions of a listener; borrowed until the last of them is freed. A zero limit means none, unless
 * it says otherwise. */
struct server_config {
	const char *hostname; /* in greeting and EHLO */
	const char *greeting; /* after the host name: NULL: "ESMTP Sendoff" */
	unsigned features;    /* SERVER_... */
	uint64_t max_size_bytes;
	uint32_t max_recipients; /* of one message; 0: 1000 */
	uint32_t max_errors;     /* of one session, then 421; 0: 20 */
	int64_t command_timeout_ms;
	int64_t data_timeout_ms;    /* without any byte of the message, and for a message of no length */
	int64_t max_hold_ms;        /* FUTURERELEASE: the longest that is promised; 0: 30 days */
	int64_t min_deliver_by_ms;  /* DELIVERBY: the shortest that BY=…;R may ask for; 0: none is named */
	int64_t session_timeout_ms; /* then 421, between transactions; after twice that inside one, too */
	uint32_t min_data_rate;     /* bytes a second below which a message is cut off; 0: 100 */
	enum server_newline newline;
	bool allow_bare_local_parts; /* "root" instead of "root@example.org", for local programs */
	unsigned mechanisms;         /* SERVER_AUTH_…: what the driver can answer for; 0: PLAIN and LOGIN */
	bool auth_without_tls;       /* AUTH is offered and taken in clear text */
	bool require_auth;           /* 530 5.7.0 before MAIL until then */
	bool require_tls;            /* 530 5.7.0 before MAIL and AUTH until then */
	bool ask_mail;               /* SERVER_ASK_MAIL comes; otherwise every well-formed sender is accepted */
	bool ask_rcpt;               /* SERVER_ASK_RCPT comes; otherwise every well-formed recipient is accepted */
};

enum server_body { SERVER_BODY_7BIT, SERVER_BODY_8BITMIME, SERVER_BODY_BINARYMIME };
enum server_ret { SERVER_RET_UNSAID, SERVER_RET_FULL, SERVER_RET_HDRS }; /* RFC 3461, 4.3 */
enum server_by { SERVER_BY_UNSAID, SERVER_BY_RETURN, SERVER_BY_NOTIFY }; /* RFC 2852, 4 */
enum {                                                                   /* RFC 3461, 4.1; 0: not said */
       SERVER_NOTIFY_NEVER = 1 << 0,
       SERVER_NOTIFY_SUCCESS = 1 << 1,
       SERVER_NOTIFY_FAILURE = 1 << 2,
       SERVER_NOTIFY_DELAY = 1 << 3,
};

struct server_rcpt {
	struct server_rcpt *next;
	const char *address; /* forward-path without <>, source route stripped, quoting as plain as possible */
	const char *orcpt;   /* "rfc822;a@b", "utf-8;…": xtext or utf-8-addr-xtext decoded and checked, or "" */
	uint8_t notify;      /* SERVER_NOTIFY_… */
};

/* The transaction that is open; valid until the step after its end (SERVER_ABORT, or the answer to SERVER_STORE). */
struct server_envelope {
	const char *sender;        /* reverse-path without <>; "" is the null sender; NULL: no transaction */
	struct server_rcpt *rcpts; /* accepted ones, in the order of the commands */
	uint32_t rcpt_count;
	uint64_t declared_bytes; /* SIZE=, 0: not said */
	uint64_t body_bytes;     /* of the message so far, as handed out; at SERVER_STORE its size */
	enum server_body body;   /* BODY=; BINARYMIME: handed out as it came, line ends and all */
	bool is_chunked;         /* comes by BDAT; known with the first SERVER_BODY */
	bool smtputf8;           /* RFC 6531 */
	bool requiretls;         /* RFC 8689 */
	enum server_ret ret;
	const char *envid;     /* ENVID=, decoded, printable; "" for none */
	int8_t priority;       /* MT-PRIORITY=, RFC 6710: -9 to 9, 0: normal or not said */
	int64_t hold_for_ms;   /* HOLDFOR=, RFC 4865; 0: not said; never beyond max_hold_ms */
	int64_t hold_until_ms; /* HOLDUNTIL=, wall clock; 0: not said; may have passed, never too far ahead */
	enum server_by by;     /* BY=, RFC 2852 */
	bool by_trace;
	int64_t by_ms; /* from the MAIL command on; 0 or negative where the time had passed before (only NOTIFY) */
	bool has_8bit; /* at SERVER_STORE: a byte above 127 is in it, whatever was declared */
	bool has_nul;
};

enum server_action_kind {
	SERVER_NEED,     /* nothing to do until bytes, the answer owed, an event, or the deadline */
	SERVER_SEND,     /* write `bytes` */
	SERVER_ASK_MAIL, /* answer: may this sender open a transaction? Address in `address` */
	SERVER_ASK_RCPT, /* answer: is this recipient taken? `rcpt` (not yet in the envelope) */
	SERVER_BODY, /* `bytes` of the message, unstuffed and (but for BINARYMIME) with CRLF line ends, for SERVER_STORE */
	SERVER_STORE,     /* the message is whole: answer when it is on stable storage */
	SERVER_ABORT,     /* the transaction has ended without SERVER_STORE: forget what was received of it */
	SERVER_START_TLS, /* all bytes are sent: start the handshake; then server_tls_started(), or free the session */
	SERVER_ASK_AUTH,  /* answer what `auth` asks */
	SERVER_CLOSE,     /* everything is said: close (after what was sent has left) */
};

/* AUTH mechanisms (RFC 4422, 4616, 5802, 7677), strongest first: the order in which EHLO lists them. */
#define SERVER_MECHANISMS(X)                        \
	X(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS") \
	X(SCRAM_SHA_256, "SCRAM-SHA-256")           \
	X(SCRAM_SHA_1, "SCRAM-SHA-1")               \
	X(PLAIN, "PLAIN")                           \
	X(LOGIN, "LOGIN")                           \
	X(EXTERNAL, "EXTERNAL")

enum server_mechanism_row {
#define X(name, keyword) SERVER_AUTH_ROW_##name,
	SERVER_MECHANISMS(X)
#undef X
};

enum server_mechanism {
#define X(name, keyword) SERVER_AUTH_##name = 1 << SERVER_AUTH_ROW_##name,
	SERVER_MECHANISMS(X)
#undef X
		SERVER_AUTH_SCRAM =
			SERVER_AUTH_SCRAM_SHA_256_PLUS | SERVER_AUTH_SCRAM_SHA_256 | SERVER_AUTH_SCRAM_SHA_1,
	SERVER_AUTH_PASSWORDS = SERVER_AUTH_PLAIN | SERVER_AUTH_LOGIN,
};

enum server_auth_kind {
	SERVER_AUTH_PASSWORD, /* is this the user's password? server_accept(), server_refuse() */
	SERVER_AUTH_VERIFIER, /* the user's verifier of this hash: server_verifier(), or server_refuse() */
	SERVER_AUTH_PROVEN,   /* they know the secret, or have the certificate: server_accept(), server_refuse() */
	SERVER_AUTH_FAILED,   /* they do not: server_refuse(), and count it */
};

struct server_auth {
	enum server_auth_kind kind;
	enum server_mechanism mechanism;
	const char *user;     /* UTF-8, no control characters, in the form that SASLprep gives it (RFC 4013) */
	const char *password; /* PASSWORD: UTF-8, never empty, as it came; overwritten at the answer. Else NULL */
	enum scram_hash hash; /* VERIFIER */
	const char *why;      /* FAILED: for the log */
};

/* What the driver knows of a connection beyond its bytes. */
struct server_facts {
	bool is_local;       /* it never leaves this machine: passwords may come in clear text */
	unsigned mechanisms; /* those of server_config.mechanisms that can succeed; 0: all */
	const char *user;    /* who the client's certificate proves the peer to be, or NULL */
	struct span binding; /* tls-exporter (RFC 9266), or empty */
};

/* Payloads are borrowed until the next call on the session; `bytes` of SERVER_BODY mostly lie in the input. */
struct server_action {
	enum server_action_kind kind;
	struct span bytes;
	const char *address;
	const struct server_rcpt *rcpt;
	const struct server_auth *auth;
};

struct server;

/* `is_tls`: the connection is protected from the start (implicit TLS). */
struct server *server_new(const struct server_config *config, bool is_tls, int64_t now_ms);
void server_free(struct server *s);

/* Does the next thing and says what it is (also in out->kind). Takes bytes from the front of *input, never while an
 * answer is owed. */
enum server_action_kind server_step(struct server *s, int64_t now_ms, struct span *input, struct server_action *out);
/* When server_step() wants to be called again at the latest; INT64_MAX: not before something happens. */
int64_t server_deadline(const struct server *s);

/* ---------------------------------------------------------------- answers to SERVER_ASK_..., SERVER_STORE */

/* A reply: 450 with "4.2.0" and words. The words may hold anything; they are cleaned and cut. 421 ends the session. */
struct server_reply {
	int code;
	const char *status;
	const char *text;
};

/* Only to SERVER_AUTH_VERIFIER, and it is copied. For an unknown user a made-up one, so that they look like others. */
void server_verifier(struct server *s, const struct scram_verifier *verifier);
/* Yes. `text` stands behind the enhanced status code ("queued as …"); NULL: words of our own. */
void server_accept(struct server *s, const char *text);
void server_refuse(struct server *s, struct server_reply reply);

/* ---------------------------------------------------------------- events */

/* Instead of the greeting this reply (421, 554) is sent and the connection closed: before the first step. */
void server_turn_away(struct server *s, struct server_reply reply);
/* What is known of the connection, which is copied: before the first step, and again behind server_tls_started(),
 * which forgets it all but is_local. */
void server_know(struct server *s, const struct server_facts *facts);
void server_tls_started(struct server *s);
/* The rest of this message cannot be kept (disk full, quota): no SERVER_BODY or SERVER_STORE comes any more, it is
 * read to its true end and answered with this (by BDAT: so is each chunk). Between SERVER_BODY and the end of the
 * message. */
void server_fail_body(struct server *s, struct server_reply reply);
/* The peer sends nothing any more. A message that is whole is still stored and answered; anything less is not. */
void server_peer_closed(struct server *s);
/* 421 4.3.2 at once, or after the answer that is owed. */
void server_shut_down(struct server *s);
/* The driver has kept the peer waiting: deadlines move by this. */
void server_held_up(struct server *s, int64_t ms);
/* It is `wall_ms` now, in milliseconds since 1970: once, before the first step, and again when that clock was set. */
void server_wall_clock(struct server *s, int64_t now_ms, int64_t wall_ms);

/* ---------------------------------------------------------------- facts */

const struct server_envelope *server_envelope(const struct server *s);
/* As said in HELO or EHLO, fit for a Received field; "" before it. */
const char *server_helo(const struct server *s);
/* SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA (RFC 3848); UTF8SMTP… in a transaction with SMTPUTF8 (RFC 6531, 4.3). */
const char *server_protocol(const struct server *s);
/* The authenticated user, "" for none. */
const char *server_user(const struct server *s);
/* Its mechanism as it is named in EHLO, "" for none. */
const char *server_mechanism(const struct server *s);
bool server_is_tls(const struct server *s);
uint32_t server_errors(const struct server *s);
/* How many of the next bytes are no commands: 0, the rest of a chunk, or UINT64_MAX for what ends with a dot. */
uint64_t server_message_left(const struct server *s);
/* What the session is doing, for people and logs: "waits for a command", "receives a message", … */
const char *server_doing(const struct server *s);

#endif
