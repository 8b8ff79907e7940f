# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The error tree: what a user may meet, each with its exit code, a hint and details.

    NetvmError                       1
    ├─ SpecError(problems)           2
    ├─ RenderError                   3
    ├─ ToolMissing                   4
    ├─ CommandError                  5
    │   ├─ NixEvalError
    │   ├─ NixBuildError
    │   │   ├─ KernelConfigError(mismatches)
    │   │   └─ KernelPatchError(failures)
    │   └─ LockError
    ├─ ManifestError                 6
    ├─ BootError                     7
    │   ├─ LaunchError
    │   └─ QmpLost
    └─ HostError                     8

A router VM that fails its smoke boot is a verdict (exit 1 with a full report), not an exception.  An exception means
that we could not find out.  Ctrl-C ends with 130, as a shell expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class NetvmError(Exception):
    """Anything a user can fix: `message` says what and where, `hint` what to type next, `details` is evidence."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, details: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for another process of ours, it is the same with all that it carries, whatever its class takes."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[NetvmError], arguments: tuple[Any, ...], carried: dict[str, Any]) -> NetvmError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(carried)
    return error


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a file the user wrote.  `line` counts from 1; `path` is dotted, as in ``clients.pool``."""

    file: str
    line: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return where + (f"{self.path}: " if self.path else "") + self.message


MOST_PROBLEMS = 100
"""A user reads no more at once."""


class SpecError(NetvmError):
    """The spec, or a fragment beside it, is wrong; carries every problem found, in the order of the file.

    Of more than MOST_PROBLEMS the last only says how many more there are.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.path)))
        if more := len(problems) - MOST_PROBLEMS if len(problems) > MOST_PROBLEMS else 0:
            last = self.problems[MOST_PROBLEMS]
            rest = Problem(last.file, last.line, "", f"and {more} more problems")
            self.problems = (*self.problems[:MOST_PROBLEMS], rest)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RenderError(NetvmError):
    """The tree could not be rendered or written."""

    exit_code = 3


class ToolMissing(NetvmError):
    """A program is not installed; the hint names the Debian package that brings it, and what would do instead."""

    exit_code = 4

    def __init__(self, tool: str, package: str, instead: str = "") -> None:
        hint = f"sudo apt-get install {package}"
        super().__init__(f"{tool} is not installed", hint=f"{hint}; {instead}" if instead else hint)
        self.tool = tool
        self.package = package


class CommandError(NetvmError):
    """A program we ran failed: `argv`, its exit `status`, the `tail` of its stderr, and where the whole `log` is.

    `output` is what it wrote to stdout.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        argv: Sequence[str] = (),
        status: int | None = None,
        tail: str = "",
        log: Path | None = None,
        hint: str | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message, hint=hint, details=tail or None)
        self.output = output
        self.argv = tuple(argv)
        self.status = status
        self.tail = tail
        self.log = log


class NixEvalError(CommandError):
    """Nix could not evaluate the rendered expression."""


class NixBuildError(CommandError):
    """A derivation failed to build."""


@dataclass(frozen=True)
class OptionMismatch:
    """A kernel option that differs from what was asked for.  `because` names the missing dependency, or is empty."""

    option: str
    wanted: str
    got: str
    because: str = ""


class KernelConfigError(NixBuildError):
    """The kernel's final configuration is not what was asked; `mismatches` is the table."""

    def __init__(
        self, mismatches: Sequence[OptionMismatch], *, hint: str | None = None, log: Path | None = None
    ) -> None:
        super().__init__("kernel options differ from what was asked for", hint=hint, log=log)
        self.mismatches = tuple(mismatches)


@dataclass(frozen=True)
class PatchFailure:
    """A part of the kernel's patch number `patch` (from 1) that doesn't apply; hunk and line are 0 for a whole file."""

    patch: int
    file: str
    hunk: int
    line: int
    because: str

    def __str__(self) -> str:
        where = f"hunk {self.hunk} of {self.file}, at line {self.line}" if self.hunk else self.file
        return f"{where}: {self.because}" if where else self.because


class KernelPatchError(NixBuildError):
    """A patch doesn't apply to the kernel's source; `failures` has every part of it that doesn't."""

    def __init__(self, failures: Sequence[PatchFailure], *, log: Path | None = None) -> None:
        super().__init__("a patch doesn't apply to the kernel's source", log=log)
        self.failures = tuple(failures)


class LockError(CommandError):
    """The lock is missing, corrupt or stale, or the packages could not be resolved."""


class ManifestError(NetvmError):
    """An image folder is incomplete, altered, or of a version we do not know."""

    exit_code = 6


class BootError(NetvmError):
    """The VM could not be run to a verdict."""

    exit_code = 7


class LaunchError(BootError):
    """QEMU did not start; details carry its command line and what it printed."""


class QmpLost(BootError):
    """QEMU went away while we were talking to it."""


class HostError(NetvmError):
    """The host cannot or must not be changed as asked, or could not be put right again."""

    exit_code = 8
