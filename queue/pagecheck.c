#include "queue/pagecheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* LMDB 0.9's data format 1. A page: number 8, pad 2, flags 2, lower 2, upper 2 (of an overflow run: pages 4), then the
 * offsets of its nodes. A node: size 4 (of a branch: the child's number in 6), flags 2, key size 2, key, data. */
enum { HEAD = 16, NODE = 8, BRANCH = 0x01, LEAF = 0x02, OVERFLOW = 0x04, BIG = 0x01, TREE = 0x02, KEY_MAX = 511 };
enum { PAGES_ALWAYS = 256, PAGES_A_LOOK = 16 };
enum { TREE_BYTES = 48, TREE_DEPTH_AT = 6, TREE_ROOT_AT = 40, DEPTH_MAX = 32 };

struct walk {
	int fd;
	struct metapage meta;
	uint64_t budget, page; /* at hand */
	int64_t until_ns;      /* 0: as long as it takes */
	unsigned walked;
	const char *problem;
	bool is_free_list, is_io_error;
	uint8_t *buffers; /* one page per level, and one for runs */
	uint8_t *free;    /* a bit per page: on the free list */
};

static uint64_t load(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len); /* in the machine's own order, as LMDB writes it; little-endian where len < 8 */
	return v;
}

static unsigned load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static bool bad(struct walk *w, uint64_t page, const char *problem)
{
	w->page = page;
	w->problem = problem;
	return false;
}

static bool read_page(struct walk *w, uint64_t page, uint8_t *out)
{
	if (page < 2 || page > w->meta.last_page)
		return bad(w, page, "lies outside the file");
	if (pread(w->fd, out, w->meta.page_bytes, (off_t)(page * w->meta.page_bytes)) != (ssize_t)w->meta.page_bytes) {
		w->is_io_error = true;
		return bad(w, page, "cannot be read");
	}
	if (load(out, 8) != page)
		return bad(w, page, "has another page's number");
	/* An older state of the tree lies in such pages: whole, and wrong. */
	if (!w->is_free_list && (w->free[page / 8] & 1 << page % 8))
		return bad(w, page, "is in use and on the list of free pages");
	return true;
}

/* The pages that LMDB may use again: a count, and numbers in falling order. */
static bool check_free(struct walk *w, uint64_t page, const uint8_t *data, size_t len, uint64_t *left, uint64_t *before)
{
	size_t at = 0;

	if (*left == UINT64_MAX) {
		if (len < 8)
			return bad(w, page, "has a damaged list of free pages");
		*left = load(data, 8);
		at = 8;
	}
	for (; at + 8 <= len && *left > 0; at += 8, (*left)--) {
		uint64_t number = load(data + at, 8);

		if (number < 2 || number > w->meta.last_page || number >= *before)
			return bad(w, page, "has a damaged list of free pages");
		*before = number;
		w->free[number / 8] |= (uint8_t)(1 << number % 8);
	}
	return true;
}

/* A value on pages of its own. Only lists of free pages are read. */
static bool check_run(struct walk *w, uint64_t page, uint64_t size)
{
	uint8_t *buffer = w->buffers + DEPTH_MAX * w->meta.page_bytes;
	uint64_t pages, needed = (HEAD + size + w->meta.page_bytes - 1) / w->meta.page_bytes;
	uint64_t left = UINT64_MAX, before = UINT64_MAX;

	if (!read_page(w, page, buffer))
		return false;
	pages = load(buffer + 12, 4);
	if (load16(buffer + 10) != OVERFLOW || pages < needed || page + pages - 1 > w->meta.last_page)
		return bad(w, page, "is not the long value that it should be");
	if (!w->is_free_list)
		return true;
	for (uint64_t i = 0, at = HEAD; i < needed; i++, at = 0) {
		uint64_t part = w->meta.page_bytes - at < size ? w->meta.page_bytes - at : size;

		if (i > 0 && pread(w->fd, buffer, w->meta.page_bytes, (off_t)((page + i) * w->meta.page_bytes)) !=
				     (ssize_t)w->meta.page_bytes)
			return bad(w, page, "cannot be read");
		if (!check_free(w, page, buffer + at, part, &left, &before))
			return false;
		size -= part;
	}
	return left == 0 || bad(w, page, "has a damaged list of free pages");
}

static bool walk_tree(struct walk *w, uint64_t page, unsigned depth, unsigned level);

static bool check_leaf(struct walk *w, uint64_t page, const uint8_t *node, size_t room, unsigned level)
{
	uint64_t size = load(node, 4), left = UINT64_MAX, before = UINT64_MAX;
	unsigned flags = load16(node + 4), key = load16(node + 6);
	const uint8_t *data = node + NODE + key;

	if (flags & ~(unsigned)(BIG | TREE))
		return bad(w, page, "has a record of an unknown kind");
	if (NODE + key + (flags & BIG ? 8 : size) > room)
		return bad(w, page, "has a record that does not fit");
	if (flags & BIG)
		return check_run(w, load(data, 8), size);
	if (w->is_free_list)
		return check_free(w, page, data, size, &left, &before) &&
		       (left == 0 || bad(w, page, "has a damaged list of free pages"));
	if (!(flags & TREE))
		return true;
	if (size != TREE_BYTES || level != 0)
		return bad(w, page, "has a damaged tree");
	if (load(data + TREE_ROOT_AT, 8) == METAPAGE_NONE)
		return true;
	/* The tree of trees is small: its level is above those of the tree. */
	return walk_tree(w, load(data + TREE_ROOT_AT, 8), load16(data + TREE_DEPTH_AT), 1);
}

static bool check_nodes(struct walk *w, uint64_t page, const uint8_t *p, unsigned depth, unsigned level)
{
	unsigned flags = load16(p + 10), lower = load16(p + 12), upper = load16(p + 14);
	size_t size = w->meta.page_bytes;

	if (flags != (depth == 1 ? LEAF : BRANCH) || lower < HEAD || lower > upper || upper > size || lower % 2)
		return bad(w, page, "has a damaged head");
	if (flags == BRANCH && lower < HEAD + 4)
		return bad(w, page, "has too few branches");
	for (unsigned at = HEAD; at < lower; at += 2) {
		unsigned offset = load16(p + at), key;

		if (offset < upper || offset + NODE > size || offset % 2)
			return bad(w, page, "has a record outside of itself");
		key = load16(p + offset + 6);
		if (key > KEY_MAX || offset + NODE + key > size)
			return bad(w, page, "has a key that does not fit");
		if (flags == LEAF ? !check_leaf(w, page, p + offset, size - offset, level)
				  : !walk_tree(w, load(p + offset, 6), depth - 1, level + 1))
			return false;
	}
	return true;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Some pages are looked at however slow the disk is. */
static bool is_late(struct walk *w)
{
	if (w->until_ns == 0 || w->walked < PAGES_ALWAYS || w->walked % PAGES_A_LOOK)
		return false;
	if (now_ns() < w->until_ns)
		return false;
	w->budget = 0;
	return true;
}

/* `depth` levels are left, the leaf's included, so that a page that leads back to itself ends the walk. */
static bool walk_tree(struct walk *w, uint64_t page, unsigned depth, unsigned level)
{
	uint8_t *p = w->buffers + level * w->meta.page_bytes;

	if (w->budget == 0 || is_late(w))
		return true;
	w->budget--;
	w->walked++;
	if (depth == 0 || depth > DEPTH_MAX || level >= DEPTH_MAX)
		return bad(w, page, "lies too deep");
	return read_page(w, page, p) && check_nodes(w, page, p, depth, level);
}

static bool walk_file(struct walk *w)
{
	const struct metapage *m = &w->meta;

	w->is_free_list = true;
	if (m->free_list.root != METAPAGE_NONE && !walk_tree(w, m->free_list.root, m->free_list.depth, 0))
		return false;
	w->is_free_list = false;
	return m->trees.root == METAPAGE_NONE || walk_tree(w, m->trees.root, m->trees.depth, 0);
}

enum queue_err pagecheck_file(int fd, uint64_t budget, unsigned limit_ms, char *why, size_t why_size)
{
	struct walk w = { .fd = fd,
			  .budget = budget,
			  .until_ns = limit_ms ? now_ns() + limit_ms * (int64_t)1000000 : 0 };
	enum queue_err err = metapage_read(fd, &w.meta, why, why_size);

	/* Nodes hold numbers of six bytes, which lie otherwise on big-endian machines. */
	if (err != QUEUE_OK || w.meta.page_bytes == 0 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return err;
	w.buffers = malloc((DEPTH_MAX + 1) * w.meta.page_bytes);
	w.free = calloc(1, w.meta.last_page / 8 + 1);
	if (!w.buffers || !w.free) {
		snprintf(why, why_size, "cannot be checked: out of memory");
		err = QUEUE_NO_MEMORY;
	} else if (!walk_file(&w)) {
		snprintf(why, why_size, "is damaged: page %llu %s", (unsigned long long)w.page, w.problem);
		err = w.is_io_error ? QUEUE_IO : QUEUE_DAMAGED;
	}
	free(w.buffers);
	free(w.free);
	return err;
}
