/*
 * verb_show - show, why and cat: one message.
 */
#ifndef VERB_SHOW_H
#define VERB_SHOW_H

#include "cli.h"

int verb_show_run(struct cli *cli);
int verb_show_why(struct cli *cli);
int verb_show_cat(struct cli *cli);

#endif
