# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The spec's choice of fragments and options → what is asked of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from netvm_build.kconfig.choices import disagreements, without_rivals
from netvm_build.kconfig.fragment import Fragment
from netvm_build.kconfig.modular import (
    Drivers,
    as_modules,
    drivers_of,
    not_in_stock,
    stock_requests,
    without_drivers,
    without_loading,
    without_modules,
)
from netvm_build.model import NIC_FAMILIES, Kernel, OptionKind, RequestedOption, Source
from netvm_build.spec.scalars import did_you_mean
from netvm_build.util.errors import Problem, SpecError

# Requires what a router needs, and is always selected.
ROUTER = "router"
IPV6 = "ipv6"
SPEC = Source("netvm.yaml")


@dataclass(frozen=True)
class KernelConfig:
    """What is asked of one kernel.

    `drivers` are the modules of its image, None where all is built in.  `options` has each option once, sorted by name,
    as it is asked of the build.  `fragments` are those selected, sorted by name; `chosen_by` maps each to the fragment
    that requires it, or to "" where the spec asks for it or it is always there.  `requests` are all requests of
    fragments and spec, those included that lost to the spec's own.  `not_asked` are the spec's for other versions.
    """

    version: str
    options: tuple[RequestedOption, ...]
    fragments: tuple[Fragment, ...]
    chosen_by: Mapping[str, str]
    requests: tuple[RequestedOption, ...]
    not_asked: tuple[RequestedOption, ...] = ()
    drivers: Drivers | None = None

    def value(self, name: str) -> str:
        """What is asked of an option as in a .config; "n" where nobody asks for it."""
        return next((str(option.value) for option in self.options if option.name == name), "n")


DECIDING = ("version", "fragments", "config", "nics", "modules", "stock", "extra_modules")
"""The keys below `kernel` that decide which options are asked for."""


@dataclass(frozen=True)
class Attempt:
    """What is asked of a kernel as far as its spec and fragments agree, and the problems with the rest.

    Of fragments that disagree about an option, the first has it.
    """

    config: KernelConfig
    problems: tuple[Problem, ...]


def resolve(
    kernel: Kernel,
    fragments: Mapping[str, Fragment],
    origins: Mapping[str, Source] | None = None,
    unread: Collection[str] = (),
    written: Callable[[str], str] = str,
) -> KernelConfig:
    """One set of options from the fragments that a spec selects and from its own options, which win.

    `origins` tells where the spec's keys stand, `written` an item of a list by that of the kernel's.  Raises SpecError
    with every problem: a fragment that is not there, two that exclude each other, two that ask different values of one
    option.  Where one of DECIDING is `unread`, it raises those problems that the others have in any case.
    """
    origins = origins or {}
    if any(one.startswith(f"kernel.{key}") for one in unread for key in DECIDING):
        raise SpecError(_misnamed(kernel, fragments, origins, written, stock="kernel.stock" in unread))
    found = attempt(kernel, fragments, origins, written)
    if found.problems:
        raise SpecError(found.problems)
    return found.config


def attempt(
    kernel: Kernel,
    fragments: Mapping[str, Fragment],
    origins: Mapping[str, Source] | None = None,
    written: Callable[[str], str] = str,
) -> Attempt:
    """As `resolve`, but with the problems beside what can be told in spite of them."""
    origins = origins or {}
    problems = _misnamed(kernel, fragments, origins, written)
    chosen_by = _select(kernel, fragments)
    selected = [fragments[name] for name in sorted(chosen_by)]
    problems += _exclusions(selected, chosen_by)
    not_asked = tuple(one for one in kernel.config if not one.value.versions.include(kernel.version))
    kernel = replace(kernel, config=tuple(one for one in kernel.config if one not in not_asked))
    own = {option.name: option for option in kernel.config}
    requests = [option for fragment in selected for option in fragment.options_for(kernel.version)]
    merged = _merge((option for option in requests if option.name not in own), problems)
    if kernel.stock:
        options = without_rivals(_without_unset(stock_requests(selected, kernel)), own)
        problems += not_in_stock(options, origins)
    else:
        own = _without_unset(own)
        source = origins.get("kernel.modules" if kernel.modules else "kernel.extra_modules") or SPEC
        asked = without_rivals(_without_unset({**merged, **own}), own)
        options = as_modules(asked, own, kernel, fragments, source)
        problems += [*without_loading(options, kernel, origins), *disagreements(options)]
    drivers = drivers_of(options, selected, kernel)
    if not problems:  # else what is missing may be what was misspelt
        problems = [*without_modules(kernel, drivers, origins), *_ipv6_is_kept_out(options, own)]
    config = KernelConfig(
        version=kernel.version,
        options=tuple(options[name] for name in sorted(options)),
        fragments=tuple(selected),
        chosen_by=chosen_by,
        requests=(*requests, *kernel.config),
        not_asked=not_asked,
        drivers=drivers,
    )
    return Attempt(config, tuple(problems))


def _misnamed(
    kernel: Kernel,
    fragments: Mapping[str, Fragment],
    origins: Mapping[str, Source],
    written: Callable[[str], str],
    *,
    stock: bool = False,
) -> list[Problem]:
    """Names in the spec's lists that no fragment has; with `stock`, modules of Debian's kernel may be among them."""

    def problem(key: str, number: int, message: str, hint: str) -> Problem:
        path = written(f"{key}[{number}]")
        source = origins.get(path) or origins.get(key) or SPEC
        return Problem(source.file, source.line, path, message, hint)

    problems = [problem("kernel.fragments", *told) for told in _unknown(kernel, fragments)]
    if not kernel.stock and not stock:
        problems += [problem("kernel.modules", *told) for told in without_drivers(kernel, fragments)]
    return problems


def _without_unset(options: Mapping[str, RequestedOption]) -> dict[str, RequestedOption]:
    """The options that somebody asks for: what is unset is left to the kernel."""
    return {name: option for name, option in options.items() if option.value.kind is not OptionKind.UNSET}


def _unknown(kernel: Kernel, fragments: Mapping[str, Fragment]) -> Iterator[tuple[int, str, str]]:
    """(place, message, hint) of each name in `kernel.fragments` that no fragment has."""
    for number, name in enumerate(kernel.fragments):
        if name not in fragments:
            hint = did_you_mean(name, fragments) or "`netvm-build kernel list` shows them all"
            yield number, f"there is no fragment {name!r}", hint


def _ipv6_is_kept_out(options: Mapping[str, RequestedOption], own: Collection[str]) -> Iterator[Problem]:
    """A kernel with IPv6 needs that side of the firewall."""
    ipv6, firewall = options.get("IPV6"), options.get("NF_TABLES_IPV6")
    if ipv6 is not None and str(ipv6.value) != "n" and (firewall is None or str(firewall.value) != "y"):
        where = "kernel.config" if "IPV6" in own else "options"
        hint = f"add `ipv6` to kernel.fragments, or remove IPV6 from {where}"
        message = "the kernel has IPv6, and its firewall has not (NF_TABLES_IPV6)"
        yield Problem(ipv6.source.file, ipv6.source.line, f"{where}.IPV6", message, hint)


def _select(kernel: Kernel, fragments: Mapping[str, Fragment]) -> dict[str, str]:
    """The fragments wanted and all they require, each with the one that first asked for it."""
    families = (NIC_FAMILIES[name] for name in kernel.nics)
    stock = (IPV6,) if kernel.stock else ()  # Debian's kernel has IPv6, so its firewall must
    wanted = (*kernel.fragments, *families, *kernel.modules, *kernel.implied, *stock, ROUTER)
    chosen_by = {name: "" for name in wanted if name in fragments}
    waiting = list(chosen_by)
    while waiting:
        name = waiting.pop(0)
        for reference in fragments[name].requires:
            if reference.name not in chosen_by and reference.name in fragments:
                chosen_by[reference.name] = name
                waiting.append(reference.name)
    return chosen_by


def _exclusions(selected: Iterable[Fragment], chosen_by: Mapping[str, str]) -> Iterable[Problem]:
    """Selected fragments that say they cannot be selected together."""
    for fragment in selected:
        for other in fragment.conflicts:
            if other.name in chosen_by:
                message = f"{_called(fragment.name, chosen_by)} cannot go with {_called(other.name, chosen_by)}"
                hint = f"leave {_brought_by(fragment.name, other.name, chosen_by)} out of kernel.fragments"
                yield Problem(other.source.file, other.source.line, "conflicts", message, hint)


def _called(name: str, chosen_by: Mapping[str, str]) -> str:
    by = chosen_by[name]
    return f"{name!r} (required by {by!r})" if by else repr(name)


def _brought_by(one: str, other: str, chosen_by: Mapping[str, str]) -> str:
    """The names that the spec would have to drop."""
    names = dict.fromkeys((chain(one, chosen_by)[-1], chain(other, chosen_by)[-1]))
    return " or ".join(name for name in names if name != ROUTER) or one


def chain(name: str, chosen_by: Mapping[str, str]) -> tuple[str, ...]:
    """A fragment, the one that requires it, the one that requires that, …"""
    names = [name]
    while by := chosen_by[names[-1]]:
        names.append(by)
    return tuple(names)


def _merge(requests: Iterable[RequestedOption], problems: list[Problem]) -> dict[str, RequestedOption]:
    """One request an option; where one of two alike is optional, the other counts."""
    merged: dict[str, RequestedOption] = {}
    for request in requests:
        first = merged.setdefault(request.name, request)
        if str(first.value) != str(request.value):
            message = f"is {request.value} here, but {first.source} asks for {first.value}"
            hint = f"select one of the two fragments, or decide in the spec: kernel.config.{request.name}"
            where = request.source
            problems.append(Problem(where.file, where.line, f"options.{request.name}", message, hint))
        elif first.value.optional and not request.value.optional:
            merged[request.name] = request
    return merged
