#include "helper/fetch_work.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "helper/protocol.h"

enum {
	CONNECT_MS = 15 * 1000,
	SLOW_BYTES = 16, /* a second, on average over SLOW_S */
	SLOW_S = 30,
	ADDRESSES = 16,
};

/* ---------------------------------------------------------------- the library */

/* Linked in, it would lie in the memory of every idle helper, and thirty libraries that it needs beside it. */
#define CALLS(X)         \
	X(global_init)   \
	X(easy_init)     \
	X(easy_setopt)   \
	X(easy_perform)  \
	X(easy_getinfo)  \
	X(easy_strerror) \
	X(free)          \
	X(url)           \
	X(url_set)       \
	X(url_get)       \
	X(url_cleanup)   \
	X(slist_append)

/* The types are those of the header. */
#define CALL(name) __typeof__(curl_##name) *name;
static struct {
	CALLS(CALL)
} lib;
#undef CALL

bool fetch_work_load(const char *const *names, struct buf *why)
{
	const char *error = NULL;
	void *handle = NULL;

	for (size_t i = 0; names[i] && !handle; i++) {
		handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		/* The first name is the one that people should hear of. */
		if (!handle && !why->len)
			buf_printf(why, "libcurl, which sends HTTPS requests, cannot be loaded: %.200s", dlerror());
	}
	if (!handle)
		return false;
	buf_clear(why);
#define CALL(name)                                                                \
	lib.name = (__typeof__(lib.name))(uintptr_t)dlsym(handle, "curl_" #name); \
	if (!lib.name) {                                                          \
		error = "curl_" #name;                                            \
	}
	CALLS(CALL)
#undef CALL
	if (error)
		buf_printf(why, "this libcurl is too old: it has no %s()", error);
	return !error;
}

/* ---------------------------------------------------------------- a request */

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
	CURLU *url = lib.url();
	char *host = NULL, *port = NULL, address[INET6_ADDRSTRLEN];
	struct span rest = work->request.addresses;
	unsigned char binary[sizeof(struct in6_addr)];
	int count = 0;
	struct buf line;

	buf_init(&line, 4096);
	if (lib.url_set(url, CURLUPART_URL, work->url, 0) == CURLUE_OK &&
	    lib.url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    lib.url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
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
	work->resolve = count ? lib.slist_append(NULL, buf_cstr(&line)) : NULL;
	buf_fini(&line);
	lib.free(host);
	lib.free(port);
	lib.url_cleanup(url);
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

#define SET(option, value)                                       \
	if (code == CURLE_OK) {                                  \
		code = lib.easy_setopt(curl, (option), (value)); \
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
		work->headers = lib.slist_append(lib.slist_append(NULL, work->header), "Expect:");
	}
	if (work->request.addresses.len && !pin_addresses(work)) {
		snprintf(work->error, sizeof work->error, "the URL or the addresses of its host are not usable");
		return CURLE_URL_MALFORMAT;
	}
	code = configure(curl, work, timeout_ms);
	return code == CURLE_OK ? lib.easy_perform(curl) : code;
}

static void tell_answer(CURL *curl, struct work *work, CURLcode code, struct buf *out)
{
	struct protocol_answer answer = { .ok = code == CURLE_OK, .is_tls = is_about_tls(code) };
	const char *type = NULL;
	long status = 0;
	struct buf text;

	buf_init(&text, PROTOCOL_TEXT);
	if (answer.ok) {
		lib.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		lib.easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
		answer.status = status > 0 && status < 1000 ? (uint16_t)status : 0;
		answer.body = buf_span(&work->body);
		text_clean(&text, span_str(type ? type : ""), 200);
	} else if (work->is_too_large) {
		buf_printf(&text, "the answer is larger than %u bytes", work->request.max_bytes);
	} else {
		text_clean(&text, span_str(work->error[0] ? work->error : lib.easy_strerror(code)), 300);
	}
	answer.text = buf_span(&text);
	protocol_answer_write(out, &answer);
	buf_fini(&text);
}

static char *text_or_null(struct span s)
{
	return s.len ? mem_span_dup(s) : NULL;
}

static void tell_unable(struct span why, struct buf *out)
{
	struct protocol_answer answer = { .text = why };

	protocol_answer_write(out, &answer);
}

static bool load(struct buf *out)
{
	/* As Debian names the one that is built with GnuTLS; as all others name theirs. */
	static const char *const names[] = { "libcurl-gnutls.so.4", "libcurl.so.4", NULL };
	bool is_loaded;
	struct buf why;

	buf_init(&why, PROTOCOL_TEXT);
	is_loaded = fetch_work_load(names, &why);
	if (!is_loaded)
		tell_unable(buf_span(&why), out);
	buf_fini(&why);
	return is_loaded;
}

void fetch_work(struct span request, int64_t timeout_ms, struct buf *out)
{
	struct work work = { .is_too_large = false };
	CURL *curl;

	if (!protocol_fetch_read(request, &work.request) || !span_starts_fold(work.request.url, SPAN("https://")) ||
	    !load(out) || lib.global_init(CURL_GLOBAL_ALL) != 0 || !(curl = lib.easy_init()))
		return;
	buf_init(&work.body, work.request.max_bytes);
	work.url = mem_span_dup(work.request.url);
	work.ca_file = text_or_null(work.request.ca_file);
	if (work.request.content_type.len)
		work.header = mem_printf("Content-Type: %.*s", SPAN_ARGS(work.request.content_type));
	tell_answer(curl, &work, perform(curl, &work, timeout_ms), out);
	/* The process ends here, and everything with it. */
}
