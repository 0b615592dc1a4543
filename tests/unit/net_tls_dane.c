/* DANE: which chains the TLSA records of a host prove, and which they do not, in handshakes from end to end. */
#include "tests/unit/support/end.h"

#include <stdlib.h>

#include "net/tls_server.h"
#include "tests/unit/support/certs.h"

static struct loop *loop;
static struct tls_client *client;
static struct tls_server *server;
static struct end a, b; /* a calls, b answers */
static char folder[64];

static char *path_of(const char *name)
{
	static char paths[4][128];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
	return paths[turn];
}

/* ---------------------------------------------------------------- the certificates */

enum who {
	NOBODY,
	ROOT,    /* an authority, */
	INTER,   /* one below it, */
	LEAF,    /* and what that issued for mx.example.org */
	DIRECT,  /* for mx.example.org, by ROOT */
	OTHER,   /* for other.example, by ROOT */
	EXPIRED, /* DIRECT, but of yesterday */
	FUTURE,
	CLIENT,     /* for mx.example.org, by ROOT, but good for clients only */
	DOMAIN,     /* for example.org, by ROOT */
	WILD,       /* for *.example.org, by ROOT */
	DEEP,       /* for a.b.example.org, by ROOT */
	NAMED,      /* for mx.example.org by its common name alone, by ROOT */
	BELOW,      /* issued by DIRECT, which is no authority */
	OLD_INTER,  /* INTER, but of yesterday, */
	OLD_LEAF,   /* and what it issued for mx.example.org */
	SELF,       /* for mx.example.org, by itself */
	SELF_OTHER, /* for other.example, by itself, of yesterday */
	FAKE_ROOT,  /* called like ROOT, with a key of its own, */
	FORGED,     /* and what that issued for mx.example.org */
	PEOPLE,
};

static struct certs_pair people[PEOPLE];

#define MX "mx.example.org"

static const struct {
	enum who who, issuer;
	struct certs_wish wish;
} wishes[] = {
	{ ROOT, NOBODY, { "Root", { NULL }, NULL, 0, 0, true } },
	{ INTER, ROOT, { "Inter", { NULL }, NULL, 0, 0, true } },
	{ LEAF, INTER, { MX, { MX }, NULL, 0, 0, false } },
	{ DIRECT, ROOT, { MX, { MX }, GNUTLS_KP_TLS_WWW_SERVER, 0, 0, false } },
	{ OTHER, ROOT, { "other.example", { "other.example" }, NULL, 0, 0, false } },
	{ EXPIRED, ROOT, { MX, { MX }, NULL, -3, -1, false } },
	{ FUTURE, ROOT, { MX, { MX }, NULL, 2, 3, false } },
	{ CLIENT, ROOT, { MX, { MX }, GNUTLS_KP_TLS_WWW_CLIENT, 0, 0, false } },
	{ DOMAIN, ROOT, { "example.org", { "example.org" }, NULL, 0, 0, false } },
	{ WILD, ROOT, { "Wild", { "*.example.org" }, NULL, 0, 0, false } },
	{ DEEP, ROOT, { "Deep", { "elsewhere.example", "a.b.example.org" }, NULL, 0, 0, false } },
	{ NAMED, ROOT, { MX, { NULL }, NULL, 0, 0, false } },
	{ BELOW, DIRECT, { "Below", { MX }, NULL, 0, 0, false } },
	{ OLD_INTER, ROOT, { "Old inter", { NULL }, NULL, -3, -1, true } },
	{ OLD_LEAF, OLD_INTER, { MX, { MX }, NULL, 0, 0, false } },
	{ SELF, NOBODY, { MX, { MX }, NULL, 0, 0, false } },
	{ SELF_OTHER, NOBODY, { "other.example", { "other.example" }, NULL, -3, -1, false } },
	{ FAKE_ROOT, NOBODY, { "Root", { NULL }, NULL, 0, 0, true } },
	{ FORGED, FAKE_ROOT, { MX, { MX }, NULL, 0, 0, false } },
};

static int setup_group(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/sendoff-dane-XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
		people[wishes[i].who] =
			certs_make(&wishes[i].wish, wishes[i].issuer ? &people[wishes[i].issuer] : NULL);
	return 0;
}

static int teardown_group(void **state)
{
	char command[128];

	(void)state;
	for (size_t i = 0; i < PEOPLE; i++)
		certs_drop(&people[i]);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	client = tls_client_new();
	server = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_fini(&a);
	end_fini(&b);
	tls_server_free(server);
	tls_client_free(client);
	loop_free(loop);
	return 0;
}

/* ---------------------------------------------------------------- records and handshakes */

static const char *const words[PEOPLE] = {
#define WORD(who) [who] = #who
	WORD(NOBODY),    WORD(ROOT),     WORD(INTER),  WORD(LEAF),       WORD(DIRECT),    WORD(OTHER),  WORD(EXPIRED),
	WORD(FUTURE),    WORD(CLIENT),   WORD(DOMAIN), WORD(WILD),       WORD(DEEP),      WORD(NAMED),  WORD(BELOW),
	WORD(OLD_INTER), WORD(OLD_LEAF), WORD(SELF),   WORD(SELF_OTHER), WORD(FAKE_ROOT), WORD(FORGED),
};

static enum who who_is(const char *word)
{
	for (unsigned i = 0; i < PEOPLE; i++)
		if (strcmp(words[i], word) == 0)
			return (enum who)i;
	fail_msg("%s is nobody", word);
	return NOBODY;
}

struct made {
	struct tls_tlsa list[8];
	unsigned char data[8][4096];
	size_t count;
};

/* "2 0 1 ROOT; 3 1 1 LEAF short": "short" takes the last byte off. */
static void make_records(const char *text, struct made *out)
{
	char copy[128], *save, *at;

	memset(out, 7, sizeof(*out));
	out->count = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	for (at = strtok_r(copy, ";", &save); at; at = strtok_r(NULL, ";", &save)) {
		char who[32], cut[8] = "";
		unsigned usage, selector, matching;
		size_t len;

		assert_true(sscanf(at, "%u %u %u %31s %7s", &usage, &selector, &matching, who, cut) >= 4);
		len = matching == 2 ? 64 : 32;
		if (who_is(who))
			len = certs_tlsa(&people[who_is(who)], selector > 1 ? 0 : selector, matching > 2 ? 1 : matching,
					 out->data[out->count]);
		out->list[out->count] = (struct tls_tlsa){ (uint8_t)usage, (uint8_t)selector, (uint8_t)matching,
							   span_of(out->data[out->count], cut[0] ? len - 1 : len) };
		out->count++;
	}
}

/* What is no certificate. */
static gnutls_pcert_st junk(void)
{
	gnutls_pcert_st made = { .type = GNUTLS_CRT_X509, .cert = { gnutls_calloc(1, 64), 64 } };

	return made;
}

/* "LEAF INTER ROOT": the server's own first; NOBODY: what is no certificate. GnuTLS would sort what it reads from files, and leave out what does not
 * belong: forged chains are given to it ready to be sent. */
static void serve(const char *chain)
{
	const struct certs_pair *own = NULL;
	gnutls_certificate_credentials_t credentials;
	gnutls_pcert_st list[8];
	gnutls_privkey_t key;
	char copy[128], why[256] = "", *save, *at;
	int count = 0;

	tls_server_free(server);
	server = NULL;
	if (tls_server_new_self_signed("nobody.example", NULL, &server, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	credentials = server->files->credentials;
	gnutls_certificate_free_keys(credentials);
	snprintf(copy, sizeof(copy), "%s", chain);
	for (at = strtok_r(copy, " ", &save); at; at = strtok_r(NULL, " ", &save)) {
		const struct certs_pair *pair = &people[who_is(at)];

		own = own ? own : pair;
		if (pair->crt)
			assert_int_equal(gnutls_pcert_import_x509(&list[count++], pair->crt, 0), 0);
		else
			list[count++] = junk();
	}
	gnutls_privkey_init(&key);
	assert_int_equal(gnutls_privkey_import_x509(key, own->key, GNUTLS_PRIVKEY_IMPORT_COPY), 0);
	/* The list and the key are its own from now on. */
	assert_true(gnutls_certificate_set_key(credentials, NULL, 0, list, count, key) >= 0);
}

/* True when the client calls it secure. */
static bool shake(const struct tls_demand *demand)
{
	int fds[2];

	end_fini(&a);
	end_fini(&b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
	assert_int_equal(conn_tls_accept(b.conn, server), 0);
	assert_int_equal(conn_tls_connect(a.conn, client, demand), 0);
	assert_true(PUMP(loop, end_has(&a, 'S') || end_has(&a, 'F'), 5000));
	return end_has(&a, 'S');
}

static struct tls_facts facts(void)
{
	struct tls_facts out;

	assert_true(conn_tls_facts(a.conn, &out));
	return out;
}

/* ---------------------------------------------------------------- the table */

#define PROVEN NULL, TLS_FAILURE_NONE
#define NO_FIT "no TLSA record fits", TLS_FAILURE_DANE

static const struct {
	const char *name, *chain, *records;
	const char *refused; /* words of the refusal; NULL: proven */
	enum tls_failure failure;
} rows[] = {
	/* Usage 3: the certificate itself, and nothing else counts. */
	{ "3 1 1 of the key", "LEAF INTER", "3 1 1 LEAF", PROVEN },
	{ "3 1 2 of the key", "LEAF INTER", "3 1 2 LEAF", PROVEN },
	{ "3 1 0, the key itself", "LEAF INTER", "3 1 0 LEAF", PROVEN },
	{ "3 0 1 of the certificate", "LEAF INTER", "3 0 1 LEAF", PROVEN },
	{ "3 0 2 of the certificate", "LEAF", "3 0 2 LEAF", PROVEN },
	{ "3 0 0, the certificate itself", "LEAF", "3 0 0 LEAF", PROVEN },
	{ "3 1 1 of a certificate for somebody else, of yesterday", "SELF_OTHER", "3 1 1 SELF_OTHER", PROVEN },
	{ "3 1 1 of a certificate for clients only", "CLIENT", "3 1 1 CLIENT", PROVEN },
	{ "3 1 1 of another key", "LEAF", "3 1 1 DIRECT", NO_FIT },
	{ "3 1 1 of nothing", "LEAF", "3 1 1 NOBODY", NO_FIT },
	{ "3 1 1 of an issuer", "LEAF INTER", "3 1 1 INTER", NO_FIT },
	{ "the second of two records", "LEAF", "3 1 1 DIRECT; 3 1 1 LEAF", PROVEN },
	{ "3 1 1, and what is no certificate behind it", "LEAF NOBODY INTER", "3 1 1 LEAF", PROVEN },
	{ "usage 3 fits where usage 2 does not", "LEAF INTER", "2 0 1 FAKE_ROOT; 3 1 1 LEAF", PROVEN },

	/* Usage 2: an anchor, from which chain, names and dates must hold. */
	{ "2 0 1 of the root, which is sent", "LEAF INTER ROOT", "2 0 1 ROOT", PROVEN },
	{ "2 1 1 of the root, which is sent", "LEAF INTER ROOT", "2 1 1 ROOT", PROVEN },
	{ "2 0 1 of an authority in between", "LEAF INTER", "2 0 1 INTER", PROVEN },
	{ "2 1 2 of an authority in between, the root is sent too", "LEAF INTER ROOT", "2 1 2 INTER", PROVEN },
	{ "2 0 1 of the root, which is not sent", "LEAF INTER", "2 0 1 ROOT", NO_FIT },
	{ "2 0 1 behind what is no certificate", "LEAF NOBODY INTER", "2 0 1 INTER", NO_FIT },
	{ "2 0 0, the root in the record alone", "LEAF INTER", "2 0 0 ROOT", PROVEN },
	{ "2 0 0, an authority in between in the record alone", "LEAF", "2 0 0 INTER", PROVEN },
	{ "2 1 0, the root's key in the record alone", "LEAF INTER", "2 1 0 ROOT", PROVEN },
	{ "2 1 0, the key that signed the certificate itself", "LEAF", "2 1 0 INTER", PROVEN },
	{ "2 1 0, the key of somebody else", "LEAF INTER", "2 1 0 FAKE_ROOT", NO_FIT },
	{ "2 0 0, another authority of the same name", "DIRECT", "2 0 0 FAKE_ROOT", "refused", TLS_FAILURE_UNTRUSTED },
	{ "2 0 1, but for another name", "OTHER ROOT", "2 0 1 ROOT",
	  "it is not for mx.example.org or example.org but for other.example", TLS_FAILURE_NAME },
	{ "2 1 0, but for another name", "OTHER", "2 1 0 ROOT",
	  "it is not for mx.example.org or example.org but for other.example", TLS_FAILURE_NAME },
	{ "2 0 1, but of yesterday", "EXPIRED ROOT", "2 0 1 ROOT", "it expired on", TLS_FAILURE_EXPIRED },
	{ "2 1 0, but of yesterday", "EXPIRED", "2 1 0 ROOT", "it expired on", TLS_FAILURE_EXPIRED },
	{ "2 0 1, but of tomorrow", "FUTURE ROOT", "2 0 1 ROOT", "it is not valid before", TLS_FAILURE_NOT_YET },
	{ "2 0 1, but for clients", "CLIENT ROOT", "2 0 1 ROOT", "it is not meant for servers", TLS_FAILURE_UNTRUSTED },
	{ "2 0 1, but an authority in between is of yesterday", "OLD_LEAF OLD_INTER ROOT", "2 0 1 ROOT",
	  "its issuer expired on", TLS_FAILURE_EXPIRED },
	{ "2 0 1, but what issued it is no authority", "BELOW DIRECT ROOT", "2 0 1 ROOT",
	  "its issuer may not issue certificates", TLS_FAILURE_UNTRUSTED },
	{ "2 0 1 of what is no authority", "BELOW DIRECT", "2 0 1 DIRECT", "its issuer may not issue certificates",
	  TLS_FAILURE_UNTRUSTED },
	{ "2 0 1, the domain's name", "DOMAIN ROOT", "2 0 1 ROOT", PROVEN },
	{ "2 0 1, a wildcard", "WILD ROOT", "2 0 1 ROOT", PROVEN },
	{ "2 0 1, a common name", "NAMED ROOT", "2 0 1 ROOT", PROVEN },

	/* The forged chain: the real anchor is carried along, and has signed nothing of it. */
	{ "a forged certificate carries the anchor", "FORGED ROOT", "2 0 1 ROOT", "refused", TLS_FAILURE_UNTRUSTED },
	{ "a forged chain carries the anchor", "FORGED FAKE_ROOT ROOT", "2 0 1 ROOT", "refused",
	  TLS_FAILURE_UNTRUSTED },
	{ "a forged chain carries the anchor in the middle", "FORGED ROOT FAKE_ROOT", "2 1 1 ROOT", "refused",
	  TLS_FAILURE_UNTRUSTED },
	{ "a forged chain carries a whole real one", "FORGED FAKE_ROOT LEAF INTER ROOT", "2 0 1 ROOT", "refused",
	  TLS_FAILURE_UNTRUSTED },
	{ "a forged chain, the anchor in the record", "FORGED FAKE_ROOT", "2 0 0 ROOT", "refused",
	  TLS_FAILURE_UNTRUSTED },
	{ "a certificate by itself carries the anchor", "SELF ROOT", "2 0 1 ROOT", "it is self-signed",
	  TLS_FAILURE_UNTRUSTED },
	{ "the real one of two of the same name", "DIRECT FAKE_ROOT ROOT", "2 0 1 ROOT", PROVEN },

	/* The certificate itself as an anchor. */
	{ "2 0 1 of one that is signed by itself", "SELF", "2 0 1 SELF", PROVEN },
	{ "2 1 1 of one that is signed by itself", "SELF", "2 1 1 SELF", PROVEN },
	{ "2 1 1 of one that is signed by itself, another name and date", "SELF_OTHER", "2 1 1 SELF_OTHER",
	  "it is not for mx.example.org or example.org but for other.example; it expired on", TLS_FAILURE_EXPIRED },
	{ "2 0 1 of one that somebody issued", "DIRECT ROOT", "2 0 1 DIRECT", NO_FIT },
	{ "2 0 0 of one that somebody issued", "DIRECT ROOT", "2 0 0 DIRECT", NO_FIT },

	/* What is of no use. */
	{ "usage 0", "LEAF INTER ROOT", "0 0 1 ROOT", NO_FIT },
	{ "usage 1", "LEAF INTER ROOT", "1 1 1 LEAF", NO_FIT },
	{ "usage 255", "LEAF", "255 1 1 LEAF", NO_FIT },
	{ "selector 2", "LEAF", "3 2 1 LEAF", NO_FIT },
	{ "matching type 3", "LEAF", "3 0 3 LEAF", NO_FIT },
	{ "a digest cut short", "LEAF", "3 1 1 LEAF short", NO_FIT },
	{ "a certificate cut short", "LEAF", "3 0 0 LEAF short", NO_FIT },
	{ "an anchor cut short", "DIRECT", "2 0 0 ROOT short", NO_FIT },
	{ "no record at all", "LEAF INTER ROOT", "", NO_FIT },

	/* The best digest of each kind (RFC 7671, 9). */
	{ "the weaker digest alone fits", "LEAF", "3 1 1 LEAF; 3 1 2 DIRECT", NO_FIT },
	{ "the better digest fits", "LEAF", "3 1 1 DIRECT; 3 1 2 LEAF", PROVEN },
	{ "the better digest is of another kind", "LEAF", "3 1 1 LEAF; 3 0 2 DIRECT", PROVEN },
	{ "the better digest is of another usage", "LEAF INTER", "3 1 1 LEAF; 2 1 2 DIRECT", PROVEN },
	{ "the better digest is broken", "LEAF", "3 1 1 LEAF; 3 1 2 DIRECT short", PROVEN },
	{ "a whole key stands beside a digest", "LEAF", "3 1 0 LEAF; 3 1 2 DIRECT", PROVEN },
};

static void records_prove_what_they_should_and_nothing_else(void **state)
{
	static const char *const domain[] = { "example.org" };
	static struct made made;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_demand demand = {
			.name = MX, .verify = true, .tlsa = made.list, .more_names = domain, .more_name_count = 1
		};
		bool proven;

		make_records(rows[i].records, &made);
		demand.tlsa_count = made.count;
		serve(rows[i].chain);
		proven = shake(&demand);
		if (proven != !rows[i].refused)
			fail_msg("%s: %s", rows[i].name, proven ? "proven" : conn_error(a.conn));
		if (proven && !(facts().verified && facts().by_dane && facts().failure == TLS_FAILURE_NONE))
			fail_msg("%s: proven, but the facts do not say so", rows[i].name);
		if (!proven && !strstr(conn_error(a.conn), rows[i].refused))
			fail_msg("%s: \"%s\" is not in \"%s\"", rows[i].name, rows[i].refused, conn_error(a.conn));
		if (!proven && (!conn_failed_by_certificate(a.conn) || conn_tls_failure(a.conn) != rows[i].failure))
			fail_msg("%s: failure %d", rows[i].name, conn_tls_failure(a.conn));
	}
}

/* ---------------------------------------------------------------- with other demands */

static const char *root_file(void)
{
	const struct certs_pair *root = &people[ROOT];

	certs_write(path_of("ca.pem"), &root, 1);
	return path_of("ca.pem");
}

static void authorities_have_no_say_beside_records(void **state)
{
	static struct made made;
	struct tls_demand demand = { .name = MX, .verify = true, .tlsa = made.list, .tlsa_count = 1 };

	(void)state;
	demand.ca_file = root_file();
	make_records("3 1 1 LEAF", &made);
	serve("DIRECT");
	assert_false(shake(&demand));
	demand.tlsa = NULL;
	assert_true(shake(&demand));
	assert_true(facts().verified);
	assert_false(facts().by_dane);
}

static void with_pins_both_must_fit(void **state)
{
	static struct made made;
	static const char *const bad = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
	char pin[80] = "sha256:";
	const char *good = pin;
	struct tls_demand demand = {
		.name = MX, .verify = true, .tlsa = made.list, .tlsa_count = 1, .pins = &good, .pin_count = 1
	};

	(void)state;
	make_records("3 1 1 DIRECT", &made);
	for (size_t i = 0; i < 32; i++)
		snprintf(pin + 7 + 2 * i, 3, "%02x", made.data[0][i]);
	serve("DIRECT");
	assert_true(shake(&demand));
	assert_true(facts().by_dane);
	demand.pins = &bad;
	assert_false(shake(&demand));
	assert_int_equal(conn_tls_failure(a.conn), TLS_FAILURE_PIN);
	make_records("3 1 1 LEAF", &made);
	demand.pins = &good;
	assert_false(shake(&demand));
	assert_int_equal(conn_tls_failure(a.conn), TLS_FAILURE_DANE);
}

static void names_below_a_domain_fit_a_name_with_a_dot_in_front(void **state)
{
	static const struct {
		const char *own, *name;
		bool fits;
	} cases[] = {
		{ "DIRECT", ".example.org", true },
		{ "WILD", ".example.org", true },
		{ "DEEP", ".example.org", true },
		{ "DEEP", ".b.example.org", true },
		{ "DEEP", ".EXAMPLE.org", true },
		{ "NAMED", ".example.org", true },
		{ "WILD", ".org", true },
		{ "DOMAIN", ".org", true },
		{ "DOMAIN", ".example.org", false },
		{ "DIRECT", ".xample.org", false },
		{ "DIRECT", ".example", false },
		{ "DIRECT", ".mx.example.org", false },
		{ "WILD", ".mx.example.org", false },
		{ "OTHER", ".example.org", false },
		{ "DIRECT", ".", false },
		{ "DEEP", "b.example.org", false },
		{ "WILD", "a.b.example.org", false },
		{ "WILD", "example.org", false },
		{ "DEEP", "A.B.example.ORG", true },
		{ "DEEP", "Deep", false },
		{ "WILD", MX, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *more[] = { "somebody.example", cases[i].name };
		struct tls_demand demand = { .name = MX, .check_name = cases[i].name, .verify = true };

		demand.ca_file = root_file();
		serve(cases[i].own);
		if (shake(&demand) != cases[i].fits)
			fail_msg("%s and %s", cases[i].own, cases[i].name);
		if (!cases[i].fits)
			assert_int_equal(conn_tls_failure(a.conn), TLS_FAILURE_NAME);
		/* And so it is with one of several. */
		demand.check_name = "nobody.example";
		demand.more_names = more;
		demand.more_name_count = 2;
		if (shake(&demand) != cases[i].fits)
			fail_msg("%s and %s among others", cases[i].own, cases[i].name);
	}
}

static void what_is_only_noted_does_not_end_the_handshake(void **state)
{
	struct tls_demand demand = { .name = MX, .verify = true, .only_notes = true };

	(void)state;
	demand.ca_file = root_file();
	serve("OTHER");
	assert_true(shake(&demand));
	assert_false(facts().verified);
	assert_int_equal(facts().failure, TLS_FAILURE_NAME);
	assert_non_null(strstr(facts().why, "it is not for mx.example.org but for other.example"));
	serve("DIRECT");
	assert_true(shake(&demand));
	assert_true(facts().verified);
	assert_int_equal(facts().failure, TLS_FAILURE_NONE);
	assert_string_equal(facts().why, "");
}

/* ---------------------------------------------------------------- tickets */

static bool shake_with(struct tls_demand *demand, const char *records)
{
	static struct made made;
	bool proven;

	make_records(records, &made);
	demand->tlsa = made.list;
	demand->tlsa_count = made.count;
	proven = shake(demand);
	if (proven) {
		end_say(&b, "220 hello\r\n"); /* the ticket comes while reading */
		assert_true(PUMP(loop, a.got.len == 11, 1000));
	}
	return proven;
}

static void tickets_are_used_under_the_same_records_only(void **state)
{
	static const char *const minima[] = { "1.3", "1.2" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct tls_demand demand = { .name = MX, .verify = true, .cache_key = "key", .minimum = minima[i] };

		serve("LEAF INTER ROOT");
		assert_true(shake_with(&demand, "2 0 1 ROOT"));
		assert_false(facts().resumed);
		assert_true(
			shake_with(&demand, "2 0 1 ROOT")); /* proven again, from the chain of the first handshake */
		assert_true(facts().resumed);
		assert_true(facts().by_dane);
		assert_true(shake_with(&demand, "2 0 1 ROOT; 3 1 1 OTHER"));
		assert_false(facts().resumed);
		assert_true(shake_with(&demand, "2 0 1 INTER"));
		assert_false(facts().resumed);
		demand.check_name = "MX.example.org";
		assert_true(shake_with(&demand, "2 0 1 INTER"));
		assert_false(facts().resumed);
		assert_false(shake_with(&demand, "2 0 1 FAKE_ROOT"));
		demand.verify = false; /* no DANE is something else, too */
		assert_true(shake_with(&demand, ""));
		assert_false(facts().resumed);
	}
}

/* ---------------------------------------------------------------- words for reports */

static void every_failure_has_a_name_of_the_rfc(void **state)
{
	(void)state;
	assert_string_equal(tls_failure_report(TLS_FAILURE_NONE), "validation-failure");
	assert_string_equal(tls_failure_report(TLS_FAILURE_ABSENT), "certificate-not-trusted");
	assert_string_equal(tls_failure_report(TLS_FAILURE_DANE), "tlsa-invalid");
	assert_string_equal(tls_failure_report(TLS_FAILURE_PIN), "certificate-not-trusted");
	assert_string_equal(tls_failure_report(TLS_FAILURE_EXPIRED), "certificate-expired");
	assert_string_equal(tls_failure_report(TLS_FAILURE_NOT_YET), "certificate-not-trusted");
	assert_string_equal(tls_failure_report(TLS_FAILURE_NAME), "certificate-host-mismatch");
	assert_string_equal(tls_failure_report(TLS_FAILURE_REVOKED), "certificate-not-trusted");
	assert_string_equal(tls_failure_report(TLS_FAILURE_UNTRUSTED), "certificate-not-trusted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(records_prove_what_they_should_and_nothing_else),
		TEST(authorities_have_no_say_beside_records),
		TEST(with_pins_both_must_fit),
		TEST(names_below_a_domain_fit_a_name_with_a_dot_in_front),
		TEST(what_is_only_noted_does_not_end_the_handshake),
		TEST(tickets_are_used_under_the_same_records_only),
		TEST(every_failure_has_a_name_of_the_rfc),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
