#include "helper/fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "helper/protocol.h"

enum {
	FIRST_FREE = 3,
	CONNECT_MS = 15 * 1000,
	SLOW_BYTES = 16, /* a second, on average over SLOW_S */
	SLOW_S = 30,
	GRACE_MS = 1000, /* the process keeps the time itself; this much later it is ended */
	ADDRESSES = 16,
};

struct fetch {
	struct list node;
	struct fetch_set *set;
	char *request;
	size_t len;
	int64_t timeout_ms;
	pid_t pid; /* 0: no process */
	int fd;    /* where its answer comes from */
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task; /* an answer that was known at once */
	struct buf answer;
	void (*done)(void *arg, struct span answer);
	void *arg;
};

struct fetch_set {
	struct loop *loop;
	struct list running, waiting;
	size_t running_count, waiting_count;
};

/* ---------------------------------------------------------------- in the process */

struct work {
	struct protocol_fetch request;
	char *url, *ca_file, *header;
	struct curl_slist *resolve, *headers;
	struct buf body;
	bool is_too_large;
	char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct work *work = arg;

	if (buf_append(&work->body, data, size * count))
		return size * count;
	work->is_too_large = true;
	return 0;
}

/* "192.0.2.1,2001:db8::1" as libcurl wants it: behind host and port, IPv6 in brackets. False: none of it is one. */
static bool pin_addresses(struct work *work)
{
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL, address[INET6_ADDRSTRLEN];
	struct span rest = work->request.addresses;
	unsigned char binary[sizeof(struct in6_addr)];
	int count = 0;
	struct buf line;

	buf_init(&line, 4096);
	if (curl_url_set(url, CURLUPART_URL, work->url, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		buf_printf(&line, "%s:%s:", host, port);
	while (host && port && rest.len && count < ADDRESSES) {
		struct span one = span_first(rest, span_find(rest, ','));

		rest = span_from(rest, one.len + 1);
		if (!one.len || one.len >= sizeof address)
			continue;
		snprintf(address, sizeof address, "%.*s", SPAN_ARGS(one));
		if (inet_pton(AF_INET, address, binary) == 1)
			buf_printf(&line, "%s%s", count++ ? "," : "", address);
		else if (inet_pton(AF_INET6, address, binary) == 1)
			buf_printf(&line, "%s[%s]", count++ ? "," : "", address);
	}
	work->resolve = count ? curl_slist_append(NULL, buf_cstr(&line)) : NULL;
	buf_fini(&line);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return work->resolve;
}

static bool is_about_tls(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
	       code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER ||
	       code == CURLE_SSL_INVALIDCERTSTATUS || code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
}

/* All that is not at libcurl's own careful default. CURLE_OK, or what an option is not good for. */
static CURLcode configure(CURL *curl, struct work *work, int64_t timeout_ms)
{
	CURLcode code = CURLE_OK;

#define SET(option, value)                                        \
	if (code == CURLE_OK) {                                   \
		code = curl_easy_setopt(curl, (option), (value)); \
	}
	SET(CURLOPT_URL, work->url)
	SET(CURLOPT_PROTOCOLS_STR, "https")
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https")
	SET(CURLOPT_FOLLOWLOCATION, 0L)
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L)
	SET(CURLOPT_PROXY, "")
	SET(CURLOPT_NOPROXY, "*")
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED)
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1)
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2)
	SET(CURLOPT_SSL_VERIFYPEER, 1L)
	SET(CURLOPT_SSL_VERIFYHOST, 2L)
	if (work->ca_file) {
		SET(CURLOPT_CAINFO, work->ca_file)
		SET(CURLOPT_CAPATH, NULL)
	}
	if (work->resolve)
		SET(CURLOPT_RESOLVE, work->resolve)
	SET(CURLOPT_NOSIGNAL, 1L)
	SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms)
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS))
	SET(CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES)
	SET(CURLOPT_LOW_SPEED_TIME, (long)SLOW_S)
	SET(CURLOPT_USERAGENT, "sendoff")
	SET(CURLOPT_WRITEFUNCTION, on_body)
	SET(CURLOPT_WRITEDATA, work)
	SET(CURLOPT_ERRORBUFFER, work->error)
	if (work->header) {
		SET(CURLOPT_POST, 1L)
		SET(CURLOPT_POSTFIELDSIZE, (long)work->request.body.len)
		SET(CURLOPT_POSTFIELDS, work->request.body.data)
		SET(CURLOPT_HTTPHEADER, work->headers)
	}
#undef SET
	return code;
}

static CURLcode perform(CURL *curl, struct work *work, int64_t timeout_ms)
{
	CURLcode code;

	if (work->header) {
		/* A body is small: no waiting for "100 Continue". */
		work->headers = curl_slist_append(curl_slist_append(NULL, work->header), "Expect:");
	}
	if (work->request.addresses.len && !pin_addresses(work)) {
		snprintf(work->error, sizeof work->error, "the URL or the addresses of its host are not usable");
		return CURLE_URL_MALFORMAT;
	}
	code = configure(curl, work, timeout_ms);
	return code == CURLE_OK ? curl_easy_perform(curl) : code;
}

static void tell_answer(CURL *curl, struct work *work, CURLcode code, struct buf *out)
{
	struct protocol_answer answer = { .ok = code == CURLE_OK, .is_tls = is_about_tls(code) };
	const char *type = NULL;
	long status = 0;
	struct buf text;

	buf_init(&text, PROTOCOL_TEXT);
	if (answer.ok) {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
		answer.status = status > 0 && status < 1000 ? (uint16_t)status : 0;
		answer.body = buf_span(&work->body);
		text_clean(&text, span_str(type ? type : ""), 200);
	} else if (work->is_too_large) {
		buf_printf(&text, "the answer is larger than %u bytes", work->request.max_bytes);
	} else {
		text_clean(&text, span_str(work->error[0] ? work->error : curl_easy_strerror(code)), 300);
	}
	answer.text = buf_span(&text);
	protocol_answer_write(out, &answer);
	buf_fini(&text);
}

static char *text_or_null(struct span s)
{
	return s.len ? mem_span_dup(s) : NULL;
}

/* The payload of an ANSWER into `out`; empty: the request is no good. */
static void do_fetch(const struct fetch *fetch, struct buf *out)
{
	struct work work = { .is_too_large = false };
	CURL *curl;

	if (!protocol_fetch_read(span_of(fetch->request, fetch->len), &work.request) ||
	    !span_starts_fold(work.request.url, SPAN("https://")) || curl_global_init(CURL_GLOBAL_ALL) != 0 ||
	    !(curl = curl_easy_init()))
		return;
	buf_init(&work.body, work.request.max_bytes);
	work.url = mem_span_dup(work.request.url);
	work.ca_file = text_or_null(work.request.ca_file);
	if (work.request.content_type.len)
		work.header = mem_printf("Content-Type: %.*s", SPAN_ARGS(work.request.content_type));
	tell_answer(curl, &work, perform(curl, &work, fetch->timeout_ms), out);
	/* The process ends here, and everything with it. */
}

static void become_fetcher(const struct fetch *fetch, int fd)
{
	struct buf out;
	struct span rest;

	signal(SIGCHLD, SIG_DFL);
	clearenv();
	if (dup2(fd, FIRST_FREE) < 0)
		_exit(1);
#ifdef __linux__
	if (close_range(FIRST_FREE + 1, ~0u, 0) != 0)
#endif
		for (int i = FIRST_FREE + 1; i < (int)sysconf(_SC_OPEN_MAX); i++)
			close(i);
	buf_init(&out, PROTOCOL_PAYLOAD);
	do_fetch(fetch, &out);
	for (rest = buf_span(&out); rest.len;) {
		ssize_t n = write(FIRST_FREE, rest.data, rest.len);

		if (n < 0 && errno != EINTR)
			_exit(1);
		rest = span_from(rest, n > 0 ? (size_t)n : 0);
	}
	_exit(0);
}

/* ---------------------------------------------------------------- in the helper */

static void begin_next(struct fetch_set *set);

static void release(struct fetch *fetch)
{
	if (fetch->pid > 0) {
		kill(fetch->pid, SIGKILL); /* it has said what it had to say, or is not heard any more */
		while (waitpid(fetch->pid, NULL, 0) < 0 && errno == EINTR)
			;
		fetch->set->running_count--;
	} else if (!list_is_empty(&fetch->node)) {
		fetch->set->waiting_count--;
	}
	loop_io_stop(&fetch->io);
	loop_timer_stop(&fetch->timer);
	loop_task_stop(&fetch->task);
	if (fetch->fd >= 0)
		close(fetch->fd);
	buf_fini(&fetch->answer);
	list_remove(&fetch->node);
	mem_free(fetch->request);
	mem_free(fetch);
}

static void tell(struct fetch *fetch, struct span answer)
{
	void (*done)(void *arg, struct span answer) = fetch->done;
	struct fetch_set *set = fetch->set;
	struct protocol_answer checked;
	struct buf out;
	void *arg = fetch->arg;

	buf_init(&out, PROTOCOL_PAYLOAD);
	if (protocol_answer_read(answer, &checked))
		buf_append_span(&out, answer);
	release(fetch);
	done(arg, buf_span(&out));
	buf_fini(&out);
	begin_next(set);
}

static void tell_error(struct fetch *fetch, const char *error)
{
	struct protocol_answer answer = { .text = span_str(error) };
	struct buf out;

	buf_init(&out, PROTOCOL_PAYLOAD);
	protocol_answer_write(&out, &answer);
	tell(fetch, buf_span(&out));
	buf_fini(&out);
}

static void on_answer(struct loop_io *io, int events)
{
	struct fetch *fetch = LIST_ENTRY(io, struct fetch, io);
	struct protocol_answer answer;
	char piece[8192];
	ssize_t n = read(fetch->fd, piece, sizeof piece);

	(void)events;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && buf_append(&fetch->answer, piece, (size_t)n))
		return;
	if (n == 0 && protocol_answer_read(buf_span(&fetch->answer), &answer))
		tell(fetch, buf_span(&fetch->answer));
	else
		tell_error(fetch, "the request came to an unexpected end");
}

static void on_timeout(struct loop_timer *timer)
{
	tell_error(LIST_ENTRY(timer, struct fetch, timer), "the request took too long");
}

static void on_task(struct loop_task *task)
{
	tell_error(LIST_ENTRY(task, struct fetch, task), "too many requests wait to be sent");
}

static void begin(struct fetch *fetch)
{
	struct fetch_set *set = fetch->set;
	int ends[2];

	list_remove(&fetch->node);
	if (pipe2(ends, O_CLOEXEC) != 0) {
		loop_task_post(&fetch->task);
		return;
	}
	fetch->pid = fork();
	if (fetch->pid == 0)
		become_fetcher(fetch, ends[1]);
	close(ends[1]);
	if (fetch->pid < 0) {
		fetch->pid = 0;
		close(ends[0]);
		loop_task_post(&fetch->task);
		return;
	}
	fetch->fd = ends[0];
	list_append(&set->running, &fetch->node);
	set->running_count++;
	loop_io_init(&fetch->io, set->loop, fetch->fd, on_answer);
	loop_io_set(&fetch->io, LOOP_READ);
}

static void begin_next(struct fetch_set *set)
{
	struct list *node;

	while (set->running_count < FETCH_AT_ONCE && (node = list_first(&set->waiting))) {
		set->waiting_count--;
		begin(LIST_ENTRY(node, struct fetch, node));
	}
}

struct fetch *fetch_start(struct fetch_set *set, struct span request, int64_t timeout_ms,
			  void (*done)(void *arg, struct span answer), void *arg)
{
	struct fetch *fetch = MEM_NEW(struct fetch);

	fetch->set = set;
	fetch->done = done;
	fetch->arg = arg;
	fetch->fd = -1;
	fetch->request = mem_span_dup(request);
	fetch->len = request.len;
	fetch->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
	buf_init(&fetch->answer, PROTOCOL_PAYLOAD);
	list_init(&fetch->node);
	loop_timer_init(&fetch->timer, set->loop, on_timeout);
	loop_task_init(&fetch->task, set->loop, on_task);
	if (set->waiting_count == FETCH_WAITING) {
		loop_task_post(&fetch->task);
		return fetch;
	}
	loop_timer_in(&fetch->timer, fetch->timeout_ms + GRACE_MS);
	list_append(&set->waiting, &fetch->node);
	set->waiting_count++;
	begin_next(set);
	return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
	struct fetch_set *set = fetch->set;

	release(fetch);
	begin_next(set);
}

struct fetch_set *fetch_set_new(struct loop *loop)
{
	struct fetch_set *set = MEM_NEW(struct fetch_set);

	set->loop = loop;
	list_init(&set->running);
	list_init(&set->waiting);
	return set;
}

void fetch_set_free(struct fetch_set *set)
{
	struct list *node;

	if (!set)
		return;
	while ((node = list_first(&set->waiting)) || (node = list_first(&set->running)))
		release(LIST_ENTRY(node, struct fetch, node));
	mem_free(set);
}
