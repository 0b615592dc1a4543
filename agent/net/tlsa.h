/*
 * tlsa - TLSA records for themselves (RFC 6698, 7671, 7672): which of them count, and whether one fits a certificate.
 *
 * Owns nothing; pure. What the certificate is worth then is tls_dane's business.
 * Threads: any.
 */
#ifndef TLSA_H
#define TLSA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "net/tls.h"

enum tlsa_usage { TLSA_PKIX_TA, TLSA_PKIX_EE, TLSA_DANE_TA, TLSA_DANE_EE };
enum tlsa_selector { TLSA_CERTIFICATE, TLSA_SPKI };
enum tlsa_matching { TLSA_FULL, TLSA_SHA256, TLSA_SHA512 };

/* Usage 2 or 3 (RFC 7672, 3.1.3: the others prove nothing here), selector and matching type known, and data of the right
 * length, or for TLSA_FULL one whole DER sequence. */
bool tlsa_is_usable(const struct tls_tlsa *record);
/* The usable ones, without those of a weaker digest than another one of the same usage and selector has (RFC 7671, 9).
 * `out` has room for `count`; returns how many. */
size_t tlsa_choose(const struct tls_tlsa *records, size_t count, struct tls_tlsa *out);
/* Whether a usable record is about this certificate, given as DER together with its SubjectPublicKeyInfo. */
bool tlsa_fits(const struct tls_tlsa *record, struct span certificate, struct span spki);
/* "3 1 1". Returns `out`. */
enum { TLSA_TEXT_SIZE = 16 };
char *tlsa_text(const struct tls_tlsa *record, char out[TLSA_TEXT_SIZE]);

/* The first DER element of `s`, head included; `out_content` without it. False: none that is whole. Lengths up to 64 KiB,
 * which no certificate exceeds here. */
bool tlsa_der(struct span s, struct span *out_element, struct span *out_content);

#endif
