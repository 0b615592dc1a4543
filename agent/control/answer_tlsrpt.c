/* tlsrpt: what became of TLS towards domains on a day, domain by domain. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/instant.h"
#include "base/mem.h"
#include "control/answers.h"
#include "smtp/address.h"

enum { NAMES_MAX = 2000, NAMES_BYTES = 1024 * 1024, DAY_MS = 24 * 3600 * 1000, COST = 20, DATE_LEN = 10 };

struct reports {
	struct mem_arena arena;
	const char **names; /* told one by one: all at once would be more than a client is given */
	size_t count, next, told;
	int64_t day;
	char date[INSTANT_SIZE];
	const char *wrong; /* with the request, or NULL */
};

static void add_name(void *arg, const char *domain, const char *json)
{
	struct reports *r = arg;
	char *name = r->count < NAMES_MAX ? mem_arena_dup(&r->arena, span_str(domain)) : NULL;

	(void)json;
	if (name)
		r->names[r->count++] = name;
}

/* "2026-11-24", "today" or "yesterday", in UTC. */
static bool read_day(const char *text, int64_t now_ms, int64_t *out_day)
{
	char instant[INSTANT_SIZE];
	int64_t ms;

	if (!text[0] || strcmp(text, "yesterday") == 0 || strcmp(text, "today") == 0) {
		*out_day = now_ms / DAY_MS - (strcmp(text, "today") == 0 ? 0 : 1);
		return true;
	}
	snprintf(instant, sizeof instant, "%sT00:00:00Z", text);
	if (strlen(text) != DATE_LEN || !instant_parse(span_str(instant), &ms) || ms < 0)
		return false;
	*out_day = ms / DAY_MS;
	return true;
}

static void start(struct client *client)
{
	const struct traffic *traffic = client->room->traffic;
	const char *domain = client->request.domain;
	struct reports *r = MEM_NEW(struct reports);
	char name[ADDRESS_DOMAIN_SIZE];

	client->state = r;
	mem_arena_init(&r->arena, NAMES_BYTES);
	r->names = mem_calloc(NAMES_MAX, sizeof *r->names);
	if (!read_day(client->request.day, loop_wall_ms(client->room->loop), &r->day))
		r->wrong = "a day is a date such as 2026-11-24, \"today\" or \"yesterday\"";
	else if (domain[0] &&
		 (!address_is_domain(span_str(domain), ADDRESS_UTF8) || !address_domain_ascii(span_str(domain), name)))
		r->wrong = "that is not the name of a domain";
	if (r->wrong)
		return;
	instant_print(r->day * DAY_MS, r->date);
	r->date[DATE_LEN] = '\0';
	traffic->tls_reports(traffic->self, r->day, domain[0] ? name : NULL, add_name, r);
}

static void say(void *arg, const char *domain, const char *json)
{
	struct client *client = arg;
	struct reports *r = client->state;

	r->told++;
	client_say(client, json_pack("{s:s,s:s,s:s,s:o}", "type", "tls-report", "domain", domain, "day", r->date,
				     "report", json_loads(json, 0, NULL)));
}

static enum client_step step(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	struct reports *r = client->state;

	if (r->wrong)
		return client_fail(client, EX_USAGE, "usage", r->wrong);
	for (; r->next<r->count && * budget> 0 && client_has_room(client); *budget -= COST)
		traffic->tls_reports(traffic->self, r->day, r->names[r->next++], say, client);
	if (r->next < r->count)
		return CLIENT_MORE;
	return client_done(client, json_pack("{s:s,s:I}", "day", r->date, "reports", (json_int_t)r->told));
}

static void stop(struct client *client)
{
	struct reports *r = client->state;

	mem_arena_fini(&r->arena);
	mem_free(r->names);
	mem_free(r);
}

const struct client_verb answer_tlsrpt_verb = {
	.name = "tlsrpt", .needs = CLIENT_ADMIN, .start = start, .step = step, .stop = stop
};
