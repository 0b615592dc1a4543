#include "delivery/trouble.h"

#include "delivery/account.h"
#include "log.h"

static void log_failure(const struct lane *lane, bool is_first, struct moment now)
{
	bool is_account = lane->trouble == TRAFFIC_ACCOUNT;
	/* An account that is refused needs a person: one alert for each parking, quieter words for the tries after it. */
	enum log_level level = !is_first ? LOG_LEVEL_INFO : is_account ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;

	log_event(level,
		  lane->is_parked ? "parked"
		  : is_account    ? "account-failing"
				  : "failing",
		  LOG_TEXT("lane", lane->name), LOG_TEXT("error", lane->error), LOG_NUM("failures", lane->failures),
		  LOG_NUM("retry_ms", lane->retry_boot_ms - now.boot_ms));
}

void trouble_failed(struct pool *pool, struct lane *lane, const struct lane_failure *failure, bool was_ready,
		    struct moment now)
{
	enum traffic_trouble before = lane->trouble;
	bool was_parked = lane->is_parked;

	if (!scheduler_failed(pool->scheduler, lane, failure, was_ready, now)) {
		log_event(LOG_LEVEL_INFO, "connection-failed", LOG_TEXT("lane", lane->name),
			  LOG_TEXT("error", failure->text));
		return;
	}
	if (lane->trouble == TRAFFIC_ACCOUNT && lane->host)
		lane->secret_mark = account_mark(lane->host, pool->credentials_directory);
	log_failure(lane, before != lane->trouble || was_parked != lane->is_parked, now);
	pool_retire(pool, lane, false);
	pool->poke(pool->arg);
}

void trouble_offline(struct pool *pool, struct lane *lane, bool dns_only, const char *text, struct moment now)
{
	if (scheduler_offline(pool->scheduler, lane, dns_only, text, now))
		log_event(LOG_LEVEL_WARNING, pool->scheduler->network.is_offline ? "offline" : "failing",
			  LOG_TEXT("lane", lane->name), LOG_TEXT("error", text));
	pool->poke(pool->arg);
}

bool trouble_deceived(struct pool *pool, struct lane *lane, const char *text, struct moment now)
{
	bool is_known = pool->scheduler->network.is_portal;

	if (!scheduler_deceived(pool->scheduler, lane, text, now))
		return false;
	log_event(is_known ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_known ? "connection-failed" : "offline",
		  LOG_TEXT("lane", lane->name), LOG_TEXT("error", text), LOG_TEXT("cause", "captive portal"));
	pool->poke(pool->arg);
	return true;
}

static void log_online(const struct lane *lane, int64_t since_ms, struct moment now)
{
	log_event(LOG_LEVEL_NOTICE, "online", LOG_TEXT("lane", lane->name),
		  LOG_NUM("offline_ms", now.wall_ms - since_ms));
}

void trouble_proven(struct pool *pool, struct lane *lane, bool is_proven, struct moment now)
{
	int64_t since_ms = pool->scheduler->network.offline_wall_ms;

	if (!scheduler_proven(pool->scheduler, lane, is_proven, now))
		return;
	log_online(lane, since_ms, now);
	pool->poke(pool->arg);
}

void trouble_reached(struct pool *pool, struct lane *lane, bool by_dns, struct moment now)
{
	int64_t since_ms = pool->scheduler->network.offline_wall_ms;

	if (!scheduler_reached(pool->scheduler, lane, by_dns, now))
		return;
	log_online(lane, since_ms, now);
	pool->poke(pool->arg);
}

void trouble_spoke(struct pool *pool, struct lane *lane, struct moment now)
{
	int64_t since_ms = lane->since_wall_ms;

	if (!scheduler_spoke(pool->scheduler, lane, now))
		return;
	log_event(LOG_LEVEL_NOTICE, "recovered", LOG_TEXT("lane", lane->name),
		  LOG_NUM("after_ms", now.wall_ms - since_ms));
	pool->poke(pool->arg);
}
