/* A stream of commands means the same on every cut, and no line that is handed out has a CR or LF in it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(struct span line)
{
	struct command command;
	struct command_path path;
	enum address_err err;

	command_parse(line, &command);
	if (command_path(command.args, SPAN("FROM:"), ADDRESS_NULL | ADDRESS_UTF8, &path, &err) == COMMAND_PATH_OK)
		assert(path.param_count <= COMMAND_PARAMS_MAX);
}

static void read_in_pieces(struct span bytes, size_t piece, struct buf *said)
{
	struct command_reader r;
	enum command_read verdict = COMMAND_MORE;

	command_reader_init(&r);
	for (size_t i = 0; i < bytes.len && verdict != COMMAND_FLOOD; i += piece) {
		struct span in = span_first(span_from(bytes, i), piece), line;

		do {
			verdict = command_read(&r, &in, &line);
			buf_append_char(said, (char)('0' + verdict));
			if (verdict == COMMAND_MORE)
				buf_truncate(said, said->len - 1);
			if (verdict == COMMAND_LINE) {
				assert(span_find(line, '\r') == line.len && span_find(line, '\n') == line.len);
				buf_append_span(said, line);
				parse(line);
			}
		} while (in.len && verdict != COMMAND_FLOOD);
	}
	command_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	if (size < 2 || size > 60000) /* where a flood begins depends on the cut by a line's length */
		return 0;
	buf_init(&whole, 1 << 20);
	buf_init(&pieces, 1 << 20);
	read_in_pieces(span_of(data + 1, size - 1), size, &whole);
	read_in_pieces(span_of(data + 1, size - 1), 1u + data[0] % 64u, &pieces);
	assert(span_equals(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
