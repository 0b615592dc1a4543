/* explain: what would become of a message, rule by rule, each with the line that says so. Nothing is sent. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/answers.h"
#include "control/fields.h"
#include "control/looks.h"
#include "control/ways.h"
#include "envelope.h"
#include "identity.h"
#include "route.h"
#include "trust.h"

enum { TEXT_SIZE = 1024, ARENA_MAX = 4 * 1024 * 1024 };

struct explain {
	struct config *config; /* a reference, and one of the aliases: the answer takes several turns */
	struct aliases *aliases;
	struct mem_arena arena;
	struct who who;
	const struct config_listener *listener;
	struct envelope_from from;
	struct envelope_to to;
	char sender[ADDRESS_SIZE], recipient[ADDRESS_SIZE];
	const char **targets; /* of the recipients told so far; the text is in the arena */
	bool is_begun, is_taken;
	size_t rcpt, lane; /* the next ones to tell */
	bool has_chosen;
	struct looks looks;
};

/* ---------------------------------------------------------------- rows */

static const struct config_at nowhere;

/* A line 0 is a default's, no line of the file. */
static void say(struct client *client, const char *step, const char *verdict, const struct config_at *at,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

static void say(struct client *client, const char *step, const char *verdict, const struct config_at *at,
		const char *format, ...)
{
	json_t *row = json_pack("{s:s,s:s,s:s}", "type", "rule", "step", step, "verdict", verdict);
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	json_object_set_new(row, "text", fields_text(text));
	json_object_set_new(row, "file", fields_text(at->line ? at->file : ""));
	json_object_set_new(row, "line", json_integer(at->line));
	client_say(client, row);
}

/* ---------------------------------------------------------------- who asks, and for whom */

static const struct config_listener *listener_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

/* Where somebody of this kind would come in: the first listener that suits, else the first. */
static const struct config_listener *listener_for(const struct config *config, const struct request *request)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		if (request->user[0]   ? l->auth != CONFIG_LOGIN_NONE
		    : request->host[0] ? l->addresses.count > 0
				       : l->socket != NULL)
			return l;
	}
	return config->listener_count ? &config->listeners[0] : NULL;
}

static bool read_address(const char *text, unsigned options, char out[ADDRESS_SIZE])
{
	struct span s = span_str(text);
	struct address address;
	size_t taken;

	if (s.len && s.data[0] == '<' ? address_path(s, options, &address, &taken) != ADDRESS_OK || taken != s.len
				      : address_parse(s, options, &address) != ADDRESS_OK)
		return false;
	memcpy(out, address.text, sizeof address.text);
	return true;
}

/* NULL, or what is wrong with the request. */
static const char *read_request(struct client *client, struct explain *e)
{
	const struct request *request = &client->request;
	const struct config *config = e->config;
	uint8_t address[16];

	e->listener = request->listener[0] ? listener_named(config, request->listener) : listener_for(config, request);
	if (!e->listener)
		return "there is no listener of that name";
	if (request->host[0] && !cidr_address(span_str(request->host), address))
		return "--host is not an address - as in 192.0.2.7";
	if (!request->has_from || !request->has_to)
		return "\"from\" and \"to\" must be there";
	if (!read_address(request->from, ADDRESS_UTF8 | ADDRESS_BARE | ADDRESS_NULL, e->sender))
		return "--from is not an address";
	if (!read_address(request->to, ADDRESS_UTF8 | ADDRESS_BARE | ADDRESS_POSTMASTER, e->recipient))
		return "--to is not an address";
	return NULL;
}

/* A network peer has no uid; who asks for nobody in particular asks for themselves. */
static void fill_who(struct client *client, struct explain *e, struct trust_peer *out_peer)
{
	const struct request *request = &client->request;
	const char *host = request->host[0] ? request->host : e->listener->socket ? "" : "127.0.0.1";
	uid_t uid = request->uid >= 0 ? (uid_t)request->uid : client->permit.uid;
	uint8_t address[16];
	bool is_local;

	*out_peer = (struct trust_peer){ .is_unix = !host[0] };
	out_peer->is_loopback = cidr_address(span_str(host), address) && cidr_is_loopback(address);
	is_local = out_peer->is_unix || out_peer->is_loopback;
	/* Who logs in by a name may be anybody, unless it is said. */
	if (request->user[0] && request->uid < 0)
		is_local = false;
	who_init(&e->who, e->listener->name, host, is_local ? &uid : NULL);
	who_set_user(&e->who, request->user);
}

/* ---------------------------------------------------------------- may they? */

/* True: each list was asked that counts, and lets them in. */
static bool tell_lists(struct client *client, const struct explain *e, const struct trust_peer *peer)
{
	const struct config_trust *trust = &e->config->trust;
	bool is_near = peer->is_unix || who_has_network(&trust->networks, &e->who);
	bool is_known = who_has_uid(&trust->uids, &e->who), is_member = who_has_gid(&trust->gids, &e->who);
	char who[WHO_TEXT_SIZE];

	if (!peer->is_unix)
		say(client, "trust", is_near ? "yes" : "no", &trust->networks_at, "trust.networks %s %s",
		    is_near ? "lets in" : "has no", e->who.host);
	if (!e->who.has_uid)
		return is_near;
	who_text(&e->who, who, sizeof who);
	if (!is_known && is_member)
		say(client, "trust", "yes", &trust->gids_at, "trust.gids lets in a group of %s", who);
	else
		say(client, "trust", is_known ? "yes" : "no", &trust->uids_at, "trust.uids %s %s",
		    is_known ? "lets in" : "has no", who);
	return is_near && (is_known || is_member);
}

static bool tell_trust(struct client *client, const struct explain *e, const struct trust_peer *peer)
{
	const struct config_listener *l = e->listener;
	bool has_login = l->auth != CONFIG_LOGIN_NONE || l->client_ca || l->client_pins.count;
	char why[TEXT_SIZE] = "", who[WHO_TEXT_SIZE];
	bool is_listed;

	say(client, "who", "note", &l->at, "%s comes in at listener \"%s\"%s%s", who_text(&e->who, who, sizeof who),
	    l->name, e->who.host[0] && e->who.has_uid ? " from " : "", e->who.has_uid ? e->who.host : "");
	if (e->who.user[0]) {
		say(client, "trust", has_login ? "yes" : "no", &l->at,
		    has_login ? "whoever logs in at listener \"%s\" may send" : "nobody can log in at listener \"%s\"",
		    l->name);
		return has_login;
	}
	if (!l->trust) {
		say(client, "trust", "no", &l->at, "only who logs in may send at listener \"%s\"", l->name);
		return false;
	}
	is_listed = tell_lists(client, e, peer);
	if (trust_judge(&e->config->trust, peer, &e->who, why, sizeof why))
		return true;
	if (is_listed)
		say(client, "trust", "no", &nowhere, "%s", why);
	if (has_login)
		say(client, "trust", "note", &l->at, "whoever logs in at listener \"%s\" may send", l->name);
	return false;
}

static void tell_rate(struct client *client, const char *step, const struct config_at *at,
		      const struct config_rate *rate, const char *what)
{
	int64_t s = rate->per_ms / 1000;

	if (rate->count)
		say(client, step, "note", at, "at most %u %s %s", rate->count, what,
		    s >= 86400  ? "a day"
		    : s >= 3600 ? "an hour"
		    : s >= 60   ? "a minute"
				: "a second");
	else
		say(client, step, "note", at, "as many %s as they like", what);
}

static void tell_submitter(struct client *client, const struct explain *e)
{
	const struct config_submitter *s = e->from.submitter;
	const struct config *config = e->config;

	if (!s)
		say(client, "submitter", "note", &nowhere, "no submitter section is about them: any sender is allowed");
	else if (!s->senders.count)
		say(client, "submitter", "yes", &s->at, "submitter \"%s\": any sender is allowed", s->name);
	else
		say(client, "submitter", identity_allows(s, e->from.given) ? "yes" : "no", &s->at,
		    "submitter \"%s\" %s <%s>", s->name,
		    identity_allows(s, e->from.given) ? "allows" : "does not allow", e->from.given);
	if (s && s->rate.count)
		tell_rate(client, "rate", &s->at, &s->rate, "messages");
	else
		tell_rate(client, "rate", &config->trust.max_rate_at, &config->trust.max_rate, "messages");
	if (s && s->quota.count)
		tell_rate(client, "quota", &s->at, &s->quota, "recipients");
	if (s && s->recipients)
		say(client, "recipients", "note", &s->at, "at most %u recipients a message", s->recipients);
}

/* ---------------------------------------------------------------- under which address? */

static void tell_identity(struct client *client, const struct explain *e)
{
	static const char *const originals[] = { [CONFIG_ORIGINAL_DROP] = "is dropped",
						 [CONFIG_ORIGINAL_REPLY_TO] = "goes to Reply-To",
						 [CONFIG_ORIGINAL_X_ORIGINAL_FROM] = "goes to X-Original-From" };
	const struct config_identity *identity = e->from.identity;

	if (strcmp(e->sender, e->from.given) != 0)
		say(client, "sender", "note", &nowhere, "<%s> has no domain: it gets this machine's name, <%s>",
		    e->sender, e->from.given);
	if (!identity) {
		say(client, "identity", "note", &nowhere, "no identity is about them: the sender stays <%s>",
		    e->from.address);
		return;
	}
	say(client, "identity", "yes", &identity->at, "identity \"%s\": the sender is <%s>", identity->name,
	    e->from.address);
	if (identity->from)
		say(client, "from", "note", &identity->at, "From becomes %s%s%s%s; the old one %s",
		    identity->full_name ? identity->full_name : "", identity->full_name ? " <" : "", identity->from,
		    identity->full_name ? ">" : "", originals[identity->original]);
	if (e->from.route[0])
		say(client, "route", route_named(e->config, e->from.route) ? "yes" : "no", &identity->at,
		    "identity \"%s\" chooses route \"%s\"", identity->name, e->from.route);
}

static bool tell_names(struct client *client, struct explain *e)
{
	const char *error = names_error(client_names(client));

	if (error[0] && identity_is_local(e->config, e->recipient))
		say(client, "aliases", "note", &nowhere, "%s", error);
	switch (envelope_to(e->config, &e->from, e->aliases, e->recipient, &e->arena, &e->to)) {
	case ENVELOPE_OK: return true;
	case ENVELOPE_NOT_ALLOWED: break;
	case ENVELOPE_LONG:
		say(client, "recipient", "no", &nowhere, "<%s> is too long once it has this machine's name",
		    e->recipient);
		break;
	case ENVELOPE_MANY:
		say(client, "aliases", "no", &nowhere,
		    "in %s the alias %s leads to more recipients than are taken, or to no end", e->config->aliases,
		    e->recipient);
		break;
	case ENVELOPE_LOST:
		say(client, "aliases", "no", &nowhere, "in %s the alias %s leads nowhere that can be read now",
		    e->config->aliases, e->recipient);
		break;
	}
	return false;
}

/* ---------------------------------------------------------------- to whom, and which way? */

static json_t *via_of(const struct config_route *route)
{
	json_t *via = json_array();

	for (size_t i = 0; route && i < route->via.count; i++)
		json_array_append_new(via, fields_text(route->via.list[i]));
	return via;
}

/* One row for each way that the route leaves open, in the order in which they are tried. */
static void tell_ways(struct client *client, struct explain *e, const struct envelope_rcpt *rcpt)
{
	const char *last = e->rcpt ? e->targets[e->rcpt - 1] : "";
	struct buf target;
	struct span rest;
	json_t *row;

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	route_target_of(e->config, rcpt->route, rcpt->address, &target);
	/* Many recipients have the same one. */
	if (strcmp(last, buf_cstr(&target)) != 0)
		last = mem_arena_dup(&e->arena, buf_span(&target));
	e->targets[e->rcpt] = last ? last : "";
	rest = buf_span(&target);
	while ((row = ways_next(e->config, &rest)))
		client_say(client, row);
	buf_fini(&target);
}

/* What the route waits for, and whether it is there. */
static void tell_condition(struct client *client, const struct config_route *route)
{
	const struct traffic *traffic = client->room->traffic;
	struct traffic_condition condition;

	for (size_t i = 0; traffic->condition && traffic->condition(traffic->self, i, &condition); i++)
		if (route && strcmp(condition.route, route->name) == 0)
			client_say(client, fields_condition(&condition));
}

static void tell_rcpt(struct client *client, struct explain *e, const struct envelope_rcpt *rcpt)
{
	const struct config_route *route = rcpt->route;
	const struct config_queue *queue = &e->config->queue;
	const struct config_at *by = rcpt->by_identity ? &e->from.identity->at : &nowhere;
	const char *how = rcpt->by_identity                          ? "identity"
			  : rcpt->alias_file                         ? "alias"
			  : strcmp(rcpt->address, e->recipient) != 0 ? "qualified"
								     : "given";
	json_t *row = json_pack("{s:s,s:s}", "type", "recipient", "how", how);

	json_object_set_new(row, "address", fields_text(rcpt->address));
	json_object_set_new(row, "file", fields_text(rcpt->by_identity ? by->file : rcpt->alias_file));
	json_object_set_new(row, "line", json_integer(rcpt->by_identity ? by->line : rcpt->alias_line));
	json_object_set_new(row, "route", fields_text(route ? route->name : ""));
	json_object_set_new(row, "route_file", fields_text(route ? route->at.file : ""));
	json_object_set_new(row, "route_line", json_integer(route ? route->at.line : 0));
	json_object_set_new(row, "via", via_of(route));
	json_object_set_new(row, "lifetime_ms", json_integer(route ? route->lifetime_ms : queue->lifetime_ms));
	json_object_set_new(row, "warn_after_ms", json_integer(route ? route->warn_after_ms : queue->warn_after_ms));
	client_say(client, row);
	tell_condition(client, route);
	tell_ways(client, e, rcpt);
}

/* What DNS and policies say of the ways. */
static void choose_looks(struct client *client, struct explain *e)
{
	looks_init(&e->looks, client, &e->arena);
	for (size_t i = 0; i < e->rcpt; i++)
		if (i == 0 || e->targets[i] != e->targets[i - 1])
			looks_add(&e->looks, e->config, e->targets[i]);
}

static bool is_on_the_way(const struct explain *e, const char *lane)
{
	for (size_t i = 0; i < e->rcpt; i++)
		if ((i == 0 || e->targets[i] != e->targets[i - 1]) && route_place(e->targets[i], lane) >= 0)
			return true;
	return false;
}

/* ---------------------------------------------------------------- the verb */

static enum client_step begin(struct client *client, struct explain *e)
{
	struct trust_peer peer;
	enum envelope_verdict verdict;
	const struct names *names;
	const char *wrong;
	bool is_in;

	/* What the rules make of others is the administrator's matter. */
	if (!client->permit.all && (client->request.user[0] || client->request.host[0] ||
				    (client->request.uid >= 0 && client->request.uid != client->permit.uid)))
		return client_fail(client, EX_NOPERM, "not permitted",
				   "others than root and the members of group sendoff may ask for themselves only");
	wrong = read_request(client, e);
	if (wrong)
		return client_fail(client, EX_USAGE, "usage", wrong);
	fill_who(client, e, &peer);
	names = client_names(client);
	e->aliases = names_aliases(names) ? aliases_ref(names_aliases(names)) : NULL;
	is_in = tell_trust(client, e, &peer);
	verdict = envelope_from(e->config, &e->who, e->sender, &e->from);
	if (verdict == ENVELOPE_LONG) {
		say(client, "sender", "no", &nowhere, "<%s> is too long once it has this machine's name", e->sender);
		return CLIENT_MORE;
	}
	tell_submitter(client, e);
	tell_identity(client, e);
	e->is_taken = tell_names(client, e) && is_in && verdict == ENVELOPE_OK;
	e->targets = mem_calloc(e->to.count + 1, sizeof *e->targets);
	return CLIENT_MORE;
}

static void start(struct client *client)
{
	struct explain *e = MEM_NEW(struct explain);

	e->config = config_ref(client->room->config);
	mem_arena_init(&e->arena, ARENA_MAX);
	client->state = e;
}

static enum client_step step(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	struct explain *e = client->state;
	struct traffic_lane lane = { .name = "" };

	for (; *budget > 0 && client_has_room(client); --*budget) {
		if (!e->is_begun) {
			enum client_step next = begin(client, e);

			e->is_begun = true;
			if (next != CLIENT_MORE)
				return next;
		} else if (e->rcpt < e->to.count) {
			tell_rcpt(client, e, &e->to.list[e->rcpt]);
			e->rcpt++;
		} else if (traffic->lane(traffic->self, e->lane, &lane)) {
			e->lane++;
			if (is_on_the_way(e, lane.name))
				client_say(client, fields_lane(&lane));
		} else if (!e->has_chosen) {
			choose_looks(client, e);
			e->has_chosen = true;
		} else if (!looks_say(&e->looks)) {
			return CLIENT_WAIT;
		} else {
			return client_done(client, json_pack("{s:b}", "accepted", e->is_taken));
		}
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	struct explain *e = client->state;

	looks_fini(&e->looks);
	aliases_unref(e->aliases);
	mem_free(e->targets);
	mem_arena_fini(&e->arena);
	config_unref(e->config);
	mem_free(e);
}

const struct client_verb answer_explain_verb = { .name = "explain", .start = start, .step = step, .stop = stop };
