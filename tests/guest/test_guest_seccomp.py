"""The filter of system calls: each verdict in a small interpreter, the numbers, and the real kernel's word."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from init import seccomp

VECTORS = Path(__file__).parents[1] / "vectors" / "linux.json"
HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h"))


def verdict(number: int, architecture: int = seccomp.X86_64, allowed: frozenset[str] = frozenset()) -> int:
    """What the program returns for a call (Linux, Documentation/networking/filter.rst)."""
    code = list(struct.iter_unpack("=HBBI", seccomp.program(allowed)))
    data = struct.pack("=IIQ6Q", number, architecture, *[0] * 7)
    at, accumulator = 0, 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == seccomp.EQUAL:
            at += yes if accumulator == value else no
        elif operation == seccomp.AT_LEAST:
            at += yes if accumulator >= value else no
        else:
            assert operation == seccomp.RETURN
            return int(value)


def test_each_call_has_its_verdict() -> None:
    refused = set(seccomp.REFUSED.values())
    assert len(refused) == len(seccomp.REFUSED)
    for number in range(600):
        assert verdict(number) == (seccomp.REFUSE if number in refused else seccomp.ALLOW), number


def test_what_one_program_needs_is_refused_to_the_others() -> None:
    keys = frozenset({"add_key", "keyctl"})
    passes = {name for name, number in seccomp.REFUSED.items() if verdict(number, allowed=keys) == seccomp.ALLOW}
    assert passes == keys
    assert verdict(0, 0x40000003, keys) == seccomp.KILL
    assert verdict(seccomp.X32_BIT, allowed=keys) == seccomp.KILL


@pytest.mark.parametrize("number", [0, 59, 165, 599])
def test_another_architecture_kills(number: int) -> None:
    assert verdict(number, 0x40000003) == seccomp.KILL  # AUDIT_ARCH_I386
    assert verdict(number | seccomp.X32_BIT) == seccomp.KILL


def test_the_numbers_are_the_kernel_s() -> None:
    """Those of the vectors, which in turn are held against this machine's header where it has one."""
    real = json.loads(VECTORS.read_text())["x86_64_calls"]
    assert {name: real[name] for name in seccomp.REFUSED} == dict(seccomp.REFUSED)
    for header in filter(Path.exists, HEADERS):
        here = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
        both = here.keys() & real.keys()
        assert len(both) > 300
        assert {name: here[name] for name in both} == {name: real[name] for name in both}


def test_the_kernel_takes_it_and_refuses() -> None:
    root = Path(__file__).parents[2] / "rootfs"
    script = (
        "from init import native, seccomp\n"
        "import os\n"
        "native.forbid_new_privileges(); native.filter_calls(seccomp.program())\n"
        "print([l for l in open('/proc/self/status') if l.startswith('Seccomp:')])\n"
        "try: os.chroot('/')\n"
        "except PermissionError as e: print('refused', e.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "['Seccomp:\\t2\\n']\nrefused 1\n"
