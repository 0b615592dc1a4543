#include "smtp/sasl_oauth.h"

#include "base/text.h"

bool sasl_oauth_is_token(struct span token)
{
	size_t len = token.len;

	while (len && token.data[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		char c = span_lower(token.data[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c && strchr("-._~+/", c)))
			return false;
	}
	return len > 0;
}

bool sasl_oauth_is_user(struct span user)
{
	for (size_t i = 0; i < user.len; i++)
		if ((unsigned char)user.data[i] < ' ' || user.data[i] == 0x7f)
			return false;
	return user.len > 0 && text_is_utf8(user);
}

/* RFC 5801, 4: saslname. */
static bool append_name(struct buf *out, struct span name)
{
	bool good = true;

	for (size_t i = 0; good && i < name.len; i++) {
		char c = name.data[i];

		good = c == ',' ? buf_append_str(out, "=2C")
				: (c == '=' ? buf_append_str(out, "=3D") : buf_append_char(out, c));
	}
	return good;
}

bool sasl_oauth_bearer(struct buf *out, struct span user, struct span token, const char *host, uint16_t port)
{
	return buf_append_str(out, "n,a=") && append_name(out, user) && buf_append_str(out, ",\1") &&
	       (!host || buf_printf(out, "host=%s\1", host)) && (!port || buf_printf(out, "port=%u\1", port)) &&
	       buf_append_str(out, "auth=Bearer ") && buf_append_span(out, token) && buf_append_str(out, "\1\1");
}

bool sasl_oauth_xoauth2(struct buf *out, struct span user, struct span token)
{
	return buf_append_str(out, "user=") && buf_append_span(out, user) && buf_append_str(out, "\1auth=Bearer ") &&
	       buf_append_span(out, token) && buf_append_str(out, "\1\1");
}
