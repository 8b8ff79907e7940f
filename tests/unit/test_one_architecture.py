# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is particular to x86-64 is in one value; the build and the guest, which can't import it, agree with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.model.architecture import X86_64

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "builder" / "netvm_build"
NAMES = (X86_64.name, X86_64.debian, X86_64.console, X86_64.machine, X86_64.kernel_image, "x86-64", "qemu-system-x86")


def literals(source: str) -> Iterator[str]:
    """The texts of a file that name the architecture or a part of it; docstrings are none."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose)
    for node in texts:
        if isinstance(node.value, str) and any(name in node.value for name in NAMES):
            yield node.value


def test_the_builder_names_the_architecture_in_one_place() -> None:
    found = {
        str(path.relative_to(PACKAGE)): sorted(literals(path.read_text()))
        for path in PACKAGE.rglob("*.py")
        if list(literals(path.read_text()))
    }
    assert found.keys() == {"model/architecture.py"}, found


def test_a_literal_is_found_in_an_f_string_and_not_in_a_docstring() -> None:
    assert list(literals('"""For x86_64."""\nname = f"console=ttyS0 {1}"\n')) == ["console=ttyS0 "]


@pytest.mark.parametrize(
    ("file", "pattern", "meant"),
    [
        ("templates/platforms/debian/kernel.sh", r"arch/x86/boot/(\w+)", X86_64.kernel_image),
        ("templates/platforms/nixpkgs/kernel.nix", r'mv "\$out/(\w+)" "\$out/kernel"', X86_64.kernel_image),
        ("templates/platforms/shared/make_rootfs.py", r'LIBRARIES = "(.+)"', X86_64.libraries),
        ("templates/platforms/shared/make_rootfs.py", r'LOADER = "(.+)"', X86_64.loader),
        ("templates/platforms/debian/connman.sh", r"libraries=/(\S+)", X86_64.libraries),
        ("templates/platforms/debian/qemu.sh", r"libraries=\$root/(\S+)", X86_64.libraries),
        ("templates/platforms/debian/qemu.sh", r"exec \$root/(\S+)", X86_64.loader),
        ("templates/platforms/debian/qemu.sh", r"binary=\$root/usr/bin/(\S+)", X86_64.qemu_program),
        ("templates/platforms/debian/default.nix", r'system \? "(\w+)-linux"', X86_64.name),
        ("templates/platforms/nixpkgs/default.nix", r'system \? "(\w+)-linux"', X86_64.name),
        ("rootfs/init/core/seccomp.py", r'machine != "(\w+)"', X86_64.name),
        ("rootfs/init/core/seccomp.py", r"X86_64, X32_BIT = (0x\w+)", f"0x{X86_64.audit_arch:X}"),
    ],
)
def test_the_build_and_the_guest_mean_the_same(file: str, pattern: str, meant: str) -> None:
    assert set(re.findall(pattern, (ROOT / file).read_text())) == {meant}


WORDS = {
    X86_64.name,
    f"{X86_64.name}-linux",
    X86_64.qemu_program,
    Path(X86_64.libraries).name,
    Path(X86_64.loader).name,
}
SELF_CONTAINED = {
    "templates/platforms/shared/rootfs.sh",
    "templates/platforms/shared/make_rootfs.py",
    "templates/platforms/debian/default.nix",
    "templates/platforms/debian/connman.sh",
    "templates/platforms/debian/qemu.sh",
    "templates/platforms/nixpkgs/default.nix",
    "rootfs/init/core/seccomp.py",
}
"""What runs in Nix's sandbox or in the guest, where the builder's value isn't at hand."""


def mentions(text: str) -> set[str]:
    """The words of a file that name the architecture, but for comments and docstrings."""
    code = re.sub(r'"""(.|\n)*?"""', "", text)
    code = re.sub(r"(^|\s)#.*", "", code)
    return set(re.findall(r"[\w-]*x86[_-]64[\w.-]*", code))


def test_the_build_and_the_guest_name_the_architecture_in_known_places_only() -> None:
    files = [path for folder in ("templates", "rootfs") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {path: path.read_text(errors="replace") for path in files if "__pycache__" not in path.parts}
    found = {str(path.relative_to(ROOT)): mentions(text) for path, text in texts.items() if mentions(text)}
    assert found.keys() == SELF_CONTAINED
    assert set().union(*found.values()) <= WORDS, found


def test_a_mention_is_found_in_code_and_not_in_a_comment() -> None:
    assert mentions("a=/usr/lib/x86_64-linux-gnu/qemu  # of x86-64\n") == {"x86_64-linux-gnu"}
