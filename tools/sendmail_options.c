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
	MEANS_REFUSED,
	MEANS_BODY,
	MEANS_ENVID,
	MEANS_FULL_NAME,
	MEANS_HEADER_RECIPIENTS,
	MEANS_ALIASES,
	MEANS_DOT_IS_TEXT,
	MEANS_MODE,
	MEANS_NOTIFY,
	MEANS_OLD_OPTION, /* -o with the letter of an option of the seventies */
	MEANS_FLUSH,
	MEANS_RET,
	MEANS_SENDER,
	MEANS_VERBOSE,
};

static const struct {
	char letter;
	enum operand operand;
	enum meaning meaning;
} table[] = {
	{ 'A', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'B', OPERAND_NEEDED, MEANS_BODY },
	{ 'C', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'D', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'E', OPERAND_NONE, MEANS_NOTHING },
	{ 'F', OPERAND_NEEDED, MEANS_FULL_NAME },
	{ 'G', OPERAND_NONE, MEANS_NOTHING },
	{ 'I', OPERAND_NONE, MEANS_ALIASES },
	{ 'L', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'M', OPERAND_ATTACHED, MEANS_REFUSED },
	{ 'N', OPERAND_NEEDED, MEANS_NOTIFY },
	{ 'O', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'R', OPERAND_NEEDED, MEANS_RET },
	{ 'U', OPERAND_NONE, MEANS_NOTHING },
	{ 'V', OPERAND_NEEDED, MEANS_ENVID },
	{ 'X', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'b', OPERAND_NEEDED, MEANS_MODE },
	{ 'c', OPERAND_NONE, MEANS_NOTHING },
	{ 'd', OPERAND_ATTACHED, MEANS_NOTHING },
	{ 'e', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'f', OPERAND_NEEDED, MEANS_SENDER },
	{ 'h', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'i', OPERAND_NONE, MEANS_DOT_IS_TEXT },
	{ 'm', OPERAND_NONE, MEANS_NOTHING },
	{ 'n', OPERAND_NONE, MEANS_NOTHING },
	{ 'o', OPERAND_NEEDED, MEANS_OLD_OPTION },
	{ 'p', OPERAND_NEEDED, MEANS_NOTHING },
	{ 'q', OPERAND_ATTACHED, MEANS_FLUSH },
	{ 'r', OPERAND_NEEDED, MEANS_SENDER },
	{ 's', OPERAND_NONE, MEANS_NOTHING },
	{ 't', OPERAND_NONE, MEANS_HEADER_RECIPIENTS },
	{ 'v', OPERAND_NONE, MEANS_VERBOSE },
	{ 'x', OPERAND_NONE, MEANS_NOTHING },
};

static bool __attribute__((format(printf, 2, 3))) refuse(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SENDMAIL_OPTIONS_ERROR_SIZE, format, args);
	va_end(args);
	return false;
}

static bool equals(const char *a, const char *b)
{
	return span_equals_fold(span_str(a), span_str(b));
}

static bool set_mode(struct sendmail_options *o, const char *value, char *error)
{
	if (strcmp(value, "m") == 0)
		o->mode = SENDMAIL_OPTIONS_DELIVER;
	else if (strcmp(value, "s") == 0)
		o->mode = SENDMAIL_OPTIONS_SMTP;
	else if (strcmp(value, "p") == 0)
		o->mode = SENDMAIL_OPTIONS_LIST;
	else if (strcmp(value, "i") == 0)
		o->mode = SENDMAIL_OPTIONS_ALIASES;
	else if (strcmp(value, "d") == 0 || strcmp(value, "D") == 0 || strcmp(value, "l") == 0)
		return refuse(error, "-b%s: the agent is sendoffd; its service or `sendoffd' starts it", value);
	else if (strcmp(value, "v") == 0)
		return refuse(error, "-bv: addresses are not verified beforehand; see `sendoff explain'");
	else
		return refuse(error, "-b%.20s: no such mode; there are -bm, -bs, -bp and -bi", value);
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
	if (value && *value)
		return refuse(error, "-q%.20s: the agent runs its queue by itself; -q alone is `sendoff flush'", value);
	o->mode = SENDMAIL_OPTIONS_FLUSH;
	return true;
}

static bool set(struct sendmail_options *o, enum meaning meaning, char letter, const char *value, char *error)
{
	switch (meaning) {
	case MEANS_NOTHING: return true;
	case MEANS_REFUSED:
		return refuse(error, "-%c: not supported; see `sendoff' for what can be done to the queue", letter);
	case MEANS_BODY: return set_body(o, value, error);
	case MEANS_ENVID: return set_envid(o, value, error);
	case MEANS_FULL_NAME: o->full_name = value; return true;
	case MEANS_HEADER_RECIPIENTS: o->header_recipients = true; return true;
	case MEANS_ALIASES: o->mode = SENDMAIL_OPTIONS_ALIASES; return true;
	case MEANS_DOT_IS_TEXT: o->dot_is_text = true; return true;
	case MEANS_MODE: return set_mode(o, value, error);
	case MEANS_NOTIFY: return set_notify(o, value, error);
	case MEANS_OLD_OPTION:
		/* -oi is the one that matters; -oem, -odb, -oQ/dir and all the others do nothing here. */
		o->dot_is_text = o->dot_is_text || strcmp(value, "i") == 0;
		return true;
	case MEANS_FLUSH: return set_flush(o, value, error);
	case MEANS_RET:
		if (!equals(value, "full") && !equals(value, "hdrs"))
			return refuse(error, "-R %.40s: must be full or hdrs", value);
		o->ret = equals(value, "full") ? "FULL" : "HDRS";
		return true;
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
			if (!set(o, table[row].meaning, *at, NULL, error))
				return false;
			continue;
		}
		if (!value && table[row].operand == OPERAND_NEEDED) {
			if (*index + 1 >= argc)
				return refuse(error, "-%c: a value must follow", *at);
			value = argv[++*index];
		}
		return set(o, table[row].meaning, *at, value, error);
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
	       "  -B TYPE     7BIT or 8BITMIME\n"
	       "Other options of sendmail are taken and do nothing; sendmail(8) lists them.\n";
}
