# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel list, show, explain: which options a kernel is asked to have, and why.

They say what they can of a spec with mistakes, which `check` reports.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.kernel_exchange import diff, export, import_files
from netvm_build.cli.kernel_reading import JSON, MOST_WARNINGS, SPEC, read_kernel
from netvm_build.cli.kernel_source import index, menuconfig
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError, SpecError

if TYPE_CHECKING:
    from netvm_build.kconfig import Asked, Explanation, Fragment
    from netvm_build.model import Kernel, RequestedOption, Versions
    from netvm_build.util.errors import Problem


@netvm_build.group(epilog="Example: netvm-build kernel explain IP_NF_NAT")
def kernel() -> None:
    """Look at kernel fragments and at what a spec makes of them."""


for command in (import_files, export, diff, index, menuconfig):
    kernel.add_command(command)


@kernel.command("list", epilog="Example: netvm-build kernel list --spec examples/minimal.yaml")
@SPEC
@JSON
@click.pass_obj
def list_fragments(screen: Screen, spec: str, as_json: bool) -> None:
    """List the kernel fragments: ours, and those beside the spec.

    A star marks those that the spec's kernel is made of.
    """
    asked, fragments, problems, _ = read_kernel(spec)
    chosen = _chosen(asked, fragments)
    if as_json:
        listed = [
            {**_as_object(one, asked.version), "chosen": name in chosen} for name, one in sorted(fragments.items())
        ]
        screen.result_json({"version": 1, "kernel": asked.version, "fragments": listed})
        return
    rows = [("*" if name in chosen else " ", name, escape(one.description)) for name, one in sorted(fragments.items())]
    screen.table(rows, headed=False)
    _warn(screen, SpecError(problems).problems)


@kernel.command(epilog="Example: netvm-build kernel show nat")
@click.argument("name", shell_complete=proposals.fragments)
@SPEC
@JSON
@click.pass_obj
def show(screen: Screen, name: str, spec: str, as_json: bool) -> None:
    """Show a fragment's options, and for which kernels they are."""
    from netvm_build.spec.scalars import did_you_mean

    asked, fragments, problems, _ = read_kernel(spec)
    fragment = fragments.get(name)
    if fragment is None:
        near = did_you_mean(name, fragments)
        raise NetvmError(f"there is no fragment {name!r}", hint=near or "netvm-build kernel list")
    if as_json:
        screen.result_json({"version": 1, "kernel": asked.version, **_as_object(fragment, asked.version)})
    else:
        screen.result("\n".join(_shown(fragment, screen)))
        _warn(screen, SpecError(problems).problems)


@kernel.command(epilog="Example: netvm-build kernel explain IP_NF_NAT")
@click.argument("option", shell_complete=proposals.kernel_options)
@SPEC
@JSON
@click.pass_obj
def explain(screen: Screen, option: str, spec: str, as_json: bool) -> None:
    """Show what asks for a kernel option, and for which value.

    Mistakes in the spec and in fragments are warnings: what can be read of them is used.
    """
    from netvm_build import kconfig

    asked, fragments, problems, origins = read_kernel(spec)
    found = kconfig.attempt(asked, fragments, origins)
    said = kconfig.explain(option, found.config, fragments)
    mistakes = SpecError([*problems, *found.problems]).problems
    if as_json:
        screen.result_json({**_explanation_object(said), "mistakes": [vars(one) for one in mistakes]})
        return
    name = escape(said.name)
    rows = [(f"{name}={_value(one.request)}", _asked_by(one, disputed=said.disputed)) for one in said.asked]
    if rows:
        screen.table(rows, headed=False)
    else:
        screen.result(f"{name}: nothing asks for it, so it is off unless another option selects it")
    for request, versions in said.other_versions:
        screen.say(f"hint: {escape(str(request.source))} asks for {_value(request, versions)}")
    if said.rival:
        instead = f"{escape(str(said.rival.source))} asks for {said.rival.name}"
        screen.say(f"hint: {instead}, and only one of the two can be on")
    if said.elsewhere:
        screen.say(f"hint: these fragments would ask for it: {', '.join(one.name for one in said.elsewhere)}")
    elif said.nearest:
        screen.say(f"hint: {escape(said.nearest)}")
    elif said.disputed:
        screen.say(f"hint: decide in the spec: kernel.config.{name}")
    _warn(screen, mistakes)


def _warn(screen: Screen, mistakes: Sequence[Problem]) -> None:
    """The mistakes in the spec and its fragments, which may change what was said."""
    for one in mistakes[:MOST_WARNINGS]:
        screen.say(f"warning: {escape(str(one))}")
    if mistakes:
        more = len(mistakes) - MOST_WARNINGS
        rest = f" ({more} more mistakes)" if more > 0 else ""
        screen.say(f"hint: without these mistakes this may change: netvm-build check{rest}")


def _asked_by(asked: Asked, *, disputed: bool) -> str:
    """``kernel-configs/nat.yaml:4 (nat, as nftables requires it, as router requires it)``."""
    who, *chain = asked.because or ("the spec",)
    because = "".join(f", as {name} requires it" for name in chain)
    lost = ", in dispute" if disputed else "" if asked.used else ", overridden"
    return f"{escape(str(asked.request.source))} ({who}{because}){lost}"


def _chosen(asked: Kernel, fragments: Mapping[str, Fragment]) -> set[str]:
    """The fragments a kernel is made of, whether or not they fit together, which `check` reports."""
    from netvm_build import kconfig

    return set(kconfig.attempt(asked, fragments).config.chosen_by)


def _shown(fragment: Fragment, screen: Screen) -> Iterator[str]:
    yield f"{fragment.name}: {escape(fragment.description)}"
    yield screen.styled(f"  {escape(fragment.source.file)}", "dim", sys.stdout)
    for label, references in (("requires", fragment.requires), ("conflicts with", fragment.conflicts)):
        if references:
            yield f"  {label} {', '.join(reference.name for reference in references)}"
    yield from (f"  {request.name}={_value(request)}" for request in fragment.options)
    for condition in fragment.when:
        yield f"  {condition.versions}:"
        yield from (f"    {request.name}={_value(request)}" for request in condition.options)


def _value(request: RequestedOption, versions: Versions | None = None) -> str:
    """``y (optional, from Linux 6.17)``; `versions` where the request itself doesn't say for which."""
    conditions = [*(["optional"] if request.value.optional else []), str(versions or request.value.versions)]
    told = ", ".join(filter(None, conditions))
    return (escape(str(request.value)) or '""') + (f" ({told})" if told else "")


def _as_object(fragment: Fragment, version: str) -> dict[str, object]:
    return {
        "name": fragment.name,
        "description": fragment.description,
        "file": fragment.source.file,
        "requires": [reference.name for reference in fragment.requires],
        "conflicts": [reference.name for reference in fragment.conflicts],
        "options": [_request_object(request) for request in fragment.options_for(version)],
    }


def _explanation_object(said: Explanation) -> dict[str, object]:
    return {
        "version": 1,
        "option": said.name,
        "value": None if said.option is None else str(said.option.value),
        "asked": [
            {**_request_object(one.request), "because": list(one.because), "used": one.used} for one in said.asked
        ],
        "elsewhere": [fragment.name for fragment in said.elsewhere],
        "nearest": said.nearest,
        "disputed": said.disputed,
        "other_versions": [
            {**_request_object(one), "at_least": versions.at_least, "older_than": versions.older_than}
            for one, versions in said.other_versions
        ],
    }


def _request_object(request: RequestedOption) -> dict[str, object]:
    return {
        "name": request.name,
        "value": str(request.value),
        "optional": request.value.optional,
        "file": request.source.file,
        "line": request.source.line,
    }
