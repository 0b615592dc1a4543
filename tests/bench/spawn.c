/*
 * spawn - runs a mail command again and again, P at a time, each with a message on its standard input.
 *
 *     spawn [--parallel P] [--messages N] [--seconds S] [--size B] [--from A] [--rcpt A] [--root DIR] [--pause MS]
 *           -- COMMAND [ARGUMENT ...]
 *
 * For mailers that are not spoken to by SMTP, and to see how long `sendmail` keeps its caller. No command is started after
 * N messages or S seconds. Prints one JSON object: messages, seconds, rate, and percentiles of the time from start to end
 * of a command. Lines end in LF, as programs hand mail to sendmail. Ends at the first command that fails. With --root,
 * commands are run in that root directory, and so found there.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/bench/support/letter.h"
#include "tests/bench/support/tally.h"

struct slot {
	pid_t pid; /* 0: free */
	int64_t start_ns;
};

static struct {
	uint32_t parallel, pause_ms;
	uint64_t messages, started;
	int64_t stop_ns;
	size_t size;
	const char *from, *rcpt, *root;
	char **argv;
	struct letter letter;
	struct tally tally;
} run = { .parallel = 1,
	  .messages = UINT64_MAX,
	  .stop_ns = INT64_MAX,
	  .size = 1024,
	  .from = "load@example.org",
	  .rcpt = "sink@example.net" };

extern char **environ;

static void die(const char *what)
{
	fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A file of its own, stamped, at its beginning. */
static int make_input(void)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	size_t done = 0;

	letter_stamp(run.letter.bytes, letter_now_ns());
	while (fd >= 0 && done < run.letter.len) {
		ssize_t n = write(fd, run.letter.bytes + done, run.letter.len - done);

		if (n < 0)
			die("write");
		done += (size_t)n;
	}
	if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0)
		die("memfd_create");
	return fd;
}

static void start(struct slot *slot)
{
	posix_spawn_file_actions_t actions;
	int fd = make_input();

	run.started++;
	slot->start_ns = letter_now_ns();
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	errno = posix_spawn(&slot->pid, run.argv[0], &actions, NULL, run.argv, environ);
	if (errno)
		die(run.argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
}

static void wait_for_one(struct slot *slots)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0)
		die("wait");
	for (uint32_t i = 0; i < run.parallel; i++)
		if (slots[i].pid == pid) {
			tally_add(&run.tally, letter_now_ns() - slots[i].start_ns);
			slots[i].pid = 0;
		}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "spawn: %s: status %#x\n", run.argv[0], (unsigned)status);
		exit(1);
	}
	if (run.pause_ms)
		usleep(run.pause_ms * 1000);
}

static bool is_over(void)
{
	return run.started >= run.messages || letter_now_ns() >= run.stop_ns;
}

static void serve(struct slot *slots)
{
	uint32_t under_way = 0;

	for (;;) {
		for (uint32_t i = 0; i < run.parallel && !is_over(); i++)
			if (!slots[i].pid) {
				start(&slots[i]);
				under_way++;
			}
		if (!under_way)
			return;
		wait_for_one(slots);
		under_way--;
	}
}

static void usage(void)
{
	fprintf(stderr, "usage: spawn [--parallel P] [--messages N] [--seconds S] [--size B] [--from A] [--rcpt A] "
			"[--root DIR] [--pause MS] -- COMMAND [ARGUMENT ...]\n");
	exit(64);
}

static void set(const char *name, const char *value)
{
	if (strcmp(name, "--parallel") == 0)
		run.parallel = (uint32_t)atoi(value);
	else if (strcmp(name, "--messages") == 0)
		run.messages = (uint64_t)atoll(value);
	else if (strcmp(name, "--seconds") == 0)
		run.stop_ns = (int64_t)(atof(value) * 1e9);
	else if (strcmp(name, "--size") == 0)
		run.size = (size_t)atoll(value);
	else if (strcmp(name, "--from") == 0)
		run.from = value;
	else if (strcmp(name, "--rcpt") == 0)
		run.rcpt = value;
	else if (strcmp(name, "--root") == 0)
		run.root = value;
	else if (strcmp(name, "--pause") == 0)
		run.pause_ms = (uint32_t)atoi(value);
	else
		usage();
}

static void parse_args(int argc, char **argv)
{
	int i = 1;

	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2)
		set(argv[i], argv[i + 1]);
	if (i + 1 >= argc)
		usage();
	run.argv = argv + i + 1;
	if (run.messages == UINT64_MAX && run.stop_ns == INT64_MAX)
		run.messages = 100;
}

int main(int argc, char **argv)
{
	struct slot *slots;
	int64_t start_ns;

	parse_args(argc, argv);
	if (run.root && (chroot(run.root) != 0 || chdir("/") != 0))
		die(run.root);
	letter_init(&run.letter, run.size, run.from, run.rcpt, "\n");
	slots = mem_calloc(run.parallel, sizeof *slots);
	start_ns = letter_now_ns();
	if (run.stop_ns != INT64_MAX)
		run.stop_ns += start_ns;
	serve(slots);
	printf("{");
	tally_print(&run.tally, letter_now_ns() - start_ns);
	printf("}\n");
	tally_fini(&run.tally);
	letter_fini(&run.letter);
	mem_free(slots);
	return 0;
}
