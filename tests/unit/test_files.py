# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from netvm_build.util.files import WorkspaceBusy, claim, new_folder, replace_file, scratch


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


def test_what_a_killed_run_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    """Neither a folder in use, nor a file, a link or a folder of another name."""
    abandoned = tmp_path / ".x.new-abcd_123"
    (abandoned / "deep").mkdir(parents=True)
    for other in (".x.new-", ".x.new-abcd_123~", "x.new-abcd_123", ".x.new-ABCD_123"):
        (tmp_path / other).mkdir()
    (tmp_path / ".x.new-file_123").touch()
    (tmp_path / ".x.new-link_123").symlink_to(tmp_path / ".x.new-")
    kept = {path.name for path in tmp_path.iterdir()} - {abandoned.name}
    with scratch(tmp_path, ".x.new-") as first, scratch(tmp_path, ".x.new-") as second:
        assert first.is_dir()
        assert {path.name for path in tmp_path.iterdir()} == kept | {first.name, second.name}
        assert first.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").symlink_to("there/text")
    for text in ("one", "two"):
        with new_folder(tmp_path / "link") as fresh:
            (fresh / "x").write_text(text)
        replace_file(tmp_path / "file", text.encode())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "x").read_text() == "two"
    assert (tmp_path / "there" / "text").read_text() == "two"
    assert {path.name for path in tmp_path.iterdir()} == {"link", "folder", "file", "there"}


def test_links_in_a_circle_are_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for write in (lambda path: replace_file(path, b""), lambda path: new_folder(path).__enter__()):
        with pytest.raises(OSError, match="symbolic links") as raised:
            write(tmp_path / "a")
        assert raised.value.filename == str(tmp_path / "a")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_file(tmp_path / "pipe", b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename == str(tmp_path / "out")
    with pytest.raises(OSError, match="No space left") as raised, new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "source", None, "copy")
    assert raised.value.filename == "copy"
    assert list(tmp_path.iterdir()) == []
