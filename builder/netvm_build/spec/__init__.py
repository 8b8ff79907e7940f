# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A spec in YAML → model.Router: every problem at once, each with line and path."""

from __future__ import annotations

from netvm_build.spec.assemble import DEFAULT
from netvm_build.spec.document import reference, schema, starter
from netvm_build.spec.load import Draft, Loaded, draft, load, parse
from netvm_build.spec.show import full_spec, show
from netvm_build.spec.stored import from_full_spec

__all__ = [
    "DEFAULT",
    "Draft",
    "Loaded",
    "draft",
    "from_full_spec",
    "full_spec",
    "load",
    "parse",
    "reference",
    "schema",
    "show",
    "starter",
]
