#include "net/tls_dane.h"

#include <gnutls/abstract.h>
#include <stdint.h>

#include "net/tlsa.h"

/* A certificate as bytes. */
struct bytes {
	gnutls_datum_t certificate, spki;
};

static void bytes_free(struct bytes *b)
{
	gnutls_free(b->certificate.data);
	gnutls_free(b->spki.data);
}

/* False: it cannot be read. To be freed in any case. */
static bool bytes_of(gnutls_x509_crt_t crt, struct bytes *out)
{
	gnutls_pubkey_t key = NULL;
	bool good;

	*out = (struct bytes){ .certificate = { NULL, 0 } };
	good = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &out->certificate) >= 0 &&
	       gnutls_pubkey_init(&key) >= 0 && gnutls_pubkey_import_x509(key, crt, 0) >= 0 &&
	       gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &out->spki) >= 0;
	gnutls_pubkey_deinit(key);
	return good;
}

static struct span span_of_datum(gnutls_datum_t d)
{
	return span_of(d.data ? (const char *)d.data : "", d.size);
}

static gnutls_datum_t datum_of(struct span s)
{
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.data, (unsigned)s.len };
}

static bool fits(gnutls_x509_crt_t crt, const struct tls_tlsa *records, size_t count, uint8_t usage)
{
	struct bytes b;
	bool found = false;

	if (bytes_of(crt, &b))
		for (size_t i = 0; i < count && !found; i++)
			found = records[i].usage == usage && tlsa_is_usable(&records[i]) &&
				tlsa_fits(&records[i], span_of_datum(b.certificate), span_of_datum(b.spki));
	bytes_free(&b);
	return found;
}

bool tls_dane_names(gnutls_x509_crt_t own, const struct tls_tlsa *records, size_t count)
{
	return fits(own, records, count, TLSA_DANE_EE);
}

/* ---------------------------------------------------------------- anchors */

static bool is_self_signed(gnutls_x509_crt_t crt)
{
	return gnutls_x509_crt_check_issuer(crt, crt);
}

/* A copy of its own, as trust lists are freed with what is in them. NULL: it cannot be read. */
static gnutls_x509_crt_t crt_from(gnutls_datum_t der)
{
	gnutls_x509_crt_t crt = NULL;

	if (gnutls_x509_crt_init(&crt) < 0)
		return NULL;
	if (gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) >= 0)
		return crt;
	gnutls_x509_crt_deinit(crt);
	return NULL;
}

static gnutls_x509_crt_t copy_of(gnutls_x509_crt_t crt)
{
	gnutls_datum_t der = { NULL, 0 };
	gnutls_x509_crt_t copy = NULL;

	if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) >= 0)
		copy = crt_from(der);
	gnutls_free(der.data);
	return copy;
}

/* Takes the anchor. */
static void add(const gnutls_x509_crt_t *chain, unsigned chain_count, gnutls_x509_crt_t anchor, struct tls_dane *out)
{
	struct tls_dane_anchor *a = &out->anchors[out->count];

	if (!anchor)
		return;
	for (size_t i = 0; i < out->count; i++)
		if (gnutls_x509_crt_equals(out->anchors[i].anchor, anchor)) {
			gnutls_x509_crt_deinit(anchor);
			return;
		}
	if (out->count == TLS_DANE_ANCHORS) {
		gnutls_x509_crt_deinit(anchor);
		return;
	}
	a->anchor = anchor;
	a->count = 0;
	for (unsigned i = 0; i < chain_count && i < TLS_DANE_CHAIN; i++)
		if (i == 0 || !gnutls_x509_crt_equals(chain[i], anchor))
			a->chain[a->count++] = chain[i];
	out->count++;
}

/* Certificate ::= SEQUENCE { what is signed, algorithm, signature } */
static bool signed_part(struct span certificate, struct span *out)
{
	struct span whole, inside, content;

	return tlsa_der(certificate, &whole, &inside) && tlsa_der(inside, out, &content);
}

static bool is_signed_by(gnutls_x509_crt_t crt, gnutls_pubkey_t key)
{
	gnutls_datum_t der = { NULL, 0 }, what, signature;
	char signature_bytes[2048]; /* keys up to 16384 bits, as the library allows */
	size_t len = sizeof(signature_bytes);
	int algorithm = gnutls_x509_crt_get_signature_algorithm(crt);
	struct span part;
	bool good = false;

	if (algorithm > 0 && gnutls_x509_crt_get_signature(crt, signature_bytes, &len) >= 0 &&
	    gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) >= 0 && signed_part(span_of_datum(der), &part)) {
		what = datum_of(part);
		signature = datum_of(span_of(signature_bytes, len));
		good = gnutls_pubkey_verify_data2(key, (gnutls_sign_algorithm_t)algorithm, 0, &what, &signature) >= 0;
	}
	gnutls_free(der.data);
	return good;
}

/* Without a certificate around it the key can be no anchor by itself, but what it has signed can. */
static void add_signed_by(const gnutls_x509_crt_t *chain, unsigned chain_count, struct span spki, struct tls_dane *out)
{
	gnutls_datum_t der = datum_of(spki);
	gnutls_pubkey_t key = NULL;

	if (gnutls_pubkey_init(&key) < 0)
		return;
	if (gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER) >= 0)
		for (unsigned i = 0; i < chain_count; i++)
			if (is_signed_by(chain[i], key))
				add(chain, chain_count, copy_of(chain[i]), out);
	gnutls_pubkey_deinit(key);
}

/* One that the peer need not send; it says nothing where it has issued nothing of the chain. */
static void add_whole(const gnutls_x509_crt_t *chain, unsigned chain_count, struct span certificate,
		      struct tls_dane *out)
{
	gnutls_x509_crt_t anchor = crt_from(datum_of(certificate));
	bool is_issuer = false;

	for (unsigned i = 0; anchor && i < chain_count && !is_issuer; i++)
		is_issuer = gnutls_x509_crt_check_issuer(chain[i], anchor);
	if (is_issuer)
		add(chain, chain_count, anchor, out);
	else if (anchor)
		gnutls_x509_crt_deinit(anchor);
}

void tls_dane_find(const gnutls_x509_crt_t *chain, unsigned chain_count, const struct tls_tlsa *records, size_t count,
		   struct tls_dane *out)
{
	unsigned keys = 0;

	out->count = 0;
	for (unsigned i = 0; i < chain_count; i++)
		if ((i > 0 || is_self_signed(chain[0])) && fits(chain[i], records, count, TLSA_DANE_TA))
			add(chain, chain_count, copy_of(chain[i]), out);
	for (size_t i = 0; i < count; i++) {
		if (records[i].usage != TLSA_DANE_TA || records[i].matching != TLSA_FULL)
			continue;
		if (records[i].selector == TLSA_CERTIFICATE)
			add_whole(chain, chain_count, records[i].data, out);
		else if (keys++ < TLS_DANE_KEYS)
			add_signed_by(chain, chain_count, records[i].data, out);
	}
}

void tls_dane_free(struct tls_dane *dane)
{
	for (size_t i = 0; i < dane->count; i++)
		gnutls_x509_crt_deinit(dane->anchors[i].anchor);
	dane->count = 0;
}
