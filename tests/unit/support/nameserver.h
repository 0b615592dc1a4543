/*
 * nameserver - a name server on loopback that answers from a table, for unit tests of those who look things up.
 *
 * Names at or below "secure.test" are signed: answers all of whose names are such carry the AD bit. A name with rows has
 * all that stands there and nothing else; one without rows does not exist. Aliases are followed within the table.
 * Header only; UDP only.
 */
#ifndef NAMESERVER_H
#define NAMESERVER_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/loop.h"

struct ns_row {
	const char *name, *type; /* "A", "AAAA", "MX", "SRV", "CNAME", "TLSA", "TXT" */
	const char *data;        /* as in a zone file; "SERVFAIL": no answer to that type; "SILENCE" */
};

struct ns {
	struct loop_io io;
	int fd;
	const struct ns_row *rows; /* the last one has no name */
	char address[ADDR_TEXT_SIZE];
	unsigned asked;
	char last[300]; /* name asked for */
	char all[4096]; /* "A mx1.plain.test\n", all of them */
};

static inline unsigned ns_number(const char *type)
{
	static const struct {
		const char *name;
		unsigned number;
	} types[] = { { "A", 1 },     { "CNAME", 5 }, { "MX", 15 },  { "TXT", 16 },
		      { "AAAA", 28 }, { "SRV", 33 },  { "TLSA", 52 } };

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcmp(types[i].name, type) == 0)
			return types[i].number;
	abort();
}

static inline size_t ns_put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return 2;
}

static inline size_t ns_put_name(unsigned char *p, const char *name)
{
	size_t n = 0;

	for (const char *at = name; *at && strcmp(at, ".") != 0;) {
		size_t len = strcspn(at, ".");

		p[n++] = (unsigned char)len;
		memcpy(p + n, at, len);
		n += len;
		at += len + (at[len] == '.');
	}
	p[n++] = 0;
	return n;
}

static inline size_t ns_put_data(unsigned char *p, unsigned type, const char *data)
{
	unsigned a, b, c;
	char name[256], hex[600];
	size_t n = 0;

	switch (type) {
	case 1: return inet_pton(AF_INET, data, p) == 1 ? 4 : 0;
	case 28: return inet_pton(AF_INET6, data, p) == 1 ? 16 : 0;
	case 5: return ns_put_name(p, data);
	case 15:
		if (sscanf(data, "%u %255s", &a, name) != 2)
			abort();
		return ns_put16(p, a) + ns_put_name(p + 2, name);
	case 33:
		if (sscanf(data, "%u %u %u %255s", &a, &b, &c, name) != 4)
			abort();
		ns_put16(p, a);
		ns_put16(p + 2, b);
		ns_put16(p + 4, c);
		return 6 + ns_put_name(p + 6, name);
	case 52:
		if (sscanf(data, "%u %u %u %599s", &a, &b, &c, hex) != 4)
			abort();
		p[n++] = (unsigned char)a;
		p[n++] = (unsigned char)b;
		p[n++] = (unsigned char)c;
		for (const char *h = hex; h[0] && h[1]; h += 2)
			sscanf(h, "%2hhx", &p[n++]);
		return n;
	default:
		p[0] = (unsigned char)strlen(data);
		memcpy(p + 1, data, p[0]);
		return p[0] + 1u;
	}
}

static inline size_t ns_put_record(unsigned char *p, const char *owner, unsigned type, const char *data)
{
	size_t n = ns_put_name(p, owner), len;

	n += ns_put16(p + n, type);
	n += ns_put16(p + n, 1);
	n += ns_put16(p + n, 0);
	n += ns_put16(p + n, 300);
	len = data ? ns_put_data(p + n + 2, type, data) : 22; /* an SOA of zeros */
	if (!data)
		memset(p + n + 2, 0, 22);
	ns_put16(p + n, (unsigned)len);
	return n + 2 + len;
}

static inline bool ns_is_signed(const char *name)
{
	size_t len = strlen(name), want = strlen("secure.test");

	return len >= want && strcasecmp(name + len - want, "secure.test") == 0 &&
	       (len == want || name[len - want - 1] == '.');
}

/* The first row of a name and a type; "": any type. */
static inline const struct ns_row *ns_find(const struct ns_row *row, const char *name, const char *type)
{
	for (; row->name; row++)
		if (strcasecmp(row->name, name) == 0 && (!type[0] || strcmp(row->type, type) == 0))
			return row;
	return NULL;
}

/* 0: silence. */
static inline size_t ns_reply(struct ns *s, const unsigned char *q, size_t len, unsigned char *out)
{
	static const char *const names[] = { "A", "CNAME", "MX", "TXT", "AAAA", "SRV", "TLSA" };
	char name[256] = "", owner[256];
	size_t end = 12, n, count = 0;
	const char *type = "";
	const struct ns_row *row;
	bool is_signed;

	while (end < len && q[end]) {
		size_t used = strlen(name);

		snprintf(name + used, sizeof name - used, "%s%.*s", used ? "." : "", q[end], (const char *)q + end + 1);
		end += q[end] + 1u;
	}
	end += 5;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (ns_number(names[i]) == (unsigned)(q[end - 4] << 8 | q[end - 3]))
			type = names[i];
	s->asked++;
	snprintf(s->last, sizeof s->last, "%s", name);
	snprintf(s->all + strlen(s->all), sizeof s->all - strlen(s->all), "%s %s\n", type, name);
	memcpy(out, q, end);
	out[2] = 0x81;
	out[3] = 0x80;
	memset(out + 6, 0, 6);
	n = end;
	snprintf(owner, sizeof owner, "%s", name);
	is_signed = ns_is_signed(owner);
	while (strcmp(type, "CNAME") != 0 && (row = ns_find(s->rows, owner, "CNAME")) && count < 8) {
		n += ns_put_record(out + n, owner, 5, row->data);
		count++;
		snprintf(owner, sizeof owner, "%s", row->data);
		is_signed &= ns_is_signed(owner);
	}
	if (!ns_find(s->rows, owner, ""))
		out[3] |= 3;
	row = ns_find(s->rows, owner, type);
	if (row && strcmp(row->data, "SILENCE") == 0)
		return 0;
	if (row && strcmp(row->data, "SERVFAIL") == 0) {
		out[3] |= 2;
		return end;
	}
	for (row = s->rows; row->name; row++)
		if (strcasecmp(row->name, owner) == 0 && strcmp(row->type, type) == 0) {
			n += ns_put_record(out + n, owner, ns_number(type), row->data);
			count++;
		}
	ns_put16(out + 6, (unsigned)count);
	if (!ns_find(s->rows, owner, type)) {
		n += ns_put_record(out + n, owner, 6, NULL);
		out[9] = 1;
	}
	if (is_signed)
		out[3] |= 0x20;
	return n;
}

static inline void ns_on_udp(struct loop_io *io, int events)
{
	struct ns *s = LIST_ENTRY(io, struct ns, io);
	unsigned char q[1500], out[8192];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof from;
	ssize_t len = recvfrom(s->fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
	size_t n = len > 16 ? ns_reply(s, q, (size_t)len, out) : 0;

	(void)events;
	if (n)
		sendto(s->fd, out, n, 0, (struct sockaddr *)&from, from_len);
}

static inline void ns_start(struct ns *s, struct loop *loop, const struct ns_row *rows)
{
	struct sockaddr_storage addr;
	socklen_t len;

	*s = (struct ns){ .rows = rows };
	addr_literal("127.0.0.1", &addr, &len);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&addr, len) != 0 ||
	    getsockname(s->fd, (struct sockaddr *)&addr, &len) != 0)
		abort();
	addr_text(&addr, s->address);
	loop_io_init(&s->io, loop, s->fd, ns_on_udp);
	loop_io_set(&s->io, LOOP_READ);
}

static inline void ns_stop(struct ns *s)
{
	loop_io_stop(&s->io);
	close(s->fd);
}

#endif
