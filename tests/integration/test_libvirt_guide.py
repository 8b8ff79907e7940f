# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/how-to/libvirt-router.md and libvirt-clients.md, typed on a Debian with a libvirtd that has no KVM."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vm.clients import plan, vmm

from tests.support.host import debian_root
from tests.support.needs import ROOT

pytestmark = pytest.mark.integration

ROUTER = (ROOT / "docs" / "how-to" / "libvirt-router.md").read_text()
CLIENTS = (ROOT / "docs" / "how-to" / "libvirt-clients.md").read_text()
EXAMPLES = ROOT / "examples"

# What a maintainer script, systemd, sudo and a network's owner do on a real host; and what can't be had here: KVM,
# confinement, control groups.
HOST = """\
sudo() { "$@"; }
wait_for() { python3 /run/try/libvirt_host.py events "$@"; }
cat > /etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
END
unshare --net sleep infinity &
outside=$!
until [ "$(readlink /proc/$outside/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add uplink0 type bridge
ip address add 192.0.2.9/24 dev uplink0
ip link add port0 type veth peer name up0 netns $outside
ip link set port0 master uplink0 up
ip link set uplink0 up
out() { nsenter -t $outside -n -- "$@"; }
out ip address add 192.0.2.1/24 dev up0
out ip link set up0 up
out dnsmasq --conf-file=/dev/null --user=root --pid-file= --no-resolv --no-hosts --interface=up0 --bind-interfaces \\
  --dhcp-leasefile=/run/leases --dhcp-range=192.0.2.100,192.0.2.150 --dhcp-option=option:router,192.0.2.1 \\
  --dhcp-option=option:dns-server,192.0.2.1 --address=/upstream.test/192.0.2.1
mkdir /run/pages
echo the page > /run/pages/index.html
out python3 -u -m http.server -d /run/pages 80 >&2 &
libvirtd >/run/libvirtd.log 2>&1 &
for _ in $(seq 100); do virsh version >/dev/null 2>&1 && break; sleep 0.1; done
"""
CLIENT = """\
<domain type='qemu'>
  <name>web</name>
  <memory unit='MiB'>96</memory>
  <os>
    <type machine='q35'>hvm</type>
    <kernel>/var/lib/netvm/image/kernel</kernel>
    <cmdline>console=ttyS0 quiet panic=-1 no_timer_check root=/dev/vda rootfstype=erofs ro init=/usr/bin/python3 \
-- -ISB /dev/vdb http://upstream.test/</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    {disks}
    {interface}
    <serial type='file'><source path='/run/web.log'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""
DISK = """\
<disk type='file'>
  <driver name='qemu' type='raw'/><source file='{file}'/><target dev='{name}' bus='virtio'/><readonly/>
</disk>
"""


def blocks(text: str, heading: str, kind: str) -> str:
    """The blocks of a kind in a section."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found
    return "".join(found)


def test_a_domain_takes_the_interface_that_the_guide_shows(debian_tools: Path, image: Image, tmp_path: Path) -> None:
    """By virsh: into the configuration of a domain, which then starts with that tap, and out of it again."""
    shown = blocks(CLIENTS, "Attach", "xml")
    one = plan.Attachment(image.manifest.name, "web", "100.115.92.0", "t", "", plan.TAP, tap="nv735c00c")
    assert shown == vmm.options("libvirt", one) + "\n"
    shutil.copytree(image.folder, tmp_path / "image")
    (tmp_path / "web.xml").write_text(shown)
    disk = DISK.format(file="/run/try/image/rootfs.img", name="vda")
    domain = CLIENT.format(disks=disk, interface="").replace("/var/lib/netvm", "/run/try")
    (tmp_path / "domain.xml").write_text(domain.replace("init=/usr/bin/python3", "init=/nothing"))
    attach, detach = blocks(CLIENTS, "Attach", "sh"), blocks(CLIENTS, "Detach", "sh")
    script = f"""\
{HOST}
printf '#!/bin/sh\\n' > /usr/bin/netvm-build
chmod 755 /usr/bin/netvm-build
virsh define domain.xml >&2
ip tuntap add dev nv735c00c mode tap user libvirt-qemu
ip link set nv735c00c up
cp web.xml printed.xml
{attach.replace("> web.xml", "> nothing")}
virsh start web --paused >&2
ip -o link show nv735c00c
virsh destroy web >&2
{detach}
virsh dumpxml --inactive web | grep -c "<interface" || :
"""
    printed = debian_root.entered(debian_tools, script, tmp_path)
    assert re.search(r"nv735c00c: <[^>]*\bLOWER_UP\b", printed)
    assert printed.endswith("\n0\n")


def test_the_router_and_a_client_as_domains(debian_tools: Path, image: Image, tmp_path: Path) -> None:
    shutil.copytree(image.folder, tmp_path / "build" / "netvm")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    shutil.copy(debian_root.HERE / "libvirt_host.py", tmp_path)
    program = (EXAMPLES / "client-vm" / "client.py").read_bytes() + b"\n" * 512
    (tmp_path / "client.img").write_bytes(program[: len(program) // 512 * 512])
    disks = DISK.format(file="/var/lib/netvm/image/rootfs.img", name="vda")
    disks += DISK.format(file="/run/try/client.img", name="vdb")
    interface = blocks(ROUTER, "Add a client", "xml")
    (tmp_path / "web.xml").write_text(CLIENT.format(disks=disks, interface=interface))
    mail = (EXAMPLES / "libvirt" / "netvm-web.xml").read_text().replace("-web", "-mail")
    (tmp_path / "netvm-mail.xml").write_text(mail)

    def emulated(script: str) -> str:
        return script.replace("domain.py /var", "domain.py --type qemu /var")

    plug = blocks(ROUTER, "Add a client", "sh").replace("--live --config", "--live")
    ask = re.search(r"`(\(echo '\{\"v\".*)`", ROUTER)
    assert ask is not None
    script = f"""\
{HOST}
{emulated(blocks(ROUTER, "Start the router", "sh"))}
port=$(virsh dumpxml netvm | sed -n "s/.*path='\\([^']*netvm.events\\)'.*/\\1/p")
echo "ready: $(wait_for "$port" ready)"
PATH_OF_PORT=$port
echo "status: $( {ask[1].replace("UNIX:PATH", 'UNIX:"$PATH_OF_PORT"')} | grep '"id": 1')"
virsh create web.xml >&2
for _ in $(seq 300); do virsh list --name | grep -qx web || break; sleep 0.2; done
grep -ao 'client 100.*' /run/web.log
virsh net-create netvm-mail.xml >&2
{plug}
echo "plugged: $(wait_for "$port" client client=100.115.92.3)"
unshare --net sleep infinity &
probe=$!
sleep 1
ip link add third type veth peer name eth0 netns $probe
ip link set third master nv-web up
in_probe() {{ nsenter -t $probe -n -- "$@"; }}
in_probe ip address add 100.115.92.9/8 dev eth0
in_probe ip link set eth0 up
in_probe ip route add default dev eth0
in_probe ip neigh add 192.0.2.9 dev eth0 lladdr $(cat /sys/class/net/nv-web/address)
echo "host heard before: $(python3 libvirt_host.py reaches 192.0.2.9 $probe)"
{blocks(ROUTER, "Keep the host out of the wires", "sh")}
echo "host heard after: $(python3 libvirt_host.py reaches 192.0.2.9 $probe)"
virsh reset netvm >&2
echo "again: $(wait_for "$port" ready)"
{emulated(blocks(ROUTER, "Update it", "sh"))}
port=$(virsh dumpxml netvm | sed -n "s/.*path='\\([^']*netvm.events\\)'.*/\\1/p")
echo "updated: $(wait_for "$port" ready)"
ls /var/lib/netvm
"""
    printed = debian_root.entered(debian_tools, script, tmp_path, timeout_s=400)
    print(printed)
    assert "client 100.115.92.1 by 100.115.92.0: upstream.test is 192.0.2.1: HTTP/1.0 200 OK" in printed
    status = json.loads(printed.split("status: ")[1].splitlines()[0])
    assert (status["state"], len(status["clients"]), status["watchdog_s"]) == ("ready", 1, 30)
    assert "host heard before: yes" in printed
    assert "host heard after: no" in printed
    assert printed.endswith("image\nimage.old\n")


def test_a_card_and_a_mac_are_valid_too(debian_tools: Path, image: Image, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    shutil.copytree(image.folder, tmp_path / "image")
    options = "--uplink uplink0=52:54:00:12:34:56 --card 0000:03:00.0"
    script = f"""\
python3 examples/libvirt/domain.py image --name other {options} > domain.xml
virt-xml-validate domain.xml domain
cat domain.xml
"""
    printed = debian_root.entered(debian_tools, script, tmp_path)
    assert '<mac address="52:54:00:12:34:56" />' in printed
    assert '<address domain="0x0000" bus="0x03" slot="0x00" function="0x0" />' in printed
