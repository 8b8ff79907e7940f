# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The uplink in use: its group, by which the firewall tells it from others, and its routes, which clients follow."""

from __future__ import annotations

from init.net.firewall import STANDBY_GROUP, UPLINK_GROUP
from init.net.uplink import rank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.core.protocol import EventWriter
    from init.kernel.interfaces import LinkRequests
    from init.net.routing import Routing
    from init.net.uplink import Uplink


ENODEV = 19


class Active:
    """Which uplink clients go out by, in the kernel too."""

    def __init__(self, requests: LinkRequests, routing: Routing, events: EventWriter) -> None:
        self._requests = requests
        self._routing = routing
        self._events = events
        self._troubles: dict[str, str] = {}
        self.uplink: Uplink | None = None

    def keep_apart(self, uplinks: Sequence[Uplink]) -> str:
        """Hold clients to the routes of the uplink in use, before there is another; returns why not, or nothing."""
        try:
            self._routing.begin()
        except OSError as error:
            return f"uplinks cannot be kept apart: {error.strerror or error}"
        self._follow(uplinks)
        return ""

    def _follow(self, uplinks: Sequence[Uplink]) -> None:
        """Bring the kernel's tables and rules up to date; say once what it refuses."""
        try:
            self._routing.follow(uplinks, self.uplink)
        except OSError as error:
            self._complain("routes", f"the uplinks' routes could not be followed: {error.strerror or error}")
        else:
            self._recover("routes", "the uplinks' routes are followed again")

    def choose(self, uplinks: Sequence[Uplink], leased: Sequence[Uplink]) -> Uplink | None:
        """Use the one with the best route of those with a lease; returns the one that was used before.

        The new one's group comes first and the former one's last: the rule in between is the moment of the switch.
        """
        before, self.uplink = self.uplink, min(leased, key=rank, default=None)
        if self.uplink is not before and self.uplink is not None:
            self._regroup(self.uplink, UPLINK_GROUP)
        self._follow(uplinks)
        if before is not None and before is not self.uplink and before in uplinks:
            self._regroup(before, STANDBY_GROUP)
        return before

    def _regroup(self, uplink: Uplink, group: int) -> None:
        try:
            self._requests.regroup(uplink.index, group)
        except OSError as error:
            if error.errno == ENODEV:  # it has just been taken out, which we are about to hear
                self._troubles.pop(uplink.name, None)
                return
            self._complain(uplink.name, f"{uplink.name} could not be put into another group: {error.strerror}")
        else:
            self._recover(uplink.name, f"{uplink.name} is in its group again")

    def _complain(self, about: str, trouble: str) -> None:
        """Say once what the kernel refuses."""
        if self._troubles.get(about) != trouble:
            self._troubles[about] = trouble
            self._events.emit("degraded", reason=trouble)

    def _recover(self, about: str, reason: str) -> None:
        """Say that the kernel no longer refuses what it did."""
        if self._troubles.pop(about, None) is not None:
            self._events.emit("recovered", reason=reason)
