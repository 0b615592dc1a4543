#include "config_load.h"
#include "when.h"

void config_when_check(struct config_load *load, const struct config_route *route)
{
	const struct config_at *at = config_check_at(load, route, "when", &route->at);

	if (!route->when.count && config_where(load, route, "when"))
		config_error(load, at, "when = {}: an empty list would never hold - name a condition, or leave it out");
	for (size_t i = 0; i < route->when.count; i++) {
		const char *text = route->when.list[i], *mistake = when_mistake(text);
		char meant[WHEN_MEANT_SIZE];

		if (mistake && when_meant(text, meant))
			config_error(load, at, "when: \"%s\" %s - did you mean \"%s\"?", text, mistake, meant);
		else if (mistake)
			config_error(load, at,
				     "when: \"%s\" %s - write \"interface tun*\", \"gateway 10.1.0.1\" or \"online\"",
				     text, mistake);
	}
}
