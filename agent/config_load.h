/*
 * config_load - what the parts of config*.c share while one configuration is being read.
 *
 *     config_text    files into pieces of text: comments, quotes, braces, includes
 *     config_parse   pieces into keys and values (libconfuse)
 *     config_keys    the tables of sections and keys
 *     config_values  a value into its field
 *     config_address how hosts and networks are written
 *     config_check   what must fit together, and what is refused
 *     config_host    the same for smart hosts
 *     config_mx      the same for mx and domains
 *     config_dns     the same for resolvers
 *     config_via     the same for routes
 *     config_when    what routes wait for
 *     config_proxy   how SOCKS proxies are written
 *     config_listener  the same for listeners
 *     config_open    the same for strangers: networks, proxies, containers
 *     config_rules   the same for the rules about submitters
 *     config_paths   where things are when nobody said so, and the host's name
 *
 * Owns:    nothing beyond one call of config_load(), where it lives on the stack.
 * Threads: one.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"
#include "config.h"

/* A stretch of one file between includes, its comments blanked, its line numbers kept. */
struct config_piece {
	const char *file;
	char *text; /* NUL-terminated */
	size_t len;
	bool is_broken; /* a syntax error was reported: not parsed again */
};

/* Where a section of the main level begins. */
struct config_place {
	struct config_at at;
	const char *section, *title; /* title "" where there is none */
};

/* That `object` (a struct of the configuration) was given `key`, and where. */
struct config_given {
	const void *object;
	const char *key;
	struct config_at at;
};

struct config_load {
	struct config *config;
	struct mem_arena *storage; /* the configuration's text */
	struct buf *errors, *warnings;
	unsigned mistakes;
	unsigned files;
	bool is_container;  /* ports may be forwarded by somebody who hides where they come from */
	bool is_client;     /* files that it names are none of our business */
	bool is_incomplete; /* something was left out: what is missing may only seem so */
	struct config_piece *pieces;
	size_t piece_count;
	struct config_place *places;
	size_t place_count;
	struct config_given *given;
	size_t given_count;
};

/* "file:line: text" and counts a mistake; `at` NULL: without a place. */
void config_error(struct config_load *load, const struct config_at *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void config_warn(struct config_load *load, const struct config_at *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Copies into the configuration's storage. */
const char *config_keep(struct config_load *load, struct span s);
const char *config_format(struct config_load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *config_alloc(struct config_load *load, size_t count, size_t size);
/* Where `key` was said about `object`, or NULL: it was not. */
const struct config_at *config_where(const struct config_load *load, const void *object, const char *key);
/* The nearest of `names` to `name`, near enough to be meant; or NULL. */
const char *config_nearest(const char *name, const char *const *names, size_t count);

/* config_text: reads `file` and what it includes. */
void config_text_read(struct config_load *load, const char *file);
/* Blanks the statement that begins with `name` in line `line`; false: there is none. */
bool config_text_blank(struct config_piece *piece, int line, const char *name);
const struct config_at *config_text_place(const struct config_load *load, const char *section, const char *title);

/* config_parse: the pieces into load->config. */
void config_parse_pieces(struct config_load *load);

/* config_keys */
enum config_kind {
	CONFIG_KIND_TEXT,     /* const char *; not empty, no control bytes */
	CONFIG_KIND_PATH,     /* const char *; absolute */
	CONFIG_KIND_LIST,     /* struct config_strings */
	CONFIG_KIND_DURATION, /* int64_t, milliseconds */
	CONFIG_KIND_SIZE,     /* uint64_t */
	CONFIG_KIND_RATE,     /* struct config_rate */
	CONFIG_KIND_COUNT,    /* uint32_t */
	CONFIG_KIND_PORT,     /* uint16_t */
	CONFIG_KIND_FACTOR,   /* double */
	CONFIG_KIND_MODE,     /* mode_t, octal */
	CONFIG_KIND_BOOL,     /* bool */
	CONFIG_KIND_WORD,     /* const char *, one of `words` */
	CONFIG_KIND_CHOICE,   /* int (an enum), the place of the word in `words` */
	CONFIG_KIND_AUTH,     /* uint32_t of CONFIG_AUTH_…; one word of `words`, or a list */
	CONFIG_KIND_PROXY,    /* struct config_proxy */
	CONFIG_KIND_REFUSED,  /* has no place here: `words` say why */
	CONFIG_KIND_SECTION,  /* the keys of `section`, from `offset` on */
};

struct config_key {
	const char *name;
	enum config_kind kind;
	size_t offset;
	int64_t min, max;  /* in the field's unit; both 0: no bounds */
	const char *words; /* "none starttls implicit" */
	const struct config_section *section;
};

enum config_titled {
	CONFIG_UNTITLED,
	CONFIG_MX, /* nor has this one a title, but defaults that come from other sections */
	CONFIG_DOMAIN,
	CONFIG_LISTENER,
	CONFIG_SMARTHOST,
	CONFIG_ROUTE,
	CONFIG_SUBMITTER,
	CONFIG_IDENTITY
};

struct config_section {
	const char *name;
	const struct config_key *keys;
	size_t count;
	enum config_titled titled;
};

const struct config_section *config_keys_root(void);
bool config_keys_has_title(const struct config_section *section);

/* config_values: values (at least none: an empty list) of one key into its field in `object`. */
void config_values_set(struct config_load *load, void *object, const struct config_key *key, struct config_at at,
		       const char *const *values, size_t count);

/* config.c: config_load() with what it finds out told by the caller: for tests. */
struct config *config_read(const char *file, struct buf *errors, struct buf *warnings, bool is_client,
			   bool is_container);

/* config_check */
/* Where `key` of the object is said, or where it begins if the key was left out. */
const struct config_at *config_check_at(const struct config_load *load, const void *object, const char *key,
					const struct config_at *begin);
void config_check_name(struct config_load *load, const struct config_at *at, const char *what, const char *name);
/* A file must be there; a private one must be nobody else's to read, or the secret in it is none. */
void config_check_file(struct config_load *load, const struct config_at *at, const char *key, const char *path,
		       bool is_private);
void config_check_socket(struct config_load *load, const struct config_at *at, const char *path);
bool config_check_is_pin(const char *pin); /* "sha256:…" */
void config_check_backoff(struct config_load *load, const struct config_backoff *backoff, const char *what,
			  const struct config_at *begin);
void config_check_all(struct config_load *load);

/* config_host: smart hosts */
/* What a smart host is when nothing was said about it; the configuration's reconnect and timeouts are known. */
void config_host_defaults(const struct config *config, struct config_smarthost *out);
void config_host_check(struct config_load *load, struct config_smarthost *host);
/* What mx and domains have, too. `what` names the section, for people. */
void config_host_transport(struct config_load *load, const struct config_smarthost *host, const char *what);
const char *config_host_level(enum config_tls tls); /* "starttls" */

/* config_mx */
void config_mx_check(struct config_load *load, struct config_smarthost *mx);
/* What it does not say itself is already that of mx. */
void config_mx_domain(struct config_load *load, struct config_domain *domain);
/* The domains together; all routes are known. */
void config_mx_domains(struct config_load *load);

/* config_proxy: "socks5://[USER[:PASSWORD]@]HOST:PORT", or "none". NULL, or what is wrong (without the password). */
const char *config_proxy_read(struct config_load *load, const char *text, struct config_proxy *out);

/* config_dns */
void config_dns_servers(struct config_load *load);
/* Whether the agent will believe the resolver that an answer is signed; as net/dns does. */
bool config_dns_is_trusted(const struct config *config, const char *resolv_file);
/* Once all is known: what is to be proven by answers that nobody believes. */
void config_dns_check(struct config_load *load, const char *resolv_file);

/* config_via */
void config_via_route(struct config_load *load, struct config_route *route);
/* Fills in what routes say in one text. */
void config_via_targets(struct config_load *load);
/* The routes together, and the places they lead to. */
void config_via_check(struct config_load *load);

/* config_when */
void config_when_check(struct config_load *load, const struct config_route *route);

/* config_listener */
void config_listener_check(struct config_load *load, struct config_listener *listener);

/* config_open */
/* Mistakes in networks of `key`; false: there are some. */
bool config_open_networks(struct config_load *load, const struct config_at *at, const char *key,
			  const struct config_strings *list);
/* Together they hold more than half of all addresses. */
bool config_open_is_everything(const struct config_strings *list);
void config_open_trust(struct config_load *load, const struct config_at *at);
void config_open_proxy(struct config_load *load, const struct config_listener *listener);
/* One that other machines can reach. */
void config_open_listener(struct config_load *load, const struct config_listener *listener);
/* Of a listener at loopback or a socket: can the programs of this machine send there? */
void config_open_loopback(struct config_load *load, const struct config_listener *listener);
/* Whether the system below `root` ("": this one) is a container. */
bool config_open_is_container(const char *root);

/* config_rules */
/* Names become numbers; a name that is unknown is a mistake, or (not `is_grave`) a warning. */
void config_rules_uids(struct config_load *load, const struct config_at *at, const struct config_strings *uids,
		       bool is_grave);
void config_rules_gids(struct config_load *load, const struct config_at *at, const struct config_strings *gids,
		       bool is_grave);
/* Submitters and identities. */
void config_rules_check(struct config_load *load);

/* config_address: how hosts and networks are written */
/* "192.0.2.0/24", "::1": false on bad text. `out_bits` of `out_most` count in the address's own family. */
bool config_address_network(const char *text, bool *out_is_loopback, unsigned *out_bits, unsigned *out_most);
/* "192.0.2.1:25", "[::1]:25", and with `port_optional` also without the port. */
bool config_address_split(const char *text, bool port_optional, bool *out_is_loopback);
/* "localhost", a loopback address, or a Unix socket: what is said there stays on this machine. */
bool config_address_is_loopback(const char *host);
bool config_address_is_domain(const char *name);
/* A domain name or an address literal of RFC 5321, 4.1.3. */
bool config_address_hostname(const char *name);

/* config_paths: fills in what nobody has set. */
void config_paths_defaults(struct config_load *load);
const char *config_paths_hostname(struct config_load *load, const char *own_name, const char *hosts_file);

#endif
