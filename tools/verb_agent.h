/*
 * verb_agent - check, reload, version and verify: the configuration, the program and the store.
 */
#ifndef VERB_AGENT_H
#define VERB_AGENT_H

#include "cli.h"

int verb_agent_check(struct cli *cli);
int verb_agent_reload(struct cli *cli);
int verb_agent_version(struct cli *cli);
int verb_agent_verify(struct cli *cli);

#endif
