#include "smtp/sasl_scram.h"

#include <stdint.h>

#include "base/text.h"

/* Takes "x=value" up to the comma, which goes as well; the value is 1 to `max` bytes. */
static bool take(struct span *rest, char name, size_t max, struct span *out)
{
	size_t at = span_find(*rest, ',');

	if (at < 3 || at - 2 > max || rest->data[0] != name || rest->data[1] != '=')
		return false;
	*out = span_of(rest->data + 2, at - 2);
	*rest = span_from(*rest, at + 1);
	return true;
}

const char *sasl_scram_first_mistake(struct span message)
{
	struct span nonce, salt, count;
	uint64_t iterations;

	if (!take(&message, 'r', SASL_SCRAM_NONCE_MAX, &nonce) || !take(&message, 's', SASL_SCRAM_SALT_MAX, &salt) ||
	    !take(&message, 'i', 20, &count) || !text_number(count, UINT64_MAX, &iterations))
		return "the server's challenge makes no sense";
	if (iterations < SASL_SCRAM_ITERATIONS_MIN)
		return "the server's challenge would make the password easy to guess (too few iterations)";
	if (iterations > SASL_SCRAM_ITERATIONS_MAX)
		return "the server's challenge would take too long to answer (too many iterations)";
	return NULL;
}

bool sasl_scram_is_error(struct span message, struct span *out_error)
{
	if (message.len < 3 || message.data[0] != 'e' || message.data[1] != '=')
		return false;
	*out_error = span_first(span_from(message, 2), span_find(span_from(message, 2), ','));
	return true;
}
