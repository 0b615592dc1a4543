#include "net/dns_channel.h"

#include <ares.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"

enum {
	TRY_MS = 2000, /* the first try of one resolver; later ones take twice as long each */
	TRIES = 3,
	UDP_BYTES = 1232, /* fits every path without fragments */
	CLASS_IN = 1,
};

struct dns_channel {
	struct list node; /* see dns_channel_node() */
	struct loop *loop;
	ares_channel ares;
	struct list sockets;
	struct loop_timer timer;
	struct loop_task reap; /* it cannot be destroyed from inside its own callbacks */
	unsigned pending;
	bool retired, closing;
};

struct socket {
	struct list node;
	struct dns_channel *channel;
	struct loop_io io;
	ares_socket_t fd;
};

struct question {
	struct dns_channel *channel;
	void (*replied)(void *arg, const struct dns_channel_reply *reply);
	void *arg;
};

static void on_reap(struct loop_task *task);

static void rearm(struct dns_channel *channel)
{
	struct timeval tv, *next = ares_timeout(channel->ares, NULL, &tv);

	if (next)
		loop_timer_in(&channel->timer, (int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
	else
		loop_timer_stop(&channel->timer);
}

static void on_socket(struct loop_io *io, int events)
{
	const struct socket *s = LIST_ENTRY(io, struct socket, io);
	struct dns_channel *channel = s->channel;
	ares_socket_t fd = s->fd; /* the call may end the socket */

	ares_process_fd(channel->ares, events & LOOP_READ ? fd : ARES_SOCKET_BAD,
			events & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
	rearm(channel);
}

static void on_timer(struct loop_timer *timer)
{
	struct dns_channel *channel = LIST_ENTRY(timer, struct dns_channel, timer);

	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	rearm(channel);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *channel = arg;
	struct socket *s = NULL;
	int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);

	for (struct list *at = list_first(&channel->sockets); at && !s; at = list_next(&channel->sockets, at))
		if (LIST_ENTRY(at, struct socket, node)->fd == fd)
			s = LIST_ENTRY(at, struct socket, node);
	if (!s && events) {
		s = MEM_NEW(struct socket);
		s->channel = channel;
		s->fd = fd;
		list_init(&s->node);
		list_append(&channel->sockets, &s->node);
		loop_io_init(&s->io, channel->loop, fd, on_socket);
	}
	if (!s)
		return;
	loop_io_set(&s->io, events);
	if (!events) {
		list_remove(&s->node);
		mem_free(s);
	}
}

struct dns_channel *dns_channel_new(struct loop *loop, const struct hosts_servers *servers, size_t turn)
{
	struct dns_channel *channel = MEM_NEW(struct dns_channel);
	struct ares_options options = {
		.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.timeout = TRY_MS,
		.tries = TRIES,
		.ednspsz = UDP_BYTES,
		.lookups = "b",
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = channel,
		.resolvconf_path = "/dev/null", /* the servers are given below */
	};
	int what = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS | ARES_OPT_RESOLVCONF;
	struct buf text;
	bool made;

	channel->loop = loop;
	list_init(&channel->sockets);
	list_init(&channel->node);
	loop_timer_init(&channel->timer, loop, on_timer);
	loop_task_init(&channel->reap, loop, on_reap);
	if (ares_init_options(&channel->ares, &options, what) != ARES_SUCCESS) {
		mem_free(channel);
		return NULL;
	}
	buf_init(&text, 1024);
	hosts_print_servers(servers, turn, &text);
	made = ares_set_servers_ports_csv(channel->ares, buf_cstr(&text)) == ARES_SUCCESS;
	buf_fini(&text);
	if (made)
		return channel;
	dns_channel_free(channel);
	return NULL;
}

void dns_channel_free(struct dns_channel *channel)
{
	if (!channel)
		return;
	channel->closing = true;
	ares_destroy(channel->ares);
	loop_timer_stop(&channel->timer);
	loop_task_stop(&channel->reap);
	list_remove(&channel->node);
	mem_free(channel);
}

static void on_reap(struct loop_task *task)
{
	dns_channel_free(LIST_ENTRY(task, struct dns_channel, reap));
}

void dns_channel_retire(struct dns_channel *channel)
{
	channel->retired = true;
	if (channel->pending == 0)
		loop_task_post(&channel->reap);
}

/* ---------------------------------------------------------------- questions */

static void on_answer(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct question *question = arg;
	struct dns_channel *channel = question->channel;
	struct dns_channel_reply reply = { .detail = NULL };

	(void)timeouts;
	channel->pending--;
	if (channel->retired && channel->pending == 0 && !channel->closing)
		loop_task_post(&channel->reap);
	switch (status) {
	case ARES_SUCCESS:
		reply.status = DNS_OK;
		reply.message = span_of(message, message && len > 0 ? (size_t)len : 0);
		break;
	case ARES_ETIMEOUT:
		reply.status = DNS_SILENT;
		reply.detail = "no answer in time";
		break;
	case ARES_ECONNREFUSED:
		reply.status = DNS_SILENT;
		reply.detail = "the resolver cannot be reached";
		break;
	default:
		reply.status = DNS_TEMPORARY;
		reply.detail = ares_strerror(status);
		break;
	}
	question->replied(question->arg, &reply);
	mem_free(question);
}

enum dns_status dns_channel_ask(struct dns_channel *channel, const char *name, uint16_t type,
				void (*replied)(void *arg, const struct dns_channel_reply *reply), void *arg)
{
	struct question *question;
	unsigned char *bytes = NULL;
	unsigned short id;
	int len, status;

	crypto_random(&id, sizeof(id));
	status = ares_create_query(name, CLASS_IN, type, id, 1, &bytes, &len, UDP_BYTES);
	if (status != ARES_SUCCESS)
		return status == ARES_EBADNAME ? DNS_BAD_NAME : DNS_TEMPORARY;
	bytes[3] |= 0x20; /* AD: tell us whether it is authentic (RFC 6840, 5.7) */
	question = MEM_NEW(struct question);
	question->channel = channel;
	question->replied = replied;
	question->arg = arg;
	channel->pending++;
	ares_send(channel->ares, bytes, len, on_answer, question);
	ares_free_string(bytes);
	rearm(channel);
	return DNS_OK;
}

struct list *dns_channel_node(struct dns_channel *channel)
{
	return &channel->node;
}

struct dns_channel *dns_channel_of(struct list *node)
{
	return LIST_ENTRY(node, struct dns_channel, node);
}
