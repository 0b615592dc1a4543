#include "net/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_files.h"

enum {
	TICKETS = 128,          /* kept, least recently used goes first */
	TICKET_MAX = 16 * 1024, /* bytes of one */
	STORES = 32,            /* trust stores, and certificates of our own, that are kept */
};

void tls_client_unref_trust(struct tls_client_trust *trust)
{
	if (!trust || --trust->references > 0)
		return;
	gnutls_x509_trust_list_deinit(trust->list, 1);
	mem_free(trust->file);
	mem_free(trust);
}

static void trust_drop(struct tls_client *client, struct tls_client_trust *trust)
{
	list_remove(&trust->node);
	client->trust_count--;
	tls_client_unref_trust(trust);
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
struct tls_client_trust *tls_client_trust(struct tls_client *client, const char *file, char *why, size_t why_size)
{
	struct stat st = { 0 };
	struct tls_client_trust *trust;
	int count;

	if (file && stat(file, &st) != 0) {
		snprintf(why, why_size, "%s: %s", file, strerror(errno));
		return NULL;
	}
	for (struct list *at = list_first(&client->trusts); at; at = list_next(&client->trusts, at)) {
		trust = LIST_ENTRY(at, struct tls_client_trust, node);
		if (!same_text(trust->file, file))
			continue;
		if (same_file(&trust->st, &st))
			return trust;
		trust_drop(client, trust);
		break;
	}
	trust = MEM_NEW(struct tls_client_trust);
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
		tls_client_unref_trust(trust);
		if (file)
			snprintf(why, why_size, "%s: no certificate of an authority in it", file);
		else
			snprintf(why, why_size, "this system knows no authorities - install ca-certificates");
		return NULL;
	}
	if (client->trust_count == STORES)
		trust_drop(client, LIST_ENTRY(list_first(&client->trusts), struct tls_client_trust, node));
	list_append(&client->trusts, &trust->node);
	client->trust_count++;
	return trust;
}

void tls_client_unref_own(struct tls_client_own *own)
{
	if (!own || --own->references > 0)
		return;
	if (own->credentials)
		gnutls_certificate_free_credentials(own->credentials);
	mem_free(own->certificate_file);
	mem_free(own->key_file);
	mem_free(own);
}

static void own_drop(struct tls_client *client, struct tls_client_own *own)
{
	list_remove(&own->node);
	client->own_count--;
	tls_client_unref_own(own);
}

struct tls_client_own *tls_client_own(struct tls_client *client, const struct tls_demand *demand, char *why,
				      size_t why_size)
{
	struct stat st = { 0 };
	struct tls_client_own *own;

	if (demand->certificate_file && stat(demand->certificate_file, &st) != 0) {
		snprintf(why, why_size, "%s: %s", demand->certificate_file, strerror(errno));
		return NULL;
	}
	for (struct list *at = list_first(&client->owns); at; at = list_next(&client->owns, at)) {
		own = LIST_ENTRY(at, struct tls_client_own, node);
		if (!same_text(own->certificate_file, demand->certificate_file) ||
		    !same_text(own->key_file, demand->key_file))
			continue;
		if (same_file(&own->st, &st))
			return own;
		own_drop(client, own);
		break;
	}
	own = MEM_NEW(struct tls_client_own);
	own->references = 1;
	own->st = st;
	list_init(&own->node);
	if (gnutls_certificate_allocate_credentials(&own->credentials) < 0) {
		snprintf(why, why_size, "the TLS library is out of memory");
		tls_client_unref_own(own);
		return NULL;
	}
	if (demand->certificate_file) {
		const char *key = demand->key_file ? demand->key_file : demand->certificate_file;

		if (tls_files_load_pair(own->credentials, demand->certificate_file, key, why, why_size) != 0) {
			tls_client_unref_own(own);
			return NULL;
		}
		own->certificate_file = mem_strdup(demand->certificate_file);
		own->key_file = demand->key_file ? mem_strdup(demand->key_file) : NULL;
	}
	if (client->own_count == STORES)
		own_drop(client, LIST_ENTRY(list_first(&client->owns), struct tls_client_own, node));
	list_append(&client->owns, &own->node);
	client->own_count++;
	return own;
}

void tls_client_drop_ticket(struct tls_client *client, struct tls_client_ticket *ticket)
{
	list_remove(&ticket->node);
	client->ticket_count--;
	mem_free(ticket->key);
	mem_wipe_free(ticket->data, ticket->len);
	mem_free(ticket);
}

struct tls_client_ticket *tls_client_ticket(struct tls_client *client, const char *key)
{
	for (struct list *at = list_first(&client->tickets); at; at = list_next(&client->tickets, at)) {
		struct tls_client_ticket *ticket = LIST_ENTRY(at, struct tls_client_ticket, node);

		if (strcmp(ticket->key, key) == 0)
			return ticket;
	}
	return NULL;
}

void tls_client_keep_ticket(struct tls_client *client, const char *key, const gnutls_datum_t *data)
{
	struct tls_client_ticket *ticket = tls_client_ticket(client, key);

	if (ticket)
		tls_client_drop_ticket(client, ticket);
	if (data->size == 0 || data->size > TICKET_MAX)
		return;
	if (client->ticket_count == TICKETS)
		tls_client_drop_ticket(client,
				       LIST_ENTRY(list_first(&client->tickets), struct tls_client_ticket, node));
	ticket = MEM_NEW(struct tls_client_ticket);
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
		trust_drop(client, LIST_ENTRY(node, struct tls_client_trust, node));
	while ((node = list_first(&client->tickets)))
		tls_client_drop_ticket(client, LIST_ENTRY(node, struct tls_client_ticket, node));
	while ((node = list_first(&client->owns)))
		own_drop(client, LIST_ENTRY(node, struct tls_client_own, node));
	mem_free(client);
}
