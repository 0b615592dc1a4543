#include "tools/sendmail_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

/* Used by one spool at a time; not on the stack, so that only touched pages cost anything. */
static char piece[PIECE];

void sendmail_spool_init(struct sendmail_spool *s, bool dot_is_text)
{
	sendmail_input_init(&s->input, dot_is_text);
	buf_init(&s->memory, SENDMAIL_SPOOL_MEMORY + 2 * PIECE + 8);
	buf_init(&s->spill, 2 * PIECE + 8);
	s->file = -1;
	s->error[0] = '\0';
}

void sendmail_spool_fini(struct sendmail_spool *s)
{
	buf_fini(&s->memory);
	buf_fini(&s->spill);
	if (s->file >= 0)
		close(s->file);
}

static int failed(struct sendmail_spool *s, const char *what, int status)
{
	snprintf(s->error, sizeof(s->error), "%s: %s; nothing was queued", what, strerror(errno));
	return status;
}

/* A file that nobody else can open and that is gone with us. */
static int open_nameless(void)
{
	const char *folder = secure_getenv("TMPDIR");
	char path[4096];
	int fd;

	if (!folder || !*folder)
		folder = "/tmp";
#ifdef O_TMPFILE
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd >= 0)
		return fd;
#endif
	if ((size_t)snprintf(path, sizeof(path), "%s/sendmail.XXXXXX", folder) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int write_spill(struct sendmail_spool *s)
{
	if (buf_is_empty(&s->spill))
		return EX_OK;
	if (s->file < 0)
		s->file = open_nameless();
	if (s->file < 0)
		return failed(s, "cannot make a temporary file", EX_TEMPFAIL);
	while (!buf_is_empty(&s->spill)) {
		struct span bytes = buf_span(&s->spill);
		ssize_t n = write(s->file, bytes.data, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(s, "cannot write a temporary file", EX_TEMPFAIL);
		buf_consume(&s->spill, (size_t)n);
	}
	return EX_OK;
}

int sendmail_spool_fill(struct sendmail_spool *s, int fd)
{
	int status = EX_OK;

	while (status == EX_OK && !s->input.ended) {
		struct buf *out = s->memory.len < SENDMAIL_SPOOL_MEMORY ? &s->memory : &s->spill;
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(s, "cannot read the message", EX_IOERR);
		if (n == 0) {
			sendmail_input_finish(&s->input, out);
			status = write_spill(s);
			break;
		}
		sendmail_input_feed(&s->input, span_of(piece, (size_t)n), out);
		status = write_spill(s);
	}
	return status;
}

int sendmail_spool_replay(struct sendmail_spool *s, size_t from, int (*take)(void *arg, struct span piece), void *arg)
{
	int status = take(arg, span_from(buf_span(&s->memory), from));
	off_t at = 0;

	while (status == EX_OK && s->file >= 0) {
		ssize_t n = pread(s->file, piece, sizeof(piece), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(s, "cannot read the temporary file", EX_IOERR);
		if (n == 0)
			break;
		status = take(arg, span_of(piece, (size_t)n));
		at += n;
	}
	return status;
}
