# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The system calls that iwd may make; see allowed.py.  Loaded only where the image has Wi-Fi."""

from __future__ import annotations

from init.core.allowed import (
    AF_NETLINK,
    AF_PACKET,
    AF_UNIX,
    LIBRARY,
    NETLINK_ROUTE,
    SOCK_DGRAM,
    SOL_SOCKET,
    TYPE_BITS,
    argument,
)
from init.core.seccomp import ALLOW, ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.seccomp import Calls

EPERM = 1
AF_ALG, SOCK_SEQPACKET = 38, 5
NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC = 15, 16
SOL_NETLINK, SOL_ALG = 270, 279

IWD: Calls = {
    **LIBRARY,
    "socket": (41, (
        ((argument(0, AF_NETLINK), argument(2, NETLINK_ROUTE, NETLINK_GENERIC, NETLINK_KOBJECT_UEVENT)), ALLOW),
        ((argument(0, AF_ALG), argument(1, SOCK_SEQPACKET, mask=TYPE_BITS)), ALLOW),  # the kernel's cryptography
        ((argument(0, AF_PACKET), argument(1, SOCK_DGRAM, mask=TYPE_BITS)), ALLOW),  # EAPoL
        ((argument(0, AF_UNIX),), ALLOW),  # D-Bus
    )),
    # SO_ATTACH_FILTER; NETLINK_ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _PKTINFO, _EXT_ACK; ALG_SET_KEY, _AEAD_AUTHSIZE.
    "setsockopt": (54, (
        ((argument(1, SOL_SOCKET), argument(2, 26)), ALLOW),
        ((argument(1, SOL_NETLINK), argument(2, 1, 2, 3, 11)), ALLOW),
        ((argument(1, SOL_ALG), argument(2, 1, 5)), ALLOW),
    )),
    # It tries at its start what the kernel can do with keys, and goes on without.
    "add_key": (248, (((), ERROR | EPERM),)),
    "keyctl": (250, (((), ERROR | EPERM),)),
    "connect": 42, "sendto": 44, "recvfrom": 45, "recvmsg": 47, "bind": 49, "getsockname": 51, "accept4": 288,
    "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232, "signalfd4": 289, "timerfd_create": 283,
    "timerfd_settime": 286, "timerfd_gettime": 287,
    # Its networks, in /var/lib/iwd, and what there is in /sys.
    "getdents64": 217, "mkdir": 83, "rename": 82, "unlink": 87, "utimensat": 280, "readlink": 89,
    "inotify_init1": 294, "inotify_add_watch": 254, "inotify_rm_watch": 255,
    "uname": 63, "geteuid": 107,
}  # fmt: skip

WITH_KEYS: Calls = {
    **IWD,
    "add_key": 248,
    # KEYCTL_GET_KEYRING_ID, _UPDATE, _LINK, _UNLINK, _READ, _INVALIDATE, _DH_COMPUTE, _PKEY_QUERY, _PKEY_ENCRYPT,
    # _PKEY_DECRYPT, _PKEY_SIGN, _PKEY_VERIFY, _RESTRICT_KEYRING: all that its library has.
    "keyctl": (250, (((argument(0, 0, 2, 8, 9, 11, 21, 23, 24, 25, 26, 27, 28, 29),), ALLOW),)),
}
"""For networks with certificates, whose keys iwd keeps in the kernel."""
