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

/* Who may send, and as whom: configurations, and what is said about each. "^" in a row is the test's folder. */

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

/* Of crypt(5); nobody knows whose. */
#define HASH "$5$abcdefgh$KqJWpanXZHKq2BOB43TSaYhEWsQ1Lr5QNyPCDH/Tp.6"

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	strcpy(f->folder, "/tmp/sendoff-rules-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chdir(f->folder), 0);
	buf_init(&f->errors, 1 << 16);
	buf_init(&f->warnings, 1 << 16);
	put("cert", "x", 0644);
	put("key", "x", 0600);
	put("users", "joe:" HASH "\n", 0640);
	put("plain", "joe:" HASH "\nann:hunter2\n", 0600);
	put("empty", "# nobody\n", 0600);
	put("loose", "joe:" HASH "\n", 0644);
	put("aliases", "root: me@example.com\n", 0644);
	put("odd", "root: me@example.com\njoe: |/bin/sh\nall: :include:/nonexistent/list\n", 0644);
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

static char *in_folder(const struct fixture *f, const char *text)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	for (; *text; text++)
		if (*text == '^')
			buf_append_str(&out, f->folder);
		else
			buf_append_char(&out, *text);
	return buf_take(&out);
}

static struct config *load(struct fixture *f, const char *text, bool is_container)
{
	char *all = in_folder(f, text);

	buf_clear(&f->errors);
	buf_clear(&f->warnings);
	put("a.conf", all, 0644);
	mem_free(all);
	return config_read("a.conf", &f->errors, &f->warnings, false, is_container);
}

#define TLS   " certificate = \"^/cert\" key = \"^/key\""
#define OPEN  "listener o { address = \"0.0.0.0:587\"" TLS
#define NETS  "trust { networks = {\"192.0.2.0/24\"} }\n"
#define HOMES "trust { networks = {\"127.0.0.0/8\", \"192.0.2.0/24\"} }\n"
#define WORK  "smarthost work { host = \"h.example\" }\nroute work { via = {work} }\n"

static const struct row {
	const char *text;
	const char *errors, *warnings; /* whole, with their line ends; NULL: none */
	bool is_container;
} rows[] = {
	/* nobody gets in from outside */
	{ .text = OPEN " }\n",
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" can be reached from other machines, and nobody there may send - listen on "
		  "\"127.0.0.1:25\", list the networks you mean in trust.networks, or add auth and users\n" },
	{ .text = "listener o { address = {\"127.0.0.1:25\", \"[::]:25\"} }\n",
	  .errors =
		  "a.conf:1: address \"[::]:25\" can be reached from other machines, and nobody there may send - listen on "
		  "\"127.0.0.1:25\", list the networks you mean in trust.networks, or add auth and users\n" },
	{ .text = "listener o { address = {\"127.0.0.1:25\"} }\ntrust { networks = {\"10.0.0.0/8\"} }\n",
	  .warnings =
		  "a.conf:2: warning: networks: without \"127.0.0.0/8\" and \"::1\" the programs of this machine may not send "
		  "at listener \"o\" - add these two\n" },
	{ .text = OPEN "\n trust = no }\n",
	  .errors = "a.conf:2: listener \"o\" lets nobody in - add auth = required and users, or trust = yes\n" },
	/* somebody known does */
	{ .text = OPEN " }\n" NETS },
	{ .text = OPEN " auth = required users = \"^/users\" }\n" },
	{ .text = OPEN " auth = optional users = \"^/users\" }\n" },
	{ .text = OPEN " auth = required client_ca = \"^/cert\" }\n" },
	{ .text = OPEN " client_ca = \"^/cert\" }\n" },
	{ .text = OPEN " trust = no client_pins = {\"sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"} }\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\" }\n" },
	{ .text = "listener o { socket = \"/s\" trust = no auth = required users = \"^/users\" }\n" },
	/* everybody does */
	{ .text = "trust { networks = {\"0.0.0.0/0\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"0.0.0.0/0\" would let strangers send through this machine - list only networks whose "
		  "machines you know\n" },
	{ .text = "trust { networks = {\"::/0\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"::/0\" would let strangers send through this machine - list only networks whose "
		  "machines you know\n" },
	{ .text = "trust { networks = {\"::ffff:0:0/96\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"::ffff:0:0/96\" would let strangers send through this machine - list only networks "
		  "whose machines you know\n" },
	{ .text = "trust { networks = {\"0.0.0.0/1\", \"128.0.0.0/1\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"0.0.0.0/1\" would let strangers send through this machine - list only networks whose "
		  "machines you know\n"
		  "a.conf:1: networks: \"128.0.0.0/1\" would let strangers send through this machine - list only networks "
		  "whose machines you know\n" },
	{ .text = "trust { networks = {\"2000::/12\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"2000::/12\" would let strangers send through this machine - list only networks whose "
		  "machines you know\n" },
	{ .text = "trust { networks = {\"2001:db8::/31\"} }\n",
	  .warnings =
		  "a.conf:1: warning: networks: \"2001:db8::/31\" is more than any provider gives one customer: strangers could "
		  "send through this machine - list only networks whose machines you know\n" },
	{ .text = "trust { networks = {\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"fc00::/7\", \"8.0.0.0/8\", "
		  "\"2001:db8::/32\"} }\n" },
	/* networks that are none */
	{ .text = "trust { networks = {\"192.0.2.1/24\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"192.0.2.1/24\" is a host and a size - did you mean the network \"192.0.2.0/24\"?\n" },
	{ .text = "trust { networks = {\"2001:db8::1/32\", \"10.1.2.3/9\"} }\n",
	  .errors =
		  "a.conf:1: networks: \"2001:db8::1/32\" is a host and a size - did you mean the network \"2001:db8::/32\"?\n"
		  "a.conf:1: networks: \"10.1.2.3/9\" is a host and a size - did you mean the network \"10.0.0.0/9\"?\n" },
	{ .text = "submitter s { rate = \"1/s\"\n networks = {\"10.0.0.1/8\", \"all\"} }\n",
	  .errors =
		  "a.conf:2: networks: \"10.0.0.1/8\" is a host and a size - did you mean the network \"10.0.0.0/8\"?\n"
		  "a.conf:2: networks: \"all\" is not a network - write it like \"192.0.2.0/24\" or \"::1\"\n" },
	/* containers */
	{ .text = OPEN " }\n" NETS, .is_container = true },
	{ .text = OPEN " }\n" HOMES,
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" is in a container, and whoever forwards its ports can make strangers look "
		  "as if they came from \"127.0.0.0/8\", which trust.networks lets in - use auth = required, or list it in proxy, or say "
		  "trust = yes here if no stranger can reach it\n",
	  .is_container = true },
	{ .text = OPEN " }\ntrust { networks = {\"172.17.0.1\"} }\n",
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" is in a container, and whoever forwards its ports can make strangers look "
		  "as if they came from \"172.17.0.1\", which trust.networks lets in - use auth = required, or list it in proxy, or say "
		  "trust = yes here if no stranger can reach it\n",
	  .is_container = true },
	{ .text = OPEN " }\ntrust { networks = {\"::/127\"} }\n",
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" is in a container, and whoever forwards its ports can make strangers look "
		  "as if they came from \"::/127\", which trust.networks lets in - use auth = required, or list it in proxy, or say "
		  "trust = yes here if no stranger can reach it\n",
	  .is_container = true },
	{ .text = OPEN " auth = optional users = \"^/users\" }\n",
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" is in a container, and whoever forwards its ports can make strangers look "
		  "as if they came from \"127.0.0.0/8\", which trust.networks lets in - use auth = required, or list it in proxy, or say "
		  "trust = yes here if no stranger can reach it\n",
	  .is_container = true },
	{ .text = OPEN "\n trust = yes }\n" HOMES,
	  .warnings =
		  "a.conf:2: warning: listener \"o\" trusts \"127.0.0.0/8\" in a container: whoever forwards its ports can make "
		  "strangers look as if they came from there - auth = required would tell them apart\n",
	  .is_container = true },
	{ .text = OPEN " auth = required users = \"^/users\" }\n" HOMES, .is_container = true },
	{ .text = OPEN " auth = optional users = \"^/users\" trust = no }\n" HOMES, .is_container = true },
	{ .text = OPEN " proxy = {\"127.0.0.0/8\", \"172.17.0.1\"} }\n" HOMES, .is_container = true },
	{ .text = OPEN " proxy = {\"192.0.2.2\"} }\n" HOMES,
	  .errors =
		  "a.conf:1: address \"0.0.0.0:587\" is in a container, and whoever forwards its ports can make strangers look "
		  "as if they came from \"127.0.0.0/8\", which trust.networks lets in - use auth = required, or list it in proxy, or say trust = yes here if no stranger can reach it\n",
	  .is_container = true },
	{ .text = "listener l { address = \"127.0.0.1:25\" }\n", .is_container = true },
	{ .text = OPEN " }\n" HOMES },
	/* proxies */
	{ .text = OPEN " auth = required users = \"^/users\"\n proxy = {\"0.0.0.0/0\"} }\n",
	  .errors =
		  "a.conf:2: proxy: anybody could say to be anybody - list only the addresses of your own proxies\n" },
	{ .text = OPEN
	  " auth = required users = \"^/users\"\n proxy = {\"0.0.0.0/1\", \"128.0.0.0/2\", \"192.0.2.0/24\"} }\n",
	  .errors =
		  "a.conf:2: proxy: anybody could say to be anybody - list only the addresses of your own proxies\n" },
	{ .text = OPEN " auth = required users = \"^/users\"\n proxy = {\"::/0\"} }\n",
	  .errors =
		  "a.conf:2: proxy: anybody could say to be anybody - list only the addresses of your own proxies\n" },
	{ .text = OPEN " auth = required users = \"^/users\"\n proxy = {\"balancer\"} }\n",
	  .errors = "a.conf:2: proxy: \"balancer\" is not a network - write it like \"192.0.2.0/24\" or \"::1\"\n" },
	{ .text = "listener o { socket = \"/s\"\n proxy = {\"127.0.0.1\"} }\n",
	  .errors = "a.conf:2: proxy without an address - a socket has no proxies, remove it\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\" proxy = {\"127.0.0.1\"} }\n" },
	/* AUTH */
	{ .text = OPEN "\n auth = required }\n",
	  .errors =
		  "a.conf:2: listener \"o\" has auth without users - add users = \"/etc/sendoff/users\", which `sendoff user add "
		  "NAME` writes\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\"\n auth = optional\n users = \"^/users\"\n mechanisms = "
		  "{\"SCRAM-SHA-256\", \"plane\"} }\n",
	  .errors = "a.conf:4: mechanisms: \"plane\" is not known - scram-sha-256-plus, scram-sha-256, scram-sha-1, "
		    "plain, login, external\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\"\n mechanisms = {\"plain\"} }\n",
	  .errors = "a.conf:2: listener \"o\" has mechanisms and no auth - add auth = required, or optional\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\"\n users = \"^/users\" }\n",
	  .errors = "a.conf:2: listener \"o\" has users and no auth - add auth = required, or optional\n" },
	{ .text = "listener o { address = \"192.0.2.1:25\"\n auth = required\n users = \"^/users\" }\n",
	  .errors =
		  "a.conf:2: listener \"o\" takes passwords over the network in clear text - add certificate and key, or listen "
		  "on loopback only\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\" auth = required users = \"^/users\" }\n" },
	{ .text = "listener o { socket = \"/s\" auth = optional users = \"^/users\" }\n" },
	{ .text = OPEN " auth = required users = \"^/users\"\n trust = yes }\n" NETS,
	  .errors =
		  "a.conf:2: trust = yes beside auth = required: who is trusted would not have to log in - use auth = optional, "
		  "or remove trust\n" },
	{ .text = OPEN " auth = required\n users = \"^/none\" }\n",
	  .errors =
		  "a.conf:2: users: cannot read ^/none: No such file or directory - `sendoff user add NAME` writes it\n" },
	{ .text = OPEN " auth = required\n users = \"^/loose\" }\n",
	  .errors =
		  "a.conf:2: users: everybody on this machine can read or change ^/loose (mode 0644) - chmod 640 it\n" },
	{ .text = OPEN " auth = maybe users = \"^/users\" }\n" NETS,
	  .errors = "a.conf:1: auth = \"maybe\" is not known - it is none, optional or required\n"
		    "a.conf:1: listener \"o\" has users and no auth - add auth = required, or optional\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\"\n client_ca = \"^/cert\" }\n",
	  .errors = "a.conf:2: listener \"o\" asks for certificates without TLS - add certificate and key\n" },
	{ .text = OPEN "\n client_pins = {\"sha1:00\"} }\n",
	  .errors =
		  "a.conf:2: client_pins: \"sha1:00\" is not a pin - it is \"sha256:\" and 64 hex digits or 44 of base64\n" },
	{ .text = OPEN " auth = required\n users = \"^/plain\" }\n",
	  .warnings =
		  "a.conf:2: warning: users: ^/plain:2: this looks like a plain password - run: sendoff user add NAME\n" },
	{ .text = OPEN " auth = required\n users = \"^/empty\" }\n",
	  .warnings =
		  "a.conf:2: warning: users: there is nobody in ^/empty yet - `sendoff user add NAME` adds somebody\n" },
	{ .text = OPEN " auth = required\n users = \"^\" }\n", .errors = "a.conf:2: users: ^ is not a regular file\n" },
	/* sockets */
	{ .text = "listener o { socket = \"/s\" socket_owner = root socket_group = root socket_mode = 0660 }\n" },
	{ .text = "listener o { socket = \"/s\"\n socket_owner = nobody-there\n socket_group = nobody-there }\n",
	  .errors = "a.conf:2: socket_owner: there is no user \"nobody-there\" here\n"
		    "a.conf:3: socket_group: there is no group \"nobody-there\" here\n" },
	{ .text = "listener o { address = \"127.0.0.1:25\"\n socket_group = root }\n",
	  .errors = "a.conf:2: socket_group without a socket - add socket\n" },
	/* users and groups */
	{ .text = "trust { gids = {root, nobody-there} }\n",
	  .errors = "a.conf:1: gids: there is no group \"nobody-there\" - a name, a number or \"*\"\n" },
	{ .text = "submitter s { rate = \"1/s\"\n uids = {nobody-there}\n gids = {\"*\", \"7\"} }\n",
	  .errors = "a.conf:2: uids: there is no user \"nobody-there\" - a name, a number or \"*\"\n" },
	{ .text = "identity s { from = \"a@b.c\"\n uids = {nobody-there, root} gids = {nobody-there} users = {nobody-there} }\n",
	  .warnings = "a.conf:2: warning: uids: there is no user \"nobody-there\" here, it fits nobody\n"
		      "a.conf:2: warning: gids: there is no group \"nobody-there\" here, it fits nobody\n" },
	/* submitters */
	{ .text = "submitter s { users = {joe} }\n",
	  .errors = "a.conf:1: submitter \"s\" says nothing about them - add senders, rate, quota or recipients\n" },
	{ .text = "submitter \"s s\" { rate = \"1/s\" }\n",
	  .errors = "a.conf:1: submitter \"s s\" is not a good name - use 1 to 63 letters, digits and . _ -\n" },
	{ .text = "submitter s { rate = \"1/s\"\n users = {} }\n",
	  .errors = "a.conf:1: users = {}: an empty list would fit everybody - name them, or leave it out\n" },
	{ .text = "submitter s { senders = {} }\n",
	  .errors = "a.conf:1: senders = {}: an empty list would let any through - name them, or leave it out\n" },
	{ .text = "submitter s { rate = \"many\"\n recipients = 0 quota = \"5/day\" }\n",
	  .errors =
		  "a.conf:1: rate = \"many\" is not understood - it is a rate, as in \"30/min\" or \"500/day\", or \"0\" for no "
		  "limit\na.conf:2: recipients = 0 is out of bounds - from 1 to 100000\n" },
	{ .text = "submitter s { senders = {\"joe\", \"*@x\", \"example.com\"} }\n",
	  .errors =
		  "a.conf:1: senders: \"joe\" fits no address - write \"joe@*\", or \"*@joe\"\n"
		  "a.conf:1: senders: \"example.com\" fits no address - write \"example.com@*\", or \"*@example.com\"\n" },
	{ .text = "listener office { address = \"127.0.0.1:25\" }\nsubmitter s { rate = \"1/s\"\n listeners = {ofice, zebra} }\n",
	  .errors = "a.conf:3: listeners: there is no listener \"ofice\" - did you mean \"office\"?\n"
		    "a.conf:3: listeners: there is no listener \"zebra\" - add listener \"NAME\" { … }\n" },
	{ .text = "submitter a { rate = \"1/s\" }\nsubmitter b { rate = \"2/s\" users = {joe} }\n",
	  .warnings =
		  "a.conf:2: warning: submitter \"b\" is never used: \"a\" (a.conf:1) before it is about everybody\n" },
	{ .text = "submitter a { rate = \"1/s\" }\nsubmitter a { rate = \"2/s\" }\n",
	  .errors = "a.conf:2: submitter \"a\" is there twice, first in a.conf:1 - give one of them another name\n" },
	{ .text = "submitter a { rat = \"1/s\" }\n",
	  .errors = "a.conf:1: unknown key 'rat' in submitter \"a\" - did you mean 'rate'?\n"
		    "a.conf:1: submitter \"a\" says nothing about them - add senders, rate, "
		    "quota or recipients\n" },
	/* identities */
	{ .text = "identity i { users = {root} }\n",
	  .errors = "a.conf:1: identity \"i\" changes nothing - add from, envelope, to or route\n" },
	{ .text = "identity i {\n from = \"Alerts <a@b.c>\"\n to = \"root\"\n envelope = \"a@b@c\" }\n",
	  .errors =
		  "a.conf:2: from = \"Alerts <a@b.c>\" is not an address: bad character, dot or blank before the @ - as in "
		  "\"me@example.com\", and the name in name = \"…\"\n"
		  "a.conf:4: envelope = \"a@b@c\" is not an address: unexpected characters behind the address - as in \"me@example.com\"\n"
		  "a.conf:3: to = \"root\" is not an address: the address has no @domain - as in \"me@example.com\"\n" },
	{ .text = "identity i { to = \"a@b.c\"\n name = \"Me\"\n original = reply-to }\n",
	  .errors = "a.conf:2: name without from - add from = \"me@example.com\"\n"
		    "a.conf:3: original without from: no From is replaced - add from = \"me@example.com\"\n" },
	{ .text = "identity i { from = \"a@b.c\"\n original = keep }\n",
	  .errors = "a.conf:2: original = \"keep\" is not known - it is drop, reply-to or x-original-from\n" },
	{ .text = WORK "identity i { from = \"a@b.c\" users = {a}\n route = wrok }\nidentity k { route = zebra }\n",
	  .errors = "a.conf:4: route: there is no route \"wrok\" - did you mean \"work\"?\n"
		    "a.conf:5: route: there is no route \"zebra\" - add route \"zebra\" { via = … }\n" },
	{ .text = WORK
	  "identity i { from = \"a@b.c\" envelope = \"b@b.c\" name = \"Ä B\" original = drop to = \"c@b.c\"\n"
	  " route = work users = {a} senders = {\"a@*\"} }\n" },
	{ .text = "identity a { from = \"a@b.c\" }\nidentity b { from = \"c@b.c\" users = {joe} }\n",
	  .warnings =
		  "a.conf:2: warning: identity \"b\" is never used: \"a\" (a.conf:1) before it is about everybody\n" },
	{ .text = "identity a { from = \"a@b.c\" senders = {\"+49*\"} }\nidentity b { from = \"c@b.c\" users = {joe} }\n" },
	/* the rest */
	{ .text = "aliases = \"^/none\"\n",
	  .errors = "a.conf:1: aliases: cannot read ^/none: No such file or directory\n" },
	{ .text = "aliases = \"^/odd\"\n",
	  .warnings = "a.conf:1: warning: aliases: ^/odd:2: |/bin/sh: mail is never handed to a command\n"
		      "a.conf:1: warning: aliases: ^/odd:3: /nonexistent/list: No such file or directory\n" },
	{ .text = "aliases = \"aliases\"\n",
	  .errors =
		  "a.conf:1: aliases = \"aliases\" is not understood - it is an absolute path, as in \"/etc/sendoff/secret\"\n" },
	{ .text = "aliases_in_header = yes\n",
	  .warnings =
		  "a.conf:1: warning: aliases_in_header without aliases does nothing - add aliases = \"/etc/aliases\"\n" },
	{ .text = "aliases_in_header = yes aliases = \"^/aliases\" privacy = none drop_directory = \"/d\"\n" },
	{ .text = "privacy = ful\n", .errors = "a.conf:1: privacy = \"ful\" is not known - did you mean full?\n" },
};

static bool is_as_told(const char *what, const struct row *row, const struct fixture *f, const char *wanted,
		       struct buf *got)
{
	char *text = in_folder(f, wanted ? wanted : "");
	bool is_same = strcmp(text, buf_cstr(got)) == 0;

	if (!is_same)
		print_error("--- for%s\n%s--- not %s\n%s--- but\n%s", row->is_container ? " a container" : "",
			    row->text, what, text, buf_cstr(got));
	mem_free(text);
	return is_same;
}

static void each_configuration_is_judged_with_its_reason(void **state)
{
	struct fixture *f = *state;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *config = load(f, rows[i].text, rows[i].is_container);

		if ((config != NULL) != (rows[i].errors == NULL))
			wrong++;
		wrong += !is_as_told("errors", &rows[i], f, rows[i].errors, &f->errors);
		wrong += !is_as_told("warnings", &rows[i], f, rows[i].warnings, &f->warnings);
		config_unref(config);
	}
	assert_int_equal(wrong, 0);
}

static struct config *load_well(struct fixture *f, const char *text)
{
	struct config *config = load(f, text, false);

	if (!config)
		fail_msg("%s", buf_cstr(&f->errors));
	return config;
}

static void every_key_reaches_its_field(void **state)
{
	struct config *c = load_well(
		*state,
		"privacy = none aliases = \"^/aliases\" aliases_in_header = yes drop_directory = \"/drop\"\n" WORK
		"listener a { socket = \"/s\" socket_owner = root socket_group = root auth = optional users = "
		"\"^/users\" }\n" OPEN
		" auth = required users = \"^/users\" client_ca = \"^/cert\" proxy = {\"192.0.2.9\"}\n"
		" client_pins = {\"sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"} }\n"
		"trust { gids = {root, \"7\"} }\n"
		"submitter s { users = {u} uids = {root} gids = {root} networks = {\"::1\"} listeners = {o}\n"
		" senders = {\"*@x\"} rate = \"5/min\" quota = \"9/day\" recipients = 3 }\n"
		"identity i { users = {v} senders = {\"y@*\"} from = \"f@x.y\" name = \"N\" envelope = \"e@x.y\"\n"
		" original = x-original-from to = \"t@x.y\" route = work }\n");
	const struct config_submitter *s = &c->submitters[0];
	const struct config_identity *i = &c->identities[0];

	assert_int_equal(c->privacy, CONFIG_PRIVACY_NONE);
	assert_non_null(c->aliases);
	assert_true(c->aliases_in_header);
	assert_string_equal(c->drop_directory, "/drop");
	assert_string_equal(c->listeners[0].socket_owner, "root");
	assert_string_equal(c->listeners[0].socket_group, "root");
	assert_int_equal(c->listeners[0].auth, CONFIG_LOGIN_OPTIONAL);
	assert_true(c->listeners[0].trust);
	assert_int_equal(c->listeners[1].auth, CONFIG_LOGIN_REQUIRED);
	assert_false(c->listeners[1].trust);
	assert_non_null(c->listeners[1].users);
	assert_non_null(c->listeners[1].client_ca);
	assert_int_equal(c->listeners[1].client_pins.count, 1);
	assert_string_equal(c->listeners[1].proxy.list[0], "192.0.2.9");
	/* Who names groups does not mean everybody; names have become numbers. */
	assert_int_equal(c->trust.uids.count, 0);
	assert_string_equal(c->trust.gids.list[0], "0");
	assert_string_equal(c->trust.gids.list[1], "7");
	assert_int_equal(c->trust.gids_at.line, 7);
	assert_int_equal(c->trust.networks_at.line, 0);
	assert_string_equal(s->name, "s");
	assert_int_equal(s->at.line, 8);
	assert_string_equal(s->who.users.list[0], "u");
	assert_string_equal(s->who.uids.list[0], "0");
	assert_string_equal(s->who.gids.list[0], "0");
	assert_string_equal(s->who.networks.list[0], "::1");
	assert_string_equal(s->who.listeners.list[0], "o");
	assert_string_equal(s->senders.list[0], "*@x");
	assert_int_equal(s->rate.count, 5);
	assert_int_equal(s->quota.count, 9);
	assert_int_equal(s->quota.per_ms, 86400000);
	assert_int_equal(s->recipients, 3);
	assert_string_equal(i->who.users.list[0], "v");
	assert_string_equal(i->senders.list[0], "y@*");
	assert_string_equal(i->from, "f@x.y");
	assert_string_equal(i->full_name, "N");
	assert_string_equal(i->envelope, "e@x.y");
	assert_int_equal(i->original, CONFIG_ORIGINAL_X_ORIGINAL_FROM);
	assert_string_equal(i->to, "t@x.y");
	assert_string_equal(i->route, "work");
	config_unref(c);
}

static void without_a_word_the_defaults_hold(void **state)
{
	struct config *c = load_well(*state, "listener l { socket = \"/s\" }\nsubmitter s { recipients = 1 }\n");

	assert_int_equal(c->privacy, CONFIG_PRIVACY_REDUCED);
	assert_null(c->aliases);
	assert_false(c->aliases_in_header);
	assert_int_equal(c->drop_directory[0], '/');
	assert_true(c->listeners[0].trust);
	assert_int_equal(c->listeners[0].auth, CONFIG_LOGIN_NONE);
	assert_int_equal(c->submitters[0].rate.count, 0);
	assert_true(c->submitters[0].rate.per_ms > 0);
	assert_true(c->submitters[0].quota.per_ms > 0);
	config_unref(c);
}

static void only_sockets_need_a_restart(void **state)
{
	static const struct {
		const char *text;
		bool needs;
	} changes[] = {
		{ "listener l { socket = \"/s\" }\n", false },
		{ "listener l { socket = \"/s\" socket_owner = root }\n", true },
		{ "listener l { socket = \"/s\" socket_group = root }\n", true },
		{ "listener l { socket = \"/s\" socket_mode = 0600 }\n", true },
		{ "listener l { socket = \"/s\" auth = required users = \"^/users\" }\n", false },
		{ "listener l { socket = \"/s\" }\nsubmitter s { rate = \"1/s\" }\nidentity i { from = \"a@b.c\" }\n"
		  "aliases = \"^/aliases\" aliases_in_header = yes privacy = full trust { gids = {\"7\"} }\n",
		  false },
	};
	struct config *now = load_well(*state, changes[0].text);

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct config *next = load_well(*state, changes[i].text);

		if ((config_needs_restart(now, next) != NULL) != changes[i].needs)
			fail_msg("%s: %s", changes[i].text, config_needs_restart(now, next));
		config_unref(next);
	}
	config_unref(now);
}

static void most_of_the_internet_is_everything(void **state)
{
	static const char *most[128], *half[127], *twice[] = { "0.0.0.0/1", "0.0.0.0/1", "0.0.0.0/2" },
						  *six[] = { "2000::/4", "3000::/5" }, *mapped[] = { "::/1" };
	static char texts[256][24];
	struct config_strings list;

	(void)state;
	for (int i = 0; i < 256; i++)
		snprintf(texts[i], sizeof(texts[i]), "%d.0.0.0/8", i);
	for (int i = 0; i < 127; i++)
		half[i] = texts[i];
	for (int i = 0; i < 128; i++)
		most[i] = texts[i * 2];
	list = (struct config_strings){ half, 127 };
	assert_false(config_open_is_everything(&list));
	list = (struct config_strings){ most, 128 };
	assert_false(config_open_is_everything(&list));
	most[0] = "0.0.0.0/7";
	assert_true(config_open_is_everything(&list));
	list = (struct config_strings){ twice, 3 };
	assert_false(config_open_is_everything(&list));
	list = (struct config_strings){ six, 2 };
	assert_true(config_open_is_everything(&list));
	list = (struct config_strings){ mapped, 1 };
	assert_true(config_open_is_everything(&list));
	list = (struct config_strings){ NULL, 0 };
	assert_false(config_open_is_everything(&list));
}

static void it_is_known_whether_rules_tell_users_apart(void **state)
{
	static const struct {
		const char *text;
		bool apart;
	} configs[] = {
		{ "", false },
		{ "submitter s { rate = \"1/s\" networks = {\"10.0.0.0/8\"} }\n", false },
		{ "submitter s { rate = \"1/s\" uids = {\"7\"} }\n", true },
		{ "submitter s { rate = \"1/s\" gids = {\"7\"} }\n", true },
		{ "identity i { from = \"a@example.com\" senders = {\"*\"} }\n", false },
		{ "identity i { from = \"a@example.com\" users = {\"root\"} }\n", true },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		struct config *config = load(f, configs[i].text, false);

		assert_non_null(config);
		assert_int_equal(config->trust.tells_users_apart, configs[i].apart);
		config_unref(config);
	}
}

static void a_container_is_known_by_its_marks(void **state)
{
	struct fixture *f = *state;

	assert_false(config_open_is_container(f->folder));
	put(".dockerenv", "", 0644);
	assert_true(config_open_is_container(f->folder));
	assert_int_equal(unlink(".dockerenv"), 0);
	assert_int_equal(mkdir("run", 0755), 0);
	put("run/.containerenv", "", 0644);
	assert_true(config_open_is_container(f->folder));
	assert_int_equal(unlink("run/.containerenv"), 0);
	assert_int_equal(mkdir("proc", 0755), 0);
	assert_int_equal(mkdir("proc/1", 0755), 0);
	put("proc/1/cgroup", "0::/init.scope\n", 0644);
	assert_false(config_open_is_container(f->folder));
	put("proc/1/cgroup", "1:x:/\n0::/kubepods.slice/pod7\n", 0644);
	assert_true(config_open_is_container(f->folder));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_configuration_is_judged_with_its_reason),
		TEST(every_key_reaches_its_field),
		TEST(without_a_word_the_defaults_hold),
		TEST(only_sockets_need_a_restart),
		TEST(most_of_the_internet_is_everything),
		TEST(it_is_known_whether_rules_tell_users_apart),
		TEST(a_container_is_known_by_its_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
