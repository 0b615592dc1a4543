#include "submission/drop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "log.h"
#include "net/dirwatch.h"
#include "submission/dropdir.h"
#include "submission/dropmark.h"
#include "submission/droptake.h"

enum {
	ENTRIES = 64,          /* looked at in a turn */
	PAUSE_MS = 500,        /* between two looks, however much appears */
	JUNK_PAUSE_MS = 60000, /* and where the last one met much that can only be passed over */
	JUNK_MAX = 1000,
	RESTING_MAX = 64, /* users whose mail waits, of one look; beyond that each of their files is tried */
	TOLD_MAX = 20,    /* refusals logged one by one in a look */
	FORGET_MS = 1000, /* how long the writing of an empty mark may wait for company */
	REASON_SIZE = 400,
	WHY_SIZE = 512,
};

struct drop {
	struct session_shared *shared;
	struct dropdir dir;
	struct dirwatch *watch;
	struct dropmarks marks;
	bool marks_changed;      /* since the queue's state was last written without a message */
	struct loop_timer timer; /* the next look, or the next entries of this one */
	int64_t looked_ms;       /* the last look ended */
	/* This look. */
	DIR *listing; /* NULL: none is under way */
	bool look_again;
	uid_t resting[RESTING_MAX];
	size_t resting_count;
	uint64_t put_off, junk, refused;
	uint64_t junk_told; /* logged last */
	/* The file under way. */
	struct droptake *take;
	char name[DROPFILE_NAME_SIZE];
	uid_t uid;
	bool is_clean; /* what had been taken in before we started has been removed */
	bool is_stuck; /* what was taken cannot be removed: nothing more is */
	char why_waiting[WHY_SIZE], why_refused[WHY_SIZE];
	char why_absent[WHY_SIZE]; /* logged last */
};

static void walk(struct drop *d);

/* ---------------------------------------------------------------- marks */

static void read_marks(struct drop *d)
{
	struct queue_view *view = queue_view(d->shared->queue);
	struct queue_bytes value;

	if (view && queue_view_state(view, DROPMARK_STATE, &value) == QUEUE_OK)
		dropmark_read(&d->marks, span_of(value.data, value.len));
	d->marks_changed = d->marks.count > 0;
}

/* The removals so far are flushed, and their marks are no longer needed. */
static void settle_marks(struct drop *d)
{
	int err;

	if (dropmark_whole(&d->marks) == 0 || d->is_stuck)
		return;
	err = dropdir_sync(&d->dir);
	if (err) {
		log_event(LOG_LEVEL_ERROR, "drop-failed", LOG_TEXT("directory", d->dir.path),
			  LOG_TEXT("error", strerror(-err)));
		return;
	}
	dropmark_forget_whole(&d->marks);
	d->marks_changed = true;
}

static void remove_taken(struct drop *d, const char *name)
{
	int err = dropdir_remove(&d->dir, name);

	if (err == 0)
		return;
	d->is_stuck = true;
	log_event(
		LOG_LEVEL_ERROR, "drop-failed", LOG_TEXT("directory", d->dir.path), LOG_TEXT("file", name),
		LOG_TEXT("error", strerror(-err)),
		LOG_TEXT("text", "its message is in the queue but it cannot be removed: no more is taken from there"));
}

/* What was taken in before we started and may still be there. False: it cannot be removed. */
static bool remove_marked(struct drop *d)
{
	for (size_t i = 0; i < d->marks.count && !d->is_stuck; i++)
		if (d->marks.list[i].is_whole)
			remove_taken(d, d->marks.list[i].name);
	settle_marks(d);
	d->is_clean = !d->is_stuck;
	return d->is_clean;
}

/* Files that were taken in part and that their owners have removed since. */
static void forget_missing(struct drop *d)
{
	for (size_t i = d->marks.count; i-- > 0;) {
		if (d->marks.list[i].is_whole || !dropdir_is_missing(&d->dir, d->marks.list[i].name))
			continue;
		dropmark_forget(&d->marks, d->marks.list[i].name);
		d->marks_changed = true;
	}
}

static void write_marks(struct drop *d)
{
	struct queue_op *op;
	struct span value;

	if (!d->marks_changed)
		return;
	d->marks_changed = false;
	value = dropmark_write(&d->marks, NULL);
	op = queue_op_new(d->shared->queue);
	queue_op_state(op, DROPMARK_STATE, (struct queue_bytes){ value.data, value.len });
	queue_op_patience(op, FORGET_MS);
	/* If it fails the next one says the same. */
	queue_op_submit(op, NULL, NULL);
}

static struct dropmark this_mark(const struct drop *d, uint32_t done, bool is_whole)
{
	struct dropmark mark = { .is_whole = is_whole, .done = done, .uid = (uint32_t)d->uid };

	memcpy(mark.name, d->name, sizeof(mark.name));
	return mark;
}

static struct queue_bytes mark(void *arg, uint32_t done, bool is_whole)
{
	struct drop *d = arg;
	struct dropmark also = this_mark(d, done, is_whole);
	struct span value = dropmark_write(&d->marks, &also);

	return (struct queue_bytes){ value.data, value.len };
}

static void on_accepted(void *arg, uint32_t done, bool is_whole)
{
	struct drop *d = arg;
	struct dropmark also = this_mark(d, done, is_whole);

	dropmark_set(&d->marks, &also);
}

/* ---------------------------------------------------------------- what is not taken */

/* At the end of a look those that were not told one by one are counted. */
static void tell(struct drop *d, const char *name, long uid, const char *why)
{
	if (++d->refused > TOLD_MAX)
		return;
	log_event(LOG_LEVEL_WARNING, "drop-refused", LOG_TEXT("file", name), LOG_NUM("uid", uid),
		  LOG_TEXT("reason", why));
}

/* A message that the rules refuse. */
static void refuse_message(struct drop *d, const char *why)
{
	char text[WHY_SIZE];
	int err;

	snprintf(text, sizeof(text), "uid %lu: %s", (unsigned long)d->uid, why);
	err = dropdir_put_aside(&d->dir, d->name, true, text);
	tell(d, d->name, (long)d->uid, why);
	snprintf(d->why_refused, sizeof(d->why_refused), "%s", text);
	if (err)
		d->junk++; /* it stays, and will be met again */
	else
		dropmark_forget(&d->marks, d->name);
	d->marks_changed = true;
}

static void refuse_entry(struct drop *d, const char *name, const char *why)
{
	if (dropdir_put_aside(&d->dir, name, dropfile_is_name(name), why) != 0) {
		d->junk++;
		return;
	}
	tell(d, name, -1, why);
	snprintf(d->why_refused, sizeof(d->why_refused), "%s", why);
}

static bool is_resting(const struct drop *d, uid_t uid)
{
	for (size_t i = 0; i < d->resting_count; i++)
		if (d->resting[i] == uid)
			return true;
	return false;
}

static void put_off(struct drop *d, const char *why)
{
	d->put_off++;
	if (why)
		snprintf(d->why_waiting, sizeof(d->why_waiting), "%s", why);
}

/* ---------------------------------------------------------------- a file */

static void on_ended(void *arg, enum droptake_end end, const char *why)
{
	struct drop *d = arg;
	char text[REASON_SIZE]; /* it dies with the object */

	snprintf(text, sizeof(text), "%s", why);
	droptake_free(d->take);
	d->take = NULL;
	switch (end) {
	case DROPTAKE_DONE:
		remove_taken(d, d->name);
		if (!dropmark_has_room(&d->marks))
			settle_marks(d);
		break;
	case DROPTAKE_LATER:
		put_off(d, text);
		if (d->resting_count < RESTING_MAX)
			d->resting[d->resting_count++] = d->uid;
		break;
	case DROPTAKE_REFUSED: refuse_message(d, text); break;
	}
	walk(d);
}

static void take(struct drop *d, const char *name, const struct dropdir_file *file)
{
	const struct dropmark *known = dropmark_find(&d->marks, name);

	session_refresh_names(d->shared);
	snprintf(d->name, sizeof(d->name), "%.32s", name);
	d->uid = file->uid;
	d->take = droptake_new(&(struct droptake_setup){
		.shared = d->shared,
		.fd = file->fd,
		.file_bytes = file->bytes,
		.uid = file->uid,
		.state = DROPMARK_STATE,
		.done = known ? known->done : 0,
		.may_split = known || dropmark_has_room_in_part(&d->marks, (uint32_t)file->uid),
		.mark = mark,
		.accepted = on_accepted,
		.ended = on_ended,
		.arg = d,
	});
}

/* ---------------------------------------------------------------- a look */

static uint64_t most_bytes(const struct drop *d)
{
	uint64_t message = d->shared->config->queue.max_message_bytes;

	return message ? message + DROPFILE_HEAD_MAX : 0;
}

static bool is_ours(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, DROPDIR_ASIDE) == 0;
}

/* One that cannot even be a message. */
static void consider_stranger(struct drop *d, const char *name)
{
	bool is_unfinished = strncmp(name, DROPFILE_UNFINISHED, strlen(DROPFILE_UNFINISHED)) == 0;

	if (!is_unfinished)
		refuse_entry(d, name, "not made by sendmail");
	else if (dropdir_is_stale(&d->dir, name, loop_wall_ms(d->shared->loop)))
		refuse_entry(d, name, "never finished");
}

/* True: a file is being taken in, and the look goes on when that has ended. */
static bool consider(struct drop *d, const char *name)
{
	const struct dropmark *known = dropmark_find(&d->marks, name);
	struct dropdir_file file;
	const char *why = NULL;

	if (is_ours(name))
		return false;
	if (!dropfile_is_name(name)) {
		consider_stranger(d, name);
		return false;
	}
	if (known && known->is_whole)
		return false; /* it was removed, and readdir() had read it before */
	switch (dropdir_examine(&d->dir, name, most_bytes(d), &file, &why)) {
	case DROPDIR_GONE: return false;
	case DROPDIR_LATER: put_off(d, "it cannot be opened just now"); return false;
	case DROPDIR_BAD: refuse_entry(d, name, why); return false;
	case DROPDIR_FILE: break;
	}
	if (d->shared->is_closed || is_resting(d, file.uid) || !dropmark_has_room(&d->marks)) {
		close(file.fd);
		put_off(d, d->shared->is_closed ? "no new mail is taken just now" : NULL);
		return false;
	}
	take(d, name, &file);
	return true;
}

static void end_look(struct drop *d)
{
	int64_t now_ms = loop_now_ms(d->shared->loop);

	closedir(d->listing);
	d->listing = NULL;
	d->looked_ms = now_ms;
	settle_marks(d);
	forget_missing(d);
	write_marks(d);
	if (d->refused > TOLD_MAX)
		log_event(LOG_LEVEL_WARNING, "drop-refused", LOG_NUM("more", d->refused - TOLD_MAX));
	if (d->junk != d->junk_told)
		log_event(LOG_LEVEL_WARNING, "drop-junk", LOG_TEXT("directory", d->dir.path),
			  LOG_NUM("entries", d->junk), LOG_TEXT("text", "they are no mail and cannot be moved away"));
	d->junk_told = d->junk;
	if (d->look_again)
		loop_timer_in(&d->timer, d->junk > JUNK_MAX ? JUNK_PAUSE_MS : PAUSE_MS);
	else if (!d->watch)
		loop_timer_in(&d->timer, DROP_ABSENT_MS);
	else if (d->put_off)
		loop_timer_in(&d->timer, DROP_RETRY_MS);
}

static void walk(struct drop *d)
{
	const struct dirent *entry;

	for (int i = 0; i < ENTRIES; i++) {
		entry = d->is_stuck ? NULL : readdir(d->listing);
		if (!entry) {
			end_look(d);
			return;
		}
		if (consider(d, entry->d_name))
			return;
	}
	loop_timer_in(&d->timer, 0);
}

static void on_change(void *arg)
{
	drop_look(arg);
}

/* The directory of the configuration is open and watched. */
static bool is_open(struct drop *d)
{
	const char *path = d->shared->config->drop_directory;
	char why[sizeof(d->why_absent)];

	if (dropdir_is(&d->dir, path))
		return true;
	dirwatch_free(d->watch);
	d->watch = NULL;
	dropdir_close(&d->dir);
	if (dropdir_open(&d->dir, path, why, sizeof(why)) != 0) {
		if (strcmp(why, d->why_absent) != 0)
			log_event(LOG_LEVEL_WARNING, "no-drop-directory", LOG_TEXT("reason", why),
				  LOG_TEXT("text", "what sendmail keeps while the agent does not run is not taken in"));
		snprintf(d->why_absent, sizeof(d->why_absent), "%s", why);
		return false;
	}
	d->why_absent[0] = '\0';
	if (dirwatch_new(d->shared->loop, path, on_change, d, &d->watch) != 0)
		d->watch = NULL;
	return true;
}

static void look(struct drop *d)
{
	d->look_again = false;
	d->resting_count = 0;
	d->put_off = d->junk = d->refused = 0;
	d->why_waiting[0] = '\0';
	if (!d->shared->config->drop_directory)
		return;
	d->listing = is_open(d) && (d->is_clean || remove_marked(d)) ? dropdir_list(&d->dir) : NULL;
	if (d->listing)
		walk(d);
	else if (!d->is_stuck)
		loop_timer_in(&d->timer, DROP_ABSENT_MS);
}

static void on_timer(struct loop_timer *timer)
{
	struct drop *d = LIST_ENTRY(timer, struct drop, timer);

	if (d->listing)
		walk(d);
	else if (!d->is_stuck)
		look(d);
}

void drop_look(struct drop *d)
{
	if (d && d->listing)
		d->look_again = true;
	else if (d)
		loop_timer_at(&d->timer, d->looked_ms + (d->junk > JUNK_MAX ? JUNK_PAUSE_MS : PAUSE_MS));
}

/* ---------------------------------------------------------------- */

struct drop *drop_new(struct session_shared *shared)
{
	struct drop *d = MEM_NEW(struct drop);

	d->shared = shared;
	dropdir_init(&d->dir);
	dropmark_init(&d->marks);
	read_marks(d);
	loop_timer_init(&d->timer, shared->loop, on_timer);
	loop_timer_in(&d->timer, 0);
	return d;
}

void drop_free(struct drop *d)
{
	if (!d)
		return;
	loop_timer_stop(&d->timer);
	droptake_free(d->take);
	dirwatch_free(d->watch);
	if (d->listing)
		closedir(d->listing);
	dropdir_close(&d->dir);
	dropmark_fini(&d->marks);
	mem_free(d);
}

void drop_report(const struct drop *d, struct reception_drop *out)
{
	*out = (struct reception_drop){ .directory = "" };
	if (!d || !d->shared->config->drop_directory)
		return;
	out->directory = d->shared->config->drop_directory;
	out->waiting = dropdir_count(&d->dir);
	out->refused = dropdir_count_aside(&d->dir);
	snprintf(out->why_waiting, sizeof(out->why_waiting), "%s",
		 out->waiting == 0  ? ""
		 : d->why_absent[0] ? d->why_absent
				    : d->why_waiting);
	if (out->refused && d->why_refused[0])
		snprintf(out->why_refused, sizeof(out->why_refused), "%s", d->why_refused);
	else if (out->refused)
		dropdir_why(&d->dir, out->why_refused, sizeof(out->why_refused));
}
