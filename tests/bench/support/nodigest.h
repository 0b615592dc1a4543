/* nodigest - a body digest that costs nothing, where the queue alone is measured. */
#ifndef NODIGEST_H
#define NODIGEST_H

#include "queue/queue.h"

extern const struct queue_hash nodigest;

#endif
