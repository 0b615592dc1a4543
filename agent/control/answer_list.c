#include "base/mem.h"
#include "control/answers.h"
#include "control/fields.h"
#include "control/story.h"

static void start(struct client *client)
{
	struct walk *walk = MEM_NEW(struct walk);

	walk_init(walk, client);
	client->state = walk;
}

static enum client_step finish(struct client *client, const struct walk *walk)
{
	return client_done(client,
			   json_pack("{s:I,s:b,s:I,s:I}", "messages", (json_int_t)walk->found, "more", walk->cut,
				     "missing", (json_int_t)walk->missing, "damaged", (json_int_t)walk->damaged));
}

static enum client_step step(struct client *client, int *budget)
{
	struct walk *walk = client->state;
	struct queue_envelope envelope;

	while (client_has_room(client)) {
		switch (walk_next(walk, budget, &envelope)) {
		case WALK_FOUND: client_say(client, story_row(walk, &envelope, budget)); break;
		case WALK_MORE: return CLIENT_MORE;
		case WALK_END: return finish(client, walk);
		case WALK_FAILED: return client_fail_queue(client, QUEUE_IO);
		}
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	mem_free(client->state);
}

const struct client_verb answer_list_verb = { .name = "list", .start = start, .step = step, .stop = stop };
