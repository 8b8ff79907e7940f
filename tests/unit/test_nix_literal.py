# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

from __future__ import annotations

import shutil
import subprocess

import pytest
from netvm_build.build.nix import literal as nixlit
from netvm_build.util.errors import RenderError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (-7, "(-7)"),
        ("a", '"a"'),
        ('"${x}"\\\n', '"\\"\\${x}\\"\\\\\\n"'),
        ("$${x}", '"$\\${x}"'),
        ([], "[ ]"),
        ({}, "{ }"),
        ((1, -2), "[\n  1\n  (-2)\n]"),
        ({"a b": 1, "E1000E": "y", "8139CP": "y"}, '{\n  "a b" = 1;\n  E1000E = "y";\n  "8139CP" = "y";\n}'),
        (nixlit.Raw("<nixpkgs>"), "<nixpkgs>"),
    ],
)
def test_literal(value: object, text: str) -> None:
    assert nixlit.literal(value) == text


@pytest.mark.parametrize("name", ["if", "or", "8139CP", "a.b", "a b", ""])
def test_names_that_are_no_identifiers_are_quoted(name: str) -> None:
    assert nixlit.attribute(name) == f'"{name}"'


@pytest.mark.parametrize("value", [2**63, "\0", 1.5, b"x", object()])
def test_what_nix_has_no_literal_for(value: object) -> None:
    with pytest.raises(RenderError):
        nixlit.literal(value)


@pytest.mark.parametrize(
    "text", ['${builtins.abort "out"}', '"; x = "', "''${x}''", "$$${x}", "\\${x}", "\\\\${x}", "a\tb\r\nc", "…ü"]
)
def test_nix_reads_back_the_very_text(text: str) -> None:
    if shutil.which("nix-instantiate") is None:
        pytest.skip("nix-instantiate is not installed")
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", nixlit.literal(text)]
    import json

    assert json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout) == text
