# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reader of a service that a spec adds to the router."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netvm_build.model import CAPABILITIES, EXTRA_CALLS, LABEL, Service
from netvm_build.spec.fields.names import BOOLEAN
from netvm_build.spec.fields.readers import At, Json, Reader, list_of, pattern, scalar, whole_number
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.scalars import ReadError, did_you_mean, text
from netvm_build.spec.yaml_nodes import Node, Scalar, Sequence, shown

MOST_WORDS, LONGEST_WORD = 64, 1024

_NAME = pattern(
    LABEL.replace("{0,61}", "{0,29}"),
    "the name of a service",
    "write lower-case letters, digits and hyphens, at most 31, such as dns",
)


def _parse_word(node: Scalar) -> str:
    """Any word of a command; a number stays as it is written."""
    value = node.text if node.kind in ("int", "float") else text(node)
    if not value or len(value) > LONGEST_WORD or not value.isprintable():
        hint = f"write 1 to {LONGEST_WORD} characters that can be printed; there is no shell: one word an item"
        raise ReadError(f"{shown(value[:40])} is not a word of a command", hint)
    return value


_WORD = scalar("a word", _parse_word, {"type": ["string", "number"], "minLength": 1, "maxLength": LONGEST_WORD})
_WORDS = list_of(_WORD)
_PROGRAM = re.compile(r"/(?:usr|opt|srv)(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._+@-]+)+")


def _read_command(node: Node, at: At) -> tuple[str, ...]:
    """Words; the first is the path of a program.  Only what is wrong with them is reported."""
    if isinstance(node, Scalar):
        words = ", ".join(node.text.split())
        raise ReadError(f"{shown(node.text[:60])} is not a list of words", f"write [{words}]: there is no shell")
    command = _WORDS.read(node, at)
    if isinstance(node, Sequence) and (not node.items or len(node.items) > MOST_WORDS):
        raise ReadError(f"{len(node.items)} words are no command", f"write 1 to {MOST_WORDS} words, the program first")
    if at.log.whole(at.path) and not _PROGRAM.fullmatch(command[0]):
        hint = "write its absolute path below /usr, /opt or /srv, such as /usr/sbin/dnsmasq"
        raise ReadError(f"{shown(command[0][:60])} is not the path of a program in the root", hint)
    return command


_COMMAND: Reader[tuple[str, ...]] = Reader(
    "a list of words", {**_WORDS.schema, "type": "array", "minItems": 1}, _read_command, _WORDS.dump
)


def _parse_port(node: Scalar) -> tuple[str, int]:
    found = re.fullmatch(r"(tcp|udp)/([1-9][0-9]{0,4})", node.text)
    if found and int(found[2]) <= 65535:
        return found[1], int(found[2])
    number = re.search(r"[0-9]{1,5}", node.text)
    hint = f"write tcp/{number[0] if number else 53} or udp/{number[0] if number else 53}"
    raise ReadError(f"{shown(node.text[:40])} is not a port of a service", hint)


_PORT = scalar(
    "a port such as tcp/53",
    _parse_port,
    {"type": "string", "pattern": "^(tcp|udp)/[1-9][0-9]{0,4}$"},
    lambda port: f"{port[0]}/{port[1]}",
)


def _parse_capability(node: Scalar) -> str:
    name = node.text.upper().removeprefix("CAP_")
    if node.text in CAPABILITIES:
        return node.text
    what = "; ".join(f"{one} to {why}" for one, why in CAPABILITIES.items())
    hint = f"did you mean {name}?" if name in CAPABILITIES else f"there are {what}: others could undo the firewall"
    raise ReadError(f"{shown(node.text[:40])} can't be given to a service", hint)


_CAPABILITY = scalar("a capability", _parse_capability, {"type": "string", "enum": list(CAPABILITIES)})


def _parse_call(node: Scalar) -> str:
    if node.text in EXTRA_CALLS:
        return node.text
    near = did_you_mean(node.text, EXTRA_CALLS, 0.75)
    hint = near or f"these can be given beside what each service may call: {', '.join(EXTRA_CALLS)}"
    raise ReadError(f"{shown(node.text[:40])} is not a system call that can be given to a service", hint)


_CALL = scalar("a system call", _parse_call, {"type": "string", "enum": list(EXTRA_CALLS)})

_KEYS: Mapping[str, Reader[Json]] = {
    "name": _NAME,
    "command": _COMMAND,
    "ports": list_of(_PORT, unique=True),
    "outgoing": BOOLEAN,
    "capabilities": list_of(_CAPABILITY, unique=True),
    "calls": list_of(_CALL, unique=True),
    "memory_mib": whole_number(1, 4096, "MiB"),
    "required": BOOLEAN,
}

_NOT_THERE: Mapping[str, str] = {
    **dict.fromkeys(("user", "uid", "group", "gid"), "remove it: each service has a user and a group of its own"),
    "restart": "remove it: PID 1 starts a service that ended again, with a growing pause",
    **dict.fromkeys(("environment", "env"), "write a file of settings in image.files, and name it in the command"),
    **dict.fromkeys(("uplink_ports", "wan_ports", "listen"), "uplinks reach no service; `ports` are for clients"),
}

_SERVICE = EntryReader(
    "a service",
    _KEYS,
    {"name": "", "command": ("",)},
    "write {name: dns, command: [/usr/sbin/dnsmasq, --keep-in-foreground]}",
    {**dict.fromkeys(("exec", "cmd", "argv", "program", "exec_start"), "command"), "caps": "capabilities"},
    instead=lambda path: _NOT_THERE.get(path.rpartition(".")[2].lower()),
    examples={
        "command": "[/usr/sbin/dnsmasq, --keep-in-foreground]",
        "ports": "[udp/53, tcp/53]",
        "capabilities": "[NET_BIND_SERVICE]",
        "calls": "[clone, wait4]",
    },
)


def _dump(service: Service) -> Json:
    """Keys that say what is so anyway are left out."""
    values = {key: (getattr(service, key), _KEYS[key]) for key in _KEYS}
    return {
        key: reader.dump(value)
        for key, (value, reader) in values.items()
        if key in _SERVICE.needed or value != getattr(_PLAIN, key)
    }


_PLAIN = Service("", ())

SERVICE: Reader[Service] = Reader(
    "{name: a name, command: a list of words, ports: such as [udp/53], outgoing: true or false, capabilities: a list,"
    " calls: a list, memory_mib: a number, required: true or false}",
    _SERVICE.schema,
    lambda node, at: Service(**_SERVICE.read(node, at)),
    _dump,
)
