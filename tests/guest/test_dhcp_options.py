# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The DHCP client's parser, as ConnMan's patch has it, against the test's model, with sanitizers.

It reads what the first server to answer on an uplink wrote.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix import literal as nixlit
from netvm_build.util import process

from tests.support.needs import tell

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data/dhcp"
PATCH = ROOT / "templates/platforms/shared/connman-dhcp.patch"
CASES = 20_000
OVERLOAD, END = 52, 255
ROOM = 300  # of joined parts, in read_options.c

EXPRESSION = """
let
  lock = builtins.fromJSON (builtins.readFile ({tree} + "/netvm.lock"));
  packages = import ({tree} + "/platforms/debian/packages.nix") {{ inherit lock; system = "x86_64-linux"; }};
in
packages.runIn {{
  name = "dhcp-options";
  root = packages.root "connman-dev";
  script = {script};
  source = {source};
  parser = {parser};
  cases = {cases};
}}
"""


def parser() -> str:
    """gdhcp/options.h, which the patch adds whole."""
    text = PATCH.read_text()
    body = text.split("+++ b/gdhcp/options.h\n", 1)[1].split("\n--- ", 1)[0]
    return "".join(line[1:] + "\n" for line in body.splitlines() if line.startswith("+"))


Case = tuple[int, int, bytes, bytes, bytes]


def some_field(rng: random.Random, room: int, code: int) -> bytes:
    """Options, good and bad, and what is no option at all, cut to a length."""
    made = b""
    while len(made) < room and rng.random() > 0.06:
        kind = rng.random()
        number = rng.choice((code, code, OVERLOAD, 1, 3, 53, rng.randrange(256)))
        if kind < 0.15:
            made += bytes(rng.randrange(4))
        elif kind < 0.3 and code in (121, 249):
            width = rng.choice((0, 8, 12, 24, 32, 33, rng.randrange(256)))
            data = bytes([width]) + rng.randbytes((min(width, 40) + 7) // 8 + rng.choice((4, 4, 4, 3, 0)))
            made += bytes([code, len(data)]) + data
        elif kind < 0.8:
            data = (
                b"\3"
                if number == OVERLOAD and rng.random() < 0.8
                else rng.randbytes(rng.choice((0, 1, 2, 4, 5, 9, 60)))
            )
            made += bytes([number, len(data)]) + data
        elif kind < 0.9:
            made += bytes([number, rng.randrange(256)]) + rng.randbytes(rng.randrange(20))
        else:
            made += rng.randbytes(rng.randrange(12))
    return made[:room]


def cases() -> Iterator[Case]:
    rng = random.Random(2131)  # noqa: S311  (the same each time)
    for _ in range(CASES):
        code = rng.choice((1, 3, 6, 26, 51, 53, 54, 121, 121, 121, 249, rng.randrange(1, 255)))
        room = rng.choice((0, 1, 2, 3, 60, 312, 1232))
        options = some_field(rng, rng.choice((room, rng.randrange(room + 1))), code)
        file, sname = (some_field(rng, size, code).ljust(size, rng.choice((b"\0", b"\xff"))) for size in (128, 64))
        yield code, rng.choice((0, 1, 2, 4, 5)), options, file, sname


def options_in(field: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(where the data begins, code, data) of each option, to the first that is cut short."""
    at = 0
    while at < len(field) and field[at] != END:
        if field[at] == 0:
            at += 1
            continue
        if at + 2 > len(field) or at + 2 + field[at + 1] > len(field):
            return
        yield at + 2, field[at], field[at + 2 : at + 2 + field[at + 1]]
        at += 2 + field[at + 1]


def model(case: Case) -> str:
    """The line that the parser must print."""
    code, least, options, file, sname = case
    overload = next((data[0] for _, found, data in options_in(options) if found == OVERLOAD and len(data) == 1), 0)
    fields = [("o", options), *((("f", file),) if overload & 1 else ()), *((("s", sname),) if overload & 2 else ())]
    same = [(name, at, data) for name, field in fields for at, found, data in options_in(field) if found == code]
    first = next((f"{name}{at}" for name, at, data in same if len(data) >= least), "-")
    joined = b"".join(data for _, _, data in same)
    if not same or len(joined) > ROOM:
        return f"{first} -1  -1"
    routes: list[str] = []
    at = 0
    while at < len(joined):
        width = joined[at]
        octets = (width + 7) // 8
        if width > 32 or at + 1 + octets + 4 > len(joined):
            break
        number = int.from_bytes(joined[at + 1 : at + 1 + octets].ljust(4, b"\0"), "big")
        number &= (0xFFFFFFFF << (32 - width)) & 0xFFFFFFFF
        router = joined[at + 1 + octets : at + 5 + octets]
        routes.append(f"{'.'.join(map(str, number.to_bytes(4, 'big')))}/{width}={'.'.join(map(str, router))}")
        at += 5 + octets
    count = len(routes) if routes and at == len(joined) else -1
    return " ".join([first, str(len(joined)), joined.hex(), str(count), *routes])


def test_the_parser_finds_what_the_model_finds_and_reads_nothing_else(
    loaded: loading.Loaded, workshop: Path, tmp_path: Path
) -> None:
    tree = pipeline.prepare(loaded, workshop / "connman", tell)
    every = list(cases())
    (tmp_path / "options.h").write_text(parser())
    with (tmp_path / "cases").open("wb") as file:
        for code, least, options, *rest in every:
            file.write(bytes([code, least]) + len(options).to_bytes(2, "big") + options + b"".join(rest))
    expression = EXPRESSION.format(
        tree=nixlit.literal(str(tree.resolve())),
        script=DATA / "read_options.sh",
        source=DATA / "read_options.c",
        parser=tmp_path / "options.h",
        cases=tmp_path / "cases",
    )
    argv = [process.find_tool("nix", nix.PACKAGE), "build", "--impure", "--no-link", "--json", "--expr", expression]
    (built,) = json.loads(process.run(argv, env=nix.environment()).stdout)
    found = Path(built["outputs"]["out"]).read_text().splitlines()
    assert len(found) == len(every)
    for case, line in zip(every, found, strict=True):
        assert line == model(case), case
    assert sum(not line.startswith("-") for line in found) > CASES / 10  # they are no mere noise
    assert sum("=" in line for line in found) > CASES / 50
