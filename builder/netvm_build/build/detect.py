# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which network cards this machine has, and which family of drivers each needs: sysfs → driver → option → fragment.

Everything is read from /sys and, for a card whose driver is not bound (it may be given to a VM already), from the
machine's own modules.alias.  Nothing is changed.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netvm_build.kconfig import Fragment
from netvm_build.model import FAMILIES, NIC_FAMILIES
from netvm_build.util.errors import NetvmError
from netvm_build.util.files import replace_file

SYSFS = Path("/sys")
MODULES = Path("/lib/modules")

# PCI's base class of network controllers, and its subclass of those that are neither Ethernet nor anything named.
NETWORK_CLASS = "02"
WIRELESS_SUBCLASS = "80"

# Drivers whose name is not their module's: a virtio card on PCI is bound to virtio-pci, whatever its type.
BY_ANOTHER_NAME = {"virtio-pci": "virtio_net"}

# Drivers that only hold a card for a VM.
HOLDERS = ("vfio-pci", "pci-stub")

# A driver that no family has → the modules of Debian's kernel that a card of it needs, and the firmware.
BESIDE: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "bnx2": (("bnx2",), "bnx2"),
    "bnx2x": (("bnx2x",), "bnx2x"),
    "iwlwifi": (("iwlwifi", "iwlmvm"), "iwlwifi"),
    **dict.fromkeys(("ath10k_pci", "ath11k_pci", "ath12k"), ((), "atheros")),
    **dict.fromkeys(("mt7915e", "mt7921e", "mt7925e"), ((), "mediatek")),
    "brcmfmac": ((), "brcm80211"),
}


@dataclass(frozen=True)
class Nic:
    """A network card.  `bus` is pci or usb, `address` its place there, `id` its maker and model such as 8086:10d3.

    `driver` is what is bound to it now, `module` the one it needs, by `how` we know: driver, alias or maker.  `option`,
    `fragment` and `family` are the kernel's option and the fragment that asks for it; None where no fragment does.
    """

    bus: str
    address: str
    id: str
    interfaces: tuple[str, ...]
    driver: str | None
    module: str | None
    how: str
    option: str | None
    fragment: str | None
    family: str | None


def detect(fragments: Mapping[str, Fragment], sysfs: Path = SYSFS, modules: Path = MODULES) -> tuple[Nic, ...]:
    """The network cards of this machine, by bus and address; Wi-Fi among them."""
    aliases = _aliases(modules)
    return tuple(_nic(bus, device, facts, fragments, aliases) for bus, device, facts in _cards(sysfs))


def families(nics: tuple[Nic, ...]) -> tuple[str, ...]:
    """The families that drive these cards, sorted."""
    return tuple(sorted({nic.family for nic in nics if nic.family is not None}))


def _cards(sysfs: Path) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """(bus, device, facts) of every network card."""
    for device in _devices(sysfs, "pci"):
        facts = _facts(device)
        if facts.get("PCI_CLASS", "").zfill(6).startswith(NETWORK_CLASS):
            yield "pci", device, facts
    for device in _devices(sysfs, "usb"):
        facts = _facts(device)
        if facts.get("DEVTYPE") == "usb_interface" and (device / "net").is_dir():
            yield "usb", device, facts


def _devices(sysfs: Path, bus: str) -> list[Path]:
    try:
        return sorted((sysfs / "bus" / bus / "devices").iterdir())
    except OSError:
        return []


def _facts(device: Path) -> dict[str, str]:
    """A device's uevent file: DRIVER, MODALIAS, and what its bus says."""
    try:
        text = (device / "uevent").read_text(errors="replace")
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _aliases(modules: Path) -> list[tuple[str, str]]:
    """(pattern, module) of the running kernel's modules, in depmod's order."""
    path = modules / os.uname().release / "modules.alias"
    if not path.is_file():  # another kernel's is as good: aliases seldom change
        path = next(iter(sorted(modules.glob("*/modules.alias"), reverse=True)), path)
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = (line.split(" ") for line in lines if line.startswith(("alias pci:", "alias usb:")))
    return [(parts[1], parts[2]) for parts in found if len(parts) == 3]


def _nic(
    bus: str, device: Path, facts: Mapping[str, str], fragments: Mapping[str, Fragment], aliases: list[tuple[str, str]]
) -> Nic:
    driver, maker_model = facts.get("DRIVER"), _identity(bus, facts)
    module, how = _module(driver, facts.get("MODALIAS", ""), aliases, fragments)
    option, fragment = _owner(module, fragments)
    family = next((name for name, owner in NIC_FAMILIES.items() if owner == fragment), None)
    if option is None and not (module or _is_wireless(facts)):
        family, how = _family_of(maker_model.partition(":")[0]), "maker"
        fragment = NIC_FAMILIES[family] if family else None
    return Nic(
        bus=bus,
        address=device.name,
        id=maker_model,
        interfaces=tuple(sorted(path.name for at in ("net/*", "virtio*/net/*") for path in device.glob(at))),
        driver=driver,
        module=module,
        how=how if family or module else "unknown",
        option=option,
        fragment=fragment,
        family=family,
    )


def _family_of(vendor: str) -> str | None:
    """The family of a PCI vendor's cards, the last resort where neither a driver nor an alias tells more."""
    return next((family.name for family in FAMILIES.values() if vendor in family.vendors), None)


def _is_wireless(facts: Mapping[str, str]) -> bool:
    return facts.get("PCI_CLASS", "").zfill(6)[2:4] == WIRELESS_SUBCLASS


def _identity(bus: str, facts: Mapping[str, str]) -> str:
    if bus == "pci":
        return facts.get("PCI_ID", "").lower()
    parts = facts.get("PRODUCT", "").split("/")
    return ":".join(part.zfill(4) for part in parts[:2])


def _module(
    driver: str | None, modalias: str, aliases: list[tuple[str, str]], fragments: Mapping[str, Fragment]
) -> tuple[str | None, str]:
    """The module that a card needs, and how we know.  A driver that only holds it for a VM (vfio-pci) tells nothing."""
    if driver is not None and driver not in HOLDERS:
        named = BY_ANOTHER_NAME.get(driver, driver.replace("-", "_"))
        if _owner(named, fragments)[0] is not None:
            return named, "driver"
    found = [module for pattern, module in aliases if fnmatch.fnmatchcase(modalias, pattern)]
    ours = [module for module in found if _owner(module, fragments)[0] is not None]
    if ours or found:
        return (ours or found)[0], "alias"
    if driver is not None and driver not in (*HOLDERS, "virtio-pci"):
        return driver.replace("-", "_"), "driver"
    return None, "unknown"


def _owner(module: str | None, fragments: Mapping[str, Fragment]) -> tuple[str | None, str | None]:
    """(option, fragment) of a module; a family of cards goes before a fragment that every router has."""
    order = sorted(fragments.values(), key=lambda fragment: fragment.name not in NIC_FAMILIES.values())
    for fragment in order:
        for option, names in fragment.modules.items():
            if module in names:
                return option, fragment.name
    return None, None


def advice(nic: Nic) -> str | None:
    """What to ask for where a card has a driver that is in no family."""
    if nic.module is None or nic.fragment is not None:
        return None
    names, firmware = BESIDE.get(nic.module, ((), None))
    if nic.module.startswith(("rtw88_", "rtw89_")):
        firmware = "realtek"
    asked = f"modules: [{', '.join(names or (nic.module,))}]"
    if firmware:
        asked += f", and firmware: [{firmware}]"
    return (
        f"no fragment has {nic.module}: with kernel.stock, {asked};"
        " with a kernel of your own, its option as `module` in kernel.config"
    )


def stands_beside(path: Path) -> bool:
    """Whether a spec names fragments too, whose drivers it then has whatever its `nics` are."""
    section = _section(path.read_text(encoding="utf-8"))
    return section is not None and re.search(r"^[ \t]+fragments:", section.group(2), re.MULTILINE) is not None


def write_families(path: Path, wanted: tuple[str, ...]) -> str:
    """Set `kernel.nics` of a spec, and leave every other byte as it is; the line that was written.

    Raises NetvmError where the spec has no place for it that we could find.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NetvmError(f"{path} cannot be read", hint="netvm-build init writes a spec to start from") from error
    line = f"nics: [{', '.join(wanted)}]"
    changed = _with_line(text, line)
    if changed is None:
        raise NetvmError(f"{path}: kernel is written in a way that cannot be edited", hint=f"add to kernel: {line}")
    replace_file(path, changed.encode())
    return line


def _with_line(text: str, line: str) -> str | None:
    """A spec's text with the line below its `kernel:`, in place of the one there; None where that is not possible."""
    section = _section(text)
    if section is None:
        if re.search(r"^kernel\b", text, re.MULTILINE):
            return None
        return f"{text.rstrip()}\n\nkernel:\n  {line}\n"
    body = section.group(2)
    old = re.search(r"^([ \t]+)nics:[ \t]*(\[[^\]\n]*\]|[a-z]*)[ \t]*(#.*)?$(?!\n[ \t]+-)", body, re.MULTILINE)
    if old is not None:
        comment = f"   {old.group(3)}" if old.group(3) else ""
        body = f"{body[: old.start()]}{old.group(1)}{line}{comment}{body[old.end() :]}"
    elif re.search(r"^[ \t]+nics:", body, re.MULTILINE):
        return None
    else:
        indent = re.match(r"[ \t]+(?=\S)", body)
        body = f"{indent.group() if indent else '  '}{line}\n{body}"
    return text[: section.start(2)] + body + text[section.end(2) :]


def _section(text: str) -> re.Match[str] | None:
    """The `kernel:` of a spec; what is below it is the second group."""
    return re.search(r"^kernel:[ \t]*(#.*)?\n((?:[ \t]+.*\n|[ \t]*\n|#.*\n)*)", text, re.MULTILINE)
