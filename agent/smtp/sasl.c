#include "smtp/sasl.h"

#include <gsasl.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "smtp/sasl_oauth.h"
#include "smtp/sasl_scram.h"

enum { MESSAGE_MAX = 20 * 1024, RESPONSE_MAX = 28 * 1024, REASON_MAX = 200 };

static bool start_library(struct sasl *s, const struct sasl_setup *setup);
static bool start_scram(struct sasl *s, const struct sasl_setup *setup);
static enum sasl_verdict step_library(struct sasl *s, struct span challenge);
static enum sasl_verdict step_scram(struct sasl *s, struct span challenge);
static enum sasl_verdict step_oauth(struct sasl *s, struct span challenge);

static const struct row {
	struct span name;  /* as in the EHLO reply and towards the library */
	unsigned messages; /* of ours at most: what a server may make us say */
	bool plain, client_first;
	bool (*start)(struct sasl *s, const struct sasl_setup *setup); /* or NULL */
	enum sasl_verdict (*step)(struct sasl *s, struct span challenge);
} rows[] = {
	[SASL_EXTERNAL] = { { "EXTERNAL", 8 }, 1, .client_first = true, .start = start_library, .step = step_library },
	[SASL_SCRAM_SHA_256_PLUS] = { { "SCRAM-SHA-256-PLUS", 18 },
				      3,
				      .client_first = true,
				      .start = start_scram,
				      .step = step_scram },
	[SASL_SCRAM_SHA_1_PLUS] = { { "SCRAM-SHA-1-PLUS", 16 },
				    3,
				    .client_first = true,
				    .start = start_scram,
				    .step = step_scram },
	[SASL_SCRAM_SHA_256] = { { "SCRAM-SHA-256", 13 },
				 3,
				 .client_first = true,
				 .start = start_scram,
				 .step = step_scram },
	[SASL_SCRAM_SHA_1] = { { "SCRAM-SHA-1", 11 },
			       3,
			       .client_first = true,
			       .start = start_scram,
			       .step = step_scram },
	[SASL_OAUTHBEARER] = { { "OAUTHBEARER", 11 }, 2, .plain = true, .client_first = true, .step = step_oauth },
	[SASL_XOAUTH2] = { { "XOAUTH2", 7 }, 2, .plain = true, .client_first = true, .step = step_oauth },
	[SASL_PLAIN] = { { "PLAIN", 5 },
			 1,
			 .plain = true,
			 .client_first = true,
			 .start = start_library,
			 .step = step_library },
	[SASL_LOGIN] = { { "LOGIN", 5 }, 2, .plain = true, .start = start_library, .step = step_library },
	[SASL_CRAM_MD5] = { { "CRAM-MD5", 8 }, 1, .start = start_library, .step = step_library },
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == SASL_NONE, "a row for each mechanism");

struct sasl {
	enum sasl_mechanism mechanism;
	Gsasl *library;
	Gsasl_session *session;
	char *user, *secret, *host;
	size_t secret_len;
	uint16_t port;
	unsigned messages; /* of ours so far */
	bool is_over, is_refused;
	struct buf response, said; /* in base64: the last, and the one before it */
	struct sasl_scram *scram;
	struct buf reason;
	const char *why;
};

static const char SENSELESS[] = "the server's challenge makes no sense";

/* ---------------------------------------------------------------- names */

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

/* ---------------------------------------------------------------- what can be said */

/* What the library handed out. */
static void wipe_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	gsasl_free(text);
}

/* No mechanism can carry a NUL: PLAIN parts its fields with it, and names are C strings to the library. */
static bool is_text(struct span s)
{
	return s.len > 0 && s.len <= SASL_SECRET_MAX && span_find(s, '\0') == s.len;
}

/* RFC 4013; characters that it does not know yet are let through. NULL: not UTF-8, control characters, or nothing is
 * left of it. */
static char *prepare(const char *text)
{
	char *prepared = NULL, *copy = NULL;

	if (gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK && *prepared)
		copy = mem_strdup(prepared);
	wipe_free(prepared);
	return copy;
}

static bool can_be_prepared(const char *text)
{
	char *prepared = prepare(text);
	bool good = prepared;

	mem_wipe_free(prepared, good ? strlen(prepared) : 0);
	return good;
}

static bool can_be_sent(const struct sasl *s, const struct sasl_setup *setup)
{
	if (s->mechanism == SASL_EXTERNAL)
		return setup->user.len == 0 || sasl_oauth_is_user(setup->user);
	if (!is_text(setup->user) || !is_text(setup->secret))
		return false;
	if (s->mechanism == SASL_OAUTHBEARER || s->mechanism == SASL_XOAUTH2)
		return sasl_oauth_is_user(setup->user) && sasl_oauth_is_token(setup->secret);
	if (SASL_BIT(s->mechanism) & SASL_PLUS && setup->binding.len != SASL_BINDING_LEN)
		return false;
	return !(SASL_BIT(s->mechanism) & SASL_CHALLENGED) || (can_be_prepared(s->user) && can_be_prepared(s->secret));
}

/* ---------------------------------------------------------------- life */

static bool set(struct sasl *s, Gsasl_property property, const char *value)
{
	return gsasl_property_set(s->session, property, value) == GSASL_OK;
}

enum { NONCE_BYTES = 18 };

static bool start_scram(struct sasl *s, const struct sasl_setup *setup)
{
	bool is_sha1 = s->mechanism == SASL_SCRAM_SHA_1 || s->mechanism == SASL_SCRAM_SHA_1_PLUS;
	bool is_plus = SASL_BIT(s->mechanism) & SASL_PLUS;
	char *user = prepare(s->user), *password = prepare(s->secret), random[NONCE_BYTES];
	struct buf nonce;

	buf_init(&nonce, 64);
	if (gsasl_nonce(random, sizeof(random)) == GSASL_OK &&
	    text_base64_encode(&nonce, span_of(random, sizeof(random))))
		s->scram = sasl_scram_new(&(struct sasl_scram_setup){
			.digest = is_sha1 ? CRYPTO_SHA1 : CRYPTO_SHA256,
			.user = span_str(user),
			.password = span_str(password),
			.nonce = buf_span(&nonce),
			.binding = is_plus ? setup->binding : SPAN(""),
			.could_have_bound = setup->binding.len && setup->could_have_bound,
		});
	buf_fini(&nonce);
	mem_free(user);
	mem_wipe_free(password, strlen(password));
	return s->scram;
}

static bool start_library(struct sasl *s, const struct sasl_setup *setup)
{
	/* A library context for each exchange: it costs microseconds and nothing outlives the exchange. */
	if (gsasl_init(&s->library) != GSASL_OK) {
		s->library = NULL;
		return false;
	}
	if (gsasl_client_start(s->library, sasl_name(s->mechanism), &s->session) != GSASL_OK) {
		s->session = NULL;
		return false;
	}
	if (s->mechanism == SASL_EXTERNAL)
		return !setup->user.len || set(s, GSASL_AUTHZID, s->user);
	return set(s, GSASL_AUTHID, s->user) && set(s, GSASL_PASSWORD, s->secret);
}

struct sasl *sasl_new(const struct sasl_setup *setup)
{
	struct sasl *s;

	if (setup->mechanism >= SASL_NONE)
		return NULL;
	s = MEM_NEW(struct sasl);
	s->mechanism = setup->mechanism;
	s->user = mem_span_dup(setup->user);
	s->secret = mem_span_dup(setup->secret);
	s->secret_len = setup->secret.len;
	s->host = setup->host ? mem_strdup(setup->host) : NULL;
	s->port = setup->port;
	s->why = "";
	buf_init(&s->response, RESPONSE_MAX);
	buf_init(&s->said, RESPONSE_MAX);
	buf_init(&s->reason, REASON_MAX);
	/* Room for all of it beforehand, so that no outgrown copy stays behind in freed memory. */
	buf_reserve(&s->response, RESPONSE_MAX);
	buf_reserve(&s->said, RESPONSE_MAX);
	if (!can_be_sent(s, setup) || (rows[s->mechanism].start && !rows[s->mechanism].start(s, setup))) {
		sasl_free(s);
		return NULL;
	}
	return s;
}

/* The library frees its copy without wiping it; the address it hands out is that copy. */
static void wipe_property(Gsasl_session *session, Gsasl_property property)
{
	char *copy = (char *)(uintptr_t)gsasl_property_fast(session, property);

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
	sasl_scram_free(s->scram);
	mem_wipe_free(s->secret, s->secret_len);
	mem_free(s->user);
	mem_free(s->host);
	buf_wipe(&s->response);
	buf_wipe(&s->said);
	buf_fini(&s->reason);
	mem_free(s);
}

/* ---------------------------------------------------------------- steps */

static enum sasl_verdict give_up(struct sasl *s, const char *why)
{
	s->is_over = true;
	s->why = why;
	return SASL_BAD;
}

static enum sasl_verdict refused(struct sasl *s, struct span reason, const char *response)
{
	struct buf text;

	s->is_refused = true;
	buf_init(&text, SASL_CHALLENGE_MAX);
	sasl_hide(s, reason, &text);
	text_clean(&s->reason, buf_span(&text), REASON_MAX);
	buf_fini(&text);
	text_base64_encode(&s->response, span_str(response));
	return SASL_MORE;
}

static enum sasl_verdict step_library(struct sasl *s, struct span challenge)
{
	char *response = NULL;
	size_t len = 0;
	int rc = gsasl_step(s->session, challenge.data, challenge.len, &response, &len);
	bool fits = text_base64_encode(&s->response, span_of(response ? response : "", len));

	if (response)
		explicit_bzero(response, len);
	gsasl_free(response);
	if (!fits || (rc != GSASL_OK && rc != GSASL_NEEDS_MORE))
		return give_up(s, SENSELESS);
	return rc == GSASL_OK ? SASL_DONE : SASL_MORE;
}

/* The first two messages of SCRAM; what the third, an empty one, confirms is that the server has proven itself. */
static enum sasl_verdict say_scram(struct sasl *s, struct span challenge)
{
	const char *why = NULL;
	struct buf message;
	bool fits;

	buf_init(&message, MESSAGE_MAX);
	fits = s->messages > 0 || sasl_scram_begin(s->scram, &message);
	if (s->messages > 0)
		why = sasl_scram_answer(s->scram, challenge, &message);
	fits = fits && text_base64_encode(&s->response, buf_span(&message));
	buf_fini(&message);
	return why || !fits ? give_up(s, why ? why : SENSELESS) : SASL_MORE;
}

static enum sasl_verdict step_scram(struct sasl *s, struct span challenge)
{
	struct span error;

	if (s->messages > 0 && sasl_scram_is_error(challenge, &error))
		return refused(s, error, "");
	if (s->messages < 2)
		return say_scram(s, challenge);
	return sasl_scram_is_proof(s->scram, challenge)
		       ? SASL_DONE
		       : give_up(s, "the server cannot prove that it knows the password");
}

/* A challenge behind the token is always the server's refusal; who wants to hear it said by a reply has to answer: with
 * %x01 (RFC 7628, 3.2.3), or nothing in XOAUTH2. */
static enum sasl_verdict step_oauth(struct sasl *s, struct span challenge)
{
	bool is_bearer = s->mechanism == SASL_OAUTHBEARER, fits;
	struct span user = span_str(s->user), token = span_of(s->secret, s->secret_len);
	struct buf message;

	if (s->messages > 0)
		return refused(s, challenge, is_bearer ? "\1" : "");
	buf_init(&message, MESSAGE_MAX);
	buf_reserve(&message, MESSAGE_MAX);
	fits = is_bearer ? sasl_oauth_bearer(&message, user, token, s->host, s->port)
			 : sasl_oauth_xoauth2(&message, user, token);
	fits = fits && text_base64_encode(&s->response, buf_span(&message));
	buf_wipe(&message);
	return fits ? SASL_DONE : give_up(s, "the token is too long");
}

static bool may_speak(const struct sasl *s)
{
	return !s->is_over && !s->is_refused && s->messages < rows[s->mechanism].messages;
}

/* The one before it is kept: a server may repeat it in what it says next. */
static void begin_response(struct sasl *s)
{
	struct buf older = s->said;

	s->said = s->response;
	s->response = older;
	explicit_bzero(s->response.data, s->response.capacity);
	buf_clear(&s->response);
}

enum sasl_verdict sasl_step(struct sasl *s, struct span challenge, struct span *out_response)
{
	struct buf decoded;
	enum sasl_verdict verdict;

	begin_response(s);
	if (!may_speak(s))
		return give_up(s, SENSELESS);
	buf_init(&decoded, SASL_CHALLENGE_MAX);
	if (text_base64_decode(&decoded, challenge))
		verdict = rows[s->mechanism].step(s, buf_span(&decoded));
	else
		verdict = give_up(s, SENSELESS);
	buf_fini(&decoded);
	s->messages++;
	if (verdict != SASL_BAD)
		*out_response = buf_span(&s->response);
	return verdict;
}

/* ---------------------------------------------------------------- words */

const char *sasl_why(const struct sasl *s)
{
	return s->why;
}

struct span sasl_reason(const struct sasl *s)
{
	return buf_span(&s->reason);
}

static size_t common(struct span a, struct span b)
{
	size_t len = 0;

	while (len < a.len && len < b.len && a.data[len] == b.data[len])
		len++;
	return len;
}

/* How many bytes at the beginning of `text` are of `hidden`. */
static size_t shown(struct span text, struct span hidden)
{
	size_t least = hidden.len < SASL_HIDDEN_MIN ? hidden.len : SASL_HIDDEN_MIN, best = 0;

	for (size_t i = 0; i + least <= hidden.len; i++) {
		size_t len = common(text, span_from(hidden, i));

		best = len > best ? len : best;
	}
	return hidden.len && best >= least ? best : 0;
}

void sasl_hide(const struct sasl *s, struct span text, struct buf *out)
{
	const struct span hidden[] = { span_of(s->secret, s->secret_len), buf_span(&s->response), buf_span(&s->said) };

	while (text.len) {
		size_t len = 0;

		for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
			size_t here = shown(text, hidden[i]);

			len = here > len ? here : len;
		}
		if (len)
			buf_append_str(out, "***");
		else
			buf_append_char(out, text.data[0]);
		text = span_from(text, len ? len : 1);
	}
}
