#include "control/control.h"

#include <jansson.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "control/client.h"
#include "control/protocol.h"
#include "net/listen.h"

enum {
	CLIENTS_MAX = 64,
	CLIENTS_RESERVE = 16, /* of them only for those who may do everything */
	CLIENTS_PER_USER = 8, /* of one who may not */
	SOCKET_MODE = 0666,   /* permit.c decides, by uid */
};

struct control {
	struct client_room room;
	struct listen *listen;
	gid_t group;
};

static void on_work(struct loop_timer *timer)
{
	client_work(LIST_ENTRY(timer, struct client_room, work));
}

static bool is_crowded(const struct control *control, const struct permit *permit)
{
	size_t all = 0, same = 0;

	for (struct list *at = list_first(&control->room.clients); at; at = list_next(&control->room.clients, at)) {
		all++;
		same += LIST_ENTRY(at, struct client, node)->permit.uid == permit->uid;
	}
	return permit->all ? all >= CLIENTS_MAX : all >= CLIENTS_MAX - CLIENTS_RESERVE || same >= CLIENTS_PER_USER;
}

/* Best effort: nothing is owed to one who is turned away. */
static void turn_away(int fd)
{
	static const char words[] = "{\"done\":true,\"ok\":false,\"exit\":75,\"error\":\"busy\","
				    "\"text\":\"too many clients are connected - try again\"}\n";

	send(fd, words, sizeof words - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void on_accept(void *arg, int fd)
{
	struct control *control = arg;
	struct permit permit;

	if (!permit_of_socket(fd, control->group, &permit))
		close(fd);
	else if (is_crowded(control, &permit))
		turn_away(fd);
	else
		client_open(&control->room, fd, permit);
}

/* Keys of hostile requests must not be made to collide. While /dev/urandom can be opened it would seed itself. */
static void seed_tables(void)
{
	uint32_t seed;

	crypto_random(&seed, sizeof seed);
	json_object_seed(seed | 1);
}

struct control *control_new(const struct control_setup *setup, char *why, size_t why_size)
{
	struct control *control = MEM_NEW(struct control);
	int err;

	control->room.loop = setup->loop;
	control->room.config = config_ref(setup->config);
	control->room.reload = setup->reload;
	control->room.reload_arg = setup->arg;
	list_init(&control->room.clients);
	list_init(&control->room.busy);
	loop_timer_init(&control->room.work, setup->loop, on_work);
	control->group = permit_group(PROTOCOL_GROUP);
	seed_tables();
	err = setup->inherited_fd >= 0 ? listen_fd(setup->loop, setup->inherited_fd, &control->listen, why, why_size)
				       : listen_unix(setup->loop, setup->config->control_socket, SOCKET_MODE,
						     &control->listen, why, why_size);
	if (err) {
		control_free(control);
		return NULL;
	}
	return control;
}

void control_start(struct control *control, struct queue *queue, const struct traffic *traffic,
		   const struct reception *reception)
{
	control->room.queue = queue;
	control->room.traffic = traffic;
	control->room.reception = reception;
	listen_start(control->listen, on_accept, control);
}

void control_reload(struct control *control, struct config *config)
{
	struct config *old = control->room.config;

	control->room.config = config_ref(config);
	config_unref(old);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	listen_free(control->listen);
	while (!list_is_empty(&control->room.clients))
		client_close(LIST_ENTRY(list_first(&control->room.clients), struct client, node));
	loop_timer_stop(&control->room.work);
	config_unref(control->room.config);
	names_free(control->room.names);
	mem_free(control);
}
