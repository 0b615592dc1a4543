/*
 * share - lanes with weights share a flow's messages in proportion: smooth weighted round robin over its seats. Pure.
 *
 * With weights 3 and 1, of each four messages the first lane takes three and the second one, spread as evenly as can be.
 * A flow begins at a random place of that round, so that flows of one message each share like one flow of many.
 * Threads: any, one flow per thread.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdint.h>

#include "delivery/chance.h"
#include "delivery/flow.h"

/* The seats have just been taken. */
void share_begin(struct flow *flow, struct chance *chance);
/* Whose turn it is among the seats whose bit is set in `able`: it is charged for it, and the seats that are not able have
 * no claim to what they miss. SIZE_MAX: none is able. */
size_t share_turn(struct flow *flow, uint32_t able);

#endif
