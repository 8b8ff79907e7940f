# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The kernel's patches: judged by `check`, applied in the build, and told of where they don't apply."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import loading, patching
from netvm_build.kconfig import patch_failures_in
from netvm_build.util import resources
from netvm_build.util.errors import KernelPatchError, PatchFailure
from netvm_build.util.patches import changed_files

from tests.support.needs import need

APPLY = resources.folder("templates") / "kernel" / "apply_patches.py"
OLD = "".join(f"line {number}\n" for number in range(1, 31))
LINES = st.lists(st.sampled_from(["a\n", "b\n", "\tc\n", "\n", "- d\n", "+++ e\n", "--- f\n", "@@ g\n"]), max_size=30)


def diff(old: str, new: str, name: str = "net/x.c") -> str:
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    return "".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"))


GOOD = diff(OLD, OLD.replace("line 8\n", "line eight\n").replace("line 25\n", ""))


class TestWhatAPatchChanges:
    @given(LINES, LINES)
    def test_each_diff_is_read_as_it_was_made(self, old: list[str], new: list[str]) -> None:
        if old != new:
            assert changed_files(f"From: somebody\n\n---\n{diff(''.join(old), ''.join(new))}") == ("net/x.c",)

    @given(st.data())
    def test_one_that_was_cut_off_is_refused(self, data: st.DataObject) -> None:
        last = GOOD.splitlines(keepends=True)
        start = next(number for number, line in enumerate(last) if line.startswith("@@"))
        kept = data.draw(st.integers(start + 1, len(last) - 1))
        if not last[kept].startswith("@@"):  # two whole hunks are a patch, and one is
            with pytest.raises(ValueError, match="isn't whole"):
                changed_files("".join(last[:kept]))

    @given(st.text(st.sampled_from("-+@ \\ab/0123,\n."), max_size=200))
    def test_any_text_is_a_patch_or_has_a_reason(self, text: str) -> None:
        try:
            files = changed_files(text)
        except ValueError:  # any other exception fails the test
            return
        assert files
        assert not any(name.startswith("/") or ".." in name.split("/") for name in files)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "no line `--- a/FILE`"),
            ("diff --git a/x b/x\nGIT binary patch\n", "line 2 begins a binary change"),
            (GOOD.replace("a/net", "/net").replace("b/net/x.c", "/etc/passwd"), "isn't a file below a first folder"),
            (GOOD.replace("net/x.c", "../../x.c"), "isn't a file below a first folder"),
            (GOOD.replace("a/net/x.c", "x.c").replace("b/net/x.c", "x.c"), "isn't a file below a first folder"),
            ("--- a/x/y\n+++ b/x/y\n", "has no hunk"),
            (GOOD.replace(" line 6\n", ""), "doesn't have as many lines as it says"),
        ],
    )
    def test_why_one_is_refused(self, text: str, why: str) -> None:
        with pytest.raises(ValueError, match=re.escape(why)):
            changed_files(text)

    def test_a_patch_of_many_hunks_is_read_once(self) -> None:
        """One of 8 MiB can have half a million."""
        copied = 0

        class Lines(list[str]):
            def __getitem__(self, at: Any) -> Any:
                nonlocal copied
                copied += len(range(*at.indices(len(self)))) if isinstance(at, slice) else 1
                return super().__getitem__(at)

        class Text(str):
            def removesuffix(self, suffix: str, /) -> Text:
                return Text(super().removesuffix(suffix))

            def split(self, *arguments: Any) -> Any:
                return Lines(super().split(*arguments))

        hunks = 500
        text = Text("--- a/x.c\n+++ b/x.c\n" + "@@ -1 +1 @@\n-a\n+b\n" * hunks)
        assert changed_files(text) == ("x.c",)
        assert copied < 10 * 3 * hunks

    def test_files_that_are_made_removed_or_renamed(self) -> None:
        renamed = "diff --git a/old.c b/new.c\nsimilarity index 100%\nrename from old.c\nrename to new.c\n"
        made = "--- /dev/null\n+++ b/made.c\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
        removed = "--- a/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        empty = "diff --git a/e.c b/e.c\nnew file mode 100644\nindex 000..111\n"
        assert changed_files(made + removed + empty) == ("made.c", "gone.c", "e.c")
        assert changed_files(made + renamed) == ("made.c",)
        with_blank_lines_stripped = GOOD.replace(" line", " \n line", 1).replace(" \n", "\n").replace("-5,7", "-5,8")
        assert changed_files(with_blank_lines_stripped.replace("+5,7", "+5,8")) == ("net/x.c",)


def applied(folder: Path, *patches: str, old: str = OLD) -> tuple[int, tuple[PatchFailure, ...], str]:
    """The exit status of the build's script, what it announces, and net/x.c as it leaves it."""
    need("patch")
    (folder / "tree/net").mkdir(parents=True)
    (folder / "tree/net/x.c").write_text(old)
    names = []
    for number, text in enumerate(patches, 1):
        (folder / f"{number:04}.patch").write_text(text)
        names.append(str(folder / f"{number:04}.patch"))
    argv = [sys.executable, "-I", "-B", str(APPLY), str(folder / "tree"), *names]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, patch_failures_in(done.stdout), (folder / "tree/net/x.c").read_text()


class TestApplying:
    def test_in_order(self, tmp_path: Path) -> None:
        second = diff(OLD.replace("line 8\n", "line eight\n").replace("line 25\n", ""), "rest\n")
        assert applied(tmp_path, GOOD, second) == (0, (), "rest\n")

    def test_each_hunk_that_does_not_fit_is_told(self, tmp_path: Path) -> None:
        other = OLD.replace("line 10\n", "another\n").replace("line 27\n", "too\n")
        status, failures, _ = applied(tmp_path, GOOD, old=other)
        assert status == 1
        assert [(f.patch, f.file, f.hunk, f.line) for f in failures] == [(1, "net/x.c", 1, 5), (1, "net/x.c", 2, 22)]

    def test_no_fuzz(self, tmp_path: Path) -> None:
        """patch(1) would apply this one, since only the outermost line of its context differs."""
        status, failures, text = applied(tmp_path, GOOD, old=OLD.replace("line 11\n", "another\n"))
        assert status == 1
        assert [f.hunk for f in failures] == [1]
        assert "line eight" not in text

    def test_moved_code_is_found(self, tmp_path: Path) -> None:
        assert applied(tmp_path, GOOD, old="new\n" * 9 + OLD)[0] == 0

    def test_one_that_is_in_the_source_already(self, tmp_path: Path) -> None:
        status, failures, _ = applied(tmp_path, GOOD, GOOD)
        assert status == 1
        assert failures == (PatchFailure(2, "net/x.c", 0, 0, "this change is in the source already"),)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        status, failures, _ = applied(tmp_path, GOOD.replace("net/x.c", "net/none/y.c"))
        assert status == 1
        assert failures == (PatchFailure(1, "net/none/y.c", 0, 0, "there is no such file"),)

    def test_nothing_outside_of_the_tree_is_written(self, tmp_path: Path) -> None:
        made = "--- /dev/null\n+++ b/../outside\n@@ -0,0 +1 @@\n+x\n"
        assert applied(tmp_path, made)[0] == 1
        assert not (tmp_path / "outside").exists()


def test_hostile_lines_of_a_log_are_no_failures() -> None:
    prefix = "netvm-patch-failed: "
    wrong = ["{", "[]", '{"patch": "1"}', json.dumps({"patch": 1, "file": 2, "hunk": 0, "line": 0, "because": ""})]
    assert patch_failures_in("\n".join(prefix + text for text in wrong)) == ()


def test_a_failure_is_a_problem_of_the_line_that_names_the_patch(tmp_path: Path) -> None:
    (tmp_path / "one.patch").write_text(GOOD)
    (tmp_path / "two.patch").write_text(GOOD.replace("eight", "acht"))
    spec = tmp_path / "netvm.yaml"
    spec.write_text("version: 1\nkernel:\n  patches:\n    - one.patch\n    - two.patch\n")
    error = KernelPatchError([PatchFailure(2, "net/x.c", 1, 3, "the lines there are others")])
    (problem,) = patching.spec_error(error, loading.load(spec)).problems
    assert (problem.line, problem.path) == (5, "kernel.patches[1]")
    assert problem.message.startswith("two.patch doesn't apply to Linux 6.12")
    assert problem.message.endswith("hunk 1 of net/x.c, at line 3: the lines there are others")
