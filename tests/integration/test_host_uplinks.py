# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router's uplink on this host's taps and bridges: what is refused before QEMU starts, and what MTU it has."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu

from tests.support.host.host_world import Namespace, Upstream, need_namespaces

pytestmark = pytest.mark.integration

OWN_TUN = "mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun"  # open to all, as udev has it
BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def scene(name: str) -> dict[str, Any]:
    need_namespaces()
    with Namespace() as host:
        host.run("sh", "-ec", OWN_TUN)
        shown = host.run(
            sys.executable, str(Path(__file__).parents[1] / "support" / "host" / "uplink_scenes.py"), name
        ).stdout
    found: dict[str, Any] = json.loads(shown)
    return found


REFUSED = {
    "tap:none": ("there is no tap named none", "sudo ip tuntap add dev none mode tap"),
    "tap:br0": ("br0 is a bridge, not a tap", "--uplink bridge:br0"),
    "tap:veth0": ("veth0 is a veth device, not a tap", "make one: sudo ip tuntap add dev uplink1 mode tap"),
    "tap:lo": ("lo is a loopback device, not a tap", "make one: sudo ip tuntap add dev uplink1 mode tap"),
    "tap:tun0": ("tun0 is a tun device, not a tap", "make one: sudo ip tuntap add dev uplink1 mode tap"),
    "tap:idle": ("the tap idle is down", "sudo ip link set idle up"),
    "tap:lost": ("br1, the bridge of the tap lost, is down", "sudo ip link set br1 up"),
    "tap:busy": ("another program has the tap busy open", "make another: sudo ip tuntap add dev uplink1"),
    "mail tap:root": ("you may not open the tap root: it belongs to root", "sudo ip tuntap del dev root mode tap && "),
    "mail tap:crew": ("it belongs to a group that you are not in", "sudo ip tuntap del dev crew mode tap && "),
    "mail bridge:br0": ("needs CAP_NET_ADMIN", "--uplink tap:uplink1"),
    "bridge:none": ("there is no bridge named none", "sudo ip link add none type bridge"),
    "bridge:br1": ("the bridge br1 is down", "sudo ip link set br1 up"),
    "bridge:veth0": ("veth0 is a veth device, not a bridge", "sudo ip link set veth0 master uplink0 up"),
    "bridge:good": ("good is a tap, not a bridge", "--uplink tap:good"),
}


def test_what_is_no_tap_or_bridge_is_named_before_qemu_starts() -> None:
    found = scene("devices")
    for where, (message, hint) in REFUSED.items():
        said = found.pop(where)
        assert said[0].startswith("--uplink")
        assert message in said[0], where
        assert hint in said[1], where
    assert sorted(found) == ["bridge:br0", "mail tap:good", "tap:good", "tap:queues"]
    assert all(said == ["plugged", "tap,fd"] for said in found.values())


def test_a_bridge_keeps_its_mtu_and_the_router_has_it() -> None:
    if not BRIDGED.exists():
        pytest.skip("br_netfilter is not loaded")
    found = scene("mtu")
    assert found.pop("tap") == [9000, 1400]  # what gets through a tap into a narrower bridge
    for size, entry in found.items():
        mtu = int(size)
        assert (entry.pop("during"), entry.pop("after")) == ([mtu] * 3, mtu)
        told = {key: value[0] for key, value in entry.items() if value[0] is not None}
        assert told == ({} if mtu == 1500 else {"virtio-net-pci None": mtu})
        warned = {key for key, value in entry.items() if len(value) > 1}
        assert warned == (set() if mtu == 1500 else {"e1000e None", "e1000e 1500", "virtio-net-pci 1500"})
    narrow, wide = found["1400"]["e1000e None"][1], found["9000"]["e1000e None"][1]
    assert "larger packets from the router are lost without an error: bridge:br1 carries 1400 bytes" in narrow
    assert "larger packets to the router are lost: bridge:br0 carries up to 9000 bytes" in wide
    assert "set `mtu: 1400` below `uplink` in the spec and build again, or use --nic virtio-net-pci" in narrow
    assert "--nic" not in found["1400"]["virtio-net-pci 1500"][1]


def test_a_firewall_that_sees_the_bridge_is_told_of() -> None:
    if not BRIDGED.exists():
        pytest.skip("br_netfilter is not loaded")
    found = scene("firewall")
    assert sorted(found["off"]) == ["bridge:br0", "tap:alone", "tap:inside", "user"]
    assert not any(found["off"].values())
    for what in ("all", "one"):
        assert found[what]["tap:alone"] == found[what]["user"] == []
        for where in ("bridge:br0", "tap:inside"):
            (warning,) = found[what][where]
            assert warning.endswith("sudo iptables -I FORWARD -m physdev --physdev-is-bridged -i br0 -j ACCEPT")
    assert "-i nv735c00b -j ACCEPT" in found["client"]


# ---- with a router


@pytest.fixture
def host() -> Iterator[Namespace]:
    need_namespaces("dnsmasq", "nft")
    with Namespace() as made:
        yield made
        made.build("stop", "--now", check=False)


def start(host: Namespace, image: Image, qemu: Qemu, *more: str) -> str:
    """Start a router on the bridge uplink0; what was said."""
    accel = ("--accel", "tcg", "--qemu", str(qemu.path))
    done = host.build("run", str(image.folder), "--detach", "--clients", "0", *accel, "--uplink", *more)
    return done.stderr


def address(host: Namespace) -> str:
    """The router's address once it has one."""
    host.build("events", "--until", "ready", "--timeout", "120")
    (uplink,) = json.loads(host.build("status", "--json").stdout)["uplinks"]
    return str(uplink["address"]).partition("/")[0]


def pings(upstream: Namespace, router: str, payload: int, *more: str) -> bool:
    done = upstream.run("ping", "-c", "3", "-i", "0.3", "-W", "2", "-s", str(payload), *more, router, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("mtu", [9000, 1400])
def test_large_packets_cross_a_bridge_of_another_mtu(
    mtu: int, host: Namespace, image: Image, qemu: Qemu, tmp_path: Path
) -> None:
    """The largest packet that the bridge carries reaches the router, and its answer comes back; a larger one does in
    fragments.
    """
    with Upstream(host, tmp_path) as upstream:
        host.run("ip", "link", "set", "port0", "mtu", str(mtu))
        upstream.run("ip", "link", "set", "up0", "mtu", str(mtu))
        said = start(host, image, qemu, "bridge:uplink0", "--nic", "virtio-net-pci")
        assert "MTU" not in said
        router = address(host)
        shown = json.loads(host.run("ip", "-j", "link", "show", "type", "bridge").stdout)
        assert [one["mtu"] for one in shown] == [mtu]
        assert pings(upstream, router, mtu - 28, "-M", "do")
        assert pings(upstream, router, mtu + 1000)
        host.build("stop")
        assert "the router's uplink has an MTU of 1500 bytes" in start(host, image, qemu, "bridge:uplink0")


def test_a_host_that_drops_what_it_forwards(host: Namespace, image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """As Docker leaves it: no lease until the frames are let through, and `run` says so."""
    if not BRIDGED.exists():
        pytest.skip("br_netfilter is not loaded")
    host.run(
        "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    with Upstream(host, tmp_path):
        said = start(host, image, qemu, "bridge:uplink0")
        assert re.search(r"^warning: this host passes the frames of bridge uplink0 through its iptables", said, re.M)
        host.build("events", "--until", "firewall", "--timeout", "120")
        time.sleep(5)
        assert json.loads(host.build("status", "--json").stdout)["uplinks"][0]["address"] is None
        host.run("nft", "add rule ip filter FORWARD iifname uplink0 accept")
        assert address(host).startswith("192.0.2.1")


def test_a_tap_of_one_s_own(host: Namespace, image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """It serves as it is, and stays; a second router is told that it is in use."""
    host.run("ip", "tuntap", "add", "dev", "mine", "mode", "tap")
    with Upstream(host, tmp_path):
        host.run("ip", "link", "set", "mine", "master", "uplink0", "up")
        start(host, image, qemu, "tap:mine")
        assert address(host).startswith("192.0.2.1")
        second = ("--name", "second", "--qemu", str(qemu.path), "--accel", "tcg", "--uplink", "tap:mine")
        refused = host.build("run", str(image.folder), "--detach", *second, check=False)
        assert refused.returncode == 7
        assert "error: --uplink: another program has the tap mine open" in refused.stderr
        host.build("stop")
        assert "mine" in host.links()
