#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/addr.h"

enum {
	FILE_MAX = 1024 * 1024, /* certificates and keys */
	CHAIN_MAX = 16,         /* certificates of a peer that are looked at */
	TICKETS = 128,          /* kept, least recently used goes first */
	TICKET_MAX = 16 * 1024, /* bytes of one */
	TRUSTS = 32,            /* trust stores, and certificates of our own, that are kept */
	NAMES_SHOWN = 4,        /* of a certificate for another name */
	ODD_RECORDS = 16,       /* warnings and the like passed over in one read */
	SELF_SIGNED_DAYS = 3650,
};

/* ---------------------------------------------------------------- files */

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

static void wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->capacity);
	buf_fini(buf);
}

static gnutls_datum_t datum_of(const struct buf *buf)
{
	struct span s = buf_span(buf);

	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.data, (unsigned)s.len };
}

static int load_pair(gnutls_certificate_credentials_t credentials, const char *certificate_file, const char *key_file,
		     char *why, size_t why_size)
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
	wipe(&key);
	return error;
}

/* ---------------------------------------------------------------- which versions */

/* NORMAL alone would allow TLS 1.0. NULL: no such version. */
static const char *priority_string(const char *minimum)
{
	if (!minimum || strcmp(minimum, "1.2") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
	if (strcmp(minimum, "1.3") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3";
	if (strcmp(minimum, "1.1") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1";
	if (strcmp(minimum, "1.0") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0";
	return NULL;
}

/* ---------------------------------------------------------------- server contexts */

struct tls_server {
	unsigned references;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_datum_t ticket_key;
};

static struct tls_server *server_new(void)
{
	struct tls_server *server = MEM_NEW(struct tls_server);

	server->references = 1;
	if (gnutls_certificate_allocate_credentials(&server->credentials) < 0 ||
	    gnutls_priority_init(&server->priority, priority_string(NULL), NULL) < 0 ||
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
	error = load_pair(server->credentials, certificate_file, key_file, why, why_size);
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

/* ---------------------------------------------------------------- client contexts */

struct trust {
	struct list node;
	char *file; /* NULL: the system's */
	struct stat st;
	gnutls_x509_trust_list_t list;
	unsigned references; /* the client's list, and sessions */
};

struct ticket {
	struct list node; /* the least recently used first */
	char *key;
	void *data;
	size_t len;
};

/* What we show of ourselves: mostly nothing. */
struct own {
	struct list node;
	char *certificate_file, *key_file; /* NULL: none */
	struct stat st;
	gnutls_certificate_credentials_t credentials;
	unsigned references;
};

struct tls_client {
	unsigned references; /* sessions hold one each */
	struct list trusts, tickets, owns;
	size_t trust_count, ticket_count, own_count;
};

static void trust_unref(struct trust *trust)
{
	if (!trust || --trust->references > 0)
		return;
	gnutls_x509_trust_list_deinit(trust->list, 1);
	mem_free(trust->file);
	mem_free(trust);
}

static void trust_drop(struct tls_client *client, struct trust *trust)
{
	list_remove(&trust->node);
	client->trust_count--;
	trust_unref(trust);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The system's store is some megabytes: loaded when first needed, shared by all. A file is read again when it has
 * changed. */
static struct trust *trust_get(struct tls_client *client, const char *file, char *why, size_t why_size)
{
	struct stat st = { 0 };
	struct trust *trust;
	int count;

	if (file && stat(file, &st) != 0) {
		snprintf(why, why_size, "%s: %s", file, strerror(errno));
		return NULL;
	}
	for (struct list *at = list_first(&client->trusts); at; at = list_next(&client->trusts, at)) {
		trust = LIST_ENTRY(at, struct trust, node);
		if (!same_text(trust->file, file))
			continue;
		if (same_file(&trust->st, &st))
			return trust;
		trust_drop(client, trust);
		break;
	}
	trust = MEM_NEW(struct trust);
	trust->references = 1;
	trust->st = st;
	trust->file = file ? mem_strdup(file) : NULL;
	list_init(&trust->node);
	if (gnutls_x509_trust_list_init(&trust->list, 0) < 0) {
		mem_free(trust->file);
		mem_free(trust);
		snprintf(why, why_size, "the TLS library is out of memory");
		return NULL;
	}
	count = file ? gnutls_x509_trust_list_add_trust_file(trust->list, file, NULL, GNUTLS_X509_FMT_PEM, 0, 0)
		     : gnutls_x509_trust_list_add_system_trust(trust->list, 0, 0);
	if (count <= 0) {
		trust_unref(trust);
		if (file)
			snprintf(why, why_size, "%s: no certificate of an authority in it", file);
		else
			snprintf(why, why_size, "this system knows no authorities - install ca-certificates");
		return NULL;
	}
	if (client->trust_count == TRUSTS)
		trust_drop(client, LIST_ENTRY(list_first(&client->trusts), struct trust, node));
	list_append(&client->trusts, &trust->node);
	client->trust_count++;
	return trust;
}

static void own_unref(struct own *own)
{
	if (!own || --own->references > 0)
		return;
	if (own->credentials)
		gnutls_certificate_free_credentials(own->credentials);
	mem_free(own->certificate_file);
	mem_free(own->key_file);
	mem_free(own);
}

static void own_drop(struct tls_client *client, struct own *own)
{
	list_remove(&own->node);
	client->own_count--;
	own_unref(own);
}

static struct own *own_get(struct tls_client *client, const struct tls_demand *demand, char *why, size_t why_size)
{
	struct stat st = { 0 };
	struct own *own;

	if (demand->certificate_file && stat(demand->certificate_file, &st) != 0) {
		snprintf(why, why_size, "%s: %s", demand->certificate_file, strerror(errno));
		return NULL;
	}
	for (struct list *at = list_first(&client->owns); at; at = list_next(&client->owns, at)) {
		own = LIST_ENTRY(at, struct own, node);
		if (!same_text(own->certificate_file, demand->certificate_file) ||
		    !same_text(own->key_file, demand->key_file))
			continue;
		if (same_file(&own->st, &st))
			return own;
		own_drop(client, own);
		break;
	}
	own = MEM_NEW(struct own);
	own->references = 1;
	own->st = st;
	list_init(&own->node);
	if (gnutls_certificate_allocate_credentials(&own->credentials) < 0) {
		snprintf(why, why_size, "the TLS library is out of memory");
		own_unref(own);
		return NULL;
	}
	if (demand->certificate_file) {
		const char *key = demand->key_file ? demand->key_file : demand->certificate_file;

		if (load_pair(own->credentials, demand->certificate_file, key, why, why_size) != 0) {
			own_unref(own);
			return NULL;
		}
		own->certificate_file = mem_strdup(demand->certificate_file);
		own->key_file = demand->key_file ? mem_strdup(demand->key_file) : NULL;
	}
	if (client->own_count == TRUSTS)
		own_drop(client, LIST_ENTRY(list_first(&client->owns), struct own, node));
	list_append(&client->owns, &own->node);
	client->own_count++;
	return own;
}

static void ticket_drop(struct tls_client *client, struct ticket *ticket)
{
	list_remove(&ticket->node);
	client->ticket_count--;
	mem_free(ticket->key);
	mem_wipe_free(ticket->data, ticket->len);
	mem_free(ticket);
}

static struct ticket *ticket_find(struct tls_client *client, const char *key)
{
	for (struct list *at = list_first(&client->tickets); at; at = list_next(&client->tickets, at)) {
		struct ticket *ticket = LIST_ENTRY(at, struct ticket, node);

		if (strcmp(ticket->key, key) == 0)
			return ticket;
	}
	return NULL;
}

static void ticket_keep(struct tls_client *client, const char *key, const gnutls_datum_t *data)
{
	struct ticket *ticket = ticket_find(client, key);

	if (ticket)
		ticket_drop(client, ticket);
	if (data->size == 0 || data->size > TICKET_MAX)
		return;
	if (client->ticket_count == TICKETS)
		ticket_drop(client, LIST_ENTRY(list_first(&client->tickets), struct ticket, node));
	ticket = MEM_NEW(struct ticket);
	ticket->key = mem_strdup(key);
	ticket->data = mem_dup(data->data, data->size);
	ticket->len = data->size;
	list_init(&ticket->node);
	list_append(&client->tickets, &ticket->node);
	client->ticket_count++;
}

struct tls_client *tls_client_new(void)
{
	struct tls_client *client = MEM_NEW(struct tls_client);

	client->references = 1;
	list_init(&client->trusts);
	list_init(&client->tickets);
	list_init(&client->owns);
	return client;
}

void tls_client_free(struct tls_client *client)
{
	struct list *node;

	if (!client || --client->references > 0)
		return;
	while ((node = list_first(&client->trusts)))
		trust_drop(client, LIST_ENTRY(node, struct trust, node));
	while ((node = list_first(&client->tickets)))
		ticket_drop(client, LIST_ENTRY(node, struct ticket, node));
	while ((node = list_first(&client->owns)))
		own_drop(client, LIST_ENTRY(node, struct own, node));
	mem_free(client);
}

/* ---------------------------------------------------------------- sessions */

struct tls_session {
	gnutls_session_t session;
	struct tls_server *server; /* one of the two */
	struct tls_client *client;
	struct trust *trust; /* client that verifies: against what */
	struct own *own;
	char *name; /* what the certificate must be for */
	char *pins; /* separated by NUL, two at the end; NULL: none */
	char *cache_key;
	char *error;
	char peer[128];
	bool verify;
	bool verified, resumed;
	bool certificate_error;
	bool done;
	bool ticket_came;
	bool blocked; /* a record is with GnuTLS and not yet sent */
};

/* Cleans what strangers wrote into it; the first reason stays. */
static void set_error(struct tls_session *tls, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set_error(struct tls_session *tls, const char *format, ...)
{
	struct buf raw, clean;
	va_list args;

	if (tls->error)
		return;
	buf_init(&raw, 4096);
	buf_init(&clean, 1024);
	va_start(args, format);
	buf_vprintf(&raw, format, args);
	va_end(args);
	text_clean(&clean, buf_span(&raw), 500);
	tls->error = buf_take(&clean);
	buf_fini(&raw);
}

/* A ticket is only used again towards a peer of which exactly the same is demanded. */
static char *full_cache_key(const struct tls_demand *demand, const char *name)
{
	struct buf key;

	buf_init(&key, 64 * 1024);
	buf_printf(&key, "%s\n%s\n%s\n%d\n%s\n%s\n%s\n", demand->cache_key, demand->name ? demand->name : "",
		   name ? name : "", demand->verify, demand->ca_file ? demand->ca_file : "",
		   demand->minimum ? demand->minimum : "", demand->certificate_file ? demand->certificate_file : "");
	for (size_t i = 0; i < demand->pin_count; i++)
		buf_printf(&key, "%s\n", demand->pins[i]);
	return buf_take(&key);
}

static char *copy_pins(const struct tls_demand *demand)
{
	struct buf pins;

	if (demand->pin_count == 0)
		return NULL;
	buf_init(&pins, 64 * 1024);
	for (size_t i = 0; i < demand->pin_count; i++)
		buf_append(&pins, demand->pins[i], strlen(demand->pins[i]) + 1);
	return buf_take(&pins);
}

static int on_ticket(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
		     const gnutls_datum_t *message)
{
	struct tls_session *tls = gnutls_session_get_ptr(session);

	(void)type;
	(void)when;
	(void)message;
	if (incoming)
		tls->ticket_came = true;
	return 0;
}

static void keep_ticket(struct tls_session *tls)
{
	gnutls_datum_t data = { NULL, 0 };

	tls->ticket_came = false;
	if (!tls->cache_key || !tls->client || gnutls_session_get_data2(tls->session, &data) < 0)
		return;
	ticket_keep(tls->client, tls->cache_key, &data);
	explicit_bzero(data.data, data.size);
	gnutls_free(data.data);
}

static bool offer_name(struct tls_session *tls, const char *name)
{
	struct sockaddr_storage addr;
	socklen_t len;
	size_t n = strlen(name);

	/* RFC 6066, 3: no literal addresses, no final dot. */
	if (n && name[n - 1] == '.')
		n--;
	if (n == 0 || addr_literal(name, &addr, &len))
		return true;
	return gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, name, n) >= 0;
}

static bool client_setup(struct tls_session *tls, const struct tls_demand *demand, char *why, size_t why_size)
{
	const char *priority = priority_string(demand->minimum);
	const char *name = demand->check_name ? demand->check_name : demand->name;
	const struct ticket *ticket;

	if (!priority) {
		snprintf(why, why_size, "tls_minimum: no such version: \"%s\"", demand->minimum);
		return false;
	}
	if (demand->verify && !name && demand->pin_count == 0) {
		snprintf(why, why_size, "nothing to check the certificate against: no name and no pin");
		return false;
	}
	tls->own = own_get(tls->client, demand, why, why_size);
	if (!tls->own)
		return false;
	tls->own->references++;
	/* With pins the authorities have no say, so their store is not loaded. */
	if (demand->verify && demand->pin_count == 0) {
		tls->trust = trust_get(tls->client, demand->ca_file, why, why_size);
		if (!tls->trust)
			return false;
		tls->trust->references++;
	}
	tls->verify = demand->verify;
	tls->pins = copy_pins(demand);
	tls->name = name ? mem_strdup(name) : NULL;
	if (gnutls_priority_set_direct(tls->session, priority, NULL) < 0 ||
	    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->own->credentials) < 0 ||
	    (demand->name && !offer_name(tls, demand->name))) {
		snprintf(why, why_size, "the TLS library refuses these settings");
		return false;
	}
	if (!demand->cache_key)
		return true;
	tls->cache_key = full_cache_key(demand, name);
	gnutls_handshake_set_hook_function(tls->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST,
					   on_ticket);
	ticket = ticket_find(tls->client, tls->cache_key);
	if (ticket)
		gnutls_session_set_data(tls->session, ticket->data, ticket->len);
	return true;
}

static struct tls_session *session_new(unsigned flags, int fd)
{
	struct tls_session *tls = MEM_NEW(struct tls_session);

	if (gnutls_init(&tls->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		mem_free(tls);
		return NULL;
	}
	gnutls_session_set_ptr(tls->session, tls);
	gnutls_transport_set_int(tls->session, fd);
	gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT); /* the connection has a deadline */
	return tls;
}

struct tls_session *tls_connect(struct tls_client *client, int fd, const struct tls_demand *demand, char *why,
				size_t why_size)
{
	struct tls_session *tls = session_new(GNUTLS_CLIENT, fd);

	if (!tls) {
		snprintf(why, why_size, "the TLS library is out of memory");
		return NULL;
	}
	tls->client = client;
	client->references++;
	if (!client_setup(tls, demand, why, why_size)) {
		tls_free(tls);
		return NULL;
	}
	return tls;
}

struct tls_session *tls_accept(struct tls_server *server, int fd, char *why, size_t why_size)
{
	struct tls_session *tls = session_new(GNUTLS_SERVER, fd);

	if (!tls || gnutls_priority_set(tls->session, server->priority) < 0 ||
	    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, server->credentials) < 0 ||
	    gnutls_session_ticket_enable_server(tls->session, &server->ticket_key) < 0) {
		snprintf(why, why_size, "the TLS library is out of memory");
		tls_free(tls);
		return NULL;
	}
	gnutls_certificate_server_set_request(tls->session, GNUTLS_CERT_IGNORE);
	tls->server = server;
	server->references++;
	return tls;
}

void tls_free(struct tls_session *tls)
{
	if (!tls)
		return;
	gnutls_deinit(tls->session);
	tls_server_free(tls->server);
	trust_unref(tls->trust);
	own_unref(tls->own);
	tls_client_free(tls->client);
	mem_free(tls->name);
	mem_free(tls->pins);
	mem_free(tls->cache_key);
	mem_free(tls->error);
	mem_free(tls);
}

/* ---------------------------------------------------------------- is it the right peer? */

struct chain {
	gnutls_x509_crt_t list[CHAIN_MAX]; /* the peer's own first */
	unsigned count;
};

static void chain_free(struct chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++)
		gnutls_x509_crt_deinit(chain->list[i]);
	chain->count = 0;
}

static bool chain_read(struct tls_session *tls, struct chain *out)
{
	unsigned count = 0;
	const gnutls_datum_t *peers = gnutls_certificate_get_peers(tls->session, &count);

	out->count = 0;
	if (!peers || count == 0) {
		set_error(tls, "the peer shows no certificate");
		return false;
	}
	for (unsigned i = 0; i < count && i < CHAIN_MAX; i++) {
		if (gnutls_x509_crt_init(&out->list[i]) < 0)
			break;
		out->count++;
		if (gnutls_x509_crt_import(out->list[i], &peers[i], GNUTLS_X509_FMT_DER) < 0) {
			set_error(tls, "the peer's certificate is malformed");
			return false;
		}
	}
	return out->count > 0;
}

static const char *print_date(time_t when, char out[32])
{
	struct tm tm;

	if (when == (time_t)-1 || !gmtime_r(&when, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(out, 32, "an unknown date");
	return out;
}

static void print_names(gnutls_x509_crt_t crt, struct buf *out)
{
	unsigned shown = 0, seq = 0;

	for (;; seq++) {
		char san[256], text[INET6_ADDRSTRLEN];
		size_t len = sizeof(san) - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, seq, san, &len, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			break;
		san[len] = '\0';
		if (type == GNUTLS_SAN_IPADDRESS) {
			if (!inet_ntop(len == 4 ? AF_INET : AF_INET6, san, text, sizeof(text)) ||
			    (len != 4 && len != 16))
				continue;
			snprintf(san, sizeof(san), "%s", text);
		} else if (type != GNUTLS_SAN_DNSNAME) {
			continue;
		}
		if (shown == NAMES_SHOWN) {
			buf_append_str(out, " and more");
			break;
		}
		buf_printf(out, "%s%s", shown++ ? ", " : "", san);
	}
	if (shown == 0) {
		char cn[256];
		size_t len = sizeof(cn);

		if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &len) >= 0)
			buf_append_str(out, cn);
		else
			buf_append_str(out, "nobody");
	}
}

static void say_date(const struct chain *chain, unsigned status, struct buf *out)
{
	time_t now = time(NULL);
	char date[32];

	for (unsigned i = 0; i < chain->count; i++) {
		time_t from = gnutls_x509_crt_get_activation_time(chain->list[i]);
		time_t to = gnutls_x509_crt_get_expiration_time(chain->list[i]);
		const char *whose = i ? "the certificate of its issuer" : "it";

		if (status & GNUTLS_CERT_EXPIRED && to < now) {
			buf_printf(out, "; %s expired on %s", whose, print_date(to, date));
			return;
		}
		if (status & GNUTLS_CERT_NOT_ACTIVATED && from > now) {
			buf_printf(out, "; %s is not valid before %s (is the clock of this machine right?)", whose,
				   print_date(from, date));
			return;
		}
	}
	buf_append_str(out, "; it is expired or not yet valid");
}

static bool is_self_signed(const struct chain *chain)
{
	return chain->count == 1 && gnutls_x509_crt_check_issuer(chain->list[0], chain->list[0]);
}

static void say_issuer(const struct chain *chain, struct buf *out)
{
	gnutls_datum_t dn = { NULL, 0 };

	if (is_self_signed(chain)) {
		buf_append_str(out, "; it is self-signed");
		return;
	}
	if (gnutls_x509_crt_get_issuer_dn3(chain->list[chain->count - 1], &dn, 0) < 0)
		dn.data = NULL;
	buf_printf(out, "; its issuer is not trusted here: %.200s", dn.data ? (const char *)dn.data : "unknown");
	gnutls_free(dn.data);
}

/* Every reason, in words. `status` is GnuTLS's verdict on the chain. */
static void say_why(struct tls_session *tls, const struct chain *chain, unsigned status, bool name_fits)
{
	static const struct {
		unsigned bit;
		const char *text;
	} others[] = {
		{ GNUTLS_CERT_REVOKED, "; it was revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, "; its issuer may not issue certificates" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "; it is signed with an insecure algorithm" },
		{ GNUTLS_CERT_SIGNATURE_FAILURE, "; its signature is wrong" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "; its issuer may not issue for this name" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH, "; it is not meant for servers" },
		{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "; it has demands that are not understood" },
	};
	struct buf words;

	buf_init(&words, 2048);
	if (!name_fits) {
		buf_printf(&words, "; it is not for %s but for ", tls->name);
		print_names(chain->list[0], &words);
	}
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		say_date(chain, status, &words);
	/* One that is signed by itself, under the name of one that is trusted, looks badly signed to GnuTLS. */
	if (status & GNUTLS_CERT_SIGNATURE_FAILURE && is_self_signed(chain))
		status = (status & ~(unsigned)GNUTLS_CERT_SIGNATURE_FAILURE) | GNUTLS_CERT_SIGNER_NOT_FOUND;
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		say_issuer(chain, &words);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (status & others[i].bit)
			buf_append_str(&words, others[i].text);
	if (buf_is_empty(&words))
		buf_append_str(&words, "; it cannot be verified");
	set_error(tls, "the certificate of %s is refused: %s", tls->name, buf_cstr(&words) + 2);
	buf_fini(&words);
}

static bool verify_chain(struct tls_session *tls, const struct chain *chain)
{
	char purpose[] = GNUTLS_KP_TLS_WWW_SERVER;
	gnutls_typed_vdata_st data = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose };
	gnutls_x509_crt_t list[CHAIN_MAX];
	unsigned status = GNUTLS_CERT_INVALID;
	bool name_fits = gnutls_x509_crt_check_hostname2(chain->list[0], tls->name, 0);

	/* It sorts and shortens the list it is given. */
	memcpy(list, chain->list, sizeof(list));
	if (gnutls_x509_trust_list_verify_crt2(tls->trust->list, list, chain->count, &data, 1, 0, &status, NULL) < 0)
		status |= GNUTLS_CERT_INVALID;
	if (status == 0 && name_fits)
		return true;
	say_why(tls, chain, status, name_fits);
	return false;
}

/* "sha256:" and the digest of the public key in hex (colons allowed) or base64. */
static bool pin_matches(const char *pin, const unsigned char digest[32])
{
	struct span text = span_str(pin);
	struct buf decoded;
	char hex[65];
	size_t n = 0;
	bool same;

	if (!span_starts_fold(text, SPAN("sha256:")))
		return false;
	text = span_from(text, sizeof("sha256:") - 1);
	for (size_t i = 0; i < text.len && n < 64; i++)
		if (text.data[i] != ':')
			hex[n++] = span_lower(text.data[i]);
	if (n == 64 && text.len >= 64) {
		char ours[65];

		for (size_t i = 0; i < 32; i++)
			snprintf(ours + 2 * i, 3, "%02x", digest[i]);
		return memcmp(hex, ours, 64) == 0 && (text.len == 64 || text.len == 95);
	}
	buf_init(&decoded, 64);
	same = text_base64_decode(&decoded, text) && span_equals(buf_span(&decoded), span_of(digest, 32));
	buf_fini(&decoded);
	return same;
}

static bool check_pins(struct tls_session *tls, const struct chain *chain)
{
	unsigned char digest[64];
	size_t len = sizeof(digest);
	char shown[65];

	if (gnutls_x509_crt_get_key_id(chain->list[0], GNUTLS_KEYID_USE_SHA256, digest, &len) < 0 || len != 32) {
		set_error(tls, "the public key of the peer's certificate cannot be read");
		return false;
	}
	for (const char *pin = tls->pins; *pin; pin += strlen(pin) + 1)
		if (pin_matches(pin, digest))
			return true;
	for (size_t i = 0; i < 32; i++)
		snprintf(shown + 2 * i, 3, "%02x", digest[i]);
	set_error(tls, "the public key of %s fits none of tls_pins: it is sha256:%s",
		  tls->name ? tls->name : "the peer", shown);
	return false;
}

/* After every handshake, resumed or not: what the cache remembers proves nothing about today's demands. */
static bool check_peer(struct tls_session *tls)
{
	struct chain chain = { .count = 0 };
	gnutls_datum_t dn = { NULL, 0 };
	bool good = true, read = chain_read(tls, &chain);

	if (read && gnutls_x509_crt_get_dn3(chain.list[0], &dn, 0) >= 0) {
		struct buf clean;

		buf_init(&clean, sizeof(tls->peer));
		text_clean(&clean, span_of(dn.data, dn.size), sizeof(tls->peer) - 1);
		snprintf(tls->peer, sizeof(tls->peer), "%s", buf_cstr(&clean));
		buf_fini(&clean);
	}
	gnutls_free(dn.data);
	if (tls->pins)
		good = tls->verified = read && check_pins(tls, &chain);
	else if (tls->verify)
		good = tls->verified = read && verify_chain(tls, &chain);
	chain_free(&chain);
	return good;
}

/* ---------------------------------------------------------------- handshake */

static void say_handshake(struct tls_session *tls, int code)
{
	switch (code) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		set_error(tls, "the peer broke off the TLS handshake: %s",
			  gnutls_alert_get_name(gnutls_alert_get(tls->session)));
		break;
	case GNUTLS_E_PREMATURE_TERMINATION:
		set_error(tls, "the peer closed the connection during the TLS handshake");
		break;
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNEXPECTED_PACKET:
		set_error(tls, "the TLS handshake failed: the peer does not speak TLS here");
		break;
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		set_error(tls,
			  "the TLS handshake failed: the peer speaks no TLS, or only a version older than is allowed");
		break;
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		set_error(tls, "the connection broke during the TLS handshake: %s", errno ? strerror(errno) : "closed");
		break;
	default: set_error(tls, "the TLS handshake failed: %s", gnutls_strerror(code)); break;
	}
}

enum tls_result tls_handshake(struct tls_session *tls)
{
	int code, odd = 0;

	if (tls->done)
		return TLS_DONE;
	if (tls->error)
		return TLS_FAILED;
	do {
		code = gnutls_handshake(tls->session);
	} while (code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(code) && ++odd < ODD_RECORDS);
	if (code == GNUTLS_E_AGAIN)
		return gnutls_record_get_direction(tls->session) ? TLS_WANT_WRITE : TLS_WANT_READ;
	if (code < 0) {
		say_handshake(tls, code);
		gnutls_alert_send_appropriate(tls->session, code);
		return TLS_FAILED;
	}
	tls->resumed = gnutls_session_is_resumed(tls->session);
	if (tls->client && !check_peer(tls)) {
		struct ticket *ticket = tls->cache_key ? ticket_find(tls->client, tls->cache_key) : NULL;

		if (ticket)
			ticket_drop(tls->client, ticket);
		tls->certificate_error = true;
		gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
		return TLS_FAILED;
	}
	tls->done = true;
	if (tls->ticket_came) /* before TLS 1.3 it comes with the handshake */
		keep_ticket(tls);
	return TLS_DONE;
}

/* ---------------------------------------------------------------- records */

static ssize_t record_failed(struct tls_session *tls, int code)
{
	int error = errno;

	if (code == GNUTLS_E_PULL_ERROR || code == GNUTLS_E_PUSH_ERROR)
		return error == 0 || error == EAGAIN ? -EIO : -error;
	if (code == GNUTLS_E_FATAL_ALERT_RECEIVED)
		set_error(tls, "the peer broke off TLS: %s", gnutls_alert_get_name(gnutls_alert_get(tls->session)));
	else
		set_error(tls, "TLS failed: %s", gnutls_strerror(code));
	return -EPROTO;
}

ssize_t tls_read(struct tls_session *tls, void *data, size_t len, bool *out_clean)
{
	for (int odd = 0; odd < ODD_RECORDS; odd++) {
		ssize_t n = gnutls_record_recv(tls->session, data, len);

		if (tls->ticket_came)
			keep_ticket(tls);
		if (n > 0)
			return n;
		if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION) {
			*out_clean = n == 0;
			return 0;
		}
		if (n == GNUTLS_E_AGAIN)
			return -EAGAIN;
		/* Renegotiation (only before TLS 1.3) is never done: nothing here needs it, and it was abused. */
		if (n == GNUTLS_E_REHANDSHAKE)
			gnutls_alert_send(tls->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
		else if (gnutls_error_is_fatal((int)n))
			return record_failed(tls, (int)n);
	}
	set_error(tls, "TLS failed: the peer sends nothing but warnings");
	return -EPROTO;
}

ssize_t tls_write(struct tls_session *tls, const void *data, size_t len)
{
	ssize_t n;

	do {
		/* What GnuTLS has encrypted but not sent goes first; it then says how much of our data that was. */
		n = tls->blocked ? gnutls_record_send(tls->session, NULL, 0)
				 : gnutls_record_send(tls->session, data, len);
	} while (n == GNUTLS_E_INTERRUPTED);
	tls->blocked = n == GNUTLS_E_AGAIN;
	if (tls->blocked)
		return -EAGAIN;
	return n < 0 ? record_failed(tls, (int)n) : n;
}

size_t tls_pending(const struct tls_session *tls)
{
	return gnutls_record_check_pending(tls->session);
}

void tls_bye(struct tls_session *tls)
{
	if (tls->done)
		gnutls_bye(tls->session, GNUTLS_SHUT_WR);
}

/* ---------------------------------------------------------------- what is known */

const char *tls_error(const struct tls_session *tls)
{
	return tls->error ? tls->error : "";
}

bool tls_is_certificate_error(const struct tls_session *tls)
{
	return tls->certificate_error;
}

void tls_facts(const struct tls_session *tls, struct tls_facts *out)
{
	gnutls_protocol_t version = gnutls_protocol_get_version(tls->session);
	const char *name = gnutls_protocol_get_name(version);
	const char *cipher = gnutls_cipher_get_name(gnutls_cipher_get(tls->session));

	*out = (struct tls_facts){ .verified = tls->verified, .resumed = tls->resumed };
	/* GnuTLS says "TLS1.3"; everybody else "TLSv1.3". */
	snprintf(out->version, sizeof(out->version), "TLSv%s", name && strncmp(name, "TLS", 3) == 0 ? name + 3 : "?");
	snprintf(out->cipher, sizeof(out->cipher), "%s", cipher ? cipher : "");
	snprintf(out->peer, sizeof(out->peer), "%s", tls->peer);
}

bool tls_channel_binding(const struct tls_session *tls, uint8_t out[32])
{
	gnutls_datum_t binding = { NULL, 0 };
	bool good = tls->done && gnutls_session_channel_binding(tls->session, GNUTLS_CB_TLS_EXPORTER, &binding) >= 0 &&
		    binding.size == 32;

	if (good)
		memcpy(out, binding.data, 32);
	gnutls_free(binding.data);
	return good;
}
