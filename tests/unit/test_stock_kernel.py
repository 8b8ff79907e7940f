# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What takes Debian's kernel out of its package, on a package made here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.util import resources

SCRIPT = resources.folder("templates") / "platforms" / "debian" / "stock_kernel.py"
CHECK = resources.folder("templates") / "kernel" / "check_config.py"
CONFIG = """\
CONFIG_IGB=m
CONFIG_NET_9P=m
CONFIG_CRYPTO_GCM=m
CONFIG_BONDING=m
CONFIG_DUMMY=m
CONFIG_NET=y
# CONFIG_TUN is not set
CONFIG_HZ=250
CONFIG_PHYSICAL_START=0x1000000
CONFIG_LSM="lockdown,bpf"
"""
MODULES = ("net/9p/9pnet.ko.xz", "crypto/gcm.ko.xz", "drivers/net/bonding/bonding.ko.xz", "drivers/net/dummy.ko.xz")


def take(folder: Path, requests: dict[str, tuple[str, bool]]) -> tuple[int, str]:
    """(exit status, output) for option → (value, optional); what is taken is in `folder`/out."""
    unpacked = folder / "unpacked"
    for name in MODULES:
        path = unpacked / "usr/lib/modules/6.12.1-amd64/kernel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (unpacked / "boot").mkdir()
    (unpacked / "boot/config-6.12.1-amd64").write_text(CONFIG)
    (unpacked / "boot/vmlinuz-6.12.1-amd64").write_bytes(b"kernel")
    asked = [{"name": name, "value": value, "optional": maybe} for name, (value, maybe) in requests.items()]
    (folder / "requests.json").write_text(json.dumps(asked))
    paths = (SCRIPT, CHECK, unpacked, folder / "requests.json", folder / "out")
    argv = [sys.executable, "-I", "-B", *map(str, paths), "IGB"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_option_may_be_a_module_there(tmp_path: Path) -> None:
    wanted = {"IGB": ("y", False), "NET": ("m", False), "TUN": ("n", False), "LSM": ("lockdown,bpf", False)}
    wanted["PHYSICAL_START"] = ("16777216", False)
    status, said = take(tmp_path, {**wanted, "NOT_THERE": ("y", True)})
    assert status == 0, said
    assert json.loads((tmp_path / "out/options.json").read_text()) == {
        "IGB": "m",
        "LSM": "lockdown,bpf",
        "NET": "y",
        "PHYSICAL_START": "0x1000000",
        "TUN": "n",
    }
    assert (tmp_path / "out/kernel").read_bytes() == b"kernel"
    assert (tmp_path / "out/lib/modules/6.12.1-amd64").is_dir()
    assert (tmp_path / "out/release").read_text() == "6.12.1-amd64\n"


@pytest.mark.parametrize(
    ("option", "wanted", "got"), [("TUN", "y", "n"), ("IGB", "n", "m"), ("HZ", "1000", "250"), ("NOT_THERE", "y", "n")]
)
def test_what_differs_is_the_usual_table(option: str, wanted: str, got: str, tmp_path: Path) -> None:
    status, said = take(tmp_path, {option: (wanted, False), "NET": ("y", False)})
    assert status == 1
    (row,) = kconfig.mismatches_in(said)
    assert (row.option, row.wanted, row.got) == (option, wanted, got)
    assert "kernel.stock: false" in row.because
    assert not (tmp_path / "out").exists()


def test_a_module_that_is_called_as_its_option_is_taken_by_itself(tmp_path: Path) -> None:
    status, said = take(tmp_path, {"DUMMY": ("m", False), "BONDING": ("y", False), "IGB": ("y", False)})
    assert status == 0, said
    assert (tmp_path / "out/modules").read_text() == "bonding\ndummy\n"


@pytest.mark.parametrize(
    ("option", "said"), [("CRYPTO_GCM", "`modules: {CRYPTO_GCM: gcm}`"), ("NET_9P", "`modules: {NET_9P: NAME}`")]
)
def test_a_module_of_another_name_must_be_named(option: str, said: str, tmp_path: Path) -> None:
    status, printed = take(tmp_path, {option: ("y", False), "IGB": ("y", False)})
    assert status == 1
    (row,) = kconfig.mismatches_in(printed)
    assert (row.option, row.got) == (option, "m")
    assert said in row.because
