#include "net/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

enum { FILE_MAX = 1024 * 1024 };

/* Reads a PEM file. A private one must not be open to everybody. */
static int read_file(const char *path, bool private, struct buf *out, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	struct stat st;
	char *room;
	ssize_t n = 1;

	if (fd < 0) {
		error = errno;
	} else if (fstat(fd, &st) != 0) {
		error = errno;
	} else if (private && st.st_mode & S_IROTH) {
		snprintf(why, why_size, "%s: everybody may read this key - run: chmod 600 %s", path, path);
		close(fd);
		return -EACCES;
	}
	while (!error && n > 0) {
		room = buf_reserve(out, 16 * 1024);
		n = room ? read(fd, room, 16 * 1024) : -1;
		if (n < 0)
			error = room ? errno : EFBIG;
		else
			buf_commit(out, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	if (error)
		snprintf(why, why_size, "%s: %s", path, strerror(error));
	return -error;
}

static gnutls_datum_t datum_of(const struct buf *buf)
{
	struct span s = buf_span(buf);

	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.data, (unsigned)s.len };
}

int tls_files_load_pair(gnutls_certificate_credentials_t credentials, const char *certificate_file,
			const char *key_file, char *why, size_t why_size)
{
	struct buf certificate, key;
	gnutls_datum_t c, k;
	int error;

	buf_init(&certificate, FILE_MAX);
	buf_init(&key, FILE_MAX);
	error = read_file(certificate_file, false, &certificate, why, why_size);
	if (!error)
		error = read_file(key_file, true, &key, why, why_size);
	if (error)
		goto out;
	c = datum_of(&certificate);
	k = datum_of(&key);
	error = gnutls_certificate_set_x509_key_mem2(credentials, &c, &k, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		snprintf(why, why_size, "%s: this key does not belong to %s", key_file, certificate_file);
	else if (error < 0)
		snprintf(why, why_size, "%s, %s: %s", certificate_file, key_file, gnutls_strerror(error));
	error = error < 0 ? -EINVAL : 0;
out:
	buf_fini(&certificate);
	buf_wipe(&key);
	return error;
}

int tls_files_load_trust(gnutls_certificate_credentials_t credentials, const char *file, char *why, size_t why_size)
{
	struct buf text;
	gnutls_datum_t pem;
	int error;

	buf_init(&text, FILE_MAX);
	error = read_file(file, false, &text, why, why_size);
	if (!error) {
		pem = datum_of(&text);
		error = gnutls_certificate_set_x509_trust_mem(credentials, &pem, GNUTLS_X509_FMT_PEM);
		if (error <= 0)
			snprintf(why, why_size, "%s: %s", file,
				 error ? gnutls_strerror(error) : "no certificate in it");
		error = error > 0 ? 0 : -EINVAL;
	}
	buf_fini(&text);
	return error;
}
