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

/* A record is at most one page; a value in it at most a kilobyte. */
enum { RECORD_MAX = 4096, VALUE_MAX = 1024 };

static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

static struct {
	enum { TO_STDERR, TO_SYSLOG, TO_JOURNAL } target;
	enum log_level level;
	int journal; /* socket, or -1 */
	void (*heard)(void *arg, enum log_level level, const char *event, const struct log_field *fields,
		      int64_t wall_ms);
	void *arg;
} state = { .level = LOG_LEVEL_INFO, .journal = -1 };

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

static bool is_bare(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] == ' ' || s.data[i] == '"' || s.data[i] == '=' || s.data[i] == '\\')
			return false;
	return s.len > 0;
}

static void append_text(struct buf *out, const char *text)
{
	struct buf clean;
	struct span s;

	buf_init(&clean, VALUE_MAX);
	text_clean(&clean, span_first(span_str(text), 4 * VALUE_MAX), VALUE_MAX - 1);
	s = buf_span(&clean);
	if (is_bare(s)) {
		buf_append_span(out, s);
	} else {
		buf_append_char(out, '"');
		for (size_t i = 0; i < s.len; i++) {
			if (s.data[i] == '"' || s.data[i] == '\\')
				buf_append_char(out, '\\');
			buf_append_char(out, s.data[i]);
		}
		buf_append_char(out, '"');
	}
	buf_fini(&clean);
}

/* One field as " key=value"; a record that is full stays whole fields. */
static bool append_field(struct buf *out, const struct log_field *field)
{
	size_t before = out->len;
	struct buf value;
	bool fits;

	buf_init(&value, 2 * VALUE_MAX + 2);
	if (field->id) {
		char id[TEXT_ID_SIZE];

		buf_append_str(&value, text_id_print(field->id, id));
	} else if (field->text) {
		append_text(&value, field->text);
	} else {
		buf_printf(&value, "%" PRId64, field->number);
	}
	fits = buf_printf(out, " %s=", field->key) && buf_append_span(out, buf_span(&value));
	if (!fits)
		buf_truncate(out, before);
	buf_fini(&value);
	return fits;
}

/* "accepted id=… from=… size=…" */
static void append_record(struct buf *out, const char *event, const struct log_field *fields)
{
	buf_append_str(out, event);
	for (const struct log_field *f = fields; f->key && append_field(out, f); f++)
		;
}

/* The journal's own protocol: a datagram of NAME=value lines (ours hold no line ends). */
static bool send_journal(enum log_level level, struct span record)
{
	struct buf datagram;
	bool sent;

	buf_init(&datagram, RECORD_MAX + 256);
	buf_printf(&datagram,
		   "PRIORITY=%d\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=sendoffd\nMESSAGE=", priorities[level]);
	buf_append_span(&datagram, record);
	buf_append_char(&datagram, '\n');
	sent = send(state.journal, buf_span(&datagram).data, datagram.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	buf_fini(&datagram);
	return sent;
}

static void write_stderr(enum log_level level, struct span record, int64_t wall_ms)
{
	char stamp[CLOCK_DATE_SIZE];
	struct buf line;
	ssize_t written;

	buf_init(&line, RECORD_MAX + 256);
	buf_printf(&line, "%s %s ", clock_stamp(wall_ms, stamp), names[level]);
	buf_append_span(&line, record);
	buf_append_char(&line, '\n');
	/* One write a line, so that lines of several programs do not mix. Where it cannot go there is nobody to tell. */
	do
		written = write(STDERR_FILENO, buf_span(&line).data, line.len);
	while (written < 0 && errno == EINTR);
	buf_fini(&line);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
	int64_t wall_ms;
	struct buf record;

	if (!log_is_on(level))
		return;
	wall_ms = clock_wall_ms();
	if (level <= state.level) {
		buf_init(&record, RECORD_MAX);
		append_record(&record, event, fields);
		switch (state.target) {
		case TO_SYSLOG: syslog(priorities[level], "%s", buf_cstr(&record)); break;
		case TO_JOURNAL:
			if (send_journal(level, buf_span(&record)))
				break;
			write_stderr(level, buf_span(&record), wall_ms);
			break;
		case TO_STDERR: write_stderr(level, buf_span(&record), wall_ms); break;
		}
		buf_fini(&record);
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
