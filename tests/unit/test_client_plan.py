# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""client attach: which place a client gets, what VMMs are told, what the command line refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from netvm_build.cli import main
from netvm_build.cli.client_commands import VMM_NAMES
from netvm_build.guest import Degraded, Firewall, Init, Ready
from netvm_build.host import capabilities, links
from netvm_build.host.journal import Change, Journal
from netvm_build.host.links import Link, LinkError, bridge_commands, port_commands
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.model import Clients, NamedClient, Router
from netvm_build.model.address import Pair
from netvm_build.util import process
from netvm_build.util.errors import LaunchError
from netvm_build.vm import notify, registry, uplink
from netvm_build.vm.clients import Attachment, ClientError, changes, plan, vmm
from netvm_build.vm.networks import spare_ports
from netvm_build.vm.runtime_folder import root_folder
from netvm_build.vmm.qemu.datapath import PLAIN
from netvm_build.vmm.qemu.pcie import PciSlot

from tests.support.standin_guest import StandIn
from tests.unit.test_cli_build import write_image

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    write_image(tmp_path / "image")
    found = manifest.load(tmp_path / "image")
    web = NamedClient("web", Pair(IPv4Address("100.64.1.0")))
    router = Router(clients=Clients(IPv4Network("100.64.0.0/29"), named=(web,)))
    return replace(found, manifest=replace(found.manifest, router=router))


def record(image: Image, *offered: str, ports: int = 2) -> registry.VmState:
    return registry.VmState(
        name="netvm", pid=1, qemu_pid=2, qemu_started=3, started_at="", image=str(image.folder), accelerator="tcg",
        accelerator_reason="", qemu="", memory_mib=96, detached=True, events="/run/e", console="/run/c",
        monitor="/run/netvm/netvm/qmp",
        clients=tuple(
            registry.ClientNetwork(f"n{number}", router, "", "", f"bus=port-c{number}", f"/run/c{number}")
            for number, router in enumerate(offered)
        ),
        ports=tuple(f"bus=port-spare{number}" for number in range(ports)),
    )  # fmt: skip


def choose(image: Image, vm: registry.VmState, *there: Attachment, **wanted: Any) -> Attachment:
    asked = {"name": None, "address": None, "transport": plan.TAP, "owner": 1000, "is_free": lambda _: True} | wanted
    return plan.choose(vm, image, there, **asked)


# ---- which place


def test_the_next_free_address_of_the_pool(image: Image) -> None:
    first = choose(image, record(image))
    assert (first.client, first.name, first.nic, first.slot) == ("100.64.0.1", "client1", "t400000", "bus=port-spare0")
    second = choose(image, record(image), first)
    assert (second.client, second.name, second.slot) == ("100.64.0.3", "client2", "bus=port-spare1")
    after_offered = choose(image, record(image, "100.64.0.0"))
    assert after_offered.client == "100.64.0.3"


def test_a_named_client_has_its_own_address(image: Image) -> None:
    by_name = choose(image, record(image), name="web")
    by_address = choose(image, record(image), address=IPv4Address("100.64.1.1"))
    assert by_name == by_address
    assert (by_name.client, by_name.name, by_name.resolver) == ("100.64.1.1", "web", "100.64.1.0")
    other = choose(image, record(image), name="printer")
    assert (other.client, other.name) == ("100.64.0.1", "printer")


def test_a_network_since_the_boot_gives_up_its_slot(image: Image) -> None:
    taken = choose(image, record(image, "100.64.0.0", "100.64.0.2"), name="n1")
    assert (taken.client, taken.takes, taken.slot) == ("100.64.0.3", "c1", "bus=port-c1")


def test_a_slot_that_is_in_use_is_passed_over(image: Image) -> None:
    found = choose(image, record(image), is_free=lambda slot: slot != PciSlot("port-spare0"))
    assert found.slot == "bus=port-spare1"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"name": "1st"}, "'1st' cannot be a client's name"),
        ({"name": "web,id=x"}, "cannot be a client's name"),
        ({"name": "web", "address": IPv4Address("100.64.0.1")}, "web has the address 100.64.1.1, not 100.64.0.1"),
        ({"name": "client1"}, "client1 (100.64.0.1) is already attached to netvm"),
        ({"address": IPv4Address("100.64.0.0")}, "client1 (100.64.0.1) is already attached to netvm"),
        ({"is_free": lambda _: False}, "netvm has no free port for a client: it has 2"),
    ],
)
def test_what_cannot_be_had(image: Image, wanted: dict[str, Any], said: str) -> None:
    vm = record(image)
    with pytest.raises(ClientError, match=re.escape(said)):
        choose(image, vm, choose(image, vm), **wanted)


def test_an_exhausted_pool(image: Image) -> None:
    vm = record(image, ports=9)
    there: list[Attachment] = []
    for _ in range(4):
        there.append(choose(image, vm, *there))
    with pytest.raises(ClientError, match=r"no free address: 100\.64\.0\.0/29 has room for 4 clients") as caught:
        choose(image, vm, *there)
    assert "clients.pool" in str(caught.value.hint)
    assert choose(image, vm, *there, name="web").client == "100.64.1.1"


# ---- names


@pytest.mark.parametrize("router", ["100.64.0.0", "100.127.255.254"])
def test_names_are_short_and_follow_the_address(image: Image, router: str) -> None:
    plain = choose(image, record(image), address=IPv4Address(router))
    digits = f"{int(IPv4Address(router)) & 0xFFFFFF:06x}"
    free = plan.with_links(plain, lambda _: False)
    assert (free.bridge, free.router_tap, free.tap) == tuple(f"nv{digits}{role}" for role in "brc")
    others = {f"nv{digits}b", f"nv{digits}c1", f"nv{digits}r2"}
    third = plan.with_links(plain, others.__contains__)
    assert (third.bridge, third.router_tap, third.tap) == tuple(f"nv{digits}{role}3" for role in "brc")
    last = plan.with_links(plain, lambda name: not name.endswith("9999"))
    assert (
        max(len(name) for name in (last.bridge, last.router_tap, last.tap)) < 16
    )  # IFNAMSIZ of linux/if.h, with the NUL
    with pytest.raises(ClientError, match="are taken"):
        plan.with_links(plain, lambda _: True)


# ---- what is told


@pytest.fixture
def attached(image: Image) -> Attachment:
    return plan.with_links(choose(image, record(image), name="web"), lambda _: False)


def test_what_vmms_are_told(
    attached: Attachment, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "group", lambda: "1845494784")  # of user 1024
    text = "".join(f"{name}\n{vmm.options(name, attached)}\n\n" for name in vmm.VMMS)
    text += "".join(f"{' '.join(line)}\n" for line in bridge_commands(Link(attached.bridge, "02:00:00:00:00:01")))
    text += "".join(f"{' '.join(line)}\n" for line in port_commands(Link(attached.tap, ""), Link(attached.bridge, "")))
    golden("argv/client", text)
    assert tuple(vmm.VMMS) == VMM_NAMES


def test_what_vmms_are_told_is_what_they_read(attached: Attachment) -> None:
    domain = ET.fromstring(vmm.options("libvirt", attached))  # noqa: S314
    assert [(part.tag, part.attrib) for part in domain][1] == ("target", {"dev": attached.tap, "managed": "no"})
    entry = json.loads(vmm.options("firecracker", attached))
    assert entry == {"iface_id": "web", "guest_mac": "0A:B3:EC:40:01:01", "host_dev_name": "nv400100c"}
    for name in ("qemu", "cloud-hypervisor", "crosvm"):
        options = vmm.all_options(attached)[name]
        assert isinstance(options, list)
        assert any(attached.tap in word for word in options)


def test_a_socket_is_for_qemu_alone(image: Image) -> None:
    one = choose(image, record(image), transport=plan.SOCKET)
    assert one.socket == "/run/netvm/netvm/a400000"
    assert "addr.path=/run/netvm/netvm/a400000" in vmm.options("qemu", one)
    assert list(vmm.all_options(one)) == ["qemu"]
    with pytest.raises(ClientError, match="crosvm can't join a socket"):
        vmm.options("crosvm", one)


def test_an_attachment_survives_the_journal(attached: Attachment) -> None:
    assert Attachment.of_strings(attached.to_strings() | {"token": "x"}) == attached
    assert attached.pair == Pair(IPv4Address("100.64.1.0"))


def test_other_namespaces_are_left_alone(tmp_path: Path, attached: Attachment) -> None:
    """A journal of this user's with a client of a container: nothing of it can be seen or undone from here."""
    book = Journal(tmp_path)
    known = attached.to_strings() | {"token": "1"}
    book.record(Change(changes.CLIENT, attached.client, known | {"namespace": "4"}, 2**22 + 1, 5))
    assert changes.attachments(book) == ()
    assert changes.sweep(book) == ()
    assert len(book.pending()) == 1


def test_a_tap_that_goes_as_it_is_removed_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the removal, the QEMU that had it open has ended."""
    there = {"tap": "02:00:00:00:00:01", "stays": "02:00:00:00:00:02"}

    def gone(command: tuple[str, ...]) -> None:
        there.pop("tap", None)
        raise LinkError(f'{" ".join(command)}: Cannot find device "{command[-1]}"')

    monkeypatch.setattr(links, "mac_of", there.get)
    monkeypatch.setattr(links, "_do", gone)
    monkeypatch.setattr(capabilities, "may_change_links", lambda: True)
    links.remove(Link("tap", there["tap"]), tap=True)
    assert "tap" not in there
    with pytest.raises(LinkError, match="stays"):
        links.remove(Link("stays", there["stays"]), tap=False)


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_qemu_had_is_undone_as_it_ends(
    ends: bool, tmp_path: Path, attached: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A QEMU that no longer answers because it is about to end leaves nothing in itself; one that lives does."""
    monkeypatch.setattr(changes, "ENDING_S", 5.0 if ends else 0.1)
    qemu, book = subprocess.Popen(["sleep", "600"]), Journal(tmp_path / "book")
    known = attached.to_strings() | {"token": "1", "namespace": links.namespace()}
    vm = {"monitor": str(tmp_path / "none"), "qemu": f"{qemu.pid} {process.started(qemu.pid)}"}
    book.record(Change(changes.CLIENT, attached.client, known, 2**22 + 1, 5))
    book.record(Change(changes.NIC, attached.nic, known | {"file": "", "socket": ""} | vm, 2**22 + 1, 5))
    later = threading.Timer(0.5, qemu.kill)
    try:
        if ends:
            later.start()
        (swept,) = changes.sweep(book)
        assert len(swept.left) == (0 if ends else 1)
        assert (book.pending() == ()) == ends
    finally:
        later.cancel()
        qemu.kill()
        qemu.wait()


# ---- the command line


@pytest.fixture
def no_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short_runtime: Path) -> None:
    monkeypatch.setattr(changes, "state_folder", lambda: tmp_path / "state")
    monkeypatch.setattr("netvm_build.host.capabilities.confine", lambda: None)


@pytest.mark.usefixtures("no_journal")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["attach"], 7, "no VM is running"),
        (["attach", "--socket", "--vmm", "crosvm"], 1, "crosvm can't join a socket"),
        (["attach", "--owner", "nobody-at-all"], 2, "there is no user 'nobody-at-all'"),
        (["attach", "--address", "100.64.0.300"], 2, "'100.64.0.300' is not an IPv4 address"),
        (["detach"], 2, "name one client with --name or --address, or --all"),
        (["detach", "--all", "--name", "x"], 2, "name one client"),
        (["detach", "--name", "x"], 1, "no such client is attached"),
        (["detach", "--all"], 0, ""),
        (["list", "netvm"], 7, "no VM named 'netvm' is running"),
    ],
)
def test_refusals(arguments: list[str], code: int, said: str, capsys: Capture) -> None:
    assert main(["client", *arguments]) == code
    err = capsys.readouterr().err
    assert said in err
    assert ("hint: " in err) == (code != 0)


@pytest.mark.usefixtures("no_journal")
def test_networks_since_the_boot_are_listed(capsys: Capture) -> None:
    with StandIn():
        assert main(["client", "list"]) == 0
        assert re.search(r"^web +100\.64\.0\.1 +100\.64\.0\.0 +netvm +socket +/run/c0$", capsys.readouterr().out, re.M)
        assert main(["client", "list", "--json"]) == 0
        (one,) = json.loads(capsys.readouterr().out)["clients"]
        assert (one["since_boot"], one["address"], one["vmm"]["qemu"][0]) == (True, "100.64.0.1/31", "-netdev")
        assert main(["client", "list", "--vmm", "qemu"]) == 0
        assert capsys.readouterr().out.startswith("web: -netdev stream,id=web,")


@pytest.mark.usefixtures("no_journal")
def test_without_the_capability(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netvm_build.host.capabilities.may_change_links", lambda: False)
    with StandIn():
        assert main(["client", "attach"]) == 1
    err = capsys.readouterr().err
    assert "taps and bridges need CAP_NET_ADMIN, which you do not have" in err
    assert (
        "hint: put `sudo` before the command; or add --socket, which needs no privileges but only QEMU can join" in err
    )


# ---- run: ports, uplink, service managers


def test_some_ports_stay_free() -> None:
    assert [spare_ports(offered, None) for offered in (0, 1, 12, 14, 16, 240)] == [4, 4, 4, 2, 0, 0]
    assert spare_ports(3, 0) == 0
    assert spare_ports(16, 9) == 9


def test_where_an_uplink_leads() -> None:
    assert uplink.parse("user") == uplink.UplinkBackend()
    assert uplink.parse("tap:t0") == uplink.UplinkBackend("tap", "t0")
    assert str(uplink.parse("bridge:br-lan")) == "bridge:br-lan"
    for wrong in ("", "tap", "tap:", "user:x", "bridge:a/b", "bridge:a-name-that-is-too-long", "vfio:1", "tap:t%d"):
        with pytest.raises(ValueError, match="none of user, passt, slirp, tap:NAME, bridge:NAME"):
            uplink.parse(wrong)


def test_an_uplink_that_is_not_there(image: Image, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="there is no tap named nvt-none") as caught:
        uplink.plug(uplink.parse("tap:nvt-none"), image, tmp_path, "e1000e", "tcg")
    assert "sudo ip tuntap add dev nvt-none mode tap user $USER" in str(caught.value.hint)
    with pytest.raises(LaunchError, match="there is no bridge named nvt-none"):
        uplink.plug(uplink.parse("bridge:nvt-none"), image, tmp_path, "e1000e", "tcg")
    plugged = uplink.plug(uplink.parse("user"), image, tmp_path, "e1000e", "tcg")
    assert replace(plugged, path=PLAIN) == uplink.ON_USER_NETWORK
    assert [choice.value for choice in plugged.path.choices] == ["off", "1", "off", "256"]


def test_a_service_manager_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = [notify.of_event(one) for one in (Init(1), Firewall(2, False), Firewall(2, True), Ready(3, 2, 0))]
    assert told == [None, None, "READY=1\nSTATUS=takes clients; no uplink yet", "STATUS=routes; 2 uplinks"]
    assert notify.of_event(Degraded(4, "no\nlease")) == "STATUS=degraded: no\\x0alease"
    notify.notify("READY=1")  # nobody asks
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = f"/tmp/nvn{os.getpid()}"
        manager.bind(path)
        try:
            monkeypatch.setenv("NOTIFY_SOCKET", path)
            notify.notify("READY=1")
            assert manager.recv(100) == b"READY=1"
        finally:
            Path(path).unlink()
    notify.notify("READY=1")  # the manager has ended


@pytest.mark.parametrize(
    ("uplinks", "mtu"),
    [
        ([{"active": True, "mtu": 1400}, {"active": False, "mtu": 1300}], 1400),
        ([{"active": True, "mtu": 9000}], 1500),
        ([{"active": True, "mtu": None}], 1500),
        ([{"active": True, "mtu": "1400"}, 7], 1500),
        ([{"active": True, "mtu": 0}], 1500),
        ([], 1500),
        ("none", 1500),
    ],
)
def test_a_client_is_told_the_mtu_that_the_uplink_has(uplinks: object, mtu: int) -> None:
    assert plan.mtu_for_clients({"uplinks": uplinks}) == mtu


def test_the_mtu_is_kept_in_the_journal_and_older_journals_have_none() -> None:
    one = plan.Attachment("netvm", "web", "100.64.0.0", "t1", "bus=port-spare0,addr=0x0", plan.TAP, mtu=1400)
    known = one.to_strings()
    assert plan.Attachment.of_strings(known) == one
    assert one.to_dict()["mtu"] == 1400
    del known["mtu"]
    assert plan.Attachment.of_strings(known).mtu == 1500


def test_only_a_socket_of_a_vm_is_removed_whatever_the_journal_says(short_runtime: Path, tmp_path: Path) -> None:
    folder = root_folder() / "netvm"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        for place in (folder / "a735c00", folder.parent / "above", short_runtime / "other"):
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(place))
        (folder / "file").touch()
        for text in ("a735c00", "../above", "../../other", "../x/../../other", "file", "none"):
            changes._remove_socket(f"{folder}/{text}")
        changes._remove_socket(str(short_runtime / "other"))
        assert {path.name for path in short_runtime.rglob("*")} == {"netvm", "file", "above", "other"}
    shutil.rmtree(root_folder())
    (short_runtime / "other").unlink()
