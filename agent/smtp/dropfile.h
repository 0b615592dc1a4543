/*
 * dropfile - the form of a message that sendmail(1) keeps while no agent runs: what a client would have said, in a file.
 *
 *     SENDOFF-DROP 1
 *     MAIL FROM:<me> BODY=8BITMIME
 *     RCPT TO:<you@example.org> NOTIFY=NEVER
 *     ...
 *     BDAT 1234 LAST
 *     (1234 bytes: header and body, CRLF line ends, no dot stuffing, and nothing behind them)
 *
 * Every line ends with CRLF. The reader finds the lines and checks that the file is whole; what they mean is for the
 * one SMTP server (server.h), which is fed with them. So no other verb is let through, and who sent the file is told
 * by its owner alone.
 *
 * Owns:    nothing; lines lie in the input.
 * Never:   touches a file; needs more than DROPFILE_LINE_MAX bytes at once.
 * Threads: any, one object per thread.
 */
#ifndef DROPFILE_H
#define DROPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

#define DROPFILE_MAGIC "SENDOFF-DROP 1\r\n"

enum {
	DROPFILE_LINE_MAX = 4096,             /* with CRLF; the server's own limits are narrower */
	DROPFILE_HEAD_MAX = 16 * 1024 * 1024, /* all lines together */
	DROPFILE_NAME_LEN = 32,               /* of a finished file: lower-case hexadecimal digits */
	DROPFILE_NAME_SIZE = DROPFILE_NAME_LEN + 1,
};

/* What the name of a file begins with while it is being written, where a file system knows no files without a name. */
#define DROPFILE_UNFINISHED ".new-"

enum dropfile_part {
	DROPFILE_MORE, /* no whole line in the input: call again with the bytes from `at` on, at least one line of them */
	DROPFILE_MAIL,
	DROPFILE_RCPT,
	DROPFILE_BODY, /* the BDAT line: the file holds body_bytes behind it, which begin at `at` */
	DROPFILE_BAD,  /* `error` says why; for good */
};

struct dropfile {
	uint64_t file_bytes;
	uint64_t at;         /* of the file that has been read */
	uint64_t body_bytes; /* after DROPFILE_BODY */
	uint32_t rcpts;      /* RCPT lines so far */
	int stage;           /* private */
	const char *error;   /* for people, lower case, no dot */
};

void dropfile_init(struct dropfile *f, uint64_t file_bytes);
/* `*input` begins at byte `at` of the file; the line that is found is taken off its front. */
enum dropfile_part dropfile_next(struct dropfile *f, struct span *input, struct span *out_line);

bool dropfile_is_name(const char *name);
/* The last line of the head. False: `out` is full. */
bool dropfile_body_line(struct buf *out, uint64_t body_bytes);

#endif
