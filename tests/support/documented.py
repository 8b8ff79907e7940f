# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every spec that users are shown: the documents' YAML blocks and the examples, each as a complete spec.

A block's info string says what it is:

    ```yaml                             a spec, or some sections of one
    ```yaml kernel-configs/NAME.yaml    a file beside the spec of the same document
    ```yaml placeholder                 as a spec, with a path that the reader has to fill in: checked, but not built

What a block leaves out is added by `complete`: `version` and a name; a network to join where the fragment wifi is named
and no network is; the fragments of the first block of docs/how-to/wifi.md where networks are named and no kernel is.
Files that a spec names are made by the tests.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])
PLACEHOLDER = "placeholder"

OPEN_NETWORK = "wifi: {country: DE, networks: [{ssid: open, security: open}]}\n"
WITH_WIFI = "kernel: {fragments: [intel, virtio, wifi]}\n"  # as docs/how-to/wifi.md has it in its first block


@dataclass(frozen=True)
class Documented:
    """One spec.  `name` says where it is from; `files` are those beside it, by their relative path."""

    name: str
    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    placeholder: bool = False
    folder: Path | None = None

    def write(self, folder: Path) -> Path:
        """Put it and its files into a folder; the path of the spec."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.folder is not None:
            shutil.copytree(self.folder, folder / "kernel-configs", dirs_exist_ok=True)
        for path, text in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "netvm.yaml").write_text(self.text)
        return folder / "netvm.yaml"


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, info string behind ``yaml``, text) of each fenced block of YAML."""
    for found in re.finditer(r"^```ya?ml ?([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield text[: found.start()].count("\n") + 1, found[1].strip(), found[2]


def complete(text: str) -> str:
    """A complete spec, of some sections."""
    if not re.search(r"^version:", text, re.MULTILINE):
        text = f"version: 1\nname: documented\n{text}"
    has_wifi = re.search(r"^wifi:", text, re.MULTILINE)
    if has_wifi and not re.search(r"^kernel:", text, re.MULTILINE):
        text += WITH_WIFI
    if not has_wifi and re.search(r"^  fragments: .*\bwifi\b", text, re.MULTILINE):
        text += OPEN_NETWORK
    return text


def in_documents() -> Iterator[Documented]:
    for path in DOCUMENTS:
        found = list(blocks(path.read_text(encoding="utf-8")))
        files = {info: text for _, info, text in found if "/" in info}
        for line, info, text in found:
            if "/" not in info:
                assert info in ("", PLACEHOLDER), f"{path}:{line}: `{info}` is no info string of {__name__}"
                name = f"{path.relative_to(ROOT)}:{line}"
                yield Documented(name, complete(text), files, info == PLACEHOLDER)


def in_examples() -> Iterator[Documented]:
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        beside = path.parent / "kernel-configs"
        here = str(path.relative_to(ROOT))
        others = path.parent.iterdir() if path.parent.name != "examples" else ()
        files = {one.name: one.read_text(encoding="utf-8") for one in others if one.suffix in (".conf", ".txt")}
        yield Documented(here, text, files, "kind: nixpkgs" in text, beside if beside.is_dir() else None)


SPECS = (*in_documents(), *in_examples())
