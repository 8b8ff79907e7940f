# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is mounted where, as a table.  /dev comes from the kernel (DEVTMPFS_MOUNT); the root stays read-only."""

from __future__ import annotations

from init.core import native
from init.core.native import os
from init.core.services import CONNMAN_USER, DBUS_USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STRICT = native.MS_NOSUID | native.MS_NODEV | native.MS_NOEXEC

Mount = tuple[str, str, int, str]
"""(file system, where, flags, data)"""

MOUNTS: tuple[Mount, ...] = (
    ("proc", "/proc", STRICT, ""),
    ("sysfs", "/sys", STRICT, ""),
    ("tmpfs", "/run", STRICT, "mode=755,size=8m"),
    ("tmpfs", "/tmp", STRICT, "mode=1777,size=8m"),  # noqa: S108  (it is we who make /tmp)
    ("tmpfs", "/var", STRICT, "mode=755,size=8m"),
)

Folder = tuple[str, int, int]
"""(path, mode, owner: both user and group)"""

FOLDERS: tuple[Folder, ...] = (
    ("/run/dbus", 0o755, DBUS_USER),  # its socket
    ("/run/connman", 0o755, CONNMAN_USER),
    ("/var/lib", 0o755, 0),
    ("/var/lib/connman", 0o700, CONNMAN_USER),
)

LINKS: tuple[tuple[str, str], ...] = (("/var/run", "/run"),)


def mount_all(table: Sequence[Mount] = MOUNTS) -> None:
    """Mount every row, and /dev if the kernel hasn't.  Raises OSError naming the mount point."""
    for kind, target, flags, data in table:
        _mount(kind, target, flags, data)
    if table is MOUNTS and not native.exists("/dev/null"):
        _mount("devtmpfs", "/dev", native.MS_NOSUID | native.MS_NOEXEC, "mode=755")


def _mount(kind: str, target: str, flags: int, data: str) -> None:
    try:
        native.mount(kind, target, kind, flags, data)
    except OSError as error:
        raise OSError(error.errno, f"{kind} could not be mounted: {error.strerror}", target) from None


def make_folders(folders: Sequence[Folder] = FOLDERS, links: Sequence[tuple[str, str]] = LINKS) -> None:
    """Make the folders and links that services expect.  What is there already is left as it is."""
    for path, mode, owner in folders:
        if not native.exists(path):
            os.mkdir(path, mode)
            os.chmod(path, mode)
            os.chown(path, owner, owner)
    for path, target in links:
        if not native.exists(path, follow=False):
            os.symlink(target, path)


def copy_files(source: str, target: str, owner: int = 0) -> None:
    """Copy each file of a folder, readable only by its owner (user and group).

    A source that is not there has nothing to copy.
    """
    try:
        names = os.listdir(source)
    except FileNotFoundError:
        return
    for name in names:
        with open(f"{source}/{name}", "rb") as file:
            data = file.read()
        descriptor = os.open(f"{target}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchown(descriptor, owner, owner)
        with open(descriptor, "wb") as file:
            file.write(data)
