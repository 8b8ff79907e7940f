# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What collects an image's modules, on modules made here: real ELF files with a .modinfo and nothing else."""

from __future__ import annotations

import gzip
import json
import lzma
import marshal
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from netvm_build.util import resources

SCRIPT = resources.folder("templates") / "platforms" / "shared" / "make_drivers.py"
TAKER = SCRIPT.with_name("take_firmware.py")
RELEASE = "6.12.1-test"


def module(*facts: str) -> bytes:
    """An ELF file (elf(5)) with a section .modinfo of these KEY=value."""
    names = b"\0.shstrtab\0.modinfo\0"
    info = b"".join(fact.encode() + b"\0" for fact in facts)
    start = 64
    strings, modinfo = start, start + len(names)
    headers = modinfo + len(info)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, headers, 0, 64, 0, 0, 64, 3, 1)
    table = bytes(64)
    for name, offset, size in ((1, strings, len(names)), (11, modinfo, len(info))):
        table += struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)
    return head + names + info + table


CARD = "alias=pci:v00008086d000010D3sv*sd*bc*sc*i*"
TREE: Mapping[str, bytes] = {
    "kernel/drivers/net/card.ko": module(CARD, "depends=helper", "softdep=pre: phy crypto-sum post: later"),
    "kernel/drivers/net/helper.ko": module("depends=deep-down"),
    "kernel/drivers/net/deep-down.ko.xz": lzma.compress(module("license=GPL")),
    "kernel/drivers/net/phy.ko": module("firmware=nic/phy.fw", "firmware=nic/other.fw"),
    "kernel/drivers/net/second.ko": module("depends=card"),
    "kernel/crypto/sum_generic.ko": module("alias=crypto-sum"),
    "kernel/net/filter.ko": module("alias=net-filter-7"),
    "kernel/drivers/acpi/button.ko": module("alias=acpi*:PNP0C0C:*"),
    "kernel/drivers/virtio/virtio_blk.ko": module("alias=virtio:d00000002v*", "depends=deep_down"),
}

EVERY = [Path(name).name.split(".")[0].replace("-", "_") for name in TREE]
Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """made(names=…, firmware=(…), stock=…) runs the script on the tree above, and returns what it made."""

    def run(
        names: list[str],
        *,
        stock: bool = False,
        firmware: tuple[str, ...] = (),
        builtin: tuple[str, ...] | None = None,
        tree: Mapping[str, bytes] = TREE,
        options: Mapping[str, list[str]] | None = None,
        status: int = 0,
    ) -> Path:
        folder = tmp_path / "kernel/lib/modules" / RELEASE
        for name, content in tree.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "modules.builtin").write_text("kernel/fs/erofs/erofs.ko\nkernel/drivers/virtio/virtio_pci.ko\n")
        if builtin is not None:
            (folder / "modules.builtin.modinfo").write_bytes(b"".join(fact.encode() + b"\0" for fact in builtin))
        (tmp_path / "kernel/kernel.config").write_text("CONFIG_X=y\n")
        for name in firmware:
            (tmp_path / "firmware/usr/lib/firmware" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "firmware/usr/lib/firmware" / name).write_text(name)
        packages = [] if builtin is None else ["nic"]
        (tmp_path / "wanted.json").write_text(json.dumps({"names": names, "firmware": packages, "stock": stock}))
        (tmp_path / "busybox").write_bytes(b"busybox")
        out, said = tmp_path / "out", ""
        collect = [SCRIPT, tmp_path / "kernel", tmp_path / "wanted.json", out, tmp_path / "busybox"]
        if options is not None:
            (tmp_path / "names.json").write_text(json.dumps(options))
            collect.append(tmp_path / "names.json")
        take = [TAKER, out / "firmware.json", out / "tree/usr/lib/firmware", tmp_path / "firmware"]
        for argv in (collect, take):
            done = subprocess.run([sys.executable, "-I", "-B", *argv], capture_output=True, text=True, check=False)
            said += done.stdout + done.stderr
            if done.returncode != 0:
                break
        assert done.returncode == status, said
        (tmp_path / "said").write_text(said)
        return out

    return run


def table(out: Path) -> dict[str, Any]:
    made = marshal.loads((out / "tree/usr/lib/netvm/modules.bin").read_bytes())  # noqa: S302  (we made it)
    assert isinstance(made, dict)
    return made


def modules(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / "tree/usr/lib/modules" / RELEASE).glob("*.ko"))


def test_a_module_comes_with_what_it_needs_in_order(made: Make) -> None:
    out = made(["card"])
    assert modules(out) == ["card", "deep_down", "helper", "phy", "sum_generic"]
    assert table(out)["modules"]["card"] == ("phy", "sum_generic", "deep_down", "helper")
    assert table(out)["modules"]["helper"] == ("deep_down",)
    assert table(out)["release"] == RELEASE


def test_of_the_modules_that_an_option_may_make_those_that_it_made_are_taken(made: Make, tmp_path: Path) -> None:
    out = made([], options={"FILTER": ["filter", "filter_old"], "EROFS": ["erofs"], "NOTHING": []})
    assert modules(out) == ["filter"]
    made([], options={"OTHER": ["none_of_it"]}, status=1)
    assert "the kernel has no module none_of_it" in (tmp_path / "said").read_text()


def test_a_compressed_module_is_stored_plain(made: Make) -> None:
    out = made(["helper"])
    assert (out / "tree/usr/lib/modules" / RELEASE / "deep_down.ko").read_bytes() == module("license=GPL")


def test_the_table_leads_from_the_literal_beginning_of_an_alias(made: Make) -> None:
    aliases = table(made(["card", "button"]))["aliases"]
    assert aliases == {
        "acpi": {"acpi": [("*:PNP0C0C:*", "button")]},
        "pci": {"pci:v00008086d000010D3sv": [("*sd*bc*sc*i*", "card")]},
    }


def test_what_no_hardware_asks_for_is_always_loaded(made: Make) -> None:
    assert table(made(["card", "filter", "button"]))["always"] == ["filter"]


def test_a_second_half_is_asked_for_by_the_first(made: Make) -> None:
    found = table(made(["second", "card"]))
    assert found["always"] == []
    assert found["aliases"]["pci"]["pci:v00008086d000010D3sv"] == [
        ("*sd*bc*sc*i*", name) for name in ("card", "second")
    ]


def test_what_others_bring_in_is_not_loaded_without_them(made: Make) -> None:
    """helper and phy serve no hardware by themselves, and card wants both."""
    assert table(made(["card", "helper", "phy", "filter"]))["always"] == ["filter"]


def test_what_programs_ask_for_is_loaded_though_a_card_brings_it_in(made: Make) -> None:
    """As rfkill, which iwd needs whether there is a card or not; a library of the same card stays with it."""
    extra = {
        "kernel/net/switch.ko": module("alias=devname:switch", "alias=char-major-10-242"),
        "kernel/net/stack.ko": module("alias=net-pf-16-proto-16-family-nl80211", "depends=switch"),
        "kernel/net/library.ko": module("license=GPL"),
        "kernel/drivers/net/radio.ko": module("alias=pci:v1*", "depends=stack,library"),
    }
    found = table(made(["radio", "switch", "stack", "library"], tree={**TREE, **extra}))
    assert found["always"] == ["stack", "switch"]
    assert found["modules"]["stack"] == ("switch",)
    assert "library" in found["modules"]["radio"]


def test_a_kernel_may_name_more_modules(made: Make, tmp_path: Path) -> None:
    """As Debian's does, of options whose modules are called like them."""
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/modules").write_text("filter\nphy\n")
    assert table(made(["button"]))["always"] == ["filter", "phy"]


def test_only_the_firmware_that_modules_name_is_taken(made: Make, tmp_path: Path) -> None:
    out = made(["card"], firmware=("nic/phy.fw", "nic/unasked.fw"))
    assert [path.name for path in (out / "tree/usr/lib/firmware").rglob("*.fw")] == ["phy.fw"]
    assert (
        "phy asks for firmware that no package of kernel.firmware has: nic/other.fw" in (tmp_path / "said").read_text()
    )


PACKAGE = (
    *("air/hw1/board-2.bin", "air/hw1/amss.bin", "air/hw2/amss.bin"),
    *("iwlwifi-ty-a0-89.ucode", "iwlwifi-ty-a0-90.ucode", "iwlwifi-ty-a0-9.ucode", "iwlwifi-cc-a0-72.ucode"),
    *("iwlwifi-cc-a0-77.ucode", "iwlwifi-cc-a0-gf-77.ucode", "other-5.bin"),
)


@pytest.mark.parametrize(
    ("named", "taken"),
    [
        ("air/hw1/*", ["air/hw1/amss.bin", "air/hw1/board-2.bin"]),
        ("air/*", []),  # folders are no files
        ("iwlwifi-ty-a0-89.ucode", ["iwlwifi-ty-a0-89.ucode"]),
        ("iwlwifi-ty-a0-93.ucode", ["iwlwifi-ty-a0-90.ucode"]),  # the driver counts down to what there is
        ("iwlwifi-ty-a0-88.ucode", ["iwlwifi-ty-a0-9.ucode"]),
        ("iwlwifi-cc-a0-76.ucode", ["iwlwifi-cc-a0-72.ucode"]),
        ("iwlwifi-cc-a0-72.ucode", ["iwlwifi-cc-a0-72.ucode"]),
        ("iwlwifi-so-a0-89.ucode", []),
        ("other-6.bin", []),  # others do not
    ],
)
def test_the_files_that_a_name_stands_for(named: str, taken: list[str], made: Make, tmp_path: Path) -> None:
    out = made(["radio"], tree={"kernel/radio.ko": module(f"firmware={named}")}, firmware=PACKAGE)
    folder = out / "tree/usr/lib/firmware"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == taken
    assert (f"kernel.firmware has: {named}" in (tmp_path / "said").read_text()) == (not taken)


def test_what_each_country_allows_comes_from_elsewhere(made: Make, tmp_path: Path) -> None:
    made(["air"], tree={"kernel/air.ko": module("firmware=regulatory.db", "firmware=regulatory.db.p7s")})
    assert "netvm-note" not in (tmp_path / "said").read_text()


BUILT_IN = ("e100.license=GPL", "e100.firmware=nic/phy.fw", "e100.firmware=nic/other.fw", "e100.parm=debug:level")


def test_what_is_built_in_gets_its_firmware_and_no_table(made: Make, tmp_path: Path) -> None:
    out = made([], tree={}, firmware=("nic/phy.fw", "nic/unasked.fw"), builtin=BUILT_IN)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "firmware.json",
        "tree/usr/lib/firmware/nic/phy.fw",
    ]
    assert (
        "e100 asks for firmware that no package of kernel.firmware has: nic/other.fw" in (tmp_path / "said").read_text()
    )


def test_what_is_built_into_a_stock_kernel_was_not_chosen(made: Make) -> None:
    out = made(["filter"], stock=True, firmware=("nic/phy.fw",), builtin=BUILT_IN)
    assert not (out / "tree/usr/lib/firmware").exists()


def test_what_is_built_in_is_not_missed(made: Make) -> None:
    assert modules(made(["erofs", "filter"])) == ["filter"]


@pytest.mark.parametrize(
    ("names", "tree", "said"),
    [
        (["cart"], TREE, "the kernel has no module cart, and nothing of that name built in"),
        (["bad"], {"kernel/bad.ko": b"not a module"}, "bad.ko is no module of a 64-bit kernel"),
        (["bad"], {"kernel/bad.ko": module("firmware=../../etc/passwd")}, "names firmware outside its folder"),
    ],
)
def test_what_cannot_be_collected(
    names: list[str], tree: Mapping[str, bytes], said: str, made: Make, tmp_path: Path
) -> None:
    made(names, tree=tree, status=1)
    assert said in (tmp_path / "said").read_text()


def archived(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """The files of a cpio archive in the "newc" format."""
    files: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        fields = [int(packed[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = packed[at + 110 : at + 110 + length - 1].decode()
        start = at + (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return files
        files[name] = (mode, packed[start : start + size])
        at = start + (size + 3) // 4 * 4


def test_a_stock_kernel_gets_what_leads_to_the_root(made: Make) -> None:
    """virtio_pci and erofs are built in here, so there is only the disk's driver, after what it needs."""
    out = made(["filter"], stock=True)
    files = archived(gzip.decompress((out / "initrd").read_bytes()))
    assert sorted(name for name in files if name.endswith(".ko")) == ["deep_down.ko", "virtio_blk.ko"]
    assert "for module in deep_down virtio_blk; do" in files["init"][1].decode()
    assert files["busybox"] == (0o100755, b"busybox")
    assert gzip.decompress((out / "tree/usr/lib/modules" / RELEASE / "config.gz").read_bytes()) == b"CONFIG_X=y\n"


def test_the_same_input_gives_the_same_bytes(made: Make) -> None:
    first = made(EVERY, stock=True)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    for path in before:
        path.unlink()
    for folder in sorted((path for path in first.rglob("*")), reverse=True):
        folder.rmdir()
    assert {path: path.read_bytes() for path in made(EVERY, stock=True).rglob("*") if path.is_file()} == before
