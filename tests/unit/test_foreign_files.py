# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Files and replies that others wrote, read on the host: they are understood, or they are the declared error."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netvm_build import kconfig, spec
from netvm_build.build.debian import bootstrap, lock, mirrors, packages, places
from netvm_build.build.debian.apt import Apt
from netvm_build.build.debian.resolve import version_of
from netvm_build.build.nix import log as nixlog
from netvm_build.host import pci, routes
from netvm_build.host.journal import Change, Journal, JournalError
from netvm_build.image import manifest
from netvm_build.kconfig.mismatches import mismatches_in
from netvm_build.smoke import evidence, hardening, upstream
from netvm_build.smoke.guest import MAX_HEARD_BYTES, Guest
from netvm_build.spec import yaml_nodes
from netvm_build.spec.keys import KEYS, Key
from netvm_build.util import pem, process
from netvm_build.util.errors import LockError, ManifestError, QmpLost, SpecError
from netvm_build.vm import registry
from netvm_build.vmm.qemu import trunk
from netvm_build.vmm.qemu.monitor import slots_in

from tests.support.foreign import JSON, mutations, peak_mib, replaced
from tests.support.host.archive_parts import a_deb
from tests.unit.test_cli_build import write_image
from tests.unit.test_debian import REQUEST, a_lock

ROOT = Path(__file__).parents[2]
PLACES = st.lists(st.integers(0, 30), max_size=5)


def told(read: Callable[[], Any], *declared: type[Exception]) -> Any:
    """What is read, or None where the declared error is raised."""
    with suppress(*declared):
        return read()
    return None


@pytest.fixture(scope="module")
def scratch() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# ---- the image's manifest


@pytest.fixture(scope="module")
def image(scratch: Path) -> dict[str, Any]:
    write_image(scratch / "image")
    return dict(json.loads((scratch / "image/manifest.json").read_text()))


@given(data=st.data(), at=PLACES, by=JSON)
def test_a_manifest_of_any_shape_is_one_or_a_manifest_error(
    image: dict[str, Any], scratch: Path, data: Any, at: list[int], by: Any
) -> None:
    text = json.dumps(replaced(image, at, by)).encode()
    (scratch / "manifest.json").write_bytes(data.draw(st.just(text) | mutations(text)))
    found = told(lambda: manifest.load(scratch), ManifestError)
    if found is not None:
        made = found.manifest
        assert made.uplinks
        assert isinstance(made.uses_dhcp, bool)
        assert all(isinstance(mac, str) for mac in made.uplink_macs)
        assert made.cards
        assert made.pool
        assert isinstance(made.forwards_dns, bool)


# ---- the record of a VM, and the journal


RECORD = {
    "version": 1, "name": "netvm", "pid": 7, "qemu_pid": 8, "qemu_started": 9, "started_at": "", "image": "/i",
    "accelerator": "tcg", "accelerator_reason": "", "qemu": "", "memory_mib": 96, "detached": True, "events": "",
    "console": "", "monitor": "", "log": "", "ports": ["a"],
    "clients": [{"name": "a", "router": "b", "client": "c", "client_mac": "d", "port": "e", "socket": "f"}],
}  # fmt: skip


@given(PLACES, JSON)
@example([10], {"a": 1})
@example([], RECORD)
def test_a_record_of_any_shape_is_one_or_none(at: list[int], by: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / registry.RECORD).write_text(json.dumps(replaced(RECORD, at, by)))
        found = registry.read(Path(folder))
    if found is not None:
        assert isinstance(found.pid, int)
        assert isinstance(found.qemu_pid, int)
        assert all(isinstance(text, str) for text in (found.name, found.events, found.log, *found.ports))
        assert all(isinstance(one.router, str) for one in found.clients)
        found.to_dict()


def test_when_a_process_began_is_known_whatever_it_calls_itself() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xff) R 1 (', 0, 0, 0); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert process.started(child.pid) > 0
        child.communicate()


@pytest.fixture(scope="module")
def journaled(scratch: Path) -> list[str]:
    book = Journal(scratch / "made")
    for number in range(3):
        book.record(Change("tap", f"t{number}", {"token": "x", "mac": "y"}))
    book.adopt(book.pending()[:1], 5, 6)
    return book.file.read_text().splitlines()


@given(data=st.data(), number=st.integers(0, 3), at=PLACES, by=JSON)
def test_a_journal_of_any_shape_is_replayed_or_a_journal_error(
    journaled: list[str], scratch: Path, data: Any, number: int, at: list[int], by: Any
) -> None:
    lines = [json.loads(line) for line in journaled]
    lines[number] = replaced(lines[number], at, by)
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    book = Journal(scratch / "tampered")
    book.folder.mkdir(exist_ok=True)
    book.file.write_bytes(data.draw(st.just(text) | mutations(text)))
    for change in told(book.pending, JournalError) or ():
        assert isinstance(change.kind, str)
        assert isinstance(change.target, str)
        assert all(isinstance(word, str) for pair in change.undo.items() for word in pair)
        assert isinstance(change.abandoned, bool)


# ---- QEMU's replies


PCI = [{"bus": 0, "devices": [{"qdev_id": "a", "slot": 1, "pci_bridge": {"devices": [{"slot": 3}]}}]}]


@given(PLACES, JSON)
def test_a_reply_of_qemu_of_any_shape_is_slots_or_qmp_lost(at: list[int], by: Any) -> None:
    told(lambda: slots_in(replaced(PCI, at, by)), QmpLost)


def test_slots_are_read() -> None:
    assert {str(slot) for slot in slots_in(PCI)} == {"bus=a", "bus=a,addr=0x3"}


# ---- specs


EXAMPLES = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.yaml"))]
SPECS = st.sampled_from(EXAMPLES).flatmap(mutations).map(lambda data: data.decode(errors="replace"))


@given(st.text() | SPECS)
@example("a: [" * 50)
@example("a: 0x" + "f" * 5000)
@example("kernel: {version: 6.²}")
def test_a_spec_of_any_text_is_read_or_a_spec_error(text: str) -> None:
    yaml_nodes.compose(text, "x.yaml")
    told(lambda: spec.parse(text, "x.yaml", ROOT / "examples"), SpecError)


SCALARS = ["1", "~", "on", "'x'", "100.64.0.0/24", "52:54:00:12:34:56", "²", "1_0", "1e999", "9" * 5000, "-1", "0x1f"]
YAML = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda many: f"[{', '.join(many)}]")
        | st.dictionaries(st.sampled_from(["name", "mac", "dhcp", "client", "port", "address"]), inner, max_size=3).map(
            lambda many: "{" + ", ".join(f"{key}: {value}" for key, value in many.items()) + "}"
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(KEYS), YAML)
def test_a_value_of_any_kind_at_any_key_is_read_or_a_spec_error(key: Key[Any], value: str) -> None:
    *sections, last = key.path.split(".")
    text = "version: 1\n" + "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
    text += f"{'  ' * len(sections)}{last}: {value}\n"
    told(lambda: spec.parse(text, "x.yaml", ROOT), SpecError)


# ---- PEM


BLOCK = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@given(st.text() | mutations(BLOCK * 2).map(lambda data: data.decode(errors="replace")))
def test_pem_of_any_text_is_blocks_or_a_value_error(text: str) -> None:
    told(lambda: [block.text for block in pem.blocks(text)], ValueError)
    pem.labels(text)


# ---- Nix and apt


START = {"action": "start", "id": 1, "type": 105, "fields": ["/nix/store/x.drv"], "text": "", "level": 3}
RESULT = {"action": "result", "id": 1, "type": 105, "fields": [1, 2, 3, 4]}
SAYS = {"action": "msg", "level": 0, "msg": "error"}


@given(st.lists(st.builds(replaced, st.sampled_from([START, RESULT, SAYS]), PLACES, JSON).map(json.dumps) | st.text()))
@example(["[" * 100_000])
@example([json.dumps(START | {"type": 104}), json.dumps(RESULT | {"fields": ["x", 1e999]})])
@example([json.dumps(START | {"fields": {"a": 1}}), json.dumps(START | {"fields": 7})])
def test_a_log_of_nix_of_any_lines_is_told(lines: list[str]) -> None:
    said: list[object] = []
    log = nixlog.NixLog("build", said.append)
    for line in lines:
        log.feed(f"@nix {line}")
        log.feed(line)
        mismatches_in(line)


def test_a_builder_that_says_much_is_kept_within_bounds() -> None:
    log = nixlog.NixLog("build", lambda _: None)

    def flood() -> None:
        for number in range(3000):
            log.feed("@nix " + json.dumps({"action": "msg", "level": 0, "msg": f"{number}" + "x" * 20_000}))

    assert peak_mib(flood) < 12


@given(data=st.data(), at=PLACES, by=JSON)
def test_a_lock_of_any_shape_is_one_or_a_lock_error(scratch: Path, data: Any, at: list[int], by: Any) -> None:
    text = json.dumps(replaced(json.loads(lock.to_json(a_lock())), at, by)).encode()
    path = scratch / "netvm.lock"
    path.write_bytes(data.draw(st.just(text) | mutations(text)))
    found = told(lambda: lock.load_lock(path, REQUEST), LockError)
    if found is not None:
        assert all(found.mirrors[file.mirror].startswith("http") for file in found.files())
        assert all(len(stamp) == 16 for stamp in places.stamps(found))
        assert lock.from_json(lock.to_json(found)) == found


@given(st.binary(max_size=200) | mutations(a_deb()))
def test_a_deb_of_any_bytes_has_a_busybox_or_is_a_lock_error(data: bytes) -> None:
    told(lambda: bootstrap.busybox_of(data), LockError)


URIS = b"'http://m/debian/pool/a_1.0_amd64.deb' a_1.0_amd64.deb 10 SHA256:" + b"a" * 64 + b"\n"


@given(st.text() | mutations(URIS).map(lambda data: data.decode(errors="replace")))
@example(URIS.decode().replace("pool/a", "pool/../a"))
@example(URIS.decode().replace(" 10 ", " ² "))
@example(URIS.decode().replace(" 10 ", " " + "9" * 5000 + " "))
def test_files_that_apt_lists_are_packages_or_a_lock_error(listed: str) -> None:
    apt = Apt(Path("/"), {"debian": "http://m/debian"})
    told(lambda: dict(apt._files(listed)), LockError)


@given(st.text() | st.lists(st.sampled_from(["1", "²", ".", "-", "+", ":", "~", "9" * 5000])).map("".join))
def test_a_version_of_any_text_is_judged(text: str) -> None:
    told(lambda: packages.refuse_vulnerable("connman", text), LockError)
    told(lambda: version_of({text: None}, "linux"), LockError)  # type: ignore[dict-item]


WORDS = st.sampled_from(["http://mirror.example/debian", "mirror+file:/nosuch", "-security", "main", "Debian", ""])


@given(st.lists(st.builds(mirrors.Target, *[WORDS | st.text()] * 5), max_size=4))
def test_sources_of_any_text_are_a_mirror_or_a_lock_error(targets: list[mirrors.Target]) -> None:
    request = SimpleNamespace(mirror=None, security_mirror=None, suite="trixie")
    told(lambda: mirrors.choose_mirrors(request, tuple(targets)), LockError)  # type: ignore[arg-type]


# ---- this machine


@given(st.text())
def test_any_text_is_a_pci_address_or_none(text: str) -> None:
    found = pci.full_address(text)
    assert found is None or pci.ADDRESS.fullmatch(found)


def test_interfaces_whose_names_are_no_text_are_interfaces(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    head, row = b"Iface Destination\n", b"\xff0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    (tmp_path / "proc/net/route").write_bytes(head + row + b"torn\n")
    (tmp_path / "proc/net/ipv6_route").write_bytes(b"\xff\n")
    assert routes.default_interfaces(tmp_path)


# ---- the smoke boot's own parsers of a guest's bytes


QUERY = upstream.query(7, "x.test")
ANSWER = upstream.respond(QUERY, "x.test", upstream.ANSWER) or b""


@given(st.binary(max_size=600) | mutations(QUERY) | mutations(ANSWER))
def test_dns_of_any_bytes_is_answered_or_not(data: bytes) -> None:
    answer = upstream.respond(data, "x.test", upstream.ANSWER)
    assert answer is None or len(answer) <= len(data) + 16
    assert isinstance(upstream.address_in(data, 7, "x.test"), IPv4Address | None)


@given(st.binary(max_size=300) | mutations(bytes(24) + b"\0" * 8 + b"\x22\0\0\0" + bytes(40)))
def test_a_capture_of_any_bytes_is_counted(data: bytes) -> None:
    count, leaks = evidence.leaked(data)
    assert len(leaks) <= 2 * count


@given(st.dictionaries(st.sampled_from(["services", "settings", "watchdog_s"]), JSON | st.lists(JSON)), st.text())
def test_answers_of_any_shape_are_judged(answer: dict[str, Any], config: str) -> None:
    hardening.services(answer)
    hardening.settings(answer)
    hardening.watchdog(answer, 30)
    kconfig.differences({"A": "y"}, config)


def test_a_router_that_says_much_in_a_smoke_boot_is_kept_within_bounds_and_told() -> None:
    async def hear() -> Guest:
        guest = Guest()
        for number in range(1000):
            guest.on_port(json.dumps({"v": 1, "t": number, "event": "log", "text": "x" * 60_000}))
        return guest

    heard: list[Guest] = []
    assert peak_mib(lambda: heard.append(asyncio.run(hear()))) < 3 * MAX_HEARD_BYTES >> 20
    assert heard[0].trouble == ["the router says too much: further events are not heard"]


@given(st.binary(max_size=100))
def test_a_frame_of_any_bytes_is_taken_apart_and_put_together(frame: bytes) -> None:
    vlan, plain = trunk.untagged(frame)
    if vlan is not None:
        assert trunk.untagged(trunk.tagged(plain, vlan))[0] == vlan


@given(st.lists(st.binary(max_size=60), max_size=6))
@example([b""])
def test_a_trunk_ends_only_with_its_stream(frames: list[bytes]) -> None:
    async def passed() -> list[bytes]:
        stream = asyncio.StreamReader()
        huge = (trunk.MAX_FRAME + 1).to_bytes(4, "big") + bytes(trunk.MAX_FRAME + 1)
        for frame in frames:
            stream.feed_data(len(frame).to_bytes(4, "big") + frame)
        stream.feed_data(huge + (3).to_bytes(4, "big") + b"end")
        stream.feed_eof()
        got = []
        while frame := await trunk._frame(stream):
            got.append(frame)
        return got

    assert asyncio.run(passed()) == [*filter(None, frames), b"end"]
