# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Rules of the services that a spec adds to the router."""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import Dns, Router, Violation

MOST_SERVICES = 16
TAKEN = ("connman", "connmand", "dbus", "dbus-daemon", "init", "iwd", "lock", "messagebus", "netvm", "nobody", "root")
"""Names of the router's own: services, users, folders of /run."""

FOR_THE_ROUTER_MIB = 48
"""Memory that a router needs beside its services: kernel, PID 1, ConnMan, D-Bus."""
PRIVILEGED = 1024
DHCP_PORTS = (67, 68)


def rules(router: Router) -> Iterator[Violation]:
    """Every rule of these that is broken."""
    yield from _names_differ(router)
    yield from _they_fit(router)
    yield from _programs_are_there(router)
    yield from _ports_are_theirs(router)


def _names_differ(router: Router) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for number, service in enumerate(router.image.services):
        path = f"image.services[{number}].name"
        if service.name in TAKEN:
            yield Violation(path, f"{service.name} is a name of the router's own", "choose another name")
        elif (other := first.setdefault(service.name, number)) != number:
            message = f"two services are named {service.name!r}"
            yield Violation(path, message, "give each a name of its own", (f"image.services[{other}].name",))


def _they_fit(router: Router) -> Iterator[Violation]:
    services = router.image.services
    if len(services) > MOST_SERVICES:
        yield Violation("image.services", f"{len(services)} services are more than {MOST_SERVICES}", "remove some")
    wanted, there = sum(service.memory_mib for service in services), router.machine.memory_mib
    if services and wanted + FOR_THE_ROUTER_MIB > there:
        message = f"the services may have {wanted} MiB, and the machine has {there}, of which a router needs {{}}"
        hint = f"write `machine: {{memory_mib: {wanted + FOR_THE_ROUTER_MIB}}}`, or a smaller memory_mib for services"
        every = tuple(f"image.services[{number}].memory_mib" for number in range(len(services)))
        yield Violation("machine.memory_mib", message.format(FOR_THE_ROUTER_MIB), hint, ("image.services", *every))


def _programs_are_there(router: Router) -> Iterator[Violation]:
    """A file of the spec that can be run; or any other path, which only the build can look for in the packages."""
    files = {file.target: (number, file) for number, file in enumerate(router.image.files)}
    for number, service in enumerate(router.image.services):
        path, program = f"image.services[{number}].command", service.command[0]
        if program in files:
            place, file = files[program]
            if not file.mode & 0o001:
                message = f"{program} can't be executed: its mode is {file.mode:04o}"
                key = f"image.files[{place}].mode"
                yield Violation(key, message, "write mode: '0755'", (path, f"image.files[{place}].target"))
        elif not router.image.packages:
            hint = "name its package in image.packages, or the file in image.files"
            yield Violation(path, f"nothing puts {program} into the root", hint, ("image.packages", "image.files"))


def _ports_are_theirs(router: Router) -> Iterator[Violation]:
    first: dict[tuple[str, int], str] = {}
    for number, service in enumerate(router.image.services):
        for place, port in enumerate(service.ports):
            path, called = f"image.services[{number}].ports[{place}]", f"{port[0]}/{port[1]}"
            if (other := first.setdefault(port, path)) != path:
                message = f"{called} is also the port of another service"
                yield Violation(path, message, "give one of the two another port", (other,))
            if port[1] == 53 and router.clients.dns is not Dns.NONE:
                message = f"{called} is the port by which the router forwards its clients' DNS"
                yield Violation(
                    path, message, "write `clients: {dns: none}`: the service answers then", ("clients.dns",)
                )
            elif port[0] == "udp" and port[1] in DHCP_PORTS:
                yield Violation(path, f"{called} is DHCP's, which no client may speak", "choose another port")
            elif port[1] < PRIVILEGED and "NET_BIND_SERVICE" not in service.capabilities:
                key = f"image.services[{number}].capabilities"
                hint = f"write `capabilities: [{', '.join(('NET_BIND_SERVICE', *service.capabilities))}]`"
                yield Violation(key, f"{called} is below {PRIVILEGED}, and needs NET_BIND_SERVICE", hint, (path,))
