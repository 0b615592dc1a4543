/*
 * convert_type - what the two fields say that conversion goes by: Content-Type and Content-Transfer-Encoding.
 *
 * Owns nothing; pure. It reads as mail programs do: forgiving, and always to some answer.
 * Threads: any.
 */
#ifndef CONVERT_TYPE_H
#define CONVERT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "message/convert.h"

enum convert_kind {
	CONVERT_KIND_TEXT,      /* text/...; also what has no type that can be read (RFC 2045, 5.2) */
	CONVERT_KIND_DATA,      /* everything else that may be encoded */
	CONVERT_KIND_MULTIPART, /* with or without a boundary */
	CONVERT_KIND_MESSAGE,   /* an enclosed message */
	CONVERT_KIND_FIELDS,    /* message/delivery-status and its kin: made of header fields */
	CONVERT_KIND_FIXED,     /* must not be encoded (RFC 2046, 5.2) */
};

struct convert_type {
	enum convert_kind kind;
	bool is_digest; /* its parts are messages unless they say otherwise (RFC 2046, 5.1.5) */
	bool seals;     /* multipart/signed, multipart/encrypted */
	size_t boundary_len;
	char boundary[CONVERT_BOUNDARY_MAX]; /* none: boundary_len is 0 */
};

/* `value`: behind the colon, without line ends. */
void convert_type_read(struct span value, struct convert_type *out);

enum convert_label {
	CONVERT_LABEL_7BIT, /* also none, and words that nobody knows */
	CONVERT_LABEL_8BIT,
	CONVERT_LABEL_BINARY,
	CONVERT_LABEL_QP,
	CONVERT_LABEL_BASE64,
};

enum convert_label convert_type_label(struct span value);
/* "quoted-printable" */
const char *convert_type_label_text(enum convert_label label);

#endif
