# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Text → nodes → values → router, with every problem on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netvm_build.model import Router, Source
from netvm_build.spec import yaml_nodes
from netvm_build.spec.absent import why_not
from netvm_build.spec.assemble import read_router
from netvm_build.spec.broken_rules import as_written, report_broken
from netvm_build.spec.fields.readers import Log
from netvm_build.spec.keys import KEYS, SECTIONS
from netvm_build.spec.scalars import describe, is_null, nearest
from netvm_build.spec.yaml_nodes import Entry, Invalid, Scalar, joined
from netvm_build.util.errors import MOST_PROBLEMS, Problem, SpecError


@dataclass(frozen=True)
class Loaded:
    """A router, and where each of its values came from.

    `origins` maps a dotted path such as ``clients.pool``, ``kernel.config.IP_NF_NAT`` or ``clients.named[0].router`` to
    the line of its key; every key of the format is in it, those that the spec leaves out as Source("default").
    """

    router: Router
    origins: Mapping[str, Source]


@dataclass(frozen=True)
class Draft(Loaded):
    """A router as far as its spec can be read, with every problem of the spec.

    `unread` are the paths of values that could not be read, and have a default or a stand-in in the router, and of
    lists without some of their items, with `[]` behind; `kept` has which items each list of the router still has.
    """

    problems: tuple[Problem, ...]
    unread: frozenset[str]
    kept: Mapping[str, Sequence[int]]

    def written(self, path: str) -> str:
        """The path of a list's item as the spec counts them."""
        return as_written(path, self.kept)


def load(path: Path) -> Loaded:
    """Read a spec; a folder `kernel-configs` beside it is where its own fragments are.

    Raises SpecError with every problem of the spec, or with the reason why the file cannot be read.
    """
    return _sound(draft(path))


def parse(text: str, file: str, base_dir: Path) -> Loaded:
    """Read the text of a spec.  `file` is its name in messages, `base_dir` where relative paths start.

    Raises SpecError with every problem.
    """
    return _sound(_draft(text, file, base_dir))


def _sound(found: Draft) -> Loaded:
    if found.problems:
        raise SpecError(found.problems)
    return Loaded(found.router, found.origins)


def draft(path: Path) -> Draft:
    """Read a spec as far as possible.  Raises SpecError for a file that holds no keys at all."""
    return _draft(yaml_nodes.read(path), str(path), path.parent)


def _draft(text: str, file: str, base_dir: Path) -> Draft:
    document = yaml_nodes.compose(text, file)
    log = Log(file, base_dir.absolute(), list(document.problems))
    log.unread.update(problem.path for problem in document.problems)
    if document.root is None and not log.problems:
        log.add(0, "", "the file is empty", "`netvm-build init` writes a spec to start from")
    elif isinstance(document.root, yaml_nodes.Sequence | Scalar):
        what = describe(document.root)
        log.add(document.root.line, "", f"{what} is not a spec", "write keys and values, beginning with `version: 1`")
    if not isinstance(document.root, yaml_nodes.Mapping):
        raise SpecError(log.problems)
    router = read_router(_entries(document.root, log), log)
    report_broken(router, log)
    return Draft(router, log.origins, tuple(log.problems), frozenset(log.unread), log.kept)


def _entries(root: yaml_nodes.Mapping, log: Log) -> dict[str, Entry]:
    """The entries of all sections by dotted path; whatever is no key of the format is reported."""
    entries: dict[str, Entry] = {}
    sections = {section.path: section for section in SECTIONS}
    for entry in root.entries:
        section = sections.get(entry.key)
        if section is None:
            _take("", entry, entries, log)
            continue
        log.origins[entry.key] = Source(log.file, entry.line)
        if isinstance(entry.value, yaml_nodes.Mapping):
            for inner in entry.value.entries:
                _take(section.path, inner, entries, log)
        elif section.short and isinstance(entry.value, Scalar) and not is_null(entry.value):
            entries[section.short] = entry
        elif not is_null(entry.value):
            log.unread.update(key.path for key in KEYS if key.path.startswith(f"{section.path}."))
            if not isinstance(entry.value, Invalid):
                hint = "write its keys on the lines below, indented"
                log.add(entry.value.line, entry.key, f"{describe(entry.value)} is not a mapping", hint)
    return entries


def _take(section: str, entry: Entry, entries: dict[str, Entry], log: Log) -> None:
    path = joined(section, entry.key)
    if any(key.path == path for key in KEYS):
        entries[path] = entry
        return
    hint = _instead(section, entry.key, path, log) if len(log.problems) < MOST_PROBLEMS else None
    log.add(entry.line, path, "there is no such key", hint)


def _instead(section: str, word: str, path: str, log: Log) -> str:
    """A hint for a key that is not one: the reason, the same of another section, the nearest, or all of the section."""
    every = [key.path for key in KEYS] + [one.path for one in SECTIONS]
    here = {one.rpartition(".")[2]: one for one in every if one.rpartition(".")[0] == section}
    near = nearest(word, here)
    meant = next((one for one in every if one.rpartition(".")[2] == word), here.get(near or ""))
    if meant is not None:
        log.meant.add(meant)
    question = f"did you mean {meant if meant not in here.values() else near}?"
    return why_not(path) or (question if meant is not None else f"the keys here are {', '.join(here)}")
