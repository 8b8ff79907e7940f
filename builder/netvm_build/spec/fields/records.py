"""Reading an entry of a list that is a mapping with keys of its own: a forwarded port, an uplink, a Wi-Fi network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netvm_build.spec.fields.names import keyed
from netvm_build.spec.fields.readers import At, Json, Reader, ReportedError
from netvm_build.spec.marks import Node
from netvm_build.spec.values import ReadError, did_you_mean


@dataclass(frozen=True)
class Record:
    """`kind` is such as "an uplink", `hint` how one is written.  `instead` is what to do about a key that there is not,
    by its path, where more can be said of it than which there are.  `examples` are of the keys that are lists.
    """

    kind: str
    readers: Mapping[str, Reader[Json]]
    needed: tuple[str, ...]
    hint: str
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
        """The values of the keys that are written.  Raises ReadError, or ReportedError if one was refused already."""
        values = dict(keyed(node, at, self.kind, self.hint.removeprefix("write "), self._one))
        written = {entry.key for entry in node.entries}  # type: ignore[union-attr]  # keyed has seen a mapping
        missing = [key for key in self.needed if key not in written]
        if missing:
            raise ReadError(f"{' and '.join(missing)} of {self.kind} must be given", self.hint)
        if written - set(values):
            raise ReportedError
        return values

    def _one(self, key: str, value: Node, here: At) -> tuple[str, Json]:
        if key not in self.readers:
            known = tuple(self.readers)
            hint = self.instead(here.path) or did_you_mean(key, known) or f"{self.kind} has the keys {', '.join(known)}"
            raise ReadError(f"is not a key of {self.kind}", hint, line=here.line)
        return key, self.readers[key].read(value, replace(here, example=self.examples.get(key, "")))
