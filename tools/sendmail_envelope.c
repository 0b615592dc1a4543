#include "tools/sendmail_envelope.h"

#include "base/text.h"

static bool needs_utf8(const struct sendmail_envelope *e)
{
	bool needs = !text_is_ascii(span_str(e->sender));

	for (size_t i = 0; i < e->recipient_count && !needs; i++)
		needs = !text_is_ascii(span_str(e->recipients[i]));
	return needs;
}

bool sendmail_envelope_mail(const struct sendmail_envelope *e, unsigned features, struct buf *out)
{
	bool ok = buf_printf(out, "MAIL FROM:<%s>", e->sender);

	if (features & SENDMAIL_ENVELOPE_SIZE)
		ok = ok && buf_printf(out, " SIZE=%llu", (unsigned long long)e->size_bytes);
	if (e->is_8bit && (features & SENDMAIL_ENVELOPE_8BITMIME))
		ok = ok && buf_append_str(out, " BODY=8BITMIME");
	if ((features & SENDMAIL_ENVELOPE_SMTPUTF8) && needs_utf8(e))
		ok = ok && buf_append_str(out, " SMTPUTF8");
	if (e->ret && (features & SENDMAIL_ENVELOPE_DSN))
		ok = ok && buf_printf(out, " RET=%s", e->ret);
	if (e->envid && (features & SENDMAIL_ENVELOPE_DSN))
		ok = ok && buf_append_str(out, " ENVID=") && text_xtext_encode(out, span_str(e->envid));
	return ok;
}

bool sendmail_envelope_rcpt(const struct sendmail_envelope *e, size_t i, unsigned features, struct buf *out)
{
	bool ok = buf_printf(out, "RCPT TO:<%s>", e->recipients[i]);

	if (e->notify && (features & SENDMAIL_ENVELOPE_DSN))
		ok = ok && buf_printf(out, " NOTIFY=%s", e->notify);
	return ok;
}
