#include "net/tls_peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"
#include "net/tls_dane.h"
#include "net/tls_names.h"
#include "net/tlsa.h"

enum {
	CHAIN_MAX = TLS_DANE_CHAIN, /* certificates of a peer that are looked at */
	NAMES_SHOWN = 4,
};

/* The first reason stays. */
static void say(struct tls_peer *check, enum tls_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(struct tls_peer *check, enum tls_failure failure, const char *format, ...)
{
	va_list args;

	if (check->why[0])
		return;
	check->failure = failure;
	va_start(args, format);
	vsnprintf(check->why, sizeof(check->why), format, args);
	va_end(args);
}

struct chain {
	gnutls_x509_crt_t list[CHAIN_MAX]; /* the peer's own first */
	unsigned count;
};

/* For people. */
static const char *name_of(const struct tls_peer *check)
{
	return check->name_count ? check->names[0] : "the peer";
}

static void chain_free(struct chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++)
		gnutls_x509_crt_deinit(chain->list[i]);
	chain->count = 0;
}

static bool chain_read(struct tls_peer *check, struct chain *out)
{
	unsigned count = 0;
	const gnutls_datum_t *peers = gnutls_certificate_get_peers(check->session, &count);

	out->count = 0;
	if (!peers || count == 0) {
		say(check, TLS_FAILURE_ABSENT, "the peer shows no certificate");
		return false;
	}
	for (unsigned i = 0; i < count && i < CHAIN_MAX; i++) {
		if (gnutls_x509_crt_init(&out->list[i]) < 0)
			break;
		if (gnutls_x509_crt_import(out->list[i], &peers[i], GNUTLS_X509_FMT_DER) < 0) {
			gnutls_x509_crt_deinit(out->list[i]);
			break; /* what is behind the peer's own need not be needed */
		}
		out->count++;
	}
	if (out->count == 0)
		say(check, TLS_FAILURE_ABSENT, "the peer's certificate is malformed");
	return out->count > 0;
}

static const char *print_date(time_t when, char out[32])
{
	struct tm tm;

	if (when == (time_t)-1 || !gmtime_r(&when, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(out, 32, "an unknown date");
	return out;
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

static enum tls_failure failure_of(unsigned status, bool name_fits)
{
	if (status & GNUTLS_CERT_EXPIRED)
		return TLS_FAILURE_EXPIRED;
	if (status & GNUTLS_CERT_NOT_ACTIVATED)
		return TLS_FAILURE_NOT_YET;
	if (!name_fits)
		return TLS_FAILURE_NAME;
	if (status & GNUTLS_CERT_REVOKED)
		return TLS_FAILURE_REVOKED;
	return TLS_FAILURE_UNTRUSTED;
}

static void say_name(const struct tls_peer *check, const struct chain *chain, struct buf *out)
{
	buf_append_str(out, "; it is not for ");
	for (size_t i = 0; i < check->name_count && i < NAMES_SHOWN; i++)
		buf_printf(out, "%s%s%.200s", i ? " or " : "", check->names[i][0] == '.' ? "a name below " : "",
			   check->names[i] + (check->names[i][0] == '.'));
	buf_append_str(out, " but for ");
	tls_names_print(chain->list[0], out);
}

/* Every reason, in words. `status` is GnuTLS's verdict on the chain. */
static void say_why(struct tls_peer *check, const struct chain *chain, unsigned status, bool name_fits)
{
	const struct {
		unsigned bit;
		const char *text;
	} others[] = {
		{ GNUTLS_CERT_REVOKED, "; it was revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, "; its issuer may not issue certificates" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "; it is signed with an insecure algorithm" },
		{ GNUTLS_CERT_SIGNATURE_FAILURE, "; its signature is wrong" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "; its issuer may not issue for this name" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH,
		  check->is_client ? "; it is not meant for clients" : "; it is not meant for servers" },
		{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "; it has demands that are not understood" },
	};
	enum tls_failure failure;
	struct buf words;

	buf_init(&words, 4096);
	if (!name_fits)
		say_name(check, chain, &words);
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
	failure = failure_of(status, name_fits);
	if (check->is_client)
		say(check, failure, "the client's certificate (%s) is refused: %s", check->subject,
		    buf_cstr(&words) + 2);
	else
		say(check, failure, "the certificate of %.200s is refused: %s", name_of(check), buf_cstr(&words) + 2);
	buf_fini(&words);
}

static bool verify_chain(struct tls_peer *check, const struct chain *chain, gnutls_x509_trust_list_t trust)
{
	const char *purpose = check->is_client ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
	gnutls_typed_vdata_st data = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)purpose };
	gnutls_x509_crt_t list[CHAIN_MAX];
	unsigned status = GNUTLS_CERT_INVALID;
	bool name_fits = check->is_client || tls_names_fit_one(chain->list[0], check->names, check->name_count);

	/* It sorts and shortens the list it is given. */
	memcpy(list, chain->list, sizeof(list));
	if (gnutls_x509_trust_list_verify_crt2(trust, list, chain->count, &data, 1, 0, &status, NULL) < 0)
		status |= GNUTLS_CERT_INVALID;
	if (status == 0 && name_fits)
		return true;
	say_why(check, chain, status, name_fits);
	return false;
}

/* ---------------------------------------------------------------- DANE */

/* The anchor, and nothing else, is trusted. */
static bool leads_to(struct tls_peer *check, struct tls_dane_anchor *anchor)
{
	gnutls_x509_trust_list_t trust = NULL;
	struct chain chain = { .count = anchor->count };
	bool good = false;

	memcpy(chain.list, anchor->chain, anchor->count * sizeof(anchor->chain[0]));
	if (gnutls_x509_trust_list_init(&trust, 1) < 0)
		return false;
	if (gnutls_x509_trust_list_add_cas(trust, &anchor->anchor, 1, 0) == 1)
		good = verify_chain(check, &chain, trust);
	gnutls_x509_trust_list_deinit(trust, 0);
	return good;
}

static bool check_dane(struct tls_peer *check, const struct chain *chain)
{
	struct tls_dane dane = { .count = 0 };
	char text[TLSA_TEXT_SIZE];

	check->by_dane = tls_dane_names(chain->list[0], check->tlsa, check->tlsa_count);
	if (check->by_dane)
		return true;
	tls_dane_find(chain->list, chain->count, check->tlsa, check->tlsa_count, &dane);
	for (size_t i = 0; i < dane.count && !check->by_dane; i++)
		check->by_dane = leads_to(check, &dane.anchors[i]);
	tls_dane_free(&dane);
	if (!check->by_dane)
		say(check, TLS_FAILURE_DANE, "no TLSA record fits the certificate of %s (%zu looked at%s%s)",
		    name_of(check), check->tlsa_count, check->tlsa_count ? ", the first: " : "",
		    check->tlsa_count ? tlsa_text(&check->tlsa[0], text) : "");
	return check->by_dane;
}

/* ---------------------------------------------------------------- pins */

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

/* False: said why. */
static bool read_digest(struct tls_peer *check, const struct chain *chain, unsigned char digest[32])
{
	size_t len = 32;

	if (gnutls_x509_crt_get_key_id(chain->list[0], GNUTLS_KEYID_USE_SHA256, digest, &len) >= 0 && len == 32)
		return true;
	say(check, TLS_FAILURE_ABSENT, "the public key of the peer's certificate cannot be read");
	return false;
}

static bool is_pinned(const struct tls_peer *check, const unsigned char digest[32])
{
	for (const char *pin = check->pins; pin && *pin; pin += strlen(pin) + 1)
		if (pin_matches(pin, digest))
			return true;
	return false;
}

static const char *print_digest(const unsigned char digest[32], char out[65])
{
	for (size_t i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return out;
}

static bool check_pins(struct tls_peer *check, const struct chain *chain)
{
	unsigned char digest[32];
	char shown[65];

	if (!read_digest(check, chain, digest))
		return false;
	if (is_pinned(check, digest))
		return true;
	say(check, TLS_FAILURE_PIN, "the public key of %s fits none of tls_pins: it is sha256:%s", name_of(check),
	    print_digest(digest, shown));
	return false;
}

/* ---------------------------------------------------------------- clients */

static bool find_mail(gnutls_x509_crt_t crt, char *out, size_t size)
{
	for (unsigned seq = 0;; seq++) {
		size_t len = size - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, seq, out, &len, NULL);

		if (type == GNUTLS_SAN_RFC822NAME && len > 0) {
			out[len] = '\0';
			return strlen(out) == len;
		}
		if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return false;
	}
}

static bool find_common_name(gnutls_x509_crt_t crt, char *out, size_t size)
{
	size_t len = size;

	return gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, out, &len) >= 0 && len > 0 &&
	       strlen(out) == len;
}

/* A name is taken as it is or not at all: cleaned, it might become another's. Nor may it look like a pinned key. */
static bool is_name(const char *text)
{
	struct buf clean;
	bool same;

	buf_init(&clean, 512);
	text_clean(&clean, span_str(text), 500);
	same = *text && *text != ' ' && span_equals(buf_span(&clean), span_str(text)) && !strchr(text, '?') &&
	       !span_starts_fold(span_str(text), SPAN("sha256:"));
	buf_fini(&clean);
	return same;
}

static void name_client(struct tls_peer *check, const struct chain *chain, const unsigned char digest[32], bool pinned)
{
	char shown[65];

	if (!pinned && find_mail(chain->list[0], check->user, sizeof(check->user)) && is_name(check->user))
		return;
	if (!pinned && find_common_name(chain->list[0], check->user, sizeof(check->user)) && is_name(check->user))
		return;
	snprintf(check->user, sizeof(check->user), "sha256:%.16s", print_digest(digest, shown));
}

static bool check_client(struct tls_peer *check, const struct chain *chain)
{
	unsigned char digest[32];
	bool pinned, proven;
	char shown[65];

	if (!read_digest(check, chain, digest))
		return false;
	pinned = is_pinned(check, digest);
	proven = !pinned && check->trust && verify_chain(check, chain, check->trust);
	if (!pinned && !check->trust)
		say(check, TLS_FAILURE_PIN,
		    "the key of the client's certificate (%s) fits none of client_pins: it is sha256:%s",
		    check->subject, print_digest(digest, shown));
	if (pinned || proven)
		name_client(check, chain, digest, pinned);
	return pinned || proven;
}

static void note_subject(struct tls_peer *check, const struct chain *chain)
{
	gnutls_datum_t dn = { NULL, 0 };
	struct buf clean;

	if (gnutls_x509_crt_get_dn3(chain->list[0], &dn, 0) < 0)
		return;
	buf_init(&clean, sizeof(check->subject));
	text_clean(&clean, span_of(dn.data, dn.size), sizeof(check->subject) - 1);
	snprintf(check->subject, sizeof(check->subject), "%s", buf_cstr(&clean));
	buf_fini(&clean);
	gnutls_free(dn.data);
}

static bool check_server(struct tls_peer *check, const struct chain *chain)
{
	if (check->pins && !check_pins(check, chain))
		return false;
	if (check->tlsa)
		return check_dane(check, chain);
	if (check->pins)
		return true;
	return check->trust && verify_chain(check, chain, check->trust);
}

bool tls_peer_check(struct tls_peer *check)
{
	struct chain chain = { .count = 0 };
	bool read = chain_read(check, &chain);

	if (read)
		note_subject(check, &chain);
	if (check->is_client)
		check->verified = read && check_client(check, &chain);
	else
		check->verified = read && check_server(check, &chain);
	chain_free(&chain);
	return check->verified || (!check->is_client && !check->pins && !check->trust && !check->tlsa);
}
