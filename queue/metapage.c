#include "queue/metapage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LMDB 0.9's data format 1: native byte order and word size. */
enum { MAGIC = (int)0xBEEFC0DE, FORMAT = 1, META_FLAG = 0x08, PAGE_MIN = 512, PAGE_MAX = 65536 };
#define NO_PAGE UINT64_MAX

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

static bool root_is_sane(const struct meta *m, int tree)
{
	uint64_t root = m->trees[tree].root;

	return root == NO_PAGE || (root >= 2 && root <= m->last_page);
}

static bool meta_is_sane(const struct meta *m)
{
	uint32_t page = m->trees[0].pad;

	return m->magic == (uint32_t)MAGIC && m->format == FORMAT && (m->page_flags & META_FLAG) && page >= PAGE_MIN &&
	       page <= PAGE_MAX && (page & (page - 1)) == 0 && m->last_page >= 1 && root_is_sane(m, 0) &&
	       root_is_sane(m, 1);
}

enum queue_err metapage_check(int fd, char *why, size_t why_size)
{
	struct meta m[2];
	const struct meta *newest;
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return QUEUE_IO;
	}
	if (st.st_size == 0)
		return QUEUE_OK;
	for (int i = 0; i < 2; i++) {
		got = pread(fd, &m[i], sizeof m[i], i ? m[0].trees[0].pad : 0);
		if (got < 0) {
			snprintf(why, why_size, "cannot be read: %s", strerror(errno));
			return QUEUE_IO;
		}
		if (got != sizeof m[i] || !meta_is_sane(&m[i])) {
			snprintf(why, why_size, "is not a queue file, or its first pages are damaged");
			return QUEUE_DAMAGED;
		}
	}
	if (m[0].trees[0].pad != m[1].trees[0].pad) {
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
	return QUEUE_OK;
}
