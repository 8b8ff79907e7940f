# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Nix: command lines, settings given per call, and a derivation's way to its store path.

The machine's nix.conf stays as it is.  As root without a daemon Nix builds by itself; where a daemon runs, it does,
with its own settings.  Either way every build script of the debian platform enters a root of its own, so nothing of the
host is in sight.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from netvm_build.build import unreachable
from netvm_build.build.nix import sandbox
from netvm_build.build.nix.literal import Raw, literal
from netvm_build.build.nix.log import NixLog
from netvm_build.kconfig import mismatch_error, mismatches_in, patch_failures_in
from netvm_build.util import process
from netvm_build.util.errors import CommandError, KernelPatchError, LockError, NixBuildError, NixEvalError
from netvm_build.util.events import Sink, StageEnded, StageStarted, discard

PACKAGE = "nix-bin"

# How many derivations are built at once: most are downloads, so more than there are cores.
_MAX_JOBS = 8

# How a platform's expression says what would explain a failure, and is no failure itself.
_NOTE = re.compile(r"trace: netvm-note: (.+)")


# A mirror that hangs is reported within two minutes, where Nix would wait 5 times 5.  NIX_CONFIG may say otherwise.
_PATIENCE = ("connect-timeout = 15", "stalled-download-timeout = 30", "download-attempts = 3")


def settings(*, root: bool, cores: int = 0, locked: bool = True) -> str:
    """What NIX_CONFIG adds to the machine's own settings (nix.conf(5)); `cores` 0: all of them.

    `locked`: every input is in a lock, and no binary cache has anything made of it, so none is asked.  Otherwise the
    machine's own caches, number of jobs and `sandbox` stand.
    """
    lines = ["experimental-features = nix-command"]
    if locked:
        lines += ["substituters =", f"max-jobs = {_MAX_JOBS}", f"cores = {cores}"]
    if root:
        # No daemon: root builds by itself, in the sandbox, and needs no build users for it.
        lines += ["build-users-group =", "sandbox-fallback = false"]
        lines += ["sandbox = true"] if locked else []
    return "\n".join(lines)


def builds_by_itself() -> bool:
    """Whether Nix builds without a daemon here, as it does for root."""
    return os.geteuid() == 0 and os.environ.get("NIX_REMOTE", "") in ("", "auto", "local")


def _given() -> str:
    """The settings that our own caller gives to Nix."""
    return os.environ.get("NIX_CONFIG", "")


def environment(*, locked: bool = True) -> dict[str, str]:
    """The environment of every call to Nix; `locked` as for `settings`."""
    own = settings(root=builds_by_itself(), locked=locked)
    config = "\n".join(filter(None, (*_PATIENCE, _given(), own)))
    # Nix stops if TMPDIR doesn't exist; everything else uses /tmp then.
    return {"NIX_CONFIG": config, "TMPDIR": tempfile.gettempdir()}


def build_argv(
    nix: str, tree: Path, attributes: Sequence[str], *, out_link: Path | None, rebuild: bool = False
) -> list[str]:
    """`nix build` of some attributes of a rendered tree; the store paths come as JSON on stdout."""
    link = ["--no-link"] if out_link is None else ["--out-link", str(out_link)]
    again = ["--rebuild"] if rebuild else []
    return [nix, "build", "--file", str(tree), *attributes, *link, *again, "--json", "--log-format", "internal-json"]


def plan_argv(nix: str, tree: Path, attributes: Sequence[str]) -> list[str]:
    """What would be built and downloaded for attributes."""
    return [nix, "build", "--file", str(tree), *attributes, "--dry-run"]


def fetch_argv(nix: str, url: str, sha256: str, name: str) -> list[str]:
    """`nix build` of one file of an archive, by Nix's own fetcher."""
    expression = f"import <nix/fetchurl.nix> {literal({'url': url, 'sha256': sha256, 'name': name})}"
    return [nix, "build", "--impure", "--expr", expression, "--no-link", "--json", "--log-format", "internal-json"]


def build(
    tree: Path,
    attributes: Sequence[str],
    sink: Sink,
    *,
    stage: str,
    out_link: Path | None = None,
    rebuild: bool = False,
    log: Path | None = None,
    locked: bool = True,
) -> tuple[Path, ...]:
    """Build attributes of a tree; the store paths, in the same order.

    `out_link` keeps the (first) result from Nix's garbage collector.  `rebuild` builds again what is there already, and
    fails where the bytes differ.  `locked` as for `settings`.  Raises NixEvalError, NixBuildError, KernelConfigError,
    or LockError if `locked`.
    """
    nix = process.find_tool("nix", PACKAGE)
    argv = build_argv(nix, tree, attributes, out_link=out_link, rebuild=rebuild)
    return _run(argv, sink, stage=stage, log=log, locked=locked)


def fetch_many(
    files: Sequence[tuple[str, str, str]], expression: Path, sink: Sink, *, stage: str
) -> tuple[set[str], CommandError | None]:
    """Download files given as (URL, SHA-256, name), as many as can be; the names of the rest, and why one didn't come.

    `expression` is a file to write.  The store path of a file depends on its hash and name, not on its URL.
    """
    nix = process.find_tool("nix", PACKAGE)
    fetched = {
        f"file{number}": Raw(f"import <nix/fetchurl.nix> {literal({'url': url, 'sha256': sha256, 'name': name})}")
        for number, (url, sha256, name) in enumerate(files)
    }
    expression.write_text(literal(fetched) + "\n")
    try:
        argv = build_argv(nix, expression, list(fetched), out_link=None)
        _run([*argv, "--keep-going"], sink, stage=stage)
    except CommandError as error:
        return set(plan(expression, *fetched).derivations), error
    return set(), None


def fetch(url: str, sha256: str, name: str, sink: Sink) -> Path:
    """The store path of one downloaded file."""
    nix = process.find_tool("nix", PACKAGE)
    return _run(fetch_argv(nix, url, sha256, name), sink, stage=f"fetch {name}")[0]


def path_of(sha256: str, name: str) -> Path:
    """The store path of a file that has a hash."""
    argv = [process.find_tool("nix-store", PACKAGE), "--print-fixed-path", "sha256", sha256, name]
    return Path(process.run(argv, env=environment()).stdout.strip())


def add_files(files: Sequence[Path]) -> list[Path]:
    """Add files to the store as a derivation with their SHA-256 would have; their store paths."""
    if not files:
        return []
    nix_store = process.find_tool("nix-store", PACKAGE)
    argv = [nix_store, "--add-fixed", "sha256", *map(str, files)]
    return [Path(line) for line in process.run(argv, env=environment()).stdout.splitlines()]


@dataclass(frozen=True)
class Planned:
    """The names of the derivations that a build would make, in Nix's order, and the size of the finished packages that
    it would download from the machine's binary caches.
    """

    derivations: tuple[str, ...]
    cached_bytes: int


def plan(tree: Path, *attributes: str, locked: bool = True) -> Planned:
    """What a build of attributes would do; `locked` as for `settings`.  Raises NixEvalError."""
    nix = process.find_tool("nix", PACKAGE)
    reader = NixLog("plan", discard)
    try:
        done = process.run(plan_argv(nix, tree, attributes), env=environment(locked=locked), on_stderr=reader.feed)
    except CommandError as error:
        lines = list(reader.lines)
        first = next((number for number, line in enumerate(lines) if line.startswith("error:")), len(lines))
        reader.errors += lines[first:]
        raise explained(error, reader, None, locked=locked) from error
    names = re.findall(r"/nix/store/[a-z0-9]{32}-(.+)\.drv$", done.stderr, re.MULTILINE)
    fetched = re.search(r"will be fetched \(([0-9.]+) MiB download", done.stderr)
    return Planned(tuple(names), int(float(fetched.group(1)) * (1 << 20)) if fetched else 0)


def _run(argv: list[str], sink: Sink, *, stage: str, log: Path | None = None, locked: bool = True) -> tuple[Path, ...]:
    if locked:
        sandbox.require_switched_on(_given())
    started = time.monotonic()
    sink(StageStarted(stage))
    reader = NixLog(stage, sink)
    try:
        done = process.run(argv, env=environment(locked=locked), on_stderr=reader.feed)
        paths = tuple(Path(path) for built in json.loads(done.stdout) for path in built["outputs"].values())
    except BaseException as error:
        sink(StageEnded(stage, ok=False, seconds=time.monotonic() - started))
        if isinstance(error, CommandError):
            if log is not None:
                log.write_text("\n".join((*reader.lines, *reader.errors)) + "\n")
            raise explained(error, reader, log, locked=locked) from error
        raise
    sink(StageEnded(stage, ok=True, seconds=time.monotonic() - started))
    return paths


def explained(error: CommandError, reader: NixLog, log: Path | None, *, locked: bool = True) -> CommandError:
    """What Nix said, as the error that says what to do about it."""
    text = "\n".join(reader.lines)
    mismatches = mismatches_in(text)
    if mismatches:
        return mismatch_error(mismatches, log=log)
    if failures := patch_failures_in(text):
        return KernelPatchError(failures, log=log)
    said = "\n".join(reader.errors) or error.message
    message = _first_line(said)
    tail = "\n".join(list(reader.lines)[-process.TAIL_LINES :])
    common = {"argv": error.argv, "status": error.status, "tail": tail, "log": log}
    everything = f"{said}\n{text}"
    forbidden = sandbox.explained(said, by_itself=False, locked=locked)
    file = _file_error(everything, message, locked=locked) if forbidden is None else None
    if file is not None:
        kind, message, hint = file
        common["tail"] = "\n".join(line for line in tail.splitlines() if line.startswith("error: "))  # not the HTML
        return kind(message, hint=hint, **common)  # type: ignore[arg-type]
    forbidden = forbidden or sandbox.explained(everything, by_itself=builds_by_itself(), locked=locked)
    if forbidden is not None:
        return NixBuildError(forbidden[0], hint=forbidden[1], **common)  # type: ignore[arg-type]
    kind = NixBuildError if reader.lines and ("builder for" in said or "differ" in said) else NixEvalError
    return kind(message, hint=_hint(everything, log), **common)  # type: ignore[arg-type]


def _file_error(text: str, message: str, *, locked: bool) -> tuple[type[CommandError], str, str] | None:
    """What went wrong with a file from the network: the kind of error, its message and hint."""
    kind = LockError if locked else NixBuildError
    if (refused := unreachable.explained(text)) is not None:
        return kind, *refused
    gone = re.search(r"unable to download '([^']+)': (.*?)(?:; retrying in .*)?$", text, re.MULTILINE)
    if gone is not None:
        url, reason = gone.groups()
        if not locked:
            hint = "check the network, and platform.nixpkgs if it is a URL; a binary cache saves most of the downloads"
            return kind, f"{url} {unreachable.DIDNT_COME}{reason}", hint
        return kind, *unreachable.not_downloaded(url, reason)
    if "hash mismatch in fixed-output derivation" in text:
        name, came = _instead(text)
        if unreachable.is_page(came):
            return kind, *unreachable.login_page("", name)
        if locked:
            return kind, message, "the file is not the one that was locked: netvm-build lock"
        return kind, message, "the file is not the one that this nixpkgs was made for: try a newer nixpkgs"
    return None


# Later versions tell the URL between the two lines.
_MISMATCH = re.compile(r"derivation '/nix/store/[a-z0-9]{32}-(.+)\.drv':(?:\n.*){1,3}?\n\s+got: +sha256-(\S+)")


def _instead(text: str) -> tuple[str, Path]:
    """The name of a file with another hash than it must have, and what came: the store keeps that by its own hash."""
    if (found := _MISMATCH.search(text)) is not None:
        with suppress(binascii.Error, CommandError):
            return found[1], path_of(base64.b64decode(found[2], validate=True).hex(), found[1])
    return "", Path(os.devnull)


def _first_line(said: str) -> str:
    """What Nix complains of, in one line without its prefix; later versions tell how they came to it first."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "builder for" in line or "hash mismatch" in line][:1]
    errors = [line for line in lines if line.startswith("error: ")][-1:]
    return (telling or errors or lines or ["nix failed"])[0].removeprefix("error: ")


def _hint(text: str, log: Path | None) -> str | None:
    """What to do about the usual causes, or what the expression that failed says itself."""
    own = re.search(r"^\s*hint: (.+)$", text, re.MULTILINE)
    if own is not None:
        return own.group(1)
    note = _NOTE.search(text)
    if note is not None and "builder for" not in text:
        return f"{note.group(1)}; take a newer Nix or an older nixpkgs"
    if "No space left on device" in text or "disk full" in text:
        return (
            "the disk is full: free some space (nix-collect-garbage frees the store's), then run the same command again"
        )
    if ("cannot connect to" in text and "daemon" in text) or ("Permission denied" in text and "/nix/" in text):
        return "Nix is not usable as this user: see netvm-build doctor"
    if "may not be deterministic" in text:
        return "the same inputs gave other bytes: please report this, with the output above"
    return None if log is None else f"the whole log is in {log}"
