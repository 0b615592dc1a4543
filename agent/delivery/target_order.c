#include "delivery/target_order.h"

static void swap(struct dns_record *a, struct dns_record *b)
{
	struct dns_record c = *a;

	*a = *b;
	*b = c;
}

/* Stable, so that a shuffle survives; an answer has few records. */
static void sort(struct dns_record *records, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t at = i; at && records[at - 1].preference > records[at].preference; at--)
			swap(&records[at - 1], &records[at]);
}

void target_order_mx(struct dns_record *records, size_t count, struct chance *chance)
{
	for (size_t i = count; i > 1; i--)
		swap(&records[i - 1], &records[chance_below(chance, i)]);
	sort(records, count);
}

/* The one that comes first: a point within the sum of the weights lies in one of them; those of weight 0 lie in front, so
 * that only the point 0 meets one of them. */
static size_t draw(const struct dns_record *records, size_t count, struct chance *chance)
{
	uint64_t sum = 0, point;

	for (size_t i = 0; i < count; i++)
		sum += records[i].weight;
	point = chance_below(chance, sum + 1);
	sum = 0;
	for (size_t i = 0; i < count; i++)
		if (records[i].weight == 0 && point == 0)
			return i;
	for (size_t i = 0; i < count; i++) {
		sum += records[i].weight;
		if (records[i].weight && sum >= point)
			return i;
	}
	return 0;
}

void target_order_srv(struct dns_record *records, size_t count, struct chance *chance)
{
	target_order_mx(records, count, chance); /* among weights of 0 nobody is always the first */
	for (size_t i = 0, end; i < count; i++) {
		for (end = i; end < count && records[end].preference == records[i].preference; end++)
			;
		swap(&records[i], &records[i + draw(records + i, end - i, chance)]);
	}
}
