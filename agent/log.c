#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

/* A record is at most one page; a value in it at most a kilobyte. What is gathered leaves in one write that a pipe takes
 * whole (PIPE_BUF), so that lines of several programs do not mix. */
enum { RECORD_MAX = 4096, VALUE_MAX = 1024, LINE_MAX_BYTES = RECORD_MAX + 256, GATHERED_MAX = 4096 };

static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

static struct {
	enum { TO_STDERR, TO_SYSLOG, TO_JOURNAL } target;
	enum log_level level;
	int journal; /* socket, or -1 */
	void (*heard)(void *arg, enum log_level level, const char *event, const struct log_field *fields,
		      int64_t wall_ms);
	void *arg;
	struct buf line;     /* the one in the making; its memory stays */
	struct buf gathered; /* lines for stderr that log_flush() writes */
	void (*flush_soon)(void *arg);
	void *flush_arg;
} state = { .level = LOG_LEVEL_INFO, .journal = -1, .line.max = LINE_MAX_BYTES, .gathered.max = GATHERED_MAX };

/* systemd sets JOURNAL_STREAM to device and inode of the stream it gave us; a redirected stderr is another. */
static bool is_stderr_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

static int open_journal(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool log_open(const char *target, const char *level)
{
	int found = -1, to;

	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(level, names[i]) == 0)
			found = i;
	if (strcmp(target, "auto") == 0)
		to = is_stderr_journal() ? TO_JOURNAL : TO_STDERR;
	else if (strcmp(target, "stderr") == 0)
		to = TO_STDERR;
	else if (strcmp(target, "syslog") == 0)
		to = TO_SYSLOG;
	else if (strcmp(target, "journal") == 0)
		to = TO_JOURNAL;
	else
		return false;
	if (found < 0)
		return false;
	log_close();
	if (to == TO_JOURNAL && (state.journal = open_journal()) < 0)
		to = TO_STDERR; /* no journal here: better there than nowhere */
	if (to == TO_SYSLOG)
		openlog("sendoffd", LOG_PID | LOG_NDELAY, LOG_MAIL);
	state.target = to;
	state.level = (enum log_level)found;
	return true;
}

void log_close(void)
{
	log_flush();
	if (state.target == TO_SYSLOG)
		closelog();
	if (state.journal >= 0)
		close(state.journal);
	state.journal = -1;
	state.target = TO_STDERR;
}

bool log_is_on(enum log_level level)
{
	return level <= state.level || (state.heard && level <= LOG_LEVEL_INFO);
}

/* Needs neither cleaning nor quotes, as nearly all values. */
static bool is_bare(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return s.len > 0 && s.len < VALUE_MAX;
}

static bool append_quoted(struct buf *out, struct span s)
{
	bool ok = buf_append_char(out, '"');

	for (size_t i = 0; ok && i < s.len; i++) {
		if (s.data[i] == '"' || s.data[i] == '\\')
			ok = buf_append_char(out, '\\');
		ok = ok && buf_append_char(out, s.data[i]);
	}
	return ok && buf_append_char(out, '"');
}

static bool needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] == ' ' || s.data[i] == '"' || s.data[i] == '=' || s.data[i] == '\\')
			return true;
	return s.len == 0;
}

static bool append_text(struct buf *out, const char *text)
{
	struct span s = span_first(span_str(text), 4 * VALUE_MAX);
	struct buf clean;
	bool ok;

	if (is_bare(s))
		return buf_append_span(out, s);
	buf_init(&clean, VALUE_MAX);
	text_clean(&clean, s, VALUE_MAX - 1);
	s = buf_span(&clean);
	ok = needs_quotes(s) ? append_quoted(out, s) : buf_append_span(out, s);
	buf_fini(&clean);
	return ok;
}

/* One field as " key=value"; a record that is full stays whole fields. */
static bool append_field(struct buf *out, const struct log_field *field)
{
	size_t before = out->len;
	char id[TEXT_ID_SIZE];
	bool fits = buf_append_char(out, ' ') && buf_append_str(out, field->key) && buf_append_char(out, '=');

	if (field->id)
		fits = fits && buf_append_str(out, text_id_print(field->id, id));
	else if (field->text)
		fits = fits && append_text(out, field->text);
	else
		fits = fits && buf_append_number(out, field->number);
	if (!fits)
		buf_truncate(out, before);
	return fits;
}

/* "accepted id=… from=… size=…"; one byte more than a record has room for, the line end. */
static void append_record(struct buf *out, const char *event, const struct log_field *fields)
{
	out->max = out->len + RECORD_MAX;
	buf_append_str(out, event);
	for (const struct log_field *f = fields; f->key && append_field(out, f); f++)
		;
	out->max = LINE_MAX_BYTES;
	buf_append_char(out, '\n');
}

/* One write, so that lines of several programs do not mix. Where it cannot go there is nobody to tell. */
static void write_stderr(struct span lines)
{
	ssize_t written;

	do
		written = lines.len ? write(STDERR_FILENO, lines.data, lines.len) : 0;
	while (written < 0 && errno == EINTR);
}

void log_flush(void)
{
	write_stderr(buf_span(&state.gathered));
	buf_clear(&state.gathered);
}

void log_gather(void (*flush_soon)(void *arg), void *arg)
{
	log_flush();
	state.flush_soon = flush_soon;
	state.flush_arg = arg;
}

static void send_stderr(enum log_level level, struct span line)
{
	/* Trouble is told at once, in case there is no later. */
	if (!state.flush_soon || level <= LOG_LEVEL_WARNING) {
		log_flush();
		write_stderr(line);
		return;
	}
	if (buf_is_empty(&state.gathered))
		state.flush_soon(state.flush_arg);
	if (buf_append_span(&state.gathered, line))
		return;
	log_flush();
	if (!buf_append_span(&state.gathered, line))
		write_stderr(line);
	else
		state.flush_soon(state.flush_arg);
}

static void to_stderr(enum log_level level, const char *event, const struct log_field *fields, int64_t wall_ms)
{
	char stamp[CLOCK_DATE_SIZE];
	struct buf *line = &state.line;

	buf_clear(line);
	buf_append_str(line, clock_stamp(wall_ms, stamp));
	buf_append_char(line, ' ');
	buf_append_str(line, names[level]);
	buf_append_char(line, ' ');
	append_record(line, event, fields);
	send_stderr(level, buf_span(line));
}

/* The journal's own protocol: a datagram of NAME=value lines (ours hold no line ends). */
static bool to_journal(enum log_level level, const char *event, const struct log_field *fields)
{
	struct buf *datagram = &state.line;
	struct span s;

	buf_clear(datagram);
	buf_append_str(datagram, "PRIORITY=");
	buf_append_number(datagram, priorities[level]);
	buf_append_str(datagram, "\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=sendoffd\nMESSAGE=");
	append_record(datagram, event, fields);
	s = buf_span(datagram);
	return send(state.journal, s.data, s.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void to_syslog(enum log_level level, const char *event, const struct log_field *fields)
{
	struct buf *line = &state.line;

	buf_clear(line);
	append_record(line, event, fields);
	syslog(priorities[level], "%.*s", SPAN_ARGS(span_first(buf_span(line), line->len - 1)));
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
	int64_t wall_ms;

	if (!log_is_on(level))
		return;
	wall_ms = clock_wall_ms();
	if (level <= state.level) {
		switch (state.target) {
		case TO_SYSLOG: to_syslog(level, event, fields); break;
		case TO_JOURNAL:
			if (!to_journal(level, event, fields))
				to_stderr(level, event, fields, wall_ms);
			break;
		case TO_STDERR: to_stderr(level, event, fields, wall_ms); break;
		}
	}
	if (state.heard && level <= LOG_LEVEL_INFO)
		state.heard(state.arg, level, event, fields, wall_ms);
}

void log_listen(void (*heard)(void *arg, enum log_level level, const char *event, const struct log_field *fields,
			      int64_t wall_ms),
		void *arg)
{
	state.heard = heard;
	state.arg = arg;
}
