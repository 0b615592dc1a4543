/*
 * mischief - a mail server (SMTP or LMTP) that goes by the RFCs but for what its seed makes it do wrong. Header only.
 *
 * Knows:   for whom it said yes in the place of the end of a message: nobody else may be called delivered.
 * At most one reply of a session is lost or one too many: of two such faults one can hide the other from anybody.
 * Its senders are called m0@, m1@ …, its recipients r0@, r1@ …; others it serves without keeping account.
 */
#ifndef MISCHIEF_H
#define MISCHIEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MISCHIEF_MAILS = 16, MISCHIEF_RCPTS = 16, MISCHIEF_NOBODY = 999 };
enum mischief_mode { MISCHIEF_COMMANDS, MISCHIEF_BODY, MISCHIEF_CHUNK, MISCHIEF_MUTE };

struct mischief_bytes {
	char *data;
	size_t len, size;
};

struct mischief {
	uint64_t state;
	unsigned malice; /* how many of a thousand replies go wrong */
	bool is_lmtp, is_calm;
	bool took[MISCHIEF_MAILS][MISCHIEF_RCPTS];
	unsigned faults[32]; /* how often each was made, for the curious */

	/* of a session */
	enum mischief_mode mode;
	struct mischief_bytes in, out;
	bool is_closed, has_miscounted, is_slow, is_tls, starts_tls, has_mail, is_last;
	unsigned mail, rcpts[64];
	size_t rcpt_count, chunk_left, said_yes;
	bool pipelining, chunking, eight_bit, offers_tls, dsn;
};

static inline unsigned mischief_roll(struct mischief *m, unsigned below)
{
	uint64_t z = m->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ (z >> 31)) % below);
}

static inline void mischief_put(struct mischief_bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->size) {
		b->size = (b->len + len) * 2;
		b->data = realloc(b->data, b->size);
		if (!b->data)
			abort();
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void mischief_drop(struct mischief_bytes *b, size_t len)
{
	b->len -= len;
	memmove(b->data, b->data + len, b->len);
}

static inline void mischief_text(struct mischief *m, const char *text)
{
	mischief_put(&m->out, text, strlen(text));
}

/* ---------------------------------------------------------------- replies */

static inline void mischief_reply(struct mischief *m, unsigned code, const char *text)
{
	char line[256];

	switch (m->is_calm ? 0 : mischief_roll(m, 12)) {
	case 0: snprintf(line, sizeof line, "%u-%s\r\n%u and more\r\n", code, text, code); break;
	case 1: snprintf(line, sizeof line, "%u\r\n", code); break;
	case 2: snprintf(line, sizeof line, "%u-\r\n%u-\r\n%u \r\n", code, code, code); break;
	case 3: snprintf(line, sizeof line, "%u \xff\xfe\x1b[31m\x01\r\n", code); break;
	default: snprintf(line, sizeof line, "%u %s\r\n", code, text); break;
	}
	mischief_text(m, line);
}

static inline unsigned mischief_code(struct mischief *m)
{
	static const unsigned codes[] = {
		250, 250, 250, 354, 220, 221, 334, 450, 451, 452, 503, 550, 552, 554, 530, 535
	};

	return codes[mischief_roll(m, sizeof codes / sizeof codes[0])];
}

static inline void mischief_repeat(struct mischief *m, const char *text, int times)
{
	while (times--)
		mischief_text(m, text);
}

/* The codes of the whole and readable replies in `codes`; their number. The rest of the session may be over. */
static inline size_t mischief_fault(struct mischief *m, unsigned code, const char *text, unsigned codes[3])
{
	unsigned kind = mischief_roll(m, 17);
	char line[256];
	size_t n = 0;

	if (kind < 3 && m->has_miscounted)
		kind = 3;
	m->faults[kind]++;
	switch (kind) {
	case 0: m->has_miscounted = true; return 0;
	case 1:
		m->has_miscounted = true;
		mischief_reply(m, codes[n++] = code, text);
		break;
	case 2:
		m->has_miscounted = true;
		mischief_reply(m, codes[n++] = mischief_code(m), "out of the blue");
		break;
	case 3: code = mischief_code(m); break;
	case 4: mischief_text(m, "what?\r\n"); return 0;
	case 5:
		snprintf(line, sizeof line, "%u-%s\r\n%u %s\r\n", code, text, code == 250 ? 550 : 250, text);
		mischief_text(m, line);
		return 0;
	case 6:
		mischief_reply(m, 421, "closing");
		m->is_closed = true;
		return 0;
	case 7: m->is_closed = true; return 0;
	case 8:
		mischief_text(m, "25");
		m->is_closed = true;
		return 0;
	case 9: m->mode = MISCHIEF_MUTE; return 0;
	case 10: mischief_text(m, "250 ok\n"); return 0;
	case 11: mischief_text(m, "250 ok\r"); return 0;
	case 12: mischief_repeat(m, "250 endless ", 300); return 0;
	case 13:
		snprintf(line, sizeof line, "%u-more\r\n", code);
		mischief_repeat(m, line, 200);
		return 0;
	case 14:
		snprintf(line, sizeof line, "%u-never done\r\n", code);
		mischief_text(m, line);
		m->mode = MISCHIEF_MUTE;
		return 0;
	case 15:
		mischief_put(&m->out, "250 \0\0\0\r\n", 9);
		codes[0] = 250;
		return 1;
	default: m->is_slow = true; break;
	}
	mischief_reply(m, codes[n++] = code, text);
	return n;
}

static inline size_t mischief_say(struct mischief *m, unsigned code, const char *text, unsigned codes[3])
{
	if (m->is_closed || m->mode == MISCHIEF_MUTE)
		return 0;
	if (!m->is_calm && mischief_roll(m, 1000) < m->malice)
		return mischief_fault(m, code, text, codes);
	mischief_reply(m, codes[0] = code, text);
	return 1;
}

static inline void mischief_answer(struct mischief *m, unsigned code, const char *text)
{
	unsigned codes[3];

	mischief_say(m, code, text, codes);
}

/* The replies to the end of a message: those of the first place count or, in LMTP, of each recipient's. */
static inline void mischief_end(struct mischief *m)
{
	size_t owed = m->is_lmtp ? m->rcpt_count : 1, place = 0;
	unsigned codes[3];

	for (size_t i = 0; i < owed; i++) {
		unsigned luck = m->is_calm ? 99 : mischief_roll(m, 100);
		size_t n = luck < 10   ? mischief_say(m, 451, "4.3.0 not now", codes)
			   : luck < 18 ? mischief_say(m, 554, "5.6.0 no such mail here", codes)
			   : luck < 20 ? mischief_say(m, 550, "5.7.0 daily limit exceeded", codes)
				       : mischief_say(m, 250, "2.0.0 taken", codes);

		for (size_t k = 0; k < n; k++, place++)
			for (size_t r = 0; r < m->rcpt_count && codes[k] / 100 == 2; r++)
				if ((m->is_lmtp ? place == r : place == 0) && m->mail < MISCHIEF_MAILS &&
				    m->rcpts[r] < MISCHIEF_RCPTS)
					m->took[m->mail][m->rcpts[r]] = true;
	}
	m->has_mail = false;
	m->rcpt_count = 0;
	if (m->mode != MISCHIEF_MUTE)
		m->mode = MISCHIEF_COMMANDS;
}

/* ---------------------------------------------------------------- commands */

static inline unsigned mischief_number(const char *line, char letter)
{
	const char *at = strchr(line, '<');
	char *end;
	unsigned long n;

	if (!at || at[1] != letter)
		return MISCHIEF_NOBODY;
	n = strtoul(at + 2, &end, 10);
	return *end == '@' && end > at + 2 ? (unsigned)n : MISCHIEF_NOBODY;
}

static inline void mischief_hello(struct mischief *m)
{
	unsigned codes[3];
	char text[256];

	if (!m->is_calm && mischief_roll(m, 1000) < m->malice) {
		mischief_fault(m, 250, "hello", codes);
		return;
	}
	snprintf(text, sizeof text, "250-mischief\r\n%s%s%s%s%s250 SIZE\r\n", m->pipelining ? "250-PIPELINING\r\n" : "",
		 m->chunking ? "250-CHUNKING\r\n250-BINARYMIME\r\n" : "", m->eight_bit ? "250-8BITMIME\r\n" : "",
		 m->dsn ? "250-DSN\r\n" : "", m->offers_tls && !m->is_tls ? "250-STARTTLS\r\n" : "");
	mischief_text(m, text);
}

static inline void mischief_mail(struct mischief *m, const char *line)
{
	unsigned luck = m->is_calm ? 99 : mischief_roll(m, 100);

	m->rcpt_count = 0;
	m->mail = mischief_number(line, 'm');
	m->has_mail = luck >= 8;
	if (luck < 3)
		mischief_answer(m, 450, "4.1.0 later");
	else if (luck < 6)
		mischief_answer(m, 550, "5.1.0 not you");
	else if (luck < 8)
		mischief_answer(m, 452, "4.3.1 too many messages from you");
	else
		mischief_answer(m, 250, "2.1.0 ok");
}

static inline void mischief_rcpt(struct mischief *m, const char *line)
{
	unsigned luck = m->is_calm ? 99 : mischief_roll(m, 100), codes[3] = { 0 };
	size_t n;

	if (!m->has_mail)
		n = mischief_say(m, 503, "5.5.1 MAIL first", codes);
	else if (luck < 8)
		n = mischief_say(m, 550, "5.1.1 no such user", codes);
	else if (luck < 16)
		n = mischief_say(m, 450, "4.2.0 greylisted", codes);
	else if (luck < 20)
		n = mischief_say(m, 452, "4.5.3 too many recipients", codes);
	else
		n = mischief_say(m, 250, "2.1.5 ok", codes);
	/* It keeps to its word, be it a slip of the tongue. */
	if (n && codes[n - 1] / 100 == 2 && m->rcpt_count < 64)
		m->rcpts[m->rcpt_count++] = mischief_number(line, 'r');
}

static inline void mischief_data(struct mischief *m)
{
	if (m->rcpt_count == 0 && (m->is_lmtp || m->is_calm || mischief_roll(m, 4)))
		mischief_answer(m, 503, "5.5.1 RCPT first");
	else if (!m->is_calm && mischief_roll(m, 100) < 5) {
		mischief_answer(m, 451, "4.3.0 no room");
	} else {
		m->mode = MISCHIEF_BODY;
		mischief_answer(m, 354, "go");
	}
}

static inline void mischief_bdat(struct mischief *m, const char *line)
{
	char *end;

	m->chunk_left = strtoul(line + 5, &end, 10);
	m->is_last = strstr(end, "LAST") != NULL;
	m->mode = MISCHIEF_CHUNK;
}

static inline void mischief_command(struct mischief *m, const char *line)
{
	if (!strncasecmp(line, "EHLO ", 5) || !strncasecmp(line, "HELO ", 5) || !strncasecmp(line, "LHLO ", 5))
		mischief_hello(m);
	else if (!strncasecmp(line, "MAIL ", 5))
		mischief_mail(m, line);
	else if (!strncasecmp(line, "RCPT ", 5))
		mischief_rcpt(m, line);
	else if (!strcasecmp(line, "DATA"))
		mischief_data(m);
	else if (!strncasecmp(line, "BDAT ", 5))
		mischief_bdat(m, line);
	else if (!strcasecmp(line, "STARTTLS")) {
		m->starts_tls = true;
		mischief_answer(m, 220, "go ahead");
	} else if (!strcasecmp(line, "QUIT")) {
		mischief_answer(m, 221, "bye");
		m->is_closed = true;
	} else {
		m->has_mail = false;
		m->rcpt_count = 0;
		mischief_answer(m, 250, "2.0.0 ok");
	}
}

/* ---------------------------------------------------------------- bytes */

/* The server may speak before the message is complete: while its end is on the way, nobody can tell that from an answer. */
static inline void mischief_interrupt(struct mischief *m)
{
	static const unsigned codes[] = { 250, 354, 421, 452, 552 };

	if (m->is_calm || m->has_miscounted || m->is_slow || memmem(m->in.data, m->in.len, ".\r\n", 3) ||
	    mischief_roll(m, 100000) >= m->malice)
		return;
	m->has_miscounted = true;
	m->faults[20]++;
	mischief_reply(m, codes[mischief_roll(m, 5)], "in between");
}

/* False: the rest has to come first. */
static inline bool mischief_take(struct mischief *m)
{
	char line[600];
	const char *end;
	size_t len;

	if (m->mode == MISCHIEF_CHUNK) {
		len = m->chunk_left < m->in.len ? m->chunk_left : m->in.len;
		mischief_drop(&m->in, len);
		m->chunk_left -= len;
		if (m->chunk_left) {
			mischief_interrupt(m);
			return false;
		}
		m->mode = MISCHIEF_COMMANDS;
		if (m->rcpt_count == 0)
			mischief_answer(m, 503, "5.5.1 RCPT first");
		else if (m->is_last)
			mischief_end(m);
		else
			mischief_answer(m, 250, "2.0.0 chunk");
		return true;
	}
	end = m->in.len ? memmem(m->in.data, m->in.len, "\r\n", 2) : NULL;
	if (!end)
		return false;
	len = (size_t)(end - m->in.data);
	snprintf(line, sizeof line, "%.*s", (int)(len < 500 ? len : 500), m->in.data);
	mischief_drop(&m->in, len + 2);
	if (m->mode == MISCHIEF_COMMANDS)
		mischief_command(m, line);
	else if (strcmp(line, ".") == 0 && len == 1)
		mischief_end(m);
	else
		mischief_interrupt(m);
	return true;
}

static inline void mischief_feed(struct mischief *m, const char *bytes, size_t len)
{
	mischief_put(&m->in, bytes, len);
	while (!m->is_closed && m->mode != MISCHIEF_MUTE && m->in.len > 0 && mischief_take(m))
		;
}

/* A new session: the greeting lies in `out`. */
static inline void mischief_connect(struct mischief *m)
{
	m->mode = MISCHIEF_COMMANDS;
	m->in.len = m->out.len = 0;
	m->is_closed = m->has_miscounted = m->is_slow = m->is_tls = m->starts_tls = m->has_mail = false;
	m->rcpt_count = 0;
	m->pipelining = mischief_roll(m, 4) > 0;
	m->chunking = mischief_roll(m, 2);
	m->eight_bit = mischief_roll(m, 3) > 0;
	m->dsn = mischief_roll(m, 2);
	m->offers_tls = mischief_roll(m, 3) == 0;
	mischief_answer(m, 220, "mischief");
}

static inline void mischief_free(struct mischief *m)
{
	free(m->in.data);
	free(m->out.data);
}

#endif
