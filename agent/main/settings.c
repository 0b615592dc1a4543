#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "bodyhash.h"
#include "main/agent.h"

struct config *settings_read(const char *given_file, struct buf *errors, struct buf *warnings)
{
	char *file = config_find(given_file);
	struct config *config = config_load(file, errors, warnings);

	mem_free(file);
	return config;
}

void settings_log(enum log_level level, const char *event, struct buf *text)
{
	char *rest = (char *)(uintptr_t)buf_cstr(text), *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_event(level, event, LOG_TEXT("text", line));
}

static void queue_warns(void *arg, const char *text)
{
	(void)arg;
	log_event(LOG_LEVEL_WARNING, "queue-warning", LOG_TEXT("text", text));
}

struct queue_config settings_queue(struct agent *agent, const struct config_queue *q)
{
	return (struct queue_config){
		.directory = q->directory,
		.max_size_bytes = q->max_size_bytes,
		.max_message_bytes = q->max_message_bytes,
		.min_free_disk_bytes = q->min_free_disk_bytes,
		.history_ms = q->history_ms,
		.hash = bodyhash_sha256,
		.warn = queue_warns,
		.arg = agent,
	};
}

struct dns_config settings_dns(const struct config *config)
{
	return (struct dns_config){
		.servers = config->dns_servers.list,
		.server_count = config->dns_servers.count,
		.trust_ad = config->dns_trust_ad,
	};
}
