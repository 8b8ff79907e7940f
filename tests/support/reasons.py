# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `check` says an option needs, read back from its words."""

from __future__ import annotations

import re

_VALUES = {"yes": "y", "module": "m", "no": "n"}


def named(message: str) -> dict[str, str]:
    """The options that a reason names, with the values it asks for; of alternatives the first."""
    if not message.startswith("needs "):
        return {}
    text = message.partition(", which rules out ")[0]
    text = re.sub(r"\w+: no, but (\w+) \([^)]*\) brings it", r"\1: no", text)
    text = re.sub(r" or \w+: \w+", "", text)
    return {name: _VALUES[value] for name, value in re.findall(r"(\w+): (yes|module|no)\b", text)}


def pasted(hint: str) -> dict[str, str]:
    """What a hint has the user add to kernel.config."""
    found = re.search(r"\{(.*?)\}", hint)
    return {name: _VALUES[value] for name, value in re.findall(r"(\w+): (\w+)", found[1])} if found else {}


def ruled_out(message: str) -> list[str]:
    """The other requests that a reason says can't be as asked then."""
    return re.findall(r"(\w+) \(\S+:\d+\)", message.partition(", which rules out ")[2])


def impossible(message: str) -> bool:
    """Whether a reason says that nothing brings the option."""
    return message.endswith(("which this kernel does not have", "this machine or compiler lacks", "the kernel decides"))
