/* certs - keys and certificates made on the spot, and TLSA records about them, for tests of TLS. */
#ifndef CERTS_H
#define CERTS_H

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct certs_pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

struct certs_wish {
	const char *common_name;
	const char *names[4];   /* alternative names */
	const char *purpose;    /* OID */
	int from_days, to_days; /* 0, 0: valid now */
	bool is_authority;
};

/* Issuer NULL: signed by itself. */
static inline struct certs_pair certs_make(const struct certs_wish *wish, const struct certs_pair *issuer)
{
	static unsigned char serial;
	struct certs_pair pair;
	time_t now = time(NULL);

	serial++;
	gnutls_x509_privkey_init(&pair.key);
	gnutls_x509_crt_init(&pair.crt);
	assert_int_equal(gnutls_x509_privkey_generate(pair.key, GNUTLS_PK_ECDSA,
						      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
			 0);
	gnutls_x509_crt_set_version(pair.crt, 3);
	gnutls_x509_crt_set_serial(pair.crt, &serial, 1);
	gnutls_x509_crt_set_key(pair.crt, pair.key);
	gnutls_x509_crt_set_activation_time(pair.crt, now + (wish->to_days ? wish->from_days : -1) * 86400);
	gnutls_x509_crt_set_expiration_time(pair.crt, now + (wish->to_days ? wish->to_days : 1) * 86400);
	gnutls_x509_crt_set_basic_constraints(pair.crt, wish->is_authority, -1);
	if (wish->common_name)
		gnutls_x509_crt_set_dn_by_oid(pair.crt, GNUTLS_OID_X520_COMMON_NAME, 0, wish->common_name,
					      (unsigned)strlen(wish->common_name));
	for (size_t i = 0; i < 4 && wish->names[i]; i++)
		gnutls_x509_crt_set_subject_alt_name(pair.crt, GNUTLS_SAN_DNSNAME, wish->names[i],
						     (unsigned)strlen(wish->names[i]), GNUTLS_FSAN_APPEND);
	if (wish->purpose)
		gnutls_x509_crt_set_key_purpose_oid(pair.crt, wish->purpose, 0);
	if (!issuer)
		issuer = &pair;
	assert_int_equal(gnutls_x509_crt_sign2(pair.crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	return pair;
}

static inline void certs_drop(struct certs_pair *pair)
{
	if (pair->crt)
		gnutls_x509_crt_deinit(pair->crt);
	if (pair->key)
		gnutls_x509_privkey_deinit(pair->key);
	*pair = (struct certs_pair){ .crt = NULL };
}

/* The certificates one after the other, as PEM. */
static inline void certs_write(const char *path, const struct certs_pair *const *list, size_t count)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (size_t i = 0; i < count; i++) {
		gnutls_datum_t pem;

		assert_int_equal(gnutls_x509_crt_export2(list[i]->crt, GNUTLS_X509_FMT_PEM, &pem), 0);
		assert_int_equal(fwrite(pem.data, 1, pem.size, f), pem.size);
		gnutls_free(pem.data);
	}
	fclose(f);
}

/* What a TLSA record with this selector and matching type says of the certificate; bytes, and how many. */
static inline size_t certs_tlsa(const struct certs_pair *pair, unsigned selector, unsigned matching,
				unsigned char out[4096])
{
	gnutls_datum_t der;
	gnutls_pubkey_t key;
	size_t len;

	if (selector == 0) {
		assert_int_equal(gnutls_x509_crt_export2(pair->crt, GNUTLS_X509_FMT_DER, &der), 0);
	} else {
		gnutls_pubkey_init(&key);
		assert_int_equal(gnutls_pubkey_import_x509(key, pair->crt, 0), 0);
		assert_int_equal(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der), 0);
		gnutls_pubkey_deinit(key);
	}
	assert_true(der.size <= 4096);
	if (matching == 0) {
		len = der.size;
		memcpy(out, der.data, len);
	} else {
		gnutls_digest_algorithm_t digest = matching == 1 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA512;

		len = gnutls_hash_get_len(digest);
		assert_int_equal(gnutls_hash_fast(digest, der.data, der.size, out), 0);
	}
	gnutls_free(der.data);
	return len;
}

#endif
