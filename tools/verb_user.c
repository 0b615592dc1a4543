#include "verb_user.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "config.h"
#include "look.h"
#include "smtp/users.h"
#include "talk.h"
#include "user_file.h"
#include "user_secret.h"

enum { ERRORS_MAX = 64 * 1024 };

/* ---------------------------------------------------------------- which file */

/* The one users file that listeners name. NULL: said why. */
static const char *only_file(const struct config *config)
{
	const char *found = NULL;

	for (size_t i = 0; i < config->listener_count; i++) {
		const char *file = config->listeners[i].users;

		if (file && found && strcmp(file, found) != 0) {
			cli_fail(EX_USAGE, "the configuration has several users files - say which: --file %s", found);
			return NULL;
		}
		found = file ? file : found;
	}
	if (!found)
		cli_fail(EX_USAGE, "no listener of the configuration has a users file - say one: --file FILE");
	return found;
}

/* Whose group may read a new file: the agent's, where root makes it. */
static gid_t agent_group(const struct config *config)
{
	const struct passwd *user = config->run_as && geteuid() == 0 ? getpwnam(config->run_as) : NULL;

	return user ? user->pw_gid : (gid_t)-1;
}

/* ---------------------------------------------------------------- what it does */

static void tell(const struct cli *cli, const char *what, const char *name, const char *file, const char *text)
{
	json_t *object;

	if (!cli->json) {
		printf("%s\n", text);
		return;
	}
	object = json_pack("{s:s,s:s,s:s}", "type", what, "name", name, "file", file);
	talk_print(object);
	json_decref(object);
}

static int change(const struct cli *cli, const char *path, const gid_t *group, const char *name, const char *secret)
{
	struct user_file file;
	struct buf text;
	bool had = false;
	int status = user_file_take(path, group, &file);

	if (status)
		return status;
	buf_init(&text, USERS_FILE_MAX);
	if (!users_edit(buf_span(&file.text), name, secret, &text, &had))
		status = cli_fail(EX_DATAERR, "%s: it would become too large", file.path);
	else if (!secret && !had)
		status = cli_fail(EX_NOUSER, "%s: there is no user %s", file.path, name);
	else
		status = user_file_put(&file, buf_span(&text));
	if (!status && !secret)
		tell(cli, "removed", name, file.path, "The user can log in no more.");
	else if (!status)
		tell(cli, had ? "changed" : "added", name, file.path,
		     had ? "The user has a new password." : "The user can log in now.");
	buf_fini(&text);
	user_file_fini(&file);
	return status;
}

static int add(struct cli *cli, const char *path, const char *name, gid_t group)
{
	enum user_secret from = cli->user.hash_stdin       ? USER_SECRET_HASH
				: cli->user.password_stdin ? USER_SECRET_PASSWORD
							   : USER_SECRET_ASK;
	char *secret = NULL;
	int status = user_secret_get(from, &secret);

	if (status)
		return status;
	status = change(cli, path, &group, name, secret);
	mem_wipe_free(secret, strlen(secret));
	return status;
}

static const char *kind_of(const struct users_entry *entry)
{
	return entry->has_scram ? "scram" : "hash";
}

static void print_user(const struct cli *cli, const struct users_entry *entry)
{
	char cell[1024];
	json_t *object;

	if (!cli->json) {
		printf("%-5s %s\n", kind_of(entry), look_text(entry->name, 0, cell, sizeof cell));
		return;
	}
	object = json_pack("{s:s,s:s,s:s,s:i}", "type", "user", "name", entry->name, "kind", kind_of(entry), "line",
			   (int)entry->line);
	talk_print(object);
	json_decref(object);
}

static int list(const struct cli *cli, const char *path)
{
	struct user_file file;
	struct users *users;
	struct buf errors;
	int status = user_file_take(path, NULL, &file);

	if (status)
		return status;
	buf_init(&errors, ERRORS_MAX);
	users = users_parse(buf_span(&file.text), file.path, &errors);
	fputs(buf_cstr(&errors), stderr);
	for (size_t i = 0; i < users_count(users); i++)
		print_user(cli, users_at(users, i));
	status = errors.len ? EX_DATAERR : 0;
	users_free(users);
	buf_fini(&errors);
	user_file_fini(&file);
	return status;
}

static int change_named(struct cli *cli, const struct config *config, const char *path, bool adds)
{
	const char *given = cli->words[1];
	char *name = users_name(span_str(given));
	int status;

	if (!name)
		return cli_fail(EX_USAGE,
				"nobody can have this name: UTF-8 of at most 255 bytes, without blanks, colons and a # "
				"in front");
	status = adds ? add(cli, path, name, agent_group(config)) : change(cli, path, NULL, name, NULL);
	mem_free(name);
	return status;
}

int verb_user_run(struct cli *cli)
{
	const char *what = cli->words[0];
	bool adds = strcmp(what, "add") == 0, lists = strcmp(what, "list") == 0;
	char *file;
	struct config *config;
	const char *path;
	int status = EX_USAGE;

	if (!adds && !lists && strcmp(what, "remove") != 0)
		return cli_fail(EX_USAGE, "user %s: it is add, remove or list", what);
	if (cli->word_count != (lists ? 1 : 2))
		return cli_fail(EX_USAGE, lists ? "user list takes no name" : "user %s takes one name", what);
	if (!adds && (cli->user.password_stdin || cli->user.hash_stdin))
		return cli_fail(EX_USAGE, "user %s needs no password", what);
	if (cli->user.password_stdin && cli->user.hash_stdin)
		return cli_fail(EX_USAGE, "a password or a hash, not both");
	file = config_find(cli->config);
	config = config_load_client(file);
	path = cli->user.file ? cli->user.file : only_file(config);
	if (path)
		status = lists ? list(cli, path) : change_named(cli, config, path, adds);
	config_unref(config);
	mem_free(file);
	return status;
}
