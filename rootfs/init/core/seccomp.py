# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Compiles a table of system calls into a seccomp filter that allows these calls and reports every other.

Classic BPF (Linux, Documentation/userspace-api/seccomp_filter.rst): another architecture kills the process, a call of
the table is allowed, or judged by its arguments, and every other waits for PID 1, which kills: see violations.py.
It holds for x86-64; see `program`.
"""

from __future__ import annotations

from init.core.native import Struct, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Test = tuple[int, int, Sequence[int]]
    """(argument's index, mask, values): whether its low 32 bits, masked, are one of the values."""
    Rule = tuple[Sequence[Test], int]
    """(tests, verdict): if all tests hold, the verdict."""
    Calls = Mapping[str, int | tuple[int, Sequence[Rule]]]
    """Name → number: always allowed; or (number, rules): the first rule that holds, else not allowed."""

# <linux/bpf_common.h>: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K,
# BPF_ALU|BPF_AND|BPF_K
LOAD, EQUAL, AT_LEAST, RETURN, MASK = 0x20, 0x15, 0x35, 0x06, 0x54
# <linux/seccomp.h>: what a filter returns, and where struct seccomp_data has its members
ALLOW, REPORT, ERROR, KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
# <linux/audit.h> AUDIT_ARCH_X86_64; <asm/unistd.h> __X32_SYSCALL_BIT
X86_64, X32_BIT = 0xC000003E, 0x40000000
ALL_BITS = 0xFFFFFFFF

_INSTRUCTION = Struct("=HBBI")


def program(calls: Calls) -> bytes:
    """The filter as an array of struct sock_filter (<linux/filter.h>); empty on another machine than x86-64.

    Each call is a block of its own, so that no jump is far.  The length costs nothing at run time: the kernel notes
    which calls a filter allows whatever their arguments, and doesn't run it for those (kernel/seccomp.c,
    seccomp_cache_check_allow).  So calls with rules come first.
    """
    if os.uname().machine != "x86_64":
        return b""
    pack = _INSTRUCTION.pack
    allow = pack(RETURN, 0, 0, ALLOW)
    code = [
        pack(LOAD, 0, 0, ARCHITECTURE_AT),
        pack(EQUAL, 1, 0, X86_64),
        pack(RETURN, 0, 0, KILL),
        pack(LOAD, 0, 0, NUMBER_AT),
        pack(AT_LEAST, 0, 1, X32_BIT),
        pack(RETURN, 0, 0, KILL),
    ]
    plain: list[bytes] = []
    for call in calls.values():
        if isinstance(call, int):
            plain += (pack(EQUAL, 0, 1, call), allow)
        else:
            number, rules = call
            block = _judged(rules)
            code += (pack(EQUAL, 0, len(block), number), *block)
    return b"".join([*code, *plain, pack(RETURN, 0, 0, REPORT)])


def _judged(rules: Sequence[Rule]) -> list[bytes]:
    """The block of one call: its rules in their order, and REPORT if none holds."""
    pack = _INSTRUCTION.pack
    block: list[bytes] = []
    for tests, verdict in rules:
        steps = [pack(RETURN, 0, 0, verdict)]
        for argument, mask, values in reversed(tests):
            test = [pack(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)]
            if mask != ALL_BITS:
                test.append(pack(MASK, 0, 0, mask))
            last = len(values) - 1
            for index, value in enumerate(values):
                test.append(pack(EQUAL, last - index, 0 if index < last else len(steps), value))
            steps = test + steps
        block += steps
    return [*block, pack(RETURN, 0, 0, REPORT)]
