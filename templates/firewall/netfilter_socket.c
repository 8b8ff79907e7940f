/* SPDX-FileCopyrightText: 2026 netvm-build contributors
 * SPDX-License-Identifier: MIT */
/* Preloaded into nft at build time: its netfilter socket becomes one end of a socket pair, at whose other end
 * compile_ruleset.py plays the kernel.  So the very transaction that nft would send is caught, and no kernel is needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ours = -1;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

int socket(int domain, int type, int protocol)
{
	const char *given = getenv("NETFILTER_FD");

	if (domain != AF_NETLINK || protocol != NETLINK_NETFILTER || !given)
		return REAL(socket)(domain, type, protocol);
	return ours = dup(atoi(given));
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return fd == ours ? 0 : REAL(bind)(fd, address, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	return fd == ours ? 0 : REAL(setsockopt)(fd, level, name, value, length);
}

/* The kernel's answer is there before a send returns, and nft relies on it.  A transaction gets none. */
static ssize_t answered(int fd, const void *data, ssize_t sent)
{
	const struct nlmsghdr *first = data;
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	if (sent > 0 && first->nlmsg_type != NFNL_MSG_BATCH_BEGIN)
		poll(&ready, 1, 10000);
	return sent;
}

static void as_kernel(void *address, socklen_t *length)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	memcpy(address, &kernel, sizeof(kernel));
	*length = sizeof(kernel);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	if (fd != ours)
		return REAL(getsockname)(fd, address, length);
	as_kernel(address, length);
	return 0;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	return fd == ours ? answered(fd, data, send(fd, data, size, flags)) : REAL(sendto)(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct msghdr plain = *message;

	if (fd != ours)
		return REAL(sendmsg)(fd, message, flags);
	plain.msg_name = NULL;
	plain.msg_namelen = 0;
	return answered(fd, plain.msg_iov[0].iov_base, REAL(sendmsg)(fd, &plain, flags));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	void *name = message->msg_name;
	ssize_t size;

	if (fd != ours)
		return REAL(recvmsg)(fd, message, flags);
	message->msg_name = NULL;
	size = REAL(recvmsg)(fd, message, flags);
	message->msg_name = name;
	if (name)
		as_kernel(name, &message->msg_namelen);
	return size;
}
