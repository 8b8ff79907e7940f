# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""YAML with its lines and raw scalars, and everything in YAML that is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from netvm_build.spec import yaml_nodes
from netvm_build.spec.yaml_nodes import Entry, Invalid, Mapping, Scalar, Sequence, compose, joined, read, shown, written
from netvm_build.util.errors import SpecError


def problems(text: str) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.path, problem.message) for problem in compose(text, "f.yaml").problems]


def test_scalars_keep_their_text_line_and_what_yaml_makes_of_them() -> None:
    text = "a: 52:54:00:12:34:56\nb: no\nc: 'no'\nd: 6.10\ne:\nf: plain\ng: 2024-01-01\n"
    root = compose(text, "f.yaml").root
    assert isinstance(root, Mapping)
    assert [(e.key, e.line, e.value) for e in root.entries] == [
        ("a", 1, Scalar("52:54:00:12:34:56", 1, "int")),
        ("b", 2, Scalar("no", 2, "bool")),
        ("c", 3, Scalar("no", 3, "str", quoted=True)),
        ("d", 4, Scalar("6.10", 4, "float")),
        ("e", 5, Scalar("", 5, "null")),
        ("f", 6, Scalar("plain", 6)),
        ("g", 7, Scalar("2024-01-01", 7, "timestamp")),
    ]


def test_collections_keep_their_lines() -> None:
    root = compose("a:\n  - x\n  - [y]\nb: {c: d}\r\n", "f.yaml").root
    assert root == Mapping(
        (
            Entry("a", 1, Sequence((Scalar("x", 2), Sequence((Scalar("y", 3),), 3)), 2)),
            Entry("b", 4, Mapping((Entry("c", 4, Scalar("d", 4)),), 4)),
        ),
        1,
    )
    assert isinstance(root, Mapping)
    assert root.get("a") is root.entries[0]
    assert root.get("z") is None


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n"])
def test_an_empty_file_has_no_root_and_no_problem(text: str) -> None:
    assert compose(text, "f.yaml") == yaml_nodes.Document(None)


def test_of_two_equal_keys_the_second_is_reported_and_the_first_is_kept() -> None:
    document = compose("a:\n  b: 1\n  c: 2\n  b: 3\n", "f.yaml")
    assert problems("a:\n  b: 1\n  c: 2\n  b: 3\n") == [(4, "a.b", "is given twice: first on line 2")]
    assert isinstance(document.root, Mapping)
    inner = document.root.entries[0].value
    assert isinstance(inner, Mapping)
    assert [(entry.key, entry.line) for entry in inner.entries] == [("b", 2), ("c", 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\n", (1, "a", "the anchor &x is not read here")),
        ("a: 1\nb: [!!str 3]\n", (2, "b[0]", "the tag 'tag:yaml.org,2002:str' is not read here")),
        ("a: !!python/object/apply:os.system [x]\n", (1, "a", "the tag")),
        ("a: 1\n---\nb: 2\n", (2, "", "a second document begins here")),
        ("? [a, b]\n: 1\n", (1, "", "a key must be a plain word")),
        ("<<: {a: 1}\n", (1, "", "the merge key << is not read here")),
        ("a: \x07\n", (1, "", "YAML allows no control character '\\x07'")),
        ("a: 1\nb: \ufffe\n", (2, "", "YAML allows no control character")),
    ],
)
def test_what_a_configuration_file_has_no_use_for_is_a_problem(text: str, expected: tuple[int, str, str]) -> None:
    (line, path, message), *others = problems(text)
    assert (line, path) == expected[:2]
    assert message.startswith(expected[2])
    assert others == []


def test_an_alias_is_reported_where_it_stands_and_never_followed() -> None:
    text = "a: &x [1]\nb: *x\nc: &y [*y]\n<<: *x\n"
    assert [(line, path) for line, path, _ in problems(text)] == [(1, "a"), (2, "b"), (3, "c"), (3, "c[0]"), (4, "")]
    root = compose(text, "f.yaml").root
    assert isinstance(root, Mapping)
    assert root.entries[1].value == Invalid(2)


def test_a_billion_laughs_are_as_many_problems_as_lines() -> None:
    lines = ["a0: &a0 [ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert len(problems("\n".join(lines))) == 30 + 29 * 9


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a:\n\tb: 1\n", 2, "spaces"),
        ("a: [1, 2\nb: 3\n", 2, "line 1"),
        ("a: 'x\n", 1, ""),
        ("a: b: c\n", 1, "indentation"),
        ("a: 1\n b: 2\n", 2, ""),
        ("%YAML 3.0\n---\na: 1\n", 1, ""),
        ("a: *missing\n*\n", 2, ""),
    ],
)
def test_an_error_of_syntax_has_a_line_and_a_hint(text: str, line: int, hint: str) -> None:
    document = compose(text, "f.yaml")
    assert document.root is None
    (problem,) = document.problems
    assert problem.line == line
    assert problem.message.startswith("is not YAML: ")
    assert hint in str(problem.hint)
    assert "\n" not in str(problem)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize("shape", ["a: {}{}", "{}x{}"])
def test_deep_nesting_is_a_problem_and_no_crash(
    shape: str, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_nodes, "_Loader", loader)
    found = compose(shape.format("[" * 200, "]" * 200), "f.yaml").problems
    assert [problem.message for problem in found] == ["is nested deeper than 16 levels"]


def test_the_deepest_nesting_that_fits_in_a_file_is_told_at_once() -> None:
    found = compose("a: 1\na: 2\nb: " + "[" * (yaml_nodes.MAX_BYTES - 13), "f.yaml").problems
    assert [problem.line for problem in found] in ([2, 3], [3])  # from PyYAML 6.0.4 on it is an error of its syntax


def test_with_and_without_libyaml_the_nodes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x 1\na: *x\nb: [1, 'no', \"x\\ty\", {c: ~}]\nd: |\n  text\n? e\n"
    fast = compose(text, "f.yaml")
    monkeypatch.setattr(yaml_nodes, "_Loader", yaml.SafeLoader)
    assert compose(text, "f.yaml") == fast


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read(path, "f.yaml")
    assert caught.value.problems[0].hint
    return str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing") == "f.yaml: there is no such file"
    assert refusal(tmp_path / "missing" / "f.yaml") == "f.yaml: there is no such file"
    assert refusal(tmp_path) == "f.yaml: is a folder, not a file"
    assert refusal(Path("a\0b")).startswith("f.yaml: cannot be read: ")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "f.yaml: is not a regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(tmp_path / "loop").startswith("f.yaml: cannot be read: ")
    (tmp_path / "large").write_bytes(b"#" * (yaml_nodes.MAX_BYTES + 1))
    assert refusal(tmp_path / "large") == "f.yaml: is larger than 1 MiB"
    (tmp_path / "latin").write_bytes(b"a: 1\nb: caf\xe9\n")
    assert refusal(tmp_path / "latin") == "f.yaml:2: is not UTF-8 text (byte 0xe9)"
    (tmp_path / "utf16").write_text("a: 1", encoding="utf-16")
    assert "is not UTF-8 text" in refusal(tmp_path / "utf16")


def test_a_byte_order_mark_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(tmp_path / "f") == "a: 1\n"


def test_a_text_of_the_largest_size_is_read_and_a_larger_one_is_not() -> None:
    assert compose("#" * yaml_nodes.MAX_BYTES, "f.yaml").problems == ()
    assert [problem.message for problem in compose("#" * (yaml_nodes.MAX_BYTES + 1), "f").problems] == [
        "is larger than 1 MiB"
    ]


def test_a_users_text_is_shown_without_control_characters_and_never_at_length() -> None:
    assert shown("a\x1b[31m") == "'a\\x1b[31m'"
    assert len(shown("x" * 10_000)) < 70
    assert joined("kernel", "config") == "kernel.config"
    assert joined("", "\x1b") == "'\\x1b'"
    assert joined("a", "b c") == "a.'b c'"


@pytest.mark.parametrize(
    "text",
    [
        "netvm",
        "no",
        "Y",
        "n",
        "",
        "52:54:00:12:34:56",
        "0A:B3:EC",
        "100.64.0.0/24",
        "6.12",
        "1e3",
        "~",
        "null",
        "it's",
        "a # b",
        "a: b",
        "- a",
        "x\ny",
        '\x1b\x85\u2028"\\',
        "é",
        "2024-01-01",
        "=",
        "<<",
        " x ",
        "0x10",
        "console=ttyS0,115200",
    ],
)
def test_a_written_text_is_read_as_the_same_text(text: str) -> None:
    line = written(text)
    assert "\n" not in line
    assert yaml.safe_load(f"[{line}]") == [text]
    root = compose(f"[{line}]", "f").root
    assert isinstance(root, Sequence)
    assert isinstance(root.items[0], Scalar)
    assert (root.items[0].text, root.items[0].kind) == (text, "str")


def test_plain_texts_are_written_without_quotes() -> None:
    assert [written(text) for text in ("netvm", "100.64.0.0/24", "no", "6.12")] == [
        "netvm",
        "100.64.0.0/24",
        "'no'",
        "'6.12'",
    ]
