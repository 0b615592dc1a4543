#include "tools/sendmail_places.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define SYSTEM_SOCKET "/run/sendoff/submit"
#define SYSTEM_DROP   "/var/spool/sendoff-drop"

static const char *environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

static const char *folder(const char *name)
{
	const char *value = environment(name);

	return value && *value == '/' ? value : NULL;
}

/* A path below the user's state directory, or NULL. */
static char *below_state(const char *rest)
{
	const char *state = folder("XDG_STATE_HOME"), *home = folder("HOME");

	if (state)
		return mem_printf("%s/sendoff/%s", state, rest);
	return home ? mem_printf("%s/.local/state/sendoff/%s", home, rest) : NULL;
}

static void find_sockets(struct sendmail_places *p)
{
	const char *given = environment("SENDOFF_SUBMIT"), *runtime = folder("XDG_RUNTIME_DIR");
	size_t n = 0;
	char *own;

	if (given) {
		p->sockets[n++] = mem_strdup(given);
		return;
	}
	if (geteuid() != 0) {
		/* Jobs of cron have no runtime directory in their environment. */
		p->sockets[n++] = runtime ? mem_printf("%s/sendoff/submit", runtime)
					  : mem_printf("/run/user/%lu/sendoff/submit", (unsigned long)geteuid());
		own = below_state("run/submit");
		if (own)
			p->sockets[n++] = own;
	}
	p->sockets[n++] = mem_strdup(SYSTEM_SOCKET);
}

static void find_drop(struct sendmail_places *p)
{
	const char *given = environment("SENDOFF_DROP");

	if (given) {
		p->drop = mem_strdup(given);
		return;
	}
	/* Whose socket was named by hand, that agent's directory is not known. */
	if (environment("SENDOFF_SUBMIT"))
		return;
	p->drop = geteuid() != 0 ? below_state("drop") : NULL;
	if (p->drop && access(p->drop, F_OK) != 0) {
		mem_free(p->drop);
		p->drop = NULL;
	}
	if (!p->drop)
		p->drop = mem_strdup(SYSTEM_DROP);
}

void sendmail_places_find(struct sendmail_places *p)
{
	memset(p, 0, sizeof(*p));
	find_sockets(p);
	find_drop(p);
}

void sendmail_places_fini(struct sendmail_places *p)
{
	for (size_t i = 0; i <= SENDMAIL_PLACES_MAX; i++)
		mem_free(p->sockets[i]);
	mem_free(p->drop);
	memset(p, 0, sizeof(*p));
}
