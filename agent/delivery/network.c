#include "delivery/network.h"

#include <stdio.h>

#include "delivery/backoff.h"

void network_init(struct network *n, struct moment now)
{
	*n = (struct network){ .since_wall_ms = now.wall_ms };
}

bool network_failed(struct network *n, bool dns_only, const char *text, const struct config_backoff *backoff,
		    struct chance *chance, struct moment now)
{
	bool is_new = !n->is_offline;
	bool is_worse = n->is_offline && n->dns_only && !dns_only; /* literal addresses went on, until now */
	bool is_better = n->is_offline && !n->dns_only && dns_only; /* they may go on */

	n->is_probing = false;
	if (is_new)
		n->offline_wall_ms = now.wall_ms;
	else if (now.boot_ms < n->retry_boot_ms && !is_worse)
		return false; /* several lanes found out together */
	n->is_offline = true;
	n->dns_only = dns_only;
	if (n->failures < UINT32_MAX)
		n->failures++;
	n->retry_boot_ms = now.boot_ms + backoff_ms(backoff, n->failures, chance);
	n->look_boot_ms = 0;
	snprintf(n->text, sizeof n->text, "%s", text);
	return is_new || is_better;
}

bool network_worked(struct network *n, struct moment now)
{
	if (!n->is_offline)
		return false;
	network_init(n, now);
	return true;
}

void network_reborn(struct network *n, struct moment now)
{
	n->since_wall_ms = now.wall_ms;
}

void network_changed(struct network *n, int64_t boot_ms)
{
	if (!n->is_offline)
		return;
	n->failures = 0;
	n->is_probing = false;
	n->retry_boot_ms = boot_ms;
	n->look_boot_ms = 0;
}

bool network_allows(const struct network *n, bool needs_dns, struct moment now)
{
	if (!n->is_offline || (n->dns_only && !needs_dns))
		return true;
	return now.boot_ms >= n->retry_boot_ms && !n->is_probing;
}

int64_t network_deadline(const struct network *n)
{
	return n->is_offline && !n->is_probing && n->look_boot_ms < n->retry_boot_ms ? n->retry_boot_ms : INT64_MAX;
}
