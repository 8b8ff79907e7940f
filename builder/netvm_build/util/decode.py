# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""JSON into frozen dataclasses, as their annotations say: the one decoder of documents, records and messages.

Members that a type doesn't have are ignored, since a later version may write them; members that a document doesn't have
take the field's default.  Types are strict: no text for a number, no fraction for a whole number, no number for a
boolean.  `Annotated` adds a rule, which is made when the first document is read:

    sha256: Annotated[str, matching("[0-9a-f]{64}", "64 hexadecimal digits in lower case")]

msgspec is imported when it is first needed, because most commands read no document.  The text itself is parsed by the
standard library: names of files that aren't UTF-8 are lone surrogates in JSON, which msgspec refuses.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from netvm_build.util.errors import MOST_PROBLEMS, NetvmError

if TYPE_CHECKING:
    from msgspec import Meta

T = TypeVar("T")

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 60  # characters of a wrong value
_UNFIT = object()
_OBJECTS, _UNIONS = (dict, Mapping), (Union, UnionType)
_NOUNS: Mapping[Any, str] = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
    Path: "a path",
    tuple: "a list",
    **dict.fromkeys(_OBJECTS, "an object"),
}


class DecodeError(NetvmError):
    """A document that isn't what its type says; `problems` are lines such as ``kernel.path: must be text, not 3``."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def in_file(self, file: object) -> str:
        """The problems, each with the name of a file before it."""
        return "\n".join(f"{file}: {problem}" for problem in self.problems)


def matching(expression: str, what: str) -> Meta:
    """The rule that a text matches an expression as a whole; `what` says so in words."""
    from msgspec import Meta

    return Meta(pattern=rf"\A(?:{expression})\Z", description=what)


def one_of(words: Iterable[str]) -> Meta:
    """The rule that a text is one of several."""
    return matching("|".join(map(re.escape, words)), " or ".join(words))


def at_least(low: int) -> Meta:
    """The rule that a number isn't less than another."""
    from msgspec import Meta

    return Meta(ge=low, description=f"a whole number from {low}")


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises DecodeError for what isn't JSON (RFC 8259, which knows neither NaN nor Infinity), is nested too deeply for
    Python, or has a number that Python cannot hold.
    """
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"cut off or not JSON: {error}") from error


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if isfinite(number) else _no_number(digits)


def decode_version(kind: type[T], text: str | bytes, version: int) -> T:
    """A value of a type from the text of an object with a member `version`.  Raises DecodeError."""
    return decode(kind, of_version(read_json(text), version))


def of_version(document: object, version: int) -> Mapping[str, Any]:
    """A JSON value if it is an object of this version.  Raises DecodeError."""
    if not isinstance(document, dict):
        raise DecodeError("must be a JSON object")
    found = document.get("version")
    if type(found) is not int or found != version:
        raise DecodeError(f"version {_shown.repr(found)} is unknown; this netvm-build reads version {version}")
    return document


def decode(kind: type[T], document: object) -> T:
    """A value of a type from the value of a JSON text.  Raises DecodeError with everything that is wrong with it."""
    value = decode_or_none(kind, document)
    if value is None:
        problems = list(_problems(kind, document, ""))
        more = [f"and {len(problems) - MOST_PROBLEMS} more problems"] if len(problems) > MOST_PROBLEMS else []
        raise DecodeError(*problems[:MOST_PROBLEMS], *more)
    return value


def decode_or_none(kind: type[T], document: object) -> T | None:
    """As `decode`, but None where it raises: for a guest's messages, where nobody reads what is wrong."""
    from msgspec import ValidationError

    try:
        return _convert(kind, document)
    except (ValidationError, UnicodeEncodeError, RecursionError):
        return None


def decode_fitting(kind: type[T], document: object) -> T:
    """As `decode`, but members and items that aren't what their types say are left out.

    For types whose members all have defaults.
    """
    found = decode_or_none(kind, document)
    return found if found is not None else _convert(kind, _fitting(kind, document, {}))


def _fitting(kind: Any, value: Any, otherwise: Any) -> Any:
    """A value without the parts that don't fit; `otherwise` where nothing of it does."""
    if decode_or_none(kind, value) is not None:
        return value
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind, include_extras=True)
        parts = {name: _fitting(hint, value[name], _UNFIT) for name, hint in hints.items() if name in value}
        rest = {name: part for name, part in parts.items() if part is not _UNFIT}
        return rest if decode_or_none(kind, rest) is not None else otherwise
    if isinstance(value, list) and get_origin(kind) is tuple:
        items = (_fitting(get_args(kind)[0], one, _UNFIT) for one in value)
        return [one for one in items if one is not _UNFIT]
    return otherwise


def _convert(kind: type[T], document: object) -> T:
    from msgspec import convert

    return convert(document, kind, dec_hook=_from_text)


def _from_text(kind: type[Any], value: object) -> Any:
    """A value of a type that JSON doesn't have, which is written as text."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"{value!r} is not {kind.__name__}")


def _problems(kind: Any, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value: with its parts, or, where all of those are right, with itself."""
    from msgspec import ValidationError

    wrong = ""
    try:
        _convert(kind, value)
    except (UnicodeEncodeError, RecursionError):
        wrong = "has a member whose name is not UTF-8, or is nested too deeply"
    except ValidationError as error:
        wrong = _wrong(kind, value, str(error).partition(" - at ")[0])
    if not wrong:
        return
    found = False
    for one in _parts(kind, value, path):
        lines = [one] if isinstance(one, str) else _problems(*one)
        for line in lines:
            found = True
            yield line
    if not found:
        yield f"{path}: {wrong}" if path else wrong


def _parts(kind: Any, value: Any, path: str) -> Iterator[tuple[Any, Any, str] | str]:
    """Each part of a value with its type and its path, and a line for each part that is missing."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _parts(args[0], value, path)
    elif is_dataclass(kind) and isinstance(value, dict):
        yield from _members(kind, value, path)
    elif isinstance(value, dict) and origin in _OBJECTS:
        for key, inner in value.items():
            yield args[0], key, f"{path}.{key}".lstrip(".")
            yield args[1], inner, f"{path}.{key}".lstrip(".")
    elif isinstance(value, list) and origin is tuple:
        for number, inner in enumerate(value):
            yield args[0], inner, f"{path}[{number}]"
    elif isinstance(value, dict) and origin in _UNIONS:
        yield from ((one, value, path) for one in args if is_dataclass(one))


def _members(kind: Any, value: Mapping[str, Any], path: str) -> Iterator[tuple[Any, Any, str] | str]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        here = f"{path}.{field.name}".lstrip(".")
        if field.name in value:
            yield hints[field.name], value[field.name], here
        elif field.default is MISSING and field.default_factory is MISSING:
            yield f"{here}: is missing"


def _wrong(kind: Any, value: object, said: str) -> str:
    """What is wrong with a value that has no parts, and the rule."""
    rules = [rule.description for rule in get_args(kind)[1:]] if get_origin(kind) is Annotated else []
    rule = rules[0] if rules else _NOUNS.get(get_origin(kind) or kind)
    if is_dataclass(kind):
        rule = "an object"
    elif isinstance(kind, type) and issubclass(kind, Enum):
        rule = " or ".join(str(one.value) for one in kind)
    shown = _shown.repr(value)
    return f"must be {rule}, not {shown}" if rule else f"{shown}: {said}"
