#include "smtp/sasl_server.h"

#include <assert.h>
#include <gsasl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	NAME_MAX_BYTES = 255,
	SECRET_MAX = 12288,
	SCRAM_MESSAGE_MAX = 2048, /* the nonce comes back in a challenge, which has a limit of its own */
};

struct mechanism {
	enum server_mechanism id;
	const char *library; /* its name there; NULL: needs none */
	enum scram_hash hash;
	enum sasl_server_verdict (*begin)(struct sasl_server *s, struct buf *out);
	enum sasl_server_verdict (*step)(struct sasl_server *s, struct buf *out);
};

struct sasl_server {
	const struct mechanism *mechanism;
	Gsasl *library;
	Gsasl_session *session;
	unsigned responses;
	struct buf first, second; /* responses: the first, and the one that came last */
	char *user;
	char *certified;
	char *binding; /* base64; NULL: none */
	bool offers_plus;
	struct server_auth question;
};

/* ---------------------------------------------------------------- names */

char *sasl_server_prepare(struct span text)
{
	char *copy = mem_span_dup(text), *prepared = NULL, *result = NULL;
	bool good = span_find(text, '\0') == text.len && text_is_utf8(text);

	if (good && gsasl_saslprep(copy, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK && *prepared)
		result = mem_strdup(prepared);
	if (prepared) {
		explicit_bzero(prepared, strlen(prepared));
		gsasl_free(prepared);
	}
	mem_wipe_free(copy, text.len);
	return result;
}

/* What goes on to a driver is text: UTF-8 without control characters. NULL: it is not. */
static char *name_of(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f)
			return NULL;
	return s.len <= NAME_MAX_BYTES ? sasl_server_prepare(s) : NULL;
}

static bool is_secret(struct span s)
{
	return s.len > 0 && span_find(s, '\0') == s.len && text_is_utf8(s);
}

/* ---------------------------------------------------------------- questions */

static enum sasl_server_verdict ask(struct sasl_server *s, struct server_auth question)
{
	question.mechanism = s->mechanism->id;
	question.user = s->user;
	s->question = question;
	return SASL_SERVER_ASK;
}

static enum sasl_server_verdict fail(struct sasl_server *s, const char *why)
{
	return ask(s, (struct server_auth){ .kind = SERVER_AUTH_FAILED, .why = why });
}

/* Nobody acts for others here: who is named must be the user. */
static bool is_own(const struct sasl_server *s, struct span authzid)
{
	char *name;
	bool same;

	if (!authzid.len)
		return true;
	name = name_of(authzid);
	same = name && strcmp(name, s->user) == 0;
	mem_free(name);
	return same;
}

static const char FOR_OTHERS[] = "wants to act as another user";

/* ---------------------------------------------------------------- the simple ones */

static enum sasl_server_verdict begin_empty(struct sasl_server *s, struct buf *out)
{
	(void)s;
	(void)out;
	return SASL_SERVER_SAY;
}

/* RFC 4616, 2: [authzid] NUL authcid NUL passwd. */
static enum sasl_server_verdict step_plain(struct sasl_server *s, struct buf *out)
{
	struct span all = span_of(buf_cstr(&s->first), s->first.len);
	struct span authzid = span_first(all, span_find(all, '\0'));
	struct span rest = span_from(all, authzid.len + 1);
	struct span user = span_first(rest, span_find(rest, '\0'));
	struct span password = span_from(rest, user.len + 1);

	(void)out;
	/* The password runs to the end of the response, where a NUL stands. */
	s->user = name_of(user);
	if (s->responses > 1 || !s->user || !is_secret(password))
		return SASL_SERVER_BAD;
	if (!is_own(s, authzid))
		return fail(s, FOR_OTHERS);
	return ask(s, (struct server_auth){ .kind = SERVER_AUTH_PASSWORD, .password = password.data });
}

static enum sasl_server_verdict begin_login(struct sasl_server *s, struct buf *out)
{
	(void)s;
	buf_append_str(out, "Username:");
	return SASL_SERVER_SAY;
}

static enum sasl_server_verdict step_login(struct sasl_server *s, struct buf *out)
{
	if (s->responses == 1) {
		buf_append_str(out, "Password:");
		return SASL_SERVER_SAY;
	}
	s->user = name_of(buf_span(&s->first));
	if (s->responses > 2 || !s->user || !is_secret(buf_span(&s->second)))
		return SASL_SERVER_BAD;
	return ask(s, (struct server_auth){ .kind = SERVER_AUTH_PASSWORD, .password = buf_cstr(&s->second) });
}

/* RFC 4422, appendix A. */
static enum sasl_server_verdict step_external(struct sasl_server *s, struct buf *out)
{
	(void)out;
	s->user = s->certified ? name_of(span_str(s->certified)) : NULL;
	if (s->responses > 1 || !s->user)
		return SASL_SERVER_BAD;
	if (!is_own(s, buf_span(&s->first)))
		return fail(s, FOR_OTHERS);
	return ask(s, (struct server_auth){ .kind = SERVER_AUTH_PROVEN });
}

/* ---------------------------------------------------------------- SCRAM */

/* RFC 5802, 7: what is needed of the client's first message before the library may see it. */
struct client_first {
	char flag; /* n, y, p */
	struct span binding_name;
	struct buf authzid, user;
};

/* Takes "x=value" (never empty) up to the comma, which goes as well. */
static bool take_attribute(struct span *rest, char name, struct span *out)
{
	size_t at = span_find(*rest, ',');

	if (at == rest->len || at < 3 || rest->data[0] != name || rest->data[1] != '=')
		return false;
	*out = span_of(rest->data + 2, at - 2);
	*rest = span_from(*rest, at + 1);
	return true;
}

/* "=2C" is a comma, "=3D" an equals sign, and no other "=" may stand in a name. */
static bool decode_name(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '=') {
			struct span code = span_first(span_from(s, i), 3);

			if (!span_equals(code, SPAN("=2C")) && !span_equals(code, SPAN("=3D")))
				return false;
			c = code.data[2] == 'C' ? ',' : '=';
			i += 2;
		}
		if (!buf_append_char(out, c))
			return false;
	}
	return true;
}

static bool read_client_first(struct span message, struct client_first *out)
{
	struct span rest = message, authzid, user;

	if (message.len < 2 || message.len > SCRAM_MESSAGE_MAX || span_find(message, '\0') != message.len ||
	    !text_is_utf8(message))
		return false;
	out->flag = message.data[0];
	if (out->flag == 'p' ? !take_attribute(&rest, 'p', &out->binding_name)
			     : (out->flag != 'n' && out->flag != 'y') || message.data[1] != ',')
		return false;
	if (out->flag != 'p')
		rest = span_from(rest, 2);
	if (rest.len && rest.data[0] == ',')
		rest = span_from(rest, 1);
	else if (!take_attribute(&rest, 'a', &authzid) || !decode_name(authzid, &out->authzid))
		return false;
	/* "m=" would be an extension that must be understood. */
	return take_attribute(&rest, 'n', &user) && decode_name(user, &out->user);
}

/* RFC 5802, 6. NULL: as it should be; the library looks at the binding itself. */
static const char *binding_mistake(const struct sasl_server *s, const struct client_first *message)
{
	bool is_plus = s->mechanism->id == SERVER_AUTH_SCRAM_SHA_256_PLUS;

	if (is_plus && (message->flag != 'p' || !span_equals(message->binding_name, SPAN("tls-exporter"))))
		return "does not bind to this connection by tls-exporter";
	if (!is_plus && message->flag == 'p')
		return "binds to the connection in a mechanism that cannot";
	if (!is_plus && message->flag == 'y' && s->offers_plus)
		return "was told that channel binding is not offered: somebody changes what is said";
	return NULL;
}

static enum sasl_server_verdict first_scram(struct sasl_server *s)
{
	struct client_first message = { .flag = 0 };
	enum sasl_server_verdict verdict = SASL_SERVER_BAD;
	const char *mistake;

	buf_init(&message.authzid, SCRAM_MESSAGE_MAX);
	buf_init(&message.user, SCRAM_MESSAGE_MAX);
	if (read_client_first(buf_span(&s->first), &message))
		s->user = name_of(buf_span(&message.user));
	if (s->user) {
		mistake = binding_mistake(s, &message);
		if (!mistake && !is_own(s, buf_span(&message.authzid)))
			mistake = FOR_OTHERS;
		verdict = mistake ? fail(s, mistake)
				  : ask(s, (struct server_auth){ .kind = SERVER_AUTH_VERIFIER,
								 .hash = s->mechanism->hash });
	}
	buf_fini(&message.authzid);
	buf_fini(&message.user);
	return verdict;
}

/* One message to the library and one from it. */
static enum sasl_server_verdict exchange(struct sasl_server *s, struct span message, struct buf *out)
{
	char *answer = NULL;
	size_t len = 0;
	int rc = gsasl_step(s->session, message.data, message.len, &answer, &len);
	bool fits = (rc == GSASL_OK || rc == GSASL_NEEDS_MORE) && buf_append(out, answer ? answer : "", len);

	gsasl_free(answer);
	if (rc == GSASL_AUTHENTICATION_ERROR)
		return fail(s, "wrong password");
	return fits ? SASL_SERVER_SAY : SASL_SERVER_BAD;
}

/* The first response leads to a question; the second to the server's own proof, which belongs into a challenge
 * (RFC 4954, 4: no data comes with the 235); the third to that and is empty. */
static enum sasl_server_verdict step_scram(struct sasl_server *s, struct buf *out)
{
	struct span last = buf_span(s->responses == 1 ? &s->first : &s->second);

	if (s->responses == 1)
		return first_scram(s);
	if (s->responses == 2 && last.len && last.len <= SCRAM_MESSAGE_MAX && span_find(last, '\0') == last.len)
		return exchange(s, span_of(buf_cstr(&s->second), last.len), out);
	if (s->responses == 3 && !last.len)
		return ask(s, (struct server_auth){ .kind = SERVER_AUTH_PROVEN });
	return SASL_SERVER_BAD;
}

static bool set_base64(struct sasl_server *s, Gsasl_property property, const uint8_t *data, size_t len)
{
	struct buf text;
	bool good;

	buf_init(&text, 2 * SCRAM_SALT_MAX);
	good = text_base64_encode(&text, span_of(data, len)) &&
	       gsasl_property_set(s->session, property, buf_cstr(&text)) == GSASL_OK;
	buf_wipe(&text);
	return good;
}

enum sasl_server_verdict sasl_server_verifier(struct sasl_server *s, const struct scram_verifier *verifier,
					      struct buf *out)
{
	size_t len = scram_key_len(verifier->hash);
	char iterations[16];

	assert(s->question.kind == SERVER_AUTH_VERIFIER && verifier->hash == s->question.hash);
	snprintf(iterations, sizeof(iterations), "%u", verifier->iterations);
	if (gsasl_property_set(s->session, GSASL_SCRAM_ITER, iterations) != GSASL_OK ||
	    !set_base64(s, GSASL_SCRAM_SALT, verifier->salt, verifier->salt_len) ||
	    !set_base64(s, GSASL_SCRAM_STOREDKEY, verifier->stored_key, len) ||
	    !set_base64(s, GSASL_SCRAM_SERVERKEY, verifier->server_key, len))
		return SASL_SERVER_BAD;
	if (s->mechanism->id == SERVER_AUTH_SCRAM_SHA_256_PLUS &&
	    gsasl_property_set(s->session, GSASL_CB_TLS_EXPORTER, s->binding) != GSASL_OK)
		return SASL_SERVER_BAD;
	return exchange(s, span_of(buf_cstr(&s->first), s->first.len), out);
}

/* ---------------------------------------------------------------- life */

static const struct mechanism mechanisms[] = {
	{ SERVER_AUTH_PLAIN, NULL, 0, begin_empty, step_plain },
	{ SERVER_AUTH_LOGIN, NULL, 0, begin_login, step_login },
	{ SERVER_AUTH_EXTERNAL, NULL, 0, begin_empty, step_external },
	{ SERVER_AUTH_SCRAM_SHA_1, "SCRAM-SHA-1", SCRAM_SHA_1, begin_empty, step_scram },
	{ SERVER_AUTH_SCRAM_SHA_256, "SCRAM-SHA-256", SCRAM_SHA_256, begin_empty, step_scram },
	{ SERVER_AUTH_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", SCRAM_SHA_256, begin_empty, step_scram },
};

static const struct mechanism *find(enum server_mechanism id)
{
	const struct mechanism *mechanism = mechanisms;

	while (mechanism->id != id)
		mechanism++;
	return mechanism;
}

static char *in_base64(struct span s)
{
	struct buf text;

	if (!s.len)
		return NULL;
	buf_init(&text, 256);
	text_base64_encode(&text, s);
	return buf_take(&text);
}

struct sasl_server *sasl_server_new(const struct sasl_server_setup *setup)
{
	struct sasl_server *s = MEM_NEW(struct sasl_server);

	s->mechanism = find(setup->mechanism);
	s->certified = setup->user ? mem_strdup(setup->user) : NULL;
	s->binding = in_base64(setup->binding);
	s->offers_plus = setup->offers_plus;
	buf_init(&s->first, SECRET_MAX);
	buf_init(&s->second, SECRET_MAX);
	/* A library context for each exchange: it costs microseconds and nothing outlives the exchange. */
	if (s->mechanism->library && (gsasl_init(&s->library) != GSASL_OK ||
				      gsasl_server_start(s->library, s->mechanism->library, &s->session) != GSASL_OK)) {
		sasl_server_free(s);
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

void sasl_server_free(struct sasl_server *s)
{
	if (!s)
		return;
	if (s->session) {
		wipe_property(s->session, GSASL_SCRAM_STOREDKEY);
		wipe_property(s->session, GSASL_SCRAM_SERVERKEY);
		gsasl_finish(s->session);
	}
	if (s->library)
		gsasl_done(s->library);
	buf_wipe(&s->first);
	buf_wipe(&s->second);
	mem_free(s->user);
	mem_free(s->certified);
	mem_free(s->binding);
	mem_free(s);
}

enum sasl_server_verdict sasl_server_begin(struct sasl_server *s, struct buf *out)
{
	return s->mechanism->begin(s, out);
}

enum sasl_server_verdict sasl_server_step(struct sasl_server *s, struct span response, struct buf *out)
{
	struct buf *into = s->responses++ == 0 ? &s->first : &s->second;

	buf_clear(into);
	/* Room for all of it at once, and for the NUL: no copy is left behind by growing. */
	if (response.len >= SECRET_MAX || !buf_reserve(into, response.len + 1))
		return SASL_SERVER_BAD;
	buf_append_span(into, response);
	return s->mechanism->step(s, out);
}

const struct server_auth *sasl_server_question(const struct sasl_server *s)
{
	return &s->question;
}
