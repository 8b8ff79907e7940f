# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of drivers and firmware: families of network cards, modules, packages of firmware."""

from __future__ import annotations

from netvm_build.model import AUTO, NIC_FAMILIES
from netvm_build.spec.fields.readers import At, Json, Reader, choice, list_of, pattern
from netvm_build.spec.yaml_nodes import Node, Scalar

MODULE = pattern(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}",
    "the name of a fragment or of a module",
    "write a fragment, such as intel, or a module as /proc/modules has it, such as e1000e",
)
FIRMWARE = pattern(
    r"(?!firmware-)[a-z0-9][a-z0-9+.-]{1,62}",
    "the name of a package of firmware",
    "write Debian's name of it without `firmware-`, such as realtek for firmware-realtek",
    lambda value: value.lower().removeprefix("firmware-"),
)

_FAMILIES = list_of(choice(tuple(NIC_FAMILIES), "a family of network cards"), unique=True)


def _read_nics(node: Node, at: At) -> tuple[str, ...]:
    if isinstance(node, Scalar) and node.text == AUTO:
        return (AUTO,)
    return _FAMILIES.read(node, at)


def _dump_nics(families: tuple[str, ...]) -> Json:
    return AUTO if families == (AUTO,) else list(families)


NICS: Reader[tuple[str, ...]] = Reader(
    f"{_FAMILIES.type}; or {AUTO}",
    {"anyOf": [dict(_FAMILIES.schema), {"const": AUTO}]},
    _read_nics,
    _dump_nics,
    nullable=True,
)
