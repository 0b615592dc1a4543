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

int64_t server_time_deadline(const struct server *s)
{
	const struct server_config *config = s->config;

	if (server_is_in(s, reading_data) && config->data_timeout_ms > 0) {
		uint64_t rate = config->min_data_rate ? config->min_data_rate : DEFAULT_DATA_RATE;
		int64_t granted_ms = config->data_timeout_ms + (int64_t)(s->data_bytes * 1000 / rate);

		return earlier(s->data_ms + granted_ms, after(s->waiting_ms, config->data_timeout_ms));
	}
	if (server_is_in(s, reading_lines))
		return earlier(after(s->waiting_ms, config->command_timeout_ms), server_time_session_end(s));
	return INT64_MAX;
}

void server_time_out(struct server *s, int64_t now_ms)
{
	if (server_is_in(s, reading_lines) && server_time_session_end(s) <= now_ms)
		server_say_goodbye(s, "4.4.2", "The session has lasted too long");
	else if (server_is_in(s, reading_data))
		server_say_goodbye(s, "4.4.2", "The message came too slowly");
	else
		server_say_goodbye(s, "4.4.2", "No command came in time");
}
