"""Every spec in the documents and the examples, built and smoke-booted: what users are shown works as it stands.

Two are part of `make test`: a static uplink on the default kernel, and Wi-Fi with Debian's.  The others are long: most
of them need a kernel of their own.  Specs that come to the same image are booted once.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from builder import debian, pipeline, report
from builder.errors import LockError
from builder.events import discard
from builder.manifest import Image
from builder.qemu import Qemu
from builder.report import BootReport, Status
from builder.smoke import smoke
from tests.documented import SPECS, Documented
from tests.integration import certificates
from tests.integration.conftest import tell

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
    request = debian.request_for(pipeline.load(path).router)
    mine = path.with_name(pipeline.LOCK_NAME)
    for known in (mine, workshop / pipeline.LOCK_NAME, workshop / "stock" / pipeline.LOCK_NAME):
        try:
            if debian.load_lock(known, request) is not None:
                if known != mine:
                    shutil.copy(known, mine)
                return
        except LockError:
            continue
    mine.unlink(missing_ok=True)


@pytest.mark.parametrize("documented", PARAMETERS)
def test_what_is_documented_boots_and_routes(
    documented: Documented,
    workshop: Path,
    loaded: pipeline.Loaded,
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
    image = pipeline.build(pipeline.load(path), folder / "image", tell)
    key = what_boots(image)
    if key not in booted:
        booted[key] = smoke(image, qemu, accel="tcg", out=tmp_path / "smoke", sink=discard)
    result = booted[key]
    print(report.text(result))
    assert result.passed, report.text(result)
    (entry,) = result.nics
    clients = [check for check in entry.checks if check.name.startswith("client ")]
    assert [check.status for check in clients] == [Status.PASSED] * 2 or documented.name.endswith("driver.yaml")
