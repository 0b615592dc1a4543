#include "delivery/refusal.h"

#include <stddef.h>

/* Details of the status x.7.y (RFC 3463, 3.8; RFC 7372, 3). */
static const struct {
	unsigned detail;
	bool only_permanent, only_strangers;
} rows[] = {
	{ 1, true, true },    /* not authorised: much is said by it, this among it */
	{ 23, false, false }, /* SPF */
	{ 25, false, false }, /* reverse DNS */
	{ 27, false, false }, /* by the book a null MX of the sender (RFC 7505); by large providers SPF */
};

/* Lower case; said with any code, or none of the above. */
static const char *const words[] = {
	"ipv6 sending guidelines", "ptr record",  "reverse dns", "rdns", "reverse lookup", "reverse hostname", "no ptr",
	"reverse mapping",         "ipv6 is not", "over ipv6",   NULL,
};

static bool says(struct span text)
{
	for (size_t w = 0; words[w]; w++) {
		struct span word = span_str(words[w]);

		for (size_t i = 0; i + word.len <= text.len; i++)
			if (span_starts_fold(span_from(text, i), word))
				return true;
	}
	return false;
}

bool refusal_is_of_origin(const struct reply *reply, bool is_relay)
{
	const struct reply_status *status = &reply->status;

	if (reply->code < 400)
		return false;
	for (size_t i = 0; status->class && status->subject == 7 && i < sizeof rows / sizeof rows[0]; i++)
		if (status->detail == rows[i].detail && !(rows[i].only_permanent && reply->code < 500) &&
		    !(rows[i].only_strangers && is_relay))
			return true;
	return says(reply->text);
}
