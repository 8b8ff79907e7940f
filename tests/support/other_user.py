# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Another user of this machine, who puts files where we will look.  Needs root, to become one."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MALLORY, ALICE = 64901, 64902  # users that no machine has
AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="becomes another user, which only root can"
)


def become(uid: int) -> None:
    """Be another user from here on, in all that the kernel asks for."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def as_user(uid: int, do: Callable[[], object]) -> None:
    """Do something as another user, in a process of its own.  Fails where it fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            become(uid)
            do()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that everybody can write to, such as /tmp is."""
    folder = Path(tempfile.mkdtemp(prefix="netvm-shared-", dir="/tmp"))
    try:
        folder.chmod(0o1777)
        yield folder
    finally:
        shutil.rmtree(folder)
