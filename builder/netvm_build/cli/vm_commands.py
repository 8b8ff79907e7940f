# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""status, events, console, stop: a VM that `run` has running."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import Number, netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen
from netvm_build.util import resources
from netvm_build.util.errors import NetvmError

if TYPE_CHECKING:
    from netvm_build.guest.client import EventClient, ReceivedEvent
    from netvm_build.vm.registry import VmState
    from netvm_build.vm.status import Snapshot

EVERY_S = 2.0
STOP_S = 20.0


VM = proposals.VmName()


@netvm_build.command(epilog="Example: netvm-build status netvm --watch")
@click.argument("name", metavar="[NAME]", required=False, type=VM)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C: a live table, or in a log one after another.")
@click.option("--every", metavar="SECONDS", type=Number(0.2, 3600), default=EVERY_S, show_default=True)
@click.option("--networks", is_flag=True, help="Show how other VMs join the clients' networks.")
@click.pass_obj
def status(screen: Screen, name: str | None, as_json: bool, watch: bool, every: float, networks: bool) -> None:
    """Show a running router: uplinks, clients, traffic, refusals.

    Without a NAME: the only VM that runs, or a list if there are several.
    """
    from netvm_build.guest.client import EventClient
    from netvm_build.vm import registry
    from netvm_build.vm import status as statuses

    if name is None and len(there := registry.running()) > 1:
        _list(screen, there, as_json=as_json)
        return
    record = registry.find(name)
    if networks:
        _networks(screen, record, as_json=as_json)
        return
    with EventClient(Path(record.events)) as conversation:
        if watch:
            _watch(screen, record, conversation, every, as_json=as_json)
            return
        now = _snapshot(record, conversation)
    if as_json:
        screen.result(_json(statuses.to_dict(now, record)))
    else:
        from netvm_build.cli.status_view import lines

        screen.result_lines(lines(now, record.memory_mib, width=screen.width, note=_image_note(record)))


def _json(value: object) -> str:
    """For a program to read, only ASCII: what a guest says must not reach a terminal otherwise."""
    return json.dumps(value, indent=2)


def _list(screen: Screen, there: tuple[VmState, ...], *, as_json: bool) -> None:
    from netvm_build.vm import registry
    from netvm_build.vm.status import image_changed

    if as_json:
        vms = [record.to_dict() | {"image_changed": image_changed(record)} for record in there]
        screen.result(_json({"version": registry.VERSION, "vms": vms}))
        return
    rows = [("name", "since", "clients", "accelerator", "image")]
    for one in there:
        image = escape(one.image) + (" (built again since)" if image_changed(one) else "")
        rows.append((one.name, one.started_at, str(len(one.clients)), one.accelerator, image))
    screen.table(rows, headed=True)


def _image_note(record: VmState) -> str:
    """What to do where the VM has an older image than its folder holds now; empty where it hasn't."""
    from netvm_build.vm.status import image_changed

    if not image_changed(record):
        return ""
    again = f"netvm-build stop {record.name}, then `run` it again with the same options"
    return f"{escape(record.image)} was built again since this VM started; to use the new image: {again}"


def _networks(screen: Screen, record: VmState, *, as_json: bool) -> None:
    from netvm_build.vm.engine import joined

    if as_json:
        screen.result(_json(record.to_dict()))
        return
    for client in record.clients:
        screen.result(escape(joined(client)))
    if record.ports:
        ports = " ".join(record.ports)
        screen.result(f"{len(record.ports)} spare ports at the boot, for QMP on {record.monitor}: {ports}")


def _snapshot(record: VmState, conversation: EventClient) -> Snapshot:
    """What the router says now."""
    from netvm_build.vm import status as statuses
    from netvm_build.vmm.qemu import in_force

    told = conversation.state()
    now = statuses.snapshot(record, told.status, told.counters, was_ready="ready" in told.said, names=_names(record))
    return replace(now, floods=told.floods, age_s=told.age_s, qemu=in_force.read(record.qemu_pid, record.landlock))


def _names(record: VmState) -> dict[str, str]:
    """The names of the clients attached since the boot, by the router's address."""
    from netvm_build.vm import clients

    return {one.router: one.name for one in clients.attachments(clients.journal(), record)}


def _watch(screen: Screen, record: VmState, conversation: EventClient, every: float, *, as_json: bool) -> None:
    """One snapshot after another, until the VM ends or we are stopped."""
    from netvm_build.cli.status_view import lines
    from netvm_build.util.errors import QmpLost
    from netvm_build.vm import status as statuses

    before = None
    try:
        if not as_json and screen.watchable:
            from netvm_build.cli.live import live_text

            with live_text(screen) as (show, room):
                while True:
                    now = _snapshot(record, conversation)
                    note, (width, most) = _image_note(record), room()
                    show(lines(now, record.memory_mib, before=before, width=width, most=most, note=note))
                    before = now
                    time.sleep(every)
        while True:
            now = _snapshot(record, conversation)
            if as_json:
                screen.result(json.dumps(statuses.to_dict(now, record)))
            else:
                note = _image_note(record)
                shown = lines(now, record.memory_mib, before=before, width=screen.width, note=note)
                screen.result_lines([*shown, ""])
            before = now
            time.sleep(every)
    except QmpLost:
        screen.say(f"{record.name} has ended")


EVENTS_HELP = f"""Show what a running router has said.

\b
The events are listed in
{resources.document("reference/boot-protocol.md")}
"""


@netvm_build.command(help=EVENTS_HELP, epilog="Example: netvm-build events --until ready --timeout 60")
@click.argument("name", metavar="[NAME]", required=False, type=VM)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the VM ends.")
@click.option(
    "--until",
    metavar="EVENT",
    help="Go on until this event; exit with 1 if the VM ends before.",
    shell_complete=proposals.event_names,
)
@click.option("--timeout", metavar="SECONDS", type=Number(0), help="Wait no longer for --until.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.pass_context
def events(
    context: click.Context, name: str | None, follow: bool, until: str | None, timeout: float | None, as_json: bool
) -> None:
    """Print events, those so far and with --follow or --until those to come."""
    from netvm_build import guest
    from netvm_build.guest.client import EventClient
    from netvm_build.vm import registry

    screen: Screen = context.obj
    if until is not None and until not in guest.EVENTS:
        raise click.UsageError(f"no event is called {until!r}; there are {', '.join(sorted(guest.EVENTS))}")
    record = registry.find(name)
    end = None if timeout is None else time.monotonic() + timeout
    with EventClient(Path(record.events)) as conversation:
        for told in conversation.so_far():
            screen.result_lines(shown(told, screen.width, as_json=as_json))
            if until is not None and told.document.get("event") == until:
                return
        if until is None and not follow:
            return
        for told in conversation.follow(None if until is None else end):
            screen.result_lines(shown(told, screen.width, as_json=as_json))
            if until is not None and told.document.get("event") == until:
                return
    if until is not None:
        screen.say(f"{record.name} has not said {until}")
        context.exit(1)


def shown(told: ReceivedEvent, width: int | None, *, as_json: bool) -> list[str]:
    """An event: a line of JSON with everything that is not ASCII escaped, or its time, name and members."""
    if as_json:
        return [json.dumps(told.document)]
    from netvm_build.util.layout import hanging

    members = {key: value for key, value in told.document.items() if key not in ("v", "t", "event")}
    words = " ".join(f"{escape(key[:40])[:40]}={_member(value)}" for key, value in list(members.items())[:20])
    return hanging(f"{told.event.t:9.3f}  {escape(str(told.document['event'])):<14}", words, 27, width, below=8)


def _member(value: Any) -> str:
    """A member's value: bare if it is a word, else as JSON."""
    if isinstance(value, str) and value and not set(value) & set(' "=') and value.isascii() and value.isprintable():
        return value[:300]
    return escape(json.dumps(value))[:300]


@netvm_build.command(epilog="Example: netvm-build console netvm --read-only")
@click.argument("name", metavar="[NAME]", required=False, type=VM)
@click.option("--read-only", is_flag=True, help="Show it; send no keys.")
@click.option("--raw", is_flag=True, help="Hand the guest's control sequences to this terminal: only if you trust it.")
@click.pass_obj
def console(screen: Screen, name: str | None, read_only: bool, raw: bool) -> None:
    """Join a running router's console.

    It begins with the last lines before you came.  Ctrl-] leaves it, Ctrl-C goes to the guest.
    """
    from netvm_build.vm import registry
    from netvm_build.vm.terminal import IN_CONSOLE, Left, attach

    record = registry.find(name)
    typing = sys.stdin.isatty() and not read_only
    screen.say(f"{record.name}'s console: {IN_CONSOLE.help if typing else 'Ctrl-C leaves'}")
    if attach(Path(record.console), IN_CONSOLE, raw=raw, read_only=read_only) is Left.CLOSED:
        screen.say(f"{record.name} has ended")
    else:
        screen.say("")


@netvm_build.command(epilog="Example: netvm-build stop netvm")
@click.argument("name", metavar="[NAME]", required=False, type=VM)
@click.option("--timeout", metavar="SECONDS", type=Number(0, 110), default=STOP_S, show_default=True)
@click.option("--now", is_flag=True, help="Do not ask the router: end it at once.")
@click.pass_obj
def stop(screen: Screen, name: str | None, timeout: float, now: bool) -> None:
    """Press a running router's power button, and wait until it is off.

    What does not go within the time is ended.
    """
    from netvm_build.cli.left_behind import put_right
    from netvm_build.vm import engine, registry

    put_right(screen)
    record = registry.find(name)
    for one in registry.behind(record):
        screen.say(f"{one.name} is behind {record.name}: until {record.name} runs again, its clients have no way out")
    off = engine.stop(record, timeout, now=now)
    put_right(screen)  # what a keeper had that had to be killed
    if off:
        screen.say(f"{record.name} is off")
    elif now:
        screen.say(f"{record.name} is ended")
    else:
        raise NetvmError(
            f"{record.name} did not power off within {timeout:g} s, and was ended",
            hint=f"its console may say why: {record.log}" if record.log else None,
        )
