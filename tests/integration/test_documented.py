# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every spec in the documents and the examples, built and smoke-booted: what users are shown works as it stands.

Two are part of `make test`: a static uplink on the default kernel, and Wi-Fi with Debian's.  The others are long: most
of them need a kernel of their own.  Specs that come to the same image are booted once.  That each of those kernels can
be configured as asked is part of `make test` again, since the source is unpacked once and nothing is compiled.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from netvm_build.build import debian, loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.model import RequestedOption
from netvm_build.smoke import report
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.report import BootReport, Status
from netvm_build.util.errors import LockError
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu

from tests.support.booted import certificates
from tests.support.documented import SPECS, Documented
from tests.support.dotconfig import seed_text
from tests.support.needs import tell

pytestmark = pytest.mark.integration

WORDS = "what a document keeps secret"
BUILT = [one for one in SPECS if not one.placeholder]


def is_quick(one: Documented) -> bool:
    return one.name == "examples/static-uplink.yaml" or "stock: true\n  fragments: [intel, wifi]" in one.text


PARAMETERS = [pytest.param(one, id=one.name, marks=() if is_quick(one) else pytest.mark.long) for one in BUILT]


@pytest.fixture(scope="session")
def booted() -> dict[tuple[str, ...], BootReport]:
    """What came of each image."""
    return {}


def what_boots(image: Image) -> tuple[str, ...]:
    manifest = image.manifest
    return (manifest.kernel.sha256, manifest.rootfs.sha256, manifest.cmdline, repr(manifest.machine))


def with_its_secrets(one: Documented, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files and variables that a spec names."""
    for variable in re.findall(r"env: (\w+)", one.text):
        monkeypatch.setenv(variable, WORDS)
    if "ca: " in one.text:
        certificates.make(folder, WORDS)
    same = {"ca": "ca.pem", "certificate": "client.pem"}
    for key, name in re.findall(r"\b(ca|certificate): ([\w.-]+)", one.text):
        shutil.copy(folder / same[key], folder / name)
    for key, name in re.findall(r"(secret|key): \{file: ([\w.-]+)\}", one.text):
        (folder / name).write_text((folder / "client.key").read_text() if key == "key" else WORDS)
        (folder / name).chmod(0o600)


def share_a_lock(path: Path, workshop: Path) -> None:
    """Take the lock of another test where it is for the same packages: resolving takes a while."""
    request = debian.request_for(loading.load(path).router)
    mine = loading.lock_beside(path)
    for known in (mine, workshop / loading.LOCK_NAME, workshop / "stock" / loading.LOCK_NAME):
        try:
            if debian.load_lock(known, request) is not None:
                if known != mine:
                    shutil.copy(known, mine)
                return
        except LockError:
            continue
    mine.unlink(missing_ok=True)


CONFIGURE = """\
say configure {name}
cat > seed <<'END'
{seed}END
cat > requests.json <<'END'
{requests}
END
make -s ARCH=x86 KCONFIG_ALLCONFIG=seed allnoconfig
python3 -B "$check" . .config requests.json
echo "{name}" >> "$out/configured"
"""


def configured(name: str, options: tuple[RequestedOption, ...]) -> str:
    """The part of a build's script that configures a kernel and checks what came out."""
    requests = [{"name": one.name, "value": str(one.value), "optional": one.value.optional} for one in options]
    return CONFIGURE.format(name=name, seed=seed_text(options), requests=json.dumps(requests))


def test_every_documented_kernel_can_be_configured(
    loaded: loading.Loaded, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's own Kconfig, with the check that every build makes; the default kernel is built anyway.

    Of the series that the tests build: another has options of its own.
    """
    kernels = {seed_text(loaded.kernel.options): ""}
    for number, one in enumerate(BUILT):
        if "stock: true" not in one.text:
            folder = tmp_path / str(number)
            path = one.write(folder)
            with_its_secrets(one, folder, monkeypatch)
            asked = loading.load(path)
            if asked.router.kernel.version == loaded.router.kernel.version:
                kernels.setdefault(seed_text(asked.kernel.options), configured(one.name, asked.kernel.options))
    parts = [part for part in kernels.values() if part]
    assert len(parts) > 5
    work = workshop / "documented" / "kernels"
    tree = pipeline.prepare(loaded, work, tell)
    script = tree / "platforms/debian/kernel.sh"
    unpack, configure, _ = script.read_text().partition('say "configure"\n')
    assert configure
    script.write_text("\n".join([unpack, 'mkdir "$out"', *parts]))
    (made,) = nix.build(tree, ["kernel"], tell, stage="configure", out_link=work / "kernel", log=work / "log")
    assert len((made / "configured").read_text().splitlines()) == len(parts)


@pytest.mark.parametrize("documented", PARAMETERS)
def test_what_is_documented_boots_and_routes(
    documented: Documented,
    workshop: Path,
    loaded: loading.Loaded,
    qemu: Qemu,
    booted: dict[tuple[str, ...], BootReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert loaded.lock_path.exists()  # `qemu` has made it
    folder = workshop / "documented" / re.sub(r"[^a-z0-9]+", "-", documented.name)
    path = documented.write(folder)
    with_its_secrets(documented, folder, monkeypatch)
    share_a_lock(path, workshop)
    image = pipeline.build(loading.load(path), folder / "image", tell)
    key = what_boots(image)
    if key not in booted:
        booted[key] = smoke(image, qemu, accel="tcg", out=tmp_path / "smoke", sink=discard)
    result = booted[key]
    print(report.text(result))
    assert result.passed, report.text(result)
    (entry,) = result.nics
    clients = [check for check in entry.checks if check.name.startswith("client ")]
    assert [check.status for check in clients] == [Status.PASSED] * 2 or documented.name.endswith("driver.yaml")
