# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1, from the first mount to power-off: what is read and mounted before there is a router, and how it ends."""

from __future__ import annotations

import sys

from init.core import native, protocol
from init.core.bounded_writer import BoundedWriter
from init.core.config import Config, parse
from init.core.native import os
from init.core.services import CONNMAN_USER, SERVICES, with_ntp
from init.kernel import mounts
from init.router import Failure, Router

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.core.services import Service

CONFIG = "/etc/netvm/config.json"
PROVISIONING = "/etc/netvm/connman"
STATE = "/var/lib/connman"
LAST_WORDS_S = 1.0


def open_console() -> BoundedWriter:
    """Standard output as a console that never blocks us; the kernel's log where the kernel could open no console.

    Descriptors 0 to 2 are filled in either case, so that nothing else ever gets one of these numbers.
    """
    had_console = True
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            had_console = False
            os.open("/dev/null", os.O_RDWR)
    descriptor = 1 if had_console else os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
    os.set_blocking(descriptor, False)
    return BoundedWriter(descriptor)


def read_config(path: str = CONFIG) -> Config:
    """The configuration.  Raises Failure."""
    try:
        with open(path) as file:
            return parse(file.read())
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be used: {error}") from None


def prepare(config: Config, events: protocol.EventWriter) -> None:
    """Mounts, folders, host name and the limits that all children inherit.  Raises Failure."""
    try:
        mounts.mount_all()
        mounts.make_folders()
        mounts.copy_files(PROVISIONING, STATE, CONNMAN_USER)
    except OSError as error:
        raise Failure(str(error)) from None
    native.sethostname(config.hostname)
    native.forbid_new_privileges()
    events.emit("mounts")


def _services(config: Config, events: protocol.EventWriter) -> Sequence[Service]:
    """What this image runs: with Wi-Fi, iwd too; last the spec's own services."""
    if config.sets_clock:
        connmand = SERVICES[-1]
        connmand.program = with_ntp(connmand.program)
    own: Sequence[Service] = ()
    if config.services:
        from init.core import own_services

        own = own_services.table(config.services, events)
    if not config.wifi:
        return (*SERVICES, *own)
    from init.net import iwd_failures, wireless

    wireless.IWD.prepare = lambda: wireless.prepare(config.wifi, events)
    wireless.IWD.hears = iwd_failures.IwdFailures(config.wifi, events).hear
    if any(network.eap is not None and network.eap.needs_keys for network in config.wifi):
        wireless.IWD.program = wireless.with_keys(wireless.IWD.program)
    return (*SERVICES, wireless.IWD, *own)


def tell_crash(error: BaseException, events: protocol.EventWriter) -> None:
    """Say why PID 1 cannot go on: a known failure in a sentence, anything else with its traceback."""
    if isinstance(error, Failure):
        reason = str(error)
    else:
        from traceback import format_exception

        reason = f"PID 1 crashed: {type(error).__name__}: {error}"
        if events.console is not None:
            for line in "".join(format_exception(error)).splitlines():
                events.console.put(line.encode(errors="replace") + b"\n")
    events.emit("failed", reason=reason[:1000])


def main() -> None:
    """Run the machine from the first mount to power-off.  Whatever happens, it is said before the machine stops."""
    events = protocol.EventWriter(open_console())
    try:
        config = read_config()
        release, version = os.uname().release, sys.version.split()[0]
        events.emit("init", name=config.name, kernel=release, python=version)
        prepare(config, events)
        router = Router(config, events, _services(config, events))
        router.start()
        router.loop.run()
    except BaseException as error:  # the kernel would panic if PID 1 ended
        tell_crash(error, events)
    events.drain(LAST_WORDS_S)
    end_machine()


def end_machine() -> None:
    """End whatever still runs, write out what is cached, and power off."""
    try:
        os.kill(-1, native.SIGKILL)
    finally:  # it fails if no process is left, which is fine
        os.sync()
        native.power_off()
