# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a check of the smoke boot is, and all that it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netvm_build.image.manifest import Image
from netvm_build.smoke.clients import ClientVm
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.report import Memory
from netvm_build.smoke.upstream import Upstream
from netvm_build.smoke.vm import Vm
from netvm_build.vmm.qemu import ClientNic, UserNetwork
from netvm_build.vmm.qemu.accelerator import Accelerator


class CheckFailed(Exception):
    """The router did not do what the check asks."""


class NotApplicable(Exception):
    """There is nothing to judge here; the text says why."""


@dataclass
class Lab:
    """All that a check may use.  `networks` are those behind the spec's uplinks, in their order.

    `outside` is an address beyond the first uplink that answers pings: this host on its user network, or a gateway.
    """

    image: Image
    accelerator: Accelerator
    router: Vm
    guest: Guest
    clients: tuple[ClientVm, ...]
    nics: tuple[ClientNic, ...]
    upstream: Upstream
    capture: Path
    networks: tuple[UserNetwork, ...]
    outside: str
    memory: Memory | None = None

    async def ask(self, request: str, **fields: Any) -> Mapping[str, Any]:
        """One request to the router.  Raises Unanswered."""
        return await self.guest.ask(self.router.send, request, 5.0 * self.accelerator.patience, **fields)


@dataclass(frozen=True)
class Check:
    """A row.  `needs` has the ids of rows that must not have failed; `deadline_s` is for KVM, and longer under TCG.

    `title` is what reports print; "" is the id.  With `each_client` the function takes a client too, and ``{}`` in the
    title becomes its address.  A check that is not `live` can be made after the router has ended.  Rows for
    `several_uplinks` are made where the spec has several.
    """

    id: str
    run: Callable[..., Awaitable[str]]
    deadline_s: float
    needs: tuple[str, ...] = ()
    each_client: bool = False
    live: bool = True
    several_uplinks: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        """What reports print."""
        return self.title or self.id
