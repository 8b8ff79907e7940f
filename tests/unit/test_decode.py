# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""JSON into dataclasses: what is taken, and what is said of what is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from netvm_build.util.decode import (
    DecodeError,
    at_least,
    decode,
    decode_fitting,
    decode_or_none,
    decode_version,
    matching,
    one_of,
    read_json,
)
from netvm_build.util.errors import MOST_PROBLEMS


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    name: Annotated[str, matching("[a-z]+", "letters")]
    size: Annotated[int, at_least(1)] = 1


@dataclass(frozen=True)
class Whole:
    part: Part
    path: Path = Path("/")
    colour: Colour = Colour.RED
    seconds: float = 0.0
    sure: bool = False
    word: Annotated[str, one_of(("a", "b.c"))] = "a"
    parts: tuple[Part, ...] = ()
    other: Part | None = None
    texts: Mapping[Annotated[str, matching("[A-Z]+", "capitals")], str] = field(default_factory=dict)


def said(**members: Any) -> tuple[str, ...]:
    with pytest.raises(DecodeError) as caught:
        decode(Whole, {"part": {"name": "x"}} | members)
    return caught.value.problems


def test_a_document_is_a_value_of_its_types() -> None:
    document = {
        "part": {"name": "x", "later": 1}, "path": "/a", "seconds": 1, "parts": [{"name": "y", "size": 2}],
        "other": None, "texts": {"A": "b"}, "word": "b.c", "later": [],
    }  # fmt: skip
    whole = Whole(Part("x"), Path("/a"), seconds=1.0, parts=(Part("y", 2),), texts={"A": "b"}, word="b.c")
    assert decode(Whole, document) == whole


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"part": {"name": "X"}}, "part.name: must be letters, not 'X'"),
        ({"part": {"name": "x\n"}}, r"part.name: must be letters, not 'x\n'"),
        ({"part": {}}, "part.name: is missing"),
        ({"part": []}, "part: must be an object, not []"),
        ({"part": {"name": "x", "size": 0}}, "part.size: must be a whole number from 1, not 0"),
        ({"part": {"name": "x", "size": True}}, "part.size: must be a whole number from 1, not True"),
        ({"path": 3}, "path: must be a path, not 3"),
        ({"colour": "blue"}, "colour: must be red, not 'blue'"),
        ({"seconds": "1"}, "seconds: must be a number, not '1'"),
        ({"sure": 1}, "sure: must be true or false, not 1"),
        ({"word": "bxc"}, "word: must be a or b.c, not 'bxc'"),
        ({"parts": [{"name": "x"}, {"name": 1}]}, "parts[1].name: must be letters, not 1"),
        ({"parts": {}}, "parts: must be a list, not {}"),
        ({"other": {"name": 1}}, "other.name: must be letters, not 1"),
        ({"other": 1}, "other: 1: Expected `object | null`, got `int`"),
        ({"texts": []}, "texts: must be an object, not []"),
        ({"texts": {"a": "b"}}, "texts.a: must be capitals, not 'a'"),
        ({"texts": {"A": 1}}, "texts.A: must be text, not 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_rule(members: dict[str, Any], problem: str) -> None:
    assert said(**members) == (problem,)


def test_all_that_is_wrong_is_told_at_once_within_reason() -> None:
    assert len(said(sure=1, seconds="", parts=[{"name": 1}, {"name": 2}])) == 4
    many = said(parts=[{"name": 1}] * 1000)
    assert len(many) == MOST_PROBLEMS + 1
    assert many[-1] == "and 900 more problems"


def test_a_wrong_value_is_not_repeated_at_length() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for value in ("x" * 100_000, [deep] * 1000, {"a": deep}, 1 << 9000):
        (problem,) = said(word=value)
        assert len(problem) < 500


def test_a_name_of_a_member_that_cannot_be_written_is_told() -> None:
    assert said(**{"\ud800": 1}) == ("has a member whose name is not UTF-8, or is nested too deeply",)
    assert decode(Whole, {"part": {"name": "x"}, "path": "/\udcff"}).path == Path("/\udcff")


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a": Infinity}', "1e999", "[" * 100_000, "1" + "0" * 5000, b"\xff", b'"\xff"', "1 2"]
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError, match="cut off or not JSON"):
        read_json(text)


def test_another_version_is_refused() -> None:
    assert decode_version(Part, '{"version": 3, "name": "x"}', 3) == Part("x")
    for version in ("2", "true", '"3"', "null", "3.0"):
        with pytest.raises(DecodeError, match="is unknown; this netvm-build reads version 3"):
            decode_version(Part, f'{{"version": {version}, "name": "x"}}', 3)
    with pytest.raises(DecodeError, match="must be a JSON object"):
        decode_version(Part, "[]", 3)


def test_a_message_is_a_value_or_none() -> None:
    assert decode_or_none(Part, {"name": "x"}) == Part("x")
    for text in ("{}", "[]", "null", '{"name": 1}', '{"\\ud800": 1}'):
        assert decode_or_none(Part, read_json(text)) is None


def test_the_decoder_is_loaded_when_it_is_needed() -> None:
    """Most commands read no document."""
    modules = "sys, netvm_build.cli, netvm_build.build.pipeline, netvm_build.vm.engine"
    code = f"import {modules}; print('msgspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@dataclass(frozen=True)
class Answer:
    name: str = ""
    count: int = 0
    up: bool | None = None
    parts: tuple[Part, ...] = ()
    inner: Part = Part("x")


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"name": "a", "count": 1, "more": 1}, Answer("a", 1)),
        ({"name": 1, "count": 1, "up": "yes"}, Answer("", 1)),
        ({"name": None, "up": False}, Answer(up=False)),
        (
            {"parts": [{"name": "y"}, 3, {"name": "Y"}, {"name": "z", "size": 0}, {}]},
            Answer(parts=(Part("y"), Part("z"))),
        ),
        ({"parts": {}, "inner": []}, Answer()),
        ({"\ud800": 1, "name": "a"}, Answer("a")),
        ([], Answer()),
        (None, Answer()),
    ],
)
def test_of_what_is_partly_wrong_the_rest_is_taken(document: Any, answer: Answer) -> None:
    assert decode_fitting(Answer, document) == answer
