# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rules that span fields of a router, as data: those of no other room, and with them those of all."""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import PlatformKind, Router, Violation
from netvm_build.model.address import Pair
from netvm_build.spec.rules import extras, hosts, machine, services, source, traffic, uplinks, wifi


def rules(router: Router) -> tuple[Violation, ...]:
    """Every rule that spans fields and that the router breaks."""
    own = [violation for rule in RULES for violation in rule(router)]
    own += [*source.rules(router), *machine.rules(router), *extras.rules(router), *services.rules(router)]
    return (*own, *uplinks.rules(router), *hosts.rules(router), *traffic.rules(router), *wifi.rules(router))


def _platform_has_its_own_keys(router: Router) -> Iterator[Violation]:
    platform = router.platform
    kind = ("platform.kind",)
    if platform.kind is PlatformKind.DEBIAN and platform.nixpkgs is not None:
        hint = "remove it, or set platform.kind to nixpkgs"
        yield Violation("platform.nixpkgs", "the debian platform takes nothing from nixpkgs", hint, kind)
    if platform.kind is not PlatformKind.NIXPKGS:
        return
    if platform.nixpkgs is None:
        hint = "give the path of a nixpkgs tree or the URL of its tarball, or set platform.kind to debian"
        yield Violation("platform.nixpkgs", "the nixpkgs platform needs a nixpkgs tree", hint, kind)
    for key in ("mirror", "security_mirror", "snapshot"):
        if getattr(platform, key):
            hint = "remove it, or set platform.kind to debian"
            yield Violation(f"platform.{key}", "the nixpkgs platform takes nothing from a Debian mirror", hint, kind)


def _drivers_fit_the_platform(router: Router) -> Iterator[Violation]:
    kernel, kind = router.kernel, ("platform.kind",)
    if router.platform.kind is PlatformKind.NIXPKGS:
        if kernel.stock:
            hint = "remove it, or set platform.kind to debian"
            yield Violation("kernel.stock", "the stock kernel is Debian's, which nixpkgs does not have", hint, kind)
        if kernel.firmware:
            hint = "remove it, or set platform.kind to debian"
            yield Violation("kernel.firmware", "firmware comes only from Debian's packages", hint, kind)


def _verity_is_built_in(router: Router) -> Iterator[Violation]:
    if router.image.verity and router.kernel.stock:
        message = "the stock kernel has dm-verity as a module, which would have to come from the root it guards"
        yield Violation("image.verity", message, "remove it, or kernel.stock", ("kernel.stock",))


def _named_clients_differ(router: Router) -> Iterator[Violation]:
    names: dict[str, int] = {}
    pairs: dict[Pair, int] = {}
    for number, client in enumerate(router.clients.named):
        path = f"clients.named[{number}]"
        if (other := names.setdefault(client.name, number)) != number:
            hint = "give every named client a name of its own"
            involves = (f"clients.named[{other}].name",)
            yield Violation(f"{path}.name", f"two clients are named {client.name!r}", hint, involves)
        if (other := pairs.setdefault(client.pair, number)) != number:
            hint = "give every named client a router address of its own; each takes two addresses"
            called = repr(router.clients.named[other].name) if router.clients.named[other].name else "another client"
            message = f"{client.pair.router} is also the router address of {called}"
            yield Violation(f"{path}.router", message, hint, (f"clients.named[{other}].router",))


LEAST_WATCHDOG_S = 10
"""PID 1 speaks four times as often.  A busy host may keep a guest from running for a few seconds."""


def _watchdog_is_patient(router: Router) -> Iterator[Violation]:
    if 0 < router.machine.watchdog_s < LEAST_WATCHDOG_S:
        hint = f"give at least {LEAST_WATCHDOG_S}, or 0 for none: a busy host may hold up a healthy guest for so long"
        yield Violation("machine.watchdog_s", f"{router.machine.watchdog_s} s is too little patience", hint)


LONGEST_PARAMETERS = 1280
"""Bytes of the kernel's command line that are the spec's: Linux on x86 takes 2047, and ours need some 650 at most."""


def _parameters_fit(router: Router) -> Iterator[Violation]:
    length = len(" ".join(router.kernel.parameters))
    if length > LONGEST_PARAMETERS:
        message = f"{length} characters are more than the {LONGEST_PARAMETERS} that fit the kernel's command line"
        yield Violation("kernel.parameters", message, "remove some")


RULES = (
    _platform_has_its_own_keys,
    _drivers_fit_the_platform,
    _verity_is_built_in,
    _named_clients_differ,
    _watchdog_is_patient,
    _parameters_fit,
)
