/*
 * client - a client's SMTP session as an engine (RFC 5321, 2033, 2034, 2920, 3207, 4954, 3030, 3461, 6531, 8689,
 *          9422): greeting, EHLO, TLS, AUTH, then many messages on one connection, then QUIT.
 *
 * Owns:    what it was configured with (copied; the secret is wiped at the end), its output and its replies.
 *          A struct client_message and all it points at stay the caller's and must not change until the message's
 *          CLIENT_MESSAGE_DONE (or client_free).
 * Never:   reads a clock or a socket; calls back; sends a secret over a connection that is not protected; takes a
 *          reply for another command's; reports delivery without a 2xx in the place of its final dot.
 * Threads: any, one session per thread.
 *
 * A driver does three things in turn: hands in what happened (bytes, end of stream, TLS, messages, body), then takes
 * actions until CLIENT_WAIT, then sleeps until something happens or client_deadline(). Payloads of actions live until
 * the next client_step(). Times are milliseconds of one clock that never jumps.
 *
 * Every recipient of a taken message gets exactly one CLIENT_RCPT_RESULT, then the message one CLIENT_MESSAGE_DONE;
 * also when the session fails. CLIENT_FAILED comes at most once, CLIENT_CLOSE exactly once and last.
 *
 * What the other side's deeds mean for messages, host and account, and what becomes of a demand that it does not offer,
 * stands in REPLIES.md beside this file.
 *
 * Text goes by DATA, whatever is offered: DATA travels in one group with its envelope, and the next envelope behind its
 * body, so BDAT would save nothing. Only BODY=BINARYMIME goes by BDAT, in chunks of CLIENT_CHUNK_MAX bytes, the next one
 * after the reply to the one before, so that a refusal comes between chunks; a small message is one chunk with LAST,
 * behind which the next envelope travels as behind a final dot. All that is said of the final dot is true of BDAT LAST.
 *
 * LMTP: what ends the message is answered once for each accepted recipient, in their order. When the connection is lost
 * or 421 comes in between, those already answered keep their outcome, and the others are DOUBTFUL. The next envelope
 * travels behind it only where one recipient was accepted.
 *
 * The reply to a final dot behind which the next envelope travelled counts only when the replies to that envelope
 * have all come and are in order (or 421 ended them): a reply too many or too few shows there.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "smtp/reply.h"

struct client;

enum client_tls {
	CLIENT_TLS_NONE,          /* never */
	CLIENT_TLS_OPPORTUNISTIC, /* STARTTLS where it is offered and answered 220 */
	CLIENT_TLS_STARTTLS,      /* STARTTLS or nothing: no answer of the peer takes it away */
	CLIENT_TLS_IMPLICIT,      /* before the greeting (RFC 8314) */
};

struct client_config {
	const char *ehlo_name; /* domain or address literal */
	enum client_tls tls;
	bool lmtp; /* LHLO instead of EHLO, and one reply for each accepted recipient behind the end (RFC 2033) */
	bool tls_unproven; /* TLS here proves nothing of the peer: opportunistic, or a line of the configuration waives the
	                      check; then no message that requires TLS is sent */
	bool relay;        /* a smart host: refusals for want of authentication are the account's, not the message's */
	unsigned auth;     /* mechanisms allowed, SASL_BIT() of smtp/sasl.h; 0: no AUTH */
	bool auth_in_clear; /* those that only answer challenges may also be used without proven TLS */
	const char *user;
	struct span secret;
	const char *host; /* as configured, and its port: said by OAUTHBEARER; NULL and 0: unsaid */
	uint16_t port;
	bool pipelining;      /* use PIPELINING where offered; false for a host that once raised doubts */
	bool pipeline_next;   /* the next envelope may travel behind a final dot; needs pipelining */
	uint32_t chunk_bytes; /* of a BDAT chunk at most; 0: CLIENT_CHUNK_MAX */
	int64_t greeting_ms;  /* wait for the greeting; 0: 5 min (RFC 5321, 4.5.3.2) */
	int64_t command_ms;   /* wait for the reply to each command, and for TLS; 0: 5 min */
	int64_t data_ms;      /* wait for each block of the body to be taken, and for the last reply; 0: 10 min */
	int64_t quit_ms;      /* wait for the reply to QUIT; 0: 3 s */
};

enum { /* NOTIFY of RFC 3461, 4.1; 0: not said */
       CLIENT_NOTIFY_NEVER = 1 << 0,
       CLIENT_NOTIFY_SUCCESS = 1 << 1,
       CLIENT_NOTIFY_FAILURE = 1 << 2,
       CLIENT_NOTIFY_DELAY = 1 << 3,
};

struct client_rcpt {
	const char *address; /* forward-path without <> */
	const char *orcpt;   /* "rfc822;a@b", decoded; "" or NULL: none */
	uint8_t notify;      /* CLIENT_NOTIFY_… */
};

enum client_content { CLIENT_7BIT, CLIENT_8BIT, CLIENT_BINARY }; /* what BODY= says */
enum client_ret { CLIENT_RET_UNSAID, CLIENT_RET_FULL, CLIENT_RET_HDRS };
enum client_by { CLIENT_BY_UNSAID, CLIENT_BY_RETURN, CLIENT_BY_NOTIFY };

struct client_message {
	const char *sender; /* reverse-path without <>, "" for the null sender */
	enum client_content content;
	bool smtputf8;       /* has SMTPUTF8 (RFC 6531) */
	bool header_is_8bit; /* with smtputf8: a header has bytes above 127, so a server without SMTPUTF8 gets none of it */
	bool requiretls;     /* RFC 8689 */
	int8_t priority;     /* MT-PRIORITY (RFC 6710), -9 to 9; 0: normal, not said */
	enum client_ret ret; /* RFC 3461, 4.3 */
	const char *envid;   /* RFC 3461, 4.4, decoded; "" or NULL: none */
	enum client_by by;   /* RFC 2852 */
	bool by_trace;       /* mode T beside it */
	int64_t by_ms;       /* what is left when the message is given; may be negative with CLIENT_BY_NOTIFY */
	/* Of the body with CRLF line ends, as well as known, 0: unknown; with CLIENT_BINARY exactly. */
	uint64_t size_bytes;
	const struct client_rcpt *rcpts;
	size_t rcpt_count; /* 1 or more */
	/* Goes as far as RCPT and no further: nobody gets anything. A recipient that was accepted is UNTRIED, with the reply
	 * that accepted it. */
	bool only_ask;
	void *cookie; /* the caller's */
};

enum client_phase {
	CLIENT_AT_CONNECT, /* implicit TLS */
	CLIENT_AT_GREETING,
	CLIENT_AT_EHLO, /* also HELO */
	CLIENT_AT_STARTTLS,
	CLIENT_AT_TLS,
	CLIENT_AT_AUTH,
	CLIENT_AT_IDLE, /* between messages */
	CLIENT_AT_MAIL, /* also RSET */
	CLIENT_AT_RCPT,
	CLIENT_AT_DATA,
	CLIENT_AT_BODY, /* between 354 and the final dot, or inside a chunk */
	CLIENT_AT_BDAT, /* a chunk that is not the last is sent */
	CLIENT_AT_DOT,  /* the final dot, or BDAT LAST with its chunk, is sent */
	CLIENT_AT_QUIT,
};

enum client_outcome {
	CLIENT_DELIVERED, /* 2xx to the final dot */
	CLIENT_TEMPORARY, /* about this recipient or message: its own backoff */
	CLIENT_PERMANENT, /* refused for good */
	CLIENT_DOUBTFUL,  /* the final dot was sent and its reply is not known: perhaps delivered */
	CLIENT_UNTRIED,   /* nothing was decided about it: as before the attempt; not counted */
};

enum client_object {
	CLIENT_LANE,      /* the host, or the way to it */
	CLIENT_PARKED,    /* the account: refused; waits for an operator, a changed secret or a long pause */
	CLIENT_THROTTLED, /* the account: too much or not now; waits for a pause */
};

struct client_result {
	const struct client_message *message;
	size_t rcpt; /* index in message->rcpts */
	enum client_outcome outcome;
	enum client_phase phase; /* where it was decided */
	struct reply reply;      /* what decided it; code 0: our own words (then status may still be set) */
};

struct client_failure {
	enum client_object object;
	enum client_phase phase;
	struct reply reply; /* as in client_result */
};

enum client_action_kind {
	CLIENT_WAIT,      /* nothing to do now */
	CLIENT_SEND,      /* write `data`, in one piece where possible */
	CLIENT_START_TLS, /* switch; then client_tls_started() or client_tls_failed(). Unread input is lost, rightly */
	CLIENT_READY,     /* give a message or quit, now or later. `ahead`: another message is still under way */
	CLIENT_WANT_BODY, /* of `message`: answer with client_body(), client_body_end() or client_body_abort() */
	CLIENT_RCPT_RESULT,  /* `result` */
	CLIENT_MESSAGE_DONE, /* `message` is the caller's again */
	CLIENT_FAILED,       /* `failure`; CLOSE follows */
	CLIENT_CLOSE,        /* close the connection; nothing follows */
};

struct client_action {
	enum client_action_kind kind;
	struct span data;                     /* SEND; may hold a secret: do not log */
	bool ahead;                           /* READY */
	const struct client_message *message; /* WANT_BODY, MESSAGE_DONE */
	struct client_result result;          /* RCPT_RESULT */
	struct client_failure failure;        /* FAILED */
	bool no_pipelining;                   /* FAILED, CLOSE: replies were in doubt; configure this host without it */
};

/* What is known of the other side: for logs, `test` and status. Spans live until the next call. */
struct client_peer {
	struct span greeting; /* text of the greeting */
	struct span hello;    /* text of the first line of the EHLO or HELO reply */
	bool esmtp;
	unsigned extensions;                     /* EHLO_BIT() of smtp/ehlo.h */
	unsigned auth_offered;                   /* SASL_BIT() of those we know */
	uint64_t size_max_bytes;                 /* 0: not said */
	int64_t by_min_ms;                       /* of DELIVERBY; 0: not said */
	uint32_t mail_max, rcpt_max, domain_max; /* LIMITS; 0: not said */
	bool tls;
	const char *auth_used; /* mechanism after success, or NULL */
	unsigned messages;     /* finished, whatever became of them */
};

struct client *client_new(const struct client_config *config, int64_t now_ms);
void client_free(struct client *c);

/* The next action; call until CLIENT_WAIT. Also notices that the deadline has passed. */
void client_step(struct client *c, int64_t now_ms, struct client_action *out);
/* When to call client_step() at the latest, even if output is stuck; INT64_MAX: no need. */
int64_t client_deadline(const struct client *c);

/* ---- what happened */

void client_feed(struct client *c, struct span bytes, int64_t now_ms);
/* The connection ended; `why` for people, e.g. "connection reset by peer"; empty: closed by the server. */
void client_eof(struct client *c, struct span why, int64_t now_ms);
/* Before client_tls_started(): what binds AUTH to this TLS connection, CLIENT_BINDING_LEN bytes of tls-exporter
 * (RFC 9266), copied. Not for TLS 1.2, where servers of SCRAM-…-PLUS expect tls-unique. */
enum { CLIENT_BINDING_LEN = 32 };
void client_channel_binding(struct client *c, const uint8_t binding[CLIENT_BINDING_LEN]);
/* The answer to START_TLS. `authentic`: the peer is who the configuration says, or a line of it waives the check;
 * a secret is sent only then. */
void client_tls_started(struct client *c, bool authentic, int64_t now_ms);
void client_tls_failed(struct client *c, struct span why, int64_t now_ms);

/* ---- what is wanted */

/* True while client_message() may be called: from READY on. */
bool client_is_ready(const struct client *c);
void client_message(struct client *c, const struct client_message *message, int64_t now_ms);
/* The next bytes of the body asked for by WANT_BODY, at most CLIENT_BODY_MAX; copied, dot-stuffed, line ends made
 * CRLF; with CLIENT_BINARY as they are: they must be as many as size_bytes says, or the message is given up (TEMPORARY)
 * and the connection with it. One piece for one WANT_BODY; it comes again when there is room. When the session has failed meanwhile, this and
 * the next two do nothing. */
enum { CLIENT_BODY_MAX = 256 * 1024, CLIENT_CHUNK_MAX = 1024 * 1024 };
void client_body(struct client *c, struct span bytes, int64_t now_ms);
/* All of it was given (also straight behind the last piece): the message is completed. */
void client_body_end(struct client *c, int64_t now_ms);
/* The body is not what it should be: the message must not be completed. Its recipients are UNTRIED; CLOSE. */
void client_body_abort(struct client *c, int64_t now_ms);
/* No more messages: QUIT when the open ones are finished. */
void client_quit(struct client *c, int64_t now_ms);

/* What the session waits for just now. */
enum client_phase client_phase(struct client *c);
const struct client_peer *client_peer(const struct client *c);
const char *client_phase_name(enum client_phase phase);       /* "EHLO", "RCPT", "final dot", … */
const char *client_outcome_name(enum client_outcome outcome); /* "delivered", … */

#endif
