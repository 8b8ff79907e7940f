# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A machine whose hardware is emulated, with a virtual IOMMU, and in it our own program, QEMU and a router's image.

Its kernel and root are built as a router's are.  It does what `vfio_host/scenario` says, and reports it line by line.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from netvm_build import spec
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix.literal import string
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu

from tests.support.needs import ROOT, tell

HERE = Path(__file__).with_name("vfio_host")
IMPORTED = ("click", "jinja2", "markupsafe", "pyyaml", "qemu.qmp", "rich", "markdown-it-py", "mdurl", "pygments")
COMPILED, DEBIANS_PYTHON = "msgspec", "3.13"  # has no part in pure Python, so it is taken for the Python of that root
DATA = ("kernel-configs", "rootfs", "templates")  # what a wheel has below netvm_build/data, but for the documents
CARD, IGB, PAIR = "0000:00:08.0", "0000:00:0a.0", ["0000:01:01.0", "0000:01:02.0"]
NETWORKS = {CARD: ("e1000e", "10.9.0"), IGB: ("igb", "10.9.1")}
"""The cards that lead somewhere, each with a user network of its own behind it."""

DEADLINE_S = 1200
PATIENCE = 16  # three VMs share a processor that is emulated


def build_host(lock: Path) -> Image:
    """The kernel of the machine around, by the same recipe as a router's."""
    return _built("vfio-host", (ROOT / "tests/data/vfio-host/netvm.yaml").read_text(), lock)[1]


def build_router(lock: Path) -> tuple[loading.Loaded, Image]:
    """The starter's router, but its kernel acknowledges each interrupt to the KVM around at once, and not by a note in
    its memory: QEMU's emulation may deliver one that KVM injected a second time until the router next leaves for KVM.

    Its clock ticks by itself.  QEMU's emulation loses an interrupt of a nested guest now and then: with a timer that is
    set anew by each of its interrupts, the router then sleeps for ever, with its KVM and the machine around idle.
    """
    starter = spec.starter("netvm")
    assert starter.count("kernel:\n") == 1
    parameters = "  parameters: [nopv, nohz=off, highres=off]\n"
    return _built("vfio-router", starter.replace("kernel:\n", f"kernel:\n{parameters}"), lock)


def _built(name: str, text: str, lock: Path) -> tuple[loading.Loaded, Image]:
    folder = ROOT / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "netvm.yaml").write_text(text)
    if lock.exists():
        shutil.copy(lock, folder / loading.LOCK_NAME)
    loaded = loading.load(folder / "netvm.yaml")
    return loaded, pipeline.build(loaded, folder / "image", tell)


def build_disk(loaded: loading.Loaded, image: Image) -> Path:
    """Its root, made in Nix's sandbox from the lock, our builder and what that imports, and a router's image."""
    work = ROOT / "build" / "vfio-disk"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _imported(work / "imported")
    for name in DATA:
        shutil.copytree(ROOT / name, work / "data" / name, ignore=shutil.ignore_patterns("__pycache__"))
    tree = pipeline.prepare(loaded, work / "work", tell)
    arguments = {
        "tree": tree,
        "program": ROOT / "builder/netvm_build",
        "data": work / "data",
        "imported": work / "imported",
        "image": image.folder,
        "scenario": HERE / "scenario",
    }
    given = " ".join(f"{name} = /. + {string(str(path))};" for name, path in arguments.items())
    (work / "default.nix").write_text(f"{{ disk = import (/. + {string(str(HERE / 'disk.nix'))}) {{ {given} }}; }}")
    (store_path,) = nix.build(work, ["disk"], tell, stage="build the host's root", log=work / "build.log")
    return store_path / "disk.img"


def _imported(folder: Path) -> None:
    """What builder imports: the pure-Python part, from this very environment, and the compiled one for that Python."""
    for name in IMPORTED:
        for file in importlib.metadata.files(name) or ():
            if file.suffix == ".py" and ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    with tempfile.TemporaryDirectory() as wheels:
        wanted = f"{COMPILED}=={importlib.metadata.version(COMPILED)}"
        of_python = ["--python-version", DEBIANS_PYTHON, "--platform", "manylinux2014_x86_64", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *of_python, "-d", wheels, wanted]
        subprocess.run(command, check=True)
        (wheel,) = Path(wheels).iterdir()
        zipfile.ZipFile(wheel).extractall(folder)


@dataclass(frozen=True)
class Told:
    """What the machine said of one step."""

    step: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def by_step(told: list[Told]) -> dict[str, Told]:
    return {one.step: one for one in told}


@dataclass(frozen=True)
class Outer:
    """The machine around: q35 with a virtual IOMMU that remaps interrupts; an e1000e and an igb, each alone in its
    group and with a network behind it; and two e1000 behind one bridge, which share theirs.

    Its processor has AMD's virtualization, which QEMU emulates: a router in it runs on the KVM of its kernel.
    """

    image: Image
    disk: Path
    qemu: Qemu
    folder: Path

    def capture(self, card: str) -> Path:
        """All that went by a card, as the network beyond it saw it."""
        return self.folder / f"{NETWORKS[card][0]}.pcap"

    def argv(self, words: tuple[str, ...]) -> list[str]:
        cmdline = "console=ttyS0 root=/dev/vda rootfstype=erofs ro init=/usr/bin/python3 panic=-1 no_timer_check"
        cmdline += " 8250.nr_uarts=2 quiet"
        line = [str(self.qemu.path), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        line += ["-machine", "q35,kernel-irqchip=split", "-accel", "tcg", "-smp", "1", "-m", "2048"]
        # No -icount: where its count runs out in the handler of what KVM injected, the interrupt comes a second time.
        line += ["-cpu", "qemu64,+rdrand,+x2apic,+svm,+npt"]
        line += ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]
        line += ["-kernel", str(self.image.kernel)]
        line += ["-append", f"{cmdline} -- -ISB /opt/scenario/host.py {' '.join(words)}"]
        line += ["-drive", f"if=virtio,format=raw,readonly=on,file={self.disk}", "-device", "virtio-rng-pci"]
        line += ["-serial", f"file:{self.folder / 'console.log'}", "-serial", f"file:{self.folder / 'report.jsonl'}"]
        for number, (address, (model, network)) in enumerate(NETWORKS.items()):
            place = f"addr={address[-4:]},romfile=,mac=52:54:00:12:34:{0x56 + number:02x}"
            line += ["-netdev", f"user,id={model},ipv6=off,net={network}.0/24"]
            line += ["-device", f"{model},netdev={model},{place}"]
            line += ["-object", f"filter-dump,id=of-{model},netdev={model},file={self.capture(address)}"]
        line += ["-device", "pcie-pci-bridge,id=bridge,addr=9.0"]
        line += ["-device", "e1000,bus=bridge,addr=1.0,romfile=", "-device", "e1000,bus=bridge,addr=2.0,romfile="]
        return line

    def run(self, *steps: str, card: str = CARD, upstream: Upstream | None = None) -> list[Told]:
        """Boot, do these steps with this card, power off; all that was said."""
        report = self.folder / "report.jsonl"
        report.unlink(missing_ok=True)
        settings = [f"card={card}", f"network={NETWORKS[card][1]}", f"patience={PATIENCE}"]
        if upstream is not None:
            settings.append(f"port={upstream.port}")
        started = time.monotonic()
        with (self.folder / "qemu.log").open("w") as log:
            line = self.argv((*steps, *settings))
            try:
                ended = subprocess.run(line, stdout=log, stderr=log, timeout=DEADLINE_S, check=False)
            finally:
                print(f"{', '.join(steps)}, {NETWORKS[card][0]}: {time.monotonic() - started:.0f} s")
        assert ended.returncode == 0, (self.folder / "qemu.log").read_text()
        told = [json.loads(line) for line in report.read_text().splitlines()]
        console = (self.folder / "console.log").read_text(errors="replace")
        assert [one["step"] for one in told if "error" in one] == [], f"{told}\n{console[-8000:]}"
        assert told[-1]["step"] == "end", console[-8000:]
        return [Told(one["step"], one) for one in told]


@dataclass(frozen=True)
class Upstream:
    """A web server of this machine's loopback, which is the gateway of the user networks behind the cards."""

    port: int
    sha256: str
    asked: list[str]


@contextmanager
def upstream(size: int = 1 << 20) -> Iterator[Upstream]:
    """A server with one page that nobody can guess, and the paths it was asked for."""
    page, asked = secrets.token_bytes(size), []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Upstream(server.server_port, hashlib.sha256(page).hexdigest(), asked)
        server.shutdown()
