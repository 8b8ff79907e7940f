# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `python -m bench` computes and prints; nothing here is timed."""

from __future__ import annotations

import asyncio
import io
import json
import platform
import re
import shlex
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from netvm_build import guest as console
from netvm_build.image import manifest
from netvm_build.model import Router
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.guest import Guest, Heard
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator
from rich.console import Console

from bench import __main__ as cli
from bench import boot, commands, document, erofs, memory, static_init, table
from bench.rows import ROWS
from bench.values import Aim, Measured, Result, Row, Setting, Summary, Unmeasured, summarize

SCHEMA = json.loads((Path(document.__file__).parent / "schema.json").read_text())


DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "benchmarks.md"


def calls_in_the_document() -> list[str]:
    """The arguments of every call that docs/reference/benchmarks.md shows."""
    calls = re.findall(r"(?:make\.sh bench|python -m bench)\b([^`\n]*)", DOCUMENT.read_text())
    assert len(calls) >= 5
    return calls


def never(_: Setting) -> Measured:
    raise AssertionError


ROW = Row("boot", "boot", "s", never, beside="static init", aim=Aim(2.0, "ratio"))
PAIRS = Measured((1.9, 4.2, 3.0), beside=(1.0, 2.0, 1.0), notes=("a note",), details={"seen": [1]})

AROUND: dict[str, Any] = {
    "netvm_build": "0",
    "python": "3.13.5",
    "host_kernel": "6.1",
    "image": {"linux": "6.12.117"},
    "kernel_sha256": "a" * 64,
    "rootfs_sha256": "b" * 64,
    "qemu": "10.0.2",
    "accelerator": "tcg",
    "cpus": 2,
    "load_average": [0.5, 1.0, 1.5],
}


# ---- statistics


def test_a_summary_is_the_middle_and_both_ends() -> None:
    assert summarize((3.0, 1.0, 9.0)) == Summary(3.0, 1.0, 9.0)
    assert summarize((4.0, 1.0)) == Summary(2.5, 1.0, 4.0)


def test_ratios_are_taken_pair_by_pair() -> None:
    """The median of ratios is 2.1; the ratio of the medians would be 3."""
    result = Result(ROW, PAIRS)
    assert result.ratio is not None
    assert result.ratio.median == pytest.approx(2.1)
    assert (result.ratio.lowest, result.ratio.highest) == pytest.approx((1.9, 3.0))
    assert result.met is False


def test_half_a_pair_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = Measured((1.0, 2.0), beside=(1.0,)).ratios


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (None, None),
        (Aim(3.0), True),
        (Aim(2.9), False),
        (Aim(2.1001, "ratio"), True),
        (Aim(2.0, "ratio"), False),
        (Aim(2.0, "ratio", at_least=True), True),
        (Aim(3.1, at_least=True), False),
    ],
)
def test_an_aim_is_met_by_the_median_it_is_for(aim: Aim | None, met: bool | None) -> None:
    assert Result(replace(ROW, aim=aim), PAIRS).met is met


def test_nothing_measured_meets_no_aim() -> None:
    assert Result(ROW, None, "it broke").met is None


# ---- what is printed


def drawn(*results: Result, width: int = 80) -> str:
    stream = io.StringIO()
    table.draw(Console(file=stream, width=width), AROUND, results)
    return stream.getvalue()


def test_the_table_shows_both_sides_the_ratio_and_the_aim() -> None:
    text = drawn(Result(ROW, PAIRS), Result(replace(ROW, name="other", what="other"), None, "it broke"), width=120)
    head, _, ours, theirs, broken, *rest = text.splitlines()
    assert head.split() == ["what", "median", "min–max", "ratio", "aim", "met"]
    assert ours.split() == ["boot", "3.00", "s", "1.90–4.20", "2.10×", "(1.90–3.00)", "≤", "2×", "✗"]
    assert theirs.split() == ["static", "init", "1.00", "s", "1.00–2.00"]
    assert "not measured" in broken
    assert "boot: a note" in rest
    assert "other: it broke" in rest
    assert "Linux 6.12.117 in QEMU 10.0.2 (TCG), Python 3.13.5, 2 CPUs, load 0.5 1.0 1.5 before" in text


def test_the_table_fits_a_terminal() -> None:
    every = [Result(row, Measured((12.345, 16.789), beside=(0.5, 0.51) if row.beside else ())) for row in ROWS]
    assert max(len(line) for line in drawn(*every).splitlines()) <= 80
    assert [row.what for row in ROWS if f"\n{row.what} " not in drawn(*every)] == []  # none is cut or folded


@pytest.mark.parametrize(("value", "shown"), [(0.0921, "0.092 s"), (2.347, "2.35 s")])
def test_figures_have_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert table.figure(value, "s") == shown


def test_the_json_is_as_its_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    results = [Result(ROW, PAIRS), Result(replace(ROW, aim=None, beside=""), None, "it broke")]
    made = json.loads(json.dumps(document.document(AROUND, results)))
    jsonschema.validate(made, SCHEMA)
    first, second = made["rows"]
    assert first["samples"] == [1.9, 4.2, 3.0]
    assert first["beside_samples"] == [1.0, 2.0, 1.0]
    assert first["ratio"] == {"median": 2.1, "min": 1.9, "max": 3.0}
    assert second["trouble"] == "it broke"


@pytest.mark.parametrize("change", [{"samples": []}, {"met": "yes"}, {"unit": "h"}, {"more": 1}])
def test_the_schema_can_say_no(change: dict[str, Any]) -> None:
    made = json.loads(json.dumps(document.document(AROUND, [Result(ROW, PAIRS)])))
    made["rows"][0] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(made, SCHEMA)


# ---- rows and the command line


def test_rows_have_names_of_their_own_and_aims_that_can_be_judged() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.beside for row in ROWS if row.aim and row.aim.of == "ratio")


def test_rows_are_chosen_by_name_or_by_quickness() -> None:
    assert cli.choose((), quick=False) == list(ROWS)
    traffic = {"tcp", "connections", "round-trip", "first-tcp", "first-round-trip", "last-tcp", "last-round-trip"}
    clients = {"attach", "client-memory", "client-boot", "client-init"}
    cards = {"offloads-out", "offloads-in", "queues"}
    slow = {"least-memory", "build-init", "build-stock", "rules-packet", "rules-connection"} | traffic | clients | cards
    assert {row.name for row in ROWS} - {row.name for row in cli.choose((), quick=True)} == slow
    assert [row.name for row in cli.choose(("render", "help"), quick=True)] == ["help", "render"]


def test_a_row_that_does_not_exist_is_a_mistake() -> None:
    done = CliRunner().invoke(cli.main, ["hepl"])
    assert done.exit_code == 2
    assert "no such row: hepl; known: boot-virtio" in done.output


def test_only_traffic_stands_beside_another_image() -> None:
    done = CliRunner().invoke(cli.main, ["tcp", "help", "--against", "old/netvm"])
    assert done.exit_code == 2
    assert "--against has no effect on help; it compares tcp, connections, round-trip, first-tcp" in done.output
    assert {row.name for row in cli.comparable(list(ROWS), named=False)} == {row.name for row in ROWS if row.comparable}


def test_a_row_beside_another_image_may_lose_3_percent() -> None:
    by_name = {row.name: row.against("old") for row in ROWS if row.comparable}
    assert by_name["tcp"].beside == "old"
    assert by_name["tcp"].aim == Aim(0.97, "ratio", at_least=True)
    assert by_name["round-trip"].aim == Aim(1.03, "ratio")


def test_list_says_what_there_is() -> None:
    done = CliRunner().invoke(cli.main, ["--list"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == [row.name for row in ROWS]


@pytest.mark.parametrize("line", calls_in_the_document())
def test_the_command_line_takes_what_the_document_says(line: str) -> None:
    context = cli.main.make_context("bench", shlex.split(line, comments=True))
    assert cli.choose(context.params["names"], context.params["quick"])


def test_the_document_has_a_line_for_every_row_and_its_aim() -> None:
    told = dict(re.findall(r"^\| `([a-z0-9-]+)` \|.*\|([^|]*)\|$", DOCUMENT.read_text(), re.MULTILINE))
    shown = {row.name: row.aim for row in ROWS}
    assert list(told) == list(shown)
    for name, aim in shown.items():
        unit = {row.name: row.unit for row in ROWS}[name]
        sign = "≥" if aim and aim.at_least else "≤"
        wanted = (
            ""
            if aim is None
            else f"ratio {sign} {aim.limit:g}"
            if aim.of == "ratio"
            else f"{sign} {aim.limit:g} {unit}"
        )
        assert told[name].strip() == wanted, name


def test_a_row_that_fails_is_told_and_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: Setting) -> Measured:
        raise Unmeasured("no line came")

    setting = Setting(None, 1, tmp_path, print)  # type: ignore[arg-type]
    result = cli.measure(replace(ROW, measure=broken), setting)
    assert (result.measured, result.trouble) == (None, "no line came")
    assert "not measured: no line came" in capsys.readouterr().err


# ---- commands


def test_samples_are_taken_alternately_after_one_that_does_not_count(tmp_path: Path) -> None:
    setting = Setting(None, 3, tmp_path, print)  # type: ignore[arg-type]
    log = tmp_path / "log"
    ours, theirs = (["sh", "-c", f"echo {side} >> {log}"] for side in ("ours", "theirs"))
    measured = commands.alternately(setting, ours, theirs)
    assert log.read_text().split() == ["theirs", "ours"] * 4
    assert len(measured.samples) == len(measured.beside) == 3


# ---- the least memory


@pytest.mark.parametrize("border", [16, 17, 33, 39, 95, 96])
@pytest.mark.parametrize("step", [1, 2])
def test_the_border_is_found_by_halving(border: int, step: int) -> None:
    tried: list[int] = []

    def passes(size: int) -> bool:
        tried.append(size)
        return size >= border

    found = memory.least(passes, fails=15, holds=96, step=step)
    assert found.passes - found.fails <= step or found.passes == 96
    assert found.fails < border <= found.passes
    assert len(tried) <= 10


@pytest.mark.parametrize(("first", "then", "answer"), [(30, 31, 31), (31, 29, 29), (30, 30, 30)])
def test_both_sides_of_the_border_are_tried_again(first: int, then: int, answer: int) -> None:
    """It moves meanwhile: sizes pass from `first` on when they are tried for the first time, later from `then` on."""
    seen: set[int] = set()

    def passes(size: int) -> bool:
        again = size in seen
        seen.add(size)
        return size >= (then if again or size < first - 1 else first)

    assert memory.least(passes, fails=15, holds=96, step=1) == memory.Least(answer, answer - 1)


def test_the_smoke_boot_of_one_client_gives_up_where_there_is_no_lease() -> None:
    rows = {check.id: check for check in memory.checks()}
    assert set(rows) == {check.id for check in CHECKS} - {"isolation", "hot-plug"}
    assert rows["lease"].needs == ()
    assert rows["clients"].needs == ("lease",)
    assert all({"lease", "clients"} <= set(rows[name].needs) for name in ("client", "memory", "power-down"))


# ---- the static init


def test_the_elf_is_what_elf5_says() -> None:
    """Read back field by field, as readelf does."""
    ending = static_init.exit_with(0)
    made = static_init.elf(ending)
    assert made[:8] == b"\x7fELF\x02\x01\x01\x00"
    kind, machine, version, entry, table_at, sections, _, size, entry_size, count, *none = struct.unpack_from(
        "<HHIQQQIHHHHHH", made, 16
    )
    assert (kind, machine, version, sections, none) == (2, 62, 1, 0, [0, 0, 0])
    assert (size, table_at, entry_size, count) == (64, 64, 56, 1)
    load, flags, offset, address, _, in_file, in_memory, align = struct.unpack_from("<IIQQQQQQ", made, table_at)
    assert (load, flags) == (1, 5)
    assert (offset, in_file, in_memory) == (0, len(made), len(made))
    assert (address - offset) % align == 0
    assert entry == address + 64 + 56
    assert made.endswith(b"static init\n")
    assert ending in made[entry - address :]


def test_the_power_off_has_both_magic_numbers_and_waits_for_the_line() -> None:
    code = static_init.power_off()
    drain, off = code.split(b"\x0f\x05")[:2]
    assert struct.pack("<I", 0x5409) in drain
    for number in (169, 0xFEE1DEAD, 672274793, 0x4321FEDC):  # reboot(2), which writes the second one in decimal
        assert struct.pack("<I", number) in off


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code on this CPU")
@pytest.mark.parametrize(("status", "line"), [(0, "static init"), (7, "x" * 300)])
def test_the_elf_runs_and_says_its_line(status: int, line: str, tmp_path: Path) -> None:
    program = tmp_path / "init"
    program.write_bytes(static_init.elf(static_init.exit_with(status), line))
    program.chmod(0o755)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, f"{line}\n")


# ---- its root


def read_folder(image: bytes, node: int) -> dict[str, tuple[int, int]]:
    """Name → (node, type) of a directory, read as the kernel does."""
    content = read_file(image, node)
    count = struct.unpack_from("<QH", content)[1] // 12
    entries = [struct.unpack_from("<QHB", content, 12 * number) for number in range(count)]
    ends = [start for _, start, _ in entries[1:]] + [len(content)]
    return {content[at:end].decode(): (to, kind) for (to, at, kind), end in zip(entries, ends, strict=True)}


def read_file(image: bytes, node: int) -> bytes:
    layout, _, _, _, size, _, block = struct.unpack_from("<HHHHIII", image, node * 32)
    assert layout == 0  # compact, plain
    return image[block * 4096 : block * 4096 + size]


def test_the_root_holds_the_program_where_the_command_line_looks() -> None:
    program = b"program" * 1000  # more than a block
    image = erofs.image(program)
    magic, _, compat, bits, _, root, inodes = struct.unpack_from("<IIIBBHQ", image, 1024)
    assert (magic, compat, 1 << bits, inodes) == (0xE0F5E1E2, 0, 4096, 4)
    assert len(image) == struct.unpack_from("<I", image, 1024 + 36)[0] * 4096
    top = read_folder(image, root)
    assert list(top) == [".", "..", "dev", "sbin"]
    assert top["."] == top[".."] == (root, 2)
    assert set(read_folder(image, top["dev"][0])) == {".", ".."}
    inside = read_folder(image, top["sbin"][0])
    assert inside["init"][1] == 1
    assert read_file(image, inside["init"][0]) == program
    assert struct.unpack_from("<H", image, inside["init"][0] * 32 + 4)[0] == 0o100755


# ---- the breakdown of a boot


async def told_by(*heard: Heard) -> Guest:
    guest = Guest()
    guest.heard.extend(heard)
    return guest


def test_moments_are_tied_to_power_on_by_the_event_that_came_soonest() -> None:
    guest = asyncio.run(
        told_by(
            Heard(100.9, console.Init(0.5)),  # 0.1 late
            Heard(101.0, console.Mounts(0.7)),
            Heard(101.5, console.UplinkEvent(1.0, "found")),
            Heard(102.0, console.UplinkEvent(1.6, "found")),  # a second uplink
            Heard(102.1, console.Ready(1.8)),
            Heard(109.0, console.UplinkEvent(8.0, "lease")),  # after ready: no part of the boot
        )
    )
    found = boot.moments(guest, 100.0)
    assert [moment.name for moment in found] == ["kernel's clock starts", "init", "mounts", "uplink found", "ready"]
    assert [moment.at_s for moment in found] == pytest.approx([0.3, 0.8, 1.0, 1.3, 2.1])


def test_a_breakdown_has_the_medians_of_what_all_boots_had() -> None:
    boots = [
        boot.Boot(1.0, 0.9, (boot.Moment("init", at), boot.Moment("ready", at + 1), *more))
        for at, more in ((0.5, ()), (0.6, ()), (0.9, (boot.Moment("odd", 1.0),)))
    ]
    steps = boot.breakdown(boots, 0.4)
    assert [(step.name, step.at_s) for step in steps] == [
        ("first program (static init)", 0.4),
        ("init", 0.6),
        ("ready", 1.6),
    ]
    assert boot.told(steps) == "first program (static init) +0.40, init +0.20, ready +1.00"


def test_the_two_machines_differ_in_their_root_alone(tmp_path: Path) -> None:
    """So that the ratio is that of what runs in them."""
    part = manifest.Part("part", "0" * 64)
    image = manifest.Image(
        tmp_path,
        manifest.Manifest(
            "r",
            part,
            replace(part, path="root"),
            part,
            "quiet init=/python -- -ISB",
            {},
            {},
            Router(),
            manifest.MachineRequirements(),
        ),
    )
    ours = qemu.router(image, accelerator.TCG, nic="e1000e")
    program = qemu.Qemu(Path("qemu"), "10.0.2")
    pairs = zip(qemu.argv(program, ours), qemu.argv(program, boot.with_root(ours, tmp_path / "other")), strict=True)
    different = [(a, b) for a, b in pairs if a != b]
    (command_lines, roots) = different
    assert command_lines == ("quiet init=/python -- -ISB", "quiet init=/python init=/sbin/init")
    assert "file=" + str(tmp_path / "other") in roots[1]
