# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reader of where a secret is found: what somebody writes in its place may be the secret, and no message repeats it."""

from __future__ import annotations

import re

from netvm_build.model import Secret
from netvm_build.spec import yaml_nodes
from netvm_build.spec.fields.readers import At, Reader
from netvm_build.spec.scalars import ReadError
from netvm_build.spec.yaml_nodes import Node, Scalar

WHERE = "write {file: PATH} or {env: NAME}: a spec never holds the secret itself; change it if it was real"


def _read_secret(node: Node, at: At) -> Secret:
    if not isinstance(node, yaml_nodes.Mapping):
        raise ReadError("is not where a secret is to be found", WHERE)
    found: dict[str, str] = {}
    for entry in node.entries:
        if entry.key not in ("file", "env"):
            raise ReadError("names something else than file or env", WHERE, line=entry.line)
        value = entry.value
        if not isinstance(value, Scalar) or not value.text or not value.text.isprintable():
            raise ReadError("has no value that could be used", WHERE, line=entry.line, path=entry.key)
        found[entry.key] = value.text
    if len(found) != 1:
        raise ReadError("must name a file or a variable, and only one of them", WHERE)
    if "env" in found:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", found["env"]):
            hint = "name a variable in capital letters, digits and underscores, such as NETVM_WIFI_HOME"
            raise ReadError("is not the name of a variable", hint, path="env")
        return Secret(env=found["env"])
    return Secret(file=str((at.log.folder / found["file"]).absolute()))


SECRET: Reader[Secret] = Reader(
    "{file: PATH} or {env: NAME}",
    {
        "type": "object",
        "properties": {"file": {"type": "string"}, "env": {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]{0,127}$"}},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    },
    _read_secret,
    lambda secret: {"file": secret.file} if secret.file is not None else {"env": secret.env},
)
