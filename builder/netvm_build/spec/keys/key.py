# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a key of the spec is, and a section of keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from netvm_build.model import Router
from netvm_build.spec.fields.readers import Json, Reader

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """A mapping of keys; `short` is the key that a plain word in its place stands for."""

    path: str
    doc: str
    short: str = ""


@dataclass(frozen=True)
class Key(Generic[T]):
    """A key: its dotted path, how to read it, where its value is in the model, what it means, an example in YAML."""

    path: str
    reader: Reader[T]
    of: Callable[[Router], T]
    doc: str
    example: str
    required: bool = False

    @property
    def default(self) -> T:
        """The model's own default."""
        return self.of(Router())

    def dump(self, router: Router) -> Json:
        return self.reader.dump(self.of(router))
