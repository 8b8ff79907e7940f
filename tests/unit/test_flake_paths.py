# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""flake.nix names only what is there.  What Nix makes of it is in tests/integration/test_flake.py."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def paths(text: str) -> set[str]:
    """What a flake names of its own folder: paths, strings that are paths, and the names that filter its source."""
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    strings = re.findall(r'"([\w.-]+(?:/[\w.-]+)+)"', code)
    literals = re.findall(r"(?<![\w}])\./([\w./-]*\w)", code)
    (kept,) = re.findall(r"builtins\.elem[^\[]*\[([^\]]*)\]", code)
    return {*strings, *literals, *re.findall(r'"([^"]+)"', kept)}


def test_every_path_exists() -> None:
    named = paths((ROOT / "flake.nix").read_text(encoding="utf-8"))
    assert {"builder/netvm_build/__init__.py", "examples/flake", "pyproject.toml", "tests/unit/test_spec.py"} <= named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
