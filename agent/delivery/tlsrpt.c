#include "delivery/tlsrpt.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "delivery/tlsrpt_send.h"
#include "delivery/tlsrpt_store.h"
#include "log.h"

enum { SWEEP_MS = 6 * 3600 * 1000, SWEEP_NEXT_MS = 1000, SWEEP_FIRST_MS = 600 * 1000 };

struct tlsrpt {
	struct tlsrpt_setup setup;
	struct config *config;
	struct tlsrpt_store store;
	struct tlsrpt_send send;
	struct loop_timer save, sweep;
	bool is_save_set;
	int64_t full_day; /* the last one that had no room for a domain */
};

static void on_written(void *arg)
{
	struct tlsrpt *t = arg;

	/* A few at a time; those that could not be written wait for the next time. */
	t->is_save_set = true;
	loop_timer_in(&t->save, 1000);
}

static void on_save(struct loop_timer *timer)
{
	struct tlsrpt *t = LIST_ENTRY(timer, struct tlsrpt, save);

	t->is_save_set = false;
	tlsrpt_store_save(&t->store);
}

static void on_sweep(struct loop_timer *timer)
{
	struct tlsrpt *t = LIST_ENTRY(timer, struct tlsrpt, sweep);
	bool is_more = tlsrpt_store_sweep(&t->store, loop_wall_ms(t->setup.loop) / TLSREPORT_DAY_MS);

	loop_timer_in(timer, is_more ? SWEEP_NEXT_MS : SWEEP_MS);
}

struct tlsrpt *tlsrpt_new(const struct tlsrpt_setup *setup)
{
	struct tlsrpt *t = MEM_NEW(struct tlsrpt);

	t->setup = *setup;
	t->config = config_ref(setup->config);
	t->full_day = -1;
	tlsrpt_store_init(&t->store, setup->queue, on_written, t);
	t->send = (struct tlsrpt_send){
		.loop = setup->loop,
		.queue = setup->queue,
		.dns = setup->dns,
		.helper = setup->helper,
		.store = &t->store,
		.config = t->config,
		.jitter_ms = (int64_t)crypto_random_below(TLSRPT_SEND_JITTER_MS),
	};
	tlsrpt_send_init(&t->send);
	loop_timer_init(&t->save, setup->loop, on_save);
	loop_timer_init(&t->sweep, setup->loop, on_sweep);
	loop_timer_in(&t->sweep, SWEEP_FIRST_MS);
	return t;
}

void tlsrpt_configure(struct tlsrpt *t, struct config *config)
{
	struct config *was = t->config;

	t->config = config_ref(config);
	tlsrpt_send_configure(&t->send, t->config);
	config_unref(was);
}

void tlsrpt_free(struct tlsrpt *t)
{
	if (!t)
		return;
	tlsrpt_send_fini(&t->send);
	tlsrpt_store_fini(&t->store);
	loop_timer_stop(&t->save);
	loop_timer_stop(&t->sweep);
	config_unref(t->config);
	mem_free(t);
}

void tlsrpt_note(struct tlsrpt *t, const struct tlsrpt_session *session, int64_t wall_ms)
{
	int64_t day = wall_ms / TLSREPORT_DAY_MS;
	struct tlsrpt_count *count;

	/* Reports are about domains of names, and no day is before 1970 or after records can say. */
	if (!t || session->domain[0] == '[' || wall_ms < 0 || day > INT32_MAX)
		return;
	count = tlsrpt_store_find(&t->store, day, session->domain, true);
	if (!count) {
		if (t->full_day != day)
			log_event(LOG_LEVEL_WARNING, "tls-report-full", LOG_TEXT("domain", session->domain),
				  LOG_NUM("domains", TLSRPT_DOMAINS));
		t->full_day = day;
		return;
	}
	tlsrpt_count_note(count, session, tlsrpt_store_has_mail(&t->store, session->domain));
	tlsrpt_store_touch(&t->store, count);
	if (!t->is_save_set) {
		t->is_save_set = true;
		loop_timer_in(&t->save, TLSRPT_SAVE_MS);
	}
}

/* ---------------------------------------------------------------- for people */

static bool tell(struct tlsrpt *t, const struct tlsrpt_count *count,
		 void (*report)(void *arg, const char *domain, const char *json), void *arg)
{
	char id[TLSRPT_SEND_ID_SIZE];
	struct tlsreport form = tlsrpt_send_report(t->config, count, id);
	struct buf json;
	bool ok;

	buf_init(&json, TLSREPORT_JSON);
	ok = tlsreport_json(&json, &form);
	if (ok)
		report(arg, count->domain, buf_cstr(&json));
	buf_fini(&json);
	return ok;
}

size_t tlsrpt_reports(struct tlsrpt *t, int64_t day, const char *domain,
		      void (*report)(void *arg, const char *domain, const char *json), void *arg)
{
	char name[QUEUE_STATE_NAME_SIZE] = "";
	struct tlsrpt_count *count;
	size_t told = 0;

	if (domain) {
		count = tlsrpt_store_find(&t->store, day, domain, false);
		return count && tell(t, count, report, arg) ? 1 : 0;
	}
	/* First those that are not on disk yet, then those that are. */
	for (struct list *node = list_first(&t->store.counts); node; node = list_next(&t->store.counts, node)) {
		count = LIST_ENTRY(node, struct tlsrpt_count, node);
		if (count->day == day && !count->is_saved && tell(t, count, report, arg))
			told++;
	}
	while ((count = tlsrpt_store_next(&t->store, day, name)))
		if (tell(t, count, report, arg))
			told++;
	return told;
}
