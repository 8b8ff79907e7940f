# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Families of network cards, read from the `nics:` of the fragments in kernel-configs/: all that is known of a card.

    nics:
      family: usb                    # as users call it; the fragment's name where it is left out
      vendors: ["8086"]              # PCI vendors whose cards are of this family where nothing else tells
      models:                        # QEMU's emulated cards
        igb: {option: IGB, since: "8.0"}
        usb-net: {option: USB_NET_CDCETHER, usb: "0525:a4a2"}

`option` is the kernel's driver, whose module is in the fragment's `modules:`; `since` is the first QEMU with the
card; `usb` is the identity of a card that is on a USB, and not on PCI.

Every command reads this, so there is no YAML parser here: the section is last in its file, and in these forms only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netvm_build.model.router import Kernel
from netvm_build.util import resources

_FAMILY = re.compile(r"  family: ([a-z0-9-]+)")
_VENDORS = re.compile(r"  vendors: \[(.*)\]")
_MODEL = re.compile(r"    ([a-z0-9_-]+): \{(.+)\}")
_WORD = re.compile(r'(\w+): "?([\w.:]+)"?')


@dataclass(frozen=True)
class NicModel:
    """A network card that QEMU emulates, and the kernel option and fragment of its driver.

    `since` is the first version of QEMU that has it; `usb_id` is vendor:device of a USB card, None for one on PCI.
    """

    name: str
    option: str
    fragment: str
    since: tuple[int, ...] = ()
    usb_id: str | None = None

    @property
    def bus(self) -> str:
        """Pci or usb."""
        return "pci" if self.usb_id is None else "usb"


@dataclass(frozen=True)
class NicFamily:
    """A family as a user calls it, the fragment with its drivers, and its PCI vendors as ``8086``."""

    name: str
    fragment: str
    vendors: tuple[str, ...]
    models: tuple[NicModel, ...]


def read_families(folder: Path) -> Iterator[NicFamily]:
    """The families of a folder's fragments.  Raises ValueError for a line in another form."""
    for path in sorted(folder.glob("[!.]*.yaml")):
        _, found, section = path.read_text(encoding="utf-8").partition("\nnics:")
        if found:
            yield _family(path.stem, section)


def _family(fragment: str, section: str) -> NicFamily:
    name, vendors, models = fragment, tuple[str, ...](), list[NicModel]()
    for line in section.splitlines():
        text = line.partition(" #")[0].rstrip()
        if match := _FAMILY.fullmatch(text):
            name = match[1]
        elif match := _VENDORS.fullmatch(text):
            vendors = tuple(re.findall(r"\w+", match[1]))
        elif match := _MODEL.fullmatch(text):
            models.append(_model(match[1], fragment, dict(_WORD.findall(match[2]))))
        elif text not in ("", "  models:", " {}"):
            raise ValueError(f"kernel-configs/{fragment}.yaml: nics: {line!r} is in no form that is read")
    return NicFamily(name, fragment, vendors, tuple(models))


def _model(name: str, fragment: str, words: Mapping[str, str]) -> NicModel:
    since = tuple(map(int, words["since"].split("."))) if "since" in words else ()
    return NicModel(name, words["option"], fragment, since, words.get("usb"))


FAMILIES: Mapping[str, NicFamily] = {
    family.name: family
    for family in sorted(read_families(resources.folder("kernel-configs")), key=lambda family: family.name)
}

NIC_FAMILIES: Mapping[str, str] = {name: family.fragment for name, family in FAMILIES.items()}
"""A family of network cards, as a user calls it, and the fragment that holds its drivers."""

NIC_MODELS: Mapping[str, NicModel] = {
    model.name: model
    for family in sorted(FAMILIES.values(), key=lambda family: family.fragment not in Kernel().fragments)
    for model in family.models
}
"""The network cards that an uplink can be, those whose driver every kernel has by default first."""

NICS = tuple(NIC_MODELS)
"""QEMU's names of the network cards that an uplink can be."""
