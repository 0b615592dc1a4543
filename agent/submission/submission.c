#include "submission/submission.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "log.h"
#include "net/listen.h"
#include "submission/drop.h"
#include "submission/session.h"

enum {
	INHERITED_MAX = 32,
	CROWD = 256,     /* sessions that leave memory behind worth giving back */
	QUIET_MS = 6000, /* longer than a connection lingers */
};

/* One bound socket of a listener. */
struct entrance {
	struct submission *owner;
	struct policy *policy;
	struct listen *listen;
};

struct submission {
	struct loop *loop;
	struct config *config;
	struct session_shared shared;
	struct entrance *entrances;
	size_t count;
	struct reception reception;
	struct drop *drop;       /* while accepting */
	uint32_t crowd;          /* the most sessions since memory was given back */
	struct loop_timer quiet; /* gives it back, when the last connection of a crowd is surely closed */
	bool is_stopping;
	struct loop_task stopped; /* `done` comes from the loop, never from inside submission_stop() */
	void (*done)(void *arg);
	void *done_arg;
};

static void post_if_stopped(struct submission *s)
{
	if (s->is_stopping && s->shared.count == 0)
		loop_task_post(&s->stopped);
}

static void on_quiet(struct loop_timer *timer)
{
	struct submission *s = LIST_ENTRY(timer, struct submission, quiet);

	s->crowd = 0;
	mem_trim();
}

static void on_gone(void *arg)
{
	struct submission *s = arg;

	if (s->crowd >= CROWD && s->shared.count < s->crowd / 4)
		loop_timer_in(&s->quiet, QUIET_MS);
	post_if_stopped(s);
}

static void on_stopped(struct loop_task *task)
{
	struct submission *s = LIST_ENTRY(task, struct submission, stopped);
	void (*done)(void *arg) = s->done;

	s->done = NULL;
	if (done)
		done(s->done_arg);
}

static void on_accepted(void *arg, int fd)
{
	struct entrance *entrance = arg;

	struct submission *s = entrance->owner;

	session_start(&s->shared, entrance->policy, fd);
	if (s->shared.count > s->crowd)
		s->crowd = s->shared.count;
}

/* ---------------------------------------------------------------- what control may ask */

static uint32_t count_sessions(void *self)
{
	return ((struct submission *)self)->shared.count;
}

static uint64_t count_accepted(void *self)
{
	return ((struct submission *)self)->shared.accepted;
}

static void close_entrances(void *self, bool closed)
{
	struct submission *s = self;

	s->shared.is_closed = closed;
	if (!closed)
		drop_look(s->drop);
}

static bool is_closed(void *self)
{
	return ((struct submission *)self)->shared.is_closed;
}

static void report_dropped(void *self, struct reception_drop *out)
{
	drop_report(((struct submission *)self)->drop, out);
}

const struct reception *submission_reception(struct submission *s)
{
	return &s->reception;
}

/* ---------------------------------------------------------------- binding */

static struct entrance *add_entrance(struct submission *s, struct policy *policy)
{
	struct entrance *entrance;

	s->entrances = mem_realloc(s->entrances, s->count + 1, sizeof(*s->entrances));
	entrance = &s->entrances[s->count++];
	*entrance = (struct entrance){ .owner = s, .policy = policy_ref(policy) };
	return entrance;
}

/* Sockets that came from the service manager under the listener's name replace the ones it would bind itself. */
static int take_inherited(struct submission *s, struct policy *policy, struct listen_inherited *inherited, size_t count,
			  bool *out_found, char *why, size_t why_size)
{
	for (size_t i = 0; i < count; i++) {
		struct entrance *entrance;
		int err;

		if (inherited[i].fd < 0 || strcmp(inherited[i].name, policy->listener->name) != 0)
			continue;
		entrance = add_entrance(s, policy);
		err = listen_fd(s->loop, inherited[i].fd, &entrance->listen, why, why_size);
		if (err)
			return err;
		inherited[i].fd = -1;
		*out_found = true;
	}
	return 0;
}

/* Where IPv6 is switched off nobody could come to [::1], which stands beside 127.0.0.1 in most configurations. */
static bool may_be_absent(const struct config_listener *listener, const char *address, int err)
{
	return (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT) && strncmp(address, "[::1]:", 6) == 0 &&
	       (listener->socket || listener->addresses.count > 1);
}

static int bind_address(struct submission *s, struct policy *policy, const char *address, char *why, size_t why_size)
{
	struct entrance *entrance = add_entrance(s, policy);
	int err = listen_tcp(s->loop, address, &entrance->listen, why, why_size);

	if (!err || !may_be_absent(policy->listener, address, err))
		return err;
	log_event(LOG_LEVEL_WARNING, "not-listening", LOG_TEXT("listener", policy->listener->name),
		  LOG_TEXT("error", why));
	policy_unref(policy);
	s->count--;
	return 0;
}

static int bind_socket(struct submission *s, struct policy *policy, char *why, size_t why_size)
{
	const struct config_listener *listener = policy->listener;
	struct entrance *entrance = add_entrance(s, policy);
	int err = listen_unix(s->loop, listener->socket, listener->socket_mode, &entrance->listen, why, why_size);

	if (err)
		return err;
	return listen_give(entrance->listen, listener->socket_owner, listener->socket_group, why, why_size);
}

static int bind_listener(struct submission *s, const struct config_listener *listener,
			 struct listen_inherited *inherited, size_t inherited_count, char *why, size_t why_size)
{
	struct policy *policy = policy_new(s->config, listener, why, why_size);
	bool found = false;
	int err = -1;

	if (!policy)
		return -1;
	err = take_inherited(s, policy, inherited, inherited_count, &found, why, why_size);
	if (!err && !found && listener->socket)
		err = bind_socket(s, policy, why, why_size);
	for (size_t i = 0; !err && !found && i < listener->addresses.count; i++)
		err = bind_address(s, policy, listener->addresses.list[i], why, why_size);
	policy_unref(policy);
	return err;
}

struct submission *submission_new(const struct submission_setup *setup, char *why, size_t why_size)
{
	struct submission *s = MEM_NEW(struct submission);
	struct listen_inherited inherited[INHERITED_MAX];
	size_t inherited_count = listen_inherit(inherited, INHERITED_MAX);
	int err = 0;

	s->loop = setup->loop;
	s->config = config_ref(setup->config);
	s->shared = (struct session_shared){ .loop = setup->loop,
					     .queue = setup->queue,
					     .config = s->config,
					     .limits = limits_new(),
					     .names = names_new(),
					     .logins = login_set_new(setup->loop, setup->helper),
					     .gone = on_gone,
					     .arg = s };
	list_init(&s->shared.sessions);
	loop_task_init(&s->stopped, s->loop, on_stopped);
	loop_timer_init(&s->quiet, s->loop, on_quiet);
	s->reception = (struct reception){ .self = s,
					   .sessions = count_sessions,
					   .accepted = count_accepted,
					   .close = close_entrances,
					   .is_closed = is_closed,
					   .dropped = report_dropped };
	for (size_t i = 0; !err && i < s->config->listener_count; i++)
		err = bind_listener(s, &s->config->listeners[i], inherited, inherited_count, why, why_size);
	for (size_t i = 0; i < inherited_count; i++) {
		if (inherited[i].fd < 0)
			continue;
		log_event(LOG_LEVEL_WARNING, "socket-unused", LOG_TEXT("name", inherited[i].name),
			  LOG_TEXT("reason", "no listener of the configuration has this name"));
		close(inherited[i].fd);
	}
	if (err) {
		submission_free(s);
		return NULL;
	}
	return s;
}

void submission_start(struct submission *s, struct queue *queue)
{
	struct queue_view *view = queue_view(queue);

	s->shared.queue = queue;
	if (view)
		limits_restore(s->shared.limits, view, loop_now_ms(s->loop), loop_wall_ms(s->loop));
	for (size_t i = 0; i < s->count; i++)
		listen_start(s->entrances[i].listen, on_accepted, &s->entrances[i]);
	s->drop = drop_new(&s->shared);
}

/* ---------------------------------------------------------------- reload, stop */

static const struct config_listener *find_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

int submission_reload(struct submission *s, struct config *config, char *why, size_t why_size)
{
	struct policy **next = mem_calloc(s->count, sizeof(*next));
	size_t made = 0;

	for (; made < s->count; made++) {
		const char *name = s->entrances[made].policy->listener->name;
		const struct config_listener *listener = find_listener(config, name);

		if (made > 0 && strcmp(next[made - 1]->listener->name, name) == 0) {
			next[made] = policy_ref(next[made - 1]);
			continue;
		}
		if (!listener)
			snprintf(why, why_size, "listener \"%s\" is gone: that takes a restart", name);
		next[made] = listener ? policy_new(config, listener, why, why_size) : NULL;
		if (!next[made])
			break;
	}
	if (made == s->count) {
		for (size_t i = 0; i < s->count; i++) {
			struct policy *old = s->entrances[i].policy;

			s->entrances[i].policy = next[i];
			next[i] = old;
		}
		config_unref(s->config);
		s->config = config_ref(config);
		s->shared.config = s->config;
		drop_look(s->drop);
	}
	for (size_t i = 0; i < made; i++)
		policy_unref(next[i]);
	mem_free(next);
	return made == s->count ? 0 : -1;
}

static void close_listens(struct submission *s)
{
	for (size_t i = 0; i < s->count; i++) {
		listen_free(s->entrances[i].listen);
		s->entrances[i].listen = NULL;
	}
}

void submission_stop(struct submission *s, void (*done)(void *arg), void *arg)
{
	s->is_stopping = true;
	s->shared.is_closed = true;
	s->done = done;
	s->done_arg = arg;
	close_listens(s);
	drop_free(s->drop);
	s->drop = NULL;
	login_set_hurry(s->shared.logins);
	session_shut_down_all(&s->shared);
	post_if_stopped(s);
}

void submission_free(struct submission *s)
{
	if (!s)
		return;
	s->is_stopping = false;
	close_listens(s);
	drop_free(s->drop);
	session_free_all(&s->shared);
	for (size_t i = 0; i < s->count; i++)
		policy_unref(s->entrances[i].policy);
	mem_free(s->entrances);
	limits_free(s->shared.limits);
	names_free(s->shared.names);
	login_set_free(s->shared.logins);
	loop_task_stop(&s->stopped);
	loop_timer_stop(&s->quiet);
	config_unref(s->config);
	mem_free(s);
}

void submission_names(const struct submission *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++) {
		if (i > 0)
			buf_append_str(out, ", ");
		buf_append_str(out, s->entrances[i].listen ? listen_name(s->entrances[i].listen) : "?");
	}
}
