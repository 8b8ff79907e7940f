# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""System calls that Python lacks, and the C halves of standard modules.

PID 1 may start on an emulated CPU, where an import is dear: `socket`, `signal` and `json` together cost a quarter of a
second there, nearly all of it for `enum` and `re`, which we do not use; `os` costs 0.04 s, for the abstract classes of
its `environ` and `PathLike`.  Their C halves are built into the interpreter and cost nothing.  They are private names,
so only this module imports them, and a test checks that.
"""

from __future__ import annotations

import _ctypes
import _json
import _signal  # type: ignore[import-not-found, unused-ignore]
import _socket
import _struct
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

os = posix
"""All of `os` that is a system call; `os.path`, `environ` and what Python adds are not in it."""

Struct = _struct.Struct
struct_error: type[Exception] = _struct.error  # type: ignore[attr-defined]  # typeshed has it only in struct

Socket = _socket.socket
AF_UNIX, AF_INET, AF_NETLINK = 1, 2, 16
SOCK_RAW_CLOEXEC = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
SOCK_DGRAM_CLOEXEC = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC
SOCK_STREAM_CLOEXEC = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
SOL_SOCKET = _socket.SOL_SOCKET
SO_SNDBUF, SO_RCVBUF = _socket.SO_SNDBUF, _socket.SO_RCVBUF
SO_BINDTODEVICE, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 25, 32, 33
SCM_RIGHTS, MSG_CTRUNC = 1, 8
CMSG_INT = _socket.CMSG_SPACE(4)
socket_pair: Callable[[], tuple[Socket, Socket]] = _socket.socketpair
sethostname = _socket.sethostname
if_indextoname = _socket.if_indextoname

SIGHUP, SIGINT, SIGUSR1, SIGKILL, SIGUSR2, SIGPIPE, SIGTERM, SIGCHLD, SIGPWR = 1, 2, 10, 9, 12, 13, 15, 17, 30
SIG_DFL, SIG_IGN = 0, 1

# <sys/mount.h>, <linux/reboot.h>, <linux/prctl.h>, <sys/inotify.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
RB_POWER_OFF = 0x4321FEDC
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 8, 24, 38, 47
PR_CAP_AMBIENT_RAISE, CAPABILITY_VERSION_3 = 2, 0x20080522
# <linux/seccomp.h>
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xC0502100, 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE, NOTIFICATION_BYTES = 1, 80
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # <sys/mman.h>
RLIMIT_DATA, RLIMIT_NPROC = 2, 6  # <asm-generic/resource.h>
WDIOC_SETTIMEOUT = 0xC0045706  # <linux/watchdog.h>
SYS_FINIT_MODULE, SYS_SECCOMP = 313, 317  # of x86-64
IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100
IN_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Bytes(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """A pointer to bytes, as a member of a structure: its own buffer is the address."""

    _type_ = "z"


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "B"


class _Notification(_ctypes.Array):  # type: ignore[type-arg]
    """Room for a struct seccomp_notif, which the kernel wants zeroed."""

    _type_ = _Byte
    _length_ = NOTIFICATION_BYTES


class _Function(_ctypes.CFuncPtr):
    """A function of the C library that returns an int and sets errno."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


_libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None is the program itself, as for dlopen(3)


def _call(name: str, *arguments: bytes | int | _Notification | None) -> int:
    """Call a function of the C library.  Raises OSError when it returns a negative number."""
    result: int = _Function(_ctypes.dlsym(_libc, name))(*arguments)
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def exists(path: str, *, follow: bool = True) -> bool:
    """Whether there is something at a path, or, with `follow` false, a link that may lead nowhere."""
    try:
        os.stat(path, follow_symlinks=follow)
    except OSError:
        return False
    return True


def owns_machine() -> bool:
    """Whether PID 1 here is that of a whole machine, and not of a PID namespace inside of one.

    4026531836 is the first PID namespace's number on every Linux (PROC_PID_INIT_INO of <linux/proc_ns.h>).
    """
    try:
        return os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
    except OSError:  # a kernel without PID namespaces
        return True


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """Mount a file system: the system call of section 2.  Raises OSError."""
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode() or None)


def power_off() -> None:
    """reboot(2): stop the machine at once; does not sync.  Does not return, unless it raises OSError."""
    _call("reboot", RB_POWER_OFF)


def load_module(descriptor: int, parameters: str) -> None:
    """finit_module(2), which the C library has no function for.  Raises OSError."""
    _call("syscall", SYS_FINIT_MODULE, descriptor, parameters.encode(), 0)


def keep_in_memory() -> None:
    """mlockall(2) of all pages as they are first touched: none is dropped to be read again.  Raises OSError.

    A copy of this process has no such lock, nor what it executes.
    """
    _call("mlockall", MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)


def limit(resource: int, most: int) -> None:
    """setrlimit(2): bound what this process and its descendants may use.  Raises OSError."""
    _call("setrlimit", resource, _struct.pack("=2Q", most, most))


def forbid_new_privileges() -> None:
    """prctl(PR_SET_NO_NEW_PRIVS): no descendant can gain privileges by executing a program."""
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def bound_capabilities(keep: frozenset[int], highest: int = 63) -> None:
    """prctl(PR_CAPBSET_DROP) for every capability but `keep`, see capabilities(7).  Unknown numbers end the list."""
    for capability in range(highest + 1):
        if capability not in keep:
            try:
                _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
            except OSError:
                return


def keep_capabilities() -> None:
    """prctl(PR_SET_KEEPCAPS): setuid(2) to another user than root leaves the permitted set as it is."""
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)


def raise_ambient(capabilities: frozenset[int]) -> None:
    """Have exactly these capabilities, and hand them to what is executed: capset(2) and PR_CAP_AMBIENT_RAISE."""
    mask = 0
    for capability in capabilities:
        mask |= 1 << capability
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _call("capset", _struct.pack("=Ii", CAPABILITY_VERSION_3, 0), _struct.pack("=6I", low, low, low, high, high, high))
    for capability in capabilities:
        _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def filter_calls(program: bytes) -> int:
    """seccomp(2) with an array of struct sock_filter; needs no_new_privs.  Raises OSError.

    Returns the descriptor, closed on exec, by which the kernel reports the calls that the filter answers with
    SECCOMP_RET_USER_NOTIF: see seccomp_unotify(2).
    """
    pointer = _Bytes(program)
    described = _struct.pack("@H6x", len(program) // 8) + bytes(pointer)
    return _call("syscall", SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, described)


def receive_notification(listener: int) -> bytes:
    """The struct seccomp_notif of a call that waits; blocks unless poll(2) says there is one.

    Raises OSError: ENOENT if the call was interrupted, and will not be made, or the process is dead.
    """
    notification = _Notification()
    _call("ioctl", listener, SECCOMP_IOCTL_NOTIF_RECV, notification)
    return bytes(notification)


def continue_call(listener: int, number: int) -> None:
    """Let the call of the notification with this number happen.  Raises OSError if it no longer waits."""
    response = _struct.pack("=QqiI", number, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
    _call("ioctl", listener, SECCOMP_IOCTL_NOTIF_SEND, response)


def inotify(folder: str, mask: int) -> int:
    """Watch one folder through a new, non-blocking descriptor of the inotify interface.  Raises OSError."""
    descriptor = _call("inotify_init1", IN_CLOEXEC_NONBLOCK)
    try:
        _call("inotify_add_watch", descriptor, folder.encode(), mask)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def interface_ioctl(socket: int, request: int, name: str, pointer: int) -> None:
    """ioctl(2) of a socket of any family, with an ifreq that names an interface and points to its data: netdevice(7).

    Raises OSError.
    """
    ifreq = name.encode()[:15].ljust(16, b"\0") + pointer.to_bytes(8, "little") + bytes(16)
    _call("ioctl", socket, request, ifreq)


def set_watchdog(descriptor: int, seconds: int) -> None:
    """ioctl(WDIOC_SETTIMEOUT) on a watchdog's descriptor.  Raises OSError."""
    _call("ioctl", descriptor, WDIOC_SETTIMEOUT, _struct.pack("=i", seconds))


def on_signal(number: int, action: Callable[[int, object], None] | int) -> None:
    """signal(2): `action` is called by the interpreter, never inside a system call's middle; or SIG_DFL, SIG_IGN."""
    _signal.signal(number, action)


def wake_on_signals(descriptor: int) -> None:
    """Write a byte with the signal's number to `descriptor` (non-blocking) whenever a signal arrives."""
    _signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def quoted(text: str) -> str:
    """A JSON string, ASCII only."""
    return _json.encode_basestring_ascii(text)


class _Settings:
    """What json.JSONDecoder hands to its C scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012  (the scanner keeps its strings here)


def scan_json(text: str) -> tuple[object, int]:
    """The first JSON value of a text without leading blanks, and where it ends.  Raises ValueError."""
    try:
        value, end = _json.make_scanner(_Settings())(text, 0)  # type: ignore[arg-type]
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    return value, end
