/* A file in the drop directory, whatever is in it: taken whole into a queue, refused, or put off; never half. The first
 * byte says how many recipients have it already; with 0xff the rest is the value that keeps files from being taken twice. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "bodyhash.h"
#include "log.h"
#include "submission/dropmark.h"
#include "submission/droptake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct session_shared shared;
static char folder[64];
static bool has_ended;
static uint32_t done;

static void clean_up(void)
{
	char command[100];

	queue_close(shared.queue);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		abort();
}

static void set_up(void)
{
	struct buf errors, warnings;
	struct queue_config queue = { .directory = folder, .max_message_bytes = 1024 * 1024, .hash = bodyhash_sha256 };
	char why[300] = "";

	snprintf(folder, sizeof(folder), access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX");
	if (!mkdtemp(folder) || queue_open(&queue, &shared.queue, why, sizeof(why)) != QUEUE_OK)
		abort();
	atexit(clean_up);
	buf_init(&errors, 65536);
	buf_init(&warnings, 65536);
	log_open("stderr", "error");
	shared.loop = loop_new();
	shared.config = config_load(NULL, &errors, &warnings);
	shared.limits = limits_new();
	shared.names = names_new();
	list_init(&shared.sessions);
	assert(shared.config);
	shared.config->trust.max_rate.count = 0;
	shared.config->limits.recipients = 3;
	buf_fini(&errors);
	buf_fini(&warnings);
}

static struct queue_bytes mark(void *arg, uint32_t count, bool is_whole)
{
	(void)arg;
	(void)is_whole;
	assert(count > done);
	return (struct queue_bytes){ "x", 1 };
}

static void on_accepted(void *arg, uint32_t count, bool is_whole)
{
	(void)arg;
	(void)is_whole;
	assert(count > done);
	done = count;
}

static void on_ended(void *arg, enum droptake_end end, const char *why)
{
	struct droptake **take = arg;

	assert((end == DROPTAKE_DONE) == (why[0] == '\0'));
	droptake_free(*take);
	*take = NULL;
	has_ended = true;
}

/* So that the queue does not fill. */
static void empty_queue(void)
{
	struct queue_view *view = queue_view(shared.queue);
	struct queue_op *op = queue_op_new(shared.queue);
	uint64_t id = 0;

	while (queue_view_next(view, id, &id) == QUEUE_OK)
		queue_op_remove(op, id, QUEUE_ALL, "", 0);
	queue_view_end(shared.queue);
	queue_op_history_trim(op, INT64_MAX, 1000);
	queue_op_submit(op, NULL, NULL);
	queue_wait(shared.queue);
}

static void read_file(const uint8_t *data, size_t size, uint32_t have)
{
	int fd = memfd_create("drop", MFD_CLOEXEC);
	struct droptake *take;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	has_ended = false;
	done = have;
	take = droptake_new(&(struct droptake_setup){ .shared = &shared,
						      .fd = fd,
						      .file_bytes = size,
						      .uid = 1000,
						      .state = DROPMARK_STATE,
						      .done = have,
						      .may_split = have % 2 == 0,
						      .mark = mark,
						      .accepted = on_accepted,
						      .ended = on_ended,
						      .arg = &take });
	for (int turns = 0; !has_ended; turns++) {
		assert(turns < 10000);
		loop_turn(shared.loop, 0);
		queue_wait(shared.queue);
	}
	if (done > have)
		empty_queue();
}

static void read_marks(const uint8_t *data, size_t size)
{
	struct dropmarks marks, again;

	dropmark_init(&marks);
	dropmark_init(&again);
	dropmark_read(&marks, span_of(data, size));
	dropmark_read(&again, dropmark_write(&marks, NULL));
	assert(marks.count <= DROPMARK_MAX && again.count == marks.count);
	dropmark_fini(&marks);
	dropmark_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!shared.queue)
		set_up();
	if (size == 0)
		return 0;
	if (data[0] == 0xff)
		read_marks(data + 1, size - 1);
	else
		read_file(data + 1, size - 1, data[0] % 8);
	return 0;
}
