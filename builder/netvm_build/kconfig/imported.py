# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Options of a kernel as other programs write them → requests of ours, and what can't be one, with the reason.

A .config, a defconfig and the fragments of merge_config.sh are read here, structuredExtraConfig by structured.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from netvm_build.kconfig.dotconfig import read_config
from netvm_build.model import OptionKind, OptionValue, RequestedOption, Source
from netvm_build.spec.option_values import NUMBER, option_name, option_value
from netvm_build.spec.scalars import ReadError
from netvm_build.spec.yaml_nodes import Scalar
from netvm_build.util.errors import NetvmError

MOST_BYTES = 8 << 20  # a distribution's .config has 0.3 MiB

_LEVELS = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}
_SUFFIXES = (".gz", ".config", ".conf", ".cfg", ".nix")
_GENERATED = "# Automatically generated file; DO NOT EDIT."

# Symbols without a question, by the names that the kernel's maintainers give them; some describe the compiler.
_NO_QUESTION = re.compile(
    r"(?:CC|GCC|CLANG|LD|LLD|AS|RUSTC|PAHOLE|TOOLS|BINDGEN)_(?:VERSION(?:_TEXT)?|IS_\w+|HAS_\w+|CAN_\w+|SUPPORT_\w+)"
    r"|(?:GENERIC|HAVE|ARCH_(?:HAS|HAVE|SUPPORTS|WANTS?|USES?|ENABLE|CONFIGURES|MAY_HAVE|HIBERNATION))_\w+"
)


@dataclass(frozen=True)
class Item:
    """An option as a file has it: nothing of it is checked."""

    name: str
    value: OptionValue
    source: Source


@dataclass(frozen=True)
class LeftOut:
    """What a file has and a fragment of ours can't have; `name` is the option or the line."""

    name: str
    source: Source
    reason: str


@dataclass(frozen=True)
class Imported:
    """The options of files; the last of several for the same option and the same versions of Linux."""

    options: tuple[RequestedOption, ...]
    left_out: tuple[LeftOut, ...]


def taken(items: Iterable[Item | LeftOut]) -> Imported:
    """The items as requests.  Those that a fragment can't hold are left out, and so are those that others replace."""
    options: dict[object, RequestedOption] = {}
    left_out: list[LeftOut] = []
    for item in items:
        if isinstance(item, LeftOut):
            left_out.append(item)
        elif reason := _unfit(item):
            left_out.append(LeftOut(item.name, item.source, reason))
        else:
            request = RequestedOption(item.name, item.value, item.source)
            first = options.pop((item.name, item.value.versions), None)
            if first is not None and first.value != item.value:
                left_out.append(LeftOut(item.name, first.source, f"{item.source} has another value"))
            options[item.name, item.value.versions] = request
    return Imported(tuple(options.values()), tuple(left_out))


def _unfit(item: Item) -> str | None:
    """Why a fragment can't have it."""
    if _NO_QUESTION.fullmatch(item.name):
        return "follows from other options or from the compiler"
    try:
        option_name(item.name)
        if item.value.kind is OptionKind.FREEFORM:
            read = option_value(Scalar(item.value.text, 0, quoted=True))
            if (read.kind, read.text) != (OptionKind.FREEFORM, item.value.text):
                return f"the text {item.value.text!r} would be read as {read.kind.value}"
    except ReadError as error:
        return error.message
    return None


def joined(parts: Sequence[Imported]) -> Imported:
    """Several files as one: the later win, as with merge_config.sh."""
    left_out = [one for part in parts for one in part.left_out]
    both = taken(Item(one.name, one.value, one.source) for part in parts for one in part.options)
    return Imported(both.options, (*left_out, *both.left_out))


def name_for(file: str) -> str:
    """The name of the fragment that a file is imported as: that of the file, but for what a name can't have."""
    stem = Path(file).name.lower()
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    return re.sub(r"[^a-z0-9]+", "-", stem).lstrip("-0123456789")[:50].strip("-") or "imported"


def read_text(path: Path, shown_as: str) -> str:
    """The text of a file, which may be compressed as /proc/config.gz is.  Raises NetvmError."""
    hint = "check the path; a .config, a fragment of one or a Nix file is expected"
    try:
        if path.exists() and not path.is_file():
            raise NetvmError(f"{shown_as} is not a regular file", hint=hint)
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            data = zlib.decompressobj(wbits=31).decompress(data, MOST_BYTES + 1)
    except (OSError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise NetvmError(f"{shown_as} cannot be read: {reason}", hint=hint) from error
    if len(data) > MOST_BYTES:
        raise NetvmError(f"{shown_as} is larger than {MOST_BYTES >> 20} MiB", hint="is this the right file?")
    return data.decode("utf-8-sig", errors="replace")


def read_dotconfig(text: str, file: str) -> Imported:
    """The options of a .config, a defconfig or a fragment of merge_config.sh.

    A whole .config names every option that is off; as all options are off unless asked for, those are left out.
    """
    whole = _GENERATED in text[:400]
    return taken(_lines(text, file, whole=whole))


def _lines(text: str, file: str, *, whole: bool) -> Iterator[Item | LeftOut]:
    for number, raw in enumerate(text.splitlines(), 1):
        line, source = raw.strip(), Source(file, number)
        options = read_config(line)
        if not options and line and not line.startswith("#"):
            yield LeftOut(line[:60], source, "is not a line of a .config")
        for name, text_value in options.items():
            if line.startswith("#") and whole:
                yield LeftOut(name, source, "is off anyway, unless another option selects it")
                continue
            value = _value(line, text_value)
            bad = "its value is neither y, m, n, a number nor a text in quotes"
            yield LeftOut(name, source, bad) if value is None else Item(name, value, source)


def _value(line: str, text: str) -> OptionValue | None:
    """The value of a line; only texts are in quotes."""
    if line.endswith('"'):
        return OptionValue(OptionKind.FREEFORM, text)
    if text in _LEVELS:
        return OptionValue(_LEVELS[text])
    return OptionValue(OptionKind.FREEFORM, text) if NUMBER.fullmatch(text) else None
