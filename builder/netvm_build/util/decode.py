# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""JSON values into dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known_members(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a JSON object that are fields of a dataclass.  Others are ignored: a later version wrote them."""
    return {field.name: document[field.name] for field in fields(kind) if field.name in document}
