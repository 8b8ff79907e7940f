# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Documents generated from the table of keys: JSON Schema, Markdown reference, starter spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netvm_build.model import Router
from netvm_build.spec import yaml_nodes
from netvm_build.spec.absent import ABSENT
from netvm_build.spec.fields.readers import At, Json, Log
from netvm_build.spec.keys import KEYS, SECTIONS, VERSION_READ, Key, Section
from netvm_build.spec.show import flow, full_spec
from netvm_build.spec.yaml_nodes import written

_INTRODUCTION = """\
# The spec, version {version}

This page is made from the table of keys in `builder/netvm_build/spec/keys`, as are the reader of the spec and its JSON
Schema (`netvm-build schema`).

A spec is one file, by custom `netvm.yaml`. Everything but `version` has a default that is right for a router VM;
`netvm-build check --show` prints the full spec and where each value came from. This is what `netvm-build init` writes:

```yaml
{starter}```

The file is YAML in UTF-8 of at most 1 MiB, with one document. What it has no use for is refused: anchors, aliases,
merge keys, tags, keys given twice. Texts that YAML would read as something else must be in quotes: a MAC of only
digits such as '52:54:00:12:34:56' is a number to YAML, and `no` a boolean. A boolean is true or false (yes, no, on and
off are read too). Kernel versions and kernel options are read as they are written, so 6.10 stays 6.10. A key whose
default is none, a list or a mapping can stand without a value, and so can a section.

All problems are reported at once, each with its line. `netvm-build check` exits with 2 where there is one.
"""

_STARTER = """\
# A router VM.  Every other key has a default: `netvm-build check --show` lists them.
version: 1
name: {name}

kernel:
  fragments: [intel, realtek, virtio, vmware]   # `netvm-build kernel list` shows all
  config:
    IP_NF_NAT: yes                 # any kernel option: yes, module, no, unset, a number or a text

uplink:
  dhcp: true

clients:
  oui: 0A:B3:EC                    # the first half of every client's MAC
  pool: 100.115.92.0/23            # 256 clients, a /31 each
  dns: forward                     # to the uplink's resolvers; or none

machine:
  memory_mib: 96
"""


def starter(name: str) -> str:
    """A commented spec of fewer than 20 lines; whether the router can have that name is for `parse` to say."""
    return _STARTER.format(name=written(name))


def schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a spec, for editors: shapes and alphabets, not the rules that span keys."""
    top = _object("", f"The spec of a router VM, version {VERSION_READ}.", full_spec(Router()))
    top["required"] = [key.path for key in KEYS if key.required]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "netvm.yaml", **top}


def _object(section: str, doc: str, defaults: Mapping[str, Json]) -> dict[str, Json]:
    """The schema of the keys of one section ("": of the whole spec)."""
    properties: dict[str, Json] = {}
    for key in KEYS:
        inside, _, name = key.path.rpartition(".")
        if inside == section:
            about = {"description": _plain(key.doc), "default": defaults[name], "examples": [_example(key)]}
            properties[name] = {**key.reader.schema, **about}
    for inner in SECTIONS if not section else ():
        properties[inner.path] = _section(inner, defaults[inner.path])
    shape = {"type": ["object", "null"] if section else "object", "additionalProperties": False}
    return {"description": _plain(doc), **shape, "properties": properties}


def _section(section: Section, defaults: Mapping[str, Json]) -> dict[str, Json]:
    described = _object(section.path, section.doc, defaults)
    if not section.short:
        return described
    short = next(key for key in KEYS if key.path == section.short)
    return {"description": described.pop("description"), "anyOf": [described, dict(short.reader.schema)]}


def _example(key: Key[Any]) -> Json:
    """The example as JSON, by way of the reader that the spec itself is read with."""
    example = yaml_nodes.compose(key.example, "").root or yaml_nodes.Invalid(0)
    return key.reader.dump(key.reader.read(example, At(Log("", Path("/"), stored=True), key.path, 1)))


def _plain(doc: str) -> str:
    return doc.replace("`", "")


def reference() -> str:
    """The reference of the format in Markdown: docs/reference/spec.md."""
    parts = [_INTRODUCTION.format(version=VERSION_READ, starter=starter(Router().name))]
    defaults = full_spec(Router())
    parts.append(_table("", defaults))
    for section in SECTIONS:
        parts.append(f"## {section.path}\n\n{section.doc}\n")
        parts.append(_table(section.path, defaults[section.path]))
    parts.append(_absent())
    return "\n".join(parts)


def _absent() -> str:
    """What users look for and the format doesn't have."""
    rows = ["## What there is no key for", "", "`netvm-build check` answers such a key with this reason.", ""]
    rows += ["| what | keys, for example | reason, and what to do |", "|---|---|---|"]
    for one in ABSENT:
        section = f"{one.sections[0]}." if one.sections[0] else ""
        examples = ", ".join(f"`{section}{name}`" for name in one.names[:3])
        rows.append(f"| {one.what} | {examples} | {one.answer} |")
    return "\n".join(rows) + "\n"


def _table(section: str, defaults: Mapping[str, Json]) -> str:
    rows = ["| key | value | default | meaning | example |", "|---|---|---|---|---|"]
    for key in KEYS:
        inside, _, name = key.path.rpartition(".")
        if inside == section:
            default = "must be given" if key.required else _code(flow(defaults[name]))
            cells = (_code(key.path), key.reader.type, default, key.doc, _code(f"{name}: {key.example}"))
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _code(text: str) -> str:
    return "none" if text == "null" else f"`{text}`"
