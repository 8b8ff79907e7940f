# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every fragment compared with Debian's own kernel: its configuration and modules, from the locked package.

Debian has most of what fragments ask for as modules.  A fragment must name them, or an image with `kernel.stock` cannot
be built of it; what Debian lacks must be refused by `check`, which needs no Nix.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.kconfig.modular import BY_PARAMETER, NOT_IN_STOCK, OURS_ALONE
from netvm_build.model import Kernel
from netvm_build.util import resources
from netvm_build.util.errors import SpecError

from tests.support.needs import tell

pytestmark = pytest.mark.integration

FRAGMENTS = kconfig.load_fragments([resources.folder("kernel-configs")])
VERSION = Kernel().version


@pytest.fixture(scope="module")
def built(debian_kernel: Path) -> dict[str, str]:
    """Option → its value in Debian's configuration."""
    return dict(kconfig.read_config((debian_kernel / "kernel.config").read_text()))


@pytest.fixture(scope="module")
def modules(debian_kernel: Path) -> set[str]:
    found = (debian_kernel / "lib/modules").resolve().rglob("*.ko*")
    return {path.name.partition(".")[0].replace("-", "_") for path in found}


@pytest.fixture(scope="module")
def built_in(debian_kernel: Path) -> set[str]:
    (listed,) = (debian_kernel / "lib/modules").resolve().glob("*/modules.builtin")
    return {Path(line).stem.replace("-", "_") for line in listed.read_text().split()}


@pytest.mark.parametrize("name", sorted(set(FRAGMENTS) - OURS_ALONE))
def test_a_fragment_names_the_modules_of_what_debian_has_as_modules(
    name: str, built: dict[str, str], modules: set[str], built_in: set[str]
) -> None:
    fragment = FRAGMENTS[name]
    missing = {}
    refused = any(option.name in NOT_IN_STOCK for option in fragment.options_for(VERSION))  # by `check`
    for option in fragment.options_for(VERSION):
        if str(option.value) not in ("y", "m") or option.value.optional:
            continue
        got = built.get(option.name, "n")
        if got == "n" and option.name not in (*BY_PARAMETER, *NOT_IN_STOCK):
            missing[option.name] = "Debian's kernel lacks it: add a row to BY_PARAMETER or NOT_IN_STOCK"
        elif got == "m" and option.name not in fragment.modules and not refused:
            missing[option.name] = "Debian has it as a module: name it below `modules:`"
    for option_name, named in fragment.modules.items():
        wrong = [one for one in named if one not in modules | built_in]
        if wrong:
            missing[option_name] = f"Debian has no such module: {', '.join(wrong)}"
        elif built.get(option_name) == "m" and named and not modules.intersection(named):
            missing[option_name] = f"a module in Debian's kernel, and {', '.join(named)} is built in"
    assert missing == {}


def test_what_is_said_to_be_missing_is_missing(built: dict[str, str]) -> None:
    assert {name: built.get(name, "n") for name in (*BY_PARAMETER, *NOT_IN_STOCK)} == dict.fromkeys(
        (*BY_PARAMETER, *NOT_IN_STOCK), "n"
    )


SPEC = """\
version: 1
name: every-fragment
kernel:
  stock: true
  fragments: [{fragments}]
  config: {{DUMMY: yes}}
uplink: {{vlan: 7}}
wifi: {{country: DE, networks: [{{ssid: open, security: open}}]}}
"""


def test_all_fragments_go_together_with_debians_kernel(workshop: Path) -> None:
    """The build's own check of the options, and the drivers of all of them; DUMMY is named only by its option."""
    with pytest.raises(SpecError, match="Debian's kernel can't have DM_INIT"):
        kconfig.resolve(Kernel(stock=True, fragments=("verity",)), FRAGMENTS)
    able = [name for name in FRAGMENTS if name != "verity"]
    folder = workshop / "every-fragment"
    folder.mkdir(exist_ok=True)
    (folder / "netvm.yaml").write_text(SPEC.format(fragments=", ".join(able)))
    tree = pipeline.prepare(loading.load(folder / "netvm.yaml"), folder / "work", tell)
    (drivers,) = nix.build(tree, ["drivers"], tell, stage="drivers", out_link=folder / "work" / "drivers")
    there = {path.stem for path in (drivers / "tree/usr/lib/modules").rglob("*.ko")}
    assert {"8021q", "algif_aead", "gcm", "pkcs8_key_parser", "vfio_pci", "dummy"} <= there
