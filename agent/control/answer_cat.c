#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/answers.h"
#include "control/protocol.h"

enum { PIECE_COST = 16 }; /* reading, digesting and encoding one, in looks at a record */

/* The rest of a chunk waits here: a chunk is longer than a line may be, and its view ends with the turn. */
struct cat {
	struct queue_body_reader reader;
	bool is_open;
	struct buf rest;
	uint64_t sent_bytes;
};

static void start(struct client *client)
{
	struct cat *cat = MEM_NEW(struct cat);

	buf_init(&cat->rest, 1024 * 1024);
	client->state = cat;
}

static enum queue_err open_body(struct client *client, struct cat *cat, struct queue_view *view)
{
	struct queue_envelope envelope;
	enum queue_err err = queue_view_envelope(view, client->request.id, &envelope);

	if (err == QUEUE_OK && !permit_sees(&client->permit, envelope.uid))
		err = QUEUE_NOT_FOUND;
	if (err == QUEUE_OK)
		err = queue_body_open(view, client->request.id, &cat->reader);
	cat->is_open = err == QUEUE_OK;
	return err;
}

/* QUEUE_OK with an empty rest: that was all. */
static enum queue_err fill(struct client *client, struct cat *cat)
{
	struct queue_view *view = queue_view(client->room->queue);
	struct queue_bytes bytes = { .len = 0 };
	enum queue_err err = view ? QUEUE_OK : QUEUE_IO;

	if (err == QUEUE_OK && !cat->is_open)
		err = open_body(client, cat, view);
	if (err == QUEUE_OK)
		err = queue_body_next(&cat->reader, view, &bytes);
	if (err == QUEUE_OK && !buf_append(&cat->rest, bytes.data, bytes.len))
		err = QUEUE_NO_MEMORY;
	return err;
}

static void say_piece(struct client *client, struct cat *cat)
{
	struct span piece = span_first(buf_span(&cat->rest), PROTOCOL_BODY_PIECE);
	struct buf text;

	buf_init(&text, PROTOCOL_ANSWER_MAX);
	text_base64_encode(&text, piece);
	client_say(client, json_pack("{s:s,s:s%}", "type", "data", "data", buf_span(&text).data, buf_span(&text).len));
	buf_fini(&text);
	cat->sent_bytes += piece.len;
	buf_consume(&cat->rest, piece.len);
}

static enum client_step step(struct client *client, int *budget)
{
	struct cat *cat = client->state;

	for (; *budget > 0 && client_has_room(client); *budget -= PIECE_COST) {
		enum queue_err err = buf_is_empty(&cat->rest) ? fill(client, cat) : QUEUE_OK;

		if (err != QUEUE_OK)
			return client_fail_queue(client, err);
		if (buf_is_empty(&cat->rest))
			return client_done(client, json_pack("{s:I}", "bytes", (json_int_t)cat->sent_bytes));
		say_piece(client, cat);
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	struct cat *cat = client->state;

	if (cat->is_open)
		queue_body_close(&cat->reader);
	buf_fini(&cat->rest);
	mem_free(cat);
}

const struct client_verb answer_cat_verb = {
	.name = "cat", .needs = CLIENT_ID, .start = start, .step = step, .stop = stop
};
