#include "helper/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUTPUT_MAX = 8 * 1024 * 1024 }; /* more than all requests together can need */

static void break_down(struct channel *channel)
{
	loop_io_stop(&channel->io);
	channel->broken = true;
	loop_task_post(&channel->task);
}

static void flush(struct channel *channel)
{
	while (!buf_is_empty(&channel->out)) {
		struct span s = buf_span(&channel->out);
		ssize_t n = send(channel->fd, s.data, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			break_down(channel);
			return;
		}
		if (n < 0) {
			loop_io_set(&channel->io, LOOP_READ | LOOP_WRITE);
			return;
		}
		buf_consume(&channel->out, (size_t)n);
	}
	buf_wipe(&channel->out);
	loop_io_set(&channel->io, LOOP_READ);
}

/* Hands out the whole records that are there. */
static void take_records(struct channel *channel)
{
	struct protocol_record record;
	size_t used;

	while (channel->fd >= 0 && !channel->broken) {
		switch (protocol_read(buf_span(&channel->in), &record, &used)) {
		case PROTOCOL_MORE: return;
		case PROTOCOL_BAD: break_down(channel); return;
		case PROTOCOL_DONE: break;
		}
		channel->record(channel->arg, &record);
		if (channel->fd >= 0)
			buf_consume(&channel->in, used);
	}
}

static void receive(struct channel *channel)
{
	/* Room for the largest record at once: a buffer that grew would leave copies behind. */
	size_t room = PROTOCOL_RECORD - channel->in.len;
	char *to = buf_reserve(&channel->in, room);
	ssize_t n = recv(channel->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		break_down(channel);
		return;
	}
	buf_commit(&channel->in, (size_t)n);
	take_records(channel);
	if (channel->fd >= 0 && buf_is_empty(&channel->in))
		buf_wipe(&channel->in);
}

static void on_ready(struct loop_io *io, int events)
{
	struct channel *channel = LIST_ENTRY(io, struct channel, io);

	if (events & LOOP_WRITE)
		flush(channel);
	if (events & LOOP_READ && !channel->broken)
		receive(channel);
}

static void on_task(struct loop_task *task)
{
	struct channel *channel = LIST_ENTRY(task, struct channel, task);

	channel->closed(channel->arg);
}

void channel_init(struct channel *channel, struct loop *loop, int fd,
		  void (*record)(void *arg, const struct protocol_record *record), void (*closed)(void *arg), void *arg)
{
	*channel = (struct channel){ .fd = fd, .record = record, .closed = closed, .arg = arg };
	buf_init(&channel->in, 2 * PROTOCOL_RECORD);
	buf_init(&channel->out, OUTPUT_MAX);
	loop_io_init(&channel->io, loop, fd, on_ready);
	loop_task_init(&channel->task, loop, on_task);
	loop_io_set(&channel->io, LOOP_READ);
}

void channel_fini(struct channel *channel)
{
	loop_io_stop(&channel->io);
	loop_task_stop(&channel->task);
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
	buf_wipe(&channel->in);
	buf_wipe(&channel->out);
}

bool channel_send(struct channel *channel, const struct protocol_record *record)
{
	bool waiting = !buf_is_empty(&channel->out);

	if (channel->fd < 0 || channel->broken || !protocol_write(&channel->out, record))
		return false;
	if (!waiting)
		flush(channel);
	return !channel->broken;
}
