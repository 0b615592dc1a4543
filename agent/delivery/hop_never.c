#include "base/mem.h"
#include "delivery/hop_inside.h"
#include "delivery/trouble.h"
#include "log.h"

enum { MESSAGES_PER_TURN = 50 };

/* Nothing is remembered beyond what DNS itself remembers: new mail asks anew. */
void hop_never_begin(struct hop *hop, const char *status, const char *text)
{
	struct moment now = hop_now(hop);

	hop->never = mem_printf("%s %s", status, text);
	hop->is_ready = true;
	log_event(LOG_LEVEL_NOTICE, "undeliverable", LOG_TEXT("lane", hop->lane->name), LOG_TEXT("error", hop->never));
	scheduler_ready(hop->pool->scheduler, hop->lane, now);
	trouble_spoke(hop->pool, hop->lane, now); /* it is the domain's own word, no trouble of the lane */
	loop_task_post(&hop->task);
}

void hop_never_step(struct hop *hop)
{
	struct load *load;

	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		load = hop->is_retired ? NULL : hop_message_take(hop);
		if (!load) {
			hop_free(hop);
			return;
		}
		hop_message_settle(hop, load, SETTLE_PERMANENT, hop->never);
	}
	hop->pool->poke(hop->pool->arg);
	loop_task_post(&hop->task);
}
