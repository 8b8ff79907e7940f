"""The firewall: one ruleset, loaded in one transaction; clients and resolvers are elements that are set as a whole.

/usr/sbin/nft does the work, one process at a time.  While it runs further changes gather, so that any number of clients
that come together cost one transaction.
"""

from __future__ import annotations

import os

from init.children import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from init.address import Pair
    from init.children import Children
    from init.loop import Loop

    Callback = Callable[[], None]
    OnFailure = Callable[[str], None]

NFT = "/usr/sbin/nft"
RULESET = "/etc/netvm/ruleset.nft"
STATE = "/run/netvm/elements.nft"
FORWARD = "/proc/sys/net/ipv4/ip_forward"
CLIENTS, ROUTERS, NAMESERVERS = "ip netvm clients", "ip netvm routers", "ip netvm nameservers"
RESOLVERS = "ip netvm resolvers"
ARP_CLIENTS, ARP_ENDS = "arp netvm clients", "arp netvm ends"
CAP_NET_ADMIN = 12
SLOTS = 2
RETRY_S = (1.0, 5.0, 30.0)


def elements(clients: Mapping[str, Pair], resolvers: Sequence[str]) -> str:
    """The nft script that makes the sets hold these clients (interface → pair) and resolvers, and nothing else.

    The map has two slots that take turns, so that one dead resolver of two leaves the other one in use; `nameservers`
    has the same addresses, for the check that no question goes to any other.
    """
    lines = [f"flush set {name}" for name in (CLIENTS, ROUTERS, NAMESERVERS, ARP_CLIENTS, ARP_ENDS)]
    lines.append(f"flush map {RESOLVERS}")
    if clients:
        senders = ", ".join([f'"{name}" . {pair.client}' for name, pair in clients.items()])
        routers = ", ".join([f'"{name}" . {pair.router}' for name, pair in clients.items()])
        lines += [f"add element {CLIENTS} {{ {senders} }}", f"add element {ROUTERS} {{ {routers} }}"]
        lines += [f"add element {ARP_CLIENTS} {{ {senders} }}", f"add element {ARP_ENDS} {{ {senders}, {routers} }}"]
    if resolvers:
        in_turn = [resolvers[slot % len(resolvers)] for slot in range(SLOTS)]
        slots = ", ".join([f"{slot} : {address}" for slot, address in enumerate(in_turn)])
        lines.append(f"add element {RESOLVERS} {{ {slots} }}")
        lines.append(f"add element {NAMESERVERS} {{ {', '.join(sorted(set(in_turn)))} }}")
    return "\n".join(lines) + "\n"


class Firewall:
    """The ruleset in the kernel.  Nothing is forwarded before `load` has succeeded."""

    def __init__(self, loop: Loop, children: Children, on_failure: OnFailure) -> None:
        self._loop = loop
        self._children = children
        self._on_failure = on_failure
        self._clients: dict[str, Pair] = {}
        self._resolvers: tuple[str, ...] = ()
        self._waiting: list[Callback] = []
        self._wanted = False
        self._busy = False
        self._failures = 0
        self.loaded = False

    def load(self, on_loaded: Callback, on_refused: OnFailure, ruleset: str = RULESET) -> None:
        """Put the ruleset into the kernel.  Calls one of the two, `on_refused` with what nft said."""

        def done(problem: str | None) -> None:
            if problem is None:
                self.loaded = True
                on_loaded()
                self._next()
            else:
                on_refused(problem)

        self._run(ruleset, done)

    def admit(self, name: str, pair: Pair, on_done: Callback) -> None:
        """Let a client's interface send from its address; `on_done` is called when the kernel knows."""
        self._clients[name] = pair
        self._waiting.append(on_done)
        self._change()

    def expel(self, name: str) -> None:
        """Forget a client's interface."""
        if self._clients.pop(name, None) is not None:
            self._change()

    def resolve_by(self, resolvers: Sequence[str]) -> None:
        """Send the clients' DNS to these addresses; to none of them when the list is empty: it is refused then.

        Questions under way to a former resolver are refused from the same moment, and forgotten right after it.
        """
        if tuple(resolvers) != self._resolvers:
            gone = [address for address in self._resolvers[:SLOTS] if address not in resolvers[:SLOTS]]
            self._resolvers = tuple(resolvers)
            if gone:
                self._waiting.append(lambda: self._forget(gone))
            self._change()

    def _forget(self, resolvers: Sequence[str]) -> None:
        from init.conntrack import forget_resolver

        for problem in [forget_resolver(address) for address in resolvers]:
            if problem:
                self._on_failure(problem)

    def _change(self) -> None:
        self._wanted = True
        self._next()

    def _next(self) -> None:
        if not (self.loaded and self._wanted) or self._busy:
            return
        self._wanted = False
        waiting, self._waiting = self._waiting, []

        def done(problem: str | None) -> None:
            if problem is None:
                self._failures = 0
                for callback in waiting:
                    callback()
            else:
                self._waiting = waiting + self._waiting
                self._on_failure(f"it could not be changed, and is tried again: {problem}")
                delay = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
                self._failures += 1
                self._loop.later(delay, self._change)
                return
            self._next()

        with open(STATE, "w") as file:
            file.write(elements(self._clients, self._resolvers))
        self._run(STATE, done)

    def _run(self, script: str, done: Callable[[str | None], None]) -> None:
        """Run nft on a script; `done` gets None or what it said, once it is over."""
        said: list[str] = []
        self._busy = True

        def ended(status: int) -> None:
            self._busy = False
            text = " ".join(said)[:400]
            done(None if status == 0 else f"nft ended with {status}: {text}")

        try:
            program = Program((NFT, "-f", script), capabilities=frozenset({CAP_NET_ADMIN}))
            self._children.start(program, said.append, ended)
        except OSError as error:
            self._busy = False
            done(f"nft could not be started: {error}")


def forward_packets(path: str = FORWARD) -> None:
    """Let the kernel forward.  Only to be called once the ruleset is in.  Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"1")
    finally:
        os.close(descriptor)
