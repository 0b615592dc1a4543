#include "net/tls_demand.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "net/tlsa.h"

enum { COPY_MAX = 512 * 1024 };

static const char *keep(struct tls_demand_copy *copy, const char *text)
{
	return mem_arena_dup(&copy->arena, span_str(text));
}

static bool copy_names(const struct tls_demand *demand, struct tls_demand_copy *out)
{
	const char *first = demand->check_name ? demand->check_name : demand->name;

	out->names = mem_arena_alloc(&out->arena, (1 + demand->more_name_count) * sizeof(*out->names));
	if (!out->names)
		return false;
	if (first && !(out->names[out->name_count++] = keep(out, first)))
		return false;
	for (size_t i = 0; i < demand->more_name_count; i++)
		if (!(out->names[out->name_count++] = keep(out, demand->more_names[i])))
			return false;
	return true;
}

static bool copy_pins(const struct tls_demand *demand, struct tls_demand_copy *out)
{
	size_t len = 1;
	char *at;

	if (!demand->verify || demand->pin_count == 0)
		return true;
	for (size_t i = 0; i < demand->pin_count; i++)
		len += strlen(demand->pins[i]) + 1;
	out->pins = at = mem_arena_alloc(&out->arena, len);
	for (size_t i = 0; at && i < demand->pin_count; i++)
		at = stpcpy(at, demand->pins[i]) + 1;
	if (at)
		*at = '\0';
	return at != NULL;
}

static bool copy_tlsa(const struct tls_demand *demand, struct tls_demand_copy *out)
{
	if (!demand->verify || !demand->tlsa)
		return true;
	out->tlsa = mem_arena_alloc(&out->arena, (demand->tlsa_count + 1) * sizeof(*out->tlsa));
	if (!out->tlsa)
		return false;
	out->tlsa_count = tlsa_choose(demand->tlsa, demand->tlsa_count, out->tlsa);
	for (size_t i = 0; i < out->tlsa_count; i++) {
		struct span *data = &out->tlsa[i].data;

		data->data = mem_arena_dup(&out->arena, *data);
		if (!data->data)
			return false;
	}
	return true;
}

static void mix(struct crypto_sha256 *h, const void *data, size_t len)
{
	uint64_t head = len;

	crypto_sha256_update(h, &head, sizeof(head));
	crypto_sha256_update(h, data, len);
}

static void mix_text(struct crypto_sha256 *h, const char *text)
{
	mix(h, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void mix_list(struct crypto_sha256 *h, const char *const *list, size_t count)
{
	mix(h, &count, sizeof(count));
	for (size_t i = 0; i < count; i++)
		mix_text(h, list[i]);
}

/* Everything that a peer once had to fulfil, or that we showed of ourselves. */
static void digest_of(const struct tls_demand *demand, const struct tls_demand_copy *copy,
		      uint8_t out[CRYPTO_SHA256_LEN])
{
	struct crypto_sha256 *h = crypto_sha256_new();
	const char *const texts[] = { demand->name,     demand->ca_file,  demand->minimum, demand->certificate_file,
				      demand->key_file, demand->cache_key };
	const uint8_t flags[] = { copy->verify, copy->only_notes, copy->tlsa != NULL };

	mix(h, flags, sizeof(flags));
	mix_list(h, texts, sizeof(texts) / sizeof(texts[0]));
	mix_list(h, copy->names, copy->name_count);
	mix_list(h, demand->pins, copy->pins ? demand->pin_count : 0);
	for (size_t i = 0; i < copy->tlsa_count; i++) {
		const struct tls_tlsa *t = &copy->tlsa[i];
		const uint8_t head[] = { t->usage, t->selector, t->matching };

		mix(h, head, sizeof(head));
		mix(h, t->data.data, t->data.len);
	}
	crypto_sha256_final(h, out);
	crypto_sha256_free(h);
}

static bool name_tickets(const struct tls_demand *demand, struct tls_demand_copy *out)
{
	uint8_t digest[CRYPTO_SHA256_LEN];
	char text[2 * CRYPTO_SHA256_LEN + 1];

	if (!demand->cache_key)
		return true;
	digest_of(demand, out, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return (out->cache_key = keep(out, text)) != NULL;
}

bool tls_demand_copy(const struct tls_demand *demand, struct tls_demand_copy *out, char *why, size_t why_size)
{
	*out = (struct tls_demand_copy){ .verify = demand->verify, .only_notes = demand->only_notes };
	mem_arena_init(&out->arena, COPY_MAX);
	if (!copy_names(demand, out) || !copy_pins(demand, out) || !copy_tlsa(demand, out) ||
	    !name_tickets(demand, out)) {
		snprintf(why, why_size, "more is demanded of the peer than can be kept");
		return false;
	}
	if (demand->verify && out->name_count == 0 && !out->pins) {
		snprintf(why, why_size, "nothing to check the certificate against: no name and no pin");
		return false;
	}
	return true;
}

void tls_demand_free(struct tls_demand_copy *copy)
{
	mem_arena_fini(&copy->arena);
}
