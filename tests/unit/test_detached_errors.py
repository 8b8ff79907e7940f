# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`run --detach` fails as `run` does: with the same error, whichever it is, and so with its exit code."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.image import manifest
from netvm_build.util import errors
from netvm_build.util.errors import (
    BootError,
    CommandError,
    HostError,
    LaunchError,
    LockError,
    ManifestError,
    NetvmError,
    Problem,
    QmpLost,
    SpecError,
    ToolMissing,
)
from netvm_build.util.owners import Untrusted
from netvm_build.vm import engine, registry
from netvm_build.vmm import qemu

from tests.unit.test_cli_build import write_image

FAKE = Path(__file__).parents[2] / "tests" / "support" / "fakes" / "qemu_system.py"


def classes(root: type[NetvmError] = NetvmError) -> Iterator[type[NetvmError]]:
    yield root
    for one in root.__subclasses__():
        yield from classes(one)


@pytest.mark.parametrize("kind", [pytest.param(one, id=one.__name__) for one in classes()])
def test_every_error_of_the_tree_is_the_same_in_another_process(kind: type[NetvmError]) -> None:
    error = kind.__new__(kind, "what is wrong")
    error.__dict__.update(message="what is wrong", hint="type this", details=None, log=Path("/x"), problems=(1, 2))
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is kind
    assert (back.args, back.__dict__) == (error.args, error.__dict__)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError([Problem("netvm.yaml", 3, "wifi", "a secret is missing", "write it there")]), 2),
        (ToolMissing("passt", "passt"), 4),
        (CommandError("it could not be started", argv=["qemu", "-x"], status=126, log=Path("/log")), 5),
        (LockError("it is stale"), 5),
        (ManifestError("it is incomplete", hint="build it"), 6),
        (BootError("no"), 7),
        (LaunchError("no", details="qemu: no"), 7),
        (QmpLost("killed"), 7),
        (HostError("the card is in use", hint="--take-network"), 8),
        (Untrusted("others can write to /srv/image", hint="chmod go-w /srv/image"), 9),
        (OSError(errno.ENOSPC, "No space left on device", "/run/x"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_both_ways_to_run_fail_with_the_same_error(
    error: Exception, code: int | None, tmp_path: Path, short_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    write_image(tmp_path / "image")
    image, program = manifest.load(tmp_path / "image"), qemu.identify(FAKE)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(engine, "_launch", fail)
    found = []
    for attempt in (
        lambda: engine.run(image, program, engine.RunOptions(accel="tcg"), print),
        lambda: engine.detached(image, program, engine.RunOptions(accel="tcg")),
    ):
        with pytest.raises(type(error)) as caught:
            attempt()
        found.append(caught.value)
    assert [type(one) for one in found] == [type(error)] * 2
    assert found[0].__dict__ == found[1].__dict__
    assert str(found[0]) == str(found[1])
    assert code is None or [one.exit_code for one in found if isinstance(one, errors.NetvmError)] == [code] * 2
    assert registry.running() == ()
