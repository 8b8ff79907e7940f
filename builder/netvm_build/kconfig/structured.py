# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""structuredExtraConfig, as nixpkgs has it, evaluated by Nix.

The file is somebody else's program.  Nix evaluates it in restricted mode, without a store, and so it reads no file but
itself, builds nothing and reaches no network (nix.conf(5): restrict-eval, allow-import-from-derivation); prlimit(1)
bounds its memory, its time and what it prints.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netvm_build.kconfig.imported import Imported, Item, LeftOut, taken
from netvm_build.model import OptionKind, OptionValue, Source
from netvm_build.spec.scalars import ReadError, linux_version, versions
from netvm_build.spec.yaml_nodes import Scalar
from netvm_build.util import process
from netvm_build.util.decode import DecodeError, decode, read_json
from netvm_build.util.errors import NetvmError

EXPRESSION = Path(__file__).with_suffix(".nix")
SECONDS = 20
MEMORY_BYTES = 4 << 30
PRINTED_BYTES = 16 << 20

_LEVELS = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}
_LINE = re.compile(r"\s*([A-Za-z0-9_]+)(\?)?\s+(.*\S)\s*")  # of extraConfig: NAME[?] value
_PURE = {
    "restrict-eval": "true",
    "allow-import-from-derivation": "false",
    "store": "dummy://",
    "build-users-group": "",
    "substituters": "",
}


@dataclass(frozen=True)
class NixOption:
    """An option as structured.nix prints it; with a `type`, something else that stands in its place."""

    name: str
    type: str = ""
    tristate: str | None = None
    freeform: str | None = None
    optional: bool = False
    priority: int = 100
    at_least: str | None = None
    older_than: str | None = None


def read_structured(text: str, file: str, version: str) -> Imported:
    """The options of a Nix file's text; conditions that it computes itself hold for `version`.

    Raises ToolMissing, or NetvmError where Nix can't evaluate it.
    """
    found = _evaluated(text, file, version)
    best: dict[tuple[str, str | None, str | None], int] = {}
    for one in found:
        key = (one.name, one.at_least, one.older_than)
        best[key] = min(one.priority, best.get(key, one.priority))
    kept = [one for one in found if one.priority == best[one.name, one.at_least, one.older_than]]
    return taken(item for one in kept for item in _items(one, Source(file)))


def _items(one: NixOption, source: Source) -> Iterator[Item | LeftOut]:
    if one.type == "text":
        yield from _of_lines(one.freeform or "", source)
    elif one.type == "skipped":
        yield LeftOut(one.name, source, "its condition doesn't hold")
    elif one.type:
        yield LeftOut(one.name, source, f"is not a value of lib.kernel but {one.type}")
    else:
        try:
            limits = (_limit(one.at_least), _limit(one.older_than))
            yield Item(one.name, _value(one, *limits), source)
        except ReadError as error:
            yield LeftOut(one.name, source, error.message)


def _limit(version: str | None) -> str | None:
    return None if version is None else linux_version(Scalar(version, 0))


def _value(one: NixOption, at_least: str | None, older_than: str | None) -> OptionValue:
    between = versions(at_least, older_than)
    if one.freeform is not None:
        return OptionValue(OptionKind.FREEFORM, one.freeform, one.optional, between)
    if one.tristate is not None and one.tristate not in _LEVELS:
        raise ReadError(f"{one.tristate!r} is neither y, m nor n", "")
    kind = OptionKind.UNSET if one.tristate is None else _LEVELS[one.tristate]
    return OptionValue(kind, "", one.optional, between)


def _of_lines(text: str, source: Source) -> Iterator[Item | LeftOut]:
    """extraConfig, the older form: a line ``NAME value`` for each option, ``NAME? value`` for an optional one."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found:
            name, optional, value = found[1].removeprefix("CONFIG_"), found[2] is not None, found[3]
            kind = _LEVELS.get(value, OptionKind.FREEFORM)
            text = "" if kind is not OptionKind.FREEFORM else value.strip('"')
            yield Item(name, OptionValue(kind, text, optional), source)
        elif line.strip() and not line.strip().startswith("#"):
            yield LeftOut(line.strip(), source, "is not a line of extraConfig")


def _evaluated(text: str, file: str, version: str) -> list[NixOption]:
    nix = process.find_tool("nix-instantiate", "nix-bin")
    prlimit = process.find_tool("prlimit", "util-linux")
    options = [word for name, value in _PURE.items() for word in ("--option", name, value)]
    with tempfile.TemporaryDirectory(prefix="netvm-kernel-") as folder, tempfile.TemporaryFile() as printed:
        (Path(folder) / "options.nix").write_text(text)
        (Path(folder) / "structured.nix").write_text(EXPRESSION.read_text())
        expression = f'import <netvm/structured.nix> {{ file = <netvm/options.nix>; version = "{version}"; }}'
        argv = [
            *(prlimit, f"--as={MEMORY_BYTES}", f"--cpu={SECONDS}", f"--fsize={PRINTED_BYTES}", "--core=0"),
            *(nix, "--eval", "--strict", "--json", "--readonly-mode", *options),
            *("-I", f"netvm={folder}", "--expr", expression),
        ]
        with tempfile.TemporaryFile() as errors:
            status = _run(argv, folder, printed, errors)
            said = _tail(errors)
        if status != 0:
            message = f"{file} cannot be evaluated" + (f": {said}" if status is not None else f" in {SECONDS} seconds")
            hint = "it may use lib.kernel and lib's mkForce, mkDefault, mkIf, mkMerge, but no other file and no package"
            raise NetvmError(message.replace(folder + "/options.nix", file), hint=hint)
        printed.seek(0)
        try:
            return [decode(NixOption, one) for one in read_json(printed.read())]
        except (DecodeError, UnicodeDecodeError) as error:
            raise NetvmError(f"{file}: {error}", hint="names and texts must be UTF-8") from error


def _run(argv: list[str], folder: str, printed: IO[bytes], errors: IO[bytes]) -> int | None:
    """The exit status; None if it took too long.  Nix finds no settings and no channel of the user's."""
    env = {
        "NIX_CONFIG": "",
        "NIX_PATH": "",
        "NIX_REMOTE": "",
        "HOME": folder,
        "NIX_USER_CONF_FILES": "",
        "NIX_CONF_DIR": folder,
    }
    child = process.spawn(argv, env=env, stdout=printed, stderr=errors)
    try:
        if not process.ends_within(child, SECONDS):
            return None
        return child.wait()
    finally:
        process.end_group(child)


def _tail(errors: IO[bytes]) -> str:
    """What Nix says is wrong, in one line."""
    errors.seek(0)
    lines = errors.read(1 << 20).decode(errors="replace").splitlines()
    said = [line.removeprefix("error: ").strip() for line in lines if line.startswith("error:")]
    place = [line.strip() for line in lines if line.strip().startswith("at ")]
    return " ".join((*(said[:1] or lines[-1:] or ["it ended without a word"]), *place[:1]))[:300]
