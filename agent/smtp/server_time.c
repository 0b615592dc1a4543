#include "smtp/server_inside.h"

enum { DEFAULT_DATA_RATE = 100 };

static const unsigned reading_lines = BIT(START) | BIT(HELLO) | BIT(MAIL) | BIT(RCPT) | BIT(CHUNKS) | BIT(AUTH_LINE);
static const unsigned reading_data = BIT(DATA) | BIT(BDAT) | BIT(SKIP);

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t after(int64_t from_ms, int64_t timeout_ms)
{
	return timeout_ms > 0 ? from_ms + timeout_ms : INT64_MAX;
}

int64_t server_time_session_end(const struct server *s)
{
	bool is_between = server_is_in(s, BIT(START) | BIT(HELLO) | BIT(AUTH_LINE));

	return after(s->began_ms, (is_between ? 1 : 2) * s->config->session_timeout_ms);
}

/* A message may take its time, but not one that is only thrown away. */
static int64_t discarding_end(const struct server *s)
{
	return s->is_discarding || s->state == STATE_SKIP ? server_time_session_end(s) : INT64_MAX;
}

static int64_t data_end(const struct server *s)
{
	int64_t timeout_ms = s->config->data_timeout_ms;
	uint64_t rate = s->config->min_data_rate ? s->config->min_data_rate : DEFAULT_DATA_RATE;

	if (timeout_ms <= 0)
		return INT64_MAX;
	return earlier(s->data_ms + timeout_ms + (int64_t)(s->data_bytes * 1000 / rate), s->waiting_ms + timeout_ms);
}

int64_t server_time_deadline(const struct server *s)
{
	if (server_is_in(s, reading_data))
		return earlier(data_end(s), discarding_end(s));
	if (server_is_in(s, reading_lines))
		return earlier(after(s->waiting_ms, s->config->command_timeout_ms), server_time_session_end(s));
	return INT64_MAX;
}

void server_time_out(struct server *s, int64_t now_ms)
{
	bool is_message = server_is_in(s, reading_data) && discarding_end(s) > now_ms;

	if (!is_message && server_time_session_end(s) <= now_ms)
		server_say_goodbye(s, "4.4.2", "The session has lasted too long");
	else if (is_message)
		server_say_goodbye(s, "4.4.2", "The message came too slowly");
	else
		server_say_goodbye(s, "4.4.2", "No command came in time");
}
