# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Collect the modules of an image, what they need, and the table by which PID 1 finds the one for a device.

usage: make_drivers.py KERNEL WANTED OUT BUSYBOX [NAMES]

KERNEL holds lib/modules/RELEASE with its modules; a file `modules` in it names more to take.  WANTED is JSON: `names`
(the modules to take), `firmware` (the packages asked for) and `stock` (whether the root's own drivers are modules).
NAMES is JSON, option → modules that it may have made (module_names.py): those that are there are taken.
What depmod(8) would compute is read from the modules themselves: each has its aliases, dependencies and firmware in a
section .modinfo (Linux, include/linux/module.h).  Of what is built into a kernel of ours, modules.builtin.modinfo tells
the firmware: a stock kernel has drivers built in that nobody chose.  OUT gets

    tree/usr/lib/modules/RELEASE/NAME.ko    the modules, uncompressed: the root's file system compresses them
    tree/usr/lib/netvm/modules.bin          the table, by marshal: one read makes it a dict, without parsing; not if
                                            there is no module
    initrd                                  if `stock`: the modules that lead to the root, and a script to load them
    firmware.json                           driver → the firmware that it names, for take_firmware.py

The table's members: `release`; `modules`, name → (names to load before it); `always`, names to load at boot because
no hardware asks for them; `aliases`, kind of alias → {literal beginning: [(rest as a pattern, name)]}, where the kind
is what stands before the first colon.
"""

import gzip
import json
import lzma
import marshal
import re
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Kinds of alias that a device in /sys/bus/*/devices has as its modalias, and that a router's hardware can be of.
HARDWARE = ("pci", "usb", "virtio", "acpi", "hid", "serio", "platform")

# Kinds of alias by which the kernel finds a module when a program opens a device node or a socket.  PID 1 is not told
# of that, so such modules are loaded at boot, even where a card's driver brings them too: iwd needs rfkill without one.
BY_PROGRAMS = ("devname:", "char-major-", "net-pf-")

# What leads to the root on a kernel that has nothing built in, in this order: the bus, the disk, the file system.
TO_THE_ROOT = ("virtio_pci", "virtio_blk", "erofs")

# Folders below kernel/ whose modules are asked for by alias: reading all four thousand of a stock kernel takes long.
SERVING = ("arch", "crypto", "lib")

INIT = """\
#!/bin/sh
# Load what leads to the root, mount it, and go on as the kernel would have without this.
/busybox mount -t devtmpfs dev /dev
/busybox mount -t proc proc /proc
refused=
for module in {modules}; do
  /busybox insmod "/$module.ko" 2>/dev/null || refused="$refused $module"
done
init=/sbin/init
for word in $(/busybox cat /proc/cmdline); do
  case $word in
    --) break ;;
    init=*) init=${{word#init=}} ;;
  esac
done
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do
  /busybox sleep 0.05
  tries=$((tries + 1))
done
/busybox umount /proc
/busybox mount -t erofs -o ro /dev/vda /root ||
  /busybox echo "initrd: /dev/vda could not be mounted as erofs; not loaded:$refused" > /dev/kmsg
/busybox mount -o move /dev /root/dev
exec /busybox switch_root /root "$init" "$@"
"""


class Module:
    """One module: its name, its uncompressed bytes, and what its .modinfo says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.partition(".")[0].replace("-", "_")
        data = path.read_bytes()
        self.data = lzma.decompress(data) if path.suffix == ".xz" else data
        self.facts: dict[str, list[str]] = {}
        for entry in section(self.data, b".modinfo", path).split(b"\0"):
            key, equals, value = entry.decode(errors="replace").partition("=")
            if equals:
                self.facts.setdefault(key, []).append(value)

    @property
    def depends(self) -> list[str]:
        """The modules whose symbols it uses."""
        return [name.replace("-", "_") for value in self.facts.get("depends", []) for name in value.split(",") if name]

    @property
    def soft(self) -> list[str]:
        """What it wants loaded before it, by name or alias, without using its symbols."""
        found = [re.search(r"pre:(.*?)(?:post:|$)", value) for value in self.facts.get("softdep", [])]
        return [word for match in found if match for word in match[1].split()]

    @property
    def aliases(self) -> list[str]:
        return self.facts.get("alias", [])

    @property
    def hardware(self) -> list[str]:
        """The aliases that a device can ask by."""
        return [alias for alias in self.aliases if kind_of(alias) in HARDWARE]

    @property
    def for_programs(self) -> bool:
        """Whether a program can ask for it."""
        return any(alias.startswith(BY_PROGRAMS) for alias in self.aliases)


def section(data: bytes, wanted: bytes, path: Path) -> bytes:
    """A section of a 64-bit little-endian ELF file (elf(5))."""
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"make_drivers: {path} is no module of a 64-bit kernel")
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * number) for number in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if data[strings + name : data.index(b"\0", strings + name)] == wanted:
            return data[offset : offset + length]
    sys.exit(f"make_drivers: {path} has no section {wanted.decode()}")


def kind_of(alias: str) -> str:
    """What stands before an alias's first colon, up to the first wildcard: acpi of ``acpi*:PNP0C0C:*``."""
    return re.split(r"[:*?\[]", alias, maxsplit=1)[0] if ":" in alias else ""


class Tree:
    """All modules of a kernel; each is read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = sorted(path for path in folder.rglob("*.ko*") if path.suffix in (".ko", ".xz"))
        self.paths = {path.name.partition(".")[0].replace("-", "_"): path for path in paths}
        builtin = (folder / "modules.builtin").read_text().split()
        self.builtin = {Path(name).name.removesuffix(".ko").replace("-", "_") for name in builtin}
        self._read: dict[str, Module] = {}
        self._by_alias: dict[str, list[str]] | None = None

    def module(self, name: str) -> Module:
        if name not in self._read:
            self._read[name] = Module(self.paths[name])
        return self._read[name]

    def called(self, word: str) -> list[str]:
        """The modules of a name, or of an alias such as crypto-crc32c."""
        name = word.replace("-", "_")
        if name in self.paths:
            return [name]
        if name in self.builtin:
            return []
        return self._aliased().get(word, [])

    def _aliased(self) -> dict[str, list[str]]:
        """Aliases of the modules that others ask for by what they do: ciphers, checksums, compression."""
        if self._by_alias is None:
            self._by_alias = {}
            for name, path in self.paths.items():
                if path.relative_to(self.folder).parts[1] in SERVING:
                    for alias in self.module(name).aliases:
                        self._by_alias.setdefault(alias, []).append(name)
        return self._by_alias

    def before(self, name: str) -> list[str]:
        """What must be loaded before a module, in order, itself left out."""
        order: list[str] = []

        def visit(one: str, trail: tuple[str, ...]) -> None:
            module = self.module(one)
            needs = [*(name for word in module.soft for name in self.called(word)), *module.depends]
            for need in needs:
                if need in self.paths and need not in trail:
                    visit(need, (*trail, need))
            if one not in order:
                order.append(one)

        visit(name, (name,))
        return order[:-1]


def chosen(tree: Tree, names: list[str]) -> list[str]:
    """The modules asked for, but for those that others of them bring in and no program asks for."""
    missing = [name for name in names if name not in tree.paths and name not in tree.builtin]
    if missing:
        sys.exit(
            f"make_drivers: the kernel has no module {', '.join(missing)}, and nothing of that name built in\n"
            "hint: where a module is not called as its option is, say so below `modules:` of a fragment"
        )
    present = {name for name in names if name in tree.paths}
    brought = {need for name in present for need in tree.before(name)}
    return sorted(name for name in present if name not in brought or tree.module(name).for_programs)


def table(tree: Tree, release: str, roots: list[str]) -> dict[str, object]:
    """What PID 1 reads."""
    before = {name: tuple(tree.before(name)) for name in roots}
    for needs in list(before.values()):
        for need in needs:
            before.setdefault(need, tuple(tree.before(need)))
    # A card's second half (mlx4_en beside mlx4_core) has no alias of its own: it is loaded by that of the first.
    asked_by = {name: tree.module(name).hardware for name in before}
    for name in roots:
        asked_by[name] = asked_by[name] or [alias for need in before[name] for alias in asked_by[need]]
    aliases: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for name in sorted(before):
        for alias in asked_by[name]:
            start = re.split(r"[*?\[]", alias, maxsplit=1)[0]
            aliases.setdefault(kind_of(alias), {}).setdefault(start, []).append((alias[len(start) :], name))
    always = [name for name in roots if not asked_by[name]]
    return {
        "release": release,
        "modules": dict(sorted(before.items())),
        "always": always,
        "aliases": dict(sorted(aliases.items())),
    }


def named_by(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Driver → the firmware that it names."""
    return {module.name: set(module.facts.get("firmware", [])) for module in modules}


def named_by_builtin(folder: Path) -> dict[str, set[str]]:
    """The same of what is built into a kernel: each fact stands behind the driver's name and a dot."""
    found: dict[str, set[str]] = {}
    for entry in (folder / "modules.builtin.modinfo").read_bytes().split(b"\0"):
        key, _, value = entry.decode(errors="replace").partition("=")
        driver, _, fact = key.rpartition(".")
        if fact == "firmware":
            found.setdefault(driver, set()).add(value)
    return found


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive in the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts = []
    for number, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        device = (5, 1) if name == "dev/console" else (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts += [head + b"\0" * (-len(head) % 4), data + b"\0" * (-len(data) % 4)]
    return b"".join(parts)


def initrd(tree: Tree, busybox: Path) -> bytes:
    """What a kernel without built-in drivers starts from."""
    roots = [name for name in TO_THE_ROOT if name in tree.paths]
    order = list(dict.fromkeys(one for name in roots for one in (*tree.before(name), name)))
    files: dict[str, tuple[int, bytes]] = dict.fromkeys(("dev", "proc", "root", "bin"), (0o040755, b""))
    files["dev/console"] = (0o020600, b"")
    files["busybox"] = (0o100755, busybox.read_bytes())
    files["bin/sh"] = (0o120777, b"/busybox")
    files["init"] = (0o100755, INIT.format(modules=" ".join(order)).encode())
    files |= {f"{name}.ko": (0o100644, tree.module(name).data) for name in order}
    return gzip.compress(cpio(files), 9, mtime=0)


def made_by(tree: Tree, options: dict[str, list[str]]) -> list[str]:
    """The modules that options made; of an option of which nothing is there, all that it should have made."""
    found = []
    for names in options.values():
        found += [name for name in names if name in tree.paths or name in tree.builtin] or names
    return found


def main(kernel: Path, wanted: dict[str, Any], out: Path, busybox: Path, options: dict[str, list[str]]) -> None:
    (folder,) = (path for path in (kernel / "lib/modules").iterdir() if (path / "modules.builtin").exists())
    tree = Tree(folder)
    more = kernel / "modules"
    named = wanted["names"] + made_by(tree, options) + (more.read_text().split() if more.exists() else [])
    roots = chosen(tree, named)
    every = sorted({one for name in roots for one in (name, *tree.before(name))})
    (out / "tree").mkdir(parents=True, exist_ok=True)
    target = out / "tree/usr/lib/modules" / folder.name
    if every:
        target.mkdir(parents=True)
        for name in every:
            (target / f"{name}.ko").write_bytes(tree.module(name).data)
        (out / "tree/usr/lib/netvm").mkdir(parents=True)
        (out / "tree/usr/lib/netvm/modules.bin").write_bytes(marshal.dumps(table(tree, folder.name, roots)))
    if wanted["stock"]:
        # It has no /proc/config.gz: the smoke boot finds what it was built with here.
        (target / "config.gz").write_bytes(gzip.compress((kernel / "kernel.config").read_bytes(), 9, mtime=0))
        (out / "initrd").write_bytes(initrd(tree, busybox))
    size = sum((target / f"{name}.ko").stat().st_size for name in every)
    print(f"netvm-stage: {len(every)} modules, {size / (1 << 20):.1f} MiB: {' '.join(every)}")
    firmware = named_by(tree.module(name) for name in every)
    if wanted["firmware"] and not wanted["stock"]:
        firmware |= named_by_builtin(folder)
    (out / "firmware.json").write_text(
        json.dumps({name: sorted(files) for name, files in firmware.items() if files}, indent=1)
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        json.loads(Path(sys.argv[2]).read_text()),
        Path(sys.argv[3]),
        Path(sys.argv[4]),
        json.loads(Path(sys.argv[5]).read_text()) if len(sys.argv) > 5 else {},
    )
