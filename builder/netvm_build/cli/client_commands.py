# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""client attach, detach, list: VMs of this host as clients of a router that runs."""

from __future__ import annotations

import os
import pwd
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import click

from netvm_build.cli import left_behind
from netvm_build.cli.app import Number, Word, netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen
from netvm_build.cli.vm_commands import VM

if TYPE_CHECKING:
    from collections.abc import Callable

    from netvm_build.vm.clients import Attachment, Detached

VMM_NAMES = ("qemu", "cloud-hypervisor", "crosvm", "firecracker", "libvirt")


class Address(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """An IPv4 address, of the client or of the router's end."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> IPv4Address:
        try:
            return value if isinstance(value, IPv4Address) else IPv4Address(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an IPv4 address", param, ctx)


@netvm_build.group(epilog="Example: sudo netvm-build client attach --name web && netvm-build client list")
def client() -> None:
    """Attach VMs of this host to a running router, or detach them."""


@client.command(epilog="Example: sudo netvm-build client attach --name web --vmm qemu")
@click.argument("vm", metavar="[VM]", required=False, type=VM)
@click.option("--name", metavar="NAME", help="A client the spec names, or any name.")
@click.option("--address", metavar="A", type=Address(), help="Its address.  [default: the pool's next]")
@click.option("--socket", is_flag=True, help="By a socket, which only QEMU can join: needs no privileges.")
@click.option("--owner", metavar="USER", help="Who may open the client's tap.  [default: you]")
@click.option("--vmm", type=Word(VMM_NAMES), help="Print only this VMM's options.")
@click.option("--timeout", metavar="SECONDS", type=Number(0), default=60.0, show_default=True)
@click.option("--dry-run", is_flag=True, help="Print every change; make none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def attach(
    screen: Screen,
    vm: str | None,
    name: str | None,
    address: IPv4Address | None,
    socket: bool,
    owner: str | None,
    vmm: str | None,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Connect a VM of this host to a running router.

    Makes two taps and a bridge that connects them, plugs one tap into the router, and prints the options by which the
    client's VMM opens the other.  Needs CAP_NET_ADMIN, except with --socket.
    """
    from netvm_build.host import capabilities
    from netvm_build.vm import clients, registry
    from netvm_build.vm.clients import vmm as vmms

    capabilities.confine()
    book = clients.journal()
    wanted = clients.AttachOptions(name, address, socket, _uid(owner), timeout)
    if vmm is not None:
        vmms.takes(vmm, "socket" if socket else "tap")
    record = registry.find(vm)
    if dry_run:
        one, changes = clients.intended(record, wanted, book)
        if as_json:
            screen.result_json({"version": 1, "client": one.to_dict(), "changes": list(changes)})
        else:
            screen.result("\n".join(escape(line) for line in changes))
        return
    if not socket and not capabilities.may_change_links():
        raise capabilities.NotPermitted(
            "taps and bridges need CAP_NET_ADMIN, which you do not have",
            hint="put `sudo` before the command; or add --socket, which needs no privileges but only QEMU can join",
        )
    one, seconds = clients.attach(record, wanted, book)
    if as_json:
        screen.result_json({"version": 1, "client": _object(one)})
    elif vmm is not None:
        screen.result(vmms.options(vmm, one))
    else:
        screen.table([(label, escape(value)) for label, value in _rows(one)], headed=False)
    screen.say(f"{one.name} ({one.client}) is attached to {one.vm} after {seconds:.2f} s")
    _warn(screen, one)


def _warn(screen: Screen, one: Attachment) -> None:
    from netvm_build.host.inspect import netfilter_warning

    warning = netfilter_warning(one.bridge) if one.transport == "tap" else None
    if warning is not None:
        screen.say(warning)


def _uid(owner: str | None) -> int:
    """The user's number.  Raises UsageError."""
    if owner is None:
        return os.getuid()
    try:
        return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise click.UsageError(f"--owner: there is no user {owner!r} on this host") from None


def _rows(one: Attachment) -> list[tuple[str, str]]:
    """All that its owner types or configures."""
    from netvm_build.vm.clients.vmm import VMMS

    rows = [
        ("client", one.name),
        ("address", f"{one.client}/31"),
        ("gateway", one.router),
        ("resolver", one.resolver or "none: clients.dns is none"),
        ("MTU", str(one.to_dict()["mtu"])),
        ("MAC", one.pair.client_mac),
    ]
    if one.tap:
        rows.append(("tap", f"{one.tap}, which the bridge {one.bridge} connects to the router's {one.router_tap}"))
    rows.append(("QEMU", VMMS["qemu"](one)))
    return rows


def _object(one: Attachment) -> dict[str, object]:
    from netvm_build.vm.clients.vmm import all_options

    return one.to_dict() | {"vmm": all_options(one)}


@client.command(epilog="Example: sudo netvm-build client detach --name web")
@click.argument("vm", metavar="[VM]", required=False, type=VM)
@click.option("--name", metavar="NAME", help="The client's name.")
@click.option("--address", metavar="A", type=Address(), help="The client's address, or the router's end.")
@click.option("--all", "everything", is_flag=True, help="All of this VM, or of all VMs, and what ended VMs left.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def detach(
    context: click.Context,
    vm: str | None,
    name: str | None,
    address: IPv4Address | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Undo what `attach` did.

    Stop the client's VM first.  Exits with 1 if something is left.
    """
    from netvm_build.host import capabilities
    from netvm_build.vm import clients

    if sum((name is not None, address is not None, everything)) != 1:
        raise click.UsageError("name one client with --name or --address, or --all")
    capabilities.confine()
    book = clients.journal()
    swept = clients.sweep(book) if everything else ()
    try:
        done = clients.detach(book, _picks(vm, name, address))
    except clients.NotAttached:
        if not everything:
            raise
        done = ()
    screen: Screen = context.obj
    _tell(screen, (*swept, *done), as_json=as_json)
    if any(one.left for one in (*swept, *done)):
        context.exit(1)


def _picks(vm: str | None, name: str | None, address: IPv4Address | None) -> Callable[[Attachment], bool]:
    def picks(one: Attachment) -> bool:
        by_address = address is None or str(address) in (one.client, one.router)
        return (vm is None or one.vm == vm) and (name is None or one.name == name) and by_address

    return picks


def _tell(screen: Screen, results: tuple[Detached, ...], *, as_json: bool) -> None:
    if as_json:
        listed = [{"client": one.attachment.to_dict(), "left": list(one.left)} for one in results]
        screen.result_json({"version": 1, "detached": listed})
        return
    for one in results:
        if not one.left:
            screen.say(f"{one.attachment.name} ({one.attachment.client}) is detached from {one.attachment.vm}")
        for line in one.left:
            screen.say(f"left of {one.attachment.name}: {escape(line)}")


@client.command("list", epilog="Example: netvm-build client list --vmm libvirt")
@click.argument("vm", metavar="[VM]", required=False, type=VM)
@click.option("--vmm", type=Word(VMM_NAMES), help="Print this VMM's options for each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_clients(screen: Screen, vm: str | None, vmm: str | None, as_json: bool) -> None:
    """Show every client's network: of one VM, or of all that run."""
    from netvm_build.host import capabilities
    from netvm_build.vm import clients, registry
    from netvm_build.vm.clients import vmm as vmms

    capabilities.confine()
    book = clients.journal()
    left_behind.tell(screen, clients.sweep(book))
    found = clients.shown(book, registry.running() if vm is None else (registry.find(vm),))
    if as_json:
        screen.result_json({"version": 1, "clients": [_object(one) for one in found]})
        return
    if vmm is not None:
        for one in found:
            if one.transport == "tap" or vmm == "qemu":
                screen.result(f"{one.name}: {vmms.options(vmm, one)}" if vmm != "libvirt" else vmms.options(vmm, one))
        return
    rows = [("client", "address", "gateway", "VM", "by", "")]
    rows += [(one.name, one.client, one.router, one.vm, one.transport, escape(one.tap or one.socket)) for one in found]
    screen.table(rows, headed=True)
