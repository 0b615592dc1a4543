#include "submission/caller.h"

#include <stdio.h>

#include "base/mem.h"

void caller_init(struct caller *caller, const struct conn *conn, const struct config_listener *listener)
{
	gid_t gid;

	*caller = (struct caller){ .conn = conn, .listener = listener, .is_tcp = conn_peer_host(conn)[0] != '\0' };
	caller->has_uid = conn_peer_user(conn, &caller->uid, &gid);
}

void caller_fini(struct caller *caller)
{
	mem_free(caller->certificate);
	caller->certificate = NULL;
}

bool caller_is_trusted(const struct caller *caller, const struct config_trust *trust, char *why, size_t why_size)
{
	struct trust_peer peer = { .is_unix = !caller->is_tcp,
				   .is_loopback = conn_is_loopback(caller->conn) || conn_is_own(caller->conn),
				   .is_proxied = conn_is_proxied(caller->conn),
				   .is_unnamed = conn_is_unnamed(caller->conn) };
	struct who who;

	if (!caller->listener->trust) {
		snprintf(why, why_size, "only who logs in may send here");
		return false;
	}
	who_init(&who, caller->listener->name, conn_peer_host(caller->conn), caller->has_uid ? &caller->uid : NULL);
	return trust_judge(trust, &peer, &who, why, why_size);
}

void caller_who(const struct caller *caller, const char *user, struct who *out_who, char out_name[TRUST_NAME_SIZE])
{
	bool by_certificate = !user[0] && caller->certificate;

	who_init(out_who, caller->listener->name, conn_peer_host(caller->conn), caller->has_uid ? &caller->uid : NULL);
	if (by_certificate)
		who_set_user(out_who, caller->certificate);
	else if (user[0])
		who_set_user(out_who, user);
	trust_name(out_who, by_certificate, out_name);
}
