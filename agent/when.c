#include "when.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum kind { INTERFACE, GATEWAY, ONLINE, KINDS };

static const char *const words[KINDS] = { "interface", "gateway", "online" };

struct condition {
	enum kind kind; /* KINDS: none of them */
	struct span word, rest;
	char name[NETFACTS_NAME_SIZE * 2]; /* glob */
	struct cidr network;
};

static const char *read_rest(struct condition *c)
{
	switch (c->kind) {
	case INTERFACE:
		if (!c->rest.len)
			return "names no interface";
		/* No name that the kernel gives has a blank or a slash, or is longer; a glob may have a few more bytes. */
		if (c->rest.len >= sizeof c->name || span_find(c->rest, ' ') < c->rest.len ||
		    span_find(c->rest, '/') < c->rest.len)
			return "names no interface that could be there";
		memcpy(c->name, c->rest.data, c->rest.len);
		c->name[c->rest.len] = '\0';
		return NULL;
	case GATEWAY: return cidr_parse(c->rest, &c->network) ? NULL : "names no address or network";
	case ONLINE: return c->rest.len ? "says too much" : NULL;
	case KINDS: break;
	}
	return "is no condition";
}

/* NULL, or what is wrong. */
static const char *read(const char *text, struct condition *out)
{
	struct span s = span_trim(span_str(text));

	*out = (struct condition){ .kind = KINDS };
	out->word = span_first(s, span_find(s, ' '));
	out->rest = span_trim(span_from(s, out->word.len));
	for (enum kind kind = 0; kind < KINDS; kind++)
		if (span_equals(out->word, span_str(words[kind])))
			out->kind = kind;
	return read_rest(out);
}

const char *when_mistake(const char *text)
{
	struct condition c;

	return read(text, &c);
}

/* A word that is nearly one of ours. */
static const char *nearest(struct span word)
{
	char text[32];
	const char *best = NULL;
	size_t least = 3;

	if (word.len >= sizeof text)
		return NULL;
	for (size_t i = 0; i <= word.len; i++)
		text[i] = i < word.len ? span_lower(word.data[i]) : '\0';
	for (size_t i = 0; i < KINDS; i++)
		if (text_distance(text, words[i]) < least) {
			least = text_distance(text, words[i]);
			best = words[i];
		}
	return best;
}

bool when_meant(const char *text, char out[WHEN_MEANT_SIZE])
{
	struct condition c, again;
	struct cidr network;
	const char *word;

	read(text, &c);
	if (c.kind == ONLINE)
		snprintf(out, WHEN_MEANT_SIZE, "online");
	else if (c.kind != KINDS)
		return false;
	else if (!c.rest.len && cidr_parse(c.word, &network))
		snprintf(out, WHEN_MEANT_SIZE, "gateway %.*s", SPAN_ARGS(c.word));
	else if ((word = nearest(c.word)))
		snprintf(out, WHEN_MEANT_SIZE, "%s%s%.*s", word, c.rest.len ? " " : "", SPAN_ARGS(c.rest));
	else if (!c.rest.len)
		snprintf(out, WHEN_MEANT_SIZE, "interface %.*s", SPAN_ARGS(c.word));
	else
		return false;
	return strlen(out) < WHEN_MEANT_SIZE - 1 && !read(out, &again);
}

static bool holds(const char *text, const struct netfacts *facts)
{
	struct condition c;

	if (read(text, &c) || !facts->is_known)
		return false;
	switch (c.kind) {
	case INTERFACE: return netfacts_has_interface(facts, c.name);
	case GATEWAY: return netfacts_has_gateway(facts, &c.network);
	case ONLINE: return netfacts_is_online(facts);
	case KINDS: break;
	}
	return false;
}

bool when_holds(const struct config_strings *conditions, const struct netfacts *facts)
{
	for (size_t i = 0; i < conditions->count; i++)
		if (holds(conditions->list[i], facts))
			return true;
	return false;
}
