#include "cli.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "verbs.h"

int cli_fail(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("sendoff: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

bool cli_agrees(const struct cli *cli, const char *question)
{
	FILE *out = isatty(STDERR_FILENO) ? stderr : stdout;
	char answer[16];

	if (cli->yes || !isatty(STDIN_FILENO))
		return true;
	/* Somebody sits there who would not see the question. */
	if (!isatty(fileno(out))) {
		fprintf(stderr, "sendoff: not asked where it cannot be seen: %s Say --yes.\n", question);
		return false;
	}
	fprintf(out, "%s [y/N] ", question);
	fflush(out);
	if (!fgets(answer, sizeof answer, stdin))
		return false;
	return answer[0] == 'y' || answer[0] == 'Y';
}

static void look_at_terminal(struct cli *cli)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;

	cli->is_screen = isatty(STDOUT_FILENO) != 0;
	cli->is_coloured = cli->is_screen && !(no_colour && no_colour[0]) && term && strcmp(term, "dumb") != 0;
	if (cli->is_screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		cli->columns = size.ws_col;
}

/* ---------------------------------------------------------------- options */

struct option {
	const char *name;
	char letter; /* or 0 */
	bool has_value;
	unsigned needs;                                         /* a bit of the verb; 0: every verb takes it */
	const char *(*set)(struct cli *cli, const char *value); /* NULL or what is wrong */
};

static const char *set_config(struct cli *cli, const char *value)
{
	cli->config = value;
	return NULL;
}

static const char *set_socket(struct cli *cli, const char *value)
{
	cli->socket = value;
	return NULL;
}

static const char *set_json(struct cli *cli, const char *value)
{
	(void)value;
	cli->json = true;
	return NULL;
}

static const char *set_yes(struct cli *cli, const char *value)
{
	(void)value;
	cli->yes = true;
	return NULL;
}

static const char *set_dry_run(struct cli *cli, const char *value)
{
	(void)value;
	cli->dry_run = true;
	return NULL;
}

static const char *set_help(struct cli *cli, const char *value)
{
	(void)value;
	cli->help = true;
	return NULL;
}

static const char *set_close(struct cli *cli, const char *value)
{
	(void)value;
	cli->close = true;
	return NULL;
}

static const char *set_timeout(struct cli *cli, const char *value)
{
	return text_duration(span_str(value), &cli->timeout_ms) ? NULL : "not a duration - 90s, 5m, 4h or 5d";
}

static const char *set_user(struct cli *cli, const char *value)
{
	cli->explain.user = value;
	return value[0] ? NULL : "nobody has an empty name";
}

static const char *set_uid(struct cli *cli, const char *value)
{
	cli->explain.uid = value;
	return NULL;
}

static const char *set_listener(struct cli *cli, const char *value)
{
	cli->explain.listener = value;
	return NULL;
}

static const char *set_host(struct cli *cli, const char *value)
{
	cli->explain.host = value;
	return NULL;
}

static const char *set_file(struct cli *cli, const char *value)
{
	cli->user.file = value;
	return value[0] ? NULL : "no file has an empty name";
}

static const char *set_password_stdin(struct cli *cli, const char *value)
{
	(void)value;
	cli->user.password_stdin = true;
	return NULL;
}

static const char *set_hash_stdin(struct cli *cli, const char *value)
{
	(void)value;
	cli->user.hash_stdin = true;
	return NULL;
}

static const char *set_day(struct cli *cli, const char *value)
{
	cli->day = value;
	return value[0] ? NULL : "no day has an empty name";
}

static const struct option options[] = {
	{ "config", 'c', true, 0, set_config },
	{ "socket", 's', true, 0, set_socket },
	{ "json", 'j', false, 0, set_json },
	{ "help", 'h', false, 0, set_help },
	{ "yes", 'y', false, VERBS_ASK, set_yes },
	{ "dry-run", 'n', false, VERBS_ASK, set_dry_run },
	{ "timeout", 't', true, VERBS_DRAIN, set_timeout },
	{ "close", 0, false, VERBS_DRAIN, set_close },
	{ "user", 0, true, VERBS_EXPLAIN, set_user },
	{ "uid", 0, true, VERBS_EXPLAIN, set_uid },
	{ "listener", 0, true, VERBS_EXPLAIN, set_listener },
	{ "host", 0, true, VERBS_EXPLAIN, set_host },
	{ "file", 'f', true, VERBS_USER, set_file },
	{ "password-stdin", 0, false, VERBS_USER, set_password_stdin },
	{ "hash-stdin", 0, false, VERBS_USER, set_hash_stdin },
	{ "day", 0, true, VERBS_DAY, set_day },
};

/* One argument that begins with '-', taken apart. */
struct argument {
	char name[32];
	const char *value; /* behind '=', or NULL */
};

static bool take_apart(const char *text, struct argument *out)
{
	const char *name = text + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);

	out->value = equals ? equals + 1 : NULL;
	if (text[1] != '-' || len == 0 || len >= sizeof out->name)
		return false;
	memcpy(out->name, name, len);
	out->name[len] = '\0';
	return true;
}

static const struct option *find_option(const char *text, const struct argument *argument)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (argument ? strcmp(options[i].name, argument->name) == 0
			     : text[1] && options[i].letter == text[1] && !text[2])
			return &options[i];
	return NULL;
}

static const struct filter_option *find_filter(const char *name)
{
	size_t count;
	const struct filter_option *list = filter_options(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

/* More of the filter is said than the two ends of an envelope. */
static bool chooses_messages(const json_t *said)
{
	size_t ends = 0;

	ends += json_object_get(said, "from") != NULL;
	ends += json_object_get(said, "to") != NULL;
	return json_object_size(said) > ends;
}

/* What is set before the verb is known is checked when it is. */
static int check_taken(const struct cli *cli)
{
	unsigned takes = cli->verb->takes;

	if ((cli->yes || cli->dry_run) && !(takes & VERBS_ASK))
		return cli_fail(EX_USAGE, "%s changes nothing: it takes no --yes or --dry-run", cli->verb->name);
	if ((cli->timeout_ms || cli->close) && !(takes & VERBS_DRAIN))
		return cli_fail(EX_USAGE, "%s takes no --timeout or --close", cli->verb->name);
	if ((cli->explain.user || cli->explain.uid || cli->explain.listener || cli->explain.host) &&
	    !(takes & VERBS_EXPLAIN))
		return cli_fail(EX_USAGE, "%s takes no --user, --uid, --listener or --host", cli->verb->name);
	if ((cli->user.file || cli->user.password_stdin || cli->user.hash_stdin) && !(takes & VERBS_USER))
		return cli_fail(EX_USAGE, "%s takes no --file, --password-stdin or --hash-stdin", cli->verb->name);
	if (cli->day && !(takes & VERBS_DAY))
		return cli_fail(EX_USAGE, "%s takes no --day", cli->verb->name);
	if ((takes & (VERBS_EXPLAIN | VERBS_ENDS)) && chooses_messages(cli->said))
		return cli_fail(EX_USAGE, "%s takes no filter but --from and --to", cli->verb->name);
	if (json_object_size(cli->said) && !(takes & (VERBS_FILTER | VERBS_EXPLAIN | VERBS_ENDS)))
		return cli_fail(EX_USAGE, "%s takes no filter", cli->verb->name);
	return 0;
}

static int set_filter(struct cli *cli, const struct filter_option *option, const char *value)
{
	const char *wrong = filter_set(&cli->filter, option->name, value);
	const struct passwd *user = NULL;
	char uid[32];

	if (wrong)
		return cli_fail(EX_USAGE, "--%s%s%s: %s", option->name, value ? " " : "", value ? value : "", wrong);
	/* A local user's name stands for the uid, which is what the agent knows. */
	if (strcmp(option->name, "submitter") == 0 && !strchr(value, ':'))
		user = getpwnam(value);
	if (user) {
		snprintf(uid, sizeof uid, "uid:%u", (unsigned)user->pw_uid);
		value = uid;
	}
	json_object_set_new(cli->said, option->name, value ? json_string(value) : json_true());
	return 0;
}

static int set_option(struct cli *cli, const struct option *option, const char *value)
{
	const char *wrong = option->set(cli, value);

	return wrong ? cli_fail(EX_USAGE, "--%s %s: %s", option->name, value ? value : "", wrong) : 0;
}

/* Takes argv[*at] and its value. */
static int take_option(struct cli *cli, int argc, char **argv, int *at)
{
	struct argument argument;
	const char *text = argv[*at];
	bool is_long = take_apart(text, &argument), has_value;
	const struct option *option = find_option(text, is_long ? &argument : NULL);
	const struct filter_option *filter = is_long && !option ? find_filter(argument.name) : NULL;
	const char *value = is_long ? argument.value : NULL;

	if (!option && !filter)
		return cli_fail(EX_USAGE, "unknown option %s - `sendoff help%s%s` lists them", text,
				cli->verb ? " " : "", cli->verb ? cli->verb->name : "");
	has_value = option ? option->has_value : filter->value != NULL;
	if (value && !has_value)
		return cli_fail(EX_USAGE, "--%s takes no value", argument.name);
	if (has_value && !value && ++*at == argc)
		return cli_fail(EX_USAGE, "%s needs a value", text);
	if (has_value && !value)
		value = argv[*at];
	return option ? set_option(cli, option, value) : set_filter(cli, filter, value);
}

/* ---------------------------------------------------------------- words */

static int take_verb(struct cli *cli, const char *name)
{
	const char *nearest;

	cli->verb = verbs_find(name);
	if (cli->verb)
		return 0;
	nearest = verbs_nearest(name);
	if (nearest)
		return cli_fail(EX_USAGE, "no such verb: %s - did you mean %s?", name, nearest);
	return cli_fail(EX_USAGE, "no such verb: %s - `sendoff help` lists them", name);
}

static int take_id(struct cli *cli, const char *text)
{
	const char *wrong = filter_add_id(&cli->filter, span_str(text));
	json_t *ids = json_object_get(cli->said, "ids");

	if (wrong)
		return cli_fail(EX_USAGE, "%s: %s", text, wrong);
	if (!ids) {
		ids = json_array();
		json_object_set_new(cli->said, "ids", ids);
	}
	json_array_append_new(ids, json_string(text));
	return 0;
}

static int take_word(struct cli *cli, char *text)
{
	if (!cli->verb)
		return take_verb(cli, text);
	if (cli->verb->takes & VERBS_FILTER)
		return take_id(cli, text);
	cli->words[cli->word_count++] = text;
	return 0;
}

static int check_words(const struct cli *cli)
{
	const struct verbs_row *verb = cli->verb;

	if (cli->word_count < verb->min_words)
		return cli_fail(EX_USAGE, "usage: sendoff %s %s", verb->name, verb->arguments);
	if (cli->word_count > verb->max_words)
		return cli_fail(EX_USAGE, "%s takes fewer arguments: sendoff %s %s", verb->name, verb->name,
				verb->arguments);
	return 0;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
	bool has_options = true;
	int err = 0;

	*cli = (struct cli){ .said = json_object(), .words = mem_calloc((size_t)argc + 1, sizeof(char *)) };
	filter_init(&cli->filter);
	look_at_terminal(cli);
	for (int at = 1; at < argc && !err; at++) {
		if (has_options && strcmp(argv[at], "--") == 0)
			has_options = false;
		else if (has_options && argv[at][0] == '-' && argv[at][1])
			err = take_option(cli, argc, argv, &at);
		else
			err = take_word(cli, argv[at]);
		if (!err && cli->verb && (cli->verb->takes & VERBS_RAW)) {
			cli->rest = argv + at + 1;
			cli->rest_count = argc - at - 1;
			return check_taken(cli);
		}
	}
	if (!err && cli->verb && !cli->help)
		err = check_taken(cli);
	return err || !cli->verb || cli->help ? err : check_words(cli);
}

void cli_fini(struct cli *cli)
{
	filter_fini(&cli->filter);
	json_decref(cli->said);
	mem_free(cli->words);
}
