/*
 * convert_inside - what the files of convert share: the reading of a message line by line (convert_lines.c), its
 *                  structure (convert_tree.c), and each part's header and body (convert_part.c).
 *
 * Both readings go the same way; the first decides about part n at its end and notes it in plan[n], the second has that
 * decision when part n begins.
 * Threads: any, one object per thread.
 */
#ifndef CONVERT_INSIDE_H
#define CONVERT_INSIDE_H

#include "message/convert.h"
#include "message/convert_encode.h"
#include "message/convert_type.h"

enum { CONVERT_HOLD_MAX = 1024 };

/* plan[n]: one of the first four, perhaps with more. */
enum {
	CONVERT_KEEP,
	CONVERT_RELABEL, /* the label only */
	CONVERT_QP,
	CONVERT_BASE64,
	CONVERT_ACTION = 3,       /* the mask of these */
	CONVERT_CHARSET = 1 << 2, /* say that the charset is not known */
	CONVERT_MENDED = 1 << 3,  /* it is encoded already */
};

/* What was found in a body. */
enum {
	CONVERT_FOUND_8BIT = 1 << 0,
	CONVERT_FOUND_NUL = 1 << 1,
	CONVERT_FOUND_BARE = 1 << 2, /* CR or LF */
	CONVERT_FOUND_LONG = 1 << 3,
	CONVERT_FOUND_NO_BASE64 = 1 << 4, /* labelled so, and does not begin like it */
	CONVERT_FOUND_NO_LINES = CONVERT_FOUND_NUL | CONVERT_FOUND_BARE,
};

enum convert_place { CONVERT_IN_HEADER, CONVERT_IN_BODY, CONVERT_IN_MARGIN };
enum convert_field { CONVERT_FIELD_OTHER, CONVERT_FIELD_TYPE, CONVERT_FIELD_LABEL, CONVERT_FIELD_VERSION };

/* A multipart that is open. */
struct convert_level {
	unsigned depth;
	bool is_sealed; /* it lies in a sealed one */
	bool seals;
	bool is_digest;
	bool has_parts;
	bool margin_altered;
	size_t boundary_at, boundary_len; /* in `boundaries` */
};

struct convert_counter {
	struct convert_encoder encoder;
	struct convert_sink sink;
};

/* The message or part that is being read. */
struct convert_part {
	size_t n;
	unsigned depth;
	bool is_message; /* the message itself or an enclosed one: MIME-Version belongs into it */
	bool is_sealed;
	unsigned plan; /* second reading */

	/* header */
	bool has_blank; /* an empty line ended it */
	bool any, has_type, has_label, has_version;
	enum convert_field field; /* the one that is being read */
	bool swallows;            /* it is not passed on */
	bool label_written;
	uint64_t label_bytes; /* of all its label fields */
	struct convert_type type;
	enum convert_label label;

	/* body */
	enum convert_why fixed; /* why it cannot be changed */
	unsigned found;
	uint64_t column, raw_bytes;
	bool begun;                     /* behind its first line that is not empty */
	struct convert_counter ways[2]; /* the first reading counts both ways that it may go */
	struct convert_encoder encoder; /* the second one's, and that of margins */
};

struct convert {
	enum convert_target target;
	bool scanning;
	bool too_many_parts;
	struct convert_facts facts;
	uint64_t in_bytes;
	struct buf plan;
	struct convert_sink sink;

	/* lines */
	char hold[CONVERT_HOLD_MAX];
	size_t hold_len;
	bool holds;               /* the line so far is in hold */
	bool in_line;             /* some of the line was read */
	bool after_cr;            /* it may be a CRLF's */
	enum convert_eol pending; /* in a body: the line end in front of this line, which may be a boundary's */

	/* structure */
	struct convert_level levels[CONVERT_DEPTH_MAX];
	size_t level_count;
	struct buf boundaries;
	enum convert_place place;
	size_t next; /* the next part's number */
	struct convert_part part;
	struct buf value; /* of the field, unfolded */
};

/* ---------------------------------------------------------------- convert_lines.c */

void convert_lines_init(struct convert *c);
void convert_lines_feed(struct convert *c, struct span in);
/* The message is whole. */
void convert_lines_end(struct convert *c);

/* ---------------------------------------------------------------- convert_tree.c */

/* To the first byte of a message. */
void convert_tree_init(struct convert *c);
/* The level whose boundary a line is, or NULL. */
struct convert_level *convert_tree_match(struct convert *c, struct span line, bool *out_closes);
/* At a boundary: what was open below it ends, and what it says begins. `before`: the line end in front of it. */
void convert_tree_boundary(struct convert *c, struct convert_level *level, bool closes, struct span line,
			   enum convert_eol before, enum convert_eol after);
/* The header of the part has ended: whatever follows from its type. */
void convert_tree_enter(struct convert *c);
void convert_tree_end(struct convert *c);

/* It must change and cannot. */
void convert_tree_refuse(struct convert *c, enum convert_why why);
/* Structure that is passed on: headers and boundaries. */
void convert_tree_put(struct convert *c, struct span s);
void convert_tree_put_eol(struct convert *c, enum convert_eol eol, bool sealed);

/* ---------------------------------------------------------------- convert_part.c */

void convert_part_begin(struct convert *c, struct convert_part part);
/* A line of the header, or its beginning where it is longer than what is held (eol NONE; then the rest follows by
 * convert_part_header_more()). False: it is not of the header; convert_part_header_end() was called. */
bool convert_part_header_line(struct convert *c, struct span line, enum convert_eol eol, bool whole);
void convert_part_header_more(struct convert *c, struct span s);
void convert_part_header_eol(struct convert *c, enum convert_eol eol);
/* `blank`: the empty line that ended it, or NONE. */
void convert_part_header_end(struct convert *c, enum convert_eol blank);
/* First reading: decides about a part that is not encoded itself. */
void convert_part_relabel(struct convert *c);

void convert_part_body_begin(struct convert *c, enum convert_why fixed);
void convert_part_body(struct convert *c, struct span s);
void convert_part_body_eol(struct convert *c, enum convert_eol eol);
/* `last`: the message ends with it. */
void convert_part_body_end(struct convert *c, bool last);

#endif
