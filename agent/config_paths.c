#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config_load.h"

/* A directory of the user's from the environment (absolute, or it does not count: XDG Base Directory), or HOME/rest. */
static char *user_folder(const char *variable, const char *rest)
{
	const char *set = variable ? getenv(variable) : NULL, *home = getenv("HOME");
	const struct passwd *user;

	if (set && *set == '/')
		return mem_strdup(set);
	if (!rest)
		return NULL;
	if (!home || *home != '/') {
		user = getpwuid(getuid());
		home = user && user->pw_dir ? user->pw_dir : "/";
	}
	return mem_printf("%s/%s", home, rest);
}

char *config_find(const char *given)
{
	char *path;

	if (given)
		return mem_strdup(given);
	if (geteuid() != 0) {
		char *folder = user_folder("XDG_CONFIG_HOME", ".config");

		path = mem_printf("%s/sendoff/sendoff.conf", folder);
		mem_free(folder);
		if (access(path, F_OK) == 0)
			return path;
		mem_free(path);
	}
	path = mem_strdup(SENDOFF_SYSCONFDIR "/sendoff/sendoff.conf");
	if (access(path, F_OK) == 0)
		return path;
	mem_free(path);
	return NULL;
}

static void listener_defaults(struct config_load *load, const char *run)
{
	struct config *config = load->config;
	struct config_listener *listeners = config_alloc(load, 2, sizeof(*listeners));
	struct config_at nowhere = { config->file, 0 };

	listeners[0] = (struct config_listener){ .at = nowhere, .name = "local", .socket_mode = 0666 };
	listeners[0].socket = config_format(load, "%s/submit", run);
	listeners[1] = (struct config_listener){ .at = nowhere, .name = "loopback", .socket_mode = 0666 };
	listeners[1].addresses.list = config_alloc(load, 1, sizeof(char *));
	listeners[1].addresses.list[0] = "127.0.0.1:2525";
	listeners[1].addresses.count = 1;
	listeners[0].trust = listeners[1].trust = true;
	config->listeners = listeners;
	config->listener_count = 2;
}

/* Where sendmail(1) leaves mail for the machine's agent, and for a user's own. Any other agent looks beside its queue:
 * it must not take in what was not meant for it. */
static const char *default_drop(struct config_load *load)
{
	const struct config *config = load->config;
	const char *slash = strrchr(config->queue.directory, '/'), *drop = NULL;
	char *state, *own;

	if (strcmp(config->file, SENDOFF_SYSCONFDIR "/sendoff/sendoff.conf") == 0 || (!*config->file && geteuid() == 0))
		return "/var/spool/sendoff-drop";
	state = user_folder("XDG_STATE_HOME", ".local/state");
	own = user_folder("XDG_CONFIG_HOME", ".config");
	if (strncmp(config->file, own, strlen(own)) == 0 &&
	    strcmp(config->file + strlen(own), "/sendoff/sendoff.conf") == 0)
		drop = config_format(load, "%s/sendoff/drop", state);
	mem_free(state);
	mem_free(own);
	return drop ? drop
		    : config_format(load, "%.*sdrop", slash ? (int)(slash - config->queue.directory) + 1 : 0,
				    config->queue.directory);
}

void config_paths_defaults(struct config_load *load)
{
	struct config *config = load->config;
	const char *run = "/run/sendoff", *spool = "/var/spool/sendoff";

	if (geteuid() != 0) {
		char *state = user_folder("XDG_STATE_HOME", ".local/state"),
		     *runtime = user_folder("XDG_RUNTIME_DIR", NULL);

		spool = config_format(load, "%s/sendoff/queue", state);
		/* Without a runtime directory the sockets go where nobody else can put theirs first: not to /tmp. */
		run = runtime ? config_format(load, "%s/sendoff", runtime)
			      : config_format(load, "%s/sendoff/run", state);
		mem_free(state);
		mem_free(runtime);
	}
	if (!config->queue.directory)
		config->queue.directory = spool;
	if (!config->drop_directory)
		config->drop_directory = default_drop(load);
	if (!config->control_socket)
		config->control_socket = config_format(load, "%s/control", run);
	if (config->listener_count == 0)
		listener_defaults(load, run);
	if (!config->hostname) {
		char own[256] = "";

		if (gethostname(own, sizeof(own) - 1) < 0)
			own[0] = '\0';
		config->hostname = config_paths_hostname(load, own, "/etc/hosts");
	}
	config->has_postmaster = config->postmaster;
	if (!config->postmaster)
		config->postmaster = config_format(load, "postmaster@%s", config->hostname);
	if (!config->tlsrpt.organization)
		config->tlsrpt.organization = config->hostname;
	if (!config->tlsrpt.contact)
		config->tlsrpt.contact = config->postmaster;
	if (!config->tlsrpt.from)
		config->tlsrpt.from = config->tlsrpt.contact;
}

static bool is_full_name(struct span name)
{
	size_t dot = span_find(name, '.');

	return dot > 0 && dot + 1 < name.len && !span_starts_fold(name, SPAN("localhost")) &&
	       !span_equals_fold(span_from(name, dot), SPAN(".localdomain"));
}

static struct span next_word(struct span *line)
{
	size_t skip = 0, len = 0;
	struct span word;

	while (skip < line->len && (line->data[skip] == ' ' || line->data[skip] == '\t'))
		skip++;
	while (skip + len < line->len && line->data[skip + len] != ' ' && line->data[skip + len] != '\t' &&
	       line->data[skip + len] != '#' && line->data[skip + len] != '\n')
		len++;
	word = span_of(line->data + skip, len);
	*line = len ? span_from(*line, skip + len) : span_of(line->data, 0);
	return word;
}

/* The first full name of a hosts line that also has `own_name`; empty: none. */
static struct span full_name_in(struct span line, struct span own_name)
{
	struct span full = SPAN(""), word;
	bool is_ours = false;

	next_word(&line);
	while ((word = next_word(&line)).len) {
		is_ours = is_ours || span_equals_fold(word, own_name);
		if (!full.len && is_full_name(word))
			full = word;
	}
	return is_ours ? full : SPAN("");
}

/* The host's own name where it is a full one, else what the hosts file calls it, else an address literal: the
 * resolver is not asked, since start-up must not wait for a network. */
const char *config_paths_hostname(struct config_load *load, const char *own_name, const char *hosts_file)
{
	const char *name = NULL;
	char line[1024];
	FILE *hosts;

	if (is_full_name(span_str(own_name)) && config_address_hostname(own_name))
		return config_keep(load, span_str(own_name));
	hosts = *own_name ? fopen(hosts_file, "re") : NULL;
	while (hosts && !name && fgets(line, sizeof(line), hosts)) {
		struct span full = full_name_in(span_str(line), span_str(own_name));

		name = full.len ? config_keep(load, full) : NULL;
		if (name && !config_address_hostname(name))
			name = NULL;
	}
	if (hosts)
		fclose(hosts);
	return name ? name : "[127.0.0.1]";
}
