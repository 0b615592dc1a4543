/*
 * sendmail_options - the command line of sendmail(1), read into a structure. The table in sendmail.8 and the one in
 *                    the .c are the same; a test compares them.
 *
 * Owns:    the list of recipients' place in argv; every string is argv's.
 * Never:   opens, reads or changes anything. There is no option that names a file to write or a configuration to use:
 *          programs that pass form input on as options must not hurt anybody. Nothing behind "--" or behind the first
 *          address is an option.
 * Threads: any.
 */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum sendmail_options_mode {
	SENDMAIL_OPTIONS_DELIVER, /* a message on standard input */
	SENDMAIL_OPTIONS_SMTP,    /* -bs */
	SENDMAIL_OPTIONS_LIST,    /* -bp, mailq */
	SENDMAIL_OPTIONS_FLUSH,   /* -q */
	SENDMAIL_OPTIONS_ALIASES, /* -bi, -I, newaliases */
	SENDMAIL_OPTIONS_HELP,
	SENDMAIL_OPTIONS_VERSION,
};

enum sendmail_options_flush { /* -q */
			      SENDMAIL_OPTIONS_ALL,
			      SENDMAIL_OPTIONS_ID,   /* -qI */
			      SENDMAIL_OPTIONS_TO,   /* -qR: part of a recipient's address */
			      SENDMAIL_OPTIONS_FROM, /* -qS: part of the sender's */
};

enum sendmail_options_body { SENDMAIL_OPTIONS_BODY_UNSAID, SENDMAIL_OPTIONS_7BIT, SENDMAIL_OPTIONS_8BITMIME };

struct sendmail_options {
	enum sendmail_options_mode mode;
	bool header_recipients; /* -t */
	bool dot_is_text;       /* -i: a line that is only a dot does not end the message */
	bool verbose;           /* -v */
	const char *sender;     /* -f, -r; NULL: not said; "" the null sender */
	const char *full_name;  /* -F; NULL: not said */
	enum sendmail_options_flush flush_by;
	const char *flush_what;
	enum sendmail_options_body body;
	const char *notify; /* -N, checked: a value for NOTIFY=, in any case; or NULL */
	const char *ret;    /* -R, checked: "FULL", "HDRS", or NULL */
	const char *envid;  /* -V, printable ASCII, not yet xtext; or NULL */
	char **recipients;  /* the arguments behind the options */
	size_t recipient_count;
};

enum { SENDMAIL_OPTIONS_ERROR_SIZE = 200 };

/* argv as main() got it; argv[0] may be a path that ends in mailq or newaliases. False: `error` has a line for people,
 * and the exit status is EX_USAGE. */
bool sendmail_options_parse(int argc, char **argv, struct sendmail_options *out,
			    char error[SENDMAIL_OPTIONS_ERROR_SIZE]);
/* What --help prints. */
const char *sendmail_options_help(void);

#endif
