/*
 * agent - the running agent: one object that knows every room.
 *
 * main.c reads the command line, start.c starts what is needed in its order, reload.c reads the configuration again,
 * stop.c ends it all; settings.c gives the rooms the configuration in the form they take. Nobody else includes this.
 *
 * Threads: the main one.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "config.h"
#include "control/control.h"
#include "delivery/delivery.h"
#include "helper/helper.h"
#include "log.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"
#include "queue/queue.h"
#include "sandbox.h"
#include "submission/submission.h"

enum {
	AGENT_WHY_SIZE = 512,
	AGENT_REPORT_MAX = 64 * 1024,
};

struct agent {
	const char *given_file; /* --config, or NULL */
	struct config *config;
	struct sandbox_user user;
	struct loop *loop;
	struct helper *helper;
	struct queue *queue;
	struct loop_io queue_io;
	struct loop_task log_task; /* writes what was logged in this turn, before replies leave */
	struct dns *dns;
	struct tls_client *tls;
	struct submission *submission;
	struct delivery *delivery;
	struct control *control;
	struct loop_signal term, interrupt, hangup;
	struct loop_timer stop_timer;
	bool is_stopping, is_received, is_delivered;
	char why[AGENT_WHY_SIZE];
};

/* settings.c. NULL: `errors` says why; `given_file` is --config or NULL. */
struct config *settings_read(const char *given_file, struct buf *errors, struct buf *warnings);
/* Each line of a report as a record; takes the text apart. */
void settings_log(enum log_level level, const char *event, struct buf *text);
/* They borrow from the configuration. */
struct queue_config settings_queue(struct agent *agent, const struct config_queue *q);
struct dns_config settings_dns(const struct config *config);

/* start.c. 0, or an exit status (sysexits) after saying why. */
int start_agent(struct agent *agent);

/* reload.c. SIGHUP from now on. */
void reload_init(struct agent *agent);
/* For control/: see control_setup.reload. */
bool reload_config(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply);

/* stop.c. SIGTERM and SIGINT from now on: the loop ends once what is under way has come to its end. */
void stop_init(struct agent *agent);
/* Frees everything, also what was only half started. */
void stop_end(struct agent *agent);

#endif
