#include "sink_rules.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static const char *const stage_words[] = {
#define X(name, word, text) [SINK_RULES_##name] = word,
	SINK_RULES_STAGES(X)
#undef X
};
enum { STAGES = sizeof stage_words / sizeof stage_words[0] };

void sink_rules_init(struct sink_rules *rules)
{
	rules->count = 0;
}

void sink_rules_fini(struct sink_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		mem_free(rules->list[i].status);
		mem_free(rules->list[i].text);
		mem_free(rules->list[i].glob);
	}
	rules->count = 0;
}

/* ---------------------------------------------------------------- reading */

static bool stage_named(struct span word, enum sink_rules_stage *out)
{
	for (int i = 0; i < STAGES; i++)
		if (span_equals_fold(word, span_str(stage_words[i]))) {
			*out = (enum sink_rules_stage)i;
			return true;
		}
	return false;
}

/* A new rule for "STAGE=REST"; NULL: none. */
static struct sink_rules_rule *add(struct sink_rules *rules, const char *text, struct span *out_rest)
{
	struct span all = span_str(text);
	size_t equals = span_find(all, '=');
	struct sink_rules_rule *rule = &rules->list[rules->count];
	enum sink_rules_stage stage;

	if (rules->count == SINK_RULES_MAX || !stage_named(span_first(all, equals), &stage))
		return NULL;
	*rule = (struct sink_rules_rule){ .stage = stage, .times = UINT64_MAX };
	*out_rest = span_from(all, equals + 1);
	rules->count++;
	return rule;
}

static const char bad_stage[] =
	"a stage is one of greeting, ehlo, helo, starttls, auth, mail, rcpt, data, dot, rset, quit (at most 64 rules)";

static bool is_status(struct span s)
{
	return s.len >= 5 && s.data[1] == '.' && s.data[0] >= '2' && s.data[0] <= '5';
}

const char *sink_rules_reply(struct sink_rules *rules, const char *text)
{
	struct span rest;
	struct sink_rules_rule *rule = add(rules, text, &rest);
	uint64_t code;
	size_t end;

	if (!rule)
		return bad_stage;
	if (!text_number(span_first(rest, 3), 599, &code) || code < 200 || (rest.len > 3 && rest.data[3] != ' '))
		return "not STAGE=CODE TEXT - rcpt='450 4.2.0 come back later'";
	rule->kind = SINK_RULES_REPLY;
	rule->code = (int)code;
	rest = span_from(rest, 4);
	end = span_find(rest, ' ');
	if (is_status(span_first(rest, end))) {
		rule->status = mem_span_dup(span_first(rest, end));
		rest = span_from(rest, end + 1);
	} else {
		rule->status = mem_printf("%c.0.0", (char)('0' + code / 100));
	}
	rule->text = mem_span_dup(rest.len ? rest : SPAN("as told"));
	return NULL;
}

const char *sink_rules_drop(struct sink_rules *rules, const char *text)
{
	struct span rest;
	struct sink_rules_rule *rule = add(rules, text, &rest);

	if (!rule || rest.len)
		return bad_stage;
	rule->kind = SINK_RULES_DROP;
	return NULL;
}

const char *sink_rules_delay(struct sink_rules *rules, const char *text)
{
	struct span rest;
	struct sink_rules_rule *rule = add(rules, text, &rest);

	if (!rule)
		return bad_stage;
	rule->kind = SINK_RULES_DELAY;
	return text_duration(rest, &rule->delay_ms) ? NULL : "not STAGE=DURATION - mail=2s";
}

/* "\r", "\n", "\0" and "\\" stand for themselves. */
static char *unescape(struct span s)
{
	char *out = mem_alloc(s.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\' && i + 1 < s.len) {
			c = s.data[++i];
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c;
		}
		out[len++] = c;
	}
	out[len] = '\0';
	return out;
}

const char *sink_rules_raw(struct sink_rules *rules, const char *text)
{
	struct span rest;
	struct sink_rules_rule *rule = add(rules, text, &rest);

	if (!rule)
		return bad_stage;
	rule->kind = SINK_RULES_RAW;
	rule->text = unescape(rest);
	return NULL;
}

static struct sink_rules_rule *newest(struct sink_rules *rules)
{
	return rules->count ? &rules->list[rules->count - 1] : NULL;
}

static const char nothing_before[] = "stands behind the rule it is about";

const char *sink_rules_times(struct sink_rules *rules, const char *text)
{
	struct sink_rules_rule *rule = newest(rules);

	if (!rule)
		return nothing_before;
	return text_number(span_str(text), UINT32_MAX, &rule->times) ? NULL : "not a number";
}

const char *sink_rules_skip(struct sink_rules *rules, const char *text)
{
	struct sink_rules_rule *rule = newest(rules);

	if (!rule)
		return nothing_before;
	return text_number(span_str(text), UINT32_MAX, &rule->skip) ? NULL : "not a number";
}

const char *sink_rules_for(struct sink_rules *rules, const char *text)
{
	struct sink_rules_rule *rule = newest(rules);

	if (!rule)
		return nothing_before;
	mem_free(rule->glob);
	rule->glob = mem_strdup(text);
	return NULL;
}

/* ---------------------------------------------------------------- asking */

/* True: this arrival is hit. */
static bool strike(struct sink_rules_rule *rule)
{
	if (rule->skip) {
		rule->skip--;
		return false;
	}
	if (rule->times == 0)
		return false;
	if (rule->times != UINT64_MAX)
		rule->times--;
	return true;
}

struct sink_rules_now sink_rules_arrive(struct sink_rules *rules, enum sink_rules_stage stage, const char *address)
{
	struct sink_rules_now now = { NULL, NULL, NULL, NULL };

	for (size_t i = 0; i < rules->count; i++) {
		struct sink_rules_rule *rule = &rules->list[i];
		const struct sink_rules_rule **slot = NULL;

		switch (rule->kind) {
		case SINK_RULES_REPLY: slot = &now.reply; break;
		case SINK_RULES_DROP: slot = &now.drop; break;
		case SINK_RULES_DELAY: slot = &now.delay; break;
		case SINK_RULES_RAW: slot = &now.raw; break;
		}
		if (rule->stage != stage || (rule->glob && !text_glob(rule->glob, span_str(address))))
			continue;
		if (!*slot && strike(rule))
			*slot = rule;
	}
	return now;
}

static bool is_intercepted(enum sink_rules_stage stage)
{
	switch (stage) {
	case SINK_RULES_EHLO:
	case SINK_RULES_HELO:
	case SINK_RULES_STARTTLS:
	case SINK_RULES_DATA:
	case SINK_RULES_RSET:
	case SINK_RULES_QUIT: return true;
	case SINK_RULES_GREETING:
	case SINK_RULES_AUTH:
	case SINK_RULES_MAIL:
	case SINK_RULES_RCPT:
	case SINK_RULES_DOT: return false;
	}
	return false;
}

bool sink_rules_intercepts(const struct sink_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (is_intercepted(rules->list[i].stage))
			return true;
	return false;
}

bool sink_rules_stage_of(struct span line, enum sink_rules_stage *out_stage, bool *out_is_chunk)
{
	struct span word = span_first(line, span_find(line, ' '));
	enum sink_rules_stage stage;

	while (word.len && (word.data[word.len - 1] == '\r' || word.data[word.len - 1] == '\n'))
		word.len--;
	*out_is_chunk = span_equals_fold(word, SPAN("BDAT"));
	if (*out_is_chunk)
		word = SPAN("DATA");
	if (!stage_named(word, &stage) || !is_intercepted(stage))
		return false;
	*out_stage = stage;
	return true;
}
