#include "tools/sendmail_drop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	PIECE = 64 * 1024,
	SPARE_BYTES = 1024 * 1024, /* that the disk must have beyond the message */
};

void sendmail_drop_init(struct sendmail_drop *d)
{
	memset(d, 0, sizeof(*d));
	d->folder = d->file = -1;
	buf_init(&d->out, 2 * PIECE);
}

void sendmail_drop_fini(struct sendmail_drop *d)
{
	if (d->unfinished[0])
		unlinkat(d->folder, d->unfinished, 0);
	if (d->file >= 0)
		close(d->file);
	if (d->folder >= 0)
		close(d->folder);
	d->folder = d->file = -1;
	d->unfinished[0] = '\0';
	buf_fini(&d->out);
}

static int failed(struct sendmail_drop *d, const char *what, int error)
{
	snprintf(d->error, sizeof(d->error), "%s in %.200s: %s", what, d->path, strerror(error));
	return EX_TEMPFAIL;
}

/* ---------------------------------------------------------------- directory and file */

static int open_folder(struct sendmail_drop *d)
{
	int flags = O_DIRECTORY | O_CLOEXEC;

	d->folder = open(d->path, O_RDONLY | flags);
	d->is_listable = d->folder >= 0;
	if (d->folder < 0 && errno == EACCES)
		d->folder = open(d->path, O_PATH | flags);
	return d->folder < 0 ? failed(d, "it cannot be kept", errno) : EX_OK;
}

static bool make_name(struct sendmail_drop *d)
{
	unsigned char bytes[DROPFILE_NAME_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(d->name + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

/* A file without a name; on file systems that have none, one whose name says that it is not finished. */
static int open_file(struct sendmail_drop *d)
{
#ifdef O_TMPFILE
	d->file = openat(d->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	/* Its name is given to it through /proc, which is missing in some changed roots. */
	if (d->file >= 0 && access("/proc/self/fd", X_OK) == 0)
		return EX_OK;
	if (d->file >= 0)
		close(d->file);
#endif
	snprintf(d->unfinished, sizeof(d->unfinished), DROPFILE_UNFINISHED "%s", d->name);
	d->file = openat(d->folder, d->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->file >= 0)
		return EX_OK;
	d->unfinished[0] = '\0';
	return failed(d, "it cannot be kept", errno);
}

/* The directory is the agent's. An agent that is neither root nor ourselves reads the file as the directory's group,
 * which a set-group-id directory gives to it. */
static int hand_over(struct sendmail_drop *d)
{
	struct stat folder, file;

	if (fstat(d->folder, &folder) < 0 || fstat(d->file, &file) < 0)
		return failed(d, "it cannot be kept", errno);
	if ((folder.st_mode & S_ISGID) && folder.st_gid == file.st_gid) {
		if (fchmod(d->file, 0640) < 0)
			return failed(d, "it cannot be kept", errno);
	} else if (folder.st_uid != 0 && folder.st_uid != file.st_uid) {
		snprintf(d->error, sizeof(d->error), "it cannot be kept in %.200s: that directory must have mode 3733",
			 d->path);
		return EX_TEMPFAIL;
	}
	return EX_OK;
}

static int check_space(struct sendmail_drop *d, uint64_t bytes)
{
	struct statvfs disk;
	uint64_t left;

	if (fstatvfs(d->file, &disk) < 0)
		return EX_OK; /* writing will tell */
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	return left < bytes || left - bytes < SPARE_BYTES ? failed(d, "it cannot be kept", ENOSPC) : EX_OK;
}

/* ---------------------------------------------------------------- writing */

static int flush(struct sendmail_drop *d)
{
	while (!buf_is_empty(&d->out)) {
		struct span bytes = buf_span(&d->out);
		ssize_t n = write(d->file, bytes.data, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(d, "it cannot be written", errno);
		buf_consume(&d->out, (size_t)n);
	}
	return EX_OK;
}

static int write_head(struct sendmail_drop *d, const struct sendmail_envelope *e)
{
	bool ok = buf_append_str(&d->out, DROPFILE_MAGIC) &&
		  sendmail_envelope_mail(e, SENDMAIL_ENVELOPE_ALL, &d->out) && buf_append_str(&d->out, "\r\n");
	int status = EX_OK;

	for (size_t i = 0; ok && status == EX_OK && i < e->recipient_count; i++) {
		ok = sendmail_envelope_rcpt(e, i, SENDMAIL_ENVELOPE_ALL, &d->out) && buf_append_str(&d->out, "\r\n");
		if (d->out.len >= PIECE)
			status = flush(d);
	}
	ok = ok && dropfile_body_line(&d->out, e->size_bytes);
	return ok ? status : failed(d, "it cannot be kept", EMSGSIZE);
}

int sendmail_drop_begin(struct sendmail_drop *d, const char *path, const struct sendmail_envelope *e)
{
	int status;

	d->path = path;
	d->promised_bytes = e->size_bytes;
	if (!make_name(d))
		return failed(d, "it cannot be kept", errno);
	status = open_folder(d);
	if (status == EX_OK)
		status = open_file(d);
	if (status == EX_OK)
		status = hand_over(d);
	if (status == EX_OK)
		status = check_space(d, e->size_bytes);
	return status == EX_OK ? write_head(d, e) : status;
}

int sendmail_drop_data(struct sendmail_drop *d, struct span bytes)
{
	int status = EX_OK;

	if (bytes.len > d->promised_bytes)
		return failed(d, "it cannot be kept", EMSGSIZE);
	d->promised_bytes -= bytes.len;
	while (status == EX_OK && bytes.len) {
		struct span piece = span_first(bytes, PIECE);

		bytes = span_from(bytes, piece.len);
		if (!buf_append_span(&d->out, piece)) {
			status = flush(d);
			buf_append_span(&d->out, piece);
		}
	}
	return status;
}

/* ---------------------------------------------------------------- the name */

static int give_name(struct sendmail_drop *d)
{
	char path[64];

	if (d->unfinished[0]) {
		if (renameat(d->folder, d->unfinished, d->folder, d->name) < 0)
			return failed(d, "it cannot be kept", errno);
		d->unfinished[0] = '\0';
		return EX_OK;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->file);
	if (linkat(AT_FDCWD, path, d->folder, d->name, AT_SYMLINK_FOLLOW) < 0)
		return failed(d, "it cannot be kept", errno);
	return EX_OK;
}

int sendmail_drop_finish(struct sendmail_drop *d)
{
	int status = d->promised_bytes ? failed(d, "it cannot be kept", EMSGSIZE) : flush(d);

	if (status == EX_OK && fsync(d->file) < 0)
		status = failed(d, "it cannot be written", errno);
	if (status == EX_OK)
		status = give_name(d);
	if (status != EX_OK)
		return status;
	/* A directory that may not be read cannot be opened to be flushed: then all of its file system is. */
	if ((d->is_listable ? fsync(d->folder) : syncfs(d->file)) == 0)
		return EX_OK;
	status = failed(d, "it cannot be written", errno);
	/* Not kept for sure, so not kept at all, if that is still possible: whoever called us will try again. */
	unlinkat(d->folder, d->name, 0);
	return status;
}

bool sendmail_drop_count(const char *path, uint64_t *out_count)
{
	DIR *folder = opendir(path);
	uint64_t count = 0;

	if (!folder)
		return false;
	for (const struct dirent *entry; (entry = readdir(folder));)
		count += dropfile_is_name(entry->d_name);
	closedir(folder);
	*out_count = count;
	return true;
}
