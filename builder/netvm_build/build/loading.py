# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""netvm.yaml → Router and kernel → tree: the first half of the recipe, which asks neither Nix nor Debian.

It is a module of its own because `check` and `render` need no more, and the other half's imports take time.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from netvm_build import kconfig, spec
from netvm_build.build import kernel_index
from netvm_build.build import render as rendering
from netvm_build.kconfig import known
from netvm_build.kconfig.index import BadIndex
from netvm_build.model import AUTO, NIC_MODELS, PlatformKind, Router, Source
from netvm_build.util import resources
from netvm_build.util.errors import Problem, SpecError
from netvm_build.util.paths import shown

LOCK_NAME = "netvm.lock"
"""What a tree calls its lock, whatever it is called beside the spec."""

LOCK_COMMAND = "netvm-build lock"


@dataclass(frozen=True)
class Loaded:
    """A spec that is in order, with everything it refers to.  `origins` tells where each value came from.

    `lock_file` is the lock that the user named; None: the one beside the spec.  `looked_up_in` is the version of Linux
    in whose index the kernel's options were looked up, None if there is none.
    """

    path: Path
    router: Router
    origins: Mapping[str, Source]
    kernel: kconfig.KernelConfig
    lock_file: Path | None = None
    looked_up_in: str | None = None

    @property
    def lock_path(self) -> Path:
        return self.lock_file or lock_beside(self.path)

    @property
    def lock_command(self) -> str:
        """The command that makes the lock again, as one would type it here."""
        spec = [] if shown(self.path) == "netvm.yaml" else [shown(self.path)]
        lock = [] if self.lock_file is None else ["--lock", shown(self.lock_file)]
        return shlex.join([*LOCK_COMMAND.split(), *spec, *lock])

    @property
    def locked(self) -> bool:
        """Whether the platform takes its parts as a lock file pins them."""
        return self.router.platform.kind is PlatformKind.DEBIAN


def lock_beside(path: Path) -> Path:
    """A spec's lock: ``NAME.lock`` beside ``NAME.yaml``."""
    name = path.stem if path.suffix in (".yaml", ".yml", ".json") else path.name
    return path.with_name(f"{name}.lock")


def load(path: Path, lock_file: Path | None = None) -> Loaded:
    """Read a spec and the kernel fragments it names.  Raises SpecError with every problem of both."""
    draft = spec.draft(path)
    lock = lock_file or lock_beside(path)
    problems = list(draft.problems)
    try:
        fragments = kconfig.load_fragments((*draft.router.kernel.fragment_dirs, resources.folder("kernel-configs")))
        router = _with_this_machines_nics(draft, fragments)
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from error
    version = None
    try:
        kernel = kconfig.resolve(router.kernel, fragments, draft.origins, draft.unread, draft.written)
        version, unfit = _options_looked_up(router, lock, kernel, whole=not draft.unread)
        problems += unfit
        router = _with_a_driver_for_its_card(draft, router, kernel)
    except SpecError as error:
        problems += error.problems
        if version is None:  # what is missing may be what would bring an option
            kernel = kconfig.attempt(router.kernel, fragments).config
            problems += _options_looked_up(router, lock, kernel, whole=False)[1]
    if problems:
        raise SpecError(problems)
    return Loaded(path, router, draft.origins, kernel, lock_file, version)


def options_problems(loaded: Loaded) -> list[Problem]:
    """The problems with the kernel's options that an index shows, which may have been made since."""
    return _options_looked_up(loaded.router, loaded.lock_path, loaded.kernel)[1]


def _options_looked_up(
    router: Router, lock: Path, kernel: kconfig.KernelConfig, *, whole: bool = True
) -> tuple[str | None, list[Problem]]:
    """The version of Linux whose index there is, None without one, and what it shows; `whole` as for `known`."""
    index = kernel_index.find(router, lock)
    if index is None:
        return None, []
    own = {option.name for option in router.kernel.config}
    try:
        return index.linux, list(known.problems(kernel, index, own, whole=whole))
    except BadIndex:
        return None, []


def _with_this_machines_nics(loaded: spec.Loaded, fragments: Mapping[str, kconfig.Fragment]) -> Router:
    """The router with `nics: auto` as the families of this machine's cards.  Raises SpecError where it has none."""
    router = loaded.router
    if router.kernel.nics != (AUTO,):
        return router
    from netvm_build.build import detect  # few specs have it look at this machine

    found = detect.families(detect.detect(fragments))
    if not found:
        key = "kernel.nics"
        source = loaded.origins[key]
        hint = "name the families of the machine that will run the router, such as [intel, realtek]"
        message = "this machine has no network card that a family here has a driver for"
        raise SpecError([Problem(source.file, source.line, key, message, hint)])
    return replace(router, kernel=replace(router.kernel, nics=found))


def _with_a_driver_for_its_card(draft: spec.Draft, router: Router, kernel: kconfig.KernelConfig) -> Router:
    """The router with an emulated card that its kernel drives: where the spec names none, e1000e or else another.

    Cards of the fragments that the spec asks for come first.  Raises SpecError for a named card without a driver.
    """
    key, card = "machine.nic", NIC_MODELS[router.machine.nic]
    driven = [model for model in NIC_MODELS.values() if kernel.value(model.option) != "n"]
    if card in driven or key in draft.unread:
        return router
    source = draft.origins[key]
    if source == spec.DEFAULT and driven:
        best = min(driven, key=lambda model: model.fragment not in router.kernel.fragments)
        return replace(router, machine=replace(router.machine, nic=best.name))
    others = ", ".join(model.name for model in driven)
    hint = f"add `{card.fragment}` to kernel.fragments, or name a card of this kernel: {others}"
    message = f"this kernel has no driver for {card.name}: nothing asks for {card.option}"
    raise SpecError([Problem(source.file, source.line, key, message, hint)])


def render(loaded: Loaded) -> rendering.RenderedTree:
    """The tree of a spec, without a lock and without anything of this machine."""
    return rendering.render(loaded.router, loaded.kernel)
