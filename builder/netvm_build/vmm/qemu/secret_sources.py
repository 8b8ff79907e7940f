# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which files and variables of the caller's an image may have as secrets: docs/how-to/wifi.md has it for users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from netvm_build.model import Secret
from netvm_build.util.paths import shown

PREFIX = "NETVM_"
ENV, FILE = "env", "file"


class Reach(Enum):
    """What an image gets although the user didn't name it."""

    SPEC = "all that its spec names: the user wrote it, or had the image built from it here"
    MEANT = "variables and folders that are meant for it: the image is the user's, but comes from elsewhere"
    NOTHING = "nothing: it belongs to somebody else"


class NotNamed(Exception):
    """An image asks for something that it may not have; the text says how it is named."""


@dataclass(frozen=True)
class Sources:
    """Where secrets are found: the environment, and what an image may have of it and of files.

    `named` are those that the user named, whatever the reach is.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    reach: Reach = Reach.SPEC
    named: frozenset[Secret] = frozenset()

    def demand(self, where: Secret) -> None:
        """Raises NotNamed for a place that the image may not have its secret from."""
        if self.reach is Reach.SPEC or _plain(where) in self.named:
            return
        if self.reach is Reach.MEANT and self._is_meant(where):
            return
        place = f"{ENV}:{where.env}" if where.env is not None else f"{FILE}:{shown(Path(str(where.file)))}"
        what = "variable" if where.env is not None else "file"
        raise NotNamed(f"the image asks for the {what} {place.partition(':')[2]}; if it may have it: --secret {place}")

    def _is_meant(self, where: Secret) -> bool:
        if where.env is not None:
            return where.env.startswith(PREFIX)
        return any(Path(str(_plain(where).file)).is_relative_to(folder) for folder in folders(self.environ))


def folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where every image of ours may have files from: systemd's (systemd.exec(5)), the user's, and the machine's."""
    home = environ.get("HOME", "")
    config = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    found = (environ.get("CREDENTIALS_DIRECTORY", ""), f"{config}/netvm-build/secrets" if config else "")
    return (*(Path(one) for one in found if one.startswith("/")), Path("/etc/netvm-build/secrets"))


def named_place(text: str) -> Secret:
    """`env:NAME` or `file:PATH`.  Raises ValueError."""
    kind, _, where = text.partition(":")
    if kind == ENV and where:
        return Secret(env=where)
    if kind == FILE and where:
        return _plain(Secret(file=where))
    raise ValueError(f"{text!r} is neither env:NAME nor file:PATH")


def _plain(where: Secret) -> Secret:
    """The same with an absolute path without `..`; links stay."""
    return where if where.file is None else Secret(file=os.path.abspath(where.file))  # noqa: PTH100
