"""A spec in YAML → model.Router: every problem at once, each with line and path."""

from __future__ import annotations

from builder.spec.document import reference, schema, starter
from builder.spec.load import Loaded, load, parse
from builder.spec.show import full_spec, show

__all__ = ["Loaded", "full_spec", "load", "parse", "reference", "schema", "show", "starter"]
