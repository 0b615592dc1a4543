#include "control/request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "control/protocol.h"

/* Each reader answers NULL or what is wrong. */
struct key {
	const char *name;
	const char *(*read)(struct request *request, const json_t *value);
};

static const char *read_text(char *out, size_t size, const json_t *value)
{
	if (!json_is_string(value))
		return "must be text";
	if (json_string_length(value) >= size)
		return "is too long";
	memcpy(out, json_string_value(value), json_string_length(value) + 1);
	return NULL;
}

static const char *read_bool(bool *out, const json_t *value)
{
	if (!json_is_boolean(value))
		return "must be true or false";
	*out = json_is_true(value);
	return NULL;
}

static const char *read_version(struct request *request, const json_t *value)
{
	(void)request;
	if (!json_is_integer(value) || json_integer_value(value) != PROTOCOL_VERSION)
		return "is another version of the protocol - this agent speaks version 1";
	return NULL;
}

static const char *read_verb(struct request *request, const json_t *value)
{
	return read_text(request->verb, sizeof request->verb, value);
}

static const char *read_lane(struct request *request, const json_t *value)
{
	return read_text(request->lane, sizeof request->lane, value);
}

static const char *read_id(struct request *request, const json_t *value)
{
	if (!json_is_string(value) ||
	    !text_id(span_of(json_string_value(value), json_string_length(value)), &request->id))
		return "is not a message id";
	return NULL;
}

static const char *read_dry_run(struct request *request, const json_t *value)
{
	return read_bool(&request->dry_run, value);
}

static const char *read_close(struct request *request, const json_t *value)
{
	return read_bool(&request->close, value);
}

static const char *read_timeout(struct request *request, const json_t *value)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT64_MAX / 2)
		return "must be a number of milliseconds";
	request->timeout_ms = json_integer_value(value);
	return NULL;
}

static const char *read_from(struct request *request, const json_t *value)
{
	request->has_from = true;
	return read_text(request->from, sizeof request->from, value);
}

static const char *read_to(struct request *request, const json_t *value)
{
	request->has_to = true;
	return read_text(request->to, sizeof request->to, value);
}

static const char *read_user(struct request *request, const json_t *value)
{
	return read_text(request->user, sizeof request->user, value);
}

static const char *read_listener(struct request *request, const json_t *value)
{
	return read_text(request->listener, sizeof request->listener, value);
}

static const char *read_host(struct request *request, const json_t *value)
{
	return read_text(request->host, sizeof request->host, value);
}

static const char *read_day(struct request *request, const json_t *value)
{
	return read_text(request->day, sizeof request->day, value);
}

static const char *read_domain(struct request *request, const json_t *value)
{
	return read_text(request->domain, sizeof request->domain, value);
}

static const char *read_uid(struct request *request, const json_t *value)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) >= UINT32_MAX)
		return "must be the number of a user";
	request->uid = json_integer_value(value);
	return NULL;
}

static const char *read_ids(struct filter *filter, const json_t *list)
{
	const char *wrong = NULL;

	if (!json_is_array(list))
		return "must be a list";
	for (size_t i = 0; i < json_array_size(list) && !wrong; i++) {
		const json_t *id = json_array_get(list, i);

		if (!json_is_string(id))
			return "holds something that is not text";
		wrong = filter_add_id(filter, span_of(json_string_value(id), json_string_length(id)));
	}
	return wrong;
}

static const char *read_filter_key(struct filter *filter, const char *name, const json_t *value)
{
	if (strcmp(name, "ids") == 0)
		return read_ids(filter, value);
	if (json_is_true(value))
		return filter_set(filter, name, NULL);
	if (json_is_string(value))
		return filter_set(filter, name, json_string_value(value));
	return "must be text";
}

static const char *read_filter(struct request *request, const json_t *value)
{
	const char *name, *wrong = NULL;
	json_t *field;

	if (!json_is_object(value))
		return "must be an object";
	json_object_foreach((json_t *)(uintptr_t)value, name, field)
	{
		wrong = read_filter_key(&request->filter, name, field);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const struct key keys[] = {
	{ "v", read_version },         { "verb", read_verb },
	{ "filter", read_filter },     { "id", read_id },
	{ "from", read_from },         { "to", read_to },
	{ "user", read_user },         { "uid", read_uid },
	{ "listener", read_listener }, { "host", read_host },
	{ "lane", read_lane },         { "dry_run", read_dry_run },
	{ "day", read_day },           { "domain", read_domain },
	{ "close", read_close },       { "timeout_ms", read_timeout },
};

static const char *read_key(struct request *request, const char *name, const json_t *value)
{
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (strcmp(keys[i].name, name) == 0)
			return keys[i].read(request, value);
	return "is not a key of this protocol";
}

static bool read_object(struct request *request, json_t *object, char *why, size_t why_size)
{
	const char *name, *wrong;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		wrong = read_key(request, name, value);
		if (wrong) {
			/* The name is a stranger's: not echoed beyond a few plain bytes. */
			snprintf(why, why_size, "\"%.32s\": %s", text_is_ascii(span_str(name)) ? name : "?", wrong);
			return false;
		}
	}
	if (!json_object_get(object, "v") || !request->verb[0]) {
		snprintf(why, why_size, "\"v\" and \"verb\" must be there");
		return false;
	}
	return true;
}

bool request_parse(struct span line, struct request *out, char *why, size_t why_size)
{
	json_error_t error;
	json_t *object = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, &error);
	struct request request = { .id = 0, .uid = -1 };
	bool is_good = false;

	filter_init(&request.filter);
	if (!json_is_object(object))
		snprintf(why, why_size, "the request is not a JSON object in one line");
	else
		is_good = read_object(&request, object, why, why_size);
	json_decref(object);
	if (is_good)
		*out = request;
	else
		request_fini(&request);
	return is_good;
}

void request_fini(struct request *request)
{
	filter_fini(&request->filter);
}
