# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whose files are believed.  Another user plants what root, or a third user, is to read."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build.util import owners, trust
from netvm_build.util.files import claim, new_folder, replace_file
from netvm_build.util.owners import Untrusted
from netvm_build.util.trust import Standing

from tests.support.other_user import ALICE, AS_ROOT, MALLORY, as_user, shared_folder

pytestmark = AS_ROOT

CLONE_NEWUSER, PR_SET_DUMPABLE = 0x10000000, 4  # <linux/sched.h>, <linux/prctl.h>


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv(owners.VARIABLE, "")
    with shared_folder() as folder:
        yield folder


def refused(path: Path, why: str) -> None:
    with pytest.raises(Untrusted, match=why):
        trust.require(path)


READERS = pytest.mark.parametrize("reader", [0, ALICE], ids=["root", "a user"])


@READERS
def test_what_another_user_made_is_refused_wherever_it_is_on_the_way(shared: Path, reader: int) -> None:
    def plant() -> None:
        (shared / "theirs").mkdir()
        (shared / "theirs" / "file").touch()
        (shared / "link").symlink_to("mine")
        (shared / "up").symlink_to("theirs/../mine")
        (shared / "dangling").symlink_to("nothing")

    def read() -> None:
        (shared / "mine" / "deep").mkdir(parents=True)
        (shared / "mine" / "file").touch()
        (shared / "mine" / "there").symlink_to("../theirs/file")
        for good in ("mine", "mine/file", "mine/deep/none", "mine/../mine/file", "none/none"):
            assert trust.standing(shared / good) is Standing.OURS
        refused(shared / "theirs" / "file", rf"{shared}/theirs belongs to {MALLORY}")
        refused(shared / "theirs" / "none" / "none", "belongs to")
        refused(shared / "theirs" / ".." / "mine" / "file", "belongs to")
        refused(shared / "mine" / "there", "belongs to")
        for link in ("link/file", "up/file", "dangling", "dangling/none"):
            refused(shared / link, "is a link of|belongs to")

    as_user(MALLORY, plant)
    as_user(reader, read) if reader else read()


def test_what_others_may_write_to_is_refused_and_a_sticky_folder_above_is_not(shared: Path) -> None:
    for name, mode, why in [
        ("loose", 0o777, "everybody"), ("group", 0o770, "group"), ("sticky", 0o1777, ""), ("mine", 0o755, ""),
    ]:  # fmt: skip
        folder = shared / name
        folder.mkdir()
        (folder / "file").touch()
        os.chown(folder, 0, MALLORY)
        folder.chmod(mode)
        if why:
            refused(folder / "file", f"can be written by (the )?{why}")
        else:
            trust.require(folder / "file")
    refused(shared / "sticky", "everybody")  # as the end of a path, what is in it counts
    (shared / "mine" / "file").chmod(0o666)
    refused(shared / "mine" / "file", "everybody")


@pytest.mark.parametrize(
    ("members", "primary", "may"),
    [((), (), True), (("alice",), (), True), (("mallory",), (), False), ((), ("mallory",), False)],
    ids=["nobody", "its own user", "another member", "another user's primary group"],
)
def test_a_group_of_ones_own_may_write(
    members: tuple[str, ...], primary: tuple[str, ...], *, may: bool, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {"alice": pwd.struct_passwd(("alice", "x", ALICE, ALICE, "", "/", "/bin/sh"))}
    for name in primary:
        users[name] = pwd.struct_passwd((name, "x", MALLORY, ALICE, "", "/", "/bin/sh"))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("alice", "x", gid, list(members))))
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)
    monkeypatch.setattr(pwd, "getpwall", lambda: list(users.values()))

    def read() -> None:
        os.umask(0)
        (shared / "mine").mkdir(0o775)
        if may:
            trust.require(shared / "mine")
        else:
            refused(shared / "mine", "can be written by the group alice")

    as_user(ALICE, read)


def test_the_group_of_root_is_nobody_s_own(shared: Path) -> None:
    """System users such as sync have it as theirs, and containers run programs with it."""
    (shared / "mine").mkdir()
    (shared / "mine").chmod(0o775)
    refused(shared / "mine", "can be written by the group root")


USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER, NOBODY = 1, 2, 4, 8, 0x10, 0x20, 0xFFFFFFFF


def set_acl(path: Path, kind: str, tag: int, number: int, allowed: int, mask: int = 7) -> None:
    """As `setfacl -m u:NUMBER:…` or `g:NUMBER:…`, with `-d` for the default list (<linux/posix_acl_xattr.h>)."""
    entries = [(USER_OBJ, 7, NOBODY), (GROUP_OBJ, 5, NOBODY), (tag, allowed, number), (MASK, mask, NOBODY)]
    raw = struct.pack("<I", 2)
    raw += b"".join(struct.pack("<HHI", *entry) for entry in sorted([*entries, (OTHER, 5, NOBODY)]))
    os.setxattr(path, f"system.posix_acl_{kind}", raw)


@pytest.mark.parametrize("kind", ["access", "default"])
@pytest.mark.parametrize(("tag", "who"), [(USER, str(MALLORY)), (GROUP, f"the group {MALLORY}")], ids=["user", "group"])
def test_whom_an_acl_lets_write_is_refused(
    kind: str, tag: int, who: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask of the list is in the group's bits of the mode, so that the list looks like a group that may write."""
    monkeypatch.setattr(owners.Owners, "_is_private", lambda _, gid: gid == 0)
    folder = shared / "mine"
    folder.mkdir()
    for allowed, mask in ((5, 7), (7, 5)):
        set_acl(folder, kind, tag, MALLORY, allowed, mask)
        trust.require(folder)
    set_acl(folder, kind, tag, MALLORY, 7)
    refused(folder, rf"mine can be written by {who} \(by its ACL\)")


def test_an_acl_for_a_user_who_is_believed_is_as_good_as_none(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shared / "mine").mkdir()
    set_acl(shared / "mine", "default", USER, MALLORY, 7)
    with pytest.raises(Untrusted) as caught:
        trust.require(shared / "mine")
    assert caught.value.hint == f"remove its access control lists: setfacl -b {shared}/mine"
    monkeypatch.setenv(owners.VARIABLE, str(MALLORY))
    assert trust.standing(shared / "mine") is Standing.NAMED


def test_root_s_files_are_believed_by_everybody(shared: Path) -> None:
    (shared / "roots").mkdir()

    def read() -> None:
        assert trust.standing(shared / "roots") is Standing.OURS

    as_user(ALICE, read)


def test_more_users_are_believed_if_they_are_named(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(MALLORY, lambda: (shared / "theirs").mkdir())
    monkeypatch.setenv(owners.VARIABLE, str(ALICE))
    refused(shared / "theirs", "belongs to")
    owners.name_owners((str(MALLORY),))
    assert trust.standing(shared / "theirs") is Standing.NAMED
    (shared / "group").mkdir()
    os.chown(shared / "group", 0, ALICE)
    (shared / "group").chmod(0o2775)
    refused(shared / "group", "the group")
    monkeypatch.setenv(owners.VARIABLE, f":{ALICE}")
    assert trust.standing(shared / "group") is Standing.NAMED
    with pytest.raises(Untrusted, match="no user"):
        owners.name_owners(("no such user",))


def test_who_may_use_sudo_is_not_believed_for_it(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of sudoers may allow one command line only."""
    as_user(MALLORY, lambda: (shared / "theirs").mkdir())
    monkeypatch.setenv("SUDO_UID", str(MALLORY))
    refused(shared / "theirs", "belongs to")


def test_links_in_a_circle_end(shared: Path) -> None:
    (shared / "a").symlink_to("b")
    (shared / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        trust.require(shared / "a")


def test_nothing_stays_open(shared: Path) -> None:
    (shared / "a").symlink_to("/nothing/at/all")
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    for path in (shared / "a", shared, Path("/etc/passwd/below"), Path("/proc/self/exe")):
        assert trust.is_ours(path) == trust.is_ours(path)
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before


PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda claimed, secret: claimed.symlink_to(secret),
    "a link to nothing": lambda claimed, secret: claimed.symlink_to(secret.parent / "new"),
    "a second name": lambda claimed, secret: os.link(secret, claimed),
    "a pipe": lambda claimed, secret: os.mkfifo(claimed),
    "a folder": lambda claimed, secret: claimed.mkdir(),
    "a file of theirs": lambda claimed, secret: claimed.touch(),
}


@READERS
@pytest.mark.parametrize("plant", PLANTS)
def test_a_work_folder_that_another_user_made_is_not_worked_in(shared: Path, plant: str, reader: int) -> None:
    secret = shared / "secret"
    secret.write_text("whole\n")
    os.chown(secret, reader, reader)
    secret.chmod(0o666 if plant == "a second name" else 0o600)  # else the kernel itself forbids the second name
    work = shared / ".netvm" / "out"

    def put() -> None:
        work.mkdir(parents=True)
        work.chmod(0o777)
        PLANTS[plant](work / ".claim", secret)

    def build() -> None:
        with pytest.raises(Untrusted), claim(work):
            pass

    as_user(MALLORY, put)
    as_user(reader, build) if reader else build()
    assert secret.read_text() == "whole\n"
    assert not (shared / "new").exists()


@pytest.mark.parametrize("plant", list(PLANTS)[:4])
def test_a_claim_that_is_no_plain_file_is_refused_even_in_a_folder_of_ours(shared: Path, plant: str) -> None:
    work, secret = shared / "work", shared / "secret"
    work.mkdir(mode=0o700)
    secret.write_text("whole\n")
    PLANTS[plant](work / ".claim", secret)
    with pytest.raises(Untrusted, match="not a plain file"), claim(work):
        pass
    assert secret.read_text() == "whole\n"
    assert not (shared / "new").exists()


def test_a_folder_to_work_in_is_for_us_only(shared: Path) -> None:
    before = os.umask(0)
    try:
        with claim(shared / "a" / "b"):
            assert (shared / "a" / "b").stat().st_mode & 0o777 == 0o700
            assert (shared / "a" / "b" / ".claim").stat().st_mode & 0o777 == 0o600
            assert (shared / "a").stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_nothing_is_written_where_a_link_of_another_user_leads(shared: Path) -> None:
    target = shared / "mine"
    target.mkdir(mode=0o700)
    (target / "file").write_text("whole")

    def plant() -> None:
        (shared / "report.xml").symlink_to(target / "file")
        (shared / "image").symlink_to(target)

    as_user(MALLORY, plant)
    with pytest.raises(Untrusted, match="is a link of"):
        replace_file(shared / "report.xml", b"lost")
    with pytest.raises(Untrusted, match="is a link of"), new_folder(shared / "image"):
        pass
    assert [path.read_text() for path in target.iterdir()] == ["whole"]


def test_in_a_user_namespace_root_s_folders_on_the_way_have_no_owner(shared: Path) -> None:
    def look() -> None:
        (shared / "mine").mkdir()
        (shared / "mine" / "file").touch()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self is root's since we changed our user
        assert libc.unshare(CLONE_NEWUSER) == 0, os.strerror(ctypes.get_errno())
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{ALICE} {ALICE} 1")
        Path("/proc/self/gid_map").write_text(f"{ALICE} {ALICE} 1")
        owners._in_namespace.cache_clear()
        assert Path("/").stat().st_uid not in (0, ALICE)
        assert trust.standing(shared / "mine" / "file") is Standing.OURS
        refused(shared / "theirs", "belongs to")

    as_user(MALLORY, lambda: (shared / "theirs").mkdir())
    as_user(ALICE, look)


def test_a_link_that_changes_after_it_was_judged_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is returned is the way that was walked: nothing reads a link a second time."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("")
    (tmp_path / "there").symlink_to("mine")

    def again(self: Path, strict: bool = False) -> Path:
        raise AssertionError(f"{self} is read once more")

    monkeypatch.setattr(Path, "resolve", again)
    monkeypatch.setattr(os.path, "realpath", again)
    assert trust.real_path(tmp_path / "there/file") == tmp_path / "mine/file"
    assert trust.real_path(tmp_path / "there/new/file") == tmp_path / "mine/new/file"
    assert trust.real_path(tmp_path / "there/../new") == tmp_path / "new"


def test_a_place_that_becomes_a_link_meanwhile_is_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user can do it in a sticky folder, between the look and the write."""
    target, place = tmp_path / "target", tmp_path / "report.xml"
    target.write_text("kept")

    def raced(path: Path) -> Path:
        real = trust.real_path(path)
        place.symlink_to(target)
        return real

    monkeypatch.setattr("netvm_build.util.files.real_path", raced)
    replace_file(place, b"new")
    assert (place.is_symlink(), place.read_text(), target.read_text()) == (False, "new", "kept")
