#include <signal.h>

#include "main/agent.h"
#include "notify.h"

enum {
	STOP_MS = 4500,      /* for what is being received and sent to come to its end */
	STOP_WRITE_MS = 100, /* and then for last replies to leave */
};

static void stop_if_done(struct agent *agent)
{
	if (agent->is_received && agent->is_delivered)
		loop_timer_in(&agent->stop_timer, STOP_WRITE_MS);
}

static void on_received(void *arg)
{
	struct agent *agent = arg;

	agent->is_received = true;
	stop_if_done(agent);
}

static void on_delivered(void *arg)
{
	struct agent *agent = arg;

	agent->is_delivered = true;
	stop_if_done(agent);
}

static void on_stop_time(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* The second time at once: what was being sent is still due then. */
static void stop(struct agent *agent, const char *signal_name)
{
	if (agent->is_stopping) {
		loop_stop(agent->loop);
		return;
	}
	agent->is_stopping = true;
	log_event(LOG_LEVEL_NOTICE, "stopping", LOG_TEXT("signal", signal_name));
	notify_send("STOPPING=1");
	loop_timer_in(&agent->stop_timer, STOP_MS);
	submission_stop(agent->submission, on_received, agent);
	delivery_stop(agent->delivery, on_delivered, agent);
}

static void on_term(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct agent, term), "TERM");
}

static void on_interrupt(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct agent, interrupt), "INT");
}

void stop_init(struct agent *agent)
{
	loop_timer_init(&agent->stop_timer, agent->loop, on_stop_time);
	loop_signal_init(&agent->term, agent->loop, SIGTERM, on_term);
	loop_signal_init(&agent->interrupt, agent->loop, SIGINT, on_interrupt);
}

/* The queue answers everything it was given before its askers go. */
void stop_end(struct agent *agent)
{
	/* An answer may lead to one more operation; not to endless ones, since nothing new comes in. */
	for (int i = 0; agent->queue && i < 100 && (i == 0 || !queue_is_idle(agent->queue)); i++)
		queue_wait(agent->queue);
	control_free(agent->control);
	delivery_free(agent->delivery);
	submission_free(agent->submission);
	if (agent->queue) {
		queue_view_end(agent->queue);
		loop_io_stop(&agent->queue_io);
	}
	queue_close(agent->queue);
	dns_free(agent->dns);
	tls_client_free(agent->tls);
	helper_free(agent->helper);
	loop_free(agent->loop);
	config_unref(agent->config);
	log_close();
}
