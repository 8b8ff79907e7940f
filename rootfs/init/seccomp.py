"""A seccomp filter for what runs beside PID 1: system calls that neither the bus nor ConnMan has any use for.

Classic BPF (Documentation/userspace-api/seccomp_filter.rst of Linux): a foreign architecture kills, a call of the table
is refused with EPERM, all others pass.  It holds for x86-64; see `program`.
"""

from __future__ import annotations

from init.native import Struct, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# <linux/bpf_common.h>: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
# <linux/seccomp.h>: what a filter returns, and where struct seccomp_data has its members
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
NUMBER_AT, ARCHITECTURE_AT = 0, 4
# <linux/audit.h> AUDIT_ARCH_X86_64; <asm/unistd.h> __X32_SYSCALL_BIT
X86_64, X32_BIT = 0xC000003E, 0x40000000

REFUSED: Mapping[str, int] = {
    "ptrace": 101, "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166,
    "swapon": 167, "swapoff": 168, "reboot": 169, "init_module": 175, "delete_module": 176, "quotactl": 179,
    "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "kexec_load": 246, "perf_event_open": 298,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "quotactl_fd": 443, "mount_setattr": 442,
}  # fmt: skip
"""Numbers of <asm/unistd_64.h>, which tests/guest/test_guest_seccomp.py holds them against."""

_INSTRUCTION = Struct("=HBBI")


def program(allowed: frozenset[str] = frozenset()) -> bytes:
    """The filter as an array of struct sock_filter (<linux/filter.h>); empty on another machine than x86-64.

    `allowed` are names of the table that pass all the same.
    """
    if os.uname().machine != "x86_64":
        return b""
    pack = _INSTRUCTION.pack
    refused = [number for name, number in REFUSED.items() if name not in allowed]
    count = len(refused)
    code = [
        pack(LOAD, 0, 0, ARCHITECTURE_AT),
        pack(EQUAL, 0, count + 4, X86_64),
        pack(LOAD, 0, 0, NUMBER_AT),
        pack(AT_LEAST, count + 2, 0, X32_BIT),
    ]
    code += [pack(EQUAL, count - index, 0, number) for index, number in enumerate(refused)]
    code += [pack(RETURN, 0, 0, ALLOW), pack(RETURN, 0, 0, REFUSE), pack(RETURN, 0, 0, KILL)]
    return b"".join(code)
