#include "submission/login.h"

#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/crypto.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "log.h"
#include "smtp/sasl_server.h"
#include "submission/penalty.h"
#include "submission/roster.h"

enum {
	KEY_LEN = 32,
	SOURCE_SIZE = 128,
	USER_SIZE = USERS_NAME_MAX + 1,
	NAME_SIZE = USER_SIZE + 8,
	ERRORS_MAX = 16 * 1024,
};

struct login_set {
	struct loop *loop;
	struct helper *helper;
	struct penalty *penalty;
	struct roster **rosters; /* one for each file that a configuration has named */
	size_t roster_count;
	struct list waiting; /* logins whose answer is late on purpose */
	bool is_hurried;
	uint8_t key[KEY_LEN];
};

struct login {
	struct list node;
	struct login_set *set;
	struct server *engine;
	struct helper_request *request; /* or NULL */
	struct loop_timer timer;
	bool is_known;
	enum server_mechanism mechanism;
	char source[SOURCE_SIZE];
	char user[USER_SIZE];
	void (*ready)(void *arg);
	void *arg;
};

static const struct server_reply wrong = { 535, "5.7.8", "wrong name or password" };

/* ---------------------------------------------------------------- the set */

struct login_set *login_set_new(struct loop *loop, struct helper *helper)
{
	struct login_set *set = MEM_NEW(struct login_set);

	set->loop = loop;
	set->helper = helper;
	set->penalty = penalty_new();
	list_init(&set->waiting);
	crypto_random(set->key, sizeof(set->key));
	return set;
}

void login_set_free(struct login_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->roster_count; i++)
		roster_free(set->rosters[i]);
	mem_free(set->rosters);
	penalty_free(set->penalty);
	mem_wipe_free(set, sizeof(*set));
}

void login_set_hurry(struct login_set *set)
{
	set->is_hurried = true;
	for (struct list *node = list_first(&set->waiting); node; node = list_next(&set->waiting, node))
		loop_timer_in(&LIST_ENTRY(node, struct login, node)->timer, 0);
}

static struct roster *roster_of(struct login_set *set, const char *file)
{
	for (size_t i = 0; i < set->roster_count; i++)
		if (strcmp(roster_file(set->rosters[i]), file) == 0)
			return set->rosters[i];
	set->rosters = mem_realloc(set->rosters, set->roster_count + 1, sizeof(*set->rosters));
	return set->rosters[set->roster_count++] = roster_new(file);
}

static void log_errors(struct buf *errors)
{
	for (struct span rest = buf_span(errors); rest.len;) {
		struct span line = span_first(rest, span_find(rest, '\n'));
		char text[512];

		rest = span_from(rest, line.len + 1);
		snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(span_first(line, sizeof(text) - 1)));
		log_event(LOG_LEVEL_WARNING, "users", LOG_TEXT("error", text));
	}
}

static const struct users *users_of(struct login_set *set, const char *file)
{
	const struct users *users;
	struct buf errors;

	if (!file)
		return NULL;
	buf_init(&errors, ERRORS_MAX);
	users = roster_users(roster_of(set, file), loop_now_ms(set->loop), &errors);
	log_errors(&errors);
	buf_fini(&errors);
	return users;
}

/* Those of the listener's `mechanisms`. */
static unsigned chosen(const struct config_strings *names)
{
	static const struct {
		const char *keyword;
		unsigned bit;
	} rows[] = {
#define X(name, keyword) { keyword, SERVER_AUTH_##name },
		SERVER_MECHANISMS(X)
#undef X
	};
	unsigned mask = 0;

	for (size_t i = 0; i < names->count; i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (strcasecmp(names->list[i], rows[k].keyword) == 0)
				mask |= rows[k].bit;
	return names->count ? mask : ~0u;
}

unsigned login_mechanisms(const struct config_listener *listener)
{
	unsigned mask = 0;

	if (listener->auth != CONFIG_LOGIN_NONE && listener->users)
		mask |= SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM;
	if (listener->client_ca || listener->client_pins.count)
		mask |= SERVER_AUTH_EXTERNAL;
	return mask & chosen(&listener->mechanisms);
}

unsigned login_mechanisms_now(struct login_set *set, const struct config_listener *listener)
{
	unsigned mask = login_mechanisms(listener);
	const struct users *users = mask & SERVER_AUTH_SCRAM ? users_of(set, listener->users) : NULL;

	if (users && !users_all_have(users, SCRAM_SHA_256))
		mask &= ~(unsigned)(SERVER_AUTH_SCRAM_SHA_256 | SERVER_AUTH_SCRAM_SHA_256_PLUS);
	if (users && !users_all_have(users, SCRAM_SHA_1))
		mask &= ~(unsigned)SERVER_AUTH_SCRAM_SHA_1;
	return mask;
}

/* ---------------------------------------------------------------- verifiers of nobody */

static void mix(const struct login_set *set, const char *what, const char *user, enum scram_hash hash, uint8_t out[32])
{
	char *text = mem_printf("%s %d %s", what, (int)hash, user);

	crypto_hmac(CRYPTO_SHA256, span_of(set->key, KEY_LEN), span_str(text), out);
	mem_free(text);
}

/* Whose secret an unknown user's is like: somebody else's for every other name. Were it always the same, all whose
 * secrets take another time to check would be known to exist. NULL: nobody is in the file. */
static const struct users_entry *double_of(const struct login_set *set, const struct users *users, const char *user)
{
	uint8_t sum[32];
	size_t number = 0;

	mix(set, "double", user, SCRAM_SHA_256, sum);
	for (size_t i = 0; i < 4; i++)
		number = number << 8 | sum[i];
	return users_count(users) ? users_at(users, number % users_count(users)) : NULL;
}

/* The same for a name each time, and like those of the file: who asks cannot tell that there is no such user. */
static void make_up(const struct login_set *set, const struct users *users, const char *user, enum scram_hash hash,
		    struct scram_verifier *out)
{
	const struct users_entry *like = double_of(set, users, user);
	struct scram_verifier other;
	uint8_t salt[32];
	bool has_other = like && users_verifier(like, hash, &other);

	*out = (struct scram_verifier){ .hash = hash,
					.iterations = has_other ? other.iterations : SCRAM_ITERATIONS,
					.salt_len = SCRAM_SALT_LEN };
	mix(set, "salt", user, hash, salt);
	memcpy(out->salt, salt, SCRAM_SALT_LEN);
	mix(set, "stored", user, hash, out->stored_key);
	mix(set, "server", user, hash, out->server_key);
}

/* A secret that takes as long to check; its verdict does not count. */
static char *decoy(const struct login_set *set, const struct users *users, const char *user)
{
	const struct users_entry *like = double_of(set, users, user);
	struct scram_verifier verifier;
	struct buf text;

	if (like)
		return mem_strdup(like->secret);
	make_up(set, users, user, SCRAM_SHA_256, &verifier);
	buf_init(&text, SCRAM_TEXT_MAX);
	scram_write(&text, &verifier);
	return buf_take(&text);
}

/* ---------------------------------------------------------------- ends */

static const char *mechanism_name(enum server_mechanism mechanism)
{
	static const char *const names[] = {
#define X(name, keyword) [SERVER_AUTH_ROW_##name] = keyword,
		SERVER_MECHANISMS(X)
#undef X
	};
	size_t i = 0;

	while (!(mechanism & 1u << i))
		i++;
	return names[i];
}

static void release(struct login *login)
{
	helper_cancel(login->request);
	loop_timer_stop(&login->timer);
	list_remove(&login->node);
	mem_free(login);
}

void login_cancel(struct login *login)
{
	if (login)
		release(login);
}

static void answered(struct login *login)
{
	void (*ready)(void *arg) = login->ready;
	void *arg = login->arg;

	release(login);
	ready(arg);
}

static void name_user(const char *user, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "user:%.*s", USERS_NAME_MAX, user);
}

static void succeed(struct login_set *set, const char *source, const char *user, enum server_mechanism mechanism)
{
	char name[NAME_SIZE];

	name_user(user, name);
	penalty_succeed(set->penalty, source);
	penalty_succeed(set->penalty, name);
	log_event(LOG_LEVEL_INFO, "login", LOG_TEXT("user", user), LOG_TEXT("source", source),
		  LOG_TEXT("mechanism", mechanism_name(mechanism)));
}

static void on_delay(struct loop_timer *timer)
{
	struct login *login = LIST_ENTRY(timer, struct login, timer);

	server_refuse(login->engine, wrong);
	answered(login);
}

/* Counts it, and answers later. */
static void fail(struct login *login, const char *why)
{
	struct login_set *set = login->set;
	int64_t now_ms = loop_now_ms(set->loop), source_ms, user_ms;
	char name[NAME_SIZE];

	name_user(login->user, name);
	source_ms = penalty_add(set->penalty, login->source, now_ms);
	user_ms = penalty_add(set->penalty, name, now_ms);
	log_event(LOG_LEVEL_NOTICE, "login-failed", LOG_TEXT("user", login->user), LOG_TEXT("source", login->source),
		  LOG_TEXT("mechanism", mechanism_name(login->mechanism)),
		  LOG_TEXT("reason", login->is_known ? why : "there is no such user"));
	list_append(&set->waiting, &login->node);
	loop_timer_in(&login->timer, set->is_hurried ? 0 : source_ms > user_ms ? source_ms : user_ms);
}

static void refuse_later(struct server *engine, const char *source, const char *why, const char *text)
{
	log_event(LOG_LEVEL_WARNING, "login-deferred", LOG_TEXT("source", source), LOG_TEXT("reason", why));
	server_refuse(engine, (struct server_reply){ 454, "4.7.0", text });
}

/* ---------------------------------------------------------------- questions */

static const char LATER[] = "logins cannot be checked just now; try again later";

static void on_checked(void *arg, enum helper_verdict verdict, const char *why)
{
	struct login *login = arg;

	login->request = NULL;
	switch (verdict) {
	case HELPER_YES:
		if (!login->is_known)
			break;
		succeed(login->set, login->source, login->user, login->mechanism);
		server_accept(login->engine, NULL);
		answered(login);
		return;
	case HELPER_NO: break;
	case HELPER_UNDONE:
		refuse_later(login->engine, login->source, why, LATER);
		answered(login);
		return;
	}
	fail(login, "wrong password");
}

/* Verifiers are made of the one form that all spellings of a password share (RFC 5802, 2.2). */
static void check_password(struct login *login, const struct users *users, const struct users_entry *entry,
			   const char *password)
{
	char *secret = entry ? mem_strdup(entry->secret) : decoy(login->set, users, login->user);
	char *prepared = secret[0] == '$' ? NULL : sasl_server_prepare(span_str(password));

	login->request = helper_check(login->set->helper, secret, prepared ? prepared : password, on_checked, login);
	mem_wipe_free(secret, strlen(secret));
	if (prepared)
		mem_wipe_free(prepared, strlen(prepared));
}

static void give_verifier(const struct login_set *set, const struct users *users, const struct users_entry *entry,
			  struct server *engine, const struct server_auth *auth)
{
	struct scram_verifier verifier;

	if (!entry || !users_verifier(entry, auth->hash, &verifier))
		make_up(set, users, auth->user, auth->hash, &verifier);
	server_verifier(engine, &verifier);
	explicit_bzero(&verifier, sizeof(verifier));
}

/* An IPv6 network belongs to one customer, however many addresses it has. */
static void name_source(const char *source, char out[SOURCE_SIZE])
{
	uint8_t a[16];

	if (strchr(source, ':') && cidr_address(span_str(source), a) && !cidr_is_loopback(a))
		snprintf(out, SOURCE_SIZE, "%x:%x:%x:%x::/64", a[0] << 8 | a[1], a[2] << 8 | a[3], a[4] << 8 | a[5],
			 a[6] << 8 | a[7]);
	else
		snprintf(out, SOURCE_SIZE, "%s", source);
}

/* True: refused, for what was guessed before from there. */
static bool is_kept_out(struct login_set *set, const char *source, struct server *engine)
{
	int64_t wait_ms = penalty_wait(set->penalty, source, loop_now_ms(set->loop));
	char duration[TEXT_DURATION_SIZE], text[200];

	if (wait_ms == 0)
		return false;
	snprintf(text, sizeof(text), "too many failed logins from %s; try again in %s", source,
		 text_duration_print(wait_ms + 999, duration));
	refuse_later(engine, source, "too many failed logins", text);
	return true;
}

static struct login *login_new(struct login_set *set, const struct login_asker *asker, struct server *engine,
			       const struct server_auth *auth, bool is_known)
{
	struct login *login = MEM_NEW(struct login);

	login->set = set;
	login->engine = engine;
	login->is_known = is_known;
	login->mechanism = auth->mechanism;
	login->ready = asker->ready;
	login->arg = asker->arg;
	name_source(asker->source, login->source);
	snprintf(login->user, sizeof(login->user), "%s", auth->user);
	list_init(&login->node);
	loop_timer_init(&login->timer, set->loop, on_delay);
	return login;
}

struct login *login_ask(struct login_set *set, const struct login_asker *asker, struct server *engine,
			const struct server_auth *auth)
{
	bool is_external = auth->mechanism == SERVER_AUTH_EXTERNAL;
	const struct users *users = is_external ? NULL : users_of(set, asker->listener->users);
	const struct users_entry *entry = users ? users_find(users, auth->user) : NULL;
	struct login *login;
	char source[SOURCE_SIZE];

	name_source(asker->source, source);
	if (auth->kind != SERVER_AUTH_FAILED && is_kept_out(set, source, engine))
		return NULL;
	if (!users && !is_external) {
		refuse_later(engine, source, "the users file cannot be used", LATER);
		return NULL;
	}
	switch (auth->kind) {
	case SERVER_AUTH_VERIFIER: give_verifier(set, users, entry, engine, auth); return NULL;
	case SERVER_AUTH_PROVEN:
		/* A user may have been taken out of the file since the verifier was handed out. */
		if (is_external || entry) {
			succeed(set, source, auth->user, auth->mechanism);
			server_accept(engine, NULL);
			return NULL;
		}
		break;
	case SERVER_AUTH_PASSWORD:
		if (!set->helper) {
			refuse_later(engine, source, "sendoff-helper does not run", LATER);
			return NULL;
		}
		login = login_new(set, asker, engine, auth, entry != NULL);
		check_password(login, users, entry, auth->password);
		return login;
	case SERVER_AUTH_FAILED: break;
	}
	login = login_new(set, asker, engine, auth, is_external || entry);
	fail(login, auth->why ? auth->why : "there is no such user");
	return login;
}
