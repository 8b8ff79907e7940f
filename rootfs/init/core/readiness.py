# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a service waits for before its first start: device nodes and files that appear once a driver is loaded.

Nothing is polled: a uevent of a new device leads to another look, and a timer ends the wait.
"""

from __future__ import annotations

from init.core import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop, Timer
    from init.core.protocol import EventWriter
    from init.core.services import Service

    Callback = Callable[[], None]

PATIENCE_S = 10.0


class Waiting:
    """One service's wait.  With it over, `service.prepare` is called once, and the service may start.

    A required path that is still missing after PATIENCE_S is told as `degraded`, and the router becomes ready without
    the service; it starts when the path appears after all.  An optional one is not waited for any longer.
    """

    def __init__(self, service: Service, loop: Loop, events: EventWriter, changed: Callback) -> None:
        self._service = service
        self._loop = loop
        self._events = events
        self._changed = changed
        self._timer: Timer | None = None
        self._over = False
        self._late = False
        self.gave_up = False

    @property
    def going_on(self) -> bool:
        """Whether something is being waited for."""
        return self._timer is not None or self.gave_up

    def may_start(self) -> bool:
        """Whether all that the service needs is there; begins to wait where it is not."""
        if self._over:
            return True
        missing = [one for one in self._service.awaits if not native.exists(one.path)]
        if [one for one in missing if not (one.optional and self._late)]:
            if self._timer is None and not self._late:
                self._timer = self._loop.later(PATIENCE_S, self._lose_patience)
                paths = [one.path for one in missing]
                self._events.emit("service", name=self._service.name, state="waiting", restarts=0, awaits=paths)
            return False
        self._finish()
        return True

    def cancel(self) -> None:
        """Wait no longer, as the machine stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose_patience(self) -> None:
        self._timer, self._late = None, True
        missing = [one for one in self._service.awaits if not (one.optional or native.exists(one.path))]
        self.gave_up = bool(missing)
        for one in missing:
            what = f"{self._service.name} cannot run: {one.path} is not there after {PATIENCE_S:g} s: {one.why}"
            self._events.emit("degraded", reason=what)
        self._changed()

    def _finish(self) -> None:
        self.cancel()
        self._over = True
        if self.gave_up:
            self.gave_up = False
            name = self._service.name
            self._events.emit("recovered", reason=f"what {name} waited for is there", name=name)
        if self._service.prepare is not None:
            self._service.prepare()
