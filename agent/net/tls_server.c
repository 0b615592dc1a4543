#include "net/tls_server.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/tls_files.h"

enum { SELF_SIGNED_DAYS = 3650, LOOK_MS = 1000 };

/* ---------------------------------------------------------------- files */

void tls_server_detach(struct tls_server_files *files)
{
	if (!files || --files->references > 0)
		return;
	if (files->credentials)
		gnutls_certificate_free_credentials(files->credentials);
	mem_free(files);
}

static struct tls_server_files *files_new(void)
{
	struct tls_server_files *files = MEM_NEW(struct tls_server_files);

	files->references = 1;
	if (gnutls_certificate_allocate_credentials(&files->credentials) >= 0)
		return files;
	files->credentials = NULL;
	tls_server_detach(files);
	return NULL;
}

static struct tls_server_stamp stamp_of(const char *name)
{
	struct tls_server_stamp stamp;
	struct stat st;

	/* Compared byte by byte. */
	memset(&stamp, 0, sizeof(stamp));
	if (!name || stat(name, &st) != 0)
		return stamp;
	stamp.device = st.st_dev;
	stamp.inode = st.st_ino;
	stamp.size = st.st_size;
	stamp.modified = st.st_mtim;
	stamp.changed = st.st_ctim;
	return stamp;
}

/* Notes how the files are before they are read, so that no change is missed. True: they are not as they were. */
static bool look(struct tls_server *server)
{
	bool changed = false;

	for (size_t i = 0; i < TLS_SERVER_NAMES; i++) {
		struct tls_server_stamp stamp = stamp_of(server->names[i]);

		changed |= memcmp(&stamp, &server->stamps[i], sizeof(stamp)) != 0;
		server->stamps[i] = stamp;
	}
	return changed;
}

/* Reads them all; what was there stays when that fails. */
static int load(struct tls_server *server, char *why, size_t why_size)
{
	struct tls_server_files *files = files_new();
	int error;

	if (!files) {
		snprintf(why, why_size, "the TLS library is out of memory");
		return -ENOMEM;
	}
	error = tls_files_load_pair(files->credentials, server->names[TLS_SERVER_CERTIFICATE],
				    server->names[TLS_SERVER_KEY], why, why_size);
	if (!error && server->names[TLS_SERVER_CA])
		error = tls_files_load_trust(files->credentials, server->names[TLS_SERVER_CA], why, why_size);
	if (error) {
		tls_server_detach(files);
		return error;
	}
	tls_server_detach(server->files);
	server->files = files;
	return 0;
}

enum tls_refresh tls_server_refresh(struct tls_server *server, int64_t boot_ms, char *why, size_t why_size)
{
	if (!server->names[TLS_SERVER_CERTIFICATE] || boot_ms - server->looked_ms < LOOK_MS)
		return TLS_SAME;
	server->looked_ms = boot_ms;
	if (!look(server))
		return TLS_SAME;
	return load(server, why, why_size) == 0 ? TLS_RENEWED : TLS_KEPT;
}

/* ---------------------------------------------------------------- servers */

static struct tls_server *server_new(void)
{
	struct tls_server *server = MEM_NEW(struct tls_server);

	server->references = 1;
	server->files = files_new();
	if (!server->files || gnutls_priority_init(&server->priority, TLS_SERVER_PRIORITY, NULL) < 0 ||
	    gnutls_session_ticket_key_generate(&server->ticket_key) < 0) {
		tls_server_free(server);
		return NULL;
	}
	return server;
}

void tls_server_free(struct tls_server *server)
{
	if (!server || --server->references > 0)
		return;
	tls_server_detach(server->files);
	if (server->priority)
		gnutls_priority_deinit(server->priority);
	if (server->ticket_key.data)
		explicit_bzero(server->ticket_key.data, server->ticket_key.size);
	gnutls_free(server->ticket_key.data);
	for (size_t i = 0; i < TLS_SERVER_NAMES; i++)
		mem_free(server->names[i]);
	mem_free(server->pins);
	mem_free(server);
}

int tls_server_new(const char *certificate_file, const char *key_file, struct tls_server **out_server, char *why,
		   size_t why_size)
{
	struct tls_server *server = server_new();
	int error;

	if (!server) {
		snprintf(why, why_size, "the TLS library does not start");
		return -ENOMEM;
	}
	server->names[TLS_SERVER_CERTIFICATE] = mem_strdup(certificate_file);
	server->names[TLS_SERVER_KEY] = mem_strdup(key_file);
	look(server);
	error = load(server, why, why_size);
	if (error) {
		tls_server_free(server);
		return error;
	}
	*out_server = server;
	return 0;
}

int tls_server_ask_clients(struct tls_server *server, const char *ca_file, const char *const *pins, size_t pin_count,
			   char *why, size_t why_size)
{
	struct buf text;
	int error = ca_file ? tls_files_load_trust(server->files->credentials, ca_file, why, why_size) : 0;

	if (error)
		return error;
	buf_init(&text, 64 * 1024);
	for (size_t i = 0; i < pin_count; i++)
		buf_append(&text, pins[i], strlen(pins[i]) + 1);
	server->pins = pin_count ? buf_take(&text) : NULL;
	buf_fini(&text);
	server->names[TLS_SERVER_CA] = ca_file ? mem_strdup(ca_file) : NULL;
	server->asks_clients = ca_file || pin_count;
	look(server);
	return 0;
}

bool tls_server_attach(struct tls_server *server, gnutls_session_t session, struct tls_server_files **out_files)
{
	/* A client that means another protocol is turned away (ALPACA); one that names none is welcome. */
	const gnutls_datum_t smtp = { (unsigned char *)(uintptr_t) "smtp", 4 };

	if (gnutls_priority_set(session, server->priority) < 0 ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, server->files->credentials) < 0 ||
	    gnutls_alpn_set_protocols(session, &smtp, 1, GNUTLS_ALPN_MANDATORY) < 0 ||
	    (!server->asks_clients && gnutls_session_ticket_enable_server(session, &server->ticket_key) < 0))
		return false;
	gnutls_certificate_server_set_request(session, server->asks_clients ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
	/* Clients keep back what none of the authorities that they are told of has issued, as most pinned ones. */
	gnutls_certificate_send_x509_rdn_sequence(session, server->pins != NULL);
	*out_files = server->files;
	server->files->references++;
	return true;
}

/* ---------------------------------------------------------------- self-signed */

static int add_names(gnutls_x509_crt_t crt, const char *name)
{
	static const unsigned char v4[4] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	unsigned more = GNUTLS_FSAN_APPEND;
	struct sockaddr_storage addr;
	socklen_t len;
	int error = 0;

	if (!addr_literal(name, &addr, &len))
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), 0);
	else if (addr.ss_family == AF_INET)
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS,
							     &((struct sockaddr_in *)&addr)->sin_addr, 4, 0);
	else
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS,
							     &((struct sockaddr_in6 *)&addr)->sin6_addr, 16, 0);
	if (error >= 0)
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, more);
	if (error >= 0)
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v4, sizeof(v4), more);
	if (error >= 0)
		error = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v6, sizeof(v6), more);
	return error;
}

/* It may sign, so that it can stand in a ca_file and vouch for itself. */
static int fill_certificate(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *name)
{
	unsigned char serial[16], key_id[20];
	size_t key_id_len = sizeof(key_id);
	char dn[300];
	time_t now = time(NULL);
	int error;

	crypto_random(serial, sizeof(serial));
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and all 16 bytes of it count */
	snprintf(dn, sizeof(dn), "CN=%s", name);
	if ((error = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
	    (error = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial))) < 0 ||
	    (error = gnutls_x509_crt_set_activation_time(crt, now - 3600)) < 0 ||
	    (error = gnutls_x509_crt_set_expiration_time(crt, now + SELF_SIGNED_DAYS * (time_t)86400)) < 0 ||
	    (error = gnutls_x509_crt_set_dn(crt, dn, NULL)) < 0 || (error = gnutls_x509_crt_set_key(crt, key)) < 0 ||
	    (error = add_names(crt, name)) < 0 || (error = gnutls_x509_crt_set_basic_constraints(crt, 1, -1)) < 0 ||
	    (error = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN)) < 0 ||
	    (error = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0)) < 0 ||
	    (error = gnutls_x509_crt_get_key_id(crt, 0, key_id, &key_id_len)) < 0 ||
	    (error = gnutls_x509_crt_set_subject_key_id(crt, key_id, key_id_len)) < 0)
		return error;
	return gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
}

static int write_certificate(gnutls_x509_crt_t crt, const char *path, char *why, size_t why_size)
{
	gnutls_datum_t pem = { NULL, 0 };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644), error = 0;

	if (fd < 0 || gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0 ||
	    write(fd, pem.data, pem.size) != (ssize_t)pem.size)
		error = errno ? -errno : -EIO;
	if (fd >= 0 && close(fd) != 0 && !error)
		error = -errno;
	gnutls_free(pem.data);
	if (error)
		snprintf(why, why_size, "%s: %s", path, strerror(-error));
	return error;
}

int tls_server_new_self_signed(const char *name, const char *certificate_file, struct tls_server **out_server,
			       char *why, size_t why_size)
{
	struct tls_server *server = server_new();
	gnutls_x509_crt_t crt = NULL;
	gnutls_x509_privkey_t key = NULL;
	int error = GNUTLS_E_MEMORY_ERROR, result = -EINVAL;

	if (!server || (error = gnutls_x509_privkey_init(&key)) < 0 || (error = gnutls_x509_crt_init(&crt)) < 0 ||
	    (error = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
						  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0)) < 0 ||
	    (error = fill_certificate(crt, key, name)) < 0 ||
	    (error = gnutls_certificate_set_x509_key(server->files->credentials, &crt, 1, key)) < 0) {
		snprintf(why, why_size, "a certificate for %.100s cannot be made: %s", name, gnutls_strerror(error));
		goto out;
	}
	result = certificate_file ? write_certificate(crt, certificate_file, why, why_size) : 0;
	if (result == 0) {
		*out_server = server;
		server = NULL;
	}
out:
	if (crt)
		gnutls_x509_crt_deinit(crt);
	if (key)
		gnutls_x509_privkey_deinit(key);
	tls_server_free(server);
	return result;
}
