#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "config_load.h"

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MB     ((uint64_t)1 << 20)

static void say(struct buf *out, const struct config_at *at, const char *kind, const char *format, va_list args)
{
	if (at && at->file && *at->file && at->line)
		buf_printf(out, "%s:%d: ", at->file, at->line);
	else if (at && at->file && *at->file)
		buf_printf(out, "%s: ", at->file);
	buf_append_str(out, kind);
	buf_vprintf(out, format, args);
	buf_append_char(out, '\n');
}

void config_error(struct config_load *load, const struct config_at *at, const char *format, ...)
{
	va_list args;

	load->mistakes++;
	va_start(args, format);
	say(load->errors, at, "", format, args);
	va_end(args);
}

void config_warn(struct config_load *load, const struct config_at *at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(load->warnings, at, "warning: ", format, args);
	va_end(args);
}

void *config_alloc(struct config_load *load, size_t count, size_t size)
{
	void *p = count && size > SIZE_MAX / count ? NULL : mem_arena_alloc(load->storage, count ? count * size : 1);

	/* What a file of bounded size says has a bound: see STORAGE_MAX. */
	if (!p)
		abort();
	memset(p, 0, count ? count * size : 1);
	return p;
}

const char *config_keep(struct config_load *load, struct span s)
{
	char *copy = config_alloc(load, s.len + 1, 1);

	if (s.len)
		memcpy(copy, s.data, s.len);
	return copy;
}

const char *config_format(struct config_load *load, const char *format, ...)
{
	struct buf text;
	const char *kept;
	va_list args;

	buf_init(&text, 1 << 16);
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	kept = config_keep(load, buf_span(&text));
	buf_fini(&text);
	return kept;
}

const struct config_at *config_where(const struct config_load *load, const void *object, const char *key)
{
	for (size_t i = 0; i < load->given_count; i++)
		if (load->given[i].object == object && strcmp(load->given[i].key, key) == 0)
			return &load->given[i].at;
	return NULL;
}

const char *config_nearest(const char *name, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t least = strlen(name) <= 3 ? 2 : strlen(name) <= 6 ? 3 : 4; /* farther ones would only confuse */

	for (size_t i = 0; i < count; i++) {
		size_t distance = text_distance(name, names[i]);

		if (distance < least && distance < strlen(names[i])) {
			least = distance;
			best = names[i];
		}
	}
	return best;
}

static void set_defaults(struct config *config)
{
	static const char *local[] = { "127.0.0.0/8", "::1" }, *everybody[] = { "*" };

	config->references = 1;
	config->queue = (struct config_queue){
		.max_size_bytes = 4096 * MB,
		.max_message_bytes = 50 * MB,
		.min_free_disk_bytes = 256 * MB,
		.lifetime_ms = 5 * DAY,
		.warn_after_ms = 4 * HOUR,
		.history_ms = 30 * DAY,
	};
	config->trust = (struct config_trust){
		.networks = { local, 2 },
		.uids = { everybody, 1 },
		.max_rate = { 600, MINUTE },
	};
	config->limits = (struct config_limits){
		.connections = 500,
		.connections_per_client = 50,
		.recipients = 1000,
		.errors = 20,
		.command_timeout_ms = 5 * MINUTE,
		.data_timeout_ms = 10 * MINUTE,
		.session_timeout_ms = HOUR,
	};
	config->retry = (struct config_backoff){ 5 * MINUTE, 4 * HOUR, 2 };
	config->reconnect = (struct config_backoff){ 5000, 15 * MINUTE, 2 };
	config->timeouts = (struct config_timeouts){ 30000, 5 * MINUTE, 5 * MINUTE, 10 * MINUTE };
	config_host_defaults(config, &config->mx);
	config->mx.name = "mx";
	config->mx.port = 25;
	config->mx.tls = CONFIG_TLS_OPPORTUNISTIC;
	config->mx.connections = 4;
	config->mx.idle_ms = 10 * 1000; /* strangers' servers: more mail for them soon is less likely */
	config->mx.mta_sts = true;
	config->log = "auto";
	config->log_level = "info";
}

struct config *config_read(const char *file, struct buf *errors, struct buf *warnings, bool is_client,
			   bool is_container)
{
	enum { STORAGE_MAX = 1 << 30 };
	struct config *config = MEM_NEW(struct config);
	struct mem_arena *storage = MEM_NEW(struct mem_arena);
	struct config_load load = { .config = config,
				    .storage = storage,
				    .errors = errors,
				    .warnings = warnings,
				    .is_client = is_client,
				    .is_container = is_container };

	mem_arena_init(storage, STORAGE_MAX);
	config->storage = storage;
	set_defaults(config);
	config->file = config_keep(&load, span_str(file ? file : ""));
	if (file) {
		config_text_read(&load, file);
		config_parse_pieces(&load);
	}
	config_paths_defaults(&load);
	config_via_targets(&load);
	config_check_all(&load);
	for (size_t i = 0; i < load.piece_count; i++)
		mem_free(load.pieces[i].text);
	mem_free(load.pieces);
	mem_free(load.places);
	mem_free(load.given);
	if (load.mistakes == 0 || is_client)
		return config;
	config_unref(config);
	return NULL;
}

struct config *config_load(const char *file, struct buf *errors, struct buf *warnings)
{
	return config_read(file, errors, warnings, false, config_open_is_container(""));
}

struct config *config_load_client(const char *file)
{
	struct config *config;
	struct buf ignored;

	buf_init(&ignored, 1);
	config = config_read(file, &ignored, &ignored, true, false);
	buf_fini(&ignored);
	return config;
}

struct config *config_ref(struct config *config)
{
	config->references++;
	return config;
}

void config_unref(struct config *config)
{
	if (!config || --config->references)
		return;
	mem_arena_fini(config->storage);
	mem_free(config->storage);
	mem_free(config);
}

const struct config_smarthost *config_smarthost(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->smarthost_count; i++)
		if (strcmp(config->smarthosts[i].name, name) == 0)
			return &config->smarthosts[i];
	return NULL;
}

const struct config_smarthost *config_mx(const struct config *config, const char *domain)
{
	for (size_t i = 0; i < config->domain_count; i++)
		if (text_glob(config->domains[i].pattern, span_str(domain)))
			return &config->domains[i].mx;
	return &config->mx;
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same_listener(const struct config_listener *a, const struct config_listener *b)
{
	if (!is_same(a->name, b->name) || !is_same(a->socket, b->socket) || a->socket_mode != b->socket_mode ||
	    !is_same(a->socket_owner, b->socket_owner) || !is_same(a->socket_group, b->socket_group) ||
	    a->addresses.count != b->addresses.count)
		return false;
	for (size_t i = 0; i < a->addresses.count; i++)
		if (!is_same(a->addresses.list[i], b->addresses.list[i]))
			return false;
	return true;
}

const char *config_needs_restart(const struct config *now, const struct config *next)
{
	if (!is_same(now->queue.directory, next->queue.directory))
		return "queue.directory has changed: restart sendoffd to use it";
	if (!is_same(now->control_socket, next->control_socket))
		return "control.socket has changed: restart sendoffd to use it";
	if (!is_same(now->run_as, next->run_as))
		return "user has changed: restart sendoffd to become it";
	if (now->listener_count != next->listener_count)
		return "a listener has come or gone: restart sendoffd for that";
	for (size_t i = 0; i < now->listener_count; i++)
		if (!is_same_listener(&now->listeners[i], &next->listeners[i]))
			return "a listener has another name, address or socket (or its mode or owner): restart sendoffd to use it";
	return NULL;
}
