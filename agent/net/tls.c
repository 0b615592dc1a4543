#include "net/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/addr.h"
#include "net/tls_client.h"
#include "net/tls_demand.h"
#include "net/tls_peer.h"
#include "net/tls_server.h"

enum {
	QUIET_RECORDS = 4096, /* tickets and key updates passed over in one read */
	ODD_RECORDS = 16,     /* warnings and the like passed over in one read */
	AHEAD = 32 * 1024,    /* two full records: one system call where GnuTLS would make two for each */
};

/* NULL: no such version. */
static const char *priority_string(const char *minimum)
{
	if (!minimum || strcmp(minimum, "1.2") == 0)
		return TLS_SERVER_PRIORITY;
	if (strcmp(minimum, "1.3") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3";
	if (strcmp(minimum, "1.1") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1";
	if (strcmp(minimum, "1.0") == 0)
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0";
	return NULL;
}

/* ---------------------------------------------------------------- sessions */

struct tls_session {
	gnutls_session_t session;
	struct tls_server *server; /* one of the two */
	struct tls_server_files *files;
	struct tls_client *client;
	struct tls_client_trust *trust; /* client that verifies: against what */
	struct tls_client_own *own;
	struct tls_demand_copy demand; /* of a client */
	char *error, *note;
	char peer[128];
	char user[256];
	enum tls_failure failure;
	bool verified, by_dane, resumed;
	bool certificate_error;
	bool done;
	bool ticket_came;
	bool blocked; /* a record is with GnuTLS and not yet sent */
	int fd;
	char *ahead; /* read but not yet asked for; NULL while there is none */
	size_t ahead_at, ahead_len;
	bool dry; /* the last read got all there was: the next one waits for the poll */
};

/* Cleans what strangers wrote into it; the first text stays. */
static void set_text(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set_text(char **text, const char *format, ...)
{
	struct buf raw, clean;
	va_list args;

	if (*text)
		return;
	buf_init(&raw, 4096);
	buf_init(&clean, 1024);
	va_start(args, format);
	buf_vprintf(&raw, format, args);
	va_end(args);
	text_clean(&clean, buf_span(&raw), 500);
	*text = buf_take(&clean);
	buf_fini(&raw);
}

#define set_error(tls, ...) set_text(&(tls)->error, __VA_ARGS__)

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
	if (!tls->demand.cache_key || !tls->client || gnutls_session_get_data2(tls->session, &data) < 0)
		return;
	tls_client_keep_ticket(tls->client, tls->demand.cache_key, &data);
	explicit_bzero(data.data, data.size);
	gnutls_free(data.data);
}

/* After a failure the next handshake is a whole one. */
static void forget_ticket(struct tls_session *tls)
{
	struct tls_client_ticket *ticket =
		tls->demand.cache_key ? tls_client_ticket(tls->client, tls->demand.cache_key) : NULL;

	if (ticket)
		tls_client_drop_ticket(tls->client, ticket);
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
	const struct tls_client_ticket *ticket;

	if (!priority) {
		snprintf(why, why_size, "tls_minimum: no such version: \"%s\"", demand->minimum);
		return false;
	}
	if (!tls_demand_copy(demand, &tls->demand, why, why_size))
		return false;
	tls->own = tls_client_own(tls->client, demand, why, why_size);
	if (!tls->own)
		return false;
	tls->own->references++;
	/* With pins or DANE the authorities have no say, so their store is not loaded. */
	if (demand->verify && !tls->demand.pins && !tls->demand.tlsa) {
		tls->trust = tls_client_trust(tls->client, demand->ca_file, why, why_size);
		if (!tls->trust)
			return false;
		tls->trust->references++;
	}
	if (gnutls_priority_set_direct(tls->session, priority, NULL) < 0 ||
	    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->own->credentials) < 0 ||
	    (demand->name && !offer_name(tls, demand->name))) {
		snprintf(why, why_size, "the TLS library refuses these settings");
		return false;
	}
	if (!tls->demand.cache_key)
		return true;
	gnutls_handshake_set_hook_function(tls->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST,
					   on_ticket);
	ticket = tls_client_ticket(tls->client, tls->demand.cache_key);
	if (ticket)
		gnutls_session_set_data(tls->session, ticket->data, ticket->len);
	return true;
}

static void drop_ahead(struct tls_session *tls)
{
	mem_free(tls->ahead);
	tls->ahead = NULL;
	tls->ahead_at = tls->ahead_len = 0;
}

static ssize_t take_ahead(struct tls_session *tls, void *data, size_t len)
{
	size_t n = tls->ahead_len - tls->ahead_at;

	if (n > len)
		n = len;
	memcpy(data, tls->ahead + tls->ahead_at, n);
	tls->ahead_at += n;
	if (tls->ahead_at == tls->ahead_len)
		drop_ahead(tls);
	return (ssize_t)n;
}

/* GnuTLS asks for the head of a record and then for its body; both come from one read, together with what follows. */
static ssize_t pull(gnutls_transport_ptr_t arg, void *data, size_t len)
{
	struct tls_session *tls = arg;
	ssize_t n;

	if (tls->ahead)
		return take_ahead(tls, data, len);
	if (tls->dry) {
		tls->dry = false;
		gnutls_transport_set_errno(tls->session, EAGAIN);
		return -1;
	}
	tls->ahead = mem_alloc(AHEAD);
	do {
		n = recv(tls->fd, tls->ahead, AHEAD, 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		int error = errno;

		drop_ahead(tls);
		gnutls_transport_set_errno(tls->session, error);
		errno = error;
		return n;
	}
	tls->dry = n < AHEAD;
	tls->ahead_len = (size_t)n;
	return take_ahead(tls, data, len);
}

static struct tls_session *session_new(unsigned flags, int fd)
{
	struct tls_session *tls = MEM_NEW(struct tls_session);

	if (gnutls_init(&tls->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		mem_free(tls);
		return NULL;
	}
	gnutls_session_set_ptr(tls->session, tls);
	tls->fd = fd;
	gnutls_transport_set_ptr2(tls->session, tls, (gnutls_transport_ptr_t)(intptr_t)fd);
	gnutls_transport_set_pull_function(tls->session, pull);
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

	if (!tls || !tls_server_attach(server, tls->session, &tls->files)) {
		snprintf(why, why_size, "the TLS library is out of memory");
		tls_free(tls);
		return NULL;
	}
	tls->server = server;
	server->references++;
	return tls;
}

void tls_free(struct tls_session *tls)
{
	if (!tls)
		return;
	gnutls_deinit(tls->session);
	drop_ahead(tls);
	tls_server_detach(tls->files);
	tls_server_free(tls->server);
	tls_client_unref_trust(tls->trust);
	tls_client_unref_own(tls->own);
	tls_client_free(tls->client);
	tls_demand_free(&tls->demand);
	mem_free(tls->note);
	mem_free(tls->error);
	mem_free(tls);
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

/* A client need not show a certificate. */
static bool shows_none(const struct tls_session *tls)
{
	unsigned count = 0;

	return tls->server && (!tls->server->asks_clients || !gnutls_certificate_get_peers(tls->session, &count));
}

static bool is_right_peer(struct tls_session *tls)
{
	struct tls_peer check = { .session = tls->session,
				  .trust = tls->trust ? tls->trust->list : NULL,
				  .names = tls->demand.names,
				  .name_count = tls->demand.name_count,
				  .pins = tls->demand.pins,
				  .tlsa = tls->demand.tlsa,
				  .tlsa_count = tls->demand.tlsa_count };
	bool good;

	if (shows_none(tls))
		return true;
	if (tls->server) {
		check.is_client = true;
		check.pins = tls->server->pins;
		if (tls->server->names[TLS_SERVER_CA])
			gnutls_certificate_get_trust_list(tls->files->credentials, &check.trust);
	}
	good = tls_peer_check(&check);
	tls->verified = check.verified;
	tls->by_dane = check.by_dane;
	tls->failure = check.failure;
	snprintf(tls->peer, sizeof(tls->peer), "%s", check.subject);
	snprintf(tls->user, sizeof(tls->user), "%s", check.user);
	if (good)
		return true;
	if (tls->demand.only_notes)
		set_text(&tls->note, "%s", check.why);
	else
		set_error(tls, "%s", check.why);
	return tls->demand.only_notes;
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
	} while (code < 0 && !gnutls_error_is_fatal(code) && (code != GNUTLS_E_AGAIN || tls->ahead) &&
		 ++odd < ODD_RECORDS);
	if (code == GNUTLS_E_AGAIN)
		return gnutls_record_get_direction(tls->session) ? TLS_WANT_WRITE : TLS_WANT_READ;
	if (code < 0) {
		forget_ticket(tls);
		say_handshake(tls, code);
		gnutls_alert_send_appropriate(tls->session, code);
		return TLS_FAILED;
	}
	tls->resumed = gnutls_session_is_resumed(tls->session);
	if (!is_right_peer(tls)) {
		forget_ticket(tls);
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
	for (int odd = 0, quiet = 0; odd < ODD_RECORDS && quiet < QUIET_RECORDS;) {
		ssize_t n = gnutls_record_recv(tls->session, data, len);

		if (tls->ticket_came)
			keep_ticket(tls);
		if (n > 0)
			return n;
		if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION) {
			*out_clean = n == 0;
			return 0;
		}
		/* It says so after a ticket too; no poll announces what is behind that one. */
		if (n == GNUTLS_E_AGAIN && tls->ahead) {
			quiet++;
			continue;
		}
		if (n == GNUTLS_E_AGAIN)
			return -EAGAIN;
		odd++;
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
	return gnutls_record_check_pending(tls->session) + (tls->ahead_len - tls->ahead_at);
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

enum tls_failure tls_failure(const struct tls_session *tls)
{
	return tls->failure;
}

const char *tls_failure_report(enum tls_failure failure)
{
	switch (failure) {
	case TLS_FAILURE_NONE: return "validation-failure";
	case TLS_FAILURE_ABSENT:
	case TLS_FAILURE_PIN:
	case TLS_FAILURE_NOT_YET:
	case TLS_FAILURE_REVOKED:
	case TLS_FAILURE_UNTRUSTED: return "certificate-not-trusted";
	case TLS_FAILURE_DANE: return "tlsa-invalid";
	case TLS_FAILURE_EXPIRED: return "certificate-expired";
	case TLS_FAILURE_NAME: return "certificate-host-mismatch";
	}
	return "validation-failure";
}

void tls_facts(const struct tls_session *tls, struct tls_facts *out)
{
	gnutls_protocol_t version = gnutls_protocol_get_version(tls->session);
	const char *name = gnutls_protocol_get_name(version);
	const char *cipher = gnutls_cipher_get_name(gnutls_cipher_get(tls->session));

	*out = (struct tls_facts){
		.verified = tls->verified, .by_dane = tls->by_dane, .resumed = tls->resumed, .failure = tls->failure
	};
	snprintf(out->why, sizeof(out->why), "%s", tls->note ? tls->note : "");
	/* GnuTLS says "TLS1.3"; everybody else "TLSv1.3". */
	snprintf(out->version, sizeof(out->version), "TLSv%s", name && strncmp(name, "TLS", 3) == 0 ? name + 3 : "?");
	snprintf(out->cipher, sizeof(out->cipher), "%s", cipher ? cipher : "");
	snprintf(out->peer, sizeof(out->peer), "%s", tls->peer);
	snprintf(out->user, sizeof(out->user), "%s", tls->user);
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
