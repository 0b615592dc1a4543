#include "tools/sendmail_smtp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/text.h"

enum {
	BATCH = 100,          /* RCPT commands sent before their replies are read */
	PATIENCE_S = 10 * 60, /* for one reply, and for the agent to take what we send */
};

void sendmail_smtp_init(struct sendmail_smtp *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	reply_init(&s->reader);
	buf_init(&s->in, 64 * 1024);
	buf_init(&s->out, SENDMAIL_SMTP_OUT_MAX);
	dot_encode_init(&s->dot);
}

void sendmail_smtp_fini(struct sendmail_smtp *s)
{
	if (s->fd >= 0)
		close(s->fd);
	reply_fini(&s->reader);
	buf_fini(&s->in);
	buf_fini(&s->out);
}

/* ---------------------------------------------------------------- connect */

static int connect_to(const char *path, int *out_fd)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		*out_fd = fd;
		return 0;
	}
	error = -errno;
	close(fd);
	return error;
}

/* No socket, or one that is left over from an agent that has gone. */
static bool is_nobody(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ECONNREFUSED;
}

int sendmail_smtp_open(struct sendmail_smtp *s, const char *const *paths)
{
	const char *path = NULL;
	int error = -ENOENT;

	s->is_gone = true;
	/* The first failure that is more than "nobody is there" is the one to tell. */
	for (size_t i = 0; paths[i] && s->fd < 0; i++) {
		int now = connect_to(paths[i], &s->fd);

		if (now == 0) {
			s->is_gone = false;
			return EX_OK;
		}
		s->is_gone = s->is_gone && is_nobody(now);
		if (!path || error == -ENOENT) {
			path = paths[i];
			error = now;
		}
	}
	snprintf(s->error, sizeof(s->error), "the mail agent (sendoffd) cannot be reached at %s: %s; is it running?",
		 path ? path : "?", strerror(-error));
	return error == -EACCES || error == -EPERM ? EX_NOPERM : EX_TEMPFAIL;
}

/* ---------------------------------------------------------------- bytes */

/* Once the end of a message was sent, it may be queued. */
static void gone(struct sendmail_smtp *s)
{
	s->is_gone = !s->is_in_doubt;
}

static int lost(struct sendmail_smtp *s, const char *what, int error)
{
	gone(s);
	snprintf(s->error, sizeof(s->error), "%s: %s", what,
		 error == EAGAIN || error == EWOULDBLOCK ? "it does not answer" : strerror(error));
	return EX_TEMPFAIL;
}

static void show(const struct sendmail_smtp *s, const char *mark, struct span text)
{
	if (s->verbose)
		fprintf(stderr, "%s %.*s\n", mark, SPAN_ARGS(text));
}

static int receive(struct sendmail_smtp *s)
{
	char *room = buf_reserve(&s->in, 4096);
	ssize_t n;

	if (!room)
		return lost(s, "the mail agent talks too much", EMSGSIZE);
	do
		n = recv(s->fd, room, 4096, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return lost(s, "the mail agent", errno);
	if (n == 0) {
		gone(s);
		snprintf(s->error, sizeof(s->error), "the mail agent hung up");
		return EX_TEMPFAIL;
	}
	buf_commit(&s->in, (size_t)n);
	return EX_OK;
}

/* Reads one reply into s->reply. */
static int read_reply(struct sendmail_smtp *s)
{
	for (;;) {
		struct span bytes = buf_span(&s->in), rest = bytes;
		enum reply_verdict verdict = reply_feed(&s->reader, &rest, &s->reply);
		int status;

		buf_consume(&s->in, bytes.len - rest.len);
		switch (verdict) {
		case REPLY_DONE:
			if (s->verbose)
				fprintf(stderr, "< %u %.*s\n", s->reply.code, SPAN_ARGS(s->reply.text));
			return EX_OK;
		case REPLY_BAD:
			snprintf(s->error, sizeof(s->error), "the mail agent's answer cannot be understood");
			return EX_PROTOCOL;
		case REPLY_MORE:
			status = receive(s);
			if (status != EX_OK)
				return status;
			break;
		}
	}
}

/* What a reply that was not hoped for means; `about` is an address, or NULL. */
static int refused(struct sendmail_smtp *s, const char *about)
{
	const struct reply *r = &s->reply;
	struct buf text;

	/* RFC 5321, 3.8: it closes, and has not taken what this answers. */
	s->is_gone = r->code == 421;
	buf_init(&text, REPLY_TEXT_MAX + 64);
	reply_print(r, &text);
	if (about)
		snprintf(s->error, sizeof(s->error), "%.200s: %s", about, buf_cstr(&text));
	else
		snprintf(s->error, sizeof(s->error), "the mail agent refuses the message: %s", buf_cstr(&text));
	buf_fini(&text);
	if (r->code < 500)
		return r->code < 400 ? EX_PROTOCOL : EX_TEMPFAIL;
	if (r->status.class == 5 && r->status.subject == 7)
		return EX_NOPERM;
	return about ? EX_NOUSER : EX_UNAVAILABLE;
}

/* The agent has closed the connection; if it said why, that counts. */
static int hung_up(struct sendmail_smtp *s, int error)
{
	if (error != EAGAIN && read_reply(s) == EX_OK && s->reply.code >= 400)
		return refused(s, NULL);
	return lost(s, "the mail agent hung up", error);
}

static int flush(struct sendmail_smtp *s)
{
	while (!buf_is_empty(&s->out)) {
		struct span bytes = buf_span(&s->out);
		ssize_t n = send(s->fd, bytes.data, bytes.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hung_up(s, errno);
		buf_consume(&s->out, (size_t)n);
	}
	return EX_OK;
}

/* ---------------------------------------------------------------- dialogue */

static int expect(struct sendmail_smtp *s, unsigned code, const char *about)
{
	int status = read_reply(s);

	if (status != EX_OK)
		return status;
	return s->reply.code == code ? EX_OK : refused(s, about);
}

/* RFC 9422, 3: "RCPTMAX=1000 MAILMAX=…". */
static void read_limits(struct sendmail_smtp *s, struct span rest)
{
	for (rest = span_trim(rest); rest.len; rest = span_trim(rest)) {
		struct span word = span_first(rest, span_find(rest, ' '));
		uint64_t most;

		rest = span_from(rest, word.len);
		if (span_starts_fold(word, SPAN("RCPTMAX=")) && text_number(span_from(word, 8), 1000000, &most))
			s->most = (size_t)most;
	}
}

static void read_features(struct sendmail_smtp *s)
{
	struct span rest = s->reply.lines;

	for (bool first = true; rest.len; first = false) {
		struct span line = span_first(rest, span_find(rest, '\n'));
		struct span word = span_first(line, span_find(line, ' '));

		rest = span_from(rest, line.len + 1);
		if (first)
			snprintf(s->host, sizeof(s->host), "%.*s", SPAN_ARGS(span_first(word, sizeof(s->host) - 1)));
		else if (span_equals_fold(word, SPAN("SIZE")))
			s->features |= SENDMAIL_ENVELOPE_SIZE;
		else if (span_equals_fold(word, SPAN("8BITMIME")))
			s->features |= SENDMAIL_ENVELOPE_8BITMIME;
		else if (span_equals_fold(word, SPAN("DSN")))
			s->features |= SENDMAIL_ENVELOPE_DSN;
		else if (span_equals_fold(word, SPAN("SMTPUTF8")))
			s->features |= SENDMAIL_ENVELOPE_SMTPUTF8;
		else if (span_equals_fold(word, SPAN("LIMITS")))
			read_limits(s, span_from(line, word.len));
	}
}

int sendmail_smtp_hello(struct sendmail_smtp *s)
{
	int status = expect(s, 220, NULL);

	if (status == EX_OK) {
		show(s, ">", SPAN("EHLO localhost"));
		buf_append_str(&s->out, "EHLO localhost\r\n");
		status = flush(s);
	}
	if (status == EX_OK)
		status = expect(s, 250, NULL);
	if (status == EX_OK)
		read_features(s);
	return status;
}

/* Completes the command in `out` that begins at byte `from`. */
static void end_command(struct sendmail_smtp *s, size_t from)
{
	show(s, ">", span_from(buf_span(&s->out), from));
	buf_append_str(&s->out, "\r\n");
}

static int too_long(struct sendmail_smtp *s)
{
	snprintf(s->error, sizeof(s->error), "an address or option is too long");
	return EX_DATAERR;
}

static int write_mail(struct sendmail_smtp *s, const struct sendmail_envelope *e)
{
	size_t from = s->out.len;

	if (!sendmail_envelope_mail(e, s->features, &s->out))
		return too_long(s);
	end_command(s, from);
	return EX_OK;
}

static int write_rcpts(struct sendmail_smtp *s, const struct sendmail_envelope *e, size_t *sent, size_t until)
{
	for (; *sent < until; ++*sent) {
		size_t from = s->out.len;

		if (!sendmail_envelope_rcpt(e, *sent, s->features, &s->out))
			return too_long(s);
		end_command(s, from);
	}
	return flush(s);
}

/* RFC 5321, 4.5.3.1.10: those that were taken are sent, the others with the next message. */
static bool is_one_too_many(const struct reply *r)
{
	return r->code == 452 && (r->status.class == 0 || (r->status.subject == 5 && r->status.detail == 3));
}

/* The replies to recipients that were sent behind the one that was too many. */
static int read_surplus(struct sendmail_smtp *s, size_t count)
{
	int status = EX_OK;

	while (status == EX_OK && count-- > 0) {
		status = read_reply(s);
		if (status == EX_OK && s->reply.code < 400) {
			snprintf(s->error, sizeof(s->error), "the mail agent takes recipients out of turn");
			status = EX_PROTOCOL;
		}
	}
	return status;
}

static int ask_rcpts(struct sendmail_smtp *s, const struct sendmail_envelope *e, size_t *out_taken)
{
	size_t count = s->most && s->most < e->recipient_count ? s->most : e->recipient_count, sent = 0, taken = 0;
	int status = write_rcpts(s, e, &sent, count < BATCH ? count : BATCH);

	if (status == EX_OK)
		status = expect(s, 250, NULL); /* MAIL */
	while (status == EX_OK && taken < count) {
		status = expect(s, 250, e->recipients[taken]);
		if (status == EX_TEMPFAIL && taken > 0 && is_one_too_many(&s->reply)) {
			status = read_surplus(s, sent - taken - 1);
			break;
		}
		if (status == EX_OK && ++taken == sent)
			status = write_rcpts(s, e, &sent, count - sent < BATCH ? count : sent + BATCH);
	}
	*out_taken = taken;
	return status;
}

int sendmail_smtp_begin(struct sendmail_smtp *s, const struct sendmail_envelope *e, size_t *out_taken)
{
	int status = write_mail(s, e);

	s->is_in_doubt = false;
	dot_encode_init(&s->dot);
	if (status == EX_OK)
		status = ask_rcpts(s, e, out_taken);
	/* Not pipelined: after a refusal there must be no DATA to take back. */
	if (status == EX_OK) {
		show(s, ">", SPAN("DATA"));
		buf_append_str(&s->out, "DATA\r\n");
		status = flush(s);
	}
	return status == EX_OK ? expect(s, 354, NULL) : status;
}

int sendmail_smtp_data(struct sendmail_smtp *s, struct span bytes)
{
	int status = EX_OK;

	while (status == EX_OK && bytes.len) {
		/* A piece always fits the empty buffer. */
		struct span piece = span_first(bytes, SENDMAIL_SMTP_OUT_MAX / 4);

		bytes = span_from(bytes, piece.len);
		while (status == EX_OK && !dot_encode_append(&s->dot, &piece, &s->out))
			status = flush(s);
	}
	return status;
}

int sendmail_smtp_finish(struct sendmail_smtp *s)
{
	struct span end = dot_encode_end(&s->dot);
	int status = EX_OK;

	if (!buf_append_span(&s->out, end)) {
		status = flush(s);
		buf_append_span(&s->out, end);
	}
	if (status == EX_OK)
		status = flush(s);
	if (status != EX_OK)
		return status;
	s->is_in_doubt = true;
	status = read_reply(s);
	if (status != EX_OK)
		return status;
	s->is_in_doubt = false;
	return s->reply.code == 250 ? EX_OK : refused(s, NULL);
}

void sendmail_smtp_quit(struct sendmail_smtp *s)
{
	/* What becomes of this, and what is answered to it, changes nothing any more. */
	if (send(s->fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		show(s, ">", SPAN("QUIT"));
}
