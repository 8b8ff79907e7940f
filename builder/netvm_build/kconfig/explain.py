# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Who asks for a kernel option, for which value, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netvm_build.kconfig.choices import rival_of
from netvm_build.kconfig.fragment import Fragment
from netvm_build.kconfig.resolve import KernelConfig, chain
from netvm_build.model import OptionKind, RequestedOption, Versions
from netvm_build.spec.scalars import did_you_mean


@dataclass(frozen=True)
class Asked:
    """One request: by a fragment, or (`fragment` "") by the spec.

    `because` is the chain of fragments that brought it in, itself first: ("nat", "nftables", "router").  `used` is
    false where the spec asks otherwise.
    """

    request: RequestedOption
    fragment: str
    because: tuple[str, ...]
    used: bool


@dataclass(frozen=True)
class Explanation:
    """Who asks what of one option.

    `option` is what is asked in the end, or None where nobody asks, or the spec withdraws it: then the kernel has its
    default, which is off for most options unless something selects them.  `elsewhere` are fragments that are not
    selected and would ask for it.  `nearest` is a question that names an option of a similar name, for an unknown one.
    `disputed`: fragments ask for different values, and the spec for none.  `other_versions` are requests of the spec
    and of the selected fragments that aren't for this version of Linux.  `rival` is the request that counts instead,
    for another option of the same choice.
    """

    name: str
    option: RequestedOption | None
    asked: tuple[Asked, ...]
    elsewhere: tuple[Fragment, ...]
    nearest: str | None = None
    disputed: bool = False
    other_versions: tuple[tuple[RequestedOption, Versions], ...] = ()
    rival: RequestedOption | None = None


def explain(name: str, kernel: KernelConfig, fragments: Mapping[str, Fragment]) -> Explanation:
    """Who asks what of an option (a CONFIG_ in front of its name does no harm), and which fragments would."""
    name = name.removeprefix("CONFIG_")
    option = next((option for option in kernel.options if option.name == name), None)
    owners = {request.source: fragment.name for fragment in kernel.fragments for request in fragment.every_option}
    asked = []
    for request in kernel.requests:
        if request.name == name:
            owner = owners.get(request.source, "")
            used = str(request.value) == (str(OptionKind.UNSET.value) if option is None else str(option.value))
            asked.append(Asked(request, owner, chain(owner, kernel.chosen_by) if owner else (), used))
    elsewhere = tuple(
        fragment
        for fragment in fragments.values()
        if fragment.name not in kernel.chosen_by
        and any(request.name == name for request in fragment.options_for(kernel.version))
    )
    nearest = None
    if not asked and not elsewhere:
        every = {request.name for fragment in fragments.values() for request in fragment.every_option}
        nearest = did_you_mean(name, every)
    from_spec = any(not one.fragment for one in asked)
    disputed = not from_spec and len({str(one.request.value) for one in asked}) > 1
    others = tuple(_for_other_versions(name, kernel))
    rival = rival_of(name, kernel.options) if asked and option is None else None
    return Explanation(name, option, tuple(asked), elsewhere, None if others else nearest, disputed, others, rival)


def _for_other_versions(name: str, kernel: KernelConfig) -> Iterator[tuple[RequestedOption, Versions]]:
    """The requests for an option by the spec and the selected fragments that are not for this version."""
    for fragment in kernel.fragments:
        everywhere = ((one, one.value.versions) for one in fragment.options)
        sometimes = ((one, condition.versions) for condition in fragment.when for one in condition.options)
        for request, versions in (*everywhere, *sometimes):
            if request.name == name and not versions.include(kernel.version):
                yield request, versions
    for request in kernel.not_asked:
        if request.name == name:
            yield request, request.value.versions
