# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The nixpkgs platform, as real Nix evaluates it.

Against a nixpkgs in miniature (support/fakes/nixpkgs) on every run, so that a break of the seam shows; and against the
real tree that NETVM_NIXPKGS names.  Where that is not set its tests are skipped, even in CI, the only ones that may be:
a nixpkgs is half a gigabyte that no Debian package brings.  Nothing is built of it, since its compiler would have to be
downloaded; but its script that configures a kernel is run, in the debian platform's sandbox.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.util import resources
from netvm_build.util.errors import KernelConfigError, NixEvalError, SpecError
from netvm_build.util.events import discard

from tests.support.dotconfig import compare
from tests.support.host.nix_by_hand import (
    MINIATURE,
    ROOT,
    closure,
    derivations,
    evaluated,
    instantiated,
    path,
    told,
    with_change,
)

pytestmark = pytest.mark.integration

PARTS = ("image", "kernel", "rootfs", "qemu")
SEED = ("E1000E", "IGB", "PACKET", "IP_NF_NAT")


# ---- against the miniature


def test_every_part_instantiates(rendered: Callable[..., Path]) -> None:
    names = [path.name.split("-", 1)[1] for path in instantiated(rendered(MINIATURE), *PARTS)]
    assert names == ["image-1.drv", "linux-6.12.99.drv", "rootfs-1.drv", "qemu-10.1.0.drv"]


def test_the_kernel_is_what_the_spec_asks_and_no_more(rendered: Callable[..., Path]) -> None:
    tree = rendered(MINIATURE)
    asked = evaluated(tree, "router.kernel.configfile.asked")
    options = loading.load(tree.parent / "netvm.yaml").kernel.options
    assert set(asked["structuredExtraConfig"]) == {option.name for option in options}
    assert all(asked["structuredExtraConfig"][name] == {"tristate": "y", "optional": False} for name in SEED)
    assert (asked["enableCommonConfig"], asked["autoModules"], asked["defconfig"]) == (False, False, "allnoconfig")
    seed = Path(asked["env"]["KCONFIG_ALLCONFIG"]).read_text()
    assert "CONFIG_E1000E=y\n" in seed
    assert "# CONFIG_MODULES is not set\n" in seed
    assert "CONFIG_NR_CPUS=16\n" in seed


def test_drivers_as_modules(rendered: Callable[..., Path]) -> None:
    """The kernel is asked for modules, and the image's drivers are collected from it."""
    tree = rendered(MINIATURE, "  config:\n", "  modules: [intel]\n  config:\n")
    seed = Path(evaluated(tree, "router.kernel.configfile.asked")["env"]["KCONFIG_ALLCONFIG"]).read_text()
    assert {"CONFIG_MODULES=y", "CONFIG_E1000E=m", "CONFIG_VIRTIO_PCI=y"} <= set(seed.splitlines())
    wanted = json.loads(Path(evaluated(tree, "router.drivers.asked.wanted")).read_text())
    assert wanted["names"] == ["e1000", "e1000e", "igb", "igc"]
    (image,) = instantiated(tree, "image")
    assert any(name.startswith("drivers") for name in closure(image))


def test_the_kernel_is_checked_before_it_is_compiled(rendered: Callable[..., Path]) -> None:
    step = evaluated(rendered(MINIATURE), "router.kernel.asked.postConfigure")
    match = re.search(r"python3 -B (\S+) \. \"\$buildRoot/\.config\" (\S+)", step)
    assert match is not None
    assert Path(match[1]).read_text() == (resources.folder("templates") / "kernel" / "check_config.py").read_text()
    requests = {entry["name"]: entry for entry in json.loads(Path(match[2]).read_text())}
    assert requests["IP_NF_NAT"] == {"name": "IP_NF_NAT", "value": "y", "optional": False}


def test_a_connman_with_known_holes_is_replaced(rendered: Callable[..., Path]) -> None:
    (image,) = instantiated(rendered(MINIATURE), "image")
    names = closure(image)
    assert "connman-2.0.drv" in names
    assert "connman-1.44.drv" not in names


def test_a_connman_without_them_is_kept(rendered: Callable[..., Path], tmp_path: Path) -> None:
    newer = with_change(tmp_path / "newer", 'version = "1.44"', 'version = "2.1"')
    (image,) = instantiated(rendered(newer), "image")
    names = closure(image)
    assert {name for name in names if name.startswith("connman") and name.endswith(".drv")} == {"connman-2.1.drv"}


@pytest.mark.parametrize("version", ["1.44", "2.1"])
def test_either_connman_has_the_changes_that_a_router_needs(
    version: str, rendered: Callable[..., Path], tmp_path: Path
) -> None:
    tree = (
        with_change(tmp_path / "other", 'version = "1.44"', f'version = "{version}"')
        if version != "1.44"
        else MINIATURE
    )
    (image,) = instantiated(rendered(tree), "image")
    patches = {f"connman-{what}.patch" for what in ("no-link-local", "host-name", "renamed", "dhcp")}
    assert patches <= set(closure(image))


def test_the_manifest_says_what_is_inside(rendered: Callable[..., Path]) -> None:
    manifest = json.loads(Path(evaluated(rendered(MINIATURE), "router.image.asked.manifest")).read_text())
    assert manifest["versions"] == {
        "connman": "2.0", "dbus": "1.16.2", "linux": "6.12.99", "nftables": "1.1.3",
        "nixpkgs": "26.05pre-miniature", "python": "3.13.1",
    }  # fmt: skip
    assert manifest["options"]["E1000E"] == "y"
    assert manifest["spec"]["platform"]["kind"] == "nixpkgs"


def test_the_guest_has_every_program_that_init_starts(rendered: Callable[..., Path]) -> None:
    rootfs = evaluated(
        rendered(MINIATURE),
        "router.rootfs.asked // { links = (builtins.head router.rootfs.asked.parts).asked.script; }",
    )
    for program in rootfs["programs"]:
        name = program.rsplit("/", 1)[-1]
        assert re.search(rf"/bin/{name}\b", rootfs["links"]), program


def test_a_series_that_nixpkgs_lacks(rendered: Callable[..., Path], tmp_path: Path) -> None:
    rendered(MINIATURE, "  config:\n", "  version: '6.6'\n  config:\n")
    loaded = loading.load(tmp_path / "netvm.yaml")
    for attempt in (pipeline.build, pipeline.plan):
        with pytest.raises(NixEvalError, match=r"this nixpkgs has no Linux 6\.6") as raised:
            attempt(loaded, tmp_path / "out", discard)
        assert "6.12, 6.18)" in (raised.value.hint or "")


def test_a_nix_too_old_for_a_nixpkgs_is_given_as_the_reason(rendered: Callable[..., Path], tmp_path: Path) -> None:
    newer = with_change(tmp_path / "newer", "runCommand =", "runCommand = builtins.ofTheFuture; oldCommand =")
    features = newer / "lib" / "minfeatures.nix"
    features.write_text(features.read_text().replace("2.3", "1000.1"))
    rendered(newer)
    with pytest.raises(NixEvalError, match="ofTheFuture") as raised:
        pipeline.build(loading.load(tmp_path / "netvm.yaml"), tmp_path / "out", discard)
    assert "asks for a newer Nix than" in (raised.value.hint or "")
    assert "1000.1" in (raised.value.hint or "")


def test_the_users_own_overlays_stay_out(
    rendered: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = instantiated(rendered(MINIATURE), "image")
    overlays = tmp_path / "home" / ".config" / "nixpkgs"
    overlays.mkdir(parents=True)
    (overlays / "overlays.nix").write_text('throw "an overlay of the user\'s"')
    (overlays / "config.nix").write_text('throw "a configuration of the user\'s"')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert instantiated(rendered(MINIATURE), "image") == [before]


def test_a_path_without_nixpkgs_is_told_with_its_line(rendered: Callable[..., Path], tmp_path: Path) -> None:
    rendered(tmp_path / "nowhere")
    with pytest.raises(SpecError, match=r"netvm\.yaml:1: platform\.nixpkgs: .*nowhere is no nixpkgs tree"):
        pipeline.build(loading.load(tmp_path / "netvm.yaml"), tmp_path / "out", discard)


# ---- against a real tree


def test_a_real_nixpkgs_instantiates(nixpkgs: Path, rendered: Callable[..., Path]) -> None:
    image, kernel, rootfs, qemu = instantiated(rendered(nixpkgs), *PARTS)
    assert re.search(r"-linux-6\.12\.\d+\.drv$", kernel.name)
    assert re.search(r"-qemu-.*\.drv$", qemu.name)
    inside = closure(image)
    assert {kernel.name.split("-", 1)[1], rootfs.name.split("-", 1)[1]} <= inside
    (connman,) = (path for path in derivations(image) if re.search(r"-connman-[0-9.]+\.drv$", path.name))
    version = connman.name.removesuffix(".drv").rsplit("-", 1)[1]
    assert [int(part) for part in version.split(".")] >= [1, 45]
    made_of = {path.name.split("-", 1)[1] for path in derivations(connman, "--references")}
    assert any(name.startswith("libnftnl-") for name in made_of)
    assert not [name for name in made_of if name.startswith(("iptables-", "openvpn-", "polkit-"))]
    flags = told(["nix-store", "--query", "--binding", "configureFlags", str(connman)])
    assert {"--with-firewall=nftables", "--disable-wifi", "--disable-wispr", "--disable-l2tp"} <= set(flags.split())


def test_our_options_survive_nixpkgs_own_reading(nixpkgs: Path, rendered: Callable[..., Path]) -> None:
    tree = rendered(nixpkgs)
    answers = evaluated(tree, "router.kernel.configfile.moduleStructuredConfig.intermediateNixConfig").splitlines()
    asked = loading.load(tree.parent / "netvm.yaml").kernel.options
    assert {f"{name} y" for name in SEED} <= set(answers)
    assert {line.split()[0].rstrip("?") for line in answers} == {option.name for option in asked}
    (derivation,) = instantiated(tree, "kernel.configfile")
    assert " allnoconfig " in told(["nix-store", "--query", "--binding", "buildPhase", str(derivation)])
    seed = told(["nix-store", "--query", "--binding", "KCONFIG_ALLCONFIG", str(derivation)]).strip()
    assert "CONFIG_E1000E=y\n" in Path(seed).read_text()


def configured(nixpkgs_tree: Path, loaded: loading.Loaded, work: Path) -> str:
    """The .config that nixpkgs' own script makes on Debian's kernel source; see tests/data/nixpkgs/configure.nix."""
    debian_tree = pipeline.prepare(loaded, work, discard)
    arguments = f"{{ debianTree = {path(debian_tree)}; nixpkgsTree = {path(nixpkgs_tree)}; }}"
    expression = work / "default.nix"
    expression.write_text(f"import ({path(ROOT / 'tests/data/nixpkgs/configure.nix')}) {arguments}")
    (built,) = nix.build(work, [], discard, stage="configure as nixpkgs does")
    return (built / "kernel.config").read_text()


@pytest.mark.long
def test_nixpkgs_script_makes_the_kernel_configuration_that_debian_has(
    nixpkgs: Path, rendered: Callable[..., Path], loaded: loading.Loaded, image: Image, tmp_path: Path
) -> None:
    config = configured(rendered(nixpkgs), loaded, tmp_path / "work")
    assert compare(loaded.kernel.options, config) == ()
    assert settings(config) == settings(image.config.read_text())


def settings(config: str) -> list[str]:
    """The lines of a .config but for its heading."""
    return config.splitlines()[4:]


@pytest.mark.long
def test_a_missing_dependency_is_a_table_here_too(
    nixpkgs: Path, rendered: Callable[..., Path], loaded: loading.Loaded, tmp_path: Path
) -> None:
    with pytest.raises(KernelConfigError) as raised:
        configured(rendered(nixpkgs, "IP_NF_NAT: yes", "NF_CONNTRACK: no"), loaded, tmp_path / "work")
    rows = {row.option: row for row in raised.value.mismatches}
    assert "NF_CONNTRACK" in rows["NF_NAT"].because
