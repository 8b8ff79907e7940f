# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What iwd says of a network that refuses us, or whose server is not the one it should be.

iwd has no interface that tells why: its lines do.  The causes are in the order of how much they explain.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.core.config import WifiNetwork
    from init.core.protocol import Voice

JOINING, JOINED = "event: connect-info, ssid: ", "new: connected"
FAILED = ("event: connect-failed", "event: disconnect-info")
"""How an attempt ends without being joined: iwd gives up, or the access point sends us away (a wrong passphrase)."""
UNHEARD = "event: connect-timeout"
"""No answer: the access point is off, or it is far away; that is no refusal."""
TIMES = 2
LONGEST = 240

CERTIFICATE = "Peer cert"
"""Where the words begin of a line about a server's certificate; before it stands where in iwd's source that is."""
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
"""A text in a line of iwd's, what that means if the line does not say it well, and what to look at."""
NO_CAUSE = "alert: close_notify"
"""How a tunnel ends that has done what it was for."""
OTHERS = ("handshake failed", "Received Deauthentication", *FAILED)
UNUSABLE = "embed:networks."
"""A certificate or key of ours that iwd cannot use; it says so each time it looks for networks, and tries none."""


class Refusals:
    """Hears iwd: which network it tries, and whether that network refuses; tells it once until it can be joined."""

    def __init__(self, networks: Sequence[WifiNetwork], voice: Voice) -> None:
        self._networks = networks
        self._voice = voice
        self._trying = ""
        self._words = ""
        self._cause = len(CAUSES)
        self._failures: dict[str, int] = {}
        self._unusable: set[int] = set()

    def hear(self, line: str) -> None:
        """One line of iwd's."""
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
        """Keep a line that explains the failure better than what was heard before."""
        causes = [number for number, cause in enumerate(CAUSES) if cause[0] in line and NO_CAUSE not in line]
        if causes and causes[0] < self._cause:
            self._words, self._cause = line[max(line.find(CERTIFICATE), 0) :].strip()[:LONGEST], causes[0]
        elif not self._words and any(text in line for text in OTHERS):
            self._words = line.strip()[:LONGEST]

    def _count(self) -> None:
        """An attempt has failed; what is heard of it further does not count again."""
        for number, network in enumerate(self._networks):
            if network.ssid == self._trying:
                times = self._failures[network.ssid] = self._failures.get(network.ssid, 0) + 1
                if times == TIMES:
                    self._voice.emit("degraded", reason=refusal(number, network, self._words, self._cause))
        self._trying = ""

    def _tell_unusable(self, line: str) -> None:
        said = line.partition(UNUSABLE)[2].partition(".")[0]
        for number, network in enumerate(self._networks):
            if said == str(number) and number not in self._unusable:
                self._unusable.add(number)
                reason = f"the Wi-Fi network {network.ssid!r} cannot be joined: its certificate or key is of no use"
                words = line.strip()[:LONGEST]
                self._voice.emit("degraded", reason=f"{reason} (iwd: {words}): check wifi.networks[{number}].eap")


def refusal(number: int, network: WifiNetwork, words: str, cause: int = len(CAUSES)) -> str:
    """What to report of a network that refused, with iwd's own words and the key of the spec to look at."""
    meaning, key = None, "security" if network.security == "open" else "secret"
    if network.eap is not None and cause < len(CAUSES):
        _, meaning, key = CAUSES[cause]
    if network.eap is not None and network.eap.method == "tls" and key == "secret":
        key = "eap.certificate"
    what = f": {meaning}" if meaning else ""
    return (
        f"the Wi-Fi network {network.ssid!r} cannot be joined{what} (iwd: {words}): check wifi.networks[{number}].{key}"
    )
