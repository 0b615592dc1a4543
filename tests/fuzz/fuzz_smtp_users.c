/*
 * Any bytes as a users file: whoever is found can be found again, nobody has a secret that could be a password, and what
 * an edit writes is read as meant.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_edit(struct span text, const char *name, const char *secret, const struct users *before)
{
	struct buf out, errors;
	struct users *after;
	bool had;

	buf_init(&out, 1 << 20);
	buf_init(&errors, 1 << 20);
	assert(users_edit(text, name, secret, &out, &had));
	after = users_parse(buf_span(&out), "f", &errors);
	assert((users_find(after, name) != NULL) == (secret != NULL));
	if (secret)
		assert(strcmp(users_find(after, name)->secret, secret) == 0);
	for (size_t i = 0; i < users_count(before); i++) {
		const struct users_entry *entry = users_at(before, i);

		if (strcmp(entry->name, name) != 0)
			assert(strcmp(users_find(after, entry->name)->secret, entry->secret) == 0);
	}
	users_free(after);
	buf_fini(&out);
	buf_fini(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char secret[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";
	struct span text = span_of(data, size);
	struct users *users;
	struct buf errors;

	if (size > 16384)
		return 0;
	buf_init(&errors, 1 << 20);
	users = users_parse(text, "f", &errors);
	for (size_t i = 0; i < users_count(users); i++) {
		const struct users_entry *entry = users_at(users, i);
		struct scram_verifier verifier;

		assert(users_find(users, entry->name) == entry);
		assert(!users_secret_mistake(span_str(entry->secret)));
		assert(entry->has_scram || entry->secret[0] == '$');
		for (enum scram_hash hash = 0; hash < SCRAM_HASHES; hash++)
			assert(users_verifier(entry, hash, &verifier) == !!(entry->has_scram & 1u << hash));
		if (i < 4) {
			check_edit(text, entry->name, NULL, users);
			check_edit(text, entry->name, secret, users);
		}
	}
	check_edit(text, "alice", secret, users);
	users_free(users);
	buf_fini(&errors);
	return 0;
}
