# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reading an entry of a list that is a mapping with keys of its own: a forwarded port, an uplink, a Wi-Fi network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netvm_build.spec.fields.names import keyed
from netvm_build.spec.fields.readers import At, Json, Reader
from netvm_build.spec.scalars import ReadError, nearest
from netvm_build.spec.yaml_nodes import Node, joined


@dataclass(frozen=True)
class EntryReader:
    """`kind` is such as "an uplink", `hint` how one is written.  `needed` are the keys that must be given, each with a
    stand-in with which the rest of an entry is checked by the rules where that key is missing or wrong.

    `also_called` are other names that somebody may give a key; `instead` is what to do about a key that there is not,
    by its path, where more can be said of it.  `examples` are of the keys that are lists.
    """

    kind: str
    readers: Mapping[str, Reader[Json]]
    needed: Mapping[str, Any]
    hint: str
    also_called: Mapping[str, str] = field(default_factory=dict)
    instead: Callable[[str], str | None] = lambda _: None
    examples: Mapping[str, str] = field(default_factory=dict)

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON Schema has it."""
        return {
            "type": "object",
            "properties": {key: dict(reader.schema) for key, reader in self.readers.items()},
            "required": list(self.needed),
            "additionalProperties": False,
        }

    def read(self, node: Node, at: At) -> dict[str, Any]:
        """The values of the keys that can be read, and stand-ins for those of `needed` that cannot.

        Every problem is reported.  Raises ReadError for what has no keys.
        """
        values = dict(keyed(node, at, self.kind, self.hint.removeprefix("write "), self._one))
        written = {entry.key for entry in node.entries}  # type: ignore[union-attr]  # keyed has seen a mapping
        meant = {self._meant(key) for key in written}
        missing = [key for key in self.needed if key not in meant]
        if missing:
            at.mistake(node, ReadError(f"{' and '.join(missing)} of {self.kind} must be given", self.hint))
        at.log.unread.update(joined(at.path, key) for key in (*missing, *(meant - written)) if key is not None)
        return dict(self.needed) | values

    def _meant(self, key: str) -> str | None:
        """The key that somebody means by a word."""
        return key if key in self.readers else self.also_called.get(key.lower()) or nearest(key, self.readers)

    def _one(self, key: str, value: Node, here: At) -> tuple[str, Json]:
        if key not in self.readers:
            meant, every = self._meant(key), f"{self.kind} has the keys {', '.join(self.readers)}"
            hint = every if meant is None else f"did you mean {meant}?"
            raise ReadError(f"is not a key of {self.kind}", self.instead(here.path) or hint, line=here.line)
        return key, self.readers[key].read(value, replace(here, example=self.examples.get(key, "")))
