#include "smtp/sasl.h"

#include <gsasl.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { CHALLENGE_MAX = 12288, SECRET_MAX = 8192 };

static const struct row {
	struct span name; /* as in the EHLO reply and towards the library */
	bool plain, client_first;
} rows[] = {
	[SASL_PLAIN] = { { "PLAIN", 5 }, .plain = true, .client_first = true },
	[SASL_LOGIN] = { { "LOGIN", 5 }, .plain = true },
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == SASL_NONE, "a row for each mechanism");

struct sasl {
	Gsasl *library;
	Gsasl_session *session;
	enum sasl_mechanism mechanism;
	bool begun, done;
};

const char *sasl_name(enum sasl_mechanism mechanism)
{
	return mechanism < SASL_NONE ? rows[mechanism].name.data : "none";
}

enum sasl_mechanism sasl_find(struct span name)
{
	enum sasl_mechanism i = 0;

	while (i < SASL_NONE && !span_equals_fold(name, rows[i].name))
		i++;
	return i;
}

enum sasl_mechanism sasl_choose(unsigned offered, unsigned allowed)
{
	enum sasl_mechanism i = 0;

	while (i < SASL_NONE && !(offered & allowed & SASL_BIT(i)))
		i++;
	return i;
}

bool sasl_is_plain(enum sasl_mechanism mechanism)
{
	return mechanism < SASL_NONE && rows[mechanism].plain;
}

bool sasl_is_client_first(enum sasl_mechanism mechanism)
{
	return mechanism < SASL_NONE && rows[mechanism].client_first;
}

/* Neither mechanism can carry a NUL: PLAIN parts its fields with it, and names are C strings to the library. */
static bool can_be_sent(struct span s)
{
	return s.len > 0 && s.len <= SECRET_MAX && !memchr(s.data, '\0', s.len);
}

struct sasl *sasl_new(enum sasl_mechanism mechanism, struct span user, struct span secret)
{
	struct sasl *s;

	if (mechanism >= SASL_NONE || !can_be_sent(user) || !can_be_sent(secret))
		return NULL;
	s = MEM_NEW(struct sasl);
	s->mechanism = mechanism;
	/* A library context for each exchange: it costs microseconds and nothing outlives the exchange. */
	if (gsasl_init(&s->library) != GSASL_OK)
		s->library = NULL;
	if (!s->library || gsasl_client_start(s->library, rows[mechanism].name.data, &s->session) != GSASL_OK ||
	    gsasl_property_set_raw(s->session, GSASL_AUTHID, user.data, user.len) != GSASL_OK ||
	    gsasl_property_set_raw(s->session, GSASL_PASSWORD, secret.data, secret.len) != GSASL_OK) {
		sasl_free(s);
		return NULL;
	}
	return s;
}

/* The library frees its copy without wiping it; the address it hands out is that copy. */
static void wipe_property(Gsasl_session *session, Gsasl_property property)
{
	char *copy = (char *)gsasl_property_fast(session, property);

	if (copy)
		explicit_bzero(copy, strlen(copy));
}

void sasl_free(struct sasl *s)
{
	if (!s)
		return;
	if (s->session) {
		wipe_property(s->session, GSASL_AUTHID);
		wipe_property(s->session, GSASL_PASSWORD);
		gsasl_finish(s->session);
	}
	if (s->library)
		gsasl_done(s->library);
	mem_free(s);
}

/* The library counts the steps of a mechanism; the first response of a client-first one stands in the AUTH command. */
static enum sasl_verdict respond(struct sasl *s, struct span challenge, struct buf *out)
{
	char *response = NULL;
	size_t len = 0;
	int rc = gsasl_step(s->session, challenge.data, challenge.len, &response, &len);
	bool fits = true;

	if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE) {
		bool initial = !s->begun && rows[s->mechanism].client_first;

		fits = len || !initial ? text_base64_encode(out, span_of(response ? response : "", len))
				       : buf_append_char(out, '=');
	}
	if (response) {
		explicit_bzero(response, len);
		gsasl_free(response);
	}
	s->begun = true;
	s->done = rc != GSASL_NEEDS_MORE || !fits;
	if (!fits)
		return SASL_BAD;
	return rc == GSASL_OK ? SASL_DONE : rc == GSASL_NEEDS_MORE ? SASL_MORE : SASL_BAD;
}

enum sasl_verdict sasl_step(struct sasl *s, struct span challenge, struct buf *out)
{
	struct buf decoded;
	enum sasl_verdict verdict = SASL_BAD;

	if (s->done)
		return SASL_BAD;
	buf_init(&decoded, CHALLENGE_MAX);
	if (text_base64_decode(&decoded, challenge))
		verdict = respond(s, buf_span(&decoded), out);
	else
		s->done = true;
	buf_fini(&decoded);
	return verdict;
}
