# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which options become modules, which modules the image holds, and which options are checked in Debian's kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netvm_build.kconfig.fragment import Fragment
from netvm_build.model import Kernel, OptionKind, OptionValue, RequestedOption, Source
from netvm_build.spec.scalars import did_you_mean
from netvm_build.util.errors import Problem

MODULES = "MODULES"

# Fragments that say how a kernel we build is configured; Debian's stock kernel need not follow them.
OURS_ALONE = frozenset({"base", "hardening"})

# Options of the other fragments that Debian's kernel lacks, each with the kernel parameter that does the same.
BY_PARAMETER: Mapping[str, str] = {
    "INTEL_IOMMU_DEFAULT_ON": "intel_iommu=on",
    "WATCHDOG_NOWAYOUT": "i6300esb.nowayout=1",
}

# Options of our fragments that Debian's kernel lacks and nothing replaces, each with the reason.
NOT_IN_STOCK: Mapping[str, str] = {
    "DM_INIT": "its device mapper is a module, so no device can be made before the root is mounted",
}


@dataclass(frozen=True)
class Drivers:
    """The modules of an image.  `names` are those to take; what they need comes with them.

    Without names there is only `firmware`, for drivers that are built in, or what `kernel.extra_modules` bring.
    `options` are, for a stock kernel, those whose modules are among the names; for one that is built here those whose
    modules the kernel's Makefiles name.
    """

    names: tuple[str, ...]
    firmware: tuple[str, ...]
    lock: bool
    stock: bool
    options: tuple[str, ...] = ()


def as_modules(
    options: Mapping[str, RequestedOption],
    own: Mapping[str, RequestedOption],
    kernel: Kernel,
    fragments: Mapping[str, Fragment],
    source: Source,
) -> dict[str, RequestedOption]:
    """The options with the drivers of `kernel.modules`, which stand at `source`, as modules; the spec's `own` stay."""
    changed = dict(options)
    drivers = [option for name in kernel.modules if name in fragments for option in fragments[name].modules]
    for option in drivers:
        if option in changed and option not in own and changed[option].value.kind is OptionKind.YES:
            changed[option] = RequestedOption(option, OptionValue(OptionKind.MODULE), source)
    asked = [one for one in changed.values() if one.value.kind is OptionKind.MODULE and not one.value.optional]
    if (asked or kernel.extra_modules) and MODULES not in own:
        by = asked[0].source if asked else source
        changed[MODULES] = RequestedOption(MODULES, OptionValue(OptionKind.YES), by)
    return changed


def without_loading(
    options: Mapping[str, RequestedOption], kernel: Kernel, origins: Mapping[str, Source]
) -> Iterator[Problem]:
    """Modules that are asked for while the spec has MODULES off: one problem for each place that asks."""
    loading = options.get(MODULES)
    if loading is None or loading.value.kind is not OptionKind.NO:
        return
    asked: dict[Source, list[str]] = {}
    for option in options.values():
        if option.value.kind is OptionKind.MODULE and not option.value.optional:
            asked.setdefault(option.source, []).append(option.name)
    for source, names in asked.items():
        what = f"{names[0]} is to be a module" if len(names) == 1 else f"{', '.join(names)} are to be modules"
        message = f"{what}, but {loading.source} sets {MODULES} to no"
        hint = f"remove {MODULES} from kernel.config, or have built in what is a module here"
        yield Problem(source.file, source.line, "", message, hint)
    if kernel.extra_modules:
        path = "kernel.extra_modules"
        source = origins.get(path) or loading.source
        hint = f"remove {MODULES} from kernel.config, or remove kernel.extra_modules"
        message = f"a driver that is compiled by itself is a module, but {loading.source} sets {MODULES} to no"
        yield Problem(source.file, source.line, path, message, hint)


def without_drivers(kernel: Kernel, fragments: Mapping[str, Fragment]) -> Iterator[tuple[int, str, str]]:
    """(place, message, hint) of each name in `kernel.modules` that is no fragment with drivers."""
    able = [one.name for one in fragments.values() if one.modules]
    for number, name in enumerate(kernel.modules):
        if name in fragments and name not in able:
            hint = "remove it; a fragment lists its drivers under `modules:`"
            yield number, f"the fragment {name!r} names no driver", hint
        elif name not in fragments:
            owner = next((one for one in able for names in fragments[one].modules.values() if name in names), None)
            near = f"{name} is a driver of the fragment {owner}: write {owner}" if owner else did_you_mean(name, able)
            every = "`netvm-build kernel list` shows the fragments; single options go to kernel.config as `module`"
            yield number, f"there is no fragment {name!r}", near or every


def stock_requests(selected: Iterable[Fragment], kernel: Kernel) -> dict[str, RequestedOption]:
    """What Debian's kernel must have: what fragments switch on, built in or as a module, and the spec's own options."""
    asked = {
        option.name: option
        for fragment in selected
        if fragment.name not in OURS_ALONE
        for option in fragment.options_for(kernel.version)
        if _switched_on(option) and not option.value.optional
        if option.name not in BY_PARAMETER
    }
    return asked | {option.name: option for option in kernel.config}


def stock_parameters(requests: Iterable[RequestedOption]) -> tuple[str, ...]:
    """The parameters that replace options Debian's kernel lacks; of several requests for an option the last counts."""
    asked = {request.name: request for request in requests}
    return tuple(word for name, word in BY_PARAMETER.items() if name in asked and _switched_on(asked[name]))


def not_in_stock(options: Mapping[str, RequestedOption], origins: Mapping[str, Source]) -> Iterator[Problem]:
    """Options asked of Debian's kernel that it is known to lack."""
    for name, reason in NOT_IN_STOCK.items():
        if name in options and _switched_on(options[name]):
            source = origins.get("kernel.stock") or Source("netvm.yaml")
            message = f"Debian's kernel can't have {name}, which {options[name].source} asks for: {reason}"
            hint = (
                "set kernel.stock to false, or remove what asks for it; `netvm-build kernel list` shows the fragments"
            )
            yield Problem(source.file, source.line, "kernel.stock", message, hint)


def _switched_on(option: RequestedOption) -> bool:
    return option.value.kind in (OptionKind.YES, OptionKind.MODULE)


def drivers_of(options: Mapping[str, RequestedOption], selected: Iterable[Fragment], kernel: Kernel) -> Drivers | None:
    """The modules that the image is to hold: those that fragments name, and others by their option."""
    chosen = list(selected)
    named = {option: names for fragment in chosen for option, names in fragment.modules.items()}
    if not kernel.stock:
        asked = [one for one in options.values() if one.value.kind is OptionKind.MODULE and not one.value.optional]
        if not asked and not kernel.firmware and not kernel.extra_modules:
            return None
        names = {name for one in asked for name in named.get(one.name, ())}
        others = tuple(sorted(one.name for one in asked if one.name not in named))
        return Drivers(tuple(sorted(names)), kernel.firmware, kernel.lock_modules, stock=False, options=others)
    fragments = {fragment.name for fragment in chosen}
    names = {name for modules in named.values() for name in modules}
    names |= {name.replace("-", "_") for name in kernel.modules if name not in fragments}
    known = set(named) | {option for option in options if option.lower() in names}
    return Drivers(tuple(sorted(names)), kernel.firmware, kernel.lock_modules, stock=True, options=tuple(sorted(known)))


def without_modules(kernel: Kernel, drivers: Drivers | None, origins: Mapping[str, Source]) -> Iterator[Problem]:
    """Keys that mean nothing where all is built in."""
    if kernel.lock_modules and (drivers is None or not drivers.names + drivers.options) and not kernel.extra_modules:
        path = "kernel.lock_modules"
        source = origins.get(path) or Source("netvm.yaml")
        hint = "name a fragment in kernel.modules, such as realtek, or remove it"
        yield Problem(source.file, source.line, path, "there is nothing to lock: all drivers are built in", hint)
