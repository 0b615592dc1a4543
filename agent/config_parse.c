#include <confuse.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"

/* Every key is text to libconfuse; what it means is config_keys' business. Each value's place is noted while it is
 * read, since the library keeps none. */

enum { RESTARTS_MAX = 50 };

struct note {
	const cfg_opt_t *opt;
	struct config_at at;
	unsigned values, firsts; /* how many there were at the last call; how often there was one */
	bool is_told;            /* a second assignment was reported */
};

/* The library hands no pointer of ours to its error function and its validators. */
static struct {
	struct config_load *load;
	struct note *notes;
	size_t count, found; /* found: where the last search ended */
	const char *file;    /* of the piece being read */
	char unknown[64];    /* the key that nobody knows, of the last error; "": it was another */
	int line;
} parse;

static struct note *note_of(const cfg_opt_t *opt)
{
	for (size_t i = 0; i < parse.count; i++) {
		size_t k = (parse.found + i) % parse.count;

		if (parse.notes[k].opt == opt) {
			parse.found = k;
			return &parse.notes[k];
		}
	}
	return NULL;
}

/* A list calls this for each value and once more at its end; so a second assignment shows as a count that falls, or
 * as a third call with one value. */
static int noted(cfg_t *cfg, cfg_opt_t *opt)
{
	struct config_at at = { parse.file, cfg->line };
	struct note *note = note_of(opt);
	bool is_list = (opt->flags & CFGF_LIST) != 0;

	if (!note) {
		parse.notes = mem_realloc(parse.notes, parse.count + 1, sizeof(*parse.notes));
		parse.notes[parse.count] = (struct note){ opt, at, opt->nvalues, 1, false };
		parse.found = parse.count++;
		return 0;
	}
	note->firsts += opt->nvalues == 1;
	if (!note->is_told && (!is_list || opt->nvalues < note->values || note->firsts > 2)) {
		note->is_told = true;
		config_error(parse.load, &at, "'%s' is set twice, first in %s:%d - remove one of them", opt->name,
			     note->at.file, note->at.line);
	}
	note->values = opt->nvalues;
	return 0;
}

/* Those that are only there to be refused are told apart by this. */
static int noted_refused(cfg_t *cfg, cfg_opt_t *opt)
{
	return noted(cfg, opt);
}

static void say_unknown(cfg_t *cfg, const struct config_at *at)
{
	const char *names[64], *nearest, *name = parse.unknown;
	bool is_main = strcmp(cfg->name, "root") == 0;
	char where[160] = "";
	size_t count = 0;

	for (cfg_opt_t *opt = cfg->opts; opt->name && count < 64; opt++)
		if (opt->validcb != noted_refused)
			names[count++] = opt->name;
	if (!is_main)
		snprintf(where, sizeof(where), " in %s%s%.60s%s", cfg->name, cfg->title ? " \"" : "",
			 cfg->title ? cfg->title : "", cfg->title ? "\"" : "");
	nearest = config_nearest(name, names, count);
	if (nearest) {
		config_error(parse.load, at, "unknown key '%s'%s - did you mean '%s'?", name, where, nearest);
	} else {
		char list[768] = "";

		for (size_t i = 0; i < count; i++)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? " " : "", names[i]);
		config_error(parse.load, at, "unknown key '%s'%s - known here: %s", name, where, list);
	}
}

/* The library's message and what was probably meant. */
static const struct {
	const char *start, *hint;
} hints[] = {
	{ "unexpected token '{'", "this key takes one value, without braces" },
	{ "unexpected token", "a value is one word or quoted text, a list is {\"a\", \"b\"}" },
	{ "missing equal sign", "write KEY = VALUE" },
	{ "missing title", "write NAME \"title\" { … }" },
	{ "missing opening brace", "a section is NAME { … } or NAME \"title\" { … }" },
	{ "attempt to append", "write = instead of +=" },
	{ "premature end", "the last line is not complete" },
};

static void failed(cfg_t *cfg, const char *format, va_list args)
{
	struct config_at at = { parse.file, cfg->line };
	const char *hint = NULL;
	char text[512];

	vsnprintf(text, sizeof(text), format, args);
	parse.line = cfg->line;
	parse.unknown[0] = '\0';
	if (sscanf(text, "no such option '%63[^']'", parse.unknown) == 1) {
		say_unknown(cfg, &at);
		return;
	}
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]) && !hint; i++)
		if (strncmp(text, hints[i].start, strlen(hints[i].start)) == 0)
			hint = hints[i].hint;
	config_error(parse.load, &at, "%s%s%s", text, hint ? " - " : "", hint ? hint : "");
}

/* One word, or a list of them. */
static bool is_list(const struct config_key *key)
{
	return key->kind == CONFIG_KIND_LIST || key->kind == CONFIG_KIND_AUTH || key->kind == CONFIG_KIND_REFUSED;
}

/* The library's table for one of ours, with the ones inside; the caller frees it with free_options(). */
static cfg_opt_t *options(const struct config_section *section)
{
	cfg_opt_t *opts = mem_calloc(section->count + 1, sizeof(*opts));

	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->kind == CONFIG_KIND_SECTION)
			opts[i] = (cfg_opt_t)CFG_SEC(key->name, options(key->section),
						     config_keys_has_title(key->section) ? CFGF_MULTI | CFGF_TITLE
											 : CFGF_NONE);
		else if (is_list(key))
			opts[i] = (cfg_opt_t)CFG_STR_LIST(key->name, NULL, CFGF_NODEFAULT);
		else
			opts[i] = (cfg_opt_t)CFG_STR(key->name, NULL, CFGF_NODEFAULT);
		if (key->kind != CONFIG_KIND_SECTION)
			opts[i].validcb = key->kind == CONFIG_KIND_REFUSED ? noted_refused : noted;
	}
	return opts;
}

static void free_options(cfg_opt_t *opts)
{
	for (cfg_opt_t *opt = opts; opt->name; opt++)
		if (opt->type == CFGT_SEC)
			free_options(opt->subopts);
	mem_free(opts);
}

/* False: to be begun anew, an unknown statement was taken out. */
static bool read_piece(cfg_t *cfg, struct config_piece *piece)
{
	FILE *stream;
	int result;

	if (piece->is_broken || piece->len == 0)
		return true;
	stream = fmemopen(piece->text, piece->len, "r");
	if (!stream) {
		config_error(parse.load, NULL, "out of memory");
		return true;
	}
	parse.file = piece->file;
	parse.unknown[0] = '\0';
	result = cfg_parse_fp(cfg, stream);
	fclose(stream);
	if (result == CFG_SUCCESS)
		return true;
	if (parse.unknown[0] && config_text_blank(piece, parse.line, parse.unknown))
		return false;
	piece->is_broken = true;
	parse.load->is_incomplete = true;
	return true;
}

static cfg_t *read_all(cfg_opt_t *opts)
{
	struct config_load *load = parse.load;
	cfg_t *cfg = NULL;

	for (int round = 0; round < RESTARTS_MAX; round++) {
		bool is_done = true;

		parse.count = parse.found = 0;
		cfg = cfg_init(opts, CFGF_NONE);
		if (!cfg)
			return NULL;
		cfg_set_error_function(cfg, failed);
		for (size_t i = 0; i < load->piece_count && is_done; i++)
			is_done = read_piece(cfg, &load->pieces[i]);
		if (is_done)
			return cfg;
		cfg_free(cfg);
	}
	return NULL;
}

static void fill(cfg_t *cfg, const struct config_section *section, char *object, const struct config_at *begin);

static void fill_key(cfg_t *cfg, const struct config_key *key, char *object, const struct config_at *begin)
{
	cfg_opt_t *opt = cfg_getopt(cfg, key->name);
	struct note *note = note_of(opt);
	const char **values;

	/* An empty list is given too, but calls no validator. */
	if (!note && !(is_list(key) && opt->flags & CFGF_MODIFIED))
		return;
	values = mem_calloc(opt->nvalues + 1, sizeof(*values));
	for (unsigned i = 0; i < opt->nvalues; i++)
		values[i] = cfg_opt_getnstr(opt, i) ? cfg_opt_getnstr(opt, i) : "";
	config_values_set(parse.load, object, key, note ? note->at : *begin, values, note ? opt->nvalues : 0);
	mem_free(values);
}

static struct config_at begin_of(const char *section, const char *title)
{
	const struct config_at *at = config_text_place(parse.load, section, title);

	return at ? *at : (struct config_at){ parse.load->config->file, 0 };
}

static void fill_listener(cfg_t *cfg, const struct config_section *section, struct config_listener *out)
{
	out->at = begin_of(section->name, cfg->title);
	out->name = config_keep(parse.load, span_str(cfg->title));
	out->socket_mode = 0666;
	out->trust = true;
	fill(cfg, section, (char *)out, &out->at);
	config_listener_check(parse.load, out);
}

static void fill_smarthost(cfg_t *cfg, const struct config_section *section, struct config_smarthost *out)
{
	config_host_defaults(parse.load->config, out);
	out->at = begin_of(section->name, cfg->title);
	out->name = config_keep(parse.load, span_str(cfg->title));
	fill(cfg, section, (char *)out, &out->at);
	config_host_check(parse.load, out);
}

static void fill_mx(cfg_t *cfg, const struct config_section *section, struct config_smarthost *out)
{
	out->at = begin_of(section->name, "");
	out->reconnect = parse.load->config->reconnect;
	out->timeouts = parse.load->config->timeouts;
	fill(cfg, section, (char *)out, &out->at);
	config_mx_check(parse.load, out);
}

static void fill_domain(cfg_t *cfg, const struct config_section *section, struct config_domain *out)
{
	out->at = begin_of(section->name, cfg->title);
	out->pattern = config_keep(parse.load, span_str(cfg->title));
	out->mx = parse.load->config->mx;
	out->mx.at = out->at;
	fill(cfg, section, (char *)&out->mx, &out->at);
	config_mx_domain(parse.load, out);
}

static void fill_route(cfg_t *cfg, const struct config_section *section, struct config_route *out)
{
	out->at = begin_of(section->name, cfg->title);
	out->name = config_keep(parse.load, span_str(cfg->title));
	out->retry = parse.load->config->retry;
	out->lifetime_ms = parse.load->config->queue.lifetime_ms;
	out->warn_after_ms = parse.load->config->queue.warn_after_ms;
	fill(cfg, section, (char *)out, &out->at);
	config_via_route(parse.load, out);
}

static void fill_submitter(cfg_t *cfg, const struct config_section *section, struct config_submitter *out)
{
	out->at = begin_of(section->name, cfg->title);
	out->name = config_keep(parse.load, span_str(cfg->title));
	out->rate.per_ms = out->quota.per_ms = 1000;
	fill(cfg, section, (char *)out, &out->at);
}

static void fill_identity(cfg_t *cfg, const struct config_section *section, struct config_identity *out)
{
	out->at = begin_of(section->name, cfg->title);
	out->name = config_keep(parse.load, span_str(cfg->title));
	fill(cfg, section, (char *)out, &out->at);
}

static void fill_titled(cfg_t *cfg, const struct config_section *section)
{
	struct config *config = parse.load->config;
	unsigned count = cfg_size(cfg, section->name);

	switch (section->titled) {
	case CONFIG_UNTITLED:
	case CONFIG_MX: break;
	case CONFIG_DOMAIN:
		config->domains = config_alloc(parse.load, count, sizeof(*config->domains));
		config->domain_count = count;
		break;
	case CONFIG_LISTENER:
		config->listeners = config_alloc(parse.load, count, sizeof(*config->listeners));
		config->listener_count = count;
		break;
	case CONFIG_SMARTHOST:
		config->smarthosts = config_alloc(parse.load, count, sizeof(*config->smarthosts));
		config->smarthost_count = count;
		break;
	case CONFIG_ROUTE:
		config->routes = config_alloc(parse.load, count, sizeof(*config->routes));
		config->route_count = count;
		break;
	case CONFIG_SUBMITTER:
		config->submitters = config_alloc(parse.load, count, sizeof(*config->submitters));
		config->submitter_count = count;
		break;
	case CONFIG_IDENTITY:
		config->identities = config_alloc(parse.load, count, sizeof(*config->identities));
		config->identity_count = count;
		break;
	}
	for (unsigned i = 0; i < count; i++) {
		cfg_t *inner = cfg_getnsec(cfg, section->name, i);

		switch (section->titled) {
		case CONFIG_UNTITLED:
		case CONFIG_MX: break;
		case CONFIG_DOMAIN: fill_domain(inner, section, &config->domains[i]); break;
		case CONFIG_LISTENER: fill_listener(inner, section, &config->listeners[i]); break;
		case CONFIG_SMARTHOST: fill_smarthost(inner, section, &config->smarthosts[i]); break;
		case CONFIG_ROUTE: fill_route(inner, section, &config->routes[i]); break;
		case CONFIG_SUBMITTER: fill_submitter(inner, section, &config->submitters[i]); break;
		case CONFIG_IDENTITY: fill_identity(inner, section, &config->identities[i]); break;
		}
	}
}

/* Keys first, then sections without a title, then those with one in the order of the table: later ones inherit. */
static void fill(cfg_t *cfg, const struct config_section *section, char *object, const struct config_at *begin)
{
	for (size_t i = 0; i < section->count; i++)
		if (section->keys[i].kind != CONFIG_KIND_SECTION)
			fill_key(cfg, &section->keys[i], object, begin);
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->kind != CONFIG_KIND_SECTION || config_keys_has_title(key->section))
			continue;
		if (key->section->titled == CONFIG_MX) {
			fill_mx(cfg_getsec(cfg, key->name), key->section, &parse.load->config->mx);
			continue;
		}
		/* An object inside another is told apart by its address: that of the section's first field. */
		struct config_at at = object == (char *)parse.load->config ? begin_of(key->name, "") : *begin;

		fill(cfg_getsec(cfg, key->name), key->section, object + key->offset, &at);
	}
	for (size_t i = 0; i < section->count; i++)
		if (section->keys[i].kind == CONFIG_KIND_SECTION && config_keys_has_title(section->keys[i].section))
			fill_titled(cfg, section->keys[i].section);
}

void config_parse_pieces(struct config_load *load)
{
	const struct config_section *root = config_keys_root();
	struct config_at begin = { load->config->file, 0 };
	cfg_opt_t *opts = options(root);
	cfg_t *cfg;

	parse.load = load;
	cfg = read_all(opts);
	if (cfg) {
		fill(cfg, root, (char *)load->config, &begin);
		cfg_free(cfg);
	} else {
		load->is_incomplete = true;
		if (!load->mistakes)
			config_error(load, NULL, "out of memory");
	}
	free_options(opts);
	mem_free(parse.notes);
	memset(&parse, 0, sizeof(parse));
}
