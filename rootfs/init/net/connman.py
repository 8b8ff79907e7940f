# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What ConnMan says of the uplinks, over D-Bus (doc/manager-api.txt and doc/service-api.txt of ConnMan), and the order
that the spec wants of them.

ConnMan sorts its services by state and technology; among cables it keeps whatever order they came in, and its
configuration has no word for another.  So we ask it to move a preferred one to the front whenever it is not there.
"""

from __future__ import annotations

from init.net.bus import BUS, Bus
from init.net.dbus import ERROR, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop, Timer

NAME = "net.connman"
MANAGER, SERVICE = f"{NAME}.Manager", f"{NAME}.Service"
CONNECTED = ("ready", "online")
SETTLE_S = 0.02
"""A change comes as several signals; we ask once they have come."""
AGAIN_S, LONGEST_S = 0.2, 30.0
"""How soon the bus is tried again, and the longest wait where it keeps sending what makes no sense."""
HEALTHY_S = 10.0
"""After so long a connection that made sense, waits begin anew."""
ANSWER_S = 5.0
"""So long an answer is waited for before ConnMan is asked once more."""
MAX_TEXT = 100
MAX_NAME = 15
"""The longest name of an interface (IFNAMSIZ of <linux/if.h>, without its NUL)."""
MAX_SERVERS = 16


class ConnManService:
    """A network as ConnMan has it; `error` is its own name for a failure, such as dhcp-failed, or empty."""

    __slots__ = ("error", "interface", "nameservers", "path", "state", "technology")

    def __init__(
        self,
        path: str,
        interface: str,
        technology: str,
        state: str,
        error: str = "",
        nameservers: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.interface = interface
        self.technology = technology
        self.state = state
        self.error = error
        self.nameservers = nameservers

    @property
    def connected(self) -> bool:
        """Whether it has an address and ConnMan lets it carry traffic."""
        return self.state in CONNECTED


def services(body: list[object]) -> list[ConnManService]:
    """The services of an answer to Manager.GetServices, in ConnMan's order; what has no interface is left out."""
    found: list[ConnManService] = []
    listed = body[0] if body else None
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, tuple) or len(entry) != 2:
            continue
        path, properties = entry
        if isinstance(path, str) and is_path(path) and isinstance(properties, dict):
            link = properties.get("Ethernet")
            interface = link.get("Interface") if isinstance(link, dict) else None
            if isinstance(interface, str) and 0 < len(interface) <= MAX_NAME:
                found.append(_service(path, interface, properties))
    return found


def is_path(path: str) -> bool:
    """Whether a text is an object's path (D-Bus specification): the bus disconnects a program that sends any other."""
    words = path.removeprefix("/").replace("_", "a").split("/")
    return path.startswith("/") and path.isascii() and all(word.isalnum() for word in words)


def _service(path: str, interface: str, properties: dict[object, object]) -> ConnManService:
    servers = properties.get("Nameservers")
    return ConnManService(
        path,
        interface,
        _text(properties, "Type"),
        _text(properties, "State"),
        _text(properties, "Error"),
        tuple([one for one in servers[:MAX_SERVERS] if isinstance(one, str)]) if isinstance(servers, list) else (),
    )


def _text(properties: dict[object, object], key: str) -> str:
    """A property's text, cut to a bearable length; empty where it is missing or no text."""
    value = properties.get(key)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _by_interface(found: list[ConnManService]) -> dict[str, ConnManService]:
    """A cable has one service, a radio one for each network it hears: then the first, which ConnMan prefers."""
    chosen: dict[str, ConnManService] = {}
    for one in found:
        chosen.setdefault(one.interface, one)
    return chosen


def misplaced(found: list[ConnManService], rank: Callable[[str], int]) -> tuple[str, str] | None:
    """(path to move, path to move it before), where a connected service stands behind a less preferred one of its
    technology; `rank` is an interface's place in the spec, the lowest the most preferred.
    """
    for technology in dict.fromkeys([one.technology for one in found]):
        there = [one for one in found if one.connected and one.technology == technology]
        wanted = sorted(there, key=lambda one: rank(one.interface))
        for one, other in zip(wanted, there):  # noqa: B905  (the same, sorted)
            if one is not other:
                return one.path, other.path
    return None


class ConnMan:
    """Follows ConnMan, across its restarts and the bus's; `on_change` is called when what it says has changed."""

    def __init__(
        self, loop: Loop, on_change: Callable[[], None], on_trouble: Callable[[str], None], rank: Callable[[str], int]
    ) -> None:
        self._loop = loop
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._rank = rank
        self._bus: Bus | None = None
        self._timer: Timer | None = None
        self._refused: tuple[str, str] | None = None
        self._services: dict[str, ConnManService] = {}
        self._failures = 0
        self._connected_at = 0.0
        self._asked_at: float | None = None
        self._changed_since = False
        self.heard = False
        self._connect()

    def service_of(self, interface: str) -> ConnManService | None:
        """The last that was heard of an interface's network."""
        return self._services.get(interface)

    def _connect(self) -> None:
        self._timer = None
        try:
            self._bus = Bus(self._loop, self._signalled, self._lost)
        except OSError:
            self._timer = self._loop.later(AGAIN_S, self._connect)
            return
        self._connected_at = self._loop.clock()
        self._asked_at = None
        self._bus.match(f"type='signal',sender='{NAME}'")
        self._bus.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'")
        self._ask()

    def _lost(self, why: str) -> None:
        """The bus has ended, and with it ConnMan: what it said holds until it says something else.

        A bus that breaks the protocol is tried again after longer and longer waits, and reported once.
        """
        senseless = self._bus is not None and self._bus.senseless
        self._bus = None
        if self._loop.clock() - self._connected_at >= HEALTHY_S:
            self._failures = 0
        if senseless:
            self._failures += 1
            if self._failures == 1:
                text = f"the message bus broke the protocol ({why}): trying again, less and less often"
                self._on_trouble(text[:300])
        if self._timer is not None:
            self._timer.cancel()
        wait = AGAIN_S * 2 ** min(self._failures, 16) if senseless else AGAIN_S
        self._timer = self._loop.later(min(LONGEST_S, wait), self._connect)

    def _signalled(self, _message: Message) -> None:
        if self._timer is None and self._bus is not None:
            self._timer = self._loop.later(SETTLE_S, self._ask)

    def _ask(self) -> None:
        """Ask for the services, unless an answer is on its way: then ask once more when it is here."""
        self._timer = None
        if self._bus is None:
            return
        now = self._loop.clock()
        if self._asked_at is not None and now - self._asked_at < ANSWER_S:
            self._changed_since = True
            return
        self._asked_at, self._changed_since = now, False
        self._bus.call(NAME, "/", f"{MANAGER}.GetServices", (), self._told)

    def _told(self, message: Message) -> None:
        self._asked_at = None
        if self._changed_since:
            self._signalled(message)
        if message.kind == ERROR:  # it is not there yet; its coming is a signal
            return
        found = services(message.body)
        self.heard = True
        self._services = _by_interface(found)
        move = misplaced(found, self._rank)
        if move is not None and move != self._refused and self._bus is not None:
            path, before = move
            self._bus.call(
                NAME, path, f"{SERVICE}.MoveBefore", (("o", before),), lambda answer: self._moved(move, answer)
            )
        self._on_change()

    def _moved(self, move: tuple[str, str], answer: Message) -> None:
        """ConnMan says no only to what it will not do at all: not to be asked again and again."""
        self._refused = move if answer.kind == ERROR else None
        if answer.kind == ERROR:
            self._on_trouble(f"ConnMan does not put {move[0]} before {move[1]}: {answer.error}"[:300])
