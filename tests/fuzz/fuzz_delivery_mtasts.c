/* MTA-STS: a TXT record (to the first NUL), then a policy; what is taken is kept, comes back the same, and names no host
 * that it should not. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "delivery/mtasts_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span whole = span_of(data, size), txt = span_first(whole, span_find(whole, '\0'));
	struct mtasts_policy *policy, *back;
	char id[MTASTS_ID_SIZE];
	const char *why = NULL;
	struct buf record;

	mtasts_policy_free(mtasts_policy_read(whole, NULL));
	if (!mtasts_policy_id(txt, id))
		memcpy(id, "a", 2);
	else
		assert(mtasts_policy_is_record(txt) && strlen(id) && strlen(id) < MTASTS_ID_SIZE);
	policy = mtasts_policy_new(span_from(whole, txt.len + 1), id, 1, &why);
	if (!policy) {
		assert(why);
		return 0;
	}
	assert(policy->mode == MTASTS_NONE || policy->mx_count);
	assert(policy->max_age_s >= 0 && policy->max_age_s <= MTASTS_POLICY_AGE_S);
	for (size_t i = 0; i < policy->mx_count; i++) {
		assert(mtasts_names(policy, policy->mx[i]));
		assert(strlen(policy->mx[i]) < 258 && strcmp(policy->mx[i], "*.") != 0);
	}
	buf_init(&record, MTASTS_POLICY_RECORD);
	assert(mtasts_policy_write(&record, "example.org", policy));
	back = mtasts_policy_read(buf_span(&record), "example.org");
	assert(back && back->mode == policy->mode && back->mx_count == policy->mx_count);
	assert(span_equals(back->text, policy->text) && strcmp(back->id, id) == 0);
	mtasts_policy_free(back);
	mtasts_policy_free(policy);
	buf_fini(&record);
	return 0;
}
