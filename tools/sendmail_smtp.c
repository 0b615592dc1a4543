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

int sendmail_smtp_open(struct sendmail_smtp *s, const char *const *paths)
{
	const char *path = NULL;
	int error = -ENOENT;

	/* The first failure that is more than "nobody is there" is the one to tell. */
	for (size_t i = 0; paths[i] && s->fd < 0; i++) {
		int now = connect_to(paths[i], &s->fd);

		if (now == 0)
			return EX_OK;
		if (!path || error == -ENOENT) {
			path = paths[i];
			error = now;
		}
	}
	snprintf(s->error, sizeof(s->error),
		 "the mail agent (sendoffd) cannot be reached at %s: %s - nothing was queued; is it running?",
		 path ? path : "?", strerror(-error));
	return error == -EACCES || error == -EPERM ? EX_NOPERM : EX_TEMPFAIL;
}

/* ---------------------------------------------------------------- bytes */

static int lost(struct sendmail_smtp *s, const char *what, int error)
{
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
			s->features |= SENDMAIL_SMTP_SIZE;
		else if (span_equals_fold(word, SPAN("8BITMIME")))
			s->features |= SENDMAIL_SMTP_8BITMIME;
		else if (span_equals_fold(word, SPAN("DSN")))
			s->features |= SENDMAIL_SMTP_DSN;
		else if (span_equals_fold(word, SPAN("SMTPUTF8")))
			s->features |= SENDMAIL_SMTP_SMTPUTF8;
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

static bool needs_utf8(const struct sendmail_smtp_envelope *e)
{
	bool needs = !text_is_ascii(span_str(e->sender));

	for (size_t i = 0; i < e->recipient_count && !needs; i++)
		needs = !text_is_ascii(span_str(e->recipients[i]));
	return needs;
}

static void write_mail(struct sendmail_smtp *s, const struct sendmail_smtp_envelope *e)
{
	size_t from = s->out.len;

	buf_printf(&s->out, "MAIL FROM:<%s>", e->sender);
	if (s->features & SENDMAIL_SMTP_SIZE)
		buf_printf(&s->out, " SIZE=%llu", (unsigned long long)e->size_bytes);
	if (e->is_8bit && (s->features & SENDMAIL_SMTP_8BITMIME))
		buf_append_str(&s->out, " BODY=8BITMIME");
	if ((s->features & SENDMAIL_SMTP_SMTPUTF8) && needs_utf8(e))
		buf_append_str(&s->out, " SMTPUTF8");
	if (e->ret && (s->features & SENDMAIL_SMTP_DSN))
		buf_printf(&s->out, " RET=%s", e->ret);
	if (e->envid && (s->features & SENDMAIL_SMTP_DSN)) {
		buf_append_str(&s->out, " ENVID=");
		text_xtext_encode(&s->out, span_str(e->envid));
	}
	end_command(s, from);
}

static void write_rcpt(struct sendmail_smtp *s, const struct sendmail_smtp_envelope *e, size_t i)
{
	size_t from = s->out.len;

	buf_printf(&s->out, "RCPT TO:<%s>", e->recipients[i]);
	if (e->notify && (s->features & SENDMAIL_SMTP_DSN))
		buf_printf(&s->out, " NOTIFY=%s", e->notify);
	end_command(s, from);
}

/* All or nothing, so that it would be refused at the next try too: not a reply to try again for. */
static int too_many(struct sendmail_smtp *s, size_t wanted, size_t taken)
{
	snprintf(
		s->error, sizeof(s->error),
		"%zu recipients, and the mail agent takes %zu for one message: nothing was sent - split them, or raise "
		"limits.recipients in sendoff.conf",
		wanted, taken);
	return EX_UNAVAILABLE;
}

int sendmail_smtp_begin(struct sendmail_smtp *s, const struct sendmail_smtp_envelope *e)
{
	size_t sent = 0, answered = 0;
	int status;

	write_mail(s, e);
	while (sent < e->recipient_count && sent < BATCH)
		write_rcpt(s, e, sent++);
	status = flush(s);
	if (status == EX_OK)
		status = expect(s, 250, NULL);
	while (status == EX_OK && answered < e->recipient_count) {
		status = expect(s, 250, e->recipients[answered++]);
		if (status == EX_OK && answered == sent) {
			while (sent < e->recipient_count && sent < answered + BATCH)
				write_rcpt(s, e, sent++);
			status = flush(s);
		}
	}
	if (status == EX_TEMPFAIL && answered > 1 && s->reply.code == 452 && s->reply.status.subject == 5 &&
	    s->reply.status.detail == 3)
		return too_many(s, e->recipient_count, answered - 1);
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
	if (status == EX_OK)
		status = expect(s, 250, NULL);
	if (status != EX_OK)
		return status;
	/* What becomes of this, and what is answered to it, changes nothing any more. */
	if (send(s->fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		show(s, ">", SPAN("QUIT"));
	return EX_OK;
}
