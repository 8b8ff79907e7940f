# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Router → rendered tree: the Nix expression, the guest's files, everything Nix builds the image from.

`render` is pure and needs neither Nix nor QEMU.  This is the only room that knows Jinja2.  templates/ looks just like
the tree: `*.j2` is rendered, the rest is copied.  A value enters a file only in that file's own form: as a Nix literal
in `*.nix`, as JSON in `*.json`, and elsewhere as text that may not break out of its line.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from netvm_build.build import host_files, traffic_data, uplink_data
from netvm_build.build.nix import literal as nixlit
from netvm_build.kconfig import KernelConfig, stock_parameters
from netvm_build.model import OptionKind, OptionValue, Router, address
from netvm_build.model.architecture import X86_64
from netvm_build.spec import full_spec
from netvm_build.spec.rules import traffic, wifi
from netvm_build.util import resources
from netvm_build.util.errors import RenderError
from netvm_build.util.trust import require

# The console is where a boot that dies early tells why, panic=-1 ends the VM instead of leaving it hanging.
# no_timer_check: the kernel counts ticks for ten milliseconds to find out whether the timer works.  On a busy host an
# emulated machine may not get them, and hangs after "MP-BIOS bug: 8254 timer not connected to IO-APIC".
CONSOLE = (f"console={X86_64.console}",)
CMDLINE = (
    "rootfstype=erofs", "ro", "init=/usr/bin/python3", "panic=-1", "no_timer_check", "quiet",
)  # fmt: skip

# Hardening that costs nothing: docs/reference/security.md.  Without the first, SHUFFLE_PAGE_ALLOCATOR shuffles nothing.
HARDENING = ("page_alloc.shuffle=1", "hardened_usercopy=1", "mitigations=auto,nosmt", "nosmt")

PLAIN_ROOT = ("root=/dev/vda",)
VERIFIED_ROOT = ("root=/dev/dm-0", 'dm-mod.create="@verity@"')
"""The build puts the table in, which holds the root's hash: see make_image.py and make_verity.py."""

# What is handed to PID 1, and so comes last (bootparam(7)).  /sbin/init does the same, but is source, and compiling its
# few lines costs 0.06 s of each boot under TCG.
INIT_ARGUMENTS = ("--", "-ISB", "/usr/lib/netvm/start.pyc")

# What only the kernel's decompressor looks for, on the whole line (arch/x86/boot/compressed/kaslr.c).  A word that the
# kernel itself does not know comes before PID 1's own arguments, where Python would take it for its program.
DECOMPRESSOR = ("nokaslr",)

# Lists the files of a tree we wrote, so that a later write removes what is no longer part of it and nothing else.
MARKER = ".netvm-tree"


@dataclass(frozen=True)
class RenderedTree:
    """Path below the tree's folder → content, sorted by path."""

    files: Mapping[str, bytes]


def render(router: Router, kernel: KernelConfig) -> RenderedTree:
    """The whole tree of a router.  Raises RenderError for a value that a file's format cannot hold."""
    files: dict[str, bytes] = {}
    _collect(resources.folder("rootfs") / "static", "rootfs", files)
    _collect(resources.folder("rootfs") / "init", "rootfs/usr/lib/netvm/init", files)
    templates = resources.folder("templates")
    _collect(templates, "", files)
    values = _values(router, kernel)
    for path in [path for path in files if path.endswith(".j2")]:
        del files[path]
        rendered = _environment(templates, path).get_template(path).render(values)
        if rendered.strip():
            files[path.removesuffix(".j2")] = rendered.encode()
    files |= {f"rootfs/{path}": content for path, content in uplink_data.files(router).items()}
    files |= host_files.files(router)
    return RenderedTree(dict(sorted(files.items())))


def _values(router: Router, kernel: KernelConfig) -> dict[str, Any]:
    """What templates may name."""
    spec = full_spec(router)
    if not router.wifi.networks:
        del spec["wifi"]  # a new key of Wi-Fi must not change images without Wi-Fi
    host_files.leave_out(spec)
    return {
        "address": address,
        "router": router,
        "kernel": kernel,
        "spec": spec,
        "cmdline": _cmdline(router, kernel),
        "traffic": traffic_data.values(router, kernel.value("IPV6") != "n"),
        "options": {option.name: str(option.value) for option in kernel.options if not option.value.optional},
        "drivers": None if kernel.drivers is None else dataclasses.asdict(kernel.drivers),
        "machine": {"arch": X86_64.name, **spec["machine"]},
        "nixpkgs": _nixpkgs(router),
        "kernel_source": _kernel_source(router),
        "services": _services(router),
        "uplinks": uplink_data.uplinks(router),
        "wifi": uplink_data.wifi(router),
        "wifi_daemon": wifi.DAEMON,
    }


def _services(router: Router) -> list[dict[str, Any]]:
    """What PID 1 reads of the spec's services."""
    return [
        {
            "name": one.name,
            "command": list(one.command),
            "user": router.image.users[one.name],
            "capabilities": list(one.capabilities),
            "calls": list(one.calls),
            "network": one.networked,
            "memory_mib": one.memory_mib,
            "required": one.required,
        }
        for one in router.image.services
    ]


def _cmdline(router: Router, kernel: KernelConfig) -> str:
    """The kernel's command line.  What the spec adds comes after our own, and so wins over it."""
    root = VERIFIED_ROOT if router.image.verity else PLAIN_ROOT
    stock = stock_parameters(kernel.requests) if router.kernel.stock else ()
    ours = (*CONSOLE, *root, *CMDLINE, *HARDENING, *stock, *traffic.kernel_parameters(router))
    early = [word for word in router.kernel.parameters if word in DECOMPRESSOR]
    theirs = [word for word in router.kernel.parameters if word not in DECOMPRESSOR]
    return " ".join((*ours, *theirs, *INIT_ARGUMENTS, *early))


def _nixpkgs(router: Router) -> nixlit.Raw:
    """The nixpkgs tree as Nix: a path, a tarball, or whatever <nixpkgs> is on the machine that builds."""
    where = router.platform.nixpkgs
    if where is None:
        return nixlit.Raw("<nixpkgs>")
    if "://" in where:
        return nixlit.Raw(f"fetchTarball {nixlit.string(where)}")
    return nixlit.Raw(f"/. + {nixlit.string(str(Path(where).resolve()))}")


def _kernel_source(router: Router) -> nixlit.Raw | None:
    """Where the kernel's source is as Nix: a file of this machine, or a URL; None for Debian's."""
    source = router.kernel.source
    if source is None:
        return None
    if source.path is None:
        return nixlit.Raw(f"{{ url = {nixlit.string(source.written)}; }}")
    return nixlit.Raw(f"{{ file = /. + {nixlit.string(str(source.path))}; }}")


def _collect(folder: Path, prefix: str, files: dict[str, bytes]) -> None:
    """Add every file below a folder to `files`, leaving out what Python left there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[str(Path(prefix) / path.relative_to(folder))] = path.read_bytes()


def _environment(templates: Path, path: str) -> jinja2.Environment:
    """The Jinja environment of one file's format."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        finalize=_finalizer(path),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        comment_start_string="{##",  # {# is a comment in shell and Nix
        comment_end_string="##}",
        optimized=False,  # each template is rendered once: to fold its constants would take longer than it saves
        autoescape=False,  # noqa: S701  # this is not HTML: each format has its own finalizer
    )
    environment.filters |= {
        "attribute": lambda name: nixlit.Raw(nixlit.attribute(name)),
        "bare": lambda text: nixlit.Raw(_one_line(text)),
        "kernel_value": kernel_value,
        "nested": lambda value, indent: nixlit.Raw(nixlit.literal(value, indent)),
    }
    return environment


def _finalizer(path: str) -> Callable[[Any], Any]:
    """What turns the value of `{{ x }}` into text of the file's format."""
    if path.endswith(".nix.j2"):
        return nixlit.literal
    if path.endswith(".json.j2"):
        return lambda value: value if isinstance(value, Markup) else json.dumps(value)
    return _one_line


def _one_line(value: object) -> str:
    """Text for a line of a configuration file.  Raises RenderError where it could begin a line of its own."""
    text = str(value)
    if not text.isprintable():
        raise RenderError(f"{text!r} has characters that a configuration file cannot hold")
    return text


def kernel_value(value: OptionValue) -> nixlit.Raw:
    """What is asked of an option in the words of lib.kernel: ``yes``, ``option no``, ``freeform "1000"``."""
    word = value.kind.value
    if value.kind is OptionKind.FREEFORM:
        word = f"freeform {nixlit.string(value.text)}"
        if value.optional:
            word = f"({word})"
    return nixlit.Raw(f"option {word}" if value.optional else word)


def write(tree: RenderedTree, folder: Path) -> None:
    """Make `folder` hold exactly the tree.  Files that are right already are not touched.

    Raises RenderError when the folder holds something else, which we would not want to remove, and Untrusted for one
    that others can write to: Nix evaluates what is in it.
    """
    require(folder)
    previous = _previous(folder)
    try:
        for name in previous - set(tree.files):
            (folder / name).unlink(missing_ok=True)
        for name, content in tree.files.items():
            path = folder / name
            if path.is_file() and path.read_bytes() == content:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / MARKER).write_text("".join(f"{name}\n" for name in tree.files))
    except OSError as error:
        raise RenderError(f"{error.filename or folder}: {error.strerror}") from error


def _previous(folder: Path) -> set[str]:
    """The files of the tree that was written to a folder before.  Raises RenderError for a folder of something else."""
    marker = folder / MARKER
    if marker.is_file():
        names = set(marker.read_text().split("\n")) - {""}
        return {name for name in names if not name.startswith("/") and ".." not in Path(name).parts}
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RenderError(f"{folder} is not empty and holds no rendered tree", hint="name a new folder with -o")
    return set()


def diff(tree: RenderedTree, folder: Path) -> str:
    """A unified diff from what a folder holds to the tree; empty when nothing would change."""
    import difflib  # only `--diff` needs it

    old = {name: folder / name for name in _previous(folder)}
    parts: list[str] = []
    for name in sorted(old.keys() | tree.files.keys()):
        before = old[name].read_bytes() if name in old and old[name].is_file() else b""
        after = tree.files.get(name, b"")
        if before != after:
            parts += difflib.unified_diff(
                before.decode(errors="replace").splitlines(keepends=True),
                after.decode(errors="replace").splitlines(keepends=True),
                f"a/{name}" if name in old else "/dev/null",
                f"b/{name}" if name in tree.files else "/dev/null",
            )
    return "".join(parts)
