/*
 * sendoffd - the agent's command line; see agent/README.md.
 */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "main/agent.h"

static const char usage[] = "usage: sendoffd [--config FILE] [--check | --version]\n"
			    "The agent stays in the foreground; see sendoffd(8) and sendoff.conf(5).\n";

static int check(const char *file)
{
	struct buf errors, warnings;
	struct config *config;

	buf_init(&errors, AGENT_REPORT_MAX);
	buf_init(&warnings, AGENT_REPORT_MAX);
	config = settings_read(file, &errors, &warnings);
	fputs(buf_cstr(&errors), stderr);
	fputs(buf_cstr(&warnings), stderr);
	if (config)
		printf("%s: fine\n", *config->file ? config->file : "built-in defaults");
	buf_fini(&errors);
	buf_fini(&warnings);
	if (!config)
		return EX_CONFIG;
	config_unref(config);
	return EX_OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },      { "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	struct agent agent = { 0 };
	bool only_check = false;
	int option, status;

	sandbox_streams();
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
		switch (option) {
		case 'c': agent.given_file = optarg; break;
		case 'k': only_check = true; break;
		case 'f': break; /* there is no other way */
		case 'v': puts("sendoffd " SENDOFF_VERSION); return EX_OK;
		case 'h': fputs(usage, stdout); return EX_OK;
		default: fputs(usage, stderr); return EX_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (only_check)
		return check(agent.given_file);
	status = start_agent(&agent);
	if (status == 0)
		loop_run(agent.loop);
	log_gather(NULL, NULL);
	if (status == 0)
		log_event(LOG_LEVEL_NOTICE, "stopped");
	stop_end(&agent);
	return status;
}
