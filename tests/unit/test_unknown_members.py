# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of JSON: what a later version adds to a document changes nothing, and any bytes are read or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build import guest, spec
from netvm_build.build.debian import lock
from netvm_build.host.journal import Change, Journal, JournalError
from netvm_build.image import manifest
from netvm_build.smoke import report
from netvm_build.util.decode import DecodeError
from netvm_build.util.errors import LockError, ManifestError
from netvm_build.vm import registry, status
from netvm_build.vmm.qemu import accelerator

from tests.support.foreign import JSON, mutations, peak_mib, replaced
from tests.unit.test_cli_build import write_image
from tests.unit.test_debian import REQUEST, a_lock
from tests.unit.test_foreign_events import COUNTERS, STATUS, VECTORS
from tests.unit.test_foreign_events import RECORD as A_VM
from tests.unit.test_foreign_files import RECORD
from tests.unit.test_report import REPORT

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reader:
    """A kind of document: examples, how its bytes are read, and what that may raise.

    `maps` are members whose own members are data, and have any name.
    """

    documents: Callable[[Path], list[Any]]
    read: Callable[[Path, bytes], Any]
    declared: tuple[type[Exception], ...] = ()
    maps: frozenset[str] = frozenset()


def _in_file(name: str, read: Callable[[Path], Any]) -> Callable[[Path, bytes], Any]:
    def written(folder: Path, data: bytes) -> Any:
        (folder / name).write_bytes(data)
        return read(folder)

    return written


def _image(folder: Path) -> list[Any]:
    write_image(folder / "image")
    document = json.loads((folder / "image" / manifest.FILE).read_text())
    routers = [spec.load(path).router for path in sorted((ROOT / "examples").glob("*.yaml"))]
    assert len(routers) > 5
    return [document, *(document | {"spec": spec.full_spec(router)} for router in routers)]


def _journal(folder: Path) -> list[Any]:
    book = Journal(folder / "made")
    changes = [Change("tap", f"t{number}", {"token": "x", "mac": "y"}, os.getpid(), 1) for number in range(3)]
    for change in changes:
        book.record(change)
    book.adopt(changes[:1], 5, 6)
    book.done(changes[1])
    book.hand_over(7, 8)
    return [[json.loads(line) for line in book.file.read_text().splitlines()]]


def _replayed(folder: Path, data: bytes) -> Any:
    with suppress(ValueError, TypeError, RecursionError):
        lines = json.loads(data)
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (folder / "journal").write_bytes(data)
    return Journal(folder).pending()


def _snapshot(_: Path, data: bytes) -> Any:
    """As a status comes: both answers in lines, and read as replies first."""
    answers = guest.read_object(data.decode(errors="replace")) or {}
    parts = (answers.get(name) for name in ("status", "counters"))
    body, counters = (part if isinstance(part, dict) else {} for part in parts)
    return status.snapshot(A_VM, body, counters)


READERS = {
    "manifest": Reader(
        _image,
        _in_file(manifest.FILE, lambda folder: manifest.load(folder).manifest),
        (ManifestError,),
        frozenset({"versions", "options", "config"}),
    ),
    "status": Reader(lambda _: [{"status": STATUS, "counters": COUNTERS}], _snapshot),
    "events": Reader(
        lambda _: [event for event in VECTORS if event["event"] != "reply"],
        lambda _, data: guest.parse(data.decode(errors="replace")),
    ),
    "lock": Reader(
        lambda _: [json.loads(lock.to_json(a_lock()))],
        _in_file("netvm.lock", lambda folder: lock.load_lock(folder / "netvm.lock", REQUEST)),
        (LockError,),
        frozenset({"mirrors", "sets", "packages", "sources", "files", "versions"}),
    ),
    "registry": Reader(lambda _: [RECORD], _in_file(registry.RECORD, registry.read)),
    "report": Reader(
        lambda _: [json.loads(report.to_json(REPORT))],
        lambda _, data: report.from_json(data.decode(errors="replace")),
        (DecodeError,),
        frozenset({"versions"}),
    ),
    "journal": Reader(_journal, _replayed, (JournalError,), frozenset({"undo"})),
    "accelerator": Reader(
        lambda _: [{"a key": "nothing ran within 5 s", "another": ""}],
        _in_file("accelerator.json", lambda folder: accelerator._recall(folder / "accelerator.json")),
        maps=frozenset({""}),  # all of it is data
    ),
}
KINDS = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


def objects(value: Any, maps: frozenset[str], name: str = "") -> Iterator[dict[str, Any]]:
    """The objects in a JSON value that are records, so that each of their members is known by its name."""
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner, maps, name)
    elif isinstance(value, dict):
        if name not in maps:
            yield value
        for key, inner in value.items():
            yield from objects(inner, maps, "" if name in maps else key)


FINITE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
UNKNOWN = st.dictionaries(st.text(max_size=6).map("x-{}".format), FINITE, min_size=1, max_size=2)
PLACES = st.lists(st.integers(0, 30), max_size=5)


@KINDS
@given(data=st.data(), extra=UNKNOWN)
def test_members_that_are_unknown_change_nothing(
    reader: Reader, scratch: Path, data: st.DataObject, extra: dict[str, Any]
) -> None:
    document = deepcopy(data.draw(st.sampled_from(reader.documents(scratch))))
    known = reader.read(scratch, json.dumps(document).encode())
    assert known is not None
    for one in list(objects(document, reader.maps)):
        one |= extra
    assert reader.read(scratch, json.dumps(document).encode()) == known


@KINDS
@given(data=st.data(), at=PLACES, by=JSON)
def test_any_bytes_are_read_or_refused(
    reader: Reader, scratch: Path, data: st.DataObject, at: list[int], by: Any
) -> None:
    document = data.draw(st.sampled_from(reader.documents(scratch)))
    whole = json.dumps(replaced(document, at, by)).encode()
    written = data.draw(st.just(whole) | mutations(whole) | st.binary(max_size=60))
    with suppress(*reader.declared):
        reader.read(scratch, written)


@pytest.mark.parametrize(
    "written", [b"[" * 100_000, b'{"a":' * 100_000, b'{"version": 1' + b"0" * 5000 + b"}", b"\xff"]
)
@KINDS
def test_bytes_that_are_hard_to_read_are_refused(reader: Reader, scratch: Path, written: bytes) -> None:
    with suppress(*reader.declared):
        assert not reader.read(scratch, written) or reader is READERS["status"]


@pytest.mark.parametrize("filler", ['{"name": "a"},', "[],", "1,", '"a",'])
def test_the_longest_status_takes_bounded_memory(filler: str) -> None:
    many = (filler * (guest.MAX_REPLY // len(filler)))[: guest.MAX_REPLY - 100].rpartition(",")[0]
    for member in ("uplinks", "services", "missing"):
        answers = f'{{"status": {{"{member}": [{many}]}}}}'.encode()
        assert peak_mib(lambda: _snapshot(Path(), answers)) < 90  # noqa: B023  (called at once)
