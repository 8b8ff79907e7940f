# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/how-to/connect-a-client.md, and the host's bridge in start-at-boot.md: each configuration that the pages show,
applied by the program that it is for.

The client's card is one end of a veth, with the client's MAC; the other end has the router's address.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.host import debian_root
from tests.support.host.nix_by_hand import told
from tests.support.needs import ROOT, need

pytestmark = pytest.mark.integration

GUIDE = (ROOT / "docs" / "how-to" / "connect-a-client.md").read_text()
CARD = """\
unshare --net sleep infinity &
router=$!
until [ "$(readlink /proc/$router/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add eth0 address 0a:b3:ec:73:5c:01 type veth peer name router address 0a:b3:ec:73:5c:00 netns $router
nsenter -t $router -n ip address add 100.115.92.0/31 dev router
nsenter -t $router -n ip link set router up
"""
WAIT = """\
for _ in $(seq 100); do ip route | grep -q default && break; sleep 0.1; done
"""
LOOK = """\
ping -q -c 1 -W 5 100.115.92.0 >&2
card=$(ip -o link | sed -n 's/^[0-9]*: \\([^@:]*\\).*0a:b3:ec:73:5c:01.*/\\1/p')
printf '{"address": %s, "route": %s}\\n' "$(ip -j -4 address show dev $card)" "$(ip -j route show default)"
"""


def block(heading: str, kind: str) -> str:
    """The one block of a kind in a section."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (found,) = re.findall(rf"^```{kind}[^\n]*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(found)


def is_set_up(printed: str) -> None:
    """The card has the client's address and no other, and the default route is the router's."""
    seen = json.loads(printed.splitlines()[-1])
    (card,) = seen["address"]
    assert [(one["local"], one["prefixlen"]) for one in card["addr_info"]] == [("100.115.92.1", 31)]
    (route,) = seen["route"]
    assert (route["gateway"], route["dev"]) == ("100.115.92.0", card["ifname"])


NETWORKD = """\
mkdir -p /run/systemd/netif/links /run/systemd/network
chown -R systemd-network: /run/systemd/netif
cp -r "${1:-/run/try}"/*.network /run/systemd/network
/lib/systemd/systemd-networkd >&2 &
"""


def test_by_hand(debian_tools: Path) -> None:
    is_set_up(debian_root.entered(debian_tools, CARD + block("By hand", "sh") + LOOK))


def test_systemd_networkd(debian_tools: Path, tmp_path: Path) -> None:
    (tmp_path / "10-netvm.network").write_text(block("systemd-networkd", "ini"))
    is_set_up(debian_root.entered(debian_tools, CARD + NETWORKD + WAIT + LOOK, tmp_path))


def test_network_manager(debian_tools: Path) -> None:
    """With the DHCP profile of its own that NetworkManager has made by then."""
    start = "mkdir /run/dbus\ndbus-daemon --system --nopidfile >&2\nNetworkManager --no-daemon >&2 &\n"
    wait = "for _ in $(seq 100); do nmcli -t device 2>&1 | grep -q eth0:.*:connecting && break; sleep 0.1; done\n"
    printed = debian_root.entered(debian_tools, CARD + start + wait + block("NetworkManager", "sh") + WAIT + LOOK)
    assert "Connection successfully activated" in printed
    is_set_up(printed)


def test_ifupdown(debian_tools: Path, tmp_path: Path) -> None:
    (tmp_path / "interfaces").write_text(block("Debian's /etc/network/interfaces", "text"))
    is_set_up(debian_root.entered(debian_tools, CARD + "ifup -i interfaces eth0 >&2\n" + LOOK, tmp_path))


def test_cloud_init(debian_tools: Path, tmp_path: Path) -> None:
    """cloud-init takes the file, and networkd does what cloud-init's own back end makes of it."""
    (tmp_path / "network-config").write_text(block("cloud-init", "yaml"))
    convert = "cloud-init devel net-convert --network-data network-config --kind yaml --distro debian --output-kind"
    script = f"""\
cloud-init schema --schema-type network-config --config-file network-config
for kind in networkd netplan network-manager eni; do {convert} $kind --directory made/$kind >&2; done
"""
    rename = "ip link set eth0 name netvm\n"  # as cloud-init does at boot, by `set-name`
    networkd = NETWORKD.replace("${1:-/run/try}", "/run/try/made/networkd/etc/systemd/network")
    printed = debian_root.entered(debian_tools, CARD + script + rename + networkd + WAIT + LOOK, tmp_path)
    assert "Valid schema" in printed
    is_set_up(printed)


def test_the_bridge_of_the_host(debian_tools: Path, tmp_path: Path) -> None:
    """The three files of docs/how-to/start-at-boot.md make a bridge without an address, with the card as its port."""
    page = (ROOT / "docs" / "how-to" / "start-at-boot.md").read_text()
    text = re.sub("^    ", "", page, flags=re.MULTILINE)
    files = re.findall(r"^# /etc/systemd/network/(\S+)\n((?:.+\n)+)", text, re.MULTILINE)
    assert len(files) == 3
    for name, content in files:
        (tmp_path / name).write_text(content)
    script = f"""\
ip link add enp3s0 type veth peer name switch
ip link set switch up
{NETWORKD.replace("/*.network", "/uplink*")}
for _ in $(seq 100); do
  ip -o link show master uplink0 2>/dev/null | grep -q "enp3s0.*state UP" && break
  sleep 0.1
done
ip -j address show dev uplink0
ip -j link show master uplink0
"""
    bridge, ports = (json.loads(line) for line in debian_root.entered(debian_tools, script, tmp_path).splitlines())
    assert [one for one in bridge[0]["addr_info"] if one["family"] == "inet"] == []
    assert [(port["ifname"], port["operstate"]) for port in ports] == [("enp3s0", "UP")]


def test_the_unit_for_a_card(tmp_path: Path) -> None:
    need("systemd-analyze")
    page = (ROOT / "docs" / "how-to" / "start-at-boot.md").read_text()
    (unit,) = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "netvm-card.service"
    file.write_text(unit.replace("/usr/local/bin/netvm-build", "/bin/true"))
    line = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nixos(tmp_path: Path) -> None:
    """As far as there are no NixOS modules here: an attribute set whose network says the same as networkd's file."""
    need("nix-instantiate")
    (tmp_path / "client.nix").write_text(block("NixOS", "nix"))
    expression = f'(import {tmp_path / "client.nix"}).systemd.network.networks."10-netvm"'
    network = json.loads(told(["nix-instantiate", "--eval", "--strict", "--json", "--expr", expression]))
    file = block("systemd-networkd", "ini")
    assert f"MACAddress={network['matchConfig']['MACAddress']}" in file
    for key, word in (("address", "Address"), ("gateway", "Gateway"), ("dns", "DNS")):
        (value,) = network[key]
        assert f"{word}={value}" in file
