# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router's uplink on a host's taps and bridges, inside a namespace: uplink_scenes.py SCENE prints a JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from netvm_build.host import inspect, links
from netvm_build.image.manifest import Card, Image, MachineRequirements, Manifest, Part
from netvm_build.model import Router, Uplink
from netvm_build.util.errors import LaunchError
from netvm_build.vm.uplink import Plugged, cautions, check, parse, plug, told_mtu

PART = Part("file", "0" * 64)
HERE = Path()
VIRTIO = "virtio-net-pci"
NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")  # on in every new namespace


def tool(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def image(mtu: int | None = None) -> Image:
    router = Router(uplink=Uplink(mtu=mtu))
    manifest = Manifest("netvm", PART, PART, PART, "quiet", {}, {}, router, MachineRequirements())
    assert manifest.cards == (Card(None, {0: None}),)
    return Image(Path("nowhere"), manifest)


def interfaces() -> list[str]:
    return os.listdir("/proc/sys/net/ipv4/conf")  # noqa: PTH208


def refusal(where: str) -> list[str]:
    """What `plug` refuses with, and its hint; "plugged" where it does not.  `check` has said the same before."""
    before = interfaces()
    try:
        check(parse(where), image(), VIRTIO)
        early = None
    except LaunchError as error:
        early = [error.message, error.hint or ""]
    assert interfaces() == before
    try:
        plugged = plug(parse(where), image(), HERE, VIRTIO, "tcg")
    except LaunchError as error:
        said = [error.message, error.hint or ""]
        assert early == said
        return said
    assert early is None
    assert plugged.descriptors
    for descriptor in plugged.descriptors:
        os.close(descriptor)
    assert plugged.backend is not None
    return ["plugged", plugged.backend.partition("=")[0]]


def devices() -> dict[str, object]:
    """Everything that somebody may take for a tap or a bridge."""
    tool("link add br0 up type bridge")
    tool("link add br1 type bridge")
    tool("link add veth0 type veth peer name veth1")
    tool("tuntap add dev good mode tap user mail")
    tool("tuntap add dev root mode tap user root")
    tool("tuntap add dev crew mode tap group daemon")
    tool("tuntap add dev queues mode tap multi_queue")
    tool("tuntap add dev tun0 mode tun")
    tool("tuntap add dev idle mode tap")
    tool("tuntap add dev busy mode tap")
    tool("tuntap add dev lost mode tap")
    tool("link set lost master br1 up")
    for name in ("good", "root", "crew", "queues", "tun0", "busy"):
        tool(f"link set {name} up")
    held = links.open_tap("busy", links.open_tun())
    wanted = [
        f"tap:{name}" for name in ("none", "br0", "veth0", "lo", "queues", "tun0", "idle", "lost", "busy", "good")
    ]
    wanted += [f"bridge:{name}" for name in ("none", "br1", "veth0", "good", "br0")]
    found: dict[str, object] = {where: refusal(where) for where in wanted}
    held.close()
    os.setgroups([])
    os.setresgid(8, 8, 8)
    os.setresuid(8, 8, 8)  # mail, without a capability
    for where in ("tap:root", "tap:crew", "tap:good", "bridge:br0"):
        found[f"mail {where}"] = refusal(where)
    return found


def _mtus(bridge: str, plugged: Plugged) -> dict[str, object]:
    tap = next(name for name in interfaces() if name.startswith("nvup"))
    during = [links.mtu_of(bridge), links.mtu_of(tap), plugged.mtu]
    assert plugged.descriptors
    for descriptor in plugged.descriptors:
        os.close(descriptor)
    return {"during": during, "after": links.mtu_of(bridge)}


def mtu() -> dict[str, object]:
    """Bridges that carry more, and less, than Ethernet's 1500 bytes; and a tap in each."""
    NETFILTER.write_text("0")
    found: dict[str, object] = {}
    for number, size in enumerate((9000, 1400, 1500)):
        bridge, port = f"br{number}", f"port{number}"
        tool(f"link add {bridge} up type bridge")
        tool(f"link add {port} mtu {size} type veth peer name far{number}")
        tool(f"link set {port} master {bridge} up")
        assert links.mtu_of(bridge) == size
        entry = _mtus(bridge, plug(parse(f"bridge:{bridge}"), image(), HERE, VIRTIO, "tcg"))
        for nic in ("e1000e", VIRTIO):
            for of_spec in (None, size, 1500):
                key = f"{nic} {of_spec}"
                made = image(of_spec)
                warnings = cautions(parse(f"bridge:{bridge}"), made, nic)
                entry[key] = [told_mtu(made, nic, size), *warnings]
        found[str(size)] = entry
    tool("tuntap add dev mine mode tap")
    tool("link set mine mtu 9000")  # wider than what the bridge behind it carries
    tool("link set br1 mtu 1400")
    tool("link set mine master br1 up")
    found["tap"] = [links.mtu_of("mine"), plug(parse("tap:mine"), image(), HERE, VIRTIO, "tcg").mtu]
    return found


def firewall() -> dict[str, object]:
    """A host that passes bridges' frames through its iptables: all of them, or those of one bridge."""
    tool("link add br0 up type bridge")
    tool("tuntap add dev inside mode tap")
    tool("link set inside master br0 up")
    tool("tuntap add dev alone mode tap")
    tool("link set alone up")
    found: dict[str, object] = {}

    def look(what: str) -> None:
        wheres = ("bridge:br0", "tap:inside", "tap:alone", "user")
        found[what] = {where: cautions(parse(where), image(), VIRTIO) for where in wheres}

    NETFILTER.write_text("0")
    look("off")
    NETFILTER.write_text("1")
    look("all")
    found["client"] = inspect.netfilter_warning("nv735c00b")
    NETFILTER.write_text("0")
    tool("link set br0 type bridge nf_call_iptables 1")
    look("one")
    return found


SCENES: dict[str, Callable[[], dict[str, object]]] = {"devices": devices, "mtu": mtu, "firewall": firewall}

if __name__ == "__main__":
    print(json.dumps(SCENES[sys.argv[1]]()))
