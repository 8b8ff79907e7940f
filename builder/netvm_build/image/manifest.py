"""The image folder: what ``manifest.json`` says, checked for shape (`load`) and against the files (`verify`).

The folder holds the kernel, its final configuration and the root image beside the manifest: docs/reference/image.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from typing import Any

from netvm_build.model import DEFAULT_POOL, NICS
from netvm_build.model.architecture import X86_64
from netvm_build.util.errors import ManifestError

VERSION = 1
FILE = "manifest.json"
MAX_BYTES = 1 << 20
AGAIN = "make it again: netvm-build build -o {folder}"

_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPTION = re.compile(r"[A-Z0-9][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Part:
    """A file of the image: `path` relative to the folder, `sha256` in lower-case hex."""

    path: str
    sha256: str


@dataclass(frozen=True)
class MachineRequirements:
    """The machine the image asks for; `nic` is QEMU's name of the uplink.

    `watchdog_s`: after so many silent seconds its watchdog resets it; 0: it has none.
    """

    arch: str = X86_64.name
    memory_mib: int = 96
    cpus: int = 1
    nic: str = "e1000e"
    watchdog_s: int = 0


@dataclass(frozen=True)
class Card:
    """A card that uplinks are on: the places of those uplinks in the spec, each with its VLAN, or None if untagged.

    `mac` is None where the spec asks for none.
    """

    mac: str | None
    vlans: Mapping[int, int | None]


@dataclass(frozen=True)
class Manifest:
    """Version 1 of manifest.json.  `options` maps kernel options (without CONFIG_) to what was asked: y, m, n or text;
    `spec` is the whole router as JSON, every default filled in.  `initrd` is there where the kernel needs one.
    `qemu` is the store path of the QEMU that the build brought; older images have none.
    """

    name: str
    kernel: Part
    rootfs: Part
    config: Part
    cmdline: str
    versions: Mapping[str, str]
    options: Mapping[str, str]
    spec: Mapping[str, Any]
    machine: MachineRequirements
    initrd: Part | None = None
    qemu: Path | None = None

    @property
    def pool(self) -> IPv4Network:
        """Where clients without a name get their addresses from."""
        return IPv4Network(str(self._spec("clients", "pool") or DEFAULT_POOL))

    @property
    def forwards_dns(self) -> bool:
        """True if DNS asked of the router's address goes to the uplink's resolvers."""
        return self._spec("clients", "dns") != "none"

    @property
    def uplinks(self) -> tuple[Mapping[str, Any], ...]:
        """The uplinks as the spec has them, the most preferred first; the short form is one without a name."""
        several = self.spec.get("uplinks")
        named = tuple(one for one in several if isinstance(one, Mapping)) if isinstance(several, list | tuple) else ()
        if named:
            return named
        one = self.spec.get("uplink")
        return (one if isinstance(one, Mapping) else {},)

    @property
    def sets_clock(self) -> bool:
        """True if an uplink names time servers."""
        return any(one.get("timeservers") for one in self.uplinks)

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that the uplinks need, that of the most preferred first."""
        found: dict[str | None, dict[int, int | None]] = {}
        for place, one in enumerate(self.uplinks):
            mac, vlan = one.get("mac"), one.get("vlan")
            found.setdefault(str(mac) if mac else None, {})[place] = vlan if isinstance(vlan, int) else None
        return tuple(Card(mac, vlans) for mac, vlans in found.items())

    @property
    def uplink_macs(self) -> tuple[str, ...]:
        """The MACs that uplinks' cards must carry, where the spec names any; VLANs of one card have the same."""
        return tuple(dict.fromkeys(str(one["mac"]) for one in self.uplinks if one.get("mac")))

    @property
    def uses_dhcp(self) -> bool:
        """Whether the most preferred uplink does."""
        return self.uplinks[0].get("dhcp") is not False

    def _spec(self, section: str, key: str) -> object:
        value = self.spec.get(section)
        return value.get(key) if isinstance(value, Mapping) else None


@dataclass(frozen=True)
class Image:
    """An image folder that has the right shape.  Its files are only as good as `verify` says.

    `identity` is the SHA-256 of its manifest, which has those of all other files in it.
    """

    folder: Path
    manifest: Manifest
    identity: str = ""

    @property
    def kernel(self) -> Path:
        return self.folder / self.manifest.kernel.path

    @property
    def rootfs(self) -> Path:
        return self.folder / self.manifest.rootfs.path

    @property
    def config(self) -> Path:
        return self.folder / self.manifest.config.path

    @property
    def initrd(self) -> Path | None:
        """The initial RAM disk, where there is one."""
        return self.folder / self.manifest.initrd.path if self.manifest.initrd is not None else None

    @property
    def size_bytes(self) -> int:
        """Kernel and root together, and the initial RAM disk if there is one."""
        return sum(path.stat().st_size for path in (self.kernel, self.rootfs, self.initrd) if path is not None)


def expected(folder: Path, spec: Mapping[str, Any]) -> Image:
    """An image that is still to be built from a full spec: its parts have no hash, and nothing is in the folder."""
    part = Part("", "")
    machine = MachineRequirements(**{key: spec["machine"][key] for key in ("memory_mib", "cpus", "nic", "watchdog_s")})
    return Image(folder, Manifest(spec["name"], part, part, part, "", {}, {}, spec, machine))


def load(folder: Path) -> Image:
    """Read an image folder's manifest.  Raises ManifestError with everything that is wrong with it."""
    file = folder / FILE
    again = AGAIN.format(folder=folder)
    try:
        raw = _read(file)
    except FileNotFoundError as error:
        raise ManifestError(f"{folder} is not an image: it has no {FILE}", hint=again) from error
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}", hint=again) from error
    if len(raw) > MAX_BYTES:
        raise ManifestError(f"{file} is larger than a manifest can be ({MAX_BYTES} bytes)", hint=again)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{file} is cut off or not JSON: {error}", hint=again) from error
    return Image(folder, parse(document, str(file), again), hashlib.sha256(raw).hexdigest())


def identity(folder: Path) -> str | None:
    """What tells the image that a folder holds now from every other; None where it holds none."""
    file = folder / FILE
    try:
        return hashlib.sha256(_read(file)).hexdigest() if file.is_file() else None
    except OSError:
        return None


def _read(file: Path) -> bytes:
    """A manifest, or a byte more than one can have.  Raises OSError."""
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def verify(image: Image) -> None:
    """Hold every file against its SHA-256.  Raises ManifestError naming each that differs, expected and actual."""
    wrong = []
    parts = (image.manifest.kernel, image.manifest.rootfs, image.manifest.config, image.manifest.initrd)
    for part in (part for part in parts if part is not None):
        path = image.folder / part.path
        try:
            with path.open("rb") as stream:
                actual = hashlib.file_digest(stream, "sha256").hexdigest()
            size = path.stat().st_size
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
            continue
        if actual != part.sha256:
            wrong.append(f"{path} ({size} bytes)\n  expected sha256 {part.sha256}\n  actual   sha256 {actual}")
    if wrong:
        count = "a file is" if len(wrong) == 1 else f"{len(wrong)} files are"
        raise ManifestError(
            f"{count} not what {image.folder / FILE} says:\n" + "\n".join(wrong),
            hint=AGAIN.format(folder=image.folder),
        )


def parse(document: object, where: str, hint: str | None = None) -> Manifest:
    """A manifest from its JSON value.  Raises ManifestError with every problem, one a line."""
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: must be a JSON object", hint=hint)
    version = document.get("version")
    if version != VERSION:
        raise ManifestError(
            f"{where}: version {version!r} is unknown; this netvm-build reads version {VERSION}",
            hint=hint,
        )
    reader = _Reader(document)
    manifest = Manifest(
        name=reader.text("name"),
        kernel=reader.part("kernel"),
        rootfs=reader.part("rootfs"),
        config=reader.part("config"),
        cmdline=reader.cmdline(),
        versions=reader.texts("versions"),
        options=reader.options(),
        spec=reader.mapping("spec"),
        machine=reader.machine(),
        initrd=reader.part("initrd") if "initrd" in document else None,
        qemu=reader.store_path("qemu") if "qemu" in document else None,
    )
    try:
        _ = manifest.pool
    except ValueError as error:
        reader.problems.append(f"spec.clients.pool: {error}")
    if reader.problems:
        raise ManifestError("\n".join(f"{where}: {problem}" for problem in reader.problems), hint=hint)
    return manifest


class _Reader:
    """Takes typed values out of a JSON object and gathers what is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.problems: list[str] = []

    def text(self, key: str) -> str:
        value = self.document.get(key)
        if isinstance(value, str) and value and value.isprintable():
            return value
        self.problems.append(f"{key}: must be a line of text")
        return ""

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.document.get(key)
        if isinstance(value, dict):
            return value
        self.problems.append(f"{key}: must be an object")
        return {}

    def texts(self, key: str) -> Mapping[str, str]:
        entries = self.mapping(key)
        wrong = [name for name, value in entries.items() if not isinstance(value, str)]
        self.problems.extend(f"{key}.{name}: must be text" for name in wrong)
        return {name: str(value) for name, value in entries.items()}

    def options(self) -> Mapping[str, str]:
        options = self.texts("options")
        self.problems.extend(
            f"options.{name}: not the name of a kernel option" for name in options if not _OPTION.fullmatch(name)
        )
        return options

    def cmdline(self) -> str:
        text = self.text("cmdline")
        if len(text) > 2047:  # COMMAND_LINE_SIZE of x86 is 2048 with the final NUL
            self.problems.append("cmdline: longer than the 2047 bytes that x86 Linux takes")
        return text

    def part(self, key: str) -> Part:
        entry = self.mapping(key)
        path, sha256 = entry.get("path"), entry.get("sha256")
        if not isinstance(path, str) or not _inside(path):
            self.problems.append(f"{key}.path: must be a path inside the image folder, not {path!r}")
            path = key
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            self.problems.append(f"{key}.sha256: must be 64 hexadecimal digits in lower case")
            sha256 = ""
        return Part(path, sha256)

    def store_path(self, key: str) -> Path | None:
        value = self.document.get(key)
        if isinstance(value, str) and _STORE_PATH.fullmatch(value):
            return Path(value)
        self.problems.append(f"{key}: must be a path of the Nix store, not {value!r}")
        return None

    def machine(self) -> MachineRequirements:
        entry = self.mapping("machine")
        wanted = MachineRequirements()
        if entry.get("arch", wanted.arch) != X86_64.name:
            self.problems.append(f"machine.arch: {entry['arch']!r} is not {X86_64.name}")
        if entry.get("nic", wanted.nic) not in NICS:
            self.problems.append(f"machine.nic: {entry['nic']!r} is none of {', '.join(NICS)}")
        counts: dict[str, int] = {}
        for key, least in (("memory_mib", 1), ("cpus", 1), ("watchdog_s", 0)):
            value = entry.get(key, getattr(wanted, key))
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                self.problems.append(f"machine.{key}: must be a whole number from {least}")
                value = getattr(wanted, key)
            counts[key] = value
        return MachineRequirements(X86_64.name, nic=str(entry.get("nic", wanted.nic)), **counts)


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return path.isprintable() and path not in ("", ".") and not pure.is_absolute() and ".." not in pure.parts
