"""The kernel's own form of a configuration, the .config: read, written as a seed, and compared with what was asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netvm_build.model import OptionKind, OptionValue, RequestedOption
from netvm_build.util.errors import OptionMismatch

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_NOT_SET = re.compile(r"# CONFIG_(\w+) is not set")
_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]+")

ABSENT = "absent"


def parse_dot_config(text: str) -> Mapping[str, str]:
    """Option → value as the file has it: y, m, n (``is not set``), a number, or a text without its quotes."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if found := _SET.fullmatch(line):
            options[found[1]] = _unquoted(found[2])
        elif found := _NOT_SET.fullmatch(line):
            options[found[1]] = "n"
    return options


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def compare(options: Iterable[RequestedOption], dot_config_text: str) -> tuple[OptionMismatch, ...]:
    """What came out otherwise than asked, sorted by name; `because` is for the build's own check to fill in.

    An option asked to be off may be absent.  An optional one may be absent whatever was asked of it.
    """
    built = parse_dot_config(dot_config_text)
    wrong = (option for option in options if not _as_asked(option.value, built.get(option.name)))
    return tuple(
        OptionMismatch(option.name, str(option.value), built.get(option.name, ABSENT))
        for option in sorted(wrong, key=lambda option: option.name)
    )


def _as_asked(asked: OptionValue, got: str | None) -> bool:
    if got is None:
        return asked.optional or str(asked) == "n"
    wanted = str(asked)
    if _NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(got):
        return int(wanted, 16 if "x" in wanted.lower() else 10) == int(got, 16 if "x" in got.lower() else 10)
    return wanted == got


def seed_text(options: Iterable[RequestedOption]) -> str:
    """The file for ``make KCONFIG_ALLCONFIG=FILE allnoconfig`` that asks for the options and nothing else."""
    return "".join(f"{_seed_line(option.name, option.value)}\n" for option in options)


def _seed_line(name: str, value: OptionValue) -> str:
    text = str(value)
    if value.kind is OptionKind.FREEFORM and not _NUMBER.fullmatch(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"# CONFIG_{name} is not set" if text == "n" else f"CONFIG_{name}={text}"
