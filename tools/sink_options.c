#include "sink_options.h"

#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "base/text.h"
#include "smtp/server.h"

/* Each setter answers NULL or what is wrong. */
struct option {
	const char *name, *value, *help;
	const char *(*set)(struct sink_options *options, const char *value);
};

static const char *set_listen(struct sink_options *o, const char *value)
{
	o->listen = value;
	return NULL;
}

static const char *set_port_file(struct sink_options *o, const char *value)
{
	o->port_file = value;
	return NULL;
}

static const char *set_name(struct sink_options *o, const char *value)
{
	o->name = value;
	return NULL;
}

static const char *set_tls(struct sink_options *o, const char *value)
{
	if (strcmp(value, "none") == 0)
		o->tls = SINK_OPTIONS_PLAIN;
	else if (strcmp(value, "starttls") == 0)
		o->tls = SINK_OPTIONS_STARTTLS;
	else if (strcmp(value, "implicit") == 0)
		o->tls = SINK_OPTIONS_IMPLICIT;
	else
		return "one of starttls, implicit, none";
	return NULL;
}

static const char *set_write_ca(struct sink_options *o, const char *value)
{
	o->write_ca = value;
	return NULL;
}

static const char *set_certificate(struct sink_options *o, const char *value)
{
	o->certificate = value;
	return NULL;
}

static const char *set_key(struct sink_options *o, const char *value)
{
	o->key = value;
	return NULL;
}

static const char *set_auth(struct sink_options *o, const char *value)
{
	const char *colon = strchr(value, ':');

	if (!colon || colon == value)
		return "not USER:PASSWORD";
	mem_free(o->user);
	o->user = mem_strdup(value);
	o->user[colon - value] = '\0';
	o->password = o->user + (colon - value) + 1;
	return NULL;
}

static const char *set_optional_auth(struct sink_options *o, const char *value)
{
	(void)value;
	o->optional_auth = true;
	return NULL;
}

static const char *set_maildir(struct sink_options *o, const char *value)
{
	o->maildir = value;
	return NULL;
}

static const char *set_discard(struct sink_options *o, const char *value)
{
	(void)value;
	o->discard = true;
	return NULL;
}

static const char *set_sync(struct sink_options *o, const char *value)
{
	(void)value;
	o->sync = true;
	return NULL;
}

static const char *set_quiet(struct sink_options *o, const char *value)
{
	(void)value;
	o->quiet = true;
	return NULL;
}

static const char *set_exit_after(struct sink_options *o, const char *value)
{
	return text_number(span_str(value), UINT32_MAX, &o->exit_after) ? NULL : "not a number of messages";
}

static const char *set_max_size(struct sink_options *o, const char *value)
{
	return text_size(span_str(value), &o->max_size_bytes) ? NULL : "not a size - 10M";
}

static const char *set_max_recipients(struct sink_options *o, const char *value)
{
	return text_number(span_str(value), UINT32_MAX, &o->max_recipients) ? NULL : "not a number of recipients";
}

static const char *set_silent(struct sink_options *o, const char *value)
{
	(void)value;
	o->silent = true;
	return NULL;
}

static const char *set_without(struct sink_options *o, const char *value)
{
	static const char *const keywords[] = {
#define X(name, keyword) [SERVER_ROW_##name] = keyword,
		SERVER_FEATURES(X)
#undef X
	};

	for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
		if (span_equals_fold(span_str(keywords[i]), span_str(value))) {
			o->without |= 1U << i;
			return NULL;
		}
	return "no such extension - PIPELINING, SIZE, 8BITMIME, STARTTLS, AUTH ...";
}

static const char *set_no_starttls(struct sink_options *o, const char *value)
{
	(void)value;
	o->without |= SERVER_STARTTLS;
	return NULL;
}

static const char *set_no_pipelining(struct sink_options *o, const char *value)
{
	(void)value;
	o->without |= SERVER_PIPELINING;
	return NULL;
}

static const char *set_reply(struct sink_options *o, const char *value)
{
	return sink_rules_reply(&o->rules, value);
}

static const char *set_drop(struct sink_options *o, const char *value)
{
	return sink_rules_drop(&o->rules, value);
}

static const char *set_delay(struct sink_options *o, const char *value)
{
	return sink_rules_delay(&o->rules, value);
}

static const char *set_raw(struct sink_options *o, const char *value)
{
	return sink_rules_raw(&o->rules, value);
}

static const char *set_times(struct sink_options *o, const char *value)
{
	return sink_rules_times(&o->rules, value);
}

static const char *set_skip(struct sink_options *o, const char *value)
{
	return sink_rules_skip(&o->rules, value);
}

static const char *set_for(struct sink_options *o, const char *value)
{
	return sink_rules_for(&o->rules, value);
}

static const struct option rows[] = {
	{ "listen", "ADDRESS:PORT", "127.0.0.1:2526; port 0: any, printed as the first line", set_listen },
	{ "port-file", "FILE", "the port is written there too", set_port_file },
	{ "name", "HOST", "in the greeting and the made-up certificate: localhost", set_name },
	{ "tls", "WAY", "starttls, implicit or none", set_tls },
	{ "write-ca", "FILE", "where the made-up certificate is written, for tls_ca", set_write_ca },
	{ "certificate", "FILE", "an own certificate, with --key", set_certificate },
	{ "key", "FILE", "its key", set_key },
	{ "auth", "USER:PASSWORD", "demand these credentials", set_auth },
	{ "optional-auth", NULL, "offer AUTH, but do not demand it", set_optional_auth },
	{ "maildir", "DIR", "keep messages in DIR/new, envelopes in DIR/envelopes", set_maildir },
	{ "sync", NULL, "write messages through to the disk before the reply", set_sync },
	{ "discard", NULL, "count messages and forget them", set_discard },
	{ "quiet", NULL, "no line for each message", set_quiet },
	{ "exit-after", "N", "end after so many messages", set_exit_after },
	{ "max-size", "SIZE", "of a message", set_max_size },
	{ "max-recipients", "N", "of a message", set_max_recipients },
	{ "silent", NULL, "take connections and never say a word", set_silent },
	{ "without", "KEYWORD", "do not offer this extension", set_without },
	{ "no-starttls", NULL, "the same for STARTTLS", set_no_starttls },
	{ "no-pipelining", NULL, "the same for PIPELINING", set_no_pipelining },
	{ "reply", "STAGE=CODE TEXT", "answer this at a stage", set_reply },
	{ "drop-after", "STAGE", "close the connection there, without a reply", set_drop },
	{ "delay", "STAGE=DURATION", "wait there before going on", set_delay },
	{ "raw", "STAGE=BYTES", "send these bytes before the reply", set_raw },
	{ "times", "N", "the rule before only for the first N", set_times },
	{ "skip", "N", "the rule before not for the first N", set_skip },
	{ "for", "GLOB", "the rule before only for addresses like this", set_for },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

void sink_options_help(FILE *out)
{
	for (size_t i = 0; i < ROWS; i++) {
		char name[48];

		snprintf(name, sizeof name, "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
		fprintf(out, "  %-26s %s\n", name, rows[i].help);
	}
}

static const struct option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

/* Takes rest[*at] and its value. */
static int take(struct sink_options *options, const struct cli *cli, int *at)
{
	const char *text = cli->rest[*at], *equals = strchr(text, '='), *value = NULL, *wrong;
	size_t len = strlen(text);
	const struct option *option = NULL;

	if (strncmp(text, "--", 2) == 0)
		option = find(text + 2, (equals ? (size_t)(equals - text) : len) - 2);
	if (!option)
		return cli_fail(EX_USAGE, "unknown option %s - `sendoff help sink` lists them", text);
	if (option->value && equals)
		value = equals + 1;
	else if (option->value && ++*at == cli->rest_count)
		return cli_fail(EX_USAGE, "%s needs a value: %s", text, option->value);
	else if (option->value)
		value = cli->rest[*at];
	wrong = option->set(options, value);
	return wrong ? cli_fail(EX_USAGE, "--%s %s: %s", option->name, value ? value : "", wrong) : 0;
}

static int check(const struct sink_options *options)
{
	if (!options->certificate != !options->key)
		return cli_fail(EX_USAGE, "--certificate and --key go together");
	if (options->write_ca && options->certificate)
		return cli_fail(EX_USAGE, "--write-ca is for the made-up certificate, not with --certificate");
	if (options->maildir && options->discard)
		return cli_fail(EX_USAGE, "--maildir and --discard exclude each other");
	return 0;
}

int sink_options_parse(struct sink_options *options, const struct cli *cli)
{
	int err = 0;

	*options = (struct sink_options){ .listen = "127.0.0.1:2526", .name = "localhost", .json = cli->json };
	sink_rules_init(&options->rules);
	for (int at = 0; at < cli->rest_count && !err; at++)
		err = strcmp(cli->rest[at], "--json") == 0 ? (options->json = true, 0) : take(options, cli, &at);
	return err ? err : check(options);
}

void sink_options_fini(struct sink_options *options)
{
	sink_rules_fini(&options->rules);
	mem_free(options->user);
}
