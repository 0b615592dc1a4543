#include "tests/sim/plan.h"

#include <stdio.h>

static uint32_t draw(struct chance *dice, uint32_t least, uint32_t most)
{
	return least + (uint32_t)chance_below(dice, most - least + 1);
}

void plan_draw(struct plan *plan, struct chance *dice)
{
	for (int i = 0; i < PLAN_HOSTS; i++) {
		plan->connections[i] = draw(dice, 1, 5);
		plan->rcpts[i] = draw(dice, 0, 2) ? 100 : 2;
		plan->ports[i] = 25;
	}
	plan->mx_connections = draw(dice, 1, 4);
	plan->per_connection = draw(dice, 0, 2) ? 100 : draw(dice, 1, 5);
	plan->rate_per_min = draw(dice, 1, 30);
	plan->mx_rate_per_min = draw(dice, 1, 10);
	plan->has_weights = draw(dice, 0, 1);
	plan->is_turned = false;
	plan->has_backup = draw(dice, 0, 1);
	plan->reconnect_max_min = draw(dice, 0, 2) ? 15 : draw(dice, 1, 60);
	plan->retry_first_s = draw(dice, 0, 2) ? 300 : draw(dice, 30, 900);
}

void plan_change(struct plan *plan, struct chance *dice)
{
	struct plan other;

	plan_draw(&other, dice);
	switch (chance_below(dice, 6)) {
	case 0: plan->is_turned = !plan->is_turned; break;
	case 1: plan->has_weights = !plan->has_weights; break;
	case 2: plan->has_backup = !plan->has_backup; break;
	case 3: plan->ports[chance_below(dice, PLAN_HOSTS)] ^= 1; break;
	case 4:
		for (int i = 0; i < PLAN_HOSTS; i++)
			plan->connections[i] = other.connections[i];
		plan->mx_connections = other.mx_connections;
		break;
	default:
		plan->rate_per_min = other.rate_per_min;
		plan->reconnect_max_min = other.reconnect_max_min;
		plan->retry_first_s = other.retry_first_s;
		break;
	}
}

void plan_print(const struct plan *plan, char out[PLAN_TEXT])
{
	static const char *const names[] = { "a", "b", "c", "l" };
	static const char *const hosts[] = { "a.example", "192.0.2.2", "c.example", "127.0.0.1" };
	int len = snprintf(out, PLAN_TEXT,
			   "reconnect { first = 5s factor = 2 max = %um }\nretry { first = %us factor = 2 max = 4h }\n",
			   plan->reconnect_max_min, plan->retry_first_s);

	for (int i = 0; i < PLAN_HOSTS; i++) {
		len += snprintf(out + len, (size_t)(PLAN_TEXT - len),
				"smarthost \"%s\" { host = \"%s\" port = %u tls = none auth = none connections = %u "
				"recipients_per_message = %u messages_per_connection = %u ",
				names[i], hosts[i], plan->ports[i], plan->connections[i], plan->rcpts[i],
				plan->per_connection);
		if (i == PLAN_C)
			len += snprintf(out + len, (size_t)(PLAN_TEXT - len), "rate = \"%u/min\" ", plan->rate_per_min);
		len += snprintf(out + len, (size_t)(PLAN_TEXT - len), "}\n");
	}
	len += snprintf(out + len, (size_t)(PLAN_TEXT - len),
			"mx { tls = none connections = %u }\ndomain \"d3.example\" { rate = \"%u/min\" }\n"
			"route \"c\" { to = {\"*@c.example\"} via = {\"c\"%s} }\n"
			"route \"local\" { to = {\"*@l.example\"} via = {\"l\"} }\n"
			"route \"direct\" { to = {\"*@d*.example\"} via = {\"mx\"%s} }\n",
			plan->mx_connections, plan->mx_rate_per_min, plan->has_backup ? ", \"b\"" : "",
			plan->is_turned ? ", \"l\"" : "");
	snprintf(out + len, (size_t)(PLAN_TEXT - len), "route \"all\" { via = {%s} }\n",
		 plan->has_weights ? (plan->is_turned ? "\"b=1\", \"a=3\"" : "\"a=2\", \"b=1\", \"l\"")
				   : (plan->is_turned ? "\"b\", \"a\"" : "\"a\", \"b\""));
}
