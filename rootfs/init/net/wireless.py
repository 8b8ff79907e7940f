# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi: the networks' secrets from the host into iwd's folder, what each country allows into the kernel, iwd itself.

Loaded only where the image has Wi-Fi.  The secrets come by QEMU's fw_cfg, which only root can read, and go into files
on tmpfs that only iwd can read (iwd.network(5)); they are in no message, whatever is wrong with them.
"""

from __future__ import annotations

from init.core import allowed_iwd, native
from init.core.children import Program
from init.core.jsontext import decode_object
from init.core.native import Struct, os
from init.core.services import CAP_NET_ADMIN, CAP_NET_RAW, FIRST_TO_GO, IWD_USER, Awaited, Service
from init.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RECEIVE_BYTES,
    attribute,
    attributes,
    message,
    messages,
    refusal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.config import WifiNetwork
    from init.core.protocol import EventWriter

    Secret = str | dict[str, str] | None  # a passphrase; with EAP its parts by name; nothing for an open network

HANDED_OVER = "/sys/firmware/qemu_fw_cfg/rev"
SECRETS = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.netvm/wifi/raw"
SECRETS_VERSION = 1
RADIO_SWITCH = "/dev/rfkill"
STATE = "/var/lib/iwd"
HOW = "start it by `netvm-build run`, or hand them over with -fw_cfg name=opt/org.netvm/wifi,file=FILE"

IWD = Service(
    "iwd",
    Program(
        ("/usr/libexec/iwd",),
        IWD_USER,
        frozenset({CAP_NET_ADMIN, CAP_NET_RAW}),
        calls=allowed_iwd.IWD,
        oom_score_adj=FIRST_TO_GO,
    ),
    needs=("dbus-daemon",),
    awaits=(
        Awaited(RADIO_SWITCH, "the kernel needs RFKILL"),
        Awaited(HANDED_OVER, "the kernel needs FW_CFG_SYSFS", optional=True),  # open networks need no secret
    ),
    harmless=(
        # what it can do, and what a card can do
        "Wireless daemon version", "Loaded configuration", "No Diffie-Hellman", "No asymmetric key", "TLS based WPA",
        "The following options", "CONFIG_KEY_DH", "CONFIG_ASYMMETRIC", "CONFIG_PKCS", "CONFIG_X509", "No CBC(DES3",
        "No HMAC(SHA512", "Wiphy:", "Permanent Address", "GHz Band", "Bitrates", "HT Capabilities", "VHT Capabilities",
        "HE Capabilities", "HT40", "Short GI", "Short Guard", "Max HE", "Max HT", "Max VHT", "RX MCS", "TX MCS",
        "Ciphers", "Supported iftypes", "Interface Types", "Driver Flags", "Network configuration is disabled",
        "station: Network configuration", "Bit rates", "Non-HT", " Mbps", "be matched to a wiphy",
        "event: state",  # each step of joining; the uplink's own events tell what comes of it
        "EAP completed", "PEAP: ", "TTLS: ", "TLS: ",  # iwd_failures.py reports what matters of it
    ),
)  # fmt: skip


def with_keys(program: Program) -> Program:
    """Iwd's program where a network has certificates: it keeps them in the kernel, and says what is wrong with one."""
    return program.but(calls=allowed_iwd.WITH_KEYS, environment={"IWD_TLS_DEBUG": "1"})


class CredentialsRefused(Exception):
    """What was handed over cannot be used; the text says why, and holds nothing of it."""


def secrets(networks: Sequence[WifiNetwork], path: str = SECRETS) -> list[Secret]:
    """The secret of each network, in their order.  Raises CredentialsRefused."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise CredentialsRefused(f"the secrets of the Wi-Fi networks were not handed over: {HOW}") from None
    except OSError as error:
        raise CredentialsRefused(f"the secrets of the Wi-Fi networks cannot be read: {error.strerror}") from None
    try:
        document = decode_object(raw.decode())
        listed = document.get("secrets")
        good = document.get("version") == SECRETS_VERSION and isinstance(listed, list)
    except ValueError:
        good = False
    if not good or len(listed) != len(networks):  # type: ignore[arg-type]  # a list, since it is good
        raise CredentialsRefused(
            f"the secrets that were handed over are not those of this image's Wi-Fi networks: {HOW}"
        )
    for network, secret in zip(networks, listed, strict=True):  # type: ignore[call-overload]
        if not fits(network, secret):
            raise CredentialsRefused(f"the secret of the Wi-Fi network {network.ssid!r} is not one: {HOW}")
    return listed  # type: ignore[return-value]


def fits(network: WifiNetwork, secret: object) -> bool:
    """Whether a secret is of the kind that a network needs."""
    if network.eap is not None:
        from init.net import eap

        return eap.usable(network.eap, secret)
    if network.security == "open":
        return secret is None
    return isinstance(secret, str) and usable(secret)


def usable(secret: str) -> bool:
    """Whether a text can be a passphrase: 8 to 63 characters of printable ASCII (IEEE 802.11, annex J)."""
    return 8 <= len(secret) <= 63 and secret.isascii() and secret.isprintable()


def file_name(ssid: str, security: str) -> str:
    """What iwd calls a network's file: its name if that is only of letters, digits, space, _ and -, else hex."""
    plain = ssid.isascii() and all(letter.isalnum() or letter in " _-" for letter in ssid)
    suffix = {"open": "open", "eap": "8021x"}.get(security, "psk")
    return f"{ssid if plain else '=' + ssid.encode().hex()}.{suffix}"


def file_text(number: int, network: WifiNetwork, secret: Secret) -> str:
    """A network as iwd reads it; whatever is special in its format is escaped."""
    lines: list[str] = []
    embedded: list[str] = []
    if isinstance(secret, str):
        lines += ["[Security]", "Passphrase=" + escaped(secret)]
    elif secret is not None and network.eap is not None:
        from init.net import eap

        security, embedded = eap.lines(number, network.eap, secret, escaped)
        lines += ["[Security]", *security]
    lines += ["[Settings]", "AutoConnect=true"]
    if network.hidden:
        lines.append("Hidden=true")
    if network.security == "sae":  # WPA3 or nothing
        lines += ["TransitionDisable=true", "DisabledTransitionModes=personal"]
    return "\n".join([*lines, *embedded, ""])


def write_networks(
    networks: Sequence[WifiNetwork], found: Sequence[Secret], folder: str = STATE, owner: int = IWD_USER
) -> None:
    """Write every network's file, readable only by iwd.  Raises OSError."""
    for number, (network, secret) in enumerate(zip(networks, found, strict=True)):
        path = f"{folder}/{file_name(network.ssid, network.security)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.fchown(descriptor, owner, owner)
        with open(descriptor, "w") as file:
            file.write(file_text(number, network, secret))


def escaped(secret: str) -> str:
    """A value as iwd's files have it (iwd.network(5))."""
    return secret.replace("\\", "\\\\").replace(" ", "\\s")


def prepare(networks: Sequence[WifiNetwork], events: EventWriter, reload: Callable[[], None] | None = None) -> None:
    """All that iwd needs before it starts.  What cannot be had is told; the router goes on with its other uplinks."""
    try:
        (reload or reload_regulatory_database)()
    except OSError as error:
        text = f"the kernel has no list of what each country allows, so that Wi-Fi is slow and quiet: {error.strerror}"
        events.emit("log", source="init", text=text)
    try:
        os.chown(RADIO_SWITCH, IWD_USER, IWD_USER)  # iwd does not run without it
        os.mkdir(STATE, 0o700)
        os.chown(STATE, IWD_USER, IWD_USER)
        write_networks(networks, secrets(networks))
    except CredentialsRefused as problem:
        events.emit("degraded", reason=str(problem))
    except OSError as error:
        events.emit("degraded", reason=f"Wi-Fi cannot run: {error.filename}: {error.strerror}")


# ---- the kernel's list of what each country allows

NETLINK_GENERIC = 16
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 0x10, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NL80211_CMD_RELOAD_REGDB = 126
GENERIC = Struct("=BBH")  # struct genlmsghdr


def reload_regulatory_database() -> None:
    """Have the kernel read /lib/firmware/regulatory.db, which it looked for before the root was there.

    Raises OSError: ENOENT where it is missing, EKEYREJECTED and others where its signature is wrong.
    """
    socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_GENERIC)
    try:
        name = attribute(CTRL_ATTR_FAMILY_NAME, b"nl80211\0")
        family = _family(_ask(socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, name))
        _ask(socket, family, NL80211_CMD_RELOAD_REGDB, b"")
    finally:
        socket.close()


def _ask(socket: native.Socket, kind: int, command: int, payload: bytes) -> bytes:
    """One request, and the attributes of what it is answered with.  Raises OSError where the kernel says no."""
    socket.settimeout(5)
    socket.send(message(kind, NLM_F_REQUEST | NLM_F_ACK, 1, GENERIC.pack(command, 1, 0) + payload))
    answer = b""
    while True:
        for answered, _, body in messages(socket.recv(RECEIVE_BYTES)):
            if answered == NLMSG_ERROR:
                number = refusal(body)
                if number:
                    raise OSError(number, os.strerror(number))
                return answer
            answer = body[GENERIC.size :]


def _family(answer: bytes) -> int:
    """The number of a family of generic netlink.  Raises OSError where the kernel does not say it."""
    number = attributes(answer, 0).get(CTRL_ATTR_FAMILY_ID, b"")
    if len(number) != 2:
        raise OSError(0, "the kernel does not know nl80211")
    return int.from_bytes(number, "little")
