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
	bool is_worse = n->is_offline && n->dns_only && !dns_only;  /* literal addresses went on, until now */
	bool is_better = n->is_offline && !n->dns_only && dns_only; /* they may go on */

	n->is_probing = false;
	if (is_new)
		n->offline_wall_ms = now.wall_ms;
	else if (now.boot_ms < n->retry_boot_ms && !is_worse)
		return false; /* several lanes found out together */
	n->is_offline = true;
	n->is_portal = false;
	n->dns_only = dns_only;
	if (n->failures < UINT32_MAX)
		n->failures++;
	n->retry_boot_ms = now.boot_ms + backoff_ms(backoff, n->failures, chance);
	n->look_boot_ms = 0;
	snprintf(n->text, sizeof n->text, "%s", text);
	return is_new || is_worse || is_better;
}

bool network_worked(struct network *n, struct moment now)
{
	if (!n->is_offline)
		return false;
	*n = (struct network){ .since_wall_ms = now.wall_ms,
			       .is_suspect = n->is_suspect,
			       .linked_boot_ms = n->linked_boot_ms };
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
	n->retry_boot_ms = n->witness_boot_ms = boot_ms;
	n->look_boot_ms = 0;
}

bool network_allows(const struct network *n, bool needs_dns, const void *who, struct moment now)
{
	bool is_witness = n->is_portal && who == n->witness;

	if (!n->is_offline || (n->dns_only && !needs_dns))
		return true;
	return now.boot_ms >= (is_witness ? n->witness_boot_ms : n->retry_boot_ms) && !n->is_probing;
}

int64_t network_deadline(const struct network *n)
{
	if (!n->is_offline || n->is_probing)
		return INT64_MAX;
	if (n->look_boot_ms < n->retry_boot_ms)
		return n->retry_boot_ms;
	return n->is_portal && n->look_boot_ms < n->witness_boot_ms ? n->witness_boot_ms : INT64_MAX;
}

bool network_is_due(struct network *n, struct moment now)
{
	if (now.boot_ms < network_deadline(n))
		return false;
	n->look_boot_ms = now.boot_ms;
	return true;
}

/* ---------------------------------------------------------------- networks that answer in the name of others */

void network_linked(struct network *n, int64_t boot_ms)
{
	n->is_suspect = true;
	n->linked_boot_ms = boot_ms;
	network_changed(n, boot_ms);
}

bool network_is_suspect(const struct network *n, struct moment now)
{
	return n->is_suspect &&
	       now.boot_ms < n->linked_boot_ms + (n->is_portal ? NETWORK_PORTAL_MS : NETWORK_SUSPECT_MS);
}

bool network_proven(struct network *n, struct moment now)
{
	n->is_suspect = false;
	return n->is_portal && network_worked(n, now);
}

bool network_deceives(struct network *n, const void *who, const char *text, const struct config_backoff *backoff,
		      struct chance *chance, struct moment now)
{
	bool was_known = n->is_portal;
	bool is_new = network_failed(n, false, text, backoff, chance, now);

	n->is_portal = true;
	n->witness = who;
	n->retry_boot_ms = moment_min(n->retry_boot_ms, now.boot_ms + NETWORK_PORTAL_RETRY_MS);
	n->witness_boot_ms = n->retry_boot_ms + NETWORK_LET_MS;
	/* It may be this peer alone: others are asked at once. */
	if (!was_known)
		n->retry_boot_ms = now.boot_ms;
	snprintf(n->text, sizeof n->text, "%s", text);
	return is_new || !was_known;
}
