/* verb_tlsrpt - tlsrpt: what became of TLS towards domains on a day (RFC 8460). Threads: one. */
#ifndef VERB_TLSRPT_H
#define VERB_TLSRPT_H

#include "cli.h"

int verb_tlsrpt_run(struct cli *cli);

#endif
