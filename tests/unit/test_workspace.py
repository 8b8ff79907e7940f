from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.workspace import WorkspaceBusy, claim, new_folder, replace_file


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for text in ("one", "two"):
        with new_folder(out) as fresh:
            (fresh / "file").write_text(text)
    assert (out / "file").read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_folder(out) as fresh:
        (fresh / "file").write_text("good")
    with pytest.raises(KeyboardInterrupt), new_folder(out) as fresh:
        (fresh / "file").write_text("half")
        raise KeyboardInterrupt
    assert (out / "file").read_text() == "good"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_only_one_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path / "w"), pytest.raises(WorkspaceBusy, match=f"process {os.getpid()}"), claim(tmp_path / "w"):
        pass
    with claim(tmp_path / "w"):
        pass
