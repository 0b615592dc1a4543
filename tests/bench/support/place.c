#include "tests/bench/support/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

bool place_parse(const char *text, struct place *out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const char *colon = strrchr(text, ':');
	char host[64];

	errno = EINVAL;
	if (text[0] == '/') {
		if (strlen(text) >= sizeof un.sun_path)
			return false;
		strcpy(un.sun_path, text);
		memcpy(&out->address, &un, sizeof un);
		out->len = sizeof un;
		return true;
	}
	snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - text) : 0, text);
	in.sin_port = htons((uint16_t)(colon ? atoi(colon + 1) : 0));
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return false;
	memcpy(&out->address, &in, sizeof in);
	out->len = sizeof in;
	return true;
}
