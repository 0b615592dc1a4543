#include "delivery/aside.h"

#include "base/mem.h"
#include "log.h"

struct kept {
	struct list node;
	struct scheduler_job *job;
	int64_t until_boot_ms;
};

void aside_init(struct aside *a, struct scheduler *scheduler)
{
	a->scheduler = scheduler;
	list_init(&a->jobs);
}

static struct kept *oldest(const struct aside *a)
{
	struct list *node = list_first(&a->jobs);

	return node ? LIST_ENTRY(node, struct kept, node) : NULL;
}

static void drop(struct kept *kept)
{
	list_remove(&kept->node);
	scheduler_job_free(kept->job);
	mem_free(kept);
}

void aside_fini(struct aside *a)
{
	while (!list_is_empty(&a->jobs))
		drop(oldest(a));
}

void aside_take(struct aside *a, struct scheduler_job *job, enum queue_err err, struct moment now)
{
	struct kept *kept;

	scheduler_job_end(a->scheduler, job);
	if (err == QUEUE_NOT_FOUND) {
		for (size_t i = 0; i < job->count; i++)
			scheduler_settled(a->scheduler, job, i);
		scheduler_job_free(job);
		return;
	}
	log_event(LOG_LEVEL_ERROR, "unreadable", LOG_ID(job->id), LOG_TEXT("error", queue_err_text(err)),
		  LOG_NUM("retry_ms", ASIDE_MS));
	kept = MEM_NEW(struct kept);
	kept->job = job;
	kept->until_boot_ms = now.boot_ms + ASIDE_MS;
	list_append(&a->jobs, &kept->node);
}

void aside_step(struct aside *a, struct moment now)
{
	struct kept *kept;

	while ((kept = oldest(a)) && now.boot_ms >= kept->until_boot_ms) {
		for (size_t i = 0; i < kept->job->count; i++)
			scheduler_return(a->scheduler, kept->job, i, now);
		drop(kept);
	}
}

int64_t aside_deadline(const struct aside *a)
{
	const struct kept *kept = oldest(a);

	return kept ? kept->until_boot_ms : INT64_MAX;
}
