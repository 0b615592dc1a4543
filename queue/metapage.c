#include "queue/metapage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LMDB 0.9's data format 1: native byte order and word size. */
#define MAGIC 0xBEEFC0DEu
enum {
	FORMAT = 1,
	META_FLAG = 0x08,
	FREE_LIST_FLAGS = 0x08,
	NO_SUBDIR = 0x4000,
	PAGE_MIN = 512,
	PAGE_MAX = 65536,
	DEPTH_MAX = 32
};

struct tree {
	uint32_t pad; /* of the first tree: the page size */
	uint16_t flags, depth;
	uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta {
	uint64_t page_number;
	uint16_t pad, page_flags, lower, upper;
	uint32_t magic, format;
	uint64_t address, map_size;
	struct tree trees[2];
	uint64_t last_page, txn_id;
};

static bool tree_is_sane(const struct meta *m, int tree, uint16_t flags)
{
	const struct tree *t = &m->trees[tree];

	if ((t->flags & ~NO_SUBDIR) != flags || t->branch_pages > m->last_page || t->leaf_pages > m->last_page ||
	    t->overflow_pages > m->last_page)
		return false;
	if (t->root == METAPAGE_NONE)
		return t->depth == 0 && t->entries == 0;
	return t->depth > 0 && t->depth <= DEPTH_MAX && t->root >= 2 && t->root <= m->last_page;
}

static bool meta_is_sane(const struct meta *m, unsigned index)
{
	uint32_t page = m->trees[0].pad;

	return m->magic == MAGIC && m->format == FORMAT && m->page_number == index && m->page_flags == META_FLAG &&
	       page >= PAGE_MIN && page <= PAGE_MAX && (page & (page - 1)) == 0 && m->last_page >= 1 &&
	       tree_is_sane(m, 0, FREE_LIST_FLAGS) && tree_is_sane(m, 1, 0);
}

/* Commits take the two pages in turn. */
static bool numbers_are_sane(const struct meta m[2])
{
	uint64_t even = m[0].txn_id, odd = m[1].txn_id;

	return (even == 0 || even % 2 == 0) && (odd == 0 || odd % 2 == 1) &&
	       (even > odd ? even - odd : odd - even) <= 1;
}

static struct metapage_tree tree_of(const struct tree *t)
{
	return (struct metapage_tree){ .root = t->root, .depth = t->depth };
}

enum queue_err metapage_read(int fd, struct metapage *out, char *why, size_t why_size)
{
	struct meta m[2];
	const struct meta *newest;
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return QUEUE_IO;
	}
	if (st.st_size == 0) {
		*out = (struct metapage){ 0 };
		return QUEUE_OK;
	}
	for (int i = 0; i < 2; i++) {
		got = pread(fd, &m[i], sizeof m[i], i ? m[0].trees[0].pad : 0);
		if (got < 0) {
			snprintf(why, why_size, "cannot be read: %s", strerror(errno));
			return QUEUE_IO;
		}
		if (got != sizeof m[i] || !meta_is_sane(&m[i], (unsigned)i)) {
			snprintf(why, why_size, "is not a queue file, or its first pages are damaged");
			return QUEUE_DAMAGED;
		}
	}
	if (m[0].trees[0].pad != m[1].trees[0].pad || !numbers_are_sane(m)) {
		snprintf(why, why_size, "is damaged: its two first pages disagree");
		return QUEUE_DAMAGED;
	}
	newest = &m[m[1].txn_id > m[0].txn_id];
	if ((uint64_t)st.st_size / newest->trees[0].pad <= newest->last_page && newest->txn_id > 0) {
		snprintf(why, why_size, "was cut: it should have %llu bytes and has %llu",
			 (unsigned long long)((newest->last_page + 1) * newest->trees[0].pad),
			 (unsigned long long)st.st_size);
		return QUEUE_DAMAGED;
	}
	*out = (struct metapage){ .page_bytes = newest->trees[0].pad,
				  .last_page = newest->last_page,
				  .free_list = tree_of(&newest->trees[0]),
				  .trees = tree_of(&newest->trees[1]) };
	return QUEUE_OK;
}
