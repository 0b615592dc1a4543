#include "net/tls_server.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/tls_files.h"

enum { SELF_SIGNED_DAYS = 3650 };

static struct tls_server *server_new(void)
{
	struct tls_server *server = MEM_NEW(struct tls_server);

	server->references = 1;
	if (gnutls_certificate_allocate_credentials(&server->credentials) < 0 ||
	    gnutls_priority_init(&server->priority, TLS_SERVER_PRIORITY, NULL) < 0 ||
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
	if (server->credentials)
		gnutls_certificate_free_credentials(server->credentials);
	if (server->priority)
		gnutls_priority_deinit(server->priority);
	if (server->ticket_key.data)
		explicit_bzero(server->ticket_key.data, server->ticket_key.size);
	gnutls_free(server->ticket_key.data);
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
	error = tls_files_load_pair(server->credentials, certificate_file, key_file, why, why_size);
	if (error) {
		tls_server_free(server);
		return error;
	}
	*out_server = server;
	return 0;
}

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
	    (error = gnutls_certificate_set_x509_key(server->credentials, &crt, 1, key)) < 0) {
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
