#include "tools/sendmail_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"

/* What stands behind an option letter. */
enum operand {
	OPERAND_NONE,
	OPERAND_NEEDED,   /* in the same argument or in the next one */
	OPERAND_ATTACHED, /* in the same argument, or not at all */
};

enum meaning {
	MEANS_NOTHING, /* taken for compatibility; see the man page for why each does nothing */
	MEANS_REFUSED, /* with the row's words */
	MEANS_BODY,
	MEANS_ENVID,
	MEANS_FULL_NAME,
	MEANS_HEADER_RECIPIENTS,
	MEANS_ALIASES,
	MEANS_DOT_IS_TEXT,
	MEANS_MODE,
	MEANS_NOTIFY,
	MEANS_QUEUE_VERB,
	MEANS_OLD_OPTION, /* -o with the letter of an option of the seventies */
	MEANS_LONG_OPTION,
	MEANS_FLUSH,
	MEANS_RET,
	MEANS_SENDER,
	MEANS_VERBOSE,
};

static const struct row {
	char letter;
	enum operand operand;
	enum meaning meaning;
	const char *refusal;
} table[] = {
	{ 'A', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'B', OPERAND_NEEDED, MEANS_BODY, NULL },
	{ 'C', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'D', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'E', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'F', OPERAND_NEEDED, MEANS_FULL_NAME, NULL },
	{ 'G', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'I', OPERAND_NONE, MEANS_ALIASES, NULL },
	{ 'L', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'M', OPERAND_ATTACHED, MEANS_QUEUE_VERB, NULL },
	{ 'N', OPERAND_NEEDED, MEANS_NOTIFY, NULL },
	{ 'O', OPERAND_NEEDED, MEANS_LONG_OPTION, NULL },
	{ 'Q', OPERAND_ATTACHED, MEANS_REFUSED, "there is no quarantine; `sendoff hold' keeps mail back" },
	{ 'R', OPERAND_NEEDED, MEANS_RET, NULL },
	{ 'S', OPERAND_ATTACHED, MEANS_REFUSED, "the mail of one sender is sent by -qS or `sendoff flush --from'" },
	{ 'T', OPERAND_ATTACHED, MEANS_REFUSED, "there are no tests by time" },
	{ 'U', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'V', OPERAND_NEEDED, MEANS_ENVID, NULL },
	{ 'X', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'b', OPERAND_NEEDED, MEANS_MODE, NULL },
	{ 'c', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'd', OPERAND_ATTACHED, MEANS_NOTHING, NULL },
	{ 'e', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'f', OPERAND_NEEDED, MEANS_SENDER, NULL },
	{ 'h', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'i', OPERAND_NONE, MEANS_DOT_IS_TEXT, NULL },
	{ 'm', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'n', OPERAND_NONE, MEANS_NOTHING, NULL },
	{ 'o', OPERAND_NEEDED, MEANS_OLD_OPTION, NULL },
	{ 'p', OPERAND_NEEDED, MEANS_NOTHING, NULL },
	{ 'q', OPERAND_ATTACHED, MEANS_FLUSH, NULL },
	{ 'r', OPERAND_NEEDED, MEANS_SENDER, NULL },
	{ 's', OPERAND_ATTACHED, MEANS_REFUSED,
	  "sendmail takes no subject: that is a field of the message, or mail(1)'s" },
	{ 't', OPERAND_NONE, MEANS_HEADER_RECIPIENTS, NULL },
	{ 'v', OPERAND_NONE, MEANS_VERBOSE, NULL },
	{ 'x', OPERAND_NONE, MEANS_NOTHING, NULL },
};

static const char agent_elsewhere[] = "the agent is sendoffd; its service or `sendoffd' starts it";
static const char not_verified[] = "addresses are not verified beforehand; see `sendoff explain'";
static const char hosts_elsewhere[] = "what is known of other hosts is shown by `sendoff status'";

/* -b: by the whole value. Without a refusal it is done. */
static const struct {
	const char *value;
	enum sendmail_options_mode mode;
	const char *refusal;
} modes[] = {
	{ "m", SENDMAIL_OPTIONS_DELIVER, NULL },
	{ "s", SENDMAIL_OPTIONS_SMTP, NULL },
	{ "p", SENDMAIL_OPTIONS_LIST, NULL },
	{ "i", SENDMAIL_OPTIONS_ALIASES, NULL },
	{ "V", SENDMAIL_OPTIONS_VERSION, NULL },
	{ "d", SENDMAIL_OPTIONS_DELIVER, agent_elsewhere },
	{ "D", SENDMAIL_OPTIONS_DELIVER, agent_elsewhere },
	{ "l", SENDMAIL_OPTIONS_DELIVER, agent_elsewhere },
	{ "v", SENDMAIL_OPTIONS_DELIVER, not_verified },
	{ "t", SENDMAIL_OPTIONS_DELIVER, "addresses are not rewritten by rules to be tested; see `sendoff explain'" },
	{ "h", SENDMAIL_OPTIONS_DELIVER, hosts_elsewhere },
	{ "H", SENDMAIL_OPTIONS_DELIVER, "what is known of other hosts is forgotten by `sendoff flush'" },
	{ "a", SENDMAIL_OPTIONS_DELIVER, "the mode of the ARPANET is gone; -bs speaks SMTP" },
	{ "S", SENDMAIL_OPTIONS_DELIVER, "SMTP is not taken without its replies; -bs speaks it" },
	{ "P", SENDMAIL_OPTIONS_DELIVER, "see `sendoff status' for the queue, sendoff.conf(5) for the configuration" },
	{ "pc", SENDMAIL_OPTIONS_DELIVER, "the number of messages is shown by `sendoff status'" },
};

/* -M of Exim and what does it here, by the letters behind -M. */
static const struct {
	const char *value, *verb;
} queue_verbs[] = {
	{ "", "flush" }, { "c", "flush" }, { "f", "hold" }, { "t", "release" }, { "rm", "remove" },  { "g", "remove" },
	{ "vb", "cat" }, { "vc", "cat" },  { "vh", "cat" }, { "vl", "show" },   { "ar", "explain" },
};

static bool __attribute__((format(printf, 2, 3))) refuse(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SENDMAIL_OPTIONS_ERROR_SIZE, format, args);
	va_end(args);
	for (char *p = error; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	return false;
}

static bool equals(const char *a, const char *b)
{
	return span_equals_fold(span_str(a), span_str(b));
}

static bool set_mode(struct sendmail_options *o, const char *value, char *error)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].value, value) != 0)
			continue;
		if (modes[i].refusal)
			return refuse(error, "-b%s: %s", value, modes[i].refusal);
		o->mode = modes[i].mode;
		return true;
	}
	return refuse(error, "-b%.20s: no such mode; there are -bm, -bs, -bp, -bi and -bV", value);
}

static bool refuse_queue_verb(const char *value, char *error)
{
	const char *verb = NULL;

	for (size_t i = 0; i < sizeof(queue_verbs) / sizeof(queue_verbs[0]); i++)
		if (strcmp(queue_verbs[i].value, value) == 0)
			verb = queue_verbs[i].verb;
	return refuse(error, "-M%.20s: not supported; `sendoff %s' is for that", value, verb ? verb : "help");
}

/* -o: -oi and -ov matter; -oem, -odb, -oQ/dir and all the others do nothing here. */
static bool set_old_option(struct sendmail_options *o, const char *value, char *error)
{
	/* Exim's take a value in the next argument, which would be a recipient here. */
	static const char *const with_value[] = { "B",   "M",  "P",  "X",  "Ma", "Maa", "Mai",
						  "Mas", "Mi", "Mm", "Mr", "Ms", "Mt" };

	for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
		if (strcmp(value, with_value[i]) == 0)
			return refuse(error, "-o%s: not supported; the agent tells by itself who is calling", value);
	o->dot_is_text = o->dot_is_text || strcmp(value, "i") == 0 || strcmp(value, "itrue") == 0;
	o->verbose = o->verbose || strcmp(value, "v") == 0;
	return true;
}

/* -O: the long names of the same. */
static bool set_long_option(struct sendmail_options *o, const char *value)
{
	struct span name = span_trim(span_first(span_str(value), span_find(span_str(value), '=')));
	struct span to = span_trim(span_from(span_str(value), span_find(span_str(value), '=') + 1));

	if (span_equals_fold(name, SPAN("IgnoreDots")) && !span_starts_fold(to, SPAN("f")))
		o->dot_is_text = true;
	return true;
}

static bool set_body(struct sendmail_options *o, const char *value, char *error)
{
	if (equals(value, "7BIT"))
		o->body = SENDMAIL_OPTIONS_7BIT;
	else if (equals(value, "8BITMIME"))
		o->body = SENDMAIL_OPTIONS_8BITMIME;
	else
		return refuse(error, "-B %.40s: must be 7BIT or 8BITMIME", value);
	return true;
}

/* RFC 3461, 4.1: NEVER alone, or a list of the others. */
static bool set_notify(struct sendmail_options *o, const char *value, char *error)
{
	struct span rest = span_str(value);

	if (!equals(value, "never")) {
		do {
			struct span word = span_first(rest, span_find(rest, ','));

			if (!span_equals_fold(word, SPAN("success")) && !span_equals_fold(word, SPAN("failure")) &&
			    !span_equals_fold(word, SPAN("delay")))
				return refuse(error, "-N %.40s: must be never, or a list of success, failure and delay",
					      value);
			rest = word.len < rest.len ? span_from(rest, word.len + 1) : span_of("", 0);
			if (rest.len == 0 && value[strlen(value) - 1] == ',')
				return refuse(error, "-N %.40s: ends with a comma", value);
		} while (rest.len);
	}
	o->notify = value;
	return true;
}

static bool set_envid(struct sendmail_options *o, const char *value, char *error)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return refuse(error, "-V: only printable ASCII may stand in an envelope id");
	/* RFC 3461, 4.4: 100 characters of xtext, where one may take three. */
	if (len == 0 || len > 100)
		return refuse(error, "-V: an envelope id has 1 to 100 characters");
	o->envid = value;
	return true;
}

static bool set_flush(struct sendmail_options *o, const char *value, char *error)
{
	static const struct {
		char letter;
		enum sendmail_options_flush by;
	} kinds[] = { { 'I', SENDMAIL_OPTIONS_ID }, { 'R', SENDMAIL_OPTIONS_TO }, { 'S', SENDMAIL_OPTIONS_FROM } };

	o->mode = SENDMAIL_OPTIONS_FLUSH;
	o->flush_by = SENDMAIL_OPTIONS_ALL;
	if (!value || !*value || strcmp(value, "f") == 0 || strcmp(value, "ff") == 0)
		return true;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].letter != value[0] || !value[1])
			continue;
		o->flush_by = kinds[i].by;
		o->flush_what = value + 1;
		return true;
	}
	if (value[0] >= '0' && value[0] <= '9')
		return refuse(error, "-q%.20s: the agent runs its queue by itself; -q alone is `sendoff flush'", value);
	return refuse(error, "-q%.20s: not supported; there are -q, -qI, -qR and -qS, and `sendoff flush'", value);
}

static bool set_ret(struct sendmail_options *o, const char *value, char *error)
{
	if (!equals(value, "full") && !equals(value, "hdrs"))
		return refuse(error, "-R %.40s: must be full or hdrs", value);
	o->ret = equals(value, "full") ? "FULL" : "HDRS";
	return true;
}

static bool set(struct sendmail_options *o, const struct row *row, const char *value, char *error)
{
	switch (row->meaning) {
	case MEANS_NOTHING: return true;
	case MEANS_REFUSED: return refuse(error, "-%c: %s", row->letter, row->refusal);
	case MEANS_BODY: return set_body(o, value, error);
	case MEANS_ENVID: return set_envid(o, value, error);
	case MEANS_FULL_NAME: o->full_name = value; return true;
	case MEANS_HEADER_RECIPIENTS: o->header_recipients = true; return true;
	case MEANS_ALIASES: o->mode = SENDMAIL_OPTIONS_ALIASES; return true;
	case MEANS_DOT_IS_TEXT: o->dot_is_text = true; return true;
	case MEANS_MODE: return set_mode(o, value, error);
	case MEANS_NOTIFY: return set_notify(o, value, error);
	case MEANS_QUEUE_VERB: return refuse_queue_verb(value ? value : "", error);
	case MEANS_OLD_OPTION: return set_old_option(o, value, error);
	case MEANS_LONG_OPTION: return set_long_option(o, value);
	case MEANS_FLUSH: return set_flush(o, value, error);
	case MEANS_RET: return set_ret(o, value, error);
	case MEANS_SENDER: o->sender = value; return true;
	case MEANS_VERBOSE: o->verbose = true; return true;
	}
	return true;
}

/* One argument of options ("-ti", "-froot"); *index is moved over an operand that stands in the next one. */
static bool take_cluster(struct sendmail_options *o, int argc, char **argv, int *index, char *error)
{
	for (const char *at = argv[*index] + 1; *at; at++) {
		const char *value = at[1] ? at + 1 : NULL;
		size_t row = 0, rows = sizeof(table) / sizeof(table[0]);

		while (row < rows && table[row].letter != *at)
			row++;
		if (row == rows)
			return refuse(error, "-%c: no such option (see --help)", *at >= ' ' && *at <= '~' ? *at : '?');
		if (table[row].operand == OPERAND_NONE) {
			if (!set(o, &table[row], NULL, error))
				return false;
			continue;
		}
		if (!value && table[row].operand == OPERAND_NEEDED) {
			if (*index + 1 >= argc)
				return refuse(error, "-%c: a value must follow", *at);
			value = argv[++*index];
		}
		return set(o, &table[row], value, error);
	}
	return true;
}

static enum sendmail_options_mode mode_by_name(const char *program)
{
	const char *slash = program ? strrchr(program, '/') : NULL;
	const char *name = slash ? slash + 1 : program ? program : "";

	if (strcmp(name, "mailq") == 0)
		return SENDMAIL_OPTIONS_LIST;
	return strcmp(name, "newaliases") == 0 ? SENDMAIL_OPTIONS_ALIASES : SENDMAIL_OPTIONS_DELIVER;
}

bool sendmail_options_parse(int argc, char **argv, struct sendmail_options *out,
			    char error[SENDMAIL_OPTIONS_ERROR_SIZE])
{
	struct sendmail_options o = { .mode = mode_by_name(argc > 0 ? argv[0] : NULL) };
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--help") == 0)
			o.mode = SENDMAIL_OPTIONS_HELP;
		else if (strcmp(argv[i], "--version") == 0)
			o.mode = SENDMAIL_OPTIONS_VERSION;
		else if (!take_cluster(&o, argc, argv, &i, error))
			return false;
	}
	if (i < argc) {
		o.recipients = argv + i;
		o.recipient_count = (size_t)(argc - i);
	}
	if (o.mode == SENDMAIL_OPTIONS_DELIVER && !o.header_recipients && o.recipient_count == 0)
		return refuse(error, "no recipients: name them as arguments, or use -t to take them from the message");
	*out = o;
	return true;
}

const char *sendmail_options_help(void)
{
	return "usage: sendmail [options] [--] [recipient ...] <message\n"
	       "       sendmail -t [options] <message     recipients from To, Cc and Bcc\n"
	       "       sendmail -bs                       speak SMTP on standard input and output\n"
	       "       mailq, sendmail -bp                list the queue (sendoff list)\n"
	       "  -f ADDRESS  envelope sender              -F NAME  full name for a missing From\n"
	       "  -i          a lone dot is text           -v       show the dialogue\n"
	       "  -N WHEN     never, or success,failure,delay reports\n"
	       "  -R WHAT     full or hdrs in reports      -V ID    envelope id\n"
	       "  -B TYPE     7BIT or 8BITMIME             -q       try to deliver what is queued\n"
	       "sendmail(8) lists the other options of sendmail: those that do nothing, and those that are refused.\n";
}
