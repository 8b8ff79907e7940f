# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The air for Wi-Fi tests: hostapd, iw and busybox from Debian's packages, as an initramfs for the router's VM.

The access point lives in the same VM as the router, since simulated radios (mac80211_hwsim) hear each other only in
one kernel; it is in a network namespace of its own, and the router's image is the one that users get, unchanged.
"""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data" / "wifi"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "lib64/ld-linux-x86-64.so.2"
SETS = {"air": ("busybox-static", "hostapd", "iw")}
EXPRESSION = """\
{
  root = (import %(tree)s/platforms/debian/packages.nix {
    lock = builtins.fromJSON (builtins.readFile ./air.lock);
    system = "x86_64-linux";
  }).root "air";
}
"""
PROGRAMS = ("usr/sbin/hostapd", "usr/sbin/iw")
LEGACY = f"{LIBRARIES}/ossl-modules/legacy.so"  # MD4, without which hostapd has no EAP at all
APPLETS = (
    "sh cat chroot echo grep insmod ip kill mkdir mount nc pidof rm sleep tail tr udhcpd umount unshare pgrep".split()  # noqa: SIM905
)


DEBIANS_KERNEL = {
    "drivers.sh": b"""\
# What leads to the root; each module is tried until those that it needs are there.
for pass in 1 2 3 4 5 6; do
  for module in /*.ko; do [ ! -e "$module" ] || { insmod "$module" 2> /dev/null && rm "$module"; }; done
done
""",
    "radios.sh": b"""\
while [ ! -e /sys/module/cfg80211 ]; do sleep 0.1; done
for module in libarc4 mac80211 mac80211_hwsim; do insmod /root/usr/lib/modules/*/$module.ko; done
while [ ! -e /sys/class/ieee80211/phy1 ]; do sleep 0.02; done
iw phy phy1 set netns $air
""",
}
"""Scripts of the initramfs where the radios, and all else, are modules."""


def beside(initrd: Path, ours: bytes) -> bytes:
    """The initrd of an image with Debian's kernel, whose modules lead to the root, and ours, which takes its place."""
    theirs = initrd.read_bytes()
    return theirs + bytes(-len(theirs) % 4) + ours


def initramfs(root: Path, more: dict[str, bytes] | None = None) -> bytes:
    """The cpio archive (newc, Documentation/driver-api/early-userspace/buffer-format.rst) made of an unpacked root."""
    files: dict[str, tuple[int, bytes]] = {}
    for name in PROGRAMS:
        files[f"bin/{Path(name).name}"] = (0o755, (root / name).read_bytes())
        for library in _libraries(root, root / name):
            files[f"{LIBRARIES}/{library.name}"] = (0o755, library.read_bytes())
    files[LOADER] = (0o755, (root / "usr" / LOADER).read_bytes())
    files[LEGACY] = (0o755, (root / LEGACY).read_bytes())
    files["bin/busybox"] = (0o755, (root / "usr/bin/busybox").read_bytes())
    for script in ("init", "air.sh"):
        files[script] = (0o755, (DATA / script).read_bytes())
    for name, data in (more or {}).items():
        files[name] = (0o755, data)
    folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in sorted(folders | {"proc", "sys", "dev", "root", "tmp"})]
    entries += [(name, stat.S_IFREG | mode, data) for name, (mode, data) in sorted(files.items())]
    entries += [(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox") for applet in APPLETS]
    entries += [("dev/console", stat.S_IFCHR | 0o600, b""), ("TRAILER!!!", 0, b"")]
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    device = (5, 1) if stat.S_ISCHR(mode) else (0, 0)
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def _libraries(root: Path, program: Path) -> list[Path]:
    """What a program of the root loads, as the root's own loader finds it."""
    argv: list[str | Path] = [root / "usr" / LOADER, "--library-path", root / LIBRARIES, "--list", program]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [Path(line.split("=>")[1].split("(")[0].strip()) for line in listed.splitlines() if "=>" in line]
