# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The full spec in an image's manifest → the router, by the readers of specs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netvm_build.model import Router
from netvm_build.spec import keys, yaml_nodes
from netvm_build.spec.assemble import read_router
from netvm_build.spec.fields.readers import Json, Log
from netvm_build.spec.keys import KEYS, SECTIONS
from netvm_build.spec.yaml_nodes import MAX_DEPTH, Entry, Node, Scalar
from netvm_build.util.errors import SpecError


def from_full_spec(spec: Mapping[str, Json]) -> Router:
    """The router that `full_spec` wrote, maybe that of another version.  Raises SpecError with every problem.

    Keys that this version doesn't know are ignored, and keys that are missing have their defaults.  The image is built,
    so the rules that span keys aren't applied again, and certificates aren't read: their text is empty.
    """
    log = Log("", Path("/"), stored=True)
    for path in (section.path for section in SECTIONS):
        if not isinstance(spec.get(path, {}), dict):
            log.add(0, path, "must be an object", None)
    entries = {keys.router.VERSION.path: Entry("", 0, _node(keys.VERSION_READ))}
    for key in KEYS:
        section, _, name = key.path.rpartition(".")
        place = spec.get(section) if section else spec
        if isinstance(place, dict) and name in place and not (section == "uplink" and spec.get("uplinks")):
            entries[key.path] = Entry(name, 0, _node(_known(place[name], key.reader.schema)))
    router = read_router(entries, log)
    if log.problems:
        raise SpecError(log.problems)
    return router


def _known(value: Json, schema: Mapping[str, Json]) -> Json:
    """A value without the members that its JSON Schema doesn't have."""
    for one in schema.get("anyOf", ()):
        value = _known(value, one)
    if isinstance(value, list) and "items" in schema:
        return [_known(one, schema["items"]) for one in value]
    if isinstance(value, dict) and "properties" in schema:
        return {name: _known(value[name], inner) for name, inner in schema["properties"].items() if name in value}
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return {name: _known(inner, schema["additionalProperties"]) for name, inner in value.items()}
    return value


def _node(value: Json, depth: int = 0) -> Node:
    """A JSON value as the node that YAML has for it; no value of a spec is nested so deeply that it is left out."""
    if depth > MAX_DEPTH:
        return yaml_nodes.Invalid(0)
    if isinstance(value, dict):
        return yaml_nodes.Mapping(tuple(Entry(name, 0, _node(one, depth + 1)) for name, one in value.items()), 0)
    if isinstance(value, list):
        return yaml_nodes.Sequence(tuple(_node(one, depth + 1) for one in value), 0)
    if isinstance(value, str):
        return Scalar(value.encode(errors="replace").decode(), 0, quoted=True)
    kind = {bool: "bool", int: "int", float: "float"}.get(type(value), "null")
    return Scalar("" if value is None else str(value).lower(), 0, kind)
