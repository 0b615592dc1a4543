#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"

/* The place of `value` among blank-separated words, or -1; "-" stands for a word nobody may write. */
static int word_place(const char *words, const char *value)
{
	int place = 0;

	for (size_t len; *words; words += len + (words[len] == ' '), place++) {
		len = strcspn(words, " ");
		if (strlen(value) == len && memcmp(words, value, len) == 0 && *value != '-')
			return place;
	}
	return -1;
}

static bool is_clean(const char *value)
{
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	return text_is_utf8(span_str(value));
}

static bool is_in_bounds(const struct config_key *key, int64_t value)
{
	return (key->min == 0 && key->max == 0) || (value >= key->min && value <= key->max);
}

/* Bounds in the words of the kind. */
static void say_bounds(struct config_load *load, const struct config_key *key, const struct config_at *at,
		       const char *value)
{
	char low[TEXT_DURATION_SIZE], high[TEXT_DURATION_SIZE];

	if (key->kind == CONFIG_KIND_DURATION) {
		text_duration_print(key->min, low);
		text_duration_print(key->max, high);
	} else if (key->kind == CONFIG_KIND_SIZE) {
		text_size_print((uint64_t)key->min, low);
		text_size_print((uint64_t)key->max, high);
	} else {
		snprintf(low, sizeof(low), "%lld", (long long)key->min);
		snprintf(high, sizeof(high), "%lld", (long long)key->max);
	}
	if (key->max == INT64_MAX)
		config_error(load, at, "%s = %s is too little - at least %s", key->name, value, low);
	else
		config_error(load, at, "%s = %s is out of bounds - from %s to %s", key->name, value, low, high);
}

enum verdict { VALUE_OK, VALUE_BAD, VALUE_OUT_OF_BOUNDS };

typedef enum verdict setter(struct config_load *load, const struct config_key *key, void *field, const char *value);

static enum verdict set_text(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	(void)key;
	if (!*value)
		return VALUE_BAD;
	*(const char **)field = config_keep(load, span_str(value));
	return VALUE_OK;
}

static enum verdict set_path(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	return *value == '/' ? set_text(load, key, field, value) : VALUE_BAD;
}

static enum verdict set_duration(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	int64_t ms;

	(void)load;
	if (!text_duration(span_str(value), &ms))
		return VALUE_BAD;
	if (!is_in_bounds(key, ms))
		return VALUE_OUT_OF_BOUNDS;
	*(int64_t *)field = ms;
	return VALUE_OK;
}

static enum verdict set_size(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	uint64_t bytes;

	(void)load;
	if (!text_size(span_str(value), &bytes))
		return VALUE_BAD;
	if (!is_in_bounds(key, (int64_t)bytes))
		return VALUE_OUT_OF_BOUNDS;
	*(uint64_t *)field = bytes;
	return VALUE_OK;
}

static enum verdict set_rate(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	struct config_rate rate;

	(void)load;
	(void)key;
	if (!text_rate(span_str(value), &rate.count, &rate.per_ms))
		return VALUE_BAD;
	*(struct config_rate *)field = rate;
	return VALUE_OK;
}

static enum verdict set_count(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	uint64_t number;

	(void)load;
	if (!text_number(span_str(value), UINT32_MAX, &number))
		return VALUE_BAD;
	if (!is_in_bounds(key, (int64_t)number))
		return VALUE_OUT_OF_BOUNDS;
	*(uint32_t *)field = (uint32_t)number;
	return VALUE_OK;
}

static enum verdict set_port(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	uint64_t number;

	(void)load;
	(void)key;
	if (!text_number(span_str(value), UINT16_MAX, &number) || number == 0)
		return VALUE_BAD;
	*(uint16_t *)field = (uint16_t)number;
	return VALUE_OK;
}

/* "2", "1.5": digits and at most one dot, whatever the locale. */
static enum verdict set_factor(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	struct span s = span_str(value), whole = span_first(s, span_find(s, '.')), rest = span_from(s, whole.len + 1);
	uint64_t number, part = 0;
	double scale = 1;

	(void)load;
	(void)key;
	if (!text_number(whole, 10, &number) || rest.len > 6 ||
	    (whole.len < s.len && !text_number(rest, 999999, &part)))
		return VALUE_BAD;
	for (size_t i = 0; i < rest.len; i++)
		scale *= 10;
	if (number < 1 || (number == 10 && part > 0))
		return VALUE_BAD;
	*(double *)field = (double)number + (double)part / scale;
	return VALUE_OK;
}

static enum verdict set_mode(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	(void)load;
	(void)key;
	if (strlen(value) < 3 || strlen(value) > 4 || strspn(value, "01234567") != strlen(value) ||
	    (strlen(value) == 4 && *value != '0'))
		return VALUE_BAD;
	*(mode_t *)field = (mode_t)strtoul(value, NULL, 8);
	return VALUE_OK;
}

static enum verdict set_bool(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	int place = word_place("yes no true false on off", value);

	(void)load;
	(void)key;
	if (place < 0)
		return VALUE_BAD;
	*(bool *)field = place % 2 == 0;
	return VALUE_OK;
}

static enum verdict set_word(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	return word_place(key->words, value) < 0 ? VALUE_BAD : set_text(load, key, field, value);
}

static enum verdict set_choice(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	int place = word_place(key->words, value);

	(void)load;
	if (place < 0)
		return VALUE_BAD;
	memcpy(field, &place, sizeof(place));
	return VALUE_OK;
}
_Static_assert(sizeof(enum config_tls) == sizeof(int) && sizeof(enum config_bare) == sizeof(int) &&
		       sizeof(enum config_login) == sizeof(int) && sizeof(enum config_privacy) == sizeof(int) &&
		       sizeof(enum config_original) == sizeof(int) && sizeof(enum config_protocol) == sizeof(int),
	       "enums are ints");

static const struct {
	setter *set;
	const char *wanted; /* NULL: the key's words */
} kinds[] = {
	[CONFIG_KIND_TEXT] = { set_text, "text, not empty and without control characters" },
	[CONFIG_KIND_PATH] = { set_path, "an absolute path, as in \"/etc/sendoff/secret\"" },
	[CONFIG_KIND_LIST] = { NULL, NULL },
	[CONFIG_KIND_DURATION] = { set_duration, "a duration, as in 90s, 5m, 4h or 5d" },
	[CONFIG_KIND_SIZE] = { set_size, "a size, as in 512k, 50M or 4G" },
	[CONFIG_KIND_RATE] = { set_rate, "a rate, as in \"30/min\" or \"500/day\", or \"0\" for no limit" },
	[CONFIG_KIND_COUNT] = { set_count, "a whole number" },
	[CONFIG_KIND_PORT] = { set_port, "a port from 1 to 65535" },
	[CONFIG_KIND_FACTOR] = { set_factor, "a number from 1 to 10, as in 2 or 1.5" },
	[CONFIG_KIND_MODE] = { set_mode, "a file mode in octal, as in 0660" },
	[CONFIG_KIND_BOOL] = { set_bool, "yes or no" },
	[CONFIG_KIND_WORD] = { set_word, NULL },
	[CONFIG_KIND_CHOICE] = { set_choice, NULL },
	[CONFIG_KIND_AUTH] = { NULL, NULL },
	[CONFIG_KIND_PROXY] = { NULL, NULL },
	[CONFIG_KIND_REFUSED] = { NULL, NULL },
	[CONFIG_KIND_SECTION] = { NULL, NULL },
};

static void say_words(struct config_load *load, const struct config_key *key, const struct config_at *at,
		      const char *value)
{
	const char *names[16], *nearest;
	char *copy = mem_strdup(key->words), *rest = copy, *word;
	size_t count = 0;

	while ((word = strsep(&rest, " ")) && count < 16)
		if (*word != '-')
			names[count++] = word;
	nearest = config_nearest(value, names, count);
	if (nearest) {
		config_error(load, at, "%s = \"%s\" is not known - did you mean %s?", key->name, value, nearest);
	} else {
		char list[256] = "";

		for (size_t i = 0; i < count; i++)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
				 i == 0           ? ""
				 : i + 1 == count ? " or "
						  : ", ",
				 names[i]);
		config_error(load, at, "%s = \"%s\" is not known - it is %s", key->name, value, list);
	}
	mem_free(copy);
}

static void set_list(struct config_load *load, struct config_strings *out, const struct config_key *key,
		     const struct config_at *at, const char *const *values, size_t count)
{
	out->list = config_alloc(load, count, sizeof(*out->list));
	out->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!*values[i] || !is_clean(values[i]))
			config_error(load, at, "%s: an item is empty or holds control characters - correct it",
				     key->name);
		else
			out->list[out->count++] = config_keep(load, span_str(values[i]));
	}
}

/* The mechanisms together; false: one is unknown, or "none" is not alone. */
static bool set_auth(struct config_load *load, uint32_t *out, const struct config_key *key, const struct config_at *at,
		     const char *const *values, size_t count)
{
	static const uint32_t sets[] = {
		CONFIG_AUTH_ANY,
		CONFIG_AUTH_PLAIN,
		CONFIG_AUTH_LOGIN,
		CONFIG_AUTH_CRAM_MD5,
		CONFIG_AUTH_SCRAM,
		CONFIG_AUTH_SCRAM_SHA1,
		CONFIG_AUTH_SCRAM_SHA256,
		CONFIG_AUTH_SCRAM_SHA1_PLUS,
		CONFIG_AUTH_SCRAM_SHA256_PLUS,
		CONFIG_AUTH_EXTERNAL,
		CONFIG_AUTH_XOAUTH2,
		CONFIG_AUTH_OAUTHBEARER,
		0,
	};
	bool is_good = count > 0;
	uint32_t all = 0;

	if (!count)
		config_error(load, at, "%s = {}: an empty list allows no mechanism - name one, or write none",
			     key->name);
	for (size_t i = 0; i < count; i++) {
		int place = is_clean(values[i]) ? word_place(key->words, values[i]) : -1;

		if (place >= 0 && !sets[place] && count > 1) {
			config_error(load, at, "%s: none beside others - remove it, or the others", key->name);
			is_good = false;
		} else if (place >= 0) {
			all |= sets[place];
		} else {
			say_words(load, key, at, is_clean(values[i]) ? values[i] : "?");
			is_good = false;
		}
	}
	if (is_good)
		*out = all;
	return is_good;
}

static bool set_proxy(struct config_load *load, struct config_proxy *out, const struct config_key *key,
		      const struct config_at *at, const char *value)
{
	const char *wrong = config_proxy_read(load, value, out);

	if (wrong)
		config_error(load, at, "%s is not understood: %s - as in \"socks5://127.0.0.1:9050\", or \"none\"",
			     key->name, wrong);
	return !wrong;
}

static bool set_one(struct config_load *load, void *field, const struct config_key *key, const struct config_at *at,
		    const char *value)
{
	bool clean = is_clean(value);
	enum verdict verdict = clean ? kinds[key->kind].set(load, key, field, value) : VALUE_BAD;

	if (verdict == VALUE_OUT_OF_BOUNDS)
		say_bounds(load, key, at, value);
	else if (!clean)
		config_error(load, at, "%s holds control characters or bytes that are not UTF-8 - remove them",
			     key->name);
	else if (verdict == VALUE_BAD && key->words)
		say_words(load, key, at, value);
	else if (verdict == VALUE_BAD)
		config_error(load, at, "%s = \"%s\" is not understood - it is %s", key->name, value,
			     kinds[key->kind].wanted);
	return verdict == VALUE_OK;
}

static bool set(struct config_load *load, void *field, const struct config_key *key, const struct config_at *at,
		const char *const *values, size_t count)
{
	if (key->kind == CONFIG_KIND_LIST) {
		set_list(load, field, key, at, values, count);
		return true;
	}
	if (key->kind == CONFIG_KIND_REFUSED) {
		config_error(load, at, "%s has no place here: %s - remove it", key->name, key->words);
		return false;
	}
	if (key->kind == CONFIG_KIND_AUTH)
		return set_auth(load, field, key, at, values, count);
	if (key->kind == CONFIG_KIND_PROXY)
		return count && set_proxy(load, field, key, at, values[0]);
	return count && set_one(load, field, key, at, values[0]);
}

void config_values_set(struct config_load *load, void *object, const struct config_key *key, struct config_at at,
		       const char *const *values, size_t count)
{
	void *field = (char *)object + key->offset;

	if (!set(load, field, key, &at, values, count))
		return; /* a key with a bad value counts as not given, or more errors would follow from it */
	load->given = mem_realloc(load->given, load->given_count + 1, sizeof(*load->given));
	load->given[load->given_count++] = (struct config_given){ object, key->name, at };
}
