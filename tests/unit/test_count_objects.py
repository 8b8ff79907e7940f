# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How many objects a kernel is compiled of, counted in a small tree with each form that the kernel's Makefiles use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build.nix.log import NixLog
from netvm_build.kconfig.dotconfig import read_config
from netvm_build.util import resources
from netvm_build.util.events import Event, Part, Progress

SCRIPT = resources.folder("templates") / "kernel" / "count_objects.py"
CHECK = SCRIPT.with_name("check_config.py")

FILES = {
    "Kbuild": "obj-y += init/\nobj-y += arch/$(SRCARCH)/\nobj-$(CONFIG_NET) += net/\nobj-y += drivers/\n",
    "Makefile": "obj-y += not/read/\n",
    "init/Makefile": (
        "obj-y := main.o version.o\nobj-y += $(if $(CONFIG_NET),mounts.o) # a comment.o\nmounts-y := do.o \\\n  rd.o\n"
    ),
    "arch/x86/Kbuild": "obj-y += kernel/\n",
    "arch/x86/Makefile": "libs-y += arch/x86/lib/\ndrivers-$(CONFIG_PCI) += arch/x86/pci/\n",
    "arch/x86/kernel/Makefile": "obj-y := head_$(BITS).o\nobj-$(CONFIG_OFF) += off.o\n",
    "arch/x86/lib/Makefile": (
        "lib-y := memcpy.o\nifneq ($(CONFIG_64),y)\nlib-y += small.o\nelse\nlib-y += big.o\nendif\n"
    ),
    "arch/x86/pci/Makefile": "obj-y := pci.o\n",
    "arch/x86/boot/Makefile": "setup-y := a20.o\nsetup-y += header.o\n",
    "arch/x86/boot/compressed/Makefile": "vmlinux-objs-y := $(obj)/vmlinux.lds $(obj)/head.o\n",
    "lib/Makefile": "obj-y += $(addsuffix .o,$(filter-out b,a b c))\nobj-y += $(patsubst %.c,%.o,x.c)\n",
    "net/Makefile": (
        "ifdef CONFIG_NET\nobj-$(CONFIG_NET) := core.o\nelse ifeq ($(CONFIG_64),y)\nobj-y += never.o\nendif\n"
        "core-objs := one.o two.o\ncore-$(CONFIG_PCI) += three.o\nobj-m += tun.o\nobj-m += deep/\n"
    ),
    "net/deep/Makefile": "obj-y := ignored-in-a-module.o\nobj-m := big.o\nbig-y := big1.o\nbig-m := big2.o\n",
    "drivers/Makefile": "obj-$(subst m,y,$(CONFIG_BUS)) += bus/ bus/\n",
    "drivers/bus/Makefile": (
        "obj-y := bus.o ../shared.o\nfw := $(CONFIG_FIRMWARE)\nobj-y += $(addsuffix .gen.o, $(fw))\n"
    ),
}
CONFIG = 'CONFIG_NET=y\nCONFIG_64=y\nCONFIG_PCI=y\nCONFIG_BUS=m\n# CONFIG_OFF is not set\nCONFIG_FIRMWARE=""\n'


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("count_objects", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


count_objects = script()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_counts_what_make_would_compile(tree: Path) -> None:
    in_init, in_kernel, in_libraries, in_pci = 4, 1, 2, 1
    by_rules, in_lib, in_net, in_drivers = 3, 3, 3, 2
    whole = in_init + in_kernel + in_libraries + in_pci + by_rules + in_lib + in_net + in_drivers
    assert count_objects.count(tree, read_config(CONFIG), "x86") == (whole, 3)
    without = read_config(CONFIG.replace("CONFIG_NET=y", "# CONFIG_NET is not set"))
    assert count_objects.count(tree, without, "x86") == (whole - in_net - 2, 0)


def test_the_builds_log_is_read_with_it(tree: Path) -> None:
    (tree / ".config").write_text(CONFIG)
    line = [sys.executable, "-I", str(SCRIPT), str(CHECK), str(tree), str(tree / ".config"), "x86"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    events: list[Event] = []
    log = NixLog("build", events.append)
    for text in (*said.splitlines(), "netvm-stage: compile"):
        log.feed(text)
    parts = [event.part for event in events if isinstance(event, Progress)]
    assert parts == [Part(0, 19, "objects")]


def test_an_empty_tree_has_none(tmp_path: Path) -> None:
    assert count_objects.count(tmp_path, read_config(CONFIG), "x86") == (0, 0)


@given(st.lists(st.sampled_from(" \n\t".join(FILES.values()).split(" ")) | st.text(max_size=9), max_size=40))
def test_no_makefile_stops_the_build(words: list[str]) -> None:
    """A number that is wrong is better than a kernel that isn't built."""
    file = count_objects.Makefile(Path("/nonexistent"), "", {"X": "y"})
    file._read(" ".join(words))
    assert isinstance(file.words("obj-y", "obj-m"), list)


def test_a_function_with_too_few_arguments_is_empty() -> None:
    file = count_objects.Makefile(Path("/nonexistent"), "", {"X": "$(subst a) $(patsubst %.c,%.o) b.o"})
    assert file.words("X") == ["b.o"]
