#include "delivery/cargo.h"

#include "smtp/ehlo.h"

enum {
	LOOK_CHUNKS = 16,        /* of 64 KB, in one step */
	OUT_MAX = 192 * 1024,    /* of what a chunk becomes, at once */
	OUT_ENOUGH = 32 * 1024,  /* is handed out */
	CHUNK_MAX = 1024 * 1024, /* more than any chunk of the queue */
};

struct cargo_terms cargo_terms(unsigned extensions)
{
	unsigned binary = EHLO_BIT(EHLO_CHUNKING) | EHLO_BIT(EHLO_BINARYMIME);

	return (struct cargo_terms){
		.is_8bit = extensions & EHLO_BIT(EHLO_8BITMIME),
		.is_binary = (extensions & binary) == binary,
		.is_utf8 = extensions & EHLO_BIT(EHLO_SMTPUTF8),
	};
}

void cargo_init(struct cargo *c, uint64_t id, enum queue_body body, uint64_t size_bytes)
{
	*c = (struct cargo){ .id = id, .body = body, .size_bytes = size_bytes };
	buf_init(&c->rest, CHUNK_MAX);
	buf_init(&c->out, OUT_MAX);
}

static void close_reader(struct cargo *c)
{
	if (c->is_open)
		queue_body_close(&c->reader);
	c->is_open = false;
}

void cargo_fini(struct cargo *c)
{
	close_reader(c);
	convert_free(c->convert);
	c->convert = NULL;
	buf_fini(&c->rest);
	buf_fini(&c->out);
}

bool cargo_begin(struct cargo *c, struct cargo_terms terms, bool needs_utf8)
{
	c->is_too_much =
		(c->body == QUEUE_BODY_BINARY && !terms.is_binary) || (c->body == QUEUE_BODY_8BIT && !terms.is_8bit);
	if (!c->is_too_much && (!needs_utf8 || terms.is_utf8))
		return false;
	c->target = terms.is_8bit ? CONVERT_8BIT : CONVERT_7BIT;
	c->convert = convert_new(c->target);
	return true;
}

static enum queue_err read_chunk(struct cargo *c, struct queue_view *view, struct queue_bytes *out)
{
	enum queue_err err = c->is_open ? QUEUE_OK : queue_body_open(view, c->id, &c->reader);

	if (err)
		return err;
	c->is_open = true;
	return queue_body_next(&c->reader, view, out);
}

static bool is_at_end(const struct cargo *c)
{
	return c->is_open && c->reader.next >= c->reader.chunks;
}

static const struct convert_facts *looked(struct cargo *c)
{
	const struct convert_facts *facts = convert_scan_end(c->convert);

	close_reader(c);
	return facts;
}

enum cargo_look cargo_look(struct cargo *c, struct queue_view *view, const struct convert_facts **out,
			   enum queue_err *out_err)
{
	struct queue_bytes bytes = { NULL, 0 };

	*out_err = view ? QUEUE_OK : QUEUE_IO;
	for (int i = 0; i < LOOK_CHUNKS && !*out_err; i++) {
		*out_err = read_chunk(c, view, &bytes);
		if (*out_err)
			break;
		convert_scan(c->convert, span_of(bytes.data, bytes.len));
		if (!bytes.len || is_at_end(c)) {
			*out = looked(c);
			return CARGO_DONE;
		}
	}
	if (!*out_err)
		return CARGO_MORE;
	close_reader(c);
	return CARGO_BAD;
}

/* Only what is too much for the hop is converted; what was merely looked at stays as it was accepted. */
static bool is_converted(const struct cargo *c)
{
	return c->is_too_much && convert_facts(c->convert)->needed;
}

enum client_content cargo_content(const struct cargo *c)
{
	if (c->is_too_much) /* it is made fit, or has been all the time, whatever its label was */
		return c->target == CONVERT_7BIT ? CLIENT_7BIT : CLIENT_8BIT;
	switch (c->body) {
	case QUEUE_BODY_7BIT: break;
	case QUEUE_BODY_8BIT: return CLIENT_8BIT;
	case QUEUE_BODY_BINARY: return CLIENT_BINARY;
	}
	return CLIENT_7BIT;
}

uint64_t cargo_size(const struct cargo *c)
{
	return is_converted(c) ? convert_facts(c->convert)->size_bytes : c->size_bytes;
}

/* What the converter makes of `in`; what it has no room for is kept. */
static void convert_some(struct cargo *c, struct span in, bool is_rest)
{
	struct span left = in;

	convert_feed(c->convert, &left, &c->out);
	if (is_rest)
		buf_consume(&c->rest, in.len - left.len);
	else
		buf_append_span(&c->rest, left);
}

static enum queue_err next_converted(struct cargo *c, struct queue_view *view, struct span *out, bool *out_is_last)
{
	bool is_last = false;

	buf_clear(&c->out);
	while (c->out.len < OUT_ENOUGH && !is_last) {
		struct queue_bytes bytes;
		enum queue_err err;

		if (!buf_is_empty(&c->rest)) {
			size_t before = c->rest.len;

			convert_some(c, buf_span(&c->rest), true);
			if (c->rest.len == before)
				break; /* no room */
		} else if (is_at_end(c)) {
			if (!convert_end(c->convert, &c->out))
				break;
			is_last = true;
		} else {
			err = read_chunk(c, view, &bytes);
			if (err)
				return err;
			convert_some(c, span_of(bytes.data, bytes.len), false);
		}
	}
	*out = buf_span(&c->out);
	*out_is_last = is_last;
	return QUEUE_OK;
}

enum queue_err cargo_next(struct cargo *c, struct queue_view *view, struct span *out, bool *out_is_last)
{
	struct queue_bytes bytes = { NULL, 0 };
	enum queue_err err;

	if (!view)
		return QUEUE_IO;
	if (is_converted(c))
		return next_converted(c, view, out, out_is_last);
	err = read_chunk(c, view, &bytes);
	if (err)
		return err;
	*out = span_of(bytes.data, bytes.len);
	*out_is_last = !bytes.len || is_at_end(c);
	return QUEUE_OK;
}
