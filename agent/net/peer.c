#include "net/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#endif

#include "base/crypto.h"

bool peer_of_unix(int fd, uid_t *out_uid, gid_t *out_gid)
{
#ifdef SO_PEERCRED
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || len != sizeof(who) || who.uid == (uid_t)-1)
		return false;
	*out_uid = who.uid;
	*out_gid = who.gid;
	return true;
#else
	return getpeereid(fd, out_uid, out_gid) == 0;
#endif
}

#ifdef __linux__

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

/* Opening it anew for each connection would cost more than the question. */
static int netlink_fd = -1;
static uint32_t sequence;

static void put_address(const struct sockaddr_storage *addr, __be32 out_addr[4], __be16 *out_port)
{
	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;

		memcpy(out_addr, &v4->sin_addr, 4);
		*out_port = v4->sin_port;
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;

		/* A mapped address: the kernel looks it up as IPv4. */
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			memcpy(out_addr, &v6->sin6_addr.s6_addr[12], 4);
		else
			memcpy(out_addr, &v6->sin6_addr, 16);
		*out_port = v6->sin6_port;
	}
}

static uint8_t family_of(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)addr)->sin6_addr))
		return AF_INET6;
	return AF_INET;
}

static bool ask(const struct question *q)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (netlink_fd < 0) {
		struct timeval patience = { .tv_sec = 1 };

		netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
		if (netlink_fd < 0)
			return false;
		/* The kernel answers inside sendto(); this only guards against a kernel that does not. */
		setsockopt(netlink_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	}
	return sendto(netlink_fd, q, sizeof(*q), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) ==
	       (ssize_t)sizeof(*q);
}

/* The answer to `q` in `answer`; older ones that were left over are passed by. */
static bool hear(const struct question *q, struct inet_diag_msg *answer)
{
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} message;

	for (int tries = 0; tries < 8; tries++) {
		struct sockaddr_nl from = { .nl_family = AF_NETLINK };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(netlink_fd, &message, sizeof(message), 0, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(message.head))
			return false;
		if (from.nl_pid != 0 || message.head.nlmsg_seq != q->head.nlmsg_seq)
			continue;
		if (message.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || (size_t)n < NLMSG_HDRLEN + sizeof(*answer) ||
		    message.head.nlmsg_len > (size_t)n)
			return false;
		memcpy(answer, NLMSG_DATA(&message.head), sizeof(*answer));
		return true;
	}
	return false;
}

bool peer_of_tcp(const struct sockaddr_storage *peer, const struct sockaddr_storage *local, uid_t *out_uid)
{
	struct question q = {
		.head = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.body = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u }
	};
	struct inet_diag_msg answer;
	const struct inet_diag_sockid *asked = &q.body.id;
	size_t addr_len;

	if (family_of(peer) != family_of(local))
		return false;
	if (sequence == 0)
		crypto_random(&sequence, sizeof(sequence));
	q.head.nlmsg_seq = ++sequence;
	q.body.sdiag_family = family_of(peer);
	/* The socket of the peer, not ours: its source is the peer's address. */
	put_address(peer, q.body.id.idiag_src, &q.body.id.idiag_sport);
	put_address(local, q.body.id.idiag_dst, &q.body.id.idiag_dport);
	q.body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	q.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (!ask(&q) || !hear(&q, &answer))
		return false;
	/* The kernel falls back to a listening socket when the connection is gone; inode 0 means closed by its owner,
	 * and then the uid says nothing. */
	addr_len = q.body.sdiag_family == AF_INET ? 4 : 16;
	if (answer.idiag_state == TCP_LISTEN || answer.idiag_inode == 0 ||
	    answer.id.idiag_sport != asked->idiag_sport || answer.id.idiag_dport != asked->idiag_dport)
		return false;
	/* A v6 socket on mapped addresses answers in its own family; ports and state have matched then. */
	if (answer.idiag_family == q.body.sdiag_family &&
	    (memcmp(answer.id.idiag_src, asked->idiag_src, addr_len) != 0 ||
	     memcmp(answer.id.idiag_dst, asked->idiag_dst, addr_len) != 0))
		return false;
	*out_uid = answer.idiag_uid;
	return true;
}

#else

bool peer_of_tcp(const struct sockaddr_storage *peer, const struct sockaddr_storage *local, uid_t *out_uid)
{
	(void)peer;
	(void)local;
	(void)out_uid;
	return false;
}

#endif
