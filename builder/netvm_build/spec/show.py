# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router as the full spec it stands for: as JSON, and as YAML that says where every value came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from netvm_build.model import Router
from netvm_build.spec.fields.readers import Json
from netvm_build.spec.keys import KEYS
from netvm_build.spec.load import Loaded
from netvm_build.spec.yaml_nodes import joined, written

COMMENT_COLUMN = 40
_ENTRIES = frozenset({"uplinks", "clients.named", "clients.forwards", "wifi.networks", "image.files", "image.services"})
"""Lists with an item on each line."""
_PLAIN_OPTION = re.compile(r"yes|no|[0-9]+|0x[0-9a-f]+")  # as a kernel option's value these need no quotes


def full_spec(router: Router) -> dict[str, Json]:
    """The whole spec, every default filled in: what json.dumps takes, and what `parse` reads back into the same router.

    Left out are the folders of a spec's own fragments, which follow from where the spec is, and `uplink` where there
    are `uplinks`, since the two exclude each other.
    """
    spec: dict[str, Json] = {}
    for key in KEYS:
        section, _, name = key.path.rpartition(".")
        if section == "uplink" and router.uplinks:
            continue
        place = spec.setdefault(section, {}) if section else spec
        place[name] = key.dump(router)
    return spec


def show(loaded: Loaded) -> str:
    """The full spec in YAML; a comment on each line says where its value came from: ``netvm.yaml:6``, or default."""
    lines = []
    for text, path in _lines(full_spec(loaded.router), ""):
        source = loaded.origins.get(path, "") if path else ""
        lines.append(f"{text:<{COMMENT_COLUMN - 2}}  # {source}" if source else text)
    return "\n".join(lines) + "\n"


def _lines(value: dict[str, Json], path: str) -> Iterator[tuple[str, str]]:
    """Each line with the dotted path of the value on it, or with none where the lines below say more."""
    indent = "  " * (path.count(".") + bool(path))
    for key, inner in value.items():
        here = joined(path, key)
        if path == "kernel.config" or not isinstance(inner, dict) or not inner:
            yield from _value(f"{indent}{key}:", inner, here, indent)
        else:
            yield f"{indent}{key}:", ""
            yield from _lines(inner, here)


def _value(start: str, value: Json, path: str, indent: str) -> Iterator[tuple[str, str]]:
    if path in _ENTRIES and value:
        yield start, ""
        for number, item in enumerate(value):
            yield f"{indent}  - {flow(item)}", f"{path}[{number}]"
    else:
        plain = path.startswith("kernel.config.") and isinstance(value, str) and _PLAIN_OPTION.fullmatch(value)
        yield f"{start} {value if plain else flow(value)}", path


def flow(value: Json) -> str:
    """A value on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    return written(value) if isinstance(value, str) else json.dumps(value)
