#include "queue/store.h"

#include "queue/pagecheck.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Looked at before LMDB is let at the file: all of a small queue, and little enough of a large one on a cold disk. */
enum { PAGES_AT_OPEN = 2048, MS_AT_OPEN = 8 };

static const char *const tree_names[STORE_TREES] = { "mail", "schedule", "state", "history" };

struct store {
	MDB_env *env;
	MDB_dbi trees[STORE_TREES];
	int fd;
	bool (*fail)(void *arg, const char *what);
	void *arg;
};

bool store_must_fail(const struct store *s, const char *what)
{
	return s->fail && s->fail(s->arg, what);
}

/* LMDB says EIO when a write came back short: the usual cause is a full disk, so ask. */
static bool disk_is_full(const struct store *s)
{
	struct statvfs v;

	return s && fstatvfs(s->fd, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < 1 << 20;
}

static enum queue_err map_error(const struct store *s, int rc)
{
	switch (rc) {
	case MDB_SUCCESS: return QUEUE_OK;
	case MDB_NOTFOUND: return QUEUE_NOT_FOUND;
	case MDB_KEYEXIST: return QUEUE_INVALID;
	case MDB_MAP_FULL: return QUEUE_QUOTA;
	case MDB_TXN_FULL: return QUEUE_TOO_BIG;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_VALSIZE:
	case MDB_BAD_DBI:
	case MDB_CURSOR_FULL: return QUEUE_DAMAGED;
	case MDB_VERSION_MISMATCH: return QUEUE_SCHEMA;
	case ENOMEM: return QUEUE_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return QUEUE_DISK_FULL;
	case EIO: return disk_is_full(s) ? QUEUE_DISK_FULL : QUEUE_IO;
	default: return QUEUE_IO;
	}
}

enum queue_err store_fail(struct store_txn *t, enum queue_err err)
{
	if (t->err == QUEUE_OK)
		t->err = err;
	return t->err;
}

/* Not finding is an answer, not a failure. */
static enum queue_err judge(struct store_txn *t, int rc)
{
	if (rc == MDB_SUCCESS)
		return QUEUE_OK;
	if (rc == MDB_NOTFOUND)
		return QUEUE_NOT_FOUND;
	return store_fail(t, map_error(t->store, rc));
}

/* ---------------------------------------------------------------- open and close */

static int open_file(const struct store_config *c, char *why, size_t why_size)
{
	int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	snprintf(why, why_size, "%s: %s", c->path, fd < 0 ? strerror(errno) : "not a regular file");
	if (fd >= 0)
		close(fd);
	return -1;
}

static enum queue_err check_file(const struct store_config *c, char *why, size_t why_size)
{
	char problem[160];
	int fd = open_file(c, why, why_size);
	enum queue_err err;

	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? QUEUE_DISK_FULL : QUEUE_IO;
	err = pagecheck_file(fd, PAGES_AT_OPEN, MS_AT_OPEN, problem, sizeof problem);
	close(fd);
	if (err != QUEUE_OK)
		snprintf(why, why_size, "%s %s", c->path, problem);
	return err;
}

/* Trees are made in a new file only: in an old one their absence is damage, not a reason to write. */
static int open_trees(struct store *s)
{
	MDB_envinfo info;
	MDB_txn *txn = NULL;
	bool is_new;
	int rc;

	mdb_env_info(s->env, &info);
	is_new = info.me_last_txnid == 0;
	rc = mdb_txn_begin(s->env, NULL, is_new ? 0 : MDB_RDONLY, &txn);
	for (int i = 0; i < STORE_TREES && rc == 0; i++)
		rc = mdb_dbi_open(txn, tree_names[i], is_new ? MDB_CREATE : 0, &s->trees[i]);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static int open_env(struct store *s, const struct store_config *c)
{
	int rc = mdb_env_create(&s->env);

	if (rc != 0)
		return rc;
	if ((rc = mdb_env_set_mapsize(s->env, (size_t)c->map_bytes)) != 0 ||
	    (rc = mdb_env_set_maxdbs(s->env, STORE_TREES)) != 0 ||
	    (rc = mdb_env_open(s->env, c->path, MDB_NOSUBDIR | MDB_NOTLS, 0600)) != 0 ||
	    (rc = mdb_env_get_fd(s->env, &s->fd)) != 0)
		return rc;
	if (fcntl(s->fd, F_SETFD, FD_CLOEXEC) != 0)
		return errno;
	return open_trees(s);
}

enum queue_err store_open(const struct store_config *config, struct store **out_store, char *why, size_t why_size)
{
	struct store *s;
	enum queue_err err = check_file(config, why, why_size);
	int rc;

	if (err != QUEUE_OK)
		return err;
	s = calloc(1, sizeof *s);
	if (!s)
		return QUEUE_NO_MEMORY;
	s->fd = -1;
	s->fail = config->fail;
	s->arg = config->arg;
	rc = open_env(s, config);
	if (rc != 0) {
		err = map_error(s->fd >= 0 ? s : NULL, rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc);
		snprintf(why, why_size, "%s: %s", config->path,
			 err == QUEUE_IO ? mdb_strerror(rc) : queue_err_text(err));
		store_close(s);
		return err;
	}
	*out_store = s;
	return QUEUE_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	free(s);
}

/* ---------------------------------------------------------------- transactions */

enum queue_err store_begin(struct store *s, struct store_txn *parent, struct store_txn *out_txn)
{
	*out_txn = (struct store_txn){ .store = s };
	if (store_must_fail(s, "begin"))
		return store_fail(out_txn, QUEUE_NO_MEMORY);
	return judge(out_txn, mdb_txn_begin(s->env, parent ? parent->txn : NULL, 0, &out_txn->txn));
}

/* A writing transaction's cursors end with it. */
static void forget(struct store_txn *t)
{
	t->txn = NULL;
	memset(t->cursors, 0, sizeof t->cursors);
}

static void close_cursors(struct store_txn *t)
{
	for (int i = 0; i < STORE_TREES; i++)
		if (t->cursors[i])
			mdb_cursor_close(t->cursors[i]);
}

enum queue_err store_commit(struct store_txn *t)
{
	enum queue_err err;

	if (!t->txn)
		return store_fail(t, QUEUE_INVALID);
	if (t->err != QUEUE_OK || store_must_fail(t->store, "commit")) {
		err = store_fail(t, QUEUE_IO);
		store_abort(t);
		return err;
	}
	close_cursors(t);
	err = judge(t, mdb_txn_commit(t->txn));
	forget(t);
	return err;
}

void store_abort(struct store_txn *t)
{
	if (!t->txn)
		return;
	close_cursors(t);
	mdb_txn_abort(t->txn);
	forget(t);
}

enum queue_err store_read(struct store *s, struct store_txn *t)
{
	if (t->txn) {
		t->err = QUEUE_OK;
		return judge(t, mdb_txn_renew(t->txn));
	}
	*t = (struct store_txn){ .store = s, .is_reader = true };
	if (store_must_fail(s, "read"))
		return store_fail(t, QUEUE_NO_MEMORY);
	return judge(t, mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t->txn));
}

void store_read_reset(struct store_txn *t)
{
	close_cursors(t);
	memset(t->cursors, 0, sizeof t->cursors);
	mdb_txn_reset(t->txn);
}

void store_read_end(struct store_txn *t)
{
	store_abort(t);
}

/* ---------------------------------------------------------------- records */

static MDB_cursor *cursor(struct store_txn *t, enum store_tree tree)
{
	if (t->err == QUEUE_OK && !t->cursors[tree])
		judge(t, mdb_cursor_open(t->txn, t->store->trees[tree], &t->cursors[tree]));
	return t->err == QUEUE_OK ? t->cursors[tree] : NULL;
}

/* A writing transaction's lookups and writes go through its cursors: what lies beside the last record of a tree, as the
 * records of one message do, is found on the cursor's page, without a search from the root. */
enum queue_err store_get(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
			 struct queue_bytes *out_value)
{
	MDB_val k = { .mv_size = key_len, .mv_data = (void *)key }, v;
	MDB_cursor *c = t->is_reader ? NULL : cursor(t, tree);
	enum queue_err err;

	if (t->err != QUEUE_OK)
		return t->err;
	err = judge(t, c ? mdb_cursor_get(c, &k, &v, MDB_SET) : mdb_get(t->txn, t->store->trees[tree], &k, &v));
	if (err == QUEUE_OK)
		*out_value = (struct queue_bytes){ .data = v.mv_data, .len = v.mv_size };
	return err;
}

static enum queue_err hand_out(struct store_txn *t, int rc, const MDB_val *k, const MDB_val *v,
			       struct queue_bytes *out_key, struct queue_bytes *out_value)
{
	enum queue_err err = judge(t, rc);

	if (err != QUEUE_OK)
		return err;
	*out_key = (struct queue_bytes){ .data = k->mv_data, .len = k->mv_size };
	if (out_value)
		*out_value = (struct queue_bytes){ .data = v->mv_data, .len = v->mv_size };
	return QUEUE_OK;
}

enum queue_err store_seek(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
			  struct queue_bytes *out_key, struct queue_bytes *out_value)
{
	MDB_val k = { .mv_size = key_len, .mv_data = (void *)key }, v = { 0 };
	MDB_cursor *c = cursor(t, tree);

	if (!c)
		return t->err;
	return hand_out(t, mdb_cursor_get(c, &k, &v, MDB_SET_RANGE), &k, &v, out_key, out_value);
}

enum queue_err store_seek_before(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
				 struct queue_bytes *out_key, struct queue_bytes *out_value)
{
	MDB_val k = { .mv_size = key_len, .mv_data = (void *)key }, v = { 0 };
	MDB_cursor *c = cursor(t, tree);
	int rc;

	if (!c)
		return t->err;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	if (rc == 0 || rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(c, &k, &v, rc == 0 ? MDB_PREV : MDB_LAST);
	return hand_out(t, rc, &k, &v, out_key, out_value);
}

enum queue_err store_next(struct store_txn *t, enum store_tree tree, struct queue_bytes *out_key,
			  struct queue_bytes *out_value)
{
	MDB_val k = { 0 }, v = { 0 };
	MDB_cursor *c = cursor(t, tree);

	if (!c)
		return t->err;
	return hand_out(t, mdb_cursor_get(c, &k, &v, MDB_NEXT), &k, &v, out_key, out_value);
}

static enum queue_err write_record(struct store_txn *t, enum store_tree tree, struct queue_bytes key, const void *value,
				   size_t value_len, unsigned flags)
{
	MDB_val k = { .mv_size = key.len, .mv_data = (void *)key.data };
	MDB_val v = { .mv_size = value_len, .mv_data = (void *)value };
	MDB_cursor *c = cursor(t, tree);

	if (!c)
		return t->err;
	if (store_must_fail(t->store, "put"))
		return store_fail(t, QUEUE_NO_MEMORY);
	t->writes++;
	return judge(t, mdb_cursor_put(c, &k, &v, flags));
}

enum queue_err store_put(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, const void *value,
			 size_t value_len)
{
	return write_record(t, tree, (struct queue_bytes){ key, key_len }, value, value_len, 0);
}

enum queue_err store_add(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, const void *value,
			 size_t value_len)
{
	return write_record(t, tree, (struct queue_bytes){ key, key_len }, value, value_len, MDB_NOOVERWRITE);
}

uint8_t *store_reserve(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, size_t value_len)
{
	MDB_val k = { .mv_size = key_len, .mv_data = (void *)key }, v = { .mv_size = value_len };
	MDB_cursor *c = cursor(t, tree);

	if (t->err == QUEUE_OK && store_must_fail(t->store, "put"))
		store_fail(t, QUEUE_NO_MEMORY);
	if (t->err != QUEUE_OK)
		return NULL;
	t->writes++;
	if (judge(t, mdb_cursor_put(c, &k, &v, MDB_RESERVE)) != QUEUE_OK)
		return NULL;
	return v.mv_data;
}

enum queue_err store_del(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len)
{
	MDB_val k = { .mv_size = key_len, .mv_data = (void *)key }, v;
	MDB_cursor *c = cursor(t, tree);
	int rc;

	if (!c)
		return t->err;
	if (store_must_fail(t->store, "del"))
		return store_fail(t, QUEUE_NO_MEMORY);
	t->writes++;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	return judge(t, rc == 0 ? mdb_cursor_del(c, 0) : rc);
}

/* ---------------------------------------------------------------- facts */

int store_fd(const struct store *s)
{
	return s->fd;
}

void store_space(const struct store *s, struct store_space *out)
{
	MDB_envinfo info;
	MDB_stat st;

	mdb_env_info(s->env, &info);
	mdb_env_stat(s->env, &st);
	*out = (struct store_space){ .page_bytes = st.ms_psize,
				     .last_page = info.me_last_pgno,
				     .map_bytes = info.me_mapsize,
				     .txn_id = info.me_last_txnid };
}

/* The free list is tree 0: a transaction's number, and behind it a list of page numbers led by their count. */
enum queue_err store_free_pages(struct store_txn *t, uint64_t *out_pages)
{
	MDB_cursor *c = NULL;
	MDB_val k = { 0 }, v = { 0 };
	uint64_t pages = 0;
	enum queue_err err = judge(t, mdb_cursor_open(t->txn, 0, &c));
	size_t n;

	while (err == QUEUE_OK && (err = judge(t, mdb_cursor_get(c, &k, &v, MDB_NEXT))) == QUEUE_OK) {
		if (v.mv_size < sizeof n)
			continue;
		memcpy(&n, v.mv_data, sizeof n);
		pages += n;
	}
	if (c)
		mdb_cursor_close(c);
	if (err != QUEUE_NOT_FOUND)
		return err;
	*out_pages = pages;
	return QUEUE_OK;
}

enum queue_err store_entries(struct store_txn *t, enum store_tree tree, uint64_t *out_count)
{
	MDB_stat st;
	enum queue_err err = judge(t, mdb_stat(t->txn, t->store->trees[tree], &st));

	if (err == QUEUE_OK)
		*out_count = st.ms_entries;
	return err;
}

int store_clear_readers(struct store *s)
{
	int dead = 0;

	return mdb_reader_check(s->env, &dead) == 0 ? dead : 0;
}

enum queue_err store_copy(struct store *s, int fd, bool compact)
{
	return map_error(NULL, mdb_env_copyfd2(s->env, fd, compact ? MDB_CP_COMPACT : 0));
}
