/* A configuration file of any bytes: mistakes are told, the process lives, and the next file is read all the same. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *load(const void *data, size_t size, struct buf *errors)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	struct config *config;
	struct buf warnings;
	char path[32];

	assert(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	buf_init(&warnings, 1 << 16);
	config = config_load(path, errors, &warnings);
	buf_fini(&warnings);
	close(fd);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "hostname = \"a.example\"";
	struct config *config;
	struct buf errors;

	/* Globs over the whole file system would only take time. */
	if (size > 65536 || (memmem(data, size, "include", 7) && memchr(data, '*', size)))
		return 0;
	buf_init(&errors, 1 << 16);
	config = load(data, size, &errors);
	assert(config ? buf_is_empty(&errors) : !buf_is_empty(&errors));
	config_unref(config);
	buf_clear(&errors);
	config = load(good, strlen(good), &errors);
	assert(config && strcmp(config->hostname, "a.example") == 0);
	config_unref(config);
	buf_fini(&errors);
	return 0;
}
