#include "tools/sendmail_letter.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tools/sendmail_drop.h"
#include "tools/sendmail_header.h"
#include "tools/sendmail_smtp.h"
#include "tools/sendmail_spool.h"

enum { ADDED_MAX = 8192 };

struct letter {
	const struct sendmail_options *options;
	const struct sendmail_places *places;
	struct sendmail_spool spool;
	struct sendmail_header header;
	struct sendmail_header_list recipients;
	size_t done; /* so many of them have it */
	struct sendmail_smtp smtp;
	struct sendmail_drop drop;
	struct buf added; /* fields in front of the header */
	char *sender, *full_name;
	char error[SENDMAIL_HEADER_ERROR_SIZE];
};

/* ---------------------------------------------------------------- from whom, to whom */

/* The name in a passwd entry's gecos field: up to the first comma, '&' being the login name. */
static char *gecos_name(const struct passwd *user)
{
	struct buf name;
	char *text;

	buf_init(&name, 512);
	for (const char *p = user->pw_gecos ? user->pw_gecos : ""; *p && *p != ','; p++) {
		if (*p == '&' && user->pw_name[0])
			buf_printf(&name, "%c%s", user->pw_name[0] & ~0x20, user->pw_name + 1);
		else
			buf_append_char(&name, *p);
	}
	text = mem_strdup(buf_cstr(&name));
	buf_fini(&name);
	return text;
}

/* Who sends: -f, else the user who runs us. */
static int find_sender(struct letter *l)
{
	const struct sendmail_options *o = l->options;
	struct sendmail_header_list list = { 0 };
	const struct passwd *user;
	int status = EX_OK;

	if (o->full_name)
		l->full_name = mem_strdup(o->full_name);
	if (!o->sender) {
		user = getpwuid(getuid());
		l->sender = user ? mem_strdup(user->pw_name) : mem_printf("uid-%lu", (unsigned long)getuid());
		if (user && !l->full_name)
			l->full_name = gecos_name(user);
		return EX_OK;
	}
	if (*o->sender == '\0' || strcmp(o->sender, "<>") == 0) {
		l->sender = mem_strdup("");
		return EX_OK;
	}
	if (!sendmail_header_list_add(&list, span_str(o->sender), l->error) || list.count != 1) {
		if (!l->error[0])
			snprintf(l->error, sizeof(l->error), "-f: there must be one address");
		status = EX_USAGE;
	} else {
		l->sender = mem_strdup(list.items[0]);
	}
	sendmail_header_list_fini(&list);
	return status;
}

static int find_recipients(struct letter *l)
{
	const struct sendmail_options *o = l->options;

	for (size_t i = 0; i < o->recipient_count; i++)
		if (!sendmail_header_list_add(&l->recipients, span_str(o->recipients[i]), l->error))
			return EX_USAGE;
	if (!sendmail_header_read(&l->header, buf_span(&l->spool.memory), l->spool.file < 0,
				  o->header_recipients ? &l->recipients : NULL, l->error))
		return EX_DATAERR;
	if (l->recipients.count == 0) {
		snprintf(l->error, sizeof(l->error),
			 o->header_recipients ? "no recipients in To, Cc or Bcc of the message" : "no recipients");
		return EX_USAGE;
	}
	sendmail_header_list_unify(&l->recipients);
	return EX_OK;
}

/* A missing From is written once; `host` completes a bare sender, NULL leaves that to the agent. */
static int add_from(struct letter *l, const char *host)
{
	const char *address = *l->sender ? l->sender : "MAILER-DAEMON";

	if (l->header.has_from || l->added.len > 0)
		return EX_OK;
	if (sendmail_header_from(&l->added, address, host, *l->sender ? l->full_name : NULL))
		return EX_OK;
	snprintf(l->error, sizeof(l->error), "the sender's name is too long");
	return EX_USAGE;
}

/* ---------------------------------------------------------------- handing it over */

static struct sendmail_envelope envelope(const struct letter *l)
{
	const struct sendmail_options *o = l->options;

	return (struct sendmail_envelope){
		.sender = l->sender,
		.recipients = l->recipients.items + l->done,
		.recipient_count = l->recipients.count - l->done,
		.size_bytes = l->spool.input.bytes - l->header.body + l->header.kept.len + l->added.len,
		.is_8bit = o->body == SENDMAIL_OPTIONS_8BITMIME || l->spool.input.has_8bit,
		.notify = o->notify,
		.ret = o->ret,
		.envid = o->envid,
	};
}

static int give(struct letter *l, int (*take)(void *arg, struct span piece), void *arg)
{
	int status = take(arg, buf_span(&l->added));

	if (status == EX_OK)
		status = take(arg, buf_span(&l->header.kept));
	return status == EX_OK ? sendmail_spool_replay(&l->spool, l->header.body, take, arg) : status;
}

static int take_by_agent(void *arg, struct span piece)
{
	return sendmail_smtp_data(arg, piece);
}

static int take_by_drop(void *arg, struct span piece)
{
	return sendmail_drop_data(arg, piece);
}

/* As many of the recipients as the agent takes at once. */
static int hand_over_once(struct letter *l)
{
	struct sendmail_envelope e = envelope(l);
	size_t taken = 0;
	int status = sendmail_smtp_begin(&l->smtp, &e, &taken);

	if (status == EX_OK)
		status = give(l, take_by_agent, &l->smtp);
	if (status == EX_OK)
		status = sendmail_smtp_finish(&l->smtp);
	if (status == EX_OK)
		l->done += taken;
	return status;
}

static int hand_over(struct letter *l)
{
	int status = sendmail_smtp_open(&l->smtp, (const char *const *)l->places->sockets);

	if (status == EX_OK)
		status = sendmail_smtp_hello(&l->smtp);
	if (status == EX_OK)
		status = add_from(l, l->smtp.host);
	while (status == EX_OK && l->done < l->recipients.count)
		status = hand_over_once(l);
	if (status == EX_OK)
		sendmail_smtp_quit(&l->smtp);
	return status;
}

/* ---------------------------------------------------------------- keeping it */

/* The agent takes it in later, but it was written now (RFC 5322, 3.6.1). */
static int add_fields_to_keep(struct letter *l)
{
	char date[CLOCK_DATE_SIZE];
	int status = add_from(l, NULL);

	if (status == EX_OK && !l->header.has_date)
		buf_printf(&l->added, "Date: %s\r\n", clock_date(clock_wall_ms(), date));
	return status;
}

static int keep(struct letter *l)
{
	struct sendmail_envelope e;
	int status = add_fields_to_keep(l);

	if (status != EX_OK)
		return status;
	e = envelope(l);
	status = sendmail_drop_begin(&l->drop, l->places->drop, &e);
	if (status == EX_OK)
		status = give(l, take_by_drop, &l->drop);
	if (status == EX_OK)
		status = sendmail_drop_finish(&l->drop);
	if (status == EX_OK && l->options->verbose)
		fprintf(stderr, "kept in %s until the mail agent runs\n", l->places->drop);
	return status;
}

static int deliver(struct letter *l)
{
	int status = find_sender(l);

	if (status == EX_OK)
		status = sendmail_spool_fill(&l->spool, STDIN_FILENO);
	if (status == EX_OK)
		status = find_recipients(l);
	if (status == EX_OK)
		status = hand_over(l);
	if (status == EX_OK || !l->places->drop)
		return status;
	/* Its word on the first part was yes: a caller who tried again would send that part twice. */
	if (l->smtp.is_gone || (l->done > 0 && status == EX_TEMPFAIL && !l->smtp.is_in_doubt))
		status = keep(l);
	return status;
}

/* ---------------------------------------------------------------- */

static void explain(const struct letter *l, char error[SENDMAIL_LETTER_ERROR_SIZE])
{
	const char *told = l->error[0] ? l->error : l->spool.error[0] ? l->spool.error : l->smtp.error;
	size_t n = (size_t)snprintf(error, SENDMAIL_LETTER_ERROR_SIZE, "%s", told);

	if (told == l->smtp.error && l->drop.error[0] && n < SENDMAIL_LETTER_ERROR_SIZE)
		n += (size_t)snprintf(error + n, SENDMAIL_LETTER_ERROR_SIZE - n, "; %s", l->drop.error);
	if (n >= SENDMAIL_LETTER_ERROR_SIZE)
		return;
	if (l->done > 0)
		snprintf(
			error + n, SENDMAIL_LETTER_ERROR_SIZE - n,
			" - the first %zu of %zu recipients (in order of their addresses) have it, from %.200s on nobody",
			l->done, l->recipients.count, l->recipients.items[l->done]);
	else if (l->smtp.is_gone)
		snprintf(error + n, SENDMAIL_LETTER_ERROR_SIZE - n, " - nothing was queued");
}

static void fini(struct letter *l)
{
	sendmail_smtp_fini(&l->smtp);
	sendmail_drop_fini(&l->drop);
	sendmail_spool_fini(&l->spool);
	sendmail_header_fini(&l->header);
	sendmail_header_list_fini(&l->recipients);
	buf_fini(&l->added);
	mem_free(l->sender);
	mem_free(l->full_name);
}

int sendmail_letter_send(const struct sendmail_options *options, const struct sendmail_places *places,
			 char error[SENDMAIL_LETTER_ERROR_SIZE])
{
	struct letter l = { .options = options, .places = places };
	int status;

	sendmail_spool_init(&l.spool, options->dot_is_text);
	sendmail_smtp_init(&l.smtp);
	sendmail_drop_init(&l.drop);
	l.smtp.verbose = options->verbose;
	buf_init(&l.added, ADDED_MAX);
	buf_init(&l.header.kept, 0);
	status = deliver(&l);
	if (status != EX_OK)
		explain(&l, error);
	fini(&l);
	return status;
}
