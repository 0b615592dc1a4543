#include "net/tls_names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"

enum { NAMES_SHOWN = 4 };

/* One alternative name at a time. False: there are no more. `out` is "" for what is no host name. */
static bool name_at(gnutls_x509_crt_t crt, unsigned seq, char out[256], int *out_type)
{
	size_t len = 255;

	out[0] = '\0';
	*out_type = gnutls_x509_crt_get_subject_alt_name(crt, seq, out, &len, NULL);
	if (*out_type == GNUTLS_E_SHORT_MEMORY_BUFFER) {
		out[0] = '\0';
		return true;
	}
	if (*out_type < 0)
		return false;
	out[len] = '\0';
	if (*out_type == GNUTLS_SAN_IPADDRESS) {
		char text[INET6_ADDRSTRLEN];

		if ((len != 4 && len != 16) || !inet_ntop(len == 4 ? AF_INET : AF_INET6, out, text, sizeof(text)))
			text[0] = '\0';
		snprintf(out, 256, "%s", text);
	} else if (*out_type != GNUTLS_SAN_DNSNAME || strlen(out) != len) {
		out[0] = '\0'; /* also one with a NUL byte in it */
	}
	return true;
}

static bool common_name(gnutls_x509_crt_t crt, unsigned index, char out[256])
{
	size_t len = 256;

	return gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, index, 0, out, &len) >= 0 &&
	       strlen(out) == len;
}

static bool is_below(const char *name, struct span domain)
{
	struct span n = span_str(name);

	if (n.len >= 2 && n.data[0] == '*' && n.data[1] == '.')
		n = span_from(n, 1); /* ".example.org": all of what it covers is below it */
	else if (n.len == domain.len)
		return false;
	return n.len >= domain.len && !memchr(n.data, '*', n.len) &&
	       span_equals_fold(span_from(n, n.len - domain.len), domain);
}

static bool has_name_below(gnutls_x509_crt_t crt, struct span domain)
{
	char name[256];
	bool has_names = false;
	int type;

	for (unsigned seq = 0; name_at(crt, seq, name, &type); seq++) {
		if (type != GNUTLS_SAN_DNSNAME)
			continue;
		has_names = true;
		if (is_below(name, domain))
			return true;
	}
	/* As for host names: a common name counts where it is the only one and there are no others. */
	return !has_names && common_name(crt, 0, name) && is_below(name, domain) && !common_name(crt, 1, name);
}

bool tls_names_fit(gnutls_x509_crt_t crt, const char *name)
{
	if (name[0] == '.')
		return name[1] && has_name_below(crt, span_str(name));
	return gnutls_x509_crt_check_hostname2(crt, name, 0);
}

bool tls_names_fit_one(gnutls_x509_crt_t crt, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (tls_names_fit(crt, names[i]))
			return true;
	return false;
}

void tls_names_print(gnutls_x509_crt_t crt, struct buf *out)
{
	unsigned shown = 0;
	char name[256];
	int type;

	for (unsigned seq = 0; name_at(crt, seq, name, &type); seq++) {
		if (!name[0])
			continue;
		if (shown == NAMES_SHOWN) {
			buf_append_str(out, " and more");
			break;
		}
		buf_printf(out, "%s%s", shown++ ? ", " : "", name);
	}
	if (shown == 0)
		buf_append_str(out, common_name(crt, 0, name) ? name : "nobody");
}
