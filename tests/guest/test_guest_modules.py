# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Drivers as modules: which one serves a device, what is loaded before it, and what is said of it.

No module is loaded here: the system call is caught, and files stand for /sys/bus and the modules.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import marshal
import os
import random
from pathlib import Path
from typing import Any

import pytest
from init.core import native
from init.core.bounded_writer import BoundedWriter
from init.core.protocol import EventWriter
from init.kernel import modules

E1000E = "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00"
IGB = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
WATCHDOG = "pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00"
VGA = "pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00"

TABLE = {
    "release": "6.12.1",
    "always": ["nf_tables"],
    "modules": {
        "e1000e": ("ptp",),
        "ptp": (),
        "nf_tables": ("nfnetlink",),
        "nfnetlink": (),
        "button": (),
        "i6300esb": (),
        "qemu_fw_cfg": (),
    },
    "aliases": {
        "pci": {
            "pci:v00008086d000010D3sv": [("*sd*bc*sc*i*", "e1000e")],
            "pci:v00008086d000025ABsv": [("*sd*bc*sc*i*", "i6300esb")],
        },
        "acpi": {"acpi": [("*:PNP0C0C:*", "button"), ("*:QEMU0002:*", "qemu_fw_cfg")]},
    },
}


class World:
    """A kernel that takes modules, and buses with devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: list[tuple[str, str]] = []
        self.errors: dict[str, int] = {}
        (folder / "modules/6.12.1").mkdir(parents=True)
        for name in TABLE["modules"]:
            (folder / f"modules/6.12.1/{name}.ko").touch()
        (folder / "table").write_bytes(marshal.dumps(TABLE))

    def plug(self, bus: str, name: str, modalias: str, driver: str = "") -> None:
        device = self.folder / "bus" / bus / "devices" / name
        device.mkdir(parents=True)
        (device / "modalias").write_text(f"{modalias}\n")
        if driver:
            (device / "driver").touch()

    def load(self, descriptor: int, parameters: str) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().stem
        if name in self.errors:
            raise OSError(self.errors[name], os.strerror(self.errors[name]))
        self.loaded.append((name, parameters))

    def drivers(self) -> modules.Drivers:
        return modules.Drivers(str(self.folder / "table"), str(self.folder / "modules"), str(self.folder / "bus"))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.loaded]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(native, "load_module", made.load)
    monkeypatch.setattr(modules, "HELPER", str(tmp_path / "modprobe"))
    monkeypatch.setattr(modules, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(modules, "CMDLINE", str(tmp_path / "cmdline"))
    (tmp_path / "cmdline").write_text("quiet ptp.level=3 -- -ISB x.y=z\n")
    for name in ("modprobe", "lock"):
        (tmp_path / name).write_text("0\n")
    return made


def said(drivers: modules.Drivers, tmp_path: Path) -> list[dict[str, Any]]:
    """What is said at boot."""
    file = os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    events = EventWriter(BoundedWriter(file))
    modules.Loader(events, drivers).start()
    events.drain(1)
    os.close(file)
    lines = (tmp_path / "said").read_text().splitlines()
    return [json.loads(line.removeprefix("netvm: ")) for line in lines]


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*sd*bc*sc*i*", "00008086sd0000A01Fbc02sc00i00", True),
        ("*:PNP0C0C:*", ":PNP0C0C:", True),
        ("*:PNP0C0C:*", ":PNP0C0D:", False),
        ("d0[0-9]*dc*", "d07dc1", True),
        ("d0[0-9]*dc*", "d0Adc1", False),
        ("d[0-9A]?", "dA1", True),
        ("", "", True),
        ("", "x", False),
        ("x", "", False),
        ("*", "", True),
    ],
)
def test_patterns(pattern: str, text: str, fits: bool) -> None:
    assert modules.matches(pattern, text) is fits


def test_patterns_are_those_of_fnmatch() -> None:
    dice = random.Random(7)  # noqa: S311
    for _ in range(20000):
        pattern = "".join(dice.choice(["a", "b", "*", "?", "[ab]", "[a-c]", "1"]) for _ in range(dice.randrange(7)))
        text = "".join(dice.choice("abc1") for _ in range(dice.randrange(7)))
        assert modules.matches(pattern, text) is fnmatch.fnmatchcase(text, pattern), (pattern, text)


def test_what_the_hardware_asks_for_is_loaded_and_nothing_else(world: World, tmp_path: Path) -> None:
    world.plug("pci", "0000:00:02.0", E1000E)
    world.plug("pci", "0000:00:01.0", VGA)
    (event,) = said(world.drivers(), tmp_path)
    assert world.names == ["nfnetlink", "nf_tables", "ptp", "e1000e"]
    assert event["loaded"] == world.names
    assert (event["failed"], event["missing"], event["locked"]) == ([], [], False)


def test_the_watchdog_is_there_once_its_module_is_loaded(world: World, tmp_path: Path) -> None:
    """Others may probe in their own time; PID 1 opens this one next."""
    world.plug("pci", "0000:00:02.0", E1000E)
    world.plug("pci", "0000:00:03.0", WATCHDOG)
    said(world.drivers(), tmp_path)
    assert ("i6300esb", "") in world.loaded
    assert ("e1000e", "async_probe") in world.loaded


def test_what_qemu_hands_over_is_there_once_its_module_is_loaded(world: World, tmp_path: Path) -> None:
    world.plug("acpi", "QEMU0002:00", "acpi:QEMU0002:")
    said(world.drivers(), tmp_path)
    assert world.loaded[-1] == ("qemu_fw_cfg", "")


def test_a_card_that_no_module_serves_is_missed(world: World, tmp_path: Path) -> None:
    world.plug("pci", "0000:00:03.0", IGB)
    world.plug("pci", "0000:00:04.0", IGB, driver="built-in")
    assert said(world.drivers(), tmp_path)[0]["missing"] == [f"0000:00:03.0 {IGB}"]


def test_a_card_is_missed_where_no_module_serves_any_of_its_kind(world: World, tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(marshal.dumps({**TABLE, "aliases": {}}))
    world.plug("pci", "0000:00:03.0", IGB)
    assert said(world.drivers(), tmp_path)[0]["missing"] == [f"0000:00:03.0 {IGB}"]


@pytest.mark.parametrize(
    ("modalias", "network"),
    [
        (E1000E, True),
        (VGA, False),
        ("pci:v00008086d00002723sv00008086sd00000084bc02sc80i00", True),  # Wi-Fi
        ("pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30", False),  # a USB controller
        ("virtio:d00000001v00001AF4", True),
        ("virtio:d00000010v00001AF4", False),  # a GPU
        ("usb:v0525pA4A2d0000dc02dsc00dp00ic02isc06ip00in00", True),  # QEMU's usb-net: ECM ...
        ("usb:v0525pA4A2d0000dc02dsc00dp00ic02isc02ipFFin00", True),  # ... and RNDIS
        ("usb:v0525pA4A2d0000dc02dsc00dp00ic0Aisc00ip00in01", False),  # its data, which no driver asks for
        ("usb:v0BDAp8153d3100dc00dsc00dp00ic02isc0Dip00in00", True),  # NCM
        ("usb:v1199p9091d0006dc00dsc00dp00ic02isc0Eip00in0C", True),  # MBIM
        ("usb:v18D1p4EE4d0440dc00dsc00dp00icE0isc01ip03in00", True),  # a telephone's RNDIS
        ("usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00", True),  # Realtek's own
        ("usb:v0B95p1790d0100dcFFdscFFdp00icFFiscFFip00in00", True),  # ASIX's own
        ("usb:v8087p0A2Bd0010dcE0dsc01dp01icE0isc01ip01in00", False),  # Bluetooth
        ("usb:v1D6Bp0002d0612dc09dsc00dp01ic09isc00ip00in00", False),  # a hub
        ("usb:v067Bp2303d0300dcFFdsc00dp00ic03isc01ip01in00", False),  # a keyboard of a device of its maker's own kind
        ("serio:ty06pr00id00ex00", False),
    ],
)
def test_which_devices_are_network_cards(modalias: str, network: bool) -> None:
    assert modules.is_network(modalias) is network


def test_an_adapter_that_no_module_serves_is_missed(world: World, tmp_path: Path) -> None:
    """Whether other things on USB are served or not; what is served is no card without a driver."""
    realtek = "usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00"
    world.plug("usb", "1-1:1.0", realtek)
    world.plug("usb", "1-0:1.0", "usb:v1D6Bp0002d0612dc09dsc00dp01ic09isc00ip00in00", driver="hub")
    assert said(world.drivers(), tmp_path)[0]["missing"] == [f"1-1:1.0 {realtek}"]
    served = {"usb": {"usb:v0BDAp8153d": [("*dc*dsc*dp*icFFiscFFip00in*", "e1000e")]}}
    (tmp_path / "table").write_bytes(marshal.dumps({**TABLE, "aliases": served}))
    assert said(world.drivers(), tmp_path)[0]["missing"] == []


def test_a_module_that_does_not_load_says_why(world: World, tmp_path: Path) -> None:
    world.errors["e1000e"] = errno.ENOEXEC
    world.plug("pci", "0000:00:02.0", E1000E)
    (event,) = said(world.drivers(), tmp_path)
    assert event["failed"] == ["e1000e: Exec format error"]
    assert event["missing"] == []


def test_what_is_loaded_already_counts(world: World) -> None:
    world.errors["ptp"] = errno.EEXIST
    drivers = world.drivers()
    drivers.load("e1000e", modules.PROBE_LATER)
    assert drivers.news() == (["ptp", "e1000e"], [])


def test_parameters_come_from_the_command_line(world: World) -> None:
    """As modprobe(8) has it; drivers are probed in their own time, what they need before that is not."""
    world.drivers().load("e1000e", modules.PROBE_LATER)
    assert world.loaded == [("ptp", "level=3"), ("e1000e", "async_probe")]


def test_parameters_end_where_init_s_arguments_begin() -> None:
    found = modules.parameters_of("ro nf-conntrack.hashsize=9 a.b=1 a.c init=/x.y=z a. -- d.e=1")
    assert found == {"nf_conntrack": "hashsize=9", "a": "b=1 c"}


def test_hot_plug_loads_for_what_is_new(world: World) -> None:
    drivers = world.drivers()
    assert drivers.look() == []
    world.plug("pci", "0000:01:00.0", E1000E)
    assert drivers.look() == []
    assert world.names == ["ptp", "e1000e"]
    drivers.look()
    assert world.names == ["ptp", "e1000e"]


def test_a_device_replugged_at_its_place_is_looked_at_again(world: World) -> None:
    drivers = world.drivers()
    world.plug("pci", "0000:01:00.0", IGB)
    assert [device for device, _ in drivers.look()] == ["0000:01:00.0"]
    (world.folder / "bus/pci/devices/0000:01:00.0/modalias").write_text(E1000E)
    assert drivers.look() == []
    assert "e1000e" in world.names


def test_after_the_lock_nothing_is_loaded(world: World) -> None:
    drivers = world.drivers()
    assert drivers.lock()
    assert (world.folder / "lock").read_text().startswith("1")
    world.plug("pci", "0000:00:02.0", E1000E)
    drivers.look()
    assert world.names == []


def test_the_loaded_modules_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "modules").write_text("e1000e 1 0 - Live 0x0\nptp 1 1 e1000e, Live 0x0\n")
    assert modules.loaded(str(tmp_path / "modules")) == ["ptp", "e1000e"]
