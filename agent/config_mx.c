#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"
#include "route.h"
#include "smtp/address.h"

static void check_mta_sts(struct config_load *load, const struct config_smarthost *h)
{
	static const char *const keys[] = { "mta_sts_ca", "mta_sts_port" };

	if (h->tls == CONFIG_TLS_NONE && h->mta_sts && config_where(load, h, "mta_sts"))
		config_error(load, config_where(load, h, "mta_sts"),
			     "mta_sts with tls = none means nothing - remove it, or tls = none");
	for (size_t i = 0; i < 2; i++)
		if (config_where(load, h, keys[i]) && (!h->mta_sts || h->tls == CONFIG_TLS_NONE))
			config_warn(load, config_where(load, h, keys[i]),
				    "%s does nothing where no policy is asked for - remove it", keys[i]);
	if (h->mta_sts_ca && config_where(load, h, "mta_sts_ca"))
		config_check_file(load, config_check_at(load, h, "mta_sts_ca", &h->at), "mta_sts_ca", h->mta_sts_ca,
				  false);
}

static void check_mx(struct config_load *load, struct config_smarthost *h, const char *what)
{
	if (h->tls == CONFIG_TLS_IMPLICIT)
		config_error(load, config_check_at(load, h, "tls", &h->at),
			     "tls = implicit is for submission: MX speak TLS after STARTTLS only - use tls = starttls");
	config_host_transport(load, h, what);
	check_mta_sts(load, h);
}

/* What is right for one domain is wrong for the world. */
static void warn_of_all(struct config_load *load, const struct config_smarthost *h)
{
	static const char *const keys[] = { "tls_name", "tls_pins" };
	const struct config_at *tls = config_where(load, h, "tls");

	if (tls && h->tls == CONFIG_TLS_NONE)
		config_warn(
			load, tls,
			"mx: tls = none: all mail crosses the Internet in clear text - tls = opportunistic encrypts "
			"wherever the other side can");
	else if (tls && (h->tls == CONFIG_TLS_DANE || (h->tls == CONFIG_TLS_STARTTLS && h->tls_verify)))
		config_warn(
			load, tls,
			"mx: tls = %s: mail to the many domains whose servers cannot prove their names will not get "
			"through - demand it in domain sections, and leave mx opportunistic",
			config_host_level(h->tls));
	for (size_t i = 0; i < 2; i++)
		if (config_where(load, h, keys[i]))
			config_warn(load, config_where(load, h, keys[i]),
				    "mx: %s would have to fit the servers of all domains - move it to a domain section",
				    keys[i]);
}

void config_mx_check(struct config_load *load, struct config_smarthost *mx)
{
	check_mx(load, mx, "mx");
	warn_of_all(load, mx);
}

/* ---------------------------------------------------------------- domains */

/* Labels that are not ASCII become A-labels one by one, since those with wildcards are no names. False: one has no such
 * form. */
static bool add_labels(struct span rest, struct buf *out)
{
	char ascii[ADDRESS_DOMAIN_SIZE];

	for (;;) {
		struct span label = span_first(rest, span_find(rest, '.'));
		bool is_wild = span_find(label, '*') < label.len || span_find(label, '?') < label.len;

		if (text_is_ascii(label) ? !label.len : is_wild || !address_domain_ascii(label, ascii))
			return false;
		if (text_is_ascii(label))
			for (size_t i = 0; i < label.len; i++)
				buf_append_char(out, span_lower(label.data[i]));
		else
			buf_append_str(out, ascii);
		if (label.len == rest.len)
			return true;
		buf_append_char(out, '.');
		rest = span_from(rest, label.len + 1);
	}
}

/* As route_domain() writes domains, with wildcards; NULL: nothing fits it. */
static const char *normal_pattern(struct config_load *load, const char *title)
{
	static const char legal[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.*?";
	static const char of_literal[] = "[]0123456789abcdefABCDEF:IPv.*?";
	bool is_wild = strpbrk(title, "*?") != NULL, fits;
	char *mailbox = mem_printf("x@%s", title);
	const char *pattern;
	struct buf out;

	buf_init(&out, 4 * ADDRESS_DOMAIN_SIZE);
	if (!is_wild)
		fits = !strchr(title, '@') && route_domain(load->config, mailbox, &out);
	else if (title[0] == '[')
		fits = strspn(title, of_literal) == strlen(title) && buf_append_str(&out, title);
	else
		fits = add_labels(span_str(title), &out) && strspn(buf_cstr(&out), legal) == out.len;
	pattern = fits && *title ? config_keep(load, buf_span(&out)) : NULL;
	buf_fini(&out);
	mem_free(mailbox);
	return pattern;
}

/* Proofs that mx asks for say nothing beside TLSA records, which a domain asks for instead. */
static void forget_of_mx(struct config_load *load, struct config_smarthost *h)
{
	if (h->tls != CONFIG_TLS_DANE)
		return;
	if (!config_where(load, h, "tls_ca"))
		h->tls_ca = NULL;
	if (!config_where(load, h, "tls_name"))
		h->tls_name = NULL;
	if (!config_where(load, h, "tls_pins"))
		h->tls_pins.count = 0;
	if (!config_where(load, h, "tls_verify"))
		h->tls_verify = true;
}

void config_mx_domain(struct config_load *load, struct config_domain *domain)
{
	const char *pattern = normal_pattern(load, domain->pattern), *behind = strchr(domain->pattern, '@');
	char what[320];

	snprintf(what, sizeof(what), "domain \"%.255s\"", domain->pattern);
	if (!pattern && behind)
		config_error(load, &domain->at, "%s fits no domain, which is what stands behind the @ - write \"%s\"",
			     what, behind + 1);
	else if (!pattern)
		config_error(load, &domain->at, "%s fits no domain - as in \"example.org\" or \"*.example.org\"", what);
	domain->pattern = pattern ? pattern : domain->pattern;
	forget_of_mx(load, &domain->mx);
	if (domain->mx.tls == CONFIG_TLS_DANE && domain->pattern[0] == '[')
		config_error(load, config_check_at(load, &domain->mx, "tls", &domain->at),
			     "%s with tls = dane: an address has no TLSA records - set tls = starttls", what);
	check_mx(load, &domain->mx, what);
}

/* Whether all that fits `narrow` fits `wide`; when in doubt, no. */
static bool covers(const char *wide, const char *narrow)
{
	return !strchr(wide, '?') && text_glob(wide, span_str(narrow));
}

static bool is_way_to_mx(const struct config *config)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (route_place(config->routes[i].target, ROUTE_DIRECT) >= 0)
			return true;
	return false;
}

void config_mx_domains(struct config_load *load)
{
	const struct config *config = load->config;
	const struct config_at *first = config->mx.at.line ? &config->mx.at : NULL;

	for (size_t i = 0; i < config->domain_count; i++) {
		const struct config_domain *domain = &config->domains[i];

		first = first ? first : &domain->at;
		for (size_t k = 0; k < i; k++)
			if (covers(config->domains[k].pattern, domain->pattern)) {
				config_warn(
					load, &domain->at,
					"domain \"%s\" is never used: \"%s\" (%s:%d) before it fits all that it fits",
					domain->pattern, config->domains[k].pattern, config->domains[k].at.file,
					config->domains[k].at.line);
				break;
			}
	}
	if (first && !is_way_to_mx(config))
		config_warn(load, first, "no route leads to the MX of domains - add route \"rest\" { via = {\"mx\"} }");
}
