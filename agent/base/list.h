/*
 * list - an intrusive doubly linked ring; a head is a node that belongs to no object.
 *
 * Owns nothing. A node that is in no list points at itself, so removing it twice is harmless.
 * Threads: any, one list per thread.
 */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The object of type `type` whose member `member` is `node`. */
#define LIST_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *node)
{
	node->prev = node;
	node->next = node;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* At the end of the list. */
static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
	list_append(head->next, node);
}

/* The first node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
	return head->next == head ? NULL : head->next;
}

/* The node after `node`, or NULL at the end. */
static inline struct list *list_next(const struct list *head, const struct list *node)
{
	return node->next == head ? NULL : node->next;
}

#endif
