/*
 * tlsrpt_count - what became of TLS towards one domain on one day: counted, and written to and read from the record in
 *                which it is kept in the queue's state. Pure.
 *
 * Owns:    its texts, in an arena with a cap; what is beyond TLSRPT_FAILURES kinds of failure, or TLSREPORT_POLICIES
 *          policies, is counted as one.
 * Threads: any, one object per thread.
 */
#ifndef TLSRPT_COUNT_H
#define TLSRPT_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "delivery/tlsrpt.h"
#include "message/tlsreport.h"

enum {
	TLSRPT_COUNT_RECORD = 64 * 1024,
	TLSRPT_COUNT_MAILED = 1 << 0, /* flags: the report was queued as mail, or nobody wants it so */
	TLSRPT_COUNT_POSTED = 1 << 1, /* it was posted by HTTPS, or nobody wants it so */
	TLSRPT_COUNT_DONE = TLSRPT_COUNT_MAILED | TLSRPT_COUNT_POSTED,
};

struct tlsrpt_count {
	struct list node; /* the owner's */
	struct mem_arena arena;
	int64_t day;
	const char *domain;
	unsigned flags;
	uint64_t others; /* sessions that are not there for a report of ours */
	struct tlsreport_policy *policies[TLSREPORT_POLICIES];
	size_t policy_count;
	bool is_dirty; /* the owner's */
	bool is_writing;
	bool is_saved; /* it has a record in the queue's state */
};

struct tlsrpt_count *tlsrpt_count_new(int64_t day, const char *domain);
void tlsrpt_count_free(struct tlsrpt_count *count); /* NULL is fine */
/* `is_own`: it may be there for nothing but a report of ours. */
void tlsrpt_count_note(struct tlsrpt_count *count, const struct tlsrpt_session *session, bool is_own);
/* Bytes of memory that it takes. */
size_t tlsrpt_count_size(const struct tlsrpt_count *count);

/* The record: form 1 (1), flags 1, day 4, others 8, domain, policies 1, and of each: type 1, success 8, failure 8, strings
 * 1 and each, mx 1 and each, failures 1, and of each: six texts in the order of struct tlsreport_failure, count 8. A text
 * is its length 2 and its bytes; numbers are big-endian. */
bool tlsrpt_count_write(struct buf *out, const struct tlsrpt_count *count);
/* NULL: it is no such record. */
struct tlsrpt_count *tlsrpt_count_read(struct span record);

#endif
