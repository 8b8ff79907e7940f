"""Secrets on their way into a VM: from files or the environment, by a file without a name, into QEMU's fw_cfg.

A secret is never in a command line (QEMU's names a descriptor), a log, a report or a message, and in no file of ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import BootError
from builder.manifest import Image

VERSION = 1
WIFI = "opt/org.netvm/wifi"
MOST_BYTES = 4096


@dataclass(frozen=True)
class Handed:
    """What a VM gets by fw_cfg: the item's `name`, and the `descriptor` QEMU inherits; close it once QEMU runs."""

    name: str
    descriptor: int

    @property
    def option(self) -> str:
        """The value of QEMU's -fw_cfg."""
        return f"name={self.name},file=/proc/self/fd/{self.descriptor}"

    def close(self) -> None:
        os.close(self.descriptor)


def wifi(image: Image, environ: Mapping[str, str]) -> Handed | None:
    """The secrets of the image's Wi-Fi networks, ready to be handed over; None for an image without Wi-Fi.

    Raises BootError, naming every network whose secret is not where the spec says, and the file or variable.
    """
    section = image.manifest.spec.get("wifi")
    networks = section.get("networks") if isinstance(section, Mapping) else None
    if not networks:
        return None
    found: list[str | None] = []
    problems: list[str] = []
    for number, network in enumerate(networks):
        try:
            found.append(_secret(network, environ))
        except _Unusable as problem:
            problems.append(f"wifi.networks[{number}] ({network.get('ssid')!r}): {problem}")
    if problems:
        raise BootError(
            "the secrets of the Wi-Fi networks are not all there",
            hint="set what is named above, or change `secret` in the spec and build again",
            details="\n".join(problems),
        )
    descriptor = os.memfd_create("netvm-wifi")
    os.write(descriptor, json.dumps({"version": VERSION, "secrets": found}).encode())
    return Handed(WIFI, descriptor)


class _Unusable(Exception):
    """Why a secret cannot be used; never with any of it."""


def _secret(network: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    where = network.get("secret")
    if network.get("security") == "open" or not isinstance(where, Mapping):
        return None
    name, file = where.get("env"), where.get("file")
    if name is not None:
        place, text = f"the variable {name}", environ.get(str(name))
        if text is None:
            raise _Unusable(f"{place} is not set: export {name}=…")
    else:
        place, text = f"the file {file}", _read(Path(str(file)))
    text = text.removesuffix("\n").removesuffix("\r")
    if not (8 <= len(text) <= 63 and text.isascii() and text.isprintable()):
        raise _Unusable(f"{place} holds no passphrase: it must be of 8 to 63 printable ASCII characters, on one line")
    return text


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES)
            mode = os.fstat(stream.fileno()).st_mode
    except OSError as error:
        raise _Unusable(f"the file {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise _Unusable(f"the file {path} can be read by others than its owner: chmod 600 {path}")
    return raw.decode(errors="replace")
