/*
 * The simulation: sim [-v] [-t] [-1] [-j JOBS] FIRST[-LAST]
 *
 * Each seed runs in a process of its own, so that one which ends badly ends alone. -v tells every event, -t runs each
 * seed twice and compares their events, -1 ends with the first that fails. Ends with "N passed, N failed".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "tests/sim/story.h"

struct options {
	unsigned long long first, last;
	int jobs;
	bool is_told, is_twice, ends_early;
};

/* One seed, in a child. */
static int run(const struct options *o, uint64_t seed)
{
	struct story_sum sum, again;

	log_open("stderr", "error");
	if (!o->is_told && !freopen("/dev/null", "w", stderr))
		return 2;
	story_tell(seed, o->is_told, &sum);
	if (o->is_twice)
		story_tell(seed, false, &again);
	if (o->is_twice && again.digest != sum.digest) {
		printf("FAILED seed %llu: the same seed is the same run: %llu events, then %llu others\n",
		       (unsigned long long)seed, (unsigned long long)sum.events, (unsigned long long)again.events);
		return 1;
	}
	if (o->is_told || o->first == o->last)
		printf("seed %llu: %llu mails, %llu events, %llu connections, %llu in vain, %llu doubts, %llu restarts, %llu "
		       "reloads, digest %016llx\n",
		       (unsigned long long)seed, (unsigned long long)sum.mails, (unsigned long long)sum.events,
		       (unsigned long long)sum.attempts, (unsigned long long)sum.failures,
		       (unsigned long long)sum.doubts, (unsigned long long)sum.crashes, (unsigned long long)sum.reloads,
		       (unsigned long long)sum.digest);
	return 0;
}

struct job {
	pid_t pid; /* 0: free */
	unsigned long long seed;
};

static void begin(const struct options *o, struct job *job, unsigned long long seed)
{
	fflush(stdout);
	job->seed = seed;
	job->pid = fork();
	if (job->pid < 0) {
		perror("fork");
		exit(2);
	}
	if (job->pid == 0) {
		int status = run(o, seed);

		fflush(stdout);
		_exit(status);
	}
}

/* One of them ends; true: well. */
static bool end_one(struct job *jobs, int count)
{
	int status;
	pid_t pid = wait(&status);

	for (int i = 0; i < count; i++) {
		if (jobs[i].pid != pid)
			continue;
		jobs[i].pid = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return true;
		if (WIFSIGNALED(status))
			printf("FAILED seed %llu: ended by signal %d\n", jobs[i].seed, WTERMSIG(status));
		else if (WEXITSTATUS(status) != 1)
			printf("FAILED seed %llu: ended with status %d\n", jobs[i].seed, WEXITSTATUS(status));
		printf("        to see it again: make sim SEED=%llu\n", jobs[i].seed);
		return false;
	}
	return true;
}

static int usage(void)
{
	fputs("sim [-v] [-t] [-1] [-j JOBS] FIRST[-LAST]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = { .jobs = 1 };
	unsigned long long passed = 0, failed = 0, seed;
	struct job jobs[64] = { 0 };
	int running = 0, c;

	while ((c = getopt(argc, argv, "vt1j:")) != -1)
		switch (c) {
		case 'v': o.is_told = true; break;
		case 't': o.is_twice = true; break;
		case '1': o.ends_early = true; break;
		case 'j': o.jobs = atoi(optarg); break;
		default: return usage();
		}
	if (argc != optind + 1 || o.jobs < 1 || o.jobs > 64)
		return usage();
	switch (sscanf(argv[optind], "%llu-%llu", &o.first, &o.last)) {
	case 1: o.last = o.first; break;
	case 2: break;
	default: return usage();
	}
	for (seed = o.first; seed <= o.last || running;) {
		for (int i = 0; i < o.jobs && seed <= o.last; i++)
			if (!jobs[i].pid) {
				begin(&o, &jobs[i], seed++);
				running++;
			}
		*(end_one(jobs, o.jobs) ? &passed : &failed) += 1;
		running--;
		if (o.ends_early && failed)
			seed = o.last + 1;
	}
	printf("%llu passed, %llu failed\n", passed, failed);
	return failed || !passed;
}
