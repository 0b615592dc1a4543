#include "verbs.h"

#include <string.h>

#include "base/text.h"
#include "sink.h"
#include "sink_options.h"
#include "verb_agent.h"
#include "verb_change.h"
#include "verb_drain.h"
#include "verb_explain.h"
#include "verb_history.h"
#include "verb_list.h"
#include "verb_show.h"
#include "verb_status.h"
#include "verb_test.h"
#include "verb_tlsrpt.h"
#include "verb_user.h"

static int help(struct cli *cli);

enum { MANY = 1 << 20 };

static const struct verbs_row rows[] = {
	{ "status", "", "is mail flowing, what waits for what, what to do", "", 0, 0, 0, verb_status_run },
	{ "list", "[FILTER] [ID ...]", "the messages that wait, oldest first", "", VERBS_FILTER, 0, MANY,
	  verb_list_run },
	{ "show", "ID", "one message and its whole story", "", 0, 1, 1, verb_show_run },
	{ "why", "ID", "what a message waits for, since when, until when", "", 0, 1, 1, verb_show_why },
	{ "cat", "ID", "the bytes of a message as they will be sent", "", 0, 1, 1, verb_show_cat },
	{ "flush", "[FILTER] [ID ...]", "make messages due now, and try failing smart hosts again",
	  "Without a filter everything is flushed. Held mail stays held.\n", VERBS_FILTER | VERBS_ASK, 0, MANY,
	  verb_change_run },
	{ "drain", "[--timeout DURATION] [--close]", "flush, and wait until nothing is left",
	  "  --timeout DURATION  give up waiting after this\n"
	  "  --close             take no new mail meanwhile\n"
	  "Exit status 0: empty; 75: something is left.\n",
	  VERBS_DRAIN, 0, 0, verb_drain_run },
	{ "hold", "[FILTER] [ID ...]", "keep messages back until they are released", "", VERBS_FILTER | VERBS_ASK, 0,
	  MANY, verb_change_run },
	{ "release", "[FILTER] [ID ...]", "let held messages go", "", VERBS_FILTER | VERBS_ASK, 0, MANY,
	  verb_change_run },
	{ "remove", "[FILTER] [ID ...]", "delete messages, or those of their recipients that the filter chooses", "",
	  VERBS_FILTER | VERBS_ASK, 0, MANY, verb_change_run },
	{ "pause", "[SMARTHOST]", "stop delivery through one smart host, or all delivery", "", VERBS_ASK, 0, 1,
	  verb_change_lane },
	{ "resume", "[SMARTHOST]", "end a pause, and try a refused account again", "", VERBS_ASK, 0, 1,
	  verb_change_lane },
	{ "history", "[FILTER] [ID ...]", "how mail ended, newest first, with the remote's words",
	  "--older and --newer are about when it ended, --route about the smart host that took it.\n", VERBS_FILTER, 0,
	  MANY, verb_history_run },
	{ "explain", "--from ADDRESS --to ADDRESS", "what would become of a message, rule by rule, with file and line",
	  "  --from ADDRESS         the sender (<> for reports)\n"
	  "  --to ADDRESS           a recipient\n"
	  "  --uid USER             handed in by this user of the machine, name or number; default: you\n"
	  "  --user NAME            by one who logs in under this name\n"
	  "  --host ADDRESS         from this address\n"
	  "  --listener NAME        at this listener; default: the first that suits\n"
	  "Nothing is sent.\n",
	  VERBS_EXPLAIN, 0, 0, verb_explain_run },
	{ "test", "SMARTHOST|DOMAIN", "walk to a smart host, or to a domain's MX, and say what came of each step",
	  "  --to ADDRESS           go as far as asking whether it takes mail for this recipient\n"
	  "  --from ADDRESS         from this sender; default: none (<>)\n"
	  "No mail is sent. Exit status 0: mail can go this way; 75: it cannot just now.\n",
	  VERBS_ENDS, 1, 1, verb_test_run },
	{ "tlsrpt", "[--day DAY] [DOMAIN]", "what became of TLS towards domains, as told to those that ask (RFC 8460)",
	  "  --day DAY              2026-11-24, today or yesterday, in UTC; default: yesterday\n"
	  "With --json each domain's report as it would be sent.\n",
	  VERBS_DAY, 0, 1, verb_tlsrpt_run },
	{ "check", "[FILE]", "read the configuration and list its mistakes", "", 0, 0, 1, verb_agent_check },
	{ "reload", "", "let the agent read its configuration again", "", 0, 0, 0, verb_agent_reload },
	{ "verify", "", "check everything that is stored", "", 0, 0, 0, verb_agent_verify },
	{ "sink", "[OPTION ...]", "a small smart host on loopback, for trying things out and for tests",
	  "Stages: greeting, ehlo, helo, starttls, auth, mail, rcpt, data, dot, rset, quit.\n\n", VERBS_RAW, 0, 0,
	  sink_run },
	{ "user", "add NAME | remove NAME | list", "who may log in at a listener",
	  "  -f, --file FILE        the users file; default: the only one of the configuration\n"
	  "  --password-stdin       the password is the first line of standard input\n"
	  "  --hash-stdin           a hash of crypt(5) or a SCRAM verifier is\n"
	  "Otherwise the password is asked for on the terminal, twice. The agent sees the change by itself.\n",
	  VERBS_USER, 1, 2, verb_user_run },
	{ "version", "", "of this program and of the agent", "", 0, 0, 0, verb_agent_version },
	{ "help", "[VERB]", "this list, or more about one verb", "", 0, 0, 1, help },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const struct verbs_row *verbs_find(const char *name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const char *verbs_nearest(const char *name)
{
	const char *nearest = NULL;
	size_t least = 3; /* beyond two slips it is a guess */

	for (size_t i = 0; i < ROWS; i++) {
		size_t distance = text_distance(name, rows[i].name);

		if (distance < least) {
			least = distance;
			nearest = rows[i].name;
		}
	}
	return nearest;
}

void verbs_usage(FILE *out)
{
	fputs("usage: sendoff [--config FILE] [--socket PATH] [--json] VERB [ARGUMENT ...]\n\n", out);
	for (size_t i = 0; i < ROWS; i++)
		fprintf(out, "  %-8s %s\n", rows[i].name, rows[i].summary);
	fputs("\n`sendoff help VERB` says more; so does sendoff(1).\n", out);
}

static void filter_help(FILE *out)
{
	size_t count;
	const struct filter_option *options = filter_options(&count);

	fputs("\nFilter (everything that is said must fit):\n", out);
	for (size_t i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof name, "--%s %s", options[i].name, options[i].value ? options[i].value : "");
		fprintf(out, "  %-22s %s\n", name, options[i].help);
	}
}

void verbs_help(FILE *out, const struct verbs_row *row)
{
	fprintf(out, "usage: sendoff %s %s\n\n%s.\n", row->name, row->arguments, row->summary);
	if (row->details[0])
		fprintf(out, "\n%s", row->details);
	if (row->takes & VERBS_ASK)
		fputs("\n  -n, --dry-run          say what would be done, and do nothing\n"
		      "  -y, --yes              do not ask\n",
		      out);
	if (row->takes & VERBS_FILTER)
		filter_help(out);
	if (row->run == sink_run)
		sink_options_help(out);
}

static int help(struct cli *cli)
{
	const struct verbs_row *row = cli->word_count ? verbs_find(cli->words[0]) : NULL;

	if (cli->word_count && !row)
		return cli_fail(64, "no such verb: %s", cli->words[0]);
	if (row)
		verbs_help(stdout, row);
	else
		verbs_usage(stdout);
	return 0;
}
