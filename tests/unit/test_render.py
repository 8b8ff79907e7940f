# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rendered tree, whole: a change shows as a diff of tests/golden/tree; --update-golden accepts it."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.build import loading, render
from netvm_build.model import OptionKind, OptionValue, Router, Uplink
from netvm_build.spec import rules
from netvm_build.util import resources
from netvm_build.util.errors import RenderError

RENDERED = (
    "default.nix",
    "router.nix",
    "kernel/options.nix",
    "rootfs/etc/connman/main.conf",
    "rootfs/etc/netvm/config.json",
    "rootfs/etc/netvm/ruleset.nft",
)


@pytest.fixture
def loaded(tmp_path: Path) -> loading.Loaded:
    path = tmp_path / "netvm.yaml"
    path.write_text(spec.starter("netvm"))
    return loading.load(path)


@pytest.mark.parametrize("name", RENDERED)
def test_the_starter_renders_as_it_did(loaded: loading.Loaded, name: str, golden) -> None:  # type: ignore[no-untyped-def]
    golden(f"tree/{name}", loading.render(loaded).files[name].decode())


def test_rendering_is_pure(loaded: loading.Loaded) -> None:
    assert loading.render(loaded) == loading.render(loaded)


def test_every_template_leaves_a_file_without_its_suffix(loaded: loading.Loaded) -> None:
    files = loading.render(loaded).files
    assert not [name for name in files if name.endswith(".j2") or "__pycache__" in name]
    assert "rootfs/sbin/init" in files
    assert "rootfs/usr/lib/netvm/init/main.py" in files


def test_what_a_user_writes_stays_a_literal(loaded: loading.Loaded) -> None:
    hostile = '${builtins.abort "out"}"; x = "'
    router = replace(loaded.router, kernel=replace(loaded.router.kernel, parameters=(hostile,)))
    text = render.render(router, loaded.kernel).files["router.nix"].decode()
    assert '\\${builtins.abort \\"out\\"}\\"; x = \\"' in text


def test_a_word_for_the_decompressor_alone_is_no_program_of_pid_1(loaded: loading.Loaded) -> None:
    """The kernel hands PID 1 each word that it does not know, before the arguments behind the dashes."""
    kernel = replace(loaded.router.kernel, parameters=("nokaslr", "loglevel=4"))
    text = render.render(replace(loaded.router, kernel=kernel), loaded.kernel).files["router.nix"].decode()
    assert ' loglevel=4 -- -ISB /usr/lib/netvm/start.pyc nokaslr"' in text


def test_a_stock_kernel_is_told_that_nothing_disarms_the_watchdog(loaded: loading.Loaded) -> None:
    """Debian builds it without WATCHDOG_NOWAYOUT."""
    stock = replace(loaded.router, kernel=replace(loaded.router.kernel, stock=True))
    lines = [render.render(router, loaded.kernel).files["router.nix"].decode() for router in (loaded.router, stock)]
    assert [" i6300esb.nowayout=1 " in line for line in lines] == [False, True]


def test_the_longest_parameters_fit_the_command_line(loaded: loading.Loaded) -> None:
    """Linux on x86 takes 2047 bytes (COMMAND_LINE_SIZE): those of the spec come beside the most that are ours."""
    kernel = replace(loaded.router.kernel, stock=True, parameters=("a" * rules.LONGEST_PARAMETERS,))
    router = replace(loaded.router, kernel=kernel, image=replace(loaded.router.image, verity=True))
    assert not list(rules.rules(replace(router, image=loaded.router.image)))
    line = re.search(r'cmdline = "(.*)";', render.render(router, loaded.kernel).files["router.nix"].decode())
    assert line is not None
    maker = runpy.run_path(str(resources.folder("templates") / "platforms" / "shared" / "make_verity.py"))
    table = maker["table"](1 << 30, "0" * 64)
    assert 1500 < len(line[1].replace('\\"', '"').replace("@verity@", table)) <= 2047


def test_a_line_end_cannot_enter_a_configuration_file(loaded: loading.Loaded) -> None:
    router: Router = replace(loaded.router, uplink=Uplink(timeservers=("one\ntwo",)))
    with pytest.raises(RenderError, match="characters"):
        render.render(router, loaded.kernel)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (OptionValue(OptionKind.YES), "yes"),
        (OptionValue(OptionKind.NO, optional=True), "option no"),
        (OptionValue(OptionKind.FREEFORM, "1000"), 'freeform "1000"'),
        (OptionValue(OptionKind.FREEFORM, "a b", optional=True), 'option (freeform "a b")'),
    ],
)
def test_kernel_values_in_the_words_of_nixpkgs(value: OptionValue, text: str) -> None:
    assert render.kernel_value(value) == text


def test_write_removes_what_is_no_longer_rendered_and_nothing_else(loaded: loading.Loaded, tmp_path: Path) -> None:
    tree = loading.render(loaded)
    folder = tmp_path / "tree"
    render.write(render.RenderedTree({**tree.files, "old.nix": b"1"}), folder)
    (folder / "mine").write_text("kept")
    before = (folder / "image.nix").stat().st_mtime_ns
    render.write(tree, folder)
    assert not (folder / "old.nix").exists()
    assert (folder / "mine").read_text() == "kept"
    assert (folder / "image.nix").stat().st_mtime_ns == before


def test_write_refuses_a_folder_of_something_else(loaded: loading.Loaded, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RenderError, match="holds no rendered tree"):
        render.write(loading.render(loaded), tmp_path)


def test_diff_shows_what_would_change(loaded: loading.Loaded, tmp_path: Path) -> None:
    tree = loading.render(loaded)
    render.write(tree, tmp_path / "tree")
    assert render.diff(tree, tmp_path / "tree") == ""
    changed = loading.render(replace(loaded, router=replace(loaded.router, name="other")))
    text = render.diff(changed, tmp_path / "tree")
    assert '-  name = "netvm";' in text
    assert '+  name = "other";' in text


def test_a_verified_root_is_asked_of_kernel_command_line_and_build(tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text(spec.starter("netvm") + "image: {verity: true}\n")
    loaded = loading.load(tmp_path / "netvm.yaml")
    files = loading.render(loaded).files
    router, options = files["router.nix"].decode(), files["kernel/options.nix"].decode()
    assert "verity = true;" in router
    assert 'root=/dev/dm-0 dm-mod.create=\\"@verity@\\" rootfstype=erofs' in router
    assert "root=/dev/vda" not in router
    for name in ("DM_VERITY", "DM_INIT", "CRYPTO_SHA256"):
        assert f"  {name} = yes;" in options


def test_an_ordinary_root_has_nothing_of_it(loaded: loading.Loaded) -> None:
    files = loading.render(loaded).files
    assert b"verity = false;" in files["router.nix"]
    assert b"root=/dev/vda" in files["router.nix"]
    assert b"DM_" not in files["kernel/options.nix"]
