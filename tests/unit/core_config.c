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

/* A folder of its own for each test; paths in rows are relative to it. */
struct fixture {
	char folder[64];
	struct buf errors, warnings;
};

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	strcpy(f->folder, "/tmp/sendoff-config-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chdir(f->folder), 0);
	buf_init(&f->errors, 1 << 16);
	buf_init(&f->warnings, 1 << 16);
	unsetenv("XDG_RUNTIME_DIR");
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

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
}

static struct config *load(struct fixture *f, const char *text)
{
	buf_clear(&f->errors);
	buf_clear(&f->warnings);
	put("a.conf", text, 0644);
	return config_load("a.conf", &f->errors, &f->warnings);
}

static struct config *load_well(struct fixture *f, const char *text)
{
	struct config *config = load(f, text);

	if (!config)
		fail_msg("%s", buf_cstr(&f->errors));
	return config;
}

static void expect_errors(struct fixture *f, const char *text, const char *errors)
{
	struct config *config = load(f, text);

	assert_string_equal(buf_cstr(&f->errors), errors);
	assert_null(config);
}

static void without_a_file_the_defaults_hold(void **state)
{
	struct fixture *f = *state;
	struct config *c = config_load(NULL, &f->errors, &f->warnings);

	assert_non_null(c);
	assert_string_equal(c->file, "");
	assert_int_equal(c->listener_count, 2);
	assert_string_equal(c->listeners[1].addresses.list[0], "127.0.0.1:2525");
	assert_non_null(c->listeners[0].socket);
	assert_int_equal(c->listeners[0].socket_mode, 0666);
	assert_int_equal(c->queue.max_size_bytes, (uint64_t)4 << 30);
	assert_int_equal(c->queue.lifetime_ms, 5 * 86400 * (int64_t)1000);
	assert_int_equal(c->limits.connections, 500);
	assert_int_equal(c->trust.max_rate.count, 600);
	assert_int_equal(c->retry.max_ms, 4 * 3600 * 1000);
	assert_int_equal(c->reconnect.first_ms, 5000);
	assert_int_equal(c->timeouts.data_ms, 600000);
	assert_int_equal(c->route_count, 0);
	assert_true(strlen(c->hostname) > 0);
	assert_memory_equal(c->postmaster, "postmaster@", 11);
	assert_string_equal(c->log, "auto");
	config_unref(c);
}

static void every_key_reaches_its_field(void **state)
{
	struct fixture *f = *state;
	struct config *c;
	const struct config_smarthost *h;
	char text[4096];

	put("secret", "x", 0600);
	put("cert.pem", "x", 0644);
	put("key.pem", "x", 0600);
	snprintf(
		text, sizeof(text),
		"hostname = \"laptop.example.org\"\npostmaster = 'me@example.org'\nlog = stderr log_level = debug\n"
		"queue { directory = \"/q\" max_size = 1G max_message_size = 10M min_free_disk = 0\n"
		"  lifetime = 3d warn_after = 1h30m history = 7d }\n"
		"control { socket = \"/c\" }\n"
		"listener local { socket = \"/s\" socket_mode = 0600 bare_newline = refuse }\n"
		"listener \"tcp\" { address = {\"127.0.0.1:25\", \"[::1]:25\"} certificate = \"%1$s/cert.pem\"\n"
		"  key = \"%1$s/key.pem\" }\n"
		"trust { networks = {\"10.0.0.0/8\"} uids = {root, \"0\"} max_rate = \"5/s\" }\n"
		"limits { connections = 7 connections_per_client = 6 recipients = 5 errors = 4\n"
		"  command_timeout = 1s data_timeout = 2s session_timeout = 3s }\n"
		"retry { first = 1m factor = 1.5 max = 2h }\nreconnect { first = 2s factor = 3 max = 4m }\n"
		"timeouts { connect = 1s greeting = 2s command = 3s data = 4s }\n"
		"dns { servers = {\"127.0.0.1\", \"::1\", \"[::2]:54\"} trust_ad = yes }\n"
		"smarthost work { host = \"smtp.example.com\" port = 2587 tls = starttls auth = plain user = me\n"
		"  secret_file = \"%1$s/secret\" tls_verify = off tls_ca = \"%1$s/cert.pem\" tls_name = other\n"
		"  tls_pins = {\"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}\n"
		"  tls_certificate = \"%1$s/cert.pem\" tls_key = \"%1$s/key.pem\" tls_minimum = 1.3\n"
		"  connections = 2 rate = \"30/min\" messages_per_connection = 9 recipients_per_message = 8\n"
		"  reconnect { first = 7s } timeouts { connect = 8s } }\n"
		"smarthost home { host = \"/run/lmtp\" }\n"
		"route \"a\" { from = {\"*@example.com\"} to = \"*@b\" via = {work, home} lifetime = 1d warn_after = 2h\n"
		"  retry { max = 3h } }\n"
		"route \"rest\" { via = {\"home\"} }\n",
		f->folder);
	c = load_well(f, text);
	assert_string_equal(c->hostname, "laptop.example.org");
	assert_string_equal(c->postmaster, "me@example.org");
	assert_string_equal(c->log, "stderr");
	assert_string_equal(c->log_level, "debug");
	assert_string_equal(c->queue.directory, "/q");
	assert_int_equal(c->queue.max_size_bytes, 1 << 30);
	assert_int_equal(c->queue.max_message_bytes, 10 << 20);
	assert_int_equal(c->queue.min_free_disk_bytes, 0);
	assert_int_equal(c->queue.lifetime_ms, 3 * 86400000);
	assert_int_equal(c->queue.warn_after_ms, 5400000);
	assert_int_equal(c->queue.history_ms, 7 * 86400000);
	assert_string_equal(c->control_socket, "/c");
	assert_int_equal(c->listener_count, 2);
	assert_string_equal(c->listeners[0].name, "local");
	assert_string_equal(c->listeners[0].socket, "/s");
	assert_int_equal(c->listeners[0].socket_mode, 0600);
	assert_int_equal(c->listeners[0].bare_newline, CONFIG_BARE_REFUSE);
	assert_int_equal(c->listeners[0].at.line, 7);
	assert_string_equal(c->listeners[1].addresses.list[1], "[::1]:25");
	assert_int_equal(c->listeners[1].tls, CONFIG_TLS_STARTTLS);
	assert_string_equal(c->trust.networks.list[0], "10.0.0.0/8");
	assert_int_equal(c->trust.uids.count, 2);
	assert_int_equal(c->trust.max_rate.count, 5);
	assert_int_equal(c->trust.max_rate.per_ms, 1000);
	assert_int_equal(c->limits.connections, 7);
	assert_int_equal(c->limits.connections_per_client, 6);
	assert_int_equal(c->limits.recipients, 5);
	assert_int_equal(c->limits.errors, 4);
	assert_int_equal(c->limits.command_timeout_ms, 1000);
	assert_int_equal(c->limits.data_timeout_ms, 2000);
	assert_int_equal(c->limits.session_timeout_ms, 3000);
	assert_true(c->retry.factor == 1.5);
	assert_string_equal(c->dns_servers.list[0], "127.0.0.1:53");
	assert_string_equal(c->dns_servers.list[1], "[::1]:53");
	assert_string_equal(c->dns_servers.list[2], "[::2]:54");
	assert_true(c->dns_trust_ad);
	h = config_smarthost(c, "work");
	assert_non_null(h);
	assert_string_equal(h->host, "smtp.example.com");
	assert_int_equal(h->port, 2587);
	assert_int_equal(h->tls, CONFIG_TLS_STARTTLS);
	assert_int_equal(h->auth, CONFIG_AUTH_PLAIN);
	assert_string_equal(h->user, "me");
	assert_non_null(h->secret_file);
	assert_false(h->tls_verify);
	assert_non_null(h->tls_ca);
	assert_string_equal(h->tls_name, "other");
	assert_int_equal(h->tls_pins.count, 1);
	assert_string_equal(h->tls_minimum, "1.3");
	assert_int_equal(h->connections, 2);
	assert_int_equal(h->rate.count, 30);
	assert_int_equal(h->messages_per_connection, 9);
	assert_int_equal(h->recipients_per_message, 8);
	assert_int_equal(h->reconnect.first_ms, 7000);
	assert_int_equal(h->reconnect.max_ms, 240000); /* from the global section */
	assert_int_equal(h->timeouts.connect_ms, 8000);
	assert_int_equal(h->timeouts.greeting_ms, 2000);
	h = config_smarthost(c, "home");
	assert_int_equal(h->tls, CONFIG_TLS_NONE);
	assert_true(h->tls_verify);
	assert_int_equal(h->connections, 3);
	assert_int_equal(c->routes[0].retry.max_ms, 3 * 3600000);
	assert_int_equal(c->routes[0].retry.first_ms, 60000);
	assert_int_equal(c->routes[0].lifetime_ms, 86400000);
	assert_string_equal(c->routes[0].to.list[0], "*@b");
	assert_string_equal(c->routes[0].target, "work,home");
	assert_int_equal(c->routes[1].lifetime_ms, 3 * 86400000);
	assert_null(config_smarthost(c, "nobody"));
	config_unref(c);
}

#define ROOT_KEYS                                                                                                      \
	"hostname postmaster log log_level user privacy aliases aliases_in_header drop_directory queue control trust " \
	"limits retry reconnect timeouts dns tlsrpt mx domain listener smarthost route submitter identity"

#define WORK "smarthost work { host = \"h.example\" }\nroute r { via = {work} }\n"

static void ports_and_tls_follow_each_other(void **state)
{
	static const struct {
		const char *text;
		enum config_tls tls;
		uint16_t port;
	} rows[] = {
		{ "", CONFIG_TLS_STARTTLS, 587 },
		{ "port = 465", CONFIG_TLS_IMPLICIT, 465 },
		{ "port = 25", CONFIG_TLS_STARTTLS, 25 },
		{ "tls = implicit", CONFIG_TLS_IMPLICIT, 465 },
		{ "tls = opportunistic", CONFIG_TLS_OPPORTUNISTIC, 25 },
		{ "tls = none", CONFIG_TLS_NONE, 25 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[256];
		struct config *c;

		snprintf(text, sizeof(text), "smarthost w { host = \"[192.0.2.1]\" %s }\nroute r { via = {w} }\n",
			 rows[i].text);
		c = load_well(*state, text);
		print_message("row '%s'\n", rows[i].text);
		assert_int_equal(c->smarthosts[0].tls, rows[i].tls);
		assert_int_equal(c->smarthosts[0].port, rows[i].port);
		assert_string_equal(c->smarthosts[0].host, "192.0.2.1");
		config_unref(c);
	}
}

/* What is wrong in one line of a file, and what is said about it. FOLDER stands for the test's folder. */
static const struct {
	const char *text, *errors;
} mistakes[] = {
	/* keys */
	{ "hostnam = \"a.b\"\n", "a.conf:1: unknown key 'hostnam' - did you mean 'hostname'?\n" },
	{ "queue {\n max_sise = 4G\n}\n", "a.conf:2: unknown key 'max_sise' in queue - did you mean 'max_size'?\n" },
	{ "smarthost \"w\" {\n host = \"h.example\"\n secretfile = \"/s\"\n}\n",
	  "a.conf:3: unknown key 'secretfile' in smarthost \"w\" - did you mean 'secret_file'?\n" },
	{ "control { zebra = 1 }\n", "a.conf:1: unknown key 'zebra' in control - known here: socket\n" },
	{ "zebra \"cron\" { users = {\"root\"} }\ndkim \"e\" { selector = s }\n" WORK,
	  "a.conf:1: unknown key 'zebra' - known here: " ROOT_KEYS "\n"
	  "a.conf:2: unknown key 'dkim' - known here: " ROOT_KEYS "\n" },
	{ "hostname = \"a.b\"\n\nhostname = \"c.d\"\n",
	  "a.conf:3: 'hostname' is set twice, first in a.conf:1 - remove one of them\n" },
	{ "trust { networks = {\"10.0.0.0/8\", \"127.0.0.0/8\"}\n networks = {\"127.0.0.1\"} }\n",
	  "a.conf:2: 'networks' is set twice, first in a.conf:1 - remove one of them\n" },
	{ "trust { networks = {\"10.0.0.0/8\"}\n networks = {\"10.0.0.0/8\"} }\n",
	  "a.conf:2: 'networks' is set twice, first in a.conf:1 - remove one of them\n" },
	{ WORK "smarthost work { host = \"x.example\" }\n",
	  "a.conf:3: smarthost \"work\" is there twice, first in a.conf:1 - give one of them another name\n" },
	/* several at once */
	{ "hostname = \"a b\"\nqueue { max_size = 4X\n lifetime = 5 }\nfoo = 1\nlimits { errors = 0 }\n",
	  "a.conf:4: unknown key 'foo' - known here: " ROOT_KEYS "\n"
	  "a.conf:2: max_size = \"4X\" is not understood - it is a size, as in 512k, 50M or 4G\n"
	  "a.conf:3: lifetime = \"5\" is not understood - it is a duration, as in 90s, 5m, 4h or 5d\n"
	  "a.conf:5: errors = 0 is out of bounds - from 1 to 1000\n"
	  "a.conf:1: hostname = \"a b\" is not a name for EHLO - as in \"laptop.example.org\" or \"[192.0.2.1]\"\n" },
	/* syntax */
	{ "queue {\n max_size = 4G\n", "a.conf:1: the brace opened here is never closed - add a }\n" },
	{ "queue { } }\n", "a.conf:1: a closing brace too many - remove it, or open one before it\n" },
	{ "hostname = \"a.b\n", "a.conf:1: this quoted text is not closed on its line - add the closing quote\n" },
	{ "hostname = 'a.b\n", "a.conf:1: this quoted text is not closed on its line - add the closing quote\n" },
	{ "\n/* what\n", "a.conf:2: this comment is never closed - end it with */\n" },
	{ "route r { from = {*@example.com} }\n",
	  "a.conf:1: '*' or '+' outside of quotes - always quote text, as in \"*@example.com\"\n" },
	{ "postmaster = user+tag@example.com\n",
	  "a.conf:1: '*' or '+' outside of quotes - always quote text, as in \"*@example.com\"\n" },
	{ "hostname \"a.b\"\n", "a.conf:1: missing equal sign after option 'hostname' - write KEY = VALUE\n" },
	{ "hostname = {\"a.b\"}\n", "a.conf:1: unexpected token '{' - this key takes one value, without braces\n" },
	{ "smarthost { host = \"a.b\" }\n",
	  "a.conf:1: missing title for section 'smarthost' - write NAME \"title\" { … }\n" },
	{ "hostname =\n", "a.conf:2: premature end of file - the last line is not complete\n" },
	{ "queue { \x01\x02\x03 }\n\x04\n",
	  "a.conf:1: a control character - remove it\na.conf:2: a control character - remove it\n" },
	{ "queue { max_size = 4G; }\n", "a.conf:1: a semicolon - settings end without one, remove it\n" },
	{ "hostname = \"\\400\"\n", "a.conf:1: a backslash before a digit - write \\\\ for a backslash\n" },
	{ "hostname = \"${SENDOFF_NOT_SET}\"\n",
	  "a.conf:1: the environment has no variable 'SENDOFF_NOT_SET' - set it, or write "
	  "${SENDOFF_NOT_SET:-default}\n" },
	{ "hostname = \"a\x01\"\n",
	  "a.conf:1: hostname holds control characters or bytes that are not UTF-8 - remove them\n" },
	/* values */
	{ "queue { directory = \"spool\" }\n",
	  "a.conf:1: directory = \"spool\" is not understood - it is an absolute path, as in \"/etc/sendoff/secret\"\n" },
	{ "queue { max_size = 1k }\n", "a.conf:1: max_size = 1k is too little - at least 1.0M\n" },
	{ "queue { max_size = 20M\n max_message_size = 21M }\n",
	  "a.conf:2: max_message_size is larger than max_size - the queue could not hold one such message\n" },
	{ "log_level = verbose\n",
	  "a.conf:1: log_level = \"verbose\" is not known - it is error, warning, notice, info or debug\n" },
	{ "log_level = inof\n", "a.conf:1: log_level = \"inof\" is not known - did you mean info?\n" },
	{ "retry { factor = 0.5 }\n",
	  "a.conf:1: factor = \"0.5\" is not understood - it is a number from 1 to 10, as in 2 or 1.5\n" },
	{ "retry { first = 2h\n max = 1h }\n",
	  "a.conf:2: retry: max is shorter than first - make max the longer one\n" },
	{ "trust { max_rate = \"5/fortnight\" }\n",
	  "a.conf:1: max_rate = \"5/fortnight\" is not understood - it is a rate, as in \"30/min\" or \"500/day\", or "
	  "\"0\" for no limit\n" },
	{ "dns { trust_ad = maybe }\n", "a.conf:1: trust_ad = \"maybe\" is not understood - it is yes or no\n" },
	{ "dns { servers = {\"resolver.example\"} }\n",
	  "a.conf:1: servers: \"resolver.example\" is not an address - write it like \"127.0.0.1:53\"\n" },
	{ "postmaster = \"root\"\n",
	  "a.conf:1: postmaster = \"root\" is not an address - as in \"admin@example.org\"\n" },
	{ "user = \"nobody-of-that-name\"\n", "a.conf:1: user: there is no user \"nobody-of-that-name\" here\n" },
	/* trust */
	{ "trust { networks = {\"0.0.0.0/0\"} }\n",
	  "a.conf:1: networks: \"0.0.0.0/0\" would let strangers send through this machine - list only networks whose "
	  "machines you know\n" },
	{ "trust { networks = {\"::/0\", \"10.0.0.0/33\"} }\n",
	  "a.conf:1: networks: \"10.0.0.0/33\" is not a network - write it like \"192.0.2.0/24\" or \"::1\"\n"
	  "a.conf:1: networks: \"::/0\" would let strangers send through this machine - list only networks whose "
	  "machines you know\n" },
	{ "trust { uids = {\"root\", \"nobody-of-that-name\"} }\n",
	  "a.conf:1: uids: there is no user \"nobody-of-that-name\" - a name, a number or \"*\"\n" },
	/* listeners */
	{ "listener \"x\" { address = {\"0.0.0.0:25\"} }\n",
	  "a.conf:1: address \"0.0.0.0:25\" can be reached from other machines, and nobody there may send - listen on "
	  "\"127.0.0.1:25\", list the networks you mean in trust.networks, or add auth and users\n" },
	{ "listener \"x\" { address = {\"localhost:25\", \"127.0.0.1\"} }\n",
	  "a.conf:1: address \"localhost:25\" is not understood - it is a number and a port, as in \"127.0.0.1:25\" or "
	  "\"[::1]:25\"\n"
	  "a.conf:1: address \"127.0.0.1\" is not understood - it is a number and a port, as in \"127.0.0.1:25\" or "
	  "\"[::1]:25\"\n" },
	{ "listener \"x\" { }\n", "a.conf:1: listener \"x\" listens nowhere - add socket or address\n" },
	{ "listener \"x\" { address = \"127.0.0.1:25\"\n tls = implicit }\n",
	  "a.conf:2: listener \"x\" has tls without a certificate - add certificate and key\n" },
	{ "listener \"x\" { address = \"127.0.0.1:25\"\n tls = opportunistic }\n",
	  "a.conf:2: tls = \"opportunistic\" is not known - it is none, starttls or implicit\n" },
	{ "listener \"a\" { address = \"127.0.0.1:25\" }\nlistener \"b\" { address = \"127.0.0.1:25\" }\n",
	  "a.conf:2: listener \"b\" has the address 127.0.0.1:25 of \"a\" - remove one of them\n" },
	{ "control { socket = \"/s\" }\nlistener \"a\" { socket = \"/s\" }\n",
	  "a.conf:2: listener \"a\" has the control socket - give it a path of its own\n" },
	{ "listener \"a b\" { socket = \"/s\" }\n",
	  "a.conf:1: listener \"a b\" is not a good name - use 1 to 63 letters, digits and . _ -\n" },
	/* smart hosts */
	{ "smarthost w { }\nroute r { via = {w} }\n",
	  "a.conf:1: smarthost \"w\" has no host - add host = \"smtp.example.com\"\n" },
	{ "smarthost w { host = \"smtp://h\" }\nroute r { via = {w} }\n",
	  "a.conf:1: host = \"smtp://h\" is not a host - it is a name or a number, without port or scheme\n" },
	{ "smarthost w { host = \"h.example\" port = 70000 }\nroute r { via = {w} }\n",
	  "a.conf:1: port = \"70000\" is not understood - it is a port from 1 to 65535\n" },
	{ "smarthost w { host = \"h.example\"\n tls = none\n user = me\n secret_command = \"pass\" }\n"
	  "route r { via = {w} }\n",
	  "a.conf:2: tls = none with a password: it could go over the network in clear text - use tls = starttls or "
	  "implicit\n" },
	{ "smarthost w { host = \"h.example\"\n tls = opportunistic\n user = me\n secret_command = \"pass\" }\n"
	  "route r { via = {w} }\n",
	  "a.conf:2: tls = opportunistic with a password: it could go over the network in clear text - use tls = "
	  "starttls or implicit\n" },
	{ "smarthost w { host = \"h.example\" user = me }\nroute r { via = {w} }\n",
	  "a.conf:1: user without a secret - add secret_file, secret_command or secret_credential\n" },
	{ "smarthost w { host = \"h.example\" secret_command = \"x\" }\nroute r { via = {w} }\n",
	  "a.conf:1: secret_command without user - add user = \"…\"\n" },
	{ "smarthost w { host = \"h.example\" auth = login }\nroute r { via = {w} }\n",
	  "a.conf:1: smarthost \"w\" has auth without user - add user and a secret, or auth = none\n" },
	{ "smarthost w { host = \"h.example\" auth = scarm user = u secret_command = \"x\" }\nroute r { via = {w} }\n",
	  "a.conf:1: auth = \"scarm\" is not known - did you mean scram?\n" },
	{ "smarthost w { host = \"h.example\" user = u secret_command = \"x\"\n secret_credential = c }\n"
	  "route r { via = {w} }\n",
	  "a.conf:2: secret_credential beside secret_command - one secret is enough, remove one of them\n" },
	{ "smarthost w { host = \"h.example\" user = u secret_file = \"/nonexistent/s\" }\nroute r { via = {w} }\n",
	  "a.conf:1: secret_file: cannot read /nonexistent/s: No such file or directory\n" },
	{ "smarthost w { host = \"h.example\" user = u secret_file = \"/tmp\" }\nroute r { via = {w} }\n",
	  "a.conf:1: secret_file: /tmp is not a regular file\n" },
	{ "smarthost w { host = \"h.example\" tls_pins = {\"sha256:abc\"} }\nroute r { via = {w} }\n",
	  "a.conf:1: tls_pins: \"sha256:abc\" is not a pin - it is \"sha256:\" and 64 hex digits or 44 of base64\n" },
	{ "smarthost w { host = \"h.example\" tls = none tls_name = x }\nroute r { via = {w} }\n",
	  "a.conf:1: tls_name with tls = none means nothing - remove it\n" },
	{ "smarthost \"a,b\" { host = \"h.example\" }\nroute r { via = {\"a,b\"} }\n",
	  "a.conf:1: smarthost \"a,b\" is not a good name - use 1 to 63 letters, digits and . _ -\n" },
	/* routes */
	{ WORK "route s { to = {\"*@x\"} via = {wrok} }\n",
	  "a.conf:3: via names no smarthost \"wrok\" - did you mean \"work\"?\n" },
	{ WORK "route s { to = {\"*@x\"} via = {MX} }\n",
	  "a.conf:3: via names no smarthost \"MX\" - did you mean \"mx\"?\n" },
	{ WORK "route s { to = {\"*@x\"} via = {other} }\n",
	  "a.conf:3: via names no smarthost \"other\" - add smarthost \"other\" { host = … }\n" },
	{ WORK "route s { }\n", "a.conf:3: route \"s\" leads nowhere - add via = {\"name of a smarthost\"}\n" },
	{ WORK "route s { via = {work, work} }\n", "a.conf:3: via names \"work\" twice - once is enough\n" },
	/* includes */
	{ "include \"nothing.conf\"\n",
	  "a.conf:1: cannot include nothing.conf: no such file - correct the path or remove the line\n" },
	{ "include \"none/*.conf\"\n\nfoo = 1\nlimits { errors = 0 }\n",
	  "a.conf:3: unknown key 'foo' - known here: " ROOT_KEYS "\n"
	  "a.conf:4: errors = 0 is out of bounds - from 1 to 1000\n" },
	{ "include \"a.conf\"\n", "a.conf:1: includes nested too deeply - does a file include itself?\n" },
};

static void every_mistake_is_told_with_its_line_and_what_was_meant(void **state)
{
	struct fixture *f = *state;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct config *config = load(f, mistakes[i].text);

		if (!config && strcmp(buf_cstr(&f->errors), mistakes[i].errors) == 0)
			continue;
		print_error("--- for\n%s--- not\n%s--- but\n%s", mistakes[i].text, mistakes[i].errors,
			    buf_cstr(&f->errors));
		config_unref(config);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void secrets_others_can_read_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[512], errors[512];

	snprintf(text, sizeof(text),
		 "smarthost w { host = \"h.example\" user = u\n secret_file = \"%s/secret\" }\nroute r { via = {w} }\n",
		 f->folder);
	put("secret", "hush", 0640);
	snprintf(errors, sizeof(errors),
		 "a.conf:2: secret_file: %s/secret can be read by others than its owner (mode 0640) - chmod 600 it\n",
		 f->folder);
	expect_errors(f, text, errors);
	put("secret", "hush", 0604);
	assert_null(load(f, text));
	put("secret", "hush", 0600);
	config_unref(load_well(f, text));
	put("secret", "", 0600);
	snprintf(errors, sizeof(errors), "a.conf:2: secret_file: %s/secret is empty\n", f->folder);
	expect_errors(f, text, errors);
}

static void a_file_anybody_can_change_is_refused(void **state)
{
	struct fixture *f = *state;

	put("b.conf", "", 0666);
	assert_null(config_load("b.conf", &f->errors, &f->warnings));
	assert_string_equal(buf_cstr(&f->errors),
			    "b.conf can be changed by everybody on this machine - chmod o-w it\n");
}

static void a_file_that_was_named_must_exist(void **state)
{
	struct fixture *f = *state;

	assert_null(config_load("missing.conf", &f->errors, &f->warnings));
	assert_string_equal(buf_cstr(&f->errors), "cannot read missing.conf: No such file or directory\n");
}

static void included_files_count_where_they_are_included(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	assert_int_equal(mkdir("d", 0755), 0);
	put("d/2.conf", "route two { to = {\"2\"} via = {work} }\n", 0644);
	put("d/1.conf", "\nroute one { to = {\"1\"} via = {work} }\ninclude \"sub/*.conf\"\n", 0644);
	put("d/3.txt", "nonsense", 0644);
	assert_int_equal(mkdir("d/sub", 0755), 0);
	put("d/sub/x.conf", "route sub { to = {\"s\"} via = {work} }\n", 0644);
	c = load_well(
		f, "route zero { to = {\"0\"} via = {work} }\ninclude \"d/*.conf\"\ninclude(\"none/*.conf\")\n" WORK);
	assert_int_equal(c->route_count, 5);
	assert_string_equal(c->routes[0].name, "zero");
	assert_string_equal(c->routes[1].name, "one");
	assert_string_equal(c->routes[1].at.file, "d/1.conf");
	assert_int_equal(c->routes[1].at.line, 2);
	assert_string_equal(c->routes[2].name, "sub");
	assert_string_equal(c->routes[3].name, "two");
	assert_string_equal(c->routes[4].name, "r");
	assert_int_equal(c->routes[4].at.line, 5);
	config_unref(c);
}

static void more_files_than_anybody_writes_are_refused(void **state)
{
	char name[32];

	assert_int_equal(mkdir("d", 0755), 0);
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "d/%03d.conf", i);
		put(name, "", 0644);
	}
	expect_errors(*state, "include \"d/*.conf\"\n",
		      "a.conf:1: too many files included - does a file include itself?\n");
}

static void mistakes_in_included_files_have_their_own_lines_and_reload_still_works(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "\nhostname = \"a",      "queue {", "foo = 1\n",
					   "hostname = = x\n",      "/*",      "x }",
					   "route r { from = {*} }" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("b.conf", bad[i], 0644);
		assert_null(load(f, WORK "include \"b.conf\"\n"));
		assert_memory_equal(buf_cstr(&f->errors), "b.conf:", 7);
		put("b.conf", "hostname = \"a.b\"", 0644);
		config_unref(load_well(f, WORK "include \"b.conf\"\n"));
	}
}

static void a_broken_part_makes_no_false_errors_elsewhere(void **state)
{
	put("b.conf", "smarthost work { host = \"h.example\" tls == x }\n", 0644);
	expect_errors(
		*state, "include \"b.conf\"\nroute r { via = {work} }\n",
		"b.conf:1: unexpected token '=' - a value is one word or quoted text, a list is {\"a\", \"b\"}\n");
}

static void comments_of_every_kind_are_ignored(void **state)
{
	struct config *c = load_well(*state, "#\n//\n# hostname = \"x\n/* a\n\n*/ hostname = \"a.b\" /* x */ "
					     "postmaster = \"#//a@b\" # y\n/**/log = auto //\nuser = root#");

	assert_string_equal(c->postmaster, "#//a@b");
	config_unref(c);
}

static void an_empty_list_is_not_the_default(void **state)
{
	struct config *c = load_well(*state, "trust { networks = {} }\n");

	assert_int_equal(c->trust.networks.count, 0);
	assert_int_equal(c->trust.uids.count, 1);
	config_unref(c);
}

static void warnings_do_not_stop_it(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	c = load_well(f, "smarthost a { host = \"h.example\" tls_verify = no }\nsmarthost b { host = \"h.example\" }\n"
			 "route x { via = {a} }\nroute y { via = {a} }\n");
	assert_string_equal(
		buf_cstr(&f->warnings),
		"a.conf:1: warning: smarthost \"a\": tls_verify = no: whoever answers there is believed - tls_ca or "
		"tls_pins can prove a private server\n"
		"a.conf:4: warning: route \"y\" is never used: \"x\" (a.conf:3) before it takes all mail\n"
		"a.conf:2: warning: no route leads to smarthost \"b\" - add route \"rest\" { via = {\"b\"} }\n");
	config_unref(c);
}

static void a_network_that_is_listed_opens_a_listener(void **state)
{
	config_unref(load_well(*state,
			       "trust { networks = {\"192.0.2.0/24\"} }\nlistener x { address = \"0.0.0.0:25\" }\n"));
}

static void passwords_in_clear_are_fine_on_loopback(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "::1", "/run/s" };

	for (size_t i = 0; i < 4; i++) {
		char text[256];

		snprintf(
			text, sizeof(text),
			"smarthost w { host = \"%s\" tls = none user = u secret_command = \"x\" }\nroute r { via = {w} }\n",
			hosts[i]);
		config_unref(load_well(*state, text));
	}
}

static void what_needs_a_restart_is_said(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "hostname = \"x.y\"\n", NULL },
		{ "queue { directory = \"/q\" }", "queue.directory has changed: restart sendoffd to use it" },
		{ "control { socket = \"/q\" }", "control.socket has changed: restart sendoffd to use it" },
		{ "user = \"root\"", "user has changed: restart sendoffd to become it" },
		{ "log = stderr", NULL },
		{ "listener a { socket = \"/s\" }", "a listener has come or gone: restart sendoffd for that" },
		{ "listener a { socket = \"/s\" } listener b { socket = \"/t\" }",
		  "a listener has another name, address or socket (or its mode or owner): restart sendoffd to use it" },
	};
	struct config *now = load_well(f, "");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *next = load_well(f, rows[i].text);
		const char *said = config_needs_restart(now, next);

		if (rows[i].said)
			assert_string_equal(said, rows[i].said);
		else
			assert_null(said);
		config_unref(next);
	}
	config_unref(now);
}

static void the_host_name_comes_from_the_host(void **state)
{
	static const struct {
		const char *own, *expected;
	} rows[] = {
		{ "a.example.org", "a.example.org" },
		{ "lap", "lap.example.org" },
		{ "other", "other.example.net" },
		{ "lonely", "[127.0.0.1]" },
		{ "localhost.localdomain", "[127.0.0.1]" },
		{ "", "[127.0.0.1]" },
		{ "bad", "[127.0.0.1]" },
		{ "commented", "[127.0.0.1]" },
	};
	struct mem_arena arena;
	struct config_load l = { .storage = &arena };

	put("hosts",
	    "127.0.0.1 localhost localhost.localdomain lonely\n127.0.1.1 lap.example.org lap\n"
	    "192.0.2.1\tother other.example.net # x\n192.0.2.2 b@d.example bad\n192.0.2.3 x.example # commented\n",
	    0644);
	(void)state;
	mem_arena_init(&arena, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(config_paths_hostname(&l, rows[i].own, "hosts"), rows[i].expected);
	mem_arena_fini(&arena);
}

/* The file we ship: as it is, and with every setting uncommented; all in it must be known and all known be in it. */
static char shipped[4096];

static char *read_shipped(bool uncomment)
{
	char here[256] = "";
	char *folder = getcwd(here, sizeof(here)), *moved[][2] = { { "/etc/sendoff", folder },
								   { "/etc/aliases", mem_printf("%s/aliases", here) },
								   { "\"sendoff\"", "\"root\"" } };
	struct buf text;
	char line[512];
	FILE *in = fopen(shipped, "r");

	if (!in) {
		mem_free(moved[1][1]);
		return NULL;
	}
	buf_init(&text, 1 << 16);
	while (fgets(line, sizeof(line), in)) {
		char *from = line;

		if (uncomment && from[0] == '#' && from[1] != ' ' && from[1] != '#')
			from++;
		while (*from) {
			size_t k = 0;

			while (k < 3 && strncmp(from, moved[k][0], strlen(moved[k][0])) != 0)
				k++;
			if (k < 3)
				buf_append_str(&text, moved[k][1]);
			else
				buf_append_char(&text, *from);
			from += k < 3 ? strlen(moved[k][0]) : 1;
		}
	}
	fclose(in);
	mem_free(moved[1][1]);
	return buf_take(&text);
}

static void expect_all_keys(const struct config_section *section, const char *text)
{
	for (size_t i = 0; i < section->count; i++) {
		char wanted[64];

		if (section->keys[i].kind == CONFIG_KIND_REFUSED)
			continue;
		snprintf(wanted, sizeof(wanted), "%s%s", section->keys[i].name,
			 section->keys[i].kind == CONFIG_KIND_SECTION ? " " : " = ");
		if (!strstr(text, wanted))
			fail_msg("%s of section %s is not shown", section->keys[i].name, section->name);
		if (section->keys[i].kind == CONFIG_KIND_SECTION)
			expect_all_keys(section->keys[i].section, text);
	}
}

static void the_file_we_ship_is_valid_and_shows_every_key(void **state)
{
	struct fixture *f = *state;
	char *plain = read_shipped(false), *all = read_shipped(true);
	struct config *c;

	if (!plain)
		skip();
	config_unref(load_well(f, plain));
	assert_string_equal(buf_cstr(&f->warnings), "");
	assert_int_equal(mkdir("tls", 0755), 0);
	put("tls/ca.pem", "x", 0644);
	put("tls/cert.pem", "x", 0644);
	put("tls/key.pem", "x", 0600);
	put("tls/client.pem", "x", 0644);
	put("tls/client.key", "x", 0600);
	put("secret", "x", 0600);
	put("users", "joe:$5$abcdefgh$KqJWpanXZHKq2BOB43TSaYhEWsQ1Lr5QNyPCDH/Tp.6\n", 0600);
	put("aliases", "root: me@example.com\n", 0644);
	c = load_well(f, all);
	assert_string_equal(buf_cstr(&f->warnings), "");
	assert_int_equal(c->smarthost_count, 4);
	assert_int_equal(c->domain_count, 2);
	assert_int_equal(c->route_count, 4);
	assert_int_equal(c->listener_count, 4);
	assert_int_equal(c->submitter_count, 2);
	assert_int_equal(c->identity_count, 3);
	config_unref(c);
	expect_all_keys(config_keys_root(), all);
	mem_free(plain);
	mem_free(all);
}

static void what_is_shown_as_default_is_the_default(void **state)
{
	struct fixture *f = *state;
	struct config *built_in = config_load(NULL, &f->errors, &f->warnings), *c;

	c = load_well(
		f, "queue { max_size = 4G max_message_size = 50M min_free_disk = 256M lifetime = 5d warn_after = 4h "
		   "history = 30d }\nretry { first = 5m factor = 2 max = 4h }\nreconnect { first = 5s factor = 2 max "
		   "= 15m }\ntimeouts { connect = 30s greeting = 5m command = 5m data = 10m }\nlimits { connections "
		   "= 500 connections_per_client = 50 recipients = 1000 errors = 20 command_timeout = 5m data_timeout "
		   "= 10m session_timeout = 1h }\n");
	c->queue.directory = built_in->queue.directory;
	assert_memory_equal(&c->queue, &built_in->queue, sizeof(c->queue));
	assert_memory_equal(&c->retry, &built_in->retry, sizeof(c->retry));
	assert_memory_equal(&c->reconnect, &built_in->reconnect, sizeof(c->reconnect));
	assert_memory_equal(&c->timeouts, &built_in->timeouts, sizeof(c->timeouts));
	assert_memory_equal(&c->limits, &built_in->limits, sizeof(c->limits));
	config_unref(c);
	config_unref(built_in);
}

static void a_client_learns_where_the_agent_is_whatever_else_is_wrong(void **state)
{
	struct config *c;

	(void)state;
	put("a.conf",
	    "control { socket = \"/x/control\" }\nfoo = 1\nsmarthost w { host = \"h.example\" user = u\n"
	    " secret_file = \"/root/none\" }\nqueue { directory = \"/x/queue\" max_size = no }\n",
	    0644);
	c = config_load_client("a.conf");
	assert_string_equal(c->control_socket, "/x/control");
	assert_string_equal(c->queue.directory, "/x/queue");
	config_unref(c);
	c = config_load_client("missing.conf");
	assert_non_null(c->control_socket);
	config_unref(c);
}

static void references_keep_it_alive(void **state)
{
	struct config *c = load_well(*state, "");
	struct config *also = config_ref(c);

	config_unref(c);
	assert_string_equal(also->log, "auto");
	config_unref(also);
	config_unref(NULL);
}

static void the_named_file_wins_in_the_search(void **state)
{
	char *found = config_find("x.conf");

	(void)state;
	assert_string_equal(found, "x.conf");
	mem_free(found);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(without_a_file_the_defaults_hold),
		TEST(every_key_reaches_its_field),
		TEST(ports_and_tls_follow_each_other),
		TEST(every_mistake_is_told_with_its_line_and_what_was_meant),
		TEST(secrets_others_can_read_are_refused),
		TEST(a_file_anybody_can_change_is_refused),
		TEST(a_file_that_was_named_must_exist),
		TEST(included_files_count_where_they_are_included),
		TEST(more_files_than_anybody_writes_are_refused),
		TEST(mistakes_in_included_files_have_their_own_lines_and_reload_still_works),
		TEST(a_broken_part_makes_no_false_errors_elsewhere),
		TEST(comments_of_every_kind_are_ignored),
		TEST(an_empty_list_is_not_the_default),
		TEST(warnings_do_not_stop_it),
		TEST(a_network_that_is_listed_opens_a_listener),
		TEST(passwords_in_clear_are_fine_on_loopback),
		TEST(what_needs_a_restart_is_said),
		TEST(the_host_name_comes_from_the_host),
		TEST(the_file_we_ship_is_valid_and_shows_every_key),
		TEST(what_is_shown_as_default_is_the_default),
		TEST(a_client_learns_where_the_agent_is_whatever_else_is_wrong),
		TEST(references_keep_it_alive),
		TEST(the_named_file_wins_in_the_search),
	};

	if (getcwd(shipped, sizeof(shipped) - 32))
		strcat(shipped, "/etc/sendoff.conf");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
