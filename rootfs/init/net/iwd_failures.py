# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Why iwd could not join a network: the access point refuses, or its EAP server is not the expected one.

iwd has no interface that gives the reason, so it is read from iwd's log lines.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.core.config import WifiNetwork
    from init.core.protocol import EventWriter

JOINING, JOINED = "event: connect-info, ssid: ", "new: connected"
FAILED = ("event: connect-failed", "event: disconnect-info")
"""The end of a failed attempt: iwd gives up, or the access point deauthenticates us (a wrong passphrase)."""
UNHEARD = "event: connect-timeout"
"""No answer: the access point is off or too far away, which is not a failure to report."""
TIMES = 2
LONGEST = 240

CERTIFICATE = "Peer cert"
"""Start of the message in a line about a server's certificate, after iwd's source file and line."""
CAUSES = (
    (" expired on ", "its server's certificate has expired, or this clock is wrong", "eap.ca, and the host's clock"),
    (
        " not valid before ",
        "its server's certificate is not valid yet, or this clock is wrong",
        "eap.ca, and the host's clock",
    ),
    ("expired or not-yet-valid", "no authority is valid now, or this clock is wrong", "eap.ca, and the host's clock"),
    ("Peer certchain verification failed", "no authority of ours vouches for its server", "eap.ca"),
    ("doesn't match mask", "its server has another name", "eap.servers"),
    ("disconnected with alert: ", None, "eap"),
    ("eapFail", "its server refuses", "secret"),
    ("eapTimeout", "its server does not answer", "eap"),
)
"""(text in a line, its meaning if the line isn't clear, the network's key to check), the best explanation first."""
NO_CAUSE = "alert: close_notify"
"""The normal end of a TLS tunnel."""
OTHERS = ("handshake failed", "Received Deauthentication", *FAILED)
UNUSABLE = "embed:networks."
"""A certificate or key of ours that iwd can't use.  It logs this at each scan, and doesn't try the network."""


class IwdFailures:
    """Follows iwd's log lines.  A network that fails TIMES times is reported once, until it is joined."""

    def __init__(self, networks: Sequence[WifiNetwork], events: EventWriter) -> None:
        self._networks = networks
        self._events = events
        self._trying = ""
        self._words = ""
        self._cause = len(CAUSES)
        self._failures: dict[str, int] = {}
        self._unusable: set[int] = set()

    def hear(self, line: str) -> None:
        """Take one line of iwd's log."""
        _, joining, rest = line.partition(JOINING)
        if joining:
            self._trying, self._words, self._cause = rest.partition(", bss: ")[0], "", len(CAUSES)
        elif JOINED in line:
            self._failures.pop(self._trying, None)
            self._trying = ""
        elif UNHEARD in line:
            self._trying = ""
        elif UNUSABLE in line:
            self._tell_unusable(line)
        elif self._trying:
            self._weigh(line)
            if any(text in line for text in FAILED):
                self._count()

    def _weigh(self, line: str) -> None:
        """Keep a line that explains the failure better than the lines before it."""
        causes = [number for number, cause in enumerate(CAUSES) if cause[0] in line and NO_CAUSE not in line]
        if causes and causes[0] < self._cause:
            self._words, self._cause = line[max(line.find(CERTIFICATE), 0) :].strip()[:LONGEST], causes[0]
        elif not self._words and any(text in line for text in OTHERS):
            self._words = line.strip()[:LONGEST]

    def _count(self) -> None:
        """An attempt has failed.  Later lines about the same attempt don't count again."""
        for number, network in enumerate(self._networks):
            if network.ssid == self._trying:
                times = self._failures[network.ssid] = self._failures.get(network.ssid, 0) + 1
                if times == TIMES:
                    self._events.emit("degraded", reason=describe(number, network, self._words, self._cause))
        self._trying = ""

    def _tell_unusable(self, line: str) -> None:
        said = line.partition(UNUSABLE)[2].partition(".")[0]
        for number, network in enumerate(self._networks):
            if said == str(number) and number not in self._unusable:
                self._unusable.add(number)
                reason = f"the Wi-Fi network {network.ssid!r} cannot be joined: its certificate or key is of no use"
                words = line.strip()[:LONGEST]
                self._events.emit("degraded", reason=f"{reason} (iwd: {words}): check wifi.networks[{number}].eap")


def describe(number: int, network: WifiNetwork, words: str, cause: int = len(CAUSES)) -> str:
    """The reason to report for a network that failed, with iwd's own words and the key of the spec to check."""
    meaning, key = None, "security" if network.security == "open" else "secret"
    if network.eap is not None and cause < len(CAUSES):
        _, meaning, key = CAUSES[cause]
    if network.eap is not None and network.eap.method == "tls" and key == "secret":
        key = "eap.certificate"
    what = f": {meaning}" if meaning else ""
    return (
        f"the Wi-Fi network {network.ssid!r} cannot be joined{what} (iwd: {words}): check wifi.networks[{number}].{key}"
    )
