/* sendoff - the control tool: finds the verb and runs it. */
#include <locale.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli.h"
#include "verbs.h"

static int run(struct cli *cli)
{
	if (cli->help && cli->verb)
		verbs_help(stdout, cli->verb);
	else if (cli->help)
		verbs_usage(stdout);
	else if (cli->verb)
		return cli->verb->run(cli);
	else
		verbs_usage(stderr);
	return cli->help ? 0 : EX_USAGE;
}

int main(int argc, char **argv)
{
	struct cli cli;
	int status;

	setlocale(LC_TIME, "");
	status = cli_parse(&cli, argc, argv);
	if (status == 0)
		status = run(&cli);
	if (fflush(stdout) != 0 && status == 0)
		status = EX_IOERR;
	cli_fini(&cli);
	return status;
}
