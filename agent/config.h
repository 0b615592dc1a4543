/*
 * config - sendoff.conf read into one immutable structure (libconfuse).
 *
 * Owns:    everything a struct config points to; counted references, so that a session keeps the configuration it
 *          began with while a new one is loaded.
 * Promise: all or nothing. Every mistake is reported as "file:line: what is wrong - what was meant", as many as
 *          possible in one run; unknown keys suggest the nearest.
 * Threads: one. Only config*.c include <confuse.h>.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct config_strings {
	const char **list;
	size_t count;
};

/* Where something was said, for explain and for errors. */
struct config_at {
	const char *file;
	int line;
};

struct config_rate {
	uint32_t count; /* 0: no limit */
	int64_t per_ms;
};

struct config_backoff {
	int64_t first_ms, max_ms;
	double factor;
};

struct config_timeouts {
	int64_t connect_ms, greeting_ms, command_ms, data_ms;
};

enum config_tls {
	CONFIG_TLS_NONE,
	CONFIG_TLS_OPPORTUNISTIC, /* with DANE and MTA-STS where the other side publishes them */
	CONFIG_TLS_STARTTLS,      /* verified */
	CONFIG_TLS_IMPLICIT,      /* verified */
	CONFIG_TLS_DANE,          /* STARTTLS, proven by TLSA records; without usable ones mail waits */
};
enum config_protocol { CONFIG_PROTOCOL_SMTP, CONFIG_PROTOCOL_LMTP };
enum config_bare { CONFIG_BARE_NORMALIZE, CONFIG_BARE_REFUSE };

enum { /* auth mechanisms a smart host may use; "none" is 0 */
       CONFIG_AUTH_PLAIN = 1 << 0,
       CONFIG_AUTH_LOGIN = 1 << 1,
       CONFIG_AUTH_CRAM_MD5 = 1 << 2,
       CONFIG_AUTH_SCRAM_SHA1 = 1 << 3,
       CONFIG_AUTH_SCRAM_SHA256 = 1 << 4,
       CONFIG_AUTH_SCRAM_SHA1_PLUS = 1 << 5,
       CONFIG_AUTH_SCRAM_SHA256_PLUS = 1 << 6,
       CONFIG_AUTH_EXTERNAL = 1 << 7,
       CONFIG_AUTH_XOAUTH2 = 1 << 8,
       CONFIG_AUTH_OAUTHBEARER = 1 << 9,
       CONFIG_AUTH_SCRAM = CONFIG_AUTH_SCRAM_SHA1 | CONFIG_AUTH_SCRAM_SHA256 | CONFIG_AUTH_SCRAM_SHA1_PLUS |
			   CONFIG_AUTH_SCRAM_SHA256_PLUS,
       /* "auto": whatever proves a password. A token is never offered as one, nor a password as a token. */
       CONFIG_AUTH_ANY = CONFIG_AUTH_PLAIN | CONFIG_AUTH_LOGIN | CONFIG_AUTH_CRAM_MD5 | CONFIG_AUTH_SCRAM,
};

enum config_login { CONFIG_LOGIN_NONE, CONFIG_LOGIN_OPTIONAL, CONFIG_LOGIN_REQUIRED }; /* AUTH of a listener */
enum config_privacy { CONFIG_PRIVACY_REDUCED, CONFIG_PRIVACY_FULL, CONFIG_PRIVACY_NONE };
enum config_original { CONFIG_ORIGINAL_DROP, CONFIG_ORIGINAL_REPLY_TO, CONFIG_ORIGINAL_X_ORIGINAL_FROM };

/* Whom a rule is about. Every list that is not empty must have an entry that fits; who.h decides. */
struct config_who {
	struct config_strings users;     /* of AUTH and certificates, and login names of this machine */
	struct config_strings uids;      /* names or numbers, "*" */
	struct config_strings gids;      /* likewise, also supplementary groups */
	struct config_strings networks;  /* CIDR */
	struct config_strings listeners; /* names */
};

struct config_queue {
	const char *directory;
	uint64_t max_size_bytes, max_message_bytes, min_free_disk_bytes;
	int64_t lifetime_ms, warn_after_ms, history_ms;
};

struct config_listener {
	struct config_at at;
	const char *name;
	const char *socket;              /* Unix socket path, or NULL */
	mode_t socket_mode;              /* 0666 by default: trust decides, by uid */
	struct config_strings addresses; /* "127.0.0.1:25" */
	enum config_tls tls;             /* NONE, STARTTLS (offered), IMPLICIT */
	const char *certificate, *key;
	enum config_bare bare_newline;
	const char *socket_owner, *socket_group; /* of the Unix socket, or NULL: as the agent's */
	enum config_login auth;
	struct config_strings mechanisms;  /* names of those that are offered; empty: all */
	const char *users;                 /* file of AUTH users, or NULL */
	const char *client_ca;             /* a client certificate that it issued lets in, or NULL */
	struct config_strings client_pins; /* "sha256:…" of certificates' keys that let in */
	struct config_strings proxy;       /* networks whose connections begin with a PROXY header */
	bool trust;                        /* trust { } lets in here; false: only AUTH and certificates */
};

struct config_trust {
	struct config_strings networks;                              /* CIDR */
	struct config_strings uids;                                  /* "*", names or numbers */
	struct config_strings gids;                                  /* "*", names or numbers; besides uids */
	struct config_rate max_rate;                                 /* per submitter */
	bool tells_users_apart;                                      /* submitters or identities go by users */
	struct config_at networks_at, uids_at, gids_at, max_rate_at; /* line 0: nobody said so, it is the default */
};

/* What some submitters may send; the first that fits, and where none does, trust.max_rate alone. */
struct config_submitter {
	struct config_at at;
	const char *name;
	struct config_who who;
	struct config_strings senders; /* globs of the reverse-path; empty: any. The null sender is always allowed */
	struct config_rate rate;       /* messages; 0: trust.max_rate */
	struct config_rate quota;      /* recipients, kept across restarts; 0: no limit */
	uint32_t recipients;           /* of one message; 0: limits.recipients */
};

/* Under which address some submitters send; the first that fits. */
struct config_identity {
	struct config_at at;
	const char *name;
	struct config_who who;
	struct config_strings senders; /* globs of the reverse-path, qualified; empty: any */
	const char *from;              /* address: header From and reverse-path, or NULL: as they came */
	const char *full_name;         /* of the new From, or NULL: the name that was there */
	const char *envelope;          /* reverse-path, or NULL: `from` */
	enum config_original original; /* where the From that was replaced goes */
	const char *to;                /* bare names in To, Cc and the envelope become this address, or NULL */
	const char *route;             /* name of a route, or NULL */
};

struct config_limits {
	uint32_t connections, connections_per_client, recipients, errors;
	int64_t command_timeout_ms, data_timeout_ms, session_timeout_ms;
};

/* socks5://[USER[:PASSWORD]@]HOST:PORT; the proxy resolves the names of hosts (RFC 1928, 1929). */
struct config_proxy {
	const char *host; /* NULL: none */
	uint16_t port;
	const char *user, *password; /* or NULL */
};

/* A smart host; also how mail goes straight to a domain's MX (then `host` is NULL). */
struct config_smarthost {
	struct config_at at; /* MX: of the domain section, or of mx; line 0: nobody said so */
	const char *name;    /* "mx" where mail goes to MX */
	const char *host;    /* name, literal address, a path for a Unix socket, or "srv:DOMAIN" (RFC 6186, 8314) */
	uint16_t port;       /* 0: comes with the SRV records */
	enum config_protocol protocol;
	struct config_strings source; /* local addresses to send from, at most one of each family; empty: any */
	struct config_proxy proxy;
	bool mta_sts;           /* MX: follow the policies that domains publish (RFC 8461) */
	const char *mta_sts_ca; /* MX: authorities for their HTTPS; NULL: the system's */
	uint16_t mta_sts_port;  /* MX: 443 */
	enum config_tls tls;
	uint32_t auth;                                                /* CONFIG_AUTH_… */
	const char *user;                                             /* or NULL */
	const char *secret_file, *secret_command, *secret_credential; /* at most one */
	bool tls_verify;
	const char *tls_ca, *tls_name, *tls_certificate, *tls_key, *tls_minimum;
	struct config_strings tls_pins;
	uint32_t connections, messages_per_connection, recipients_per_message;
	int64_t idle_ms; /* a connection without mail is kept for so long */
	struct config_rate rate;
	struct config_backoff reconnect;
	struct config_timeouts timeouts;
};

struct config_route {
	struct config_at at;
	const char *name;
	struct config_strings from, to; /* globs; empty: any */
	struct config_strings via;      /* smart hosts in order, "mx" among them; or with weights, "work=3" */
	struct config_strings when;     /* conditions (when.h), one of which must hold; empty: none */
	struct config_backoff retry;
	int64_t lifetime_ms, warn_after_ms;
	const char *target; /* via, joined by commas, and with `when` the route's name (route.h) */
};

/* How mail for some domains goes to their MX; the first that fits, and where none does, `mx`. */
struct config_domain {
	struct config_at at;
	const char *pattern; /* glob of the recipient's domain, lower case, A-labels */
	struct config_smarthost mx;
};

/* TLS reports to the domains that ask for them (RFC 8460). */
struct config_tlsrpt {
	bool send;                /* no by default; results are gathered anyway */
	const char *organization; /* of the report; default: hostname */
	const char *contact;      /* address in the report; default: postmaster */
	const char *from;         /* sender of the mails; default: contact */
};

struct config {
	unsigned references;
	const char *file;       /* the main file, or "" for built-in defaults */
	const char *hostname;   /* EHLO name: set, or the FQDN, or an address literal */
	const char *postmaster; /* reports nobody else can get; "postmaster@HOSTNAME" by default */
	bool has_postmaster;    /* the configuration names it: reports that cannot be delivered go there */
	struct config_queue queue;
	const char *control_socket;
	struct config_trust trust;
	struct config_limits limits;
	struct config_backoff retry, reconnect;
	struct config_timeouts timeouts;
	enum config_privacy privacy;
	const char *aliases;        /* aliases(5) file, or NULL */
	bool aliases_in_header;     /* To and Cc show what an alias became */
	const char *drop_directory; /* where sendmail leaves mail while no agent runs */
	struct config_submitter *submitters;
	size_t submitter_count;
	struct config_identity *identities;
	size_t identity_count;
	struct config_strings dns_servers;
	bool dns_trust_ad;
	const char *log;       /* "auto", "stderr", "syslog", "journal" */
	const char *log_level; /* "error", "warning", "notice", "info", "debug" */
	const char *run_as;    /* user to become when started as root, or NULL */
	struct config_listener *listeners;
	size_t listener_count;
	struct config_smarthost *smarthosts;
	size_t smarthost_count;
	struct config_smarthost mx; /* "mx" in via: straight to the recipients' MX */
	struct config_domain *domains;
	size_t domain_count;
	struct config_tlsrpt tlsrpt;
	struct config_route *routes;
	size_t route_count;
	void *storage; /* all the text, freed with it */
};

/* Which file to read: `given` (--config) if not NULL, else the user's, else the system's; NULL: none exists, built-in
 * defaults. A file that was named must exist. Result to be freed with mem_free(). */
char *config_find(const char *given);
/* Reads it; `file` NULL: built-in defaults. On mistakes returns NULL and `errors` (capped buffer) gets a line for each;
 * warnings go to `warnings`. The result has one reference. */
struct config *config_load(const char *file, struct buf *errors, struct buf *warnings);
/* For programs that only want to know where the agent is (control_socket, queue.directory, listeners): what can be
 * understood of the file, without looking at the secrets and certificates that it names. Never NULL. */
struct config *config_load_client(const char *file);
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* NULL is fine */

const struct config_smarthost *config_smarthost(const struct config *config, const char *name); /* or NULL */
/* How mail goes to the MX of a domain (lower case, A-labels, or an address literal); never NULL. */
const struct config_smarthost *config_mx(const struct config *config, const char *domain);
/* What a reload cannot change (queue.directory, listeners, control socket …): NULL, or a line for people. */
const char *config_needs_restart(const struct config *now, const struct config *next);

#endif
