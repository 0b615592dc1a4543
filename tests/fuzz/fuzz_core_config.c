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
#include "route.h"
#include "when.h"

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

/* Wherever mail goes, the queue can say it, and the domain has a configuration. */
static void send_by(const struct config *config)
{
	static const char *const recipients[] = { "root", "a@[IPv6:2001:db8::1]", "a@x.example",
						  "a@b."
						  "a23456789012345678901234567890123456789012345678901234567890123."
						  "b23456789012345678901234567890123456789012345678901234567890123."
						  "c23456789012345678901234567890123456789012345678901234567890123" };
	struct buf target, domain;

	buf_init(&target, ROUTE_TARGET_MAX);
	buf_init(&domain, 256);
	for (size_t i = 0; i < config->route_count; i++)
		for (size_t k = 0; k < sizeof(recipients) / sizeof(recipients[0]); k++) {
			struct span rest, name;
			uint32_t weight;
			int place = 0;

			route_target_of(config, &config->routes[i], recipients[k], &target);
			rest = buf_span(&target);
			while (route_next(&rest, &name, &weight)) {
				assert(name.len && name.len < ROUTE_LANE_SIZE && weight <= ROUTE_WEIGHT_MAX);
				place++;
			}
			assert(place > 0 && place == (int)config->routes[i].via.count);
			assert(route_domain(config, recipients[k], &domain));
			assert(config_mx(config, buf_cstr(&domain))->port);
			/* What it waits for can be said, and was understood. */
			assert(span_equals(route_condition(buf_cstr(&target)),
					   span_str(config->routes[i].when.count ? config->routes[i].name : "")));
			for (size_t w = 0; w < config->routes[i].when.count; w++)
				assert(!when_mistake(config->routes[i].when.list[w]));
		}
	buf_fini(&target);
	buf_fini(&domain);
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
	if (config)
		send_by(config);
	config_unref(config);
	buf_clear(&errors);
	config = load(good, strlen(good), &errors);
	assert(config && strcmp(config->hostname, "a.example") == 0);
	config_unref(config);
	buf_fini(&errors);
	return 0;
}
