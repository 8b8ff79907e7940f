# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys that there are not: each is answered by its own reason, and none of them is one that there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.spec.absent import ABSENT
from netvm_build.spec.absent.entry import UPLINK
from netvm_build.spec.fields.uplinks import UPLINK as ENTRY
from netvm_build.spec.keys import KEYS, SECTIONS
from netvm_build.util.errors import SpecError

EVERY = [(section, name, one.answer) for one in ABSENT for section in one.sections for name in one.names]


def hints(text: str) -> list[str | None]:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, "netvm.yaml", Path("/nowhere"))
    return [one.hint for one in caught.value.problems]


@pytest.mark.parametrize(("section", "name", "answer"), EVERY)
def test_a_key_that_there_is_not_is_answered_by_its_reason(section: str, name: str, answer: str) -> None:
    written = f"'{name}': yes"
    assert hints(f"version: 1\n{section}: {{{written}}}\n" if section else f"version: 1\n{written}\n") == [answer]
    if section == UPLINK:
        assert hints(f"version: 1\nuplinks: [{{name: a, mac: '52:54:00:12:34:56', {written}}}]\n") == [answer]


def test_none_of_them_is_there_and_none_is_answered_twice() -> None:
    there = {key.path for key in KEYS} | {section.path for section in SECTIONS}
    there |= {f"uplink.{key}" for key in ENTRY.schema["properties"]}
    paths = [f"{section}.{name}".lstrip(".") for section, name, _ in EVERY]
    assert not there & set(paths)
    assert len(paths) == len(set(paths))


def test_they_are_written_otherwise_too() -> None:
    assert hints("version: 1\nuplink: {DHCP-Options: []}\n") == hints("version: 1\nuplink: {dhcp_options: []}\n")
    assert hints("version: 1\nuplink: {802.1X: yes}\n") == hints("version: 1\nuplink: {dot1x: yes}\n")
