# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The journal of changes to the host: on disk before the change, whole or absent, and readable by the next command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build.host import journal as journals
from netvm_build.host.journal import Change, Journal, JournalError, ours
from netvm_build.util.owners import Untrusted

ONE = Change("driver", "0000:00:02.0", {"driver": "e1000e"})
TWO = Change("override", "0000:00:03.0", {"driver_override": ""}, 1, 2)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


def test_what_is_recorded_is_pending_in_order_until_it_is_done(journal: Journal) -> None:
    assert journal.pending() == ()
    journal.record(ONE)
    journal.record(TWO)
    assert Journal(journal.folder).pending() == (ONE, TWO)
    journal.done(ONE)
    assert journal.pending() == (TWO,)
    journal.done(TWO)
    assert journal.pending() == ()
    assert journal.file.read_bytes() == b""


def test_the_same_change_twice_is_undone_twice(journal: Journal) -> None:
    journal.record(ONE)
    journal.record(TWO)
    journal.record(ONE)
    journal.done(ONE)
    assert journal.pending() == (ONE, TWO)
    journal.done(ONE)
    journal.done(ONE)
    assert journal.pending() == (TWO,)


def test_a_torn_last_line_is_as_if_it_had_never_been_begun(journal: Journal) -> None:
    journal.record(ONE)
    whole = journal.file.read_bytes()
    journal.record(TWO)
    line = journal.file.read_bytes()[len(whole) :]
    for size in range(len(line)):
        journal.file.write_bytes(whole + line[:size])
        assert journal.pending() == (ONE,)
    journal.record(TWO)
    assert journal.pending() == (ONE, TWO)


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"boot": 1, "record": {}}'])
def test_a_whole_line_that_makes_no_sense_is_no_reason_to_guess(journal: Journal, line: str) -> None:
    journal.record(ONE)
    if line.startswith('{"boot"'):
        line = json.dumps({"boot": journals._boot(), "record": {"kind": "x"}})
    with journal.file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(JournalError) as caught:
        journal.pending()
    assert f"{journal.file}:2" in caught.value.message
    assert caught.value.details
    assert f"rm {journal.file}" in (caught.value.hint or "")


def test_what_was_changed_before_a_reboot_is_not_changed_any_more(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.record(ONE)
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    monkeypatch.setattr(journals, "_BOOT_ID", other)
    assert journal.pending() == ()
    journal.record(TWO)
    assert journal.pending() == (TWO,)


def test_a_change_is_abandoned_once_its_process_is_gone() -> None:
    mine = ours("driver", "x", {})
    assert (mine.owner_pid, mine.abandoned, mine.kept) == (os.getpid(), False, False)
    assert not ONE.abandoned
    assert ONE.kept
    assert Change("driver", "x", {}, os.getpid(), mine.owner_started + 1).abandoned


def test_changes_are_handed_over_together(journal: Journal) -> None:
    journal.record(TWO)
    journal.record(ours("driver", "x", {"driver": "igb"}))
    journal.record(ours("driver", "y", {}))
    journal.hand_over()
    assert [change.owner_pid for change in journal.pending()] == [1, 0, 0]
    journal.done(Change("driver", "x", {"driver": "igb"}))
    journal.done(Change("driver", "y", {}))
    assert journal.pending() == (TWO,)


def test_some_changes_are_given_to_another(journal: Journal) -> None:
    journal.record(ONE)
    journal.record(TWO)
    assert journal.adopt([], 7, 8) == ()
    (given,) = journal.adopt([ONE], 7, 8)
    assert (given.owner_pid, given.owner_started) == (7, 8)
    assert journal.pending() == (given, TWO)
    journal.done(ONE)  # it is not called so any more
    assert journal.pending() == (given, TWO)
    journal.done(given)
    assert journal.pending() == (TWO,)


def test_a_record_outlives_its_process(journal: Journal) -> None:
    """The line is there, and the change is abandoned, after a kill that no handler sees."""
    program = """
import os, signal, sys
from pathlib import Path
from netvm_build.host.journal import Journal, ours
Journal(Path(sys.argv[1])).record(ours("driver", "x", {"driver": "igb"}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(journal.folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (change,) = journal.pending()
    assert change.abandoned
    assert change.undo == {"driver": "igb"}


def test_a_full_disk_leaves_no_half_line_and_says_so(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.record(ONE)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(JournalError, match="No space left"):
        journal.record(TWO)
    monkeypatch.undo()
    assert journal.file.read_bytes().endswith(b"\n")
    assert journal.pending() == (ONE,)


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path / "file" / "state").record(ONE)
    assert "ls -la" in (caught.value.hint or "")


def test_a_link_in_place_of_the_journal_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    journal.folder.mkdir(mode=0o700)
    (tmp_path / "precious").write_text("mine\n")
    journal.file.symlink_to(tmp_path / "precious")
    for use in (lambda: journal.record(ONE), journal.pending):
        with pytest.raises(Untrusted, match="not a plain file"):
            use()
    assert (tmp_path / "precious").read_text() == "mine\n"


def test_only_one_at_a_time_changes_the_host(journal: Journal) -> None:
    program = """
import sys
from pathlib import Path
from netvm_build.host.journal import Journal
with Journal(Path(sys.argv[1])).exclusive():
    print("in", flush=True)
    sys.stdin.read()
"""
    with journal.exclusive():
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(journal.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.0)
        assert child.stdout.read() is None
    os.set_blocking(child.stdout.fileno(), True)
    assert child.communicate()[0] == b"in\n"
