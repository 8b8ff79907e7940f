"""Wi-Fi: the networks' secrets from the host into iwd's folder, what each country allows into the kernel, iwd itself.

Loaded only where the image has Wi-Fi.  The secrets come by QEMU's fw_cfg, which root alone can read, and go into files
on tmpfs that iwd alone can read (iwd.network(5)); they are in no message, whatever is wrong with them.
"""

from __future__ import annotations

from init import native
from init.children import Program
from init.jsontext import decode_object
from init.native import Struct, os
from init.services import CAP_NET_ADMIN, CAP_NET_RAW, FIRST_TO_GO, IWD_USER, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.config import WifiNetwork
    from init.protocol import Voice

SECRETS = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.netvm/wifi/raw"
SECRETS_VERSION = 1
RADIO_SWITCH = "/dev/rfkill"
STATE = "/var/lib/iwd"
HOW = "start it by `netvm-build run`, or hand them over with -fw_cfg name=opt/org.netvm/wifi,file=FILE"

IWD = Service(
    "iwd",
    Program(("/usr/libexec/iwd",), IWD_USER, frozenset({CAP_NET_ADMIN, CAP_NET_RAW}), FIRST_TO_GO),
    needs=("dbus-daemon",),
    harmless=(
        # what it can do, and what a card can do
        "Wireless daemon version", "Loaded configuration", "No Diffie-Hellman", "No asymmetric key", "TLS based WPA",
        "The following options", "CONFIG_KEY_DH", "CONFIG_ASYMMETRIC", "CONFIG_PKCS", "CONFIG_X509", "No CBC(DES3",
        "No HMAC(SHA512", "Wiphy:", "Permanent Address", "GHz Band", "Bitrates", "HT Capabilities", "VHT Capabilities",
        "HE Capabilities", "HT40", "Short GI", "Short Guard", "Max HE", "Max HT", "Max VHT", "RX MCS", "TX MCS",
        "Ciphers", "Supported iftypes", "Interface Types", "Driver Flags", "Network configuration is disabled",
        "station: Network configuration", "Bit rates", "Non-HT",
        "event: state",  # each step of joining; the uplink's own events tell what comes of it
    ),
)  # fmt: skip


class Handed(Exception):
    """What was handed over cannot be used; the text says why, and holds nothing of it."""


def secrets(networks: Sequence[WifiNetwork], path: str = SECRETS) -> list[str | None]:
    """The secret of each network, in their order; None for an open one.  Raises Handed."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise Handed(f"the secrets of the Wi-Fi networks were not handed over: {HOW}") from None
    except OSError as error:
        raise Handed(f"the secrets of the Wi-Fi networks cannot be read: {error.strerror}") from None
    try:
        document = decode_object(raw.decode())
        listed = document.get("secrets")
        good = document.get("version") == SECRETS_VERSION and isinstance(listed, list)
    except ValueError:
        good = False
    if not good or len(listed) != len(networks):  # type: ignore[arg-type]  # a list, since it is good
        raise Handed(f"the secrets that were handed over are not those of this image's Wi-Fi networks: {HOW}")
    for network, secret in zip(networks, listed, strict=True):  # type: ignore[call-overload]
        wanted = network.security != "open"
        if wanted != isinstance(secret, str) or (wanted and not usable(secret)):
            raise Handed(f"the secret of the Wi-Fi network {network.ssid!r} is not one: {HOW}")
    return listed  # type: ignore[return-value]


def usable(secret: str) -> bool:
    """Whether a text can be a passphrase: 8 to 63 characters of printable ASCII (IEEE 802.11, annex J)."""
    return 8 <= len(secret) <= 63 and secret.isascii() and secret.isprintable()


def file_name(ssid: str, security: str) -> str:
    """What iwd calls a network's file: its name if that is of letters, digits, space, _ and - alone, else hex."""
    plain = ssid.isascii() and all(letter.isalnum() or letter in " _-" for letter in ssid)
    suffix = "open" if security == "open" else "psk"
    return f"{ssid if plain else '=' + ssid.encode().hex()}.{suffix}"


def file_text(network: WifiNetwork, secret: str | None) -> str:
    """A network as iwd reads it; whatever is special in its format is escaped."""
    lines = []
    if secret is not None:
        lines += ["[Security]", "Passphrase=" + escaped(secret)]
    lines += ["[Settings]", "AutoConnect=true"]
    if network.hidden:
        lines.append("Hidden=true")
    if network.security == "sae":  # WPA3 or nothing
        lines += ["TransitionDisable=true", "DisabledTransitionModes=personal"]
    return "\n".join([*lines, ""])


def write_networks(
    networks: Sequence[WifiNetwork], found: Sequence[str | None], folder: str = STATE, owner: int = IWD_USER
) -> None:
    """Write every network's file, for iwd alone to read.  Raises OSError."""
    for network, secret in zip(networks, found, strict=True):
        path = f"{folder}/{file_name(network.ssid, network.security)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.fchown(descriptor, owner, owner)
        with open(descriptor, "w") as file:
            file.write(file_text(network, secret))


def escaped(secret: str) -> str:
    """A value as iwd's files have it (iwd.network(5))."""
    return secret.replace("\\", "\\\\").replace(" ", "\\s")


def prepare(networks: Sequence[WifiNetwork], voice: Voice, reload: Callable[[], None] | None = None) -> None:
    """All that iwd needs before it starts.  What cannot be had is told; the router goes on with its other uplinks."""
    try:
        (reload or reload_regulatory_database)()
    except OSError as error:
        text = f"the kernel has no list of what each country allows, so that Wi-Fi is slow and quiet: {error.strerror}"
        voice.say("log", source="init", text=text)
    try:
        os.chown(RADIO_SWITCH, IWD_USER, IWD_USER)  # iwd does not run without it
    except OSError as error:
        voice.say("degraded", reason=f"Wi-Fi cannot run: {RADIO_SWITCH}: {error.strerror}: the kernel needs RFKILL")
    os.mkdir(STATE, 0o700)
    os.chown(STATE, IWD_USER, IWD_USER)
    try:
        found = secrets(networks)
    except Handed as problem:
        voice.say("degraded", reason=str(problem))
        return
    write_networks(networks, found)


# ---- what iwd says of a network that will not have us

JOINING, JOINED = "event: connect-info, ssid: ", "new: connected"
FAILED = ("event: connect-failed", "event: disconnect-info")
"""How an attempt ends without being joined: iwd gives up, or the access point sends us away (a wrong passphrase)."""
UNHEARD = "event: connect-timeout"
"""No answer: the access point has gone, or it is far away; that is no refusal."""
REASONS = ("handshake failed", "Received Deauthentication", *FAILED)
TIMES = 2


class Refusals:
    """Hears iwd: which network it tries, and whether that network refuses; tells it once until it can be joined."""

    def __init__(self, networks: Sequence[WifiNetwork], voice: Voice) -> None:
        self._networks = networks
        self._voice = voice
        self._trying = ""
        self._words = ""
        self._failures: dict[str, int] = {}

    def hear(self, line: str) -> None:
        """One line of iwd's."""
        _, joining, rest = line.partition(JOINING)
        if joining:
            self._trying, self._words = rest.partition(", bss: ")[0], ""
        elif JOINED in line:
            self._failures.pop(self._trying, None)
            self._trying = ""
        elif UNHEARD in line:
            self._trying = ""
        elif self._trying and any(text in line for text in REASONS):
            self._words = self._words or line.strip()[:120]
            if any(text in line for text in FAILED):
                self._count()

    def _count(self) -> None:
        """An attempt has failed; what is heard of it further does not count again."""
        for number, network in enumerate(self._networks):
            if network.ssid == self._trying:
                times = self._failures[network.ssid] = self._failures.get(network.ssid, 0) + 1
                if times == TIMES:
                    self._voice.say("degraded", reason=refusal(number, network, self._words))
        self._trying = ""


def refusal(number: int, network: WifiNetwork, line: str) -> str:
    """What to tell of a network that refused, with iwd's own words and the key of the spec to look at."""
    key = "security" if network.security == "open" else "secret"
    return f"the Wi-Fi network {network.ssid!r} cannot be joined (iwd: {line}): check wifi.networks[{number}].{key}"


# ---- the kernel's list of what each country allows

NETLINK_GENERIC = 16
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 0x10, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NL80211_CMD_RELOAD_REGDB = 126
NLM_F_REQUEST_ACK, NLMSG_ERROR = 5, 2
HEADER = Struct("=IHHII")  # struct nlmsghdr
GENERIC = Struct("=BBH")  # struct genlmsghdr
ATTRIBUTE = Struct("=HH")  # struct nlattr


def reload_regulatory_database() -> None:
    """Have the kernel read /lib/firmware/regulatory.db, which it looked for before the root was there.

    Raises OSError: ENOENT where it is missing, EKEYREJECTED and the like where its signature is wrong.
    """
    socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_GENERIC)
    try:
        name = b"nl80211\0"
        attribute = ATTRIBUTE.pack(ATTRIBUTE.size + len(name), CTRL_ATTR_FAMILY_NAME) + name
        family = _family(_ask(socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attribute))
        _ask(socket, family, NL80211_CMD_RELOAD_REGDB, b"")
    finally:
        socket.close()


def _ask(socket: native.Socket, kind: int, command: int, attributes: bytes) -> bytes:
    """One request, and the attributes of what it is answered with.  Raises OSError where the kernel says no."""
    payload = GENERIC.pack(command, 1, 0) + attributes
    socket.send(HEADER.pack(HEADER.size + len(payload), kind, NLM_F_REQUEST_ACK, 1, 0) + payload)
    answer = b""
    while True:
        data = socket.recv(32768)
        while data:
            length, answered, _, _, _ = HEADER.unpack_from(data)
            if answered == NLMSG_ERROR:
                number = -int.from_bytes(data[16:20], "little", signed=True)
                if number:
                    raise OSError(number, os.strerror(number))
                return answer
            answer = data[HEADER.size + GENERIC.size : length]
            data = data[(length + 3) & ~3 :]


def _family(attributes: bytes) -> int:
    """The number of a family of generic netlink.  Raises OSError where the kernel does not say it."""
    while len(attributes) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(attributes)
        if kind == CTRL_ATTR_FAMILY_ID:
            return int.from_bytes(attributes[4:6], "little")
        attributes = attributes[max((length + 3) & ~3, ATTRIBUTE.size) :]
    raise OSError(0, "the kernel does not know nl80211")
