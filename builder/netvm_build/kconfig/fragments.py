# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The folders of kernel fragments: all of them read, and their names compared with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from netvm_build.kconfig.fragment import Fragment, Reference
from netvm_build.kconfig.reader import FragmentParser
from netvm_build.spec import yaml_nodes
from netvm_build.spec.scalars import ReadError, describe, did_you_mean, fragment_name
from netvm_build.spec.yaml_nodes import Invalid, Scalar
from netvm_build.util import resources
from netvm_build.util.errors import Problem, SpecError
from netvm_build.util.paths import shown

_FOLDER = "kernel-configs"
_FOREIGN = (".config", ".conf", ".nix")  # what other tools configure a kernel by


def load_fragments(folders: Sequence[Path]) -> Mapping[str, Fragment]:
    """Every fragment of the folders by name, sorted; a folder without any is no mistake.

    Raises SpecError with every problem: of YAML, of keys and values, a name used by two files, a fragment that is named
    but not there, and fragments that require each other in a circle.
    """
    fragments, problems = draft_fragments(folders)
    if problems:
        raise SpecError(problems)
    return fragments


def draft_fragments(folders: Sequence[Path]) -> tuple[Mapping[str, Fragment], Sequence[Problem]]:
    """Every fragment as far as it can be read, and the problems that `load_fragments` raises."""
    problems: list[Problem] = []
    fragments: dict[str, Fragment] = {}
    for folder in folders:
        for path, shown_as in _files(folder, problems):
            fragment = _load(path, shown_as, problems, ours=folder == resources.folder(_FOLDER))
            if fragment is None:
                continue
            first = fragments.setdefault(fragment.name, fragment)
            if first is not fragment:
                message = f"a fragment {fragment.name!r} is also in {fragment.source.file}"
                hint = f"rename one of the two: mv {first.source.file} {_renamed(first)}"
                problems.append(Problem(first.source.file, 0, "", message, hint))
    problems += _dangling(fragments)
    problems += _circles(fragments)
    return dict(sorted(fragments.items())), problems


def _renamed(fragment: Fragment) -> str:
    return str(Path(fragment.source.file).with_name(f"my-{fragment.name}.yaml"))


def _files(folder: Path, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """The fragments' files with their names for messages."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        hint = "make the folder, or leave it out"
        problems.append(Problem(shown(folder), 0, "", f"cannot be read: {error.strerror}", hint))
        return
    for name in names:
        shown_as = shown(folder / name)
        if name.endswith(".yml"):
            hint = f"mv {shown_as} {shown_as.removesuffix('.yml')}.yaml"
            problems.append(Problem(shown_as, 0, "", "a fragment's file ends in .yaml", hint))
        elif name.endswith(_FOREIGN) and not _is_imported(name, names):
            hint = f"netvm-build kernel import {shown_as}, then move it elsewhere"
            problems.append(Problem(shown_as, 0, "", "is not a fragment yet", hint))
        elif name.endswith(".yaml") and not name.startswith("."):
            yield folder / name, shown_as


def _is_imported(name: str, names: Collection[str]) -> bool:
    """Whether the fragment that `kernel import` makes of a file is beside it."""
    from netvm_build.kconfig.imported import name_for

    return f"{name_for(name)}.yaml" in names


def _load(path: Path, shown_as: str, problems: list[Problem], *, ours: bool) -> Fragment | None:
    """One fragment, as far as it can be read."""
    reader = FragmentParser(shown_as, problems, ours)
    try:
        name = fragment_name(Scalar(path.stem, 0))
    except ReadError as error:
        reader.problem(0, "", error.message, error.hint)
        return None
    try:
        document = yaml_nodes.compose(yaml_nodes.read(path, shown_as), shown_as)
    except SpecError as error:
        problems.extend(error.problems)
        return None
    problems.extend(document.problems)
    if isinstance(document.root, yaml_nodes.Mapping):
        return reader.fragment(name, document.root)
    if document.root is None and not document.problems:
        reader.problem(0, "", "the file is empty", "write `description:` and `options:`")
    elif document.root is not None and not isinstance(document.root, Invalid):
        message = f"{describe(document.root)} is not a fragment"
        hint = "write `description:` and `options:`"
        if isinstance(document.root, Scalar) and document.root.text.startswith("CONFIG_"):
            message = "has the form of a .config, not of a fragment"
            config = f"{path.stem}.config"
            hint = f"mv {shown_as} {config} && netvm-build kernel import {config}"
        reader.problem(document.root.line, "", message, hint)
    return None


def _dangling(fragments: Mapping[str, Fragment]) -> Iterator[Problem]:
    """Names of fragments that are not there."""
    for fragment in fragments.values():
        for key, references in (("requires", fragment.requires), ("conflicts", fragment.conflicts)):
            for reference in references:
                if reference.name not in fragments:
                    hint = did_you_mean(reference.name, fragments) or "`netvm-build kernel list` shows them all"
                    message = f"there is no fragment {reference.name!r}"
                    yield Problem(reference.source.file, reference.source.line, key, message, hint)


def _circles(fragments: Mapping[str, Fragment]) -> Iterator[Problem]:
    """Fragments that require themselves by way of others; each circle is reported once."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[Reference, ...]) -> Iterator[Problem]:
        names = [reference.name for reference in trail]
        if name in names[:-1]:
            circle = trail[names.index(name) :]
            closing = circle[-1].source
            message = f"{' requires '.join(reference.name for reference in circle)}: a circle"
            yield Problem(closing.file, closing.line, "requires", message, "remove one of them")
        elif name not in done:
            for reference in fragments[name].requires:
                if reference.name in fragments:
                    yield from visit(reference.name, (*trail, reference))
            done.add(name)

    for name, fragment in fragments.items():
        yield from visit(name, (Reference(name, fragment.source),))
