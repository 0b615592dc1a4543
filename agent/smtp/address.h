/*
 * address - mailboxes and paths as the envelope carries them (RFC 5321, 4.1.2; RFC 6531 where UTF-8 is asked for).
 *
 * Owns nothing; pure. A struct address is a value that holds its own text.
 * Never:   drops or guesses anything: comments, folding, missing brackets and control bytes are refused. Quoting may
 *          change its form, never its meaning.
 * Threads: any. Only this file includes <idn2.h>.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

enum { /* RFC 5321, 4.5.3.1, in octets */
       ADDRESS_LOCAL_MAX = 64,
       ADDRESS_DOMAIN_MAX = 255,
       ADDRESS_PATH_MAX = 256, /* brackets and source route included */
       ADDRESS_LABEL_MAX = 63, /* RFC 1035, 2.3.4 */
       ADDRESS_SIZE = ADDRESS_PATH_MAX + 1,
       ADDRESS_DOMAIN_SIZE = ADDRESS_DOMAIN_MAX + 1,
};

enum address_options {
	ADDRESS_UTF8 = 1 << 0,       /* SMTPUTF8: UTF-8 in local part and domain */
	ADDRESS_BARE = 1 << 1,       /* a local part alone: "root" */
	ADDRESS_NULL = 1 << 2,       /* the null path "<>" */
	ADDRESS_POSTMASTER = 1 << 3, /* "postmaster" alone, in any case (RFC 5321, 4.5.1) */
};

/* name, text for people (lower case, no dot: it follows a colon) */
#define ADDRESS_ERRORS(X)                                                                    \
	X(OK, "fine")                                                                        \
	X(BRACKETS, "the address must stand in <angle brackets>")                            \
	X(EMPTY, "the address is empty")                                                     \
	X(LOCAL, "bad character, dot or blank before the @")                                 \
	X(QUOTES, "bad quoted string before the @")                                          \
	X(COMMENT, "comments are not allowed in an envelope address")                        \
	X(CONTROL, "control characters are not allowed in an address")                       \
	X(NOT_ASCII, "non-ASCII characters in the address need SMTPUTF8")                    \
	X(NOT_UTF8, "the address is not valid UTF-8")                                        \
	X(NO_DOMAIN, "the address has no @domain")                                           \
	X(DOMAIN, "the domain is not a valid name")                                          \
	X(LITERAL, "the address literal in [brackets] is not a valid IPv4 or IPv6: address") \
	X(ROUTE, "bad source route")                                                         \
	X(TRAILING, "unexpected characters behind the address")                              \
	X(LOCAL_LONG, "the part before the @ is longer than 64 octets")                      \
	X(DOMAIN_LONG, "the domain is longer than 255 octets")                               \
	X(PATH_LONG, "the path is longer than 256 octets")

enum address_err {
#define X(name, text) ADDRESS_##name,
	ADDRESS_ERRORS(X)
#undef X
};

const char *address_err_text(enum address_err err);

/* Canonical: no brackets, no source route, the local part quoted only where it must be; "" is the null path. */
struct address {
	char text[ADDRESS_SIZE]; /* NUL-terminated */
	size_t len;
	size_t local_len; /* of the local part as written in text */
};

/* Reads a path in its brackets from the front of s; *out_taken says how long it is. */
enum address_err address_path(struct span s, unsigned options, struct address *out, size_t *out_taken);
/* Reads a mailbox without brackets: all of s. */
enum address_err address_parse(struct span s, unsigned options, struct address *out);

/* Parts of a canonical text; the domain is empty when there is none. */
struct span address_local(struct span text);
struct span address_domain(struct span text);
/* What the local part means: unquoted. False at the buffer's cap. */
bool address_unquote(struct span local, struct buf *out);
/* Writes a local part's meaning the canonical way, quoted where it must be. False: control characters, or the cap. */
bool address_quote(struct span meaning, struct buf *out);
/* Same mailbox: local parts are equal byte by byte, domains as address_same_domain() says. */
bool address_equals(struct span a, struct span b);

/* A domain name (dotted labels; '_' is let through, it exists) or an address literal. */
bool address_is_domain(struct span s, unsigned options);
bool address_is_literal(struct span s);
/* The inside of a literal, "192.0.2.1" or "2001:db8::1", and whether it is IPv6. False: not a literal. */
bool address_literal(struct span s, struct span *out_inside, bool *out_is_v6);
/* Lower-case A-label form (RFC 5891, lookup): what DNS is asked for. False: no such form. */
bool address_domain_ascii(struct span domain, char out[ADDRESS_DOMAIN_SIZE]);
/* ASCII case folded; U-labels and A-labels of one name are the same. */
bool address_same_domain(struct span a, struct span b);

#endif
