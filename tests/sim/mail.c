#include "tests/sim/mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/sim/sim.h"

void mail_address(size_t number, size_t n, const char *domain, char out[64])
{
	snprintf(out, 64, "m%zur%zu@%s", number, n, domain);
}

struct mail_fate *mail_fate_of(struct sim *sim, const char *address)
{
	size_t number, n;

	if (sscanf(address, "m%zur%zu@", &number, &n) != 2)
		return NULL;
	if (number >= sim->mail_count || n >= sim->mails[number].count)
		sim_fail(sim, PROPS_LOST, "there is no recipient %s", address);
	return &sim->mails[number].fates[n];
}

size_t mail_add(struct sim *sim, const struct mail *mail)
{
	if (sim->mail_count == sim->mail_room) {
		sim->mail_room = sim->mail_room ? 2 * sim->mail_room : 64;
		sim->mails = mem_realloc(sim->mails, sim->mail_room, sizeof *sim->mails);
	}
	sim->mails[sim->mail_count] = *mail;
	for (size_t n = 0; n < mail->count; n++) {
		struct chance lot = { sim->seed ^ (mail->key ? mail->key : sim->mail_count + 1) << 16 ^ n << 8 };

		sim->mails[sim->mail_count].fates[n].lot.state = chance_next(&lot);
	}
	return sim->mail_count++;
}

void mail_submit(struct sim *sim, const struct mail *mail)
{
	size_t number = mail_add(sim, mail);

	if (mail->hold_ms)
		sim->mails[number].hold_until_ms = sim->now.wall_ms + mail->hold_ms;

	sim_log(sim, "mail %zu from %s (%s) to %zu at %s", number, mail->submitter, mail->sender, mail->count,
		mail->domain);
	agent_submit(sim, number);
}

void mail_arrives(struct sim *sim)
{
	static const char *const submitters[] = { "uid:1", "uid:2", "user:bob", "user:eve" };
	static const char *const senders[] = { "one@example.org", "two@example.org", "bob@example.org",
					       "eve@example.org" };
	static const char *const domains[] = { "a.example",  "a.example",  "c.example",  "l.example",
					       "d0.example", "d1.example", "d2.example", "d3.example" };
	static const uint8_t notifies[] = { 0, 0, 0, 0, QUEUE_NOTIFY_NEVER, QUEUE_NOTIFY_FAILURE, QUEUE_NOTIFY_DELAY };
	size_t who = (size_t)sim_roll(sim, 4);
	struct mail mail = {
		.submitter = submitters[who],
		.sender = senders[who],
		.domain = domains[sim_roll(sim, sizeof domains / sizeof *domains)],
		.band = sim_once_in(sim, 4) ? (uint8_t)sim_roll(sim, 4) : 1,
		.notify = notifies[sim_roll(sim, sizeof notifies)],
		.count = sim_once_in(sim, 2) ? 1 : 1 + (size_t)sim_roll(sim, MAIL_RCPTS),
		.lifetime_ms = sim_once_in(sim, 8) ? 2 * SIM_SECOND + (int64_t)sim_roll(sim, SIM_MINUTE)
						   : SIM_HOUR + (int64_t)sim_roll(sim, 3 * SIM_DAY),
		.warn_ms = 4 * SIM_HOUR,
		.hold_ms = sim_once_in(sim, 15) ? (int64_t)sim_roll(sim, 12 * SIM_HOUR) : 0,
	};

	mail_submit(sim, &mail);
}

void mail_answered(struct sim *sim, size_t number, enum queue_err err, uint64_t id, bool is_crash)
{
	struct mail *mail = &sim->mails[number];

	mail->id = id;
	mail->accepted_boot_ms = sim->now.boot_ms;
	mail->state = is_crash ? MAIL_UNKNOWN : err ? MAIL_REFUSED : MAIL_ACCEPTED;
	sim_log(sim, "mail %zu: %s", number, is_crash ? "no answer" : queue_err_name(err));
}

/* ---------------------------------------------------------------- reports */

static void read_body(struct sim *sim, uint64_t id, struct buf *out)
{
	struct queue_body_reader reader;
	struct queue_bytes bytes = { NULL, 1 };

	if (queue_body_open(queue_view(sim->agent.queue), id, &reader))
		sim_fail(sim, PROPS_REPORTS, "a report has no body");
	while (bytes.len) {
		if (queue_body_next(&reader, queue_view(sim->agent.queue), &bytes))
			sim_fail(sim, PROPS_REPORTS, "the body of a report cannot be read");
		buf_append(out, bytes.data, bytes.len);
	}
	queue_body_close(&reader);
}

static void note_told(struct sim *sim, const char *address, const char *action)
{
	struct mail_fate *fate = mail_fate_of(sim, address);

	if (!fate)
		return; /* a report that could not be delivered, told to nobody else than the postmaster */
	sim_log(sim, "%.20s is told: %.7s", address, action);
	if (strncmp(action, "failed", 6) == 0)
		props_tells(sim, address);
	if (strncmp(action, "failed", 6) == 0 && fate->told_failed++)
		sim_fail(sim, PROPS_REPORTS, "its sender is told twice that %.40s failed", address);
	if (strncmp(action, "delayed", 7) == 0 && fate->told_delayed++)
		sim_fail(sim, PROPS_REPORTS, "its sender is warned twice of %.40s", address);
	if (strncmp(action, "relayed", 7) == 0 && fate->told_relayed++)
		sim_fail(sim, PROPS_REPORTS, "its sender is told twice that %.40s was relayed", address);
}

void mail_came_in(struct sim *sim, uint64_t id)
{
	static const char final[] = "\nFinal-Recipient: rfc822;", act[] = "\nAction: ";
	struct queue_envelope envelope;
	struct buf body;
	const char *at, *action;
	char address[64];

	if (queue_view_envelope(queue_view(sim->agent.queue), id, &envelope) || !(envelope.flags & QUEUE_REPORT)) {
		queue_view_end(sim->agent.queue);
		return;
	}
	buf_init(&body, 1 << 20);
	read_body(sim, id, &body);
	for (at = buf_cstr(&body); (at = strstr(at, final)); at++) {
		if (sscanf(at + sizeof final - 1, " %60[^\r\n]", address) != 1 || !(action = strstr(at, act)))
			sim_fail(sim, PROPS_REPORTS, "a report cannot be read");
		note_told(sim, address, action + sizeof act - 1);
	}
	buf_fini(&body);
	queue_view_end(sim->agent.queue);
}
