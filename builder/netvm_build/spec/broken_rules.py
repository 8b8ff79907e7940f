# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Rules that span keys, and that a spec breaks: which are reported, and at which key and line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from netvm_build.model import Router
from netvm_build.spec.fields.readers import Log
from netvm_build.spec.rules import rules


def report_broken(router: Router, log: Log) -> None:
    """Report the rules that are broken, but for those that looked at a value that could not be read.

    What is to be done is said once of each key.
    """
    said: set[tuple[str, str]] = set()
    for violation in rules(router):
        path, *involved = (as_written(one, log.kept) for one in (violation.path, *violation.involves))
        if log.unread.isdisjoint((path, *involved)) and (path, violation.hint) not in said:
            said.add((path, violation.hint))
            log.add(_line(path, involved, log), path, violation.message, violation.hint)


def as_written(path: str, kept: Mapping[str, Sequence[int]]) -> str:
    """The path of a list's item as the spec counts them: items that could not be read are missing in the router."""
    written = ""
    for text, number in re.findall(r"([^\[]*(?:\[\])?)(?:\[([0-9]+)\])?", path):
        written += text
        if number:
            written += f"[{kept[written][int(number)] if written in kept else number}]"
    return written


def _line(path: str, involved: Sequence[str], log: Log) -> int:
    """The line of the key, else of another that the rule looked at, else of what the key belongs to."""
    ends = reversed([match.start() for match in re.finditer(r"[.\[]", path)])
    keys = (path, *involved, *(path[:end] for end in ends))
    lines = (log.origins[key].line for key in keys if key in log.origins)
    return next((line for line in lines if line), 1)
