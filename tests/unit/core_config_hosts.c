#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config.h"
#include "config_load.h"
#include "route.h"

/* Where mail goes and how: smart hosts, MX, domains, weights. "^" in a row is the test's folder. */

struct fixture {
	char folder[64];
	struct buf errors, warnings;
};

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	strcpy(f->folder, "/tmp/sendoff-hosts-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chdir(f->folder), 0);
	buf_init(&f->errors, 1 << 16);
	buf_init(&f->warnings, 1 << 16);
	put("cert", "x", 0644);
	put("key", "x", 0600);
	put("far", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", 0644);
	put("near", "search x\nnameserver 127.0.0.53\nnameserver ::1\n", 0644);
	put("none", "search x\n", 0644);
	put("secret.conf",
	    "smarthost s { host = \"h.example\" proxy = \"socks5://u:p@proxy:1080\" }\nroute s { via = {s} }\n", 0600);
	put("told.conf",
	    "smarthost s { host = \"h.example\" proxy = \"socks5://u:p@proxy:1080\" }\nroute s { via = {s} }\n", 0640);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	buf_fini(&f->errors);
	buf_fini(&f->warnings);
	mem_free(f);
	return 0;
}

static struct config *load(struct fixture *f, const char *text)
{
	struct buf all;

	buf_init(&all, 1 << 16);
	for (; *text; text++)
		if (*text == '^')
			buf_append_str(&all, f->folder);
		else
			buf_append_char(&all, *text);
	buf_clear(&f->errors);
	buf_clear(&f->warnings);
	put("a.conf", buf_cstr(&all), 0600);
	buf_fini(&all);
	return config_load("a.conf", &f->errors, &f->warnings);
}

static struct config *load_well(struct fixture *f, const char *text)
{
	struct config *config = load(f, text);

	if (!config)
		fail_msg("%s", buf_cstr(&f->errors));
	return config;
}

#define HOST(keys)     "smarthost w { host = \"h.example\"\n" keys " }\nroute r { via = {w} }\n"
#define AT(host, keys) "smarthost w { host = \"" host "\"\n" keys " }\nroute r { via = {w} }\n"
#define NEAR           "dns { servers = {\"127.0.0.1\"} }\n"
#define CERT           " tls_certificate = \"^/cert\" tls_key = \"^/key\""
#define USER           " user = u secret_command = \"x\""
#define WHEN(list)     "route r { via = {w}\nwhen = " list " }\n"
#define MX             "route r { via = {mx} }\n"
#define A63            "a23456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	const char *errors, *warnings; /* whole, with their line ends; NULL: none */
} rows[] = {
	/* how a smart host is spoken to */
	{ HOST("protocol = lmtp"), NULL, NULL },
	{ HOST("protocol = lmtp port = 25"),
	  "a.conf:2: port = 25 with protocol = lmtp: nobody may speak LMTP there - use the server's own port for it, often "
	  "24\n",
	  NULL },
	{ HOST("protocol = esmtp"), "a.conf:2: protocol = \"esmtp\" is not known - did you mean smtp?\n", NULL },
	{ AT("srv:example.com", ""), NULL, NULL },
	{ AT("srv:example.com", "tls = implicit"), NULL, NULL },
	{ AT("srv:", ""),
	  "a.conf:1: host = \"srv:\" names no domain - as in \"srv:example.com\", whose SRV records are asked for\n",
	  NULL },
	{ AT("srv:192.0.2.1", ""),
	  "a.conf:1: host = \"srv:192.0.2.1\" names no domain - as in \"srv:example.com\", whose SRV records are asked for\n",
	  NULL },
	{ AT("srv:example.com", "port = 587"),
	  "a.conf:2: port with host = \"srv:example.com\": the ports come from DNS - remove it\n", NULL },
	{ AT("srv:example.com", "protocol = lmtp"),
	  "a.conf:2: protocol = lmtp with host = \"srv:example.com\": such records are about submission - name the host\n",
	  NULL },
	{ AT("srv:example.com", "tls = none"),
	  "a.conf:2: tls = none with host = \"srv:example.com\": DNS alone would say who gets the mail - use tls = "
	  "starttls\n",
	  NULL },
	{ "smarthost Mx { host = \"h.example\" }\nroute r { via = {Mx} }\n",
	  "a.conf:1: smarthost \"Mx\": in via that is the MX of each recipient - give it another name\n", NULL },
	{ "smarthost \"mx:a\" { host = \"h.example\" }\nroute r { via = {\"mx:a\"} }\n",
	  "a.conf:1: smarthost \"mx:a\" is not a good name - use 1 to 63 letters, digits and . _ -\n", NULL },
	/* from where */
	{ HOST("source = {\"192.0.2.1\", \"2001:db8::1\"}"), NULL, NULL },
	{ HOST("source = \"192.0.2.1\""), NULL, NULL },
	{ HOST("source = {}"), NULL, NULL },
	{ HOST("source = {\"192.0.2.1\", \"192.0.2.2\", \"::\", \"eth0\", \"192.0.2.1:25\"}"),
	  "a.conf:2: source: \"192.0.2.2\" is the second IPv4 address - one of each family is enough\n"
	  "a.conf:2: source: \"::\" is any address - leave source out for that\n"
	  "a.conf:2: source: \"eth0\" is not an address - write it like \"192.0.2.1\" or \"2001:db8::1\", without a port\n"
	  "a.conf:2: source: \"192.0.2.1:25\" is not an address - write it like \"192.0.2.1\" or \"2001:db8::1\", without a "
	  "port\n",
	  NULL },
	{ AT("/run/s", "source = {\"192.0.2.1\"}\nproxy = \"socks5://h:1\""),
	  "a.conf:2: source with a Unix socket means nothing - remove it\n"
	  "a.conf:3: proxy with a Unix socket means nothing - remove it\n",
	  NULL },
	/* through whom */
	{ HOST("proxy = \"none\""), NULL, NULL },
	{ HOST("proxy = \"http://h:1\""),
	  "a.conf:2: proxy is not understood: it does not begin with socks5:// - as in \"socks5://127.0.0.1:9050\", or "
	  "\"none\"\n",
	  NULL },
	{ "include \"secret.conf\"\n", NULL, NULL },
	{ "include \"told.conf\"\n",
	  "told.conf:1: proxy with a password: told.conf can be read by others than its owner (mode 0640) - chmod 600 it\n",
	  NULL },
	/* what TLS proves */
	{ NEAR HOST("tls = dane"), NULL, NULL },
	{ HOST("tls = danes"), "a.conf:2: tls = \"danes\" is not known - did you mean dane?\n", NULL },
	{ NEAR HOST("tls = dane port = 465"),
	  "a.conf:3: port 465 with tls = dane, which begins with STARTTLS - use port 587, or tls = implicit\n", NULL },
	{ NEAR AT("[192.0.2.1]", "tls = dane"),
	  "a.conf:3: tls = dane with host = \"192.0.2.1\", which has no TLSA records - name a host, or set tls = starttls\n",
	  NULL },
	{ NEAR HOST("tls = dane\n tls_name = x tls_verify = no"),
	  "a.conf:4: tls_name with tls = dane: TLSA records alone say what is right - remove it, or set tls = starttls\n"
	  "a.conf:4: tls_verify with tls = dane: TLSA records alone say what is right - remove it, or set tls = starttls\n",
	  "a.conf:4: warning: smarthost \"w\": tls_verify = no: whoever answers there is believed - tls_ca or tls_pins can "
	  "prove a private server\n" },
	{ HOST("tls = opportunistic\n tls_ca = \"^/cert\""),
	  "a.conf:3: tls_ca with tls = opportunistic proves nothing: the mail goes there without the proof, too - add tls = "
	  "starttls\n",
	  NULL },
	{ HOST("tls = opportunistic" CERT), NULL, NULL },
	{ "dns { servers = {\"192.0.2.1\"} }\n" HOST("tls = dane"), NULL,
	  "a.conf:3: warning: tls = dane: the resolver is another machine, whose word that TLSA records are signed is not "
	  "believed, so that this mail would wait - run a resolver here that validates (as unbound) and set dns.servers, or "
	  "set dns.trust_ad = yes if nobody can get between\n" },
	{ "dns { servers = {\"192.0.2.1\"} trust_ad = yes }\n" HOST("tls = dane"), NULL, NULL },
	{ "dns { servers = {\"127.0.0.1\", \"::1\", \"127.0.0.2\", \"127.0.0.3\"} }\n",
	  "a.conf:1: servers: there are 4 - at most 3 are asked\n", NULL },
	/* who we are */
	{ HOST("auth = {\"scram-sha-256\", \"plain\"}" USER), NULL, NULL },
	{ HOST("auth = scram" USER), NULL, NULL },
	{ HOST("auth = xoauth2" USER), NULL, NULL },
	{ HOST("auth = external" CERT), NULL, NULL },
	{ HOST("auth = external user = u" CERT), NULL, NULL },
	{ HOST("user = u" CERT), NULL, NULL },
	{ HOST("auth = {\"external\", \"plain\"}" CERT USER), NULL, NULL },
	{ HOST("auth = external"),
	  "a.conf:2: auth = external proves who you are by a certificate - add tls_certificate and tls_key\n", NULL },
	{ HOST("auth = external" CERT USER),
	  "a.conf:2: secret_command with auth = external, which has no secret - remove it\n", NULL },
	{ HOST("auth = external tls = opportunistic" CERT),
	  "a.conf:2: tls = opportunistic with auth = external: without TLS no certificate is shown - use tls = starttls or "
	  "implicit\n",
	  NULL },
	{ HOST("auth = {\"oauthbearer\", \"plain\"}" USER),
	  "a.conf:2: auth: the secret is a password or a token, and would be told for the other - name only xoauth2 and "
	  "oauthbearer, or none of them\n",
	  NULL },
	{ HOST("auth = oauthbearer"),
	  "a.conf:2: smarthost \"w\" has auth without user - add user and a secret, or auth = none\n", NULL },
	{ HOST("auth = {\"none\", \"plain\"}"), "a.conf:2: auth: none beside others - remove it, or the others\n",
	  NULL },
	{ HOST("auth = {}"), "a.conf:1: auth = {}: an empty list allows no mechanism - name one, or write none\n",
	  NULL },
	{ HOST("auth = {\"scram-sha-512\", \"kerberos\"}"),
	  "a.conf:2: auth = \"scram-sha-512\" is not known - did you mean scram-sha-1?\n"
	  "a.conf:2: auth = \"kerberos\" is not known - it is auto, plain, login, cram-md5, scram, scram-sha-1, "
	  "scram-sha-256, scram-sha-1-plus, scram-sha-256-plus, external, xoauth2, oauthbearer or none\n",
	  NULL },
	{ HOST("mta_sts = yes"),
	  "a.conf:2: mta_sts has no place here: its policies are about the MX of domains; tls = starttls proves a smart host "
	  "- remove it\n",
	  NULL },
	/* the recipients' MX */
	{ MX, NULL, NULL },
	{ "mx { port = 2525 tls = opportunistic mta_sts = no source = {\"192.0.2.1\"} }\n" MX, NULL, NULL },
	{ "mx { connections = 9 }\n", NULL,
	  "a.conf:1: warning: no route leads to the MX of domains - add route \"rest\" { via = {\"mx\"} }\n" },
	{ "mx { host = \"h.example\"\n auth = {\"plain\"}\n protocol = lmtp }\n" MX,
	  "a.conf:1: host has no place here: the hosts are the MX that DNS names; a smarthost section has a host of your own "
	  "- remove it\n"
	  "a.conf:3: protocol has no place here: MX speak SMTP; a smarthost section can have protocol = lmtp - remove it\n"
	  "a.conf:2: auth has no place here: no password is told to the servers of strangers; a smarthost section has "
	  "accounts - remove it\n",
	  NULL },
	{ "mx { tls = implicit }\n" MX,
	  "a.conf:1: tls = implicit is for submission: MX speak TLS after STARTTLS only - use tls = starttls\n", NULL },
	{ "mx { zebra = 1 }\n" MX,
	  "a.conf:1: unknown key 'zebra' in mx - known here: port tls source proxy tls_verify tls_ca tls_name tls_pins "
	  "tls_certificate tls_key tls_minimum connections rate messages_per_connection recipients_per_message idle "
	  "reconnect timeouts mta_sts mta_sts_ca mta_sts_port\n",
	  NULL },
	{ "mx {\n tls = none\n mta_sts = yes\n mta_sts_port = 1443 }\n" MX,
	  "a.conf:3: mta_sts with tls = none means nothing - remove it, or tls = none\n",
	  "a.conf:4: warning: mta_sts_port does nothing where no policy is asked for - remove it\n"
	  "a.conf:2: warning: mx: tls = none: all mail crosses the Internet in clear text - tls = opportunistic encrypts "
	  "wherever the other side can\n" },
	{ "mx { tls = starttls tls_name = \"a.example\" }\n" MX, NULL,
	  "a.conf:1: warning: mx: tls = starttls: mail to the many domains whose servers cannot prove their names will not "
	  "get through - demand it in domain sections, and leave mx opportunistic\n"
	  "a.conf:1: warning: mx: tls_name would have to fit the servers of all domains - move it to a domain section\n" },
	{ "mx { tls = starttls tls_verify = no }\n" MX, NULL,
	  "a.conf:1: warning: mx: tls_verify = no: whoever answers there is believed - tls_ca or tls_pins can prove a "
	  "private server\n" },
	{ "mx { tls_ca = \"^/cert\" }\n" MX, NULL, NULL }, /* for what MTA-STS asks */
	{ "mx { tls_ca = \"^/cert\" mta_sts = no }\n" MX,
	  "a.conf:1: tls_ca with tls = opportunistic proves nothing: the mail goes there without the proof, too - add tls = "
	  "starttls\n",
	  NULL },
	{ "mx { mta_sts_ca = \"/nonexistent\" }\n" MX,
	  "a.conf:1: mta_sts_ca: cannot read /nonexistent: No such file or directory\n", NULL },
	{ "mx { reconnect { first = 2h\n max = 1h } }\n" MX,
	  "a.conf:2: reconnect: max is shorter than first - make max the longer one\n", NULL },
	/* domains */
	{ "domain \"*.Example.org\" { tls = starttls tls_ca = \"^/cert\" tls_name = \"a.example\"" CERT " }\n"
	  "domain \"[192.0.2.1]\" { tls = none }\ndomain \"m\xc3\xbcnchen.example\" { connections = 1 }\n" MX,
	  NULL, NULL },
	{ "domain \"me@example.org\" { tls = none }\n" MX,
	  "a.conf:1: domain \"me@example.org\" fits no domain, which is what stands behind the @ - write \"example.org\"\n",
	  NULL },
	{ "domain \"a b\" { }\ndomain \"\" { }\ndomain \"a..b\" { }\ndomain \"*\xc3\xbc.x\" { }\ndomain \"[x]\" { }\n" MX,
	  "a.conf:1: domain \"a b\" fits no domain - as in \"example.org\" or \"*.example.org\"\n"
	  "a.conf:2: domain \"\" fits no domain - as in \"example.org\" or \"*.example.org\"\n"
	  "a.conf:3: domain \"a..b\" fits no domain - as in \"example.org\" or \"*.example.org\"\n"
	  "a.conf:4: domain \"*\xc3\xbc.x\" fits no domain - as in \"example.org\" or \"*.example.org\"\n"
	  "a.conf:5: domain \"[x]\" fits no domain - as in \"example.org\" or \"*.example.org\"\n",
	  NULL },
	{ NEAR "domain \"[192.0.2.1]\" { tls = dane }\n" MX,
	  "a.conf:2: domain \"[192.0.2.1]\" with tls = dane: an address has no TLSA records - set tls = starttls\n",
	  NULL },
	{ "domain \"a.example\" { tls_pins = {\"sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"} }\n" MX,
	  "a.conf:1: tls_pins with tls = opportunistic proves nothing: the mail goes there without the proof, too - add tls "
	  "= starttls\n",
	  NULL },
	{ "domain \"*.example\" { tls = none }\ndomain \"a.example\" { }\ndomain \"b.org\" { }\n" MX, NULL,
	  "a.conf:2: warning: domain \"a.example\" is never used: \"*.example\" (a.conf:1) before it fits all that it "
	  "fits\n" },
	{ "domain \"?.org\" { }\ndomain \"*.org\" { }\n" MX, NULL, NULL },
	{ "domain \"a.org\" { }\n", NULL,
	  "a.conf:1: warning: no route leads to the MX of domains - add route \"rest\" { via = {\"mx\"} }\n" },
	{ "mx { tls_verify = no }\ndomain \"a.org\" {\n tls = starttls }\n" MX, NULL,
	  "a.conf:1: warning: mx: tls_verify = no: whoever answers there is believed - tls_ca or tls_pins can prove a "
	  "private server\n"
	  "a.conf:2: warning: domain \"a.org\": tls_verify = no: whoever answers there is believed - tls_ca or tls_pins can "
	  "prove a private server\n" },
	{ "domain \"a.org\" { connections = 1 }\ndomain \"a.org\" { connections = 2 }\n" MX,
	  "a.conf:2: domain \"a.org\" is there twice, first in a.conf:1 - put them together\n", NULL },
	/* weights */
	{ "smarthost a { host = \"h.example\" }\nsmarthost b { host = \"h.example\" }\n"
	  "route r { via = {\"a=3\", \"b=1000\", \"mx\"} }\n",
	  NULL, NULL },
	{ HOST("") "route s { to = {\"*@x\"} via = {\"w=0\", \"mx=1001\"} }\n",
	  "a.conf:4: via: \"w=0\" has no weight from 1 to 1000 - write \"w=3\", or \"w\"\n"
	  "a.conf:4: via: \"mx=1001\" has no weight from 1 to 1000 - write \"mx=3\", or \"mx\"\n",
	  "a.conf:4: warning: route \"s\" is never used: \"r\" (a.conf:3) before it takes all mail\n" },
	{ HOST("") "route s { to = {\"*@x\"} via = {\"w = 3\", \"w:3\"} }\n",
	  "a.conf:4: via: \"w = 3\" has no weight from 1 to 1000 - write \"w=3\", or \"w\"\n"
	  "a.conf:4: via names no smarthost \"w:3\" - a weight is written \"w=3\"\n",
	  "a.conf:4: warning: route \"s\" is never used: \"r\" (a.conf:3) before it takes all mail\n" },
	{ HOST("") "route s { via = {\"mx\", \"w=2\"} }\n",
	  "a.conf:4: via: \"w=2\" stands behind \"mx\", which has no weight and waits for those that have - put it in front, "
	  "or give \"mx\" a weight\n",
	  "a.conf:4: warning: route \"s\" is never used: \"r\" (a.conf:3) before it takes all mail\n" },
	{ HOST("") "route s { via = {\"w=2\", \"w\"} }\n", "a.conf:4: via names \"w\" twice - once is enough\n",
	  "a.conf:4: warning: route \"s\" is never used: \"r\" (a.conf:3) before it takes all mail\n" },
	/* what routes wait for */
	{ "smarthost w { host = \"h.example\" }\n" WHEN("{\"interface tun*\", \"gateway 10.1.0.0/16\", \"online\"}"),
	  NULL, NULL },
	{ "smarthost w { host = \"h.example\" }\n" WHEN("\"gateway fe80::1\""), NULL, NULL },
	{ "smarthost w { host = \"h.example\" }\n" WHEN("{}"),
	  "a.conf:2: when = {}: an empty list would never hold - name a condition, or leave it out\n", NULL },
	{ "smarthost w { host = \"h.example\" }\n" WHEN("{\"online\", \"tun0\", \"10.1.0.1\", \"Interfaces tun0\"}"),
	  "a.conf:3: when: \"tun0\" is no condition - did you mean \"interface tun0\"?\n"
	  "a.conf:3: when: \"10.1.0.1\" is no condition - did you mean \"gateway 10.1.0.1\"?\n"
	  "a.conf:3: when: \"Interfaces tun0\" is no condition - did you mean \"interface tun0\"?\n",
	  NULL },
	{ "smarthost w { host = \"h.example\" }\n" WHEN("{\"gateway vpn.example.org\", \"online now\", \"interface\"}"),
	  "a.conf:3: when: \"gateway vpn.example.org\" names no address or network - write \"interface tun*\", \"gateway "
	  "10.1.0.1\" or \"online\"\n"
	  "a.conf:3: when: \"online now\" says too much - did you mean \"online\"?\n"
	  "a.conf:3: when: \"interface\" names no interface - write \"interface tun*\", \"gateway 10.1.0.1\" or \"online\"\n",
	  NULL },
	/* reports */
	{ "tlsrpt { send = yes\n contact = \"root\"\n from = \"me@example.com\" }\n",
	  "a.conf:2: contact = \"root\" is not an address: the address has no @domain - as in \"me@example.com\"\n",
	  NULL },
};

static void each_configuration_is_judged_with_its_reason(void **state)
{
	struct fixture *f = *state;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *errors = rows[i].errors ? rows[i].errors : "";
		const char *warnings = rows[i].warnings ? rows[i].warnings : "";
		struct config *config = load(f, rows[i].text);

		if (!config == !rows[i].errors || strcmp(buf_cstr(&f->errors), errors) != 0 ||
		    strcmp(buf_cstr(&f->warnings), warnings) != 0) {
			print_error("--- for\n%s--- not\n%s%s--- but\n", rows[i].text, errors, warnings);
			print_error("%s", buf_cstr(&f->errors));
			print_error("%s", buf_cstr(&f->warnings));
			wrong++;
		}
		config_unref(config);
	}
	assert_int_equal(wrong, 0);
}

static void every_key_reaches_its_field(void **state)
{
	struct config *c = load_well(
		*state,
		"reconnect { first = 7s }\ntimeouts { connect = 8s }\nmx { port = 2525 tls = none source = {\"192.0.2.1\", "
		"\"::1\"} proxy = \"socks5://h.example:1080\" connections = 9 rate = \"3/s\" messages_per_connection = 2\n"
		" recipients_per_message = 3 idle = 4s mta_sts = no timeouts { greeting = 9s } }\n"
		"domain \"A.example\" { tls = starttls tls_ca = \"^/cert\" tls_name = n tls_minimum = 1.3\n"
		" tls_pins = {\"sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"}" CERT "\n"
		" mta_sts = yes mta_sts_ca = \"^/cert\" mta_sts_port = 1443 proxy = \"none\" source = {} }\n"
		"tlsrpt { send = yes organization = \"O\" contact = \"c@x\" from = \"f@x\" }\n"
		"smarthost l { host = \"127.0.0.1\" protocol = lmtp source = \"192.0.2.7\"\n"
		" proxy = \"socks5://me%40x:p%3a%25@[2001:db8::1]:9050/\" }\nroute r { via = {\"l=7\", \"mx=2\"} }\n");
	const struct config_smarthost *h = &c->mx;

	assert_int_equal(h->port, 2525);
	assert_int_equal(h->tls, CONFIG_TLS_NONE);
	assert_int_equal(h->source.count, 2);
	assert_string_equal(h->source.list[1], "::1");
	assert_string_equal(h->proxy.host, "h.example");
	assert_int_equal(h->proxy.port, 1080);
	assert_null(h->proxy.user);
	assert_int_equal(h->connections, 9);
	assert_int_equal(h->rate.count, 3);
	assert_int_equal(h->messages_per_connection, 2);
	assert_int_equal(h->recipients_per_message, 3);
	assert_int_equal(h->idle_ms, 4000);
	assert_false(h->mta_sts);
	assert_int_equal(h->mta_sts_port, 443);
	assert_int_equal(h->reconnect.first_ms, 7000); /* from the sections for all */
	assert_int_equal(h->timeouts.connect_ms, 8000);
	assert_int_equal(h->timeouts.greeting_ms, 9000);
	assert_int_equal(h->at.line, 3);
	h = &c->domains[0].mx;
	assert_string_equal(c->domains[0].pattern, "a.example");
	assert_int_equal(c->domains[0].at.line, 5);
	assert_int_equal(h->at.line, 5);
	assert_int_equal(h->tls, CONFIG_TLS_STARTTLS);
	assert_non_null(h->tls_ca);
	assert_string_equal(h->tls_name, "n");
	assert_string_equal(h->tls_minimum, "1.3");
	assert_int_equal(h->tls_pins.count, 1);
	assert_non_null(h->tls_certificate);
	assert_non_null(h->tls_key);
	assert_true(h->mta_sts);
	assert_non_null(h->mta_sts_ca);
	assert_int_equal(h->mta_sts_port, 1443);
	assert_null(h->proxy.host);
	assert_int_equal(h->source.count, 0);
	assert_int_equal(h->port, 2525); /* what it does not say is that of mx */
	assert_int_equal(h->connections, 9);
	assert_int_equal(h->timeouts.greeting_ms, 9000);
	assert_true(c->tlsrpt.send);
	assert_string_equal(c->tlsrpt.organization, "O");
	assert_string_equal(c->tlsrpt.contact, "c@x");
	assert_string_equal(c->tlsrpt.from, "f@x");
	h = &c->smarthosts[0];
	assert_int_equal(h->protocol, CONFIG_PROTOCOL_LMTP);
	assert_int_equal(h->port, 24);
	assert_int_equal(h->tls, CONFIG_TLS_NONE);
	assert_string_equal(h->source.list[0], "192.0.2.7");
	assert_string_equal(h->proxy.host, "2001:db8::1");
	assert_int_equal(h->proxy.port, 9050);
	assert_string_equal(h->proxy.user, "me@x");
	assert_string_equal(h->proxy.password, "p:%");
	assert_string_equal(c->routes[0].target, "l=7,mx=2");
	config_unref(c);
}

static void without_a_word_the_defaults_hold(void **state)
{
	struct fixture *f = *state;
	struct config *c = config_load(NULL, &f->errors, &f->warnings);

	for (int i = 0; i < 2; i++) {
		assert_null(c->mx.host);
		assert_string_equal(c->mx.name, "mx");
		assert_int_equal(c->mx.port, 25);
		assert_int_equal(c->mx.tls, CONFIG_TLS_OPPORTUNISTIC);
		assert_int_equal(c->mx.connections, 4);
		assert_int_equal(c->mx.auth, 0);
		assert_int_equal(c->mx.messages_per_connection, 100);
		assert_int_equal(c->mx.recipients_per_message, 100);
		assert_int_equal(c->mx.idle_ms, 10 * 1000);
		assert_int_equal(c->mx.reconnect.max_ms, c->reconnect.max_ms);
		assert_int_equal(c->mx.timeouts.data_ms, c->timeouts.data_ms);
		assert_true(c->mx.tls_verify);
		assert_true(c->mx.mta_sts);
		assert_int_equal(c->mx.mta_sts_port, 443);
		assert_ptr_equal(config_mx(c, "example.org"), &c->mx);
		assert_false(c->tlsrpt.send);
		assert_string_equal(c->tlsrpt.organization, c->hostname);
		assert_string_equal(c->tlsrpt.contact, c->postmaster);
		assert_string_equal(c->tlsrpt.from, c->postmaster);
		config_unref(c);
		c = i == 0 ? load_well(f, "route r { via = {mx} }\n") : NULL;
	}
}

static void mechanisms_are_what_was_named(void **state)
{
	static const struct {
		const char *keys;
		uint32_t auth;
	} cases[] = {
		{ "", 0 },
		{ USER, CONFIG_AUTH_ANY },
		{ "auth = auto" USER, CONFIG_AUTH_ANY },
		{ "auth = plain" USER, CONFIG_AUTH_PLAIN },
		{ "auth = login" USER, CONFIG_AUTH_LOGIN },
		{ "auth = cram-md5" USER, CONFIG_AUTH_CRAM_MD5 },
		{ "auth = scram" USER, CONFIG_AUTH_SCRAM },
		{ "auth = scram-sha-1" USER, CONFIG_AUTH_SCRAM_SHA1 },
		{ "auth = scram-sha-256" USER, CONFIG_AUTH_SCRAM_SHA256 },
		{ "auth = scram-sha-1-plus" USER, CONFIG_AUTH_SCRAM_SHA1_PLUS },
		{ "auth = scram-sha-256-plus" USER, CONFIG_AUTH_SCRAM_SHA256_PLUS },
		{ "auth = {xoauth2, oauthbearer}" USER, CONFIG_AUTH_XOAUTH2 | CONFIG_AUTH_OAUTHBEARER },
		{ "auth = {\"login\", \"cram-md5\"}" USER, CONFIG_AUTH_LOGIN | CONFIG_AUTH_CRAM_MD5 },
		{ "auth = external" CERT, CONFIG_AUTH_EXTERNAL },
		{ "auth = auto user = u" CERT, CONFIG_AUTH_EXTERNAL },
		{ USER CERT, CONFIG_AUTH_ANY },
		{ "auth = none" CERT, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct config *c;

		print_message("row '%s'\n", cases[i].keys);
		snprintf(text, sizeof(text), "smarthost w { host = \"h.example\" %s }\nroute r { via = {w} }\n",
			 cases[i].keys);
		c = load_well(*state, text);
		assert_int_equal(c->smarthosts[0].auth, cases[i].auth);
		config_unref(c);
	}
}

static void ports_and_tls_follow_the_protocol_and_the_host(void **state)
{
	static const struct {
		const char *host, *keys;
		enum config_tls tls;
		uint16_t port;
	} cases[] = {
		{ "h.example", "tls = dane", CONFIG_TLS_DANE, 587 },
		{ "srv:example.com", "", CONFIG_TLS_STARTTLS, 0 },
		{ "srv:example.com", "tls = implicit", CONFIG_TLS_IMPLICIT, 0 },
		{ "/run/s", "protocol = lmtp", CONFIG_TLS_NONE, 24 },
		{ "::1", "protocol = lmtp", CONFIG_TLS_NONE, 24 },
		{ "h.example", "protocol = lmtp", CONFIG_TLS_STARTTLS, 24 },
		{ "h.example", "protocol = lmtp port = 2003 tls = none", CONFIG_TLS_NONE, 2003 },
		{ "h.example", "protocol = smtp", CONFIG_TLS_STARTTLS, 587 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct config *c;

		print_message("row '%s' '%s'\n", cases[i].host, cases[i].keys);
		snprintf(text, sizeof(text), NEAR "smarthost w { host = \"%s\" %s }\nroute r { via = {w} }\n",
			 cases[i].host, cases[i].keys);
		c = load_well(*state, text);
		assert_int_equal(c->smarthosts[0].tls, cases[i].tls);
		assert_int_equal(c->smarthosts[0].port, cases[i].port);
		config_unref(c);
	}
}

static void a_domain_has_the_first_section_that_fits(void **state)
{
	struct config *c = load_well(*state, "domain \"sub.example.org\" { connections = 1 }\n"
					     "domain \"*.example.org\" { connections = 2 }\n"
					     "domain \"m\xc3\xbcnchen.*.example\" { connections = 3 }\n"
					     "domain \"[IPv6:2001:DB8:0::1]\" { connections = 5 }\n"
					     "domain \"[192.0.2.*]\" { connections = 6 }\n"
					     "mx { connections = 4 }\n" MX);
	static const struct {
		const char *domain;
		uint32_t connections;
	} cases[] = {
		{ "sub.example.org", 1 },    { "a.b.example.org", 2 },
		{ "example.org", 4 },        { "xn--mnchen-3ya.x.example", 3 },
		{ "[IPv6:2001:db8::1]", 5 }, { "[192.0.2.9]", 6 },
		{ "[192.0.3.9]", 4 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("row '%s'\n", cases[i].domain);
		assert_int_equal(config_mx(c, cases[i].domain)->connections, cases[i].connections);
	}
	config_unref(c);
}

/* What mx asks for beside TLSA records would keep mail from a domain that asks for these alone. */
static void dane_of_a_domain_takes_no_other_proof_from_mx(void **state)
{
	struct config *c =
		load_well(*state, NEAR "mx { tls = starttls tls_ca = \"^/cert\" tls_verify = no }\n"
				       "domain \"a.org\" { tls = dane }\ndomain \"b.org\" { port = 26 }\n" MX);

	assert_null(config_mx(c, "a.org")->tls_ca);
	assert_true(config_mx(c, "a.org")->tls_verify);
	assert_non_null(config_mx(c, "b.org")->tls_ca);
	assert_false(config_mx(c, "b.org")->tls_verify);
	config_unref(c);
}

static void proxies_are_read_as_they_are_written(void **state)
{
	static const struct {
		const char *text, *wrong;
	} cases[] = {
		{ "socks5://127.0.0.1:9050", NULL },
		{ "SOCKS5://h:1", NULL },
		{ "socks5://u@h:1", NULL },
		{ "none", NULL },
		{ "socks5h://h:1", "names are always resolved by the proxy, which is socks5 here" },
		{ "socks4://h:1", "it does not begin with socks5://" },
		{ "socks5:/h:1", "it does not begin with socks5://" },
		{ "socks5://h", "it has no port" },
		{ "socks5://", "it has no port" },
		{ "socks5://[::1]", "it has no port" },
		{ "socks5://h:0", "its port is no number from 1 to 65535" },
		{ "socks5://h:65536", "its port is no number from 1 to 65535" },
		{ "socks5://h:1x", "its port is no number from 1 to 65535" },
		{ "socks5://[::1]1:2", "its port is no number from 1 to 65535" },
		{ "socks5://::1:1080", "its port is no number from 1 to 65535" },
		{ "socks5://[::1:1080", "a bracket is not closed" },
		{ "socks5://[]:1080", "its host is neither a name nor an address" },
		{ "socks5://[::1/8]:1080", "its host is neither a name nor an address" },
		{ "socks5://a b:1080", "its host is neither a name nor an address" },
		{ "socks5://@h:1", "its user or password is empty, longer than 255 bytes, or holds a bad %XX" },
		{ "socks5://u:@h:1", "its user or password is empty, longer than 255 bytes, or holds a bad %XX" },
		{ "socks5://u%4@h:1", "its user or password is empty, longer than 255 bytes, or holds a bad %XX" },
		{ "socks5://u%00@h:1", "its user or password is empty, longer than 255 bytes, or holds a bad %XX" },
		{ "socks5://u%zz@h:1", "its user or password is empty, longer than 255 bytes, or holds a bad %XX" },
	};
	struct mem_arena arena;
	struct config_load l = { .storage = &arena };
	char text[600] = "socks5://";

	(void)state;
	mem_arena_init(&arena, 1 << 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_proxy proxy = { .port = 7 };
		const char *wrong = config_proxy_read(&l, cases[i].text, &proxy);

		print_message("row '%s'\n", cases[i].text);
		if (cases[i].wrong)
			assert_string_equal(wrong, cases[i].wrong);
		else
			assert_null(wrong);
		assert_true(!wrong || proxy.port == 7); /* untouched */
	}
	for (int len = 255; len <= 256; len++) {
		struct config_proxy proxy = { 0 };

		memset(text + 9, 'u', (size_t)len);
		strcpy(text + 9 + len, "@h:1");
		assert_int_equal(config_proxy_read(&l, text, &proxy) == NULL, len == 255);
	}
	mem_arena_fini(&arena);
}

static void targets_fit_into_the_queue(void **state)
{
	struct fixture *f = *state;
	char text[8192] = "", name[80];

	for (int count = 10; count <= 18; count++) {
		struct config *c;

		text[0] = '\0';
		for (int i = 0; i < count; i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "smarthost s%02d%.*s { host = \"h.example\" }\n", i, count > 14 ? 1 : 60, A63);
		strcat(text, "route r { via = {mx");
		for (int i = 0; i < count; i++) {
			snprintf(name, sizeof(name), ", s%02d%.*s", i, count > 14 ? 1 : 60, A63);
			strcat(text, name);
		}
		strcat(text, "} }\n");
		c = load(f, text);
		if (count > 15)
			assert_non_null(strstr(buf_cstr(&f->errors), "ways - at most 16\n"));
		else if (count > 11 && count <= 14)
			assert_non_null(strstr(buf_cstr(&f->errors),
					       "via: the names are longer than 1000 bytes together - name fewer, or "
					       "shorten them\n"));
		else
			assert_non_null(c);
		assert_int_equal(c == NULL, count > 15 || (count > 11 && count <= 14));
		config_unref(c);
	}
}

static void the_name_of_a_condition_fits_into_the_queue_with_the_ways(void **state)
{
	struct fixture *f = *state;
	char text[8192];

	for (int with_when = 0; with_when < 2; with_when++) {
		struct config *c;

		text[0] = '\0';
		for (int i = 0; i < 11; i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "smarthost s%02d%.60s { host = \"h.example\" }\n", i, A63);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "route %.63s { via = {mx", A63);
		for (int i = 0; i < 11; i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ", s%02d%.60s", i, A63);
		strcat(text, with_when ? "} when = \"online\" }\n" : "} }\n");
		c = load(f, text);
		assert_int_equal(c == NULL, with_when);
		config_unref(c);
	}
}

static void a_resolver_on_this_machine_is_believed(void **state)
{
	static const char *const near[] = { "127.0.0.1:53", "[::1]:53" }, *const far[] = { "127.0.0.1:53",
											   "192.0.2.1:53" };
	struct config config = { .references = 1 };

	(void)state;
	assert_true(config_dns_is_trusted(&config, "near"));
	assert_false(config_dns_is_trusted(&config, "far"));
	assert_false(config_dns_is_trusted(&config, "none"));
	assert_false(config_dns_is_trusted(&config, "missing"));
	config.dns_trust_ad = true;
	assert_true(config_dns_is_trusted(&config, "far"));
	config.dns_servers = (struct config_strings){ (const char **)far, 2 };
	assert_true(config_dns_is_trusted(&config, "far"));
	config.dns_trust_ad = false;
	assert_false(config_dns_is_trusted(&config, "near"));
	config.dns_servers.list = (const char **)near;
	assert_true(config_dns_is_trusted(&config, "far"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_configuration_is_judged_with_its_reason),
		TEST(every_key_reaches_its_field),
		TEST(without_a_word_the_defaults_hold),
		TEST(mechanisms_are_what_was_named),
		TEST(ports_and_tls_follow_the_protocol_and_the_host),
		TEST(a_domain_has_the_first_section_that_fits),
		TEST(dane_of_a_domain_takes_no_other_proof_from_mx),
		TEST(proxies_are_read_as_they_are_written),
		TEST(targets_fit_into_the_queue),
		TEST(the_name_of_a_condition_fits_into_the_queue_with_the_ways),
		TEST(a_resolver_on_this_machine_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
