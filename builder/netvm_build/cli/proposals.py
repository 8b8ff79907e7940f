# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a shell offers for an argument, when its user presses Tab.

Each function is a `shell_complete` of click.  Nothing here loads a spec or starts a program: a shell waits for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, split_arg_string

from netvm_build.util.errors import NetvmError

Proposals = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Source = Callable[[click.Context], Iterable[tuple[str, str]]]

_DESCRIPTION = re.compile(r"^description: *(.+)", re.MULTILINE)
_OPTION = re.compile(r"(?:^ +|[{,] *)([A-Z0-9_]+):", re.MULTILINE)


def proposing(source: Source) -> Proposals:
    """What is offered from values and their descriptions; nothing where they can't be read."""

    @wraps(source)
    def proposals(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        try:
            return [CompletionItem(value, help=text) for value, text in source(context) if value.startswith(incomplete)]
        except (NetvmError, OSError, ValueError):
            return []

    return proposals


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Files and folders: for a SPEC, or an IMAGE."""
    return [CompletionItem(incomplete, type="file")]


def _fragment_files(context: click.Context) -> Iterator[Path]:
    """Those that come with the program, and those beside the spec."""
    from netvm_build.util import resources

    spec = Path(context.find_root().params.get("folder") or ".") / str(context.params.get("spec") or "netvm.yaml")
    beside = (spec if spec.is_dir() else spec.parent) / "kernel-configs"
    for folder in (beside, resources.folder("kernel-configs")):
        yield from sorted(folder.glob("*.yaml"))


@proposing
def fragments(context: click.Context) -> Iterable[tuple[str, str]]:
    """Kernel fragments."""
    found = {}
    for file in _fragment_files(context):
        described = _DESCRIPTION.search(file.read_text(encoding="utf-8", errors="replace"))
        found[file.stem] = described[1] if described else ""
    return sorted(found.items())


@proposing
def kernel_options(context: click.Context) -> Iterable[tuple[str, str]]:
    """Kernel options that a fragment asks for, each with those fragments."""
    found: dict[str, list[str]] = {}
    for file in _fragment_files(context):
        for option in dict.fromkeys(_OPTION.findall(file.read_text(encoding="utf-8", errors="replace"))):
            found.setdefault(option, []).append(file.stem)
    return sorted((option, ", ".join(names)) for option, names in found.items())


@proposing
def event_names(context: click.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """Events of the boot protocol."""
    from netvm_build import guest

    return [(name, "") for name in sorted(guest.EVENTS)]


@proposing
def cards(context: click.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """Network cards of this machine, by PCI address."""
    from netvm_build.host.pci import Bus

    return [(card.address, card.name or card.driver or card.pci_id) for card in Bus().network()]


@proposing
def virtual_machines(context: click.Context) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """The VMs that run."""
    from netvm_build.vm import registry

    return [(record.name, record.image) for record in registry.running()]


def routers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The VMs that run; and files, for a SPEC or an IMAGE."""
    return files(context, parameter, incomplete) + virtual_machines(context, parameter, incomplete)


@proposing
def uplinks(context: click.Context) -> Iterable[tuple[str, str]]:
    """Where an emulated uplink may lead."""
    net = Path("/sys/class/net")
    for path in sorted(net.iterdir()) if net.is_dir() else ():
        if (path / "tun_flags").exists():
            yield f"tap:{path.name}", "a tap of this host"
        if (path / "bridge").is_dir():
            yield f"bridge:{path.name}", "a bridge of this host"
    for one in virtual_machines(context, context.command.params[0], ""):
        yield f"router:{one.value}", "a router that runs"
    yield "user", "passt if it works here, else slirp: needs no privileges"
    yield "passt", "a user network that leaves this host's loopback alone"
    yield "slirp", "QEMU's own user network"


class VmName(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """The name of a running VM."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return virtual_machines(ctx, param, incomplete)


class Bash(BashComplete):
    """For bash, which takes a colon for the end of a word: PCI addresses have colons, and `router:NAME`."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that one, each put together again at its colons."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        whole: list[str] = []
        before = ""
        for word in words[1 : at + 1]:
            if whole and ":" in (word[:1], before[-1:]):
                whole[-1] += word
            else:
                whole.append(word)
            before = word
        self.incomplete = whole.pop() if at < len(words) and whole else ""
        return whole, self.incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Without what is before the last colon, which bash keeps."""
        kept = self.incomplete.rpartition(":")
        return f"{item.type},{item.value.removeprefix(kept[0] + kept[1])}"
