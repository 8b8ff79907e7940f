"""Nix: command lines, settings given per call, and a derivation's way to its store path.

The machine's nix.conf stays as it is.  As root without a daemon Nix builds by itself; where a daemon runs, it does,
with its own settings.  Either way every build script enters a root of its own, so nothing of the host is in sight.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from builder import process
from builder.errors import CommandError, LockError, NixBuildError, NixEvalError
from builder.events import Sink, StageEnded, StageStarted
from builder.kconfig import mismatch_error, mismatches_in
from builder.nixlit import literal
from builder.nixlog import NixLog

PACKAGE = "nix-bin"

# How many derivations are built at once: most are downloads, so more than there are cores.
_MAX_JOBS = 4


# A mirror that hangs is told of within two minutes, where Nix would wait 5 times 5.  NIX_CONFIG may say otherwise.
_PATIENCE = ("connect-timeout = 15", "stalled-download-timeout = 30", "download-attempts = 3")


def settings(*, root: bool, cores: int = 0) -> str:
    """What NIX_CONFIG adds to the machine's own settings (nix.conf(5)); `cores` 0: all of them."""
    lines = ["experimental-features = nix-command", "substituters =", f"max-jobs = {_MAX_JOBS}", f"cores = {cores}"]
    if root:
        # No daemon: root builds by itself, in the sandbox, and needs no build users for it.
        lines += ["build-users-group =", "sandbox = true", "sandbox-fallback = false"]
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """The environment of every call to Nix."""
    given = os.environ.get("NIX_CONFIG", "")
    alone = os.geteuid() == 0 and os.environ.get("NIX_REMOTE", "") in ("", "auto", "local")
    config = "\n".join(filter(None, (*_PATIENCE, given, settings(root=alone))))
    # A TMPDIR that is not there stops Nix, where everything else makes do with /tmp.
    return {"NIX_CONFIG": config, "TMPDIR": tempfile.gettempdir()}


def build_argv(
    nix: str, tree: Path, attributes: Sequence[str], *, out_link: Path | None, rebuild: bool = False
) -> list[str]:
    """`nix build` of some attributes of a rendered tree; the store paths come as JSON on stdout."""
    link = ["--no-link"] if out_link is None else ["--out-link", str(out_link)]
    again = ["--rebuild"] if rebuild else []
    return [nix, "build", "--file", str(tree), *attributes, *link, *again, "--json", "--log-format", "internal-json"]


def plan_argv(nix: str, tree: Path, attribute: str) -> list[str]:
    """What would be built and downloaded for one attribute."""
    return [nix, "build", "--file", str(tree), attribute, "--dry-run"]


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
) -> tuple[Path, ...]:
    """Build attributes of a tree; the store paths, in the same order.

    `out_link` keeps the (first) result from Nix's garbage collector.  `rebuild` builds again what is there already, and
    fails where the bytes differ.  Raises NixEvalError, NixBuildError, KernelConfigError or LockError.
    """
    nix = process.find_tool("nix", PACKAGE)
    return _run(build_argv(nix, tree, attributes, out_link=out_link, rebuild=rebuild), sink, stage=stage, log=log)


def fetch(url: str, sha256: str, name: str, sink: Sink) -> Path:
    """The store path of one downloaded file."""
    nix = process.find_tool("nix", PACKAGE)
    return _run(fetch_argv(nix, url, sha256, name), sink, stage=f"fetch {name}")[0]


def plan(tree: Path, attribute: str) -> tuple[str, ...]:
    """The names of the derivations that a build of the attribute would make, in Nix's order."""
    nix = process.find_tool("nix", PACKAGE)
    said = process.run(plan_argv(nix, tree, attribute), env=environment(), failure=NixEvalError).stderr
    return tuple(re.findall(r"/nix/store/[a-z0-9]{32}-(.+)\.drv$", said, re.MULTILINE))


def _run(argv: list[str], sink: Sink, *, stage: str, log: Path | None = None) -> tuple[Path, ...]:
    started = time.monotonic()
    sink(StageStarted(stage))
    reader = NixLog(stage, sink)
    try:
        done = process.run(argv, env=environment(), on_stderr=reader.feed)
        paths = tuple(Path(path) for built in json.loads(done.stdout) for path in built["outputs"].values())
    except BaseException as error:
        sink(StageEnded(stage, ok=False, seconds=time.monotonic() - started))
        if isinstance(error, CommandError):
            if log is not None:
                log.write_text("\n".join((*reader.lines, *reader.errors)) + "\n")
            raise explained(error, reader, log) from error
        raise
    sink(StageEnded(stage, ok=True, seconds=time.monotonic() - started))
    return paths


def explained(error: CommandError, reader: NixLog, log: Path | None) -> CommandError:
    """What Nix said, as the error that says what to do about it."""
    text = "\n".join(reader.lines)
    mismatches = mismatches_in(text)
    if mismatches:
        return mismatch_error(mismatches, log=log)
    said = "\n".join(reader.errors) or error.message
    message = _first_line(said)
    tail = "\n".join(list(reader.lines)[-process.TAIL_LINES :])
    common = {"argv": error.argv, "status": error.status, "tail": tail, "log": log}
    everything = f"{said}\n{text}"
    gone = re.search(r"unable to download '([^']+)': (.*?)(?:; retrying in .*)?$", everything, re.MULTILINE)
    if gone is not None:
        common["tail"] = "\n".join(line for line in tail.splitlines() if line.startswith("error: "))  # not the HTML
        name = gone.group(1).rsplit("/", 1)[-1]
        if "404" in gone.group(2):
            return LockError(
                f"the lock is stale: the mirror no longer has {name}",
                hint="a mirror keeps only current versions; pin those with: netvm-build lock",
                **common,  # type: ignore[arg-type]
            )
        return LockError(
            f"{name} could not be downloaded: {gone.group(2)}",
            hint="check the network and run the same command again: what is downloaded stays",
            **common,  # type: ignore[arg-type]
        )
    if "hash mismatch in fixed-output derivation" in everything:
        return LockError(message, hint="the file is not the one that was locked: netvm-build lock", **common)  # type: ignore[arg-type]
    kind = NixBuildError if reader.lines and ("builder for" in said or "differ" in said) else NixEvalError
    return kind(message, hint=_hint(everything, log), **common)  # type: ignore[arg-type]


def _first_line(said: str) -> str:
    """The first line of Nix's last complaint, without its prefix."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wanted = next(
        (line for line in lines if "builder for" in line or "hash mismatch" in line),
        lines[0] if lines else "nix failed",
    )
    return wanted.removeprefix("error: ")


def _hint(text: str, log: Path | None) -> str | None:
    """What to do about the usual causes."""
    if "No space left on device" in text or "disk full" in text:
        return (
            "the disk is full: free some space (nix-collect-garbage frees the store's), then run the same command again"
        )
    if ("cannot connect to" in text and "daemon" in text) or ("Permission denied" in text and "/nix/" in text):
        return "Nix is not usable as this user: see netvm-build doctor"
    if "may not be deterministic" in text:
        return "the same lock gave other bytes: please report this, with the output above"
    return None if log is None else f"the whole log is in {log}"
