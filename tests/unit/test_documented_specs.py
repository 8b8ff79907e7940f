# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every spec in the documents and the examples is in order, as far as that can be told without building."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from netvm_build.build import loading
from netvm_build.util import pem

from tests.support import linux_tarball
from tests.support.documented import DOCUMENTS, SPECS, Documented, blocks, complete

SOURCE = Path(__file__).parents[1] / "data" / "kernel-source"
CERTIFICATE = pem.Block(pem.CERTIFICATE, b"authority" * 9).text


@pytest.mark.parametrize("documented", SPECS, ids=[one.name for one in SPECS])
def test_a_spec_is_in_order_and_its_tree_is_rendered(documented: Documented, tmp_path: Path) -> None:
    path = documented.write(tmp_path)
    for name in re.findall(r"\bca: (\S+\.pem)", documented.text):
        (tmp_path / name).write_text(CERTIFICATE)
    write_host_files(documented.text, tmp_path)
    loaded = loading.load(path)
    assert "router.nix" in loading.render(loaded).files


def write_host_files(text: str, folder: Path) -> None:
    """Put a patch, a driver, firmware, a kernel's source or any file where a spec names one."""
    for name in re.findall(r"\bsource: ([\w./-]+)", text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if ".tar" in name:
            linux_tarball.write(path, re.findall(r"[0-9.]+[0-9]", name)[0], "xz")
        elif not path.exists():
            path.write_text("text\n")
    for key, paths in re.findall(r"^  (patches|extra_modules|firmware_files): \[(.*?)\]", text, re.MULTILINE):
        for path in (folder / one.strip() for one in paths.split(",")):
            path.parent.mkdir(parents=True, exist_ok=True)
            if key == "extra_modules":
                shutil.copytree(SOURCE / "r8125x", path)
            else:
                shutil.copy(next((SOURCE / "patches").iterdir()), path)


def test_there_are_specs_to_look_at() -> None:
    names = [one.name for one in SPECS]
    assert len(names) == len(set(names)) > 20
    assert any(name.startswith("docs/how-to/wifi.md") for name in names)
    assert any(one.files for one in SPECS)
    assert any(one.folder for one in SPECS)


def test_what_is_left_out_is_added() -> None:
    (found,) = blocks("text\n```yaml placeholder\nkernel:\n  fragments: [wifi]\n```\n")
    assert found[:2] == (2, "placeholder")
    assert complete(found[2]).startswith("version: 1\nname: documented\nkernel:\n")
    assert "networks:" in complete(found[2])
    assert "fragments: [intel, virtio, wifi]" in complete("wifi: {country: DE}\n")
    assert complete("version: 1\n") == "version: 1\n"


def test_no_spec_hides_in_another_kind_of_block() -> None:
    """Indented, or without a word that says it is YAML, it would not be looked at."""
    for path in DOCUMENTS:
        text = re.sub(r"^```ya?ml.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"^```sh.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)  # those are run
        keys = "kernel|uplinks?|clients|machine|wifi|platform|image|connman"
        assert re.findall(rf"^(?:    )?(?:{keys}):$", text, re.MULTILINE) == [], path
