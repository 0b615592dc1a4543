#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"

/* ---------------------------------------------------------------- the tables */

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define DAY    (24 * 60 * MINUTE)
#define MB     ((int64_t)1 << 20)

#define KEY(text, kind_, type, field, ...)                                                                       \
	{                                                                                                        \
		.name = (text), .kind = CONFIG_KIND_##kind_, .offset = offsetof(struct type, field), __VA_ARGS__ \
	}
#define BOUNDS(low, high) .min = (low), .max = (high)
#define SECTION_OF(table, titled_)                                                            \
	&(const struct config_section)                                                        \
	{                                                                                     \
#table, table##_keys, sizeof(table##_keys) / sizeof(table##_keys[0]), titled_ \
	}

static const struct config_key queue_keys[] = {
	KEY("directory", PATH, config_queue, directory),
	KEY("max_size", SIZE, config_queue, max_size_bytes, BOUNDS(MB, INT64_MAX)),
	KEY("max_message_size", SIZE, config_queue, max_message_bytes, BOUNDS(1024, INT64_MAX)),
	KEY("min_free_disk", SIZE, config_queue, min_free_disk_bytes),
	KEY("lifetime", DURATION, config_queue, lifetime_ms, BOUNDS(SECOND, 365 * DAY)),
	KEY("warn_after", DURATION, config_queue, warn_after_ms),
	KEY("history", DURATION, config_queue, history_ms),
};

static const struct config_key control_keys[] = {
	KEY("socket", PATH, config, control_socket),
};

static const struct config_key listener_keys[] = {
	KEY("socket", PATH, config_listener, socket),
	KEY("socket_mode", MODE, config_listener, socket_mode),
	KEY("address", LIST, config_listener, addresses),
	KEY("tls", CHOICE, config_listener, tls, .words = "none - starttls implicit"),
	KEY("certificate", PATH, config_listener, certificate),
	KEY("key", PATH, config_listener, key),
	KEY("bare_newline", CHOICE, config_listener, bare_newline, .words = "normalize refuse"),
	KEY("socket_owner", TEXT, config_listener, socket_owner),
	KEY("socket_group", TEXT, config_listener, socket_group),
	KEY("auth", CHOICE, config_listener, auth, .words = "none optional required"),
	KEY("mechanisms", LIST, config_listener, mechanisms),
	KEY("users", PATH, config_listener, users),
	KEY("client_ca", PATH, config_listener, client_ca),
	KEY("client_pins", LIST, config_listener, client_pins),
	KEY("proxy", LIST, config_listener, proxy),
	KEY("trust", BOOL, config_listener, trust),
};

static const struct config_key trust_keys[] = {
	KEY("networks", LIST, config_trust, networks),
	KEY("uids", LIST, config_trust, uids),
	KEY("gids", LIST, config_trust, gids),
	KEY("max_rate", RATE, config_trust, max_rate),
};

static const struct config_key limits_keys[] = {
	KEY("connections", COUNT, config_limits, connections, BOUNDS(1, 100000)),
	KEY("connections_per_client", COUNT, config_limits, connections_per_client, BOUNDS(1, 100000)),
	KEY("recipients", COUNT, config_limits, recipients, BOUNDS(1, 100000)),
	KEY("errors", COUNT, config_limits, errors, BOUNDS(1, 1000)),
	KEY("command_timeout", DURATION, config_limits, command_timeout_ms, BOUNDS(SECOND, DAY)),
	KEY("data_timeout", DURATION, config_limits, data_timeout_ms, BOUNDS(SECOND, DAY)),
	KEY("session_timeout", DURATION, config_limits, session_timeout_ms, BOUNDS(SECOND, 7 * DAY)),
};

static const struct config_key retry_keys[] = {
	KEY("first", DURATION, config_backoff, first_ms, BOUNDS(SECOND, 30 * DAY)),
	KEY("factor", FACTOR, config_backoff, factor),
	KEY("max", DURATION, config_backoff, max_ms, BOUNDS(SECOND, 30 * DAY)),
};

static const struct config_key reconnect_keys[] = {
	KEY("first", DURATION, config_backoff, first_ms, BOUNDS(SECOND, DAY)),
	KEY("factor", FACTOR, config_backoff, factor),
	KEY("max", DURATION, config_backoff, max_ms, BOUNDS(SECOND, 7 * DAY)),
};

static const struct config_key timeouts_keys[] = {
	KEY("connect", DURATION, config_timeouts, connect_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("greeting", DURATION, config_timeouts, greeting_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("command", DURATION, config_timeouts, command_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("data", DURATION, config_timeouts, data_ms, BOUNDS(SECOND, 60 * MINUTE)),
};

static const struct config_key dns_keys[] = {
	KEY("servers", LIST, config, dns_servers),
	KEY("trust_ad", BOOL, config, dns_trust_ad),
};

#define BACKOFF(name_, type, field) KEY(#name_, SECTION, type, field, .section = SECTION_OF(name_, CONFIG_UNTITLED))

static const struct config_key smarthost_keys[] = {
	KEY("host", TEXT, config_smarthost, host),
	KEY("port", PORT, config_smarthost, port),
	KEY("tls", CHOICE, config_smarthost, tls, .words = "none opportunistic starttls implicit"),
	KEY("auth", AUTH, config_smarthost, auth, .words = "auto plain login none"),
	KEY("user", TEXT, config_smarthost, user),
	KEY("secret_file", PATH, config_smarthost, secret_file),
	KEY("secret_command", TEXT, config_smarthost, secret_command),
	KEY("secret_credential", TEXT, config_smarthost, secret_credential),
	KEY("tls_verify", BOOL, config_smarthost, tls_verify),
	KEY("tls_ca", PATH, config_smarthost, tls_ca),
	KEY("tls_name", TEXT, config_smarthost, tls_name),
	KEY("tls_pins", LIST, config_smarthost, tls_pins),
	KEY("tls_certificate", PATH, config_smarthost, tls_certificate),
	KEY("tls_key", PATH, config_smarthost, tls_key),
	KEY("tls_minimum", WORD, config_smarthost, tls_minimum, .words = "1.2 1.3 1.1 1.0"),
	KEY("connections", COUNT, config_smarthost, connections, BOUNDS(1, 1000)),
	KEY("rate", RATE, config_smarthost, rate),
	KEY("messages_per_connection", COUNT, config_smarthost, messages_per_connection, BOUNDS(1, 1000000)),
	KEY("recipients_per_message", COUNT, config_smarthost, recipients_per_message, BOUNDS(1, 100000)),
	BACKOFF(reconnect, config_smarthost, reconnect),
	BACKOFF(timeouts, config_smarthost, timeouts),
};

static const struct config_key route_keys[] = {
	KEY("from", LIST, config_route, from),
	KEY("to", LIST, config_route, to),
	KEY("via", LIST, config_route, via),
	KEY("lifetime", DURATION, config_route, lifetime_ms, BOUNDS(SECOND, 365 * DAY)),
	KEY("warn_after", DURATION, config_route, warn_after_ms),
	BACKOFF(retry, config_route, retry),
};

#define WHO(type)                                                                                                  \
	KEY("users", LIST, type, who.users), KEY("uids", LIST, type, who.uids), KEY("gids", LIST, type, who.gids), \
		KEY("networks", LIST, type, who.networks), KEY("listeners", LIST, type, who.listeners)

static const struct config_key submitter_keys[] = {
	WHO(config_submitter),
	KEY("senders", LIST, config_submitter, senders),
	KEY("rate", RATE, config_submitter, rate),
	KEY("quota", RATE, config_submitter, quota),
	KEY("recipients", COUNT, config_submitter, recipients, BOUNDS(1, 100000)),
};

static const struct config_key identity_keys[] = {
	WHO(config_identity),
	KEY("senders", LIST, config_identity, senders),
	KEY("from", TEXT, config_identity, from),
	KEY("name", TEXT, config_identity, full_name),
	KEY("envelope", TEXT, config_identity, envelope),
	KEY("original", CHOICE, config_identity, original, .words = "drop reply-to x-original-from"),
	KEY("to", TEXT, config_identity, to),
	KEY("route", TEXT, config_identity, route),
};

#define WHOLE(name_, titled_)                                                                      \
	{                                                                                          \
		.name = #name_, .kind = CONFIG_KIND_SECTION, .section = SECTION_OF(name_, titled_) \
	}

static const struct config_key root_keys[] = {
	KEY("hostname", TEXT, config, hostname),
	KEY("postmaster", TEXT, config, postmaster),
	KEY("log", WORD, config, log, .words = "auto stderr syslog journal"),
	KEY("log_level", WORD, config, log_level, .words = "error warning notice info debug"),
	KEY("user", TEXT, config, run_as),
	KEY("privacy", CHOICE, config, privacy, .words = "reduced full none"),
	KEY("aliases", PATH, config, aliases),
	KEY("aliases_in_header", BOOL, config, aliases_in_header),
	KEY("drop_directory", PATH, config, drop_directory),
	BACKOFF(queue, config, queue),
	WHOLE(control, CONFIG_UNTITLED),
	BACKOFF(trust, config, trust),
	BACKOFF(limits, config, limits),
	BACKOFF(retry, config, retry),
	BACKOFF(reconnect, config, reconnect),
	BACKOFF(timeouts, config, timeouts),
	WHOLE(dns, CONFIG_UNTITLED),
	WHOLE(listener, CONFIG_LISTENER),
	WHOLE(smarthost, CONFIG_SMARTHOST),
	WHOLE(route, CONFIG_ROUTE),
	WHOLE(submitter, CONFIG_SUBMITTER),
	WHOLE(identity, CONFIG_IDENTITY),
};

const struct config_section *config_keys_root(void)
{
	static const struct config_section root = { "root", root_keys, sizeof(root_keys) / sizeof(root_keys[0]),
						    CONFIG_UNTITLED };

	return &root;
}

/* ---------------------------------------------------------------- values */

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
		       sizeof(enum config_original) == sizeof(int),
	       "enums are ints");

static enum verdict set_auth(struct config_load *load, const struct config_key *key, void *field, const char *value)
{
	static const uint32_t sets[] = { CONFIG_AUTH_ANY, CONFIG_AUTH_PLAIN, CONFIG_AUTH_LOGIN, 0 };
	int place = word_place(key->words, value);

	(void)load;
	if (place < 0)
		return VALUE_BAD;
	*(uint32_t *)field = sets[place];
	return VALUE_OK;
}

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
	[CONFIG_KIND_AUTH] = { set_auth, NULL },
	[CONFIG_KIND_SECTION] = { NULL, NULL },
};

static void say_words(struct config_load *load, const struct config_key *key, const struct config_at *at,
		      const char *value)
{
	const char *names[8], *nearest;
	char *copy = mem_strdup(key->words), *rest = copy, *word;
	size_t count = 0;

	while ((word = strsep(&rest, " ")) && count < 8)
		if (*word != '-')
			names[count++] = word;
	nearest = config_nearest(value, names, count);
	if (nearest) {
		config_error(load, at, "%s = \"%s\" is not known - did you mean %s?", key->name, value, nearest);
	} else {
		char list[128] = "";

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

void config_keys_set(struct config_load *load, void *object, const struct config_key *key, struct config_at at,
		     const char *const *values, size_t count)
{
	void *field = (char *)object + key->offset;

	if (key->kind == CONFIG_KIND_LIST)
		set_list(load, field, key, &at, values, count);
	else if (!count || !set_one(load, field, key, &at, values[0]))
		return; /* a key with a bad value counts as not given, or more errors would follow from it */
	load->given = mem_realloc(load->given, load->given_count + 1, sizeof(*load->given));
	load->given[load->given_count++] = (struct config_given){ object, key->name, at };
}
