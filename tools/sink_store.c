#include "sink_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"

enum { NAME_SIZE = 96, WRITE_BYTES = 64 * 1024 };

struct sink_store {
	int directory, tmp, new, envelopes;
	bool sync;
	uint64_t count;
};

struct sink_store_message {
	struct sink_store *store;
	struct crypto_sha256 *hash;
	uint64_t bytes;
	int fd;
	char name[NAME_SIZE];
	/* Small pieces are gathered: a message arrives line by line where it holds dots. */
	char held[WRITE_BYTES];
	size_t held_len;
};

/* ---------------------------------------------------------------- folders */

static int open_folder(int at, const char *name)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int sink_store_open(const char *directory, bool sync, struct sink_store **out_store, char *why, size_t why_size)
{
	struct sink_store *store = MEM_NEW(struct sink_store);
	int cur = -1, err = 0;

	store->sync = sync;
	store->tmp = store->new = store->envelopes = -1;
	store->directory = open_folder(AT_FDCWD, directory);
	if (store->directory >= 0) {
		store->tmp = open_folder(store->directory, "tmp");
		store->new = open_folder(store->directory, "new");
		store->envelopes = open_folder(store->directory, "envelopes");
		cur = open_folder(store->directory, "cur");
	}
	if (store->tmp < 0 || store->new < 0 || store->envelopes < 0 || cur < 0) {
		err = -errno;
		snprintf(why, why_size, "%s: %s", directory, strerror(-err));
		sink_store_close(store);
	} else {
		*out_store = store;
	}
	close_fd(cur);
	return err;
}

void sink_store_close(struct sink_store *store)
{
	if (!store)
		return;
	close_fd(store->tmp);
	close_fd(store->new);
	close_fd(store->envelopes);
	close_fd(store->directory);
	mem_free(store);
}

/* ---------------------------------------------------------------- one message */

struct sink_store_message *sink_store_begin(struct sink_store *store)
{
	struct sink_store_message *message = MEM_NEW(struct sink_store_message);

	message->store = store;
	snprintf(message->name, NAME_SIZE, "%" PRId64 ".P%dQ%" PRIu64 ".sink", clock_wall_ms(), (int)getpid(),
		 ++store->count);
	message->fd = openat(store->tmp, message->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (message->fd < 0) {
		mem_free(message);
		return NULL;
	}
	message->hash = crypto_sha256_new();
	return message;
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static bool flush(struct sink_store_message *message)
{
	size_t len = message->held_len;

	message->held_len = 0;
	return write_all(message->fd, message->held, len);
}

bool sink_store_write(struct sink_store_message *message, struct span bytes)
{
	crypto_sha256_update(message->hash, bytes.data, bytes.len);
	message->bytes += bytes.len;
	if (message->held_len + bytes.len > WRITE_BYTES && !flush(message))
		return false;
	if (bytes.len > WRITE_BYTES)
		return write_all(message->fd, bytes.data, bytes.len);
	memcpy(message->held + message->held_len, bytes.data, bytes.len);
	message->held_len += bytes.len;
	return true;
}

static void add_facts(json_t *envelope, struct sink_store_message *message)
{
	uint8_t digest[CRYPTO_SHA256_LEN];
	char text[2 * CRYPTO_SHA256_LEN + 1];

	crypto_sha256_final(message->hash, digest);
	for (size_t i = 0; i < CRYPTO_SHA256_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	json_object_set_new(envelope, "file", json_string(message->name));
	json_object_set_new(envelope, "size_bytes", json_integer((json_int_t)message->bytes));
	json_object_set_new(envelope, "sha256", json_string(text));
	json_object_set_new(envelope, "at_ms", json_integer(clock_wall_ms()));
}

/* Made under another name first: whoever finds NAME.json finds all of it. */
static bool write_envelope(const struct sink_store_message *message, json_t *envelope)
{
	const struct sink_store *store = message->store;
	char name[NAME_SIZE + 8], part[NAME_SIZE + 8];
	char *text = json_dumps(envelope, JSON_INDENT(1));
	bool is_written;
	int fd;

	snprintf(name, sizeof name, "%s.json", message->name);
	snprintf(part, sizeof part, "%s.json", message->name);
	fd = openat(store->tmp, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	is_written = text && fd >= 0 && write_all(fd, text, strlen(text)) && (!store->sync || fdatasync(fd) == 0) &&
		     renameat(store->tmp, part, store->envelopes, name) == 0;
	close_fd(fd);
	free(text);
	return is_written;
}

bool sink_store_finish(struct sink_store_message *message, json_t *envelope)
{
	const struct sink_store *store = message->store;
	bool is_stored = flush(message) && (!store->sync || fdatasync(message->fd) == 0);

	add_facts(envelope, message);
	is_stored = is_stored && write_envelope(message, envelope) &&
		    renameat(store->tmp, message->name, store->new, message->name) == 0;
	if (is_stored && store->sync)
		is_stored = fsync(store->new) == 0;
	json_decref(envelope);
	if (is_stored) {
		close(message->fd);
		crypto_sha256_free(message->hash);
		mem_free(message);
	} else {
		sink_store_abandon(message);
	}
	return is_stored;
}

void sink_store_abandon(struct sink_store_message *message)
{
	if (!message)
		return;
	unlinkat(message->store->tmp, message->name, 0);
	close(message->fd);
	crypto_sha256_free(message->hash);
	mem_free(message);
}
