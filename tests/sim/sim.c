#include "tests/sim/sim.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { BEGIN_BOOT_MS = 1000000 };
static const int64_t begin_wall_ms = 1764000000000;

/* ---------------------------------------------------------------- what is told */

void sim_log(struct sim *sim, const char *format, ...)
{
	char text[400];
	va_list ap;
	int len = snprintf(text, sizeof text, "%10.3f ", (double)(sim->now.boot_ms - BEGIN_BOOT_MS) / 1000);

	va_start(ap, format);
	vsnprintf(text + len, sizeof text - (size_t)len, format, ap);
	va_end(ap);
	for (const char *p = text; *p; p++)
		sim->digest = (sim->digest ^ (unsigned char)*p) * 0x100000001b3u;
	sim->events++;
	if (sim->is_told)
		puts(text);
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void remove_folder(const char *path)
{
	nftw(path, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

void sim_fail(const struct sim *sim, const char *property, const char *format, ...)
{
	va_list ap;

	printf("FAILED seed %llu, %s, after %.3f s: %s: ", (unsigned long long)sim->seed, sim->story,
	       (double)(sim->now.boot_ms - BEGIN_BOOT_MS) / 1000, property);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	remove_folder(sim->dir);
	_exit(1);
}

/* ---------------------------------------------------------------- open and close */

/* In memory where there is such a place: what a disk does is not the question here. */
static void make_folder(struct sim *sim)
{
	static const char *const places[] = { "/dev/shm", "/tmp" };
	const char *given = getenv("SIM_DIR");

	for (size_t i = 0; i < 2; i++) {
		snprintf(sim->dir, sizeof sim->dir, "%.40s/sendoff-sim-XXXXXX", given ? given : places[i]);
		if (mkdtemp(sim->dir))
			return;
	}
	perror(sim->dir);
	exit(2);
}

void sim_open(struct sim *sim, uint64_t seed, const char *story, bool is_told)
{
	*sim = (struct sim){
		.seed = seed,
		.story = story,
		.is_told = is_told,
		.dice = { seed },
		.now = { BEGIN_BOOT_MS, begin_wall_ms },
		.digest = 0xcbf29ce484222325u,
		.is_online = true,
		.has_dns = true,
	};
	sim->hosts = mem_calloc(HOST_MAX, sizeof *sim->hosts);
	make_folder(sim);
	plan_draw(&sim->plan, &sim->dice);
	agent_start(sim);
}

void sim_close(struct sim *sim)
{
	if (sim->agent.queue)
		agent_stop(sim);
	config_unref(sim->agent.config);
	remove_folder(sim->dir);
	props_fini(&sim->props);
	mem_free(sim->mails);
	mem_free(sim->hosts);
}

/* ---------------------------------------------------------------- time */

void sim_settle(struct sim *sim)
{
	do {
		conn_step(sim);
		agent_turn(sim);
	} while (conn_deadline(sim) <= sim->now.boot_ms);
}

void sim_run(struct sim *sim, int64_t boot_ms)
{
	for (int stuck = 0;;) {
		int64_t next, before = sim->now.boot_ms;

		sim_settle(sim);
		next = moment_min(agent_deadline(sim), conn_deadline(sim));
		stuck = next <= before ? stuck + 1 : 0;
		if (stuck > 1000)
			sim_fail(sim, PROPS_CLOCK, "something is due and nobody does it: %s", agent_what_is_due(sim));
		next = moment_min(next, boot_ms);
		if (next > before) {
			props_passes(sim, next - before);
			sim->now.boot_ms += next - before;
			sim->now.wall_ms += next - before;
		}
		agent_poke(sim);
		if (sim->now.boot_ms >= boot_ms)
			return;
	}
}
