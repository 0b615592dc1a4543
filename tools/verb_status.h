/*
 * verb_status - status: one screen in plain words: is mail flowing, what waits for what, what to do.
 */
#ifndef VERB_STATUS_H
#define VERB_STATUS_H

#include "cli.h"

int verb_status_run(struct cli *cli);

#endif
