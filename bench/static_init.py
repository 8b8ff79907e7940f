# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The init that a boot is measured against: a static ELF that says one line on the console and powers off.

Made byte by byte, so that no compiler is needed and no library can make it slower.
"""

from __future__ import annotations

import struct

SAYS = "static init"
"""The line, without its end."""

BASE = 0x400000  # where x86-64 programs are loaded as a matter of habit
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr of elf(5), 64 bytes
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr of elf(5), 56 bytes

# x86-64 instructions (Intel's manual, volume 2) that load the registers of a system call (syscall(2)).
_MOV_EAX = b"\xb8"  # its number
_MOV_EDI = b"\xbf"  # the arguments, in order
_MOV_ESI = b"\xbe"
_MOV_EDX = b"\xba"
_LEA_RSI_RIP = b"\x48\x8d\x35"  # an address, as a distance from the next instruction
_SYSCALL = b"\x0f\x05"

# arch/x86/entry/syscalls/syscall_64.tbl
_WRITE, _IOCTL, _EXIT, _REBOOT = 1, 16, 60, 169


def _u32(number: int) -> bytes:
    return struct.pack("<I", number)


def exit_with(status: int) -> bytes:
    """_exit(2).  PID 1 must not get here: the kernel panics."""
    return _MOV_EAX + _u32(_EXIT) + _MOV_EDI + _u32(status) + _SYSCALL


def power_off() -> bytes:
    """tcdrain(3) on stdout, so that the line is out; then reboot(2) with LINUX_REBOOT_CMD_POWER_OFF.

    Must never run on a host: it really powers off.
    """
    drain = _MOV_EAX + _u32(_IOCTL) + _MOV_EDI + _u32(1)
    drain += _MOV_ESI + _u32(0x5409)  # TCSBRK of asm-generic/ioctls.h, which with 1 waits and sends no break
    drain += _MOV_EDX + _u32(1) + _SYSCALL
    call = _MOV_EAX + _u32(_REBOOT)
    call += _MOV_EDI + _u32(0xFEE1DEAD)  # LINUX_REBOOT_MAGIC1
    call += _MOV_ESI + _u32(0x28121969)  # LINUX_REBOOT_MAGIC2
    call += _MOV_EDX + _u32(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF
    return drain + call + _SYSCALL


def elf(ending: bytes, line: str = SAYS) -> bytes:
    """A static ELF64 for x86-64 that writes `line` to its stdout and goes on with the code `ending`."""
    text = line.encode() + b"\n"
    write = _MOV_EAX + _u32(_WRITE) + _MOV_EDI + _u32(1) + _MOV_EDX + _u32(len(text))
    tail = _SYSCALL + ending
    code = write + _LEA_RSI_RIP + _u32(len(tail)) + tail  # the text follows the code
    start = _ELF_HEADER.size + _PROGRAM_HEADER.size
    size = start + len(code) + len(text)
    # Magic, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE.
    identity = b"\x7fELF\x02\x01\x01\x00".ljust(16, b"\0")
    header = _ELF_HEADER.pack(
        identity,
        2,  # e_type: ET_EXEC
        62,  # e_machine: EM_X86_64
        1,  # e_version: EV_CURRENT
        BASE + start,  # e_entry
        _ELF_HEADER.size,  # e_phoff: the program header follows at once
        0,  # e_shoff: no sections
        0,  # e_flags
        _ELF_HEADER.size,  # e_ehsize
        _PROGRAM_HEADER.size,  # e_phentsize
        1,  # e_phnum
        0,  # e_shentsize
        0,  # e_shnum
        0,  # e_shstrndx
    )
    load = _PROGRAM_HEADER.pack(
        1,  # p_type: PT_LOAD
        4 | 1,  # p_flags: PF_R | PF_X
        0,  # p_offset: the whole file
        BASE,  # p_vaddr
        BASE,  # p_paddr
        size,  # p_filesz
        size,  # p_memsz
        0x1000,  # p_align: a page
    )
    return header + load + code + text
