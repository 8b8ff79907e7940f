# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a spec adds to the router's root: files of the user's and packages; and what is refused."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build import spec
from netvm_build.build import debian, loading, pipeline
from netvm_build.model import Router, Wifi, WifiNetwork, WifiSecurity
from netvm_build.spec import from_full_spec, full_spec
from netvm_build.spec.fields import extras
from netvm_build.spec.fields.readers import At, Log
from netvm_build.spec.scalars import ReadError
from netvm_build.spec.yaml_nodes import Scalar
from netvm_build.util import resources
from netvm_build.util.errors import SpecError
from netvm_build.util.owners import Untrusted

SHARED = resources.folder("templates") / "platforms" / "shared"
SPEC = """version: 1
image:
  packages: [dnsmasq-base, tzdata]
  files:
    - {source: hosts.txt, target: /etc/hosts.extra}
    - {source: run.sh, target: /usr/bin/run, mode: '0755'}
    - {source: hosts.txt, target: /opt/a/b, mode: 0440}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts.txt").write_text("192.0.2.1 blocked\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    return tmp_path


def load(folder: Path, text: str = SPEC) -> loading.Loaded:
    (folder / "netvm.yaml").write_text(text)
    return loading.load(folder / "netvm.yaml")


def problems(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as raised:
        load(folder, text)
    return "\n".join(f"{problem} ({problem.hint})" for problem in raised.value.problems)


def test_they_are_in_the_tree(folder: Path) -> None:
    files = loading.render(load(folder)).files
    assert files["extras/files/etc/hosts.extra"] == b"192.0.2.1 blocked\n"
    assert files["extras/files/opt/a/b"] == b"192.0.2.1 blocked\n"
    modes = {"/etc/hosts.extra": "0644", "/usr/bin/run": "0755", "/opt/a/b": "0440"}
    assert json.loads(files["extras/extras.json"])["modes"] == modes
    router = files["router.nix"].decode()
    assert "  extras = ./extras;\n  packaged = true;\n" in router
    assert "/etc/hosts.extra" in router  # the spec, for the manifest


def test_nothing_of_it_is_in_another_tree(folder: Path) -> None:
    files = loading.render(load(folder, "version: 1\n")).files
    assert not [name for name in files if name.startswith("extras")]
    text = files["router.nix"].decode()
    assert not [word for word in ("extras", "packaged", "packages", "files") if word in text]


def test_packages_are_locked_alone_and_with_all_they_load(folder: Path) -> None:
    request = debian.request_for(load(folder).router)
    assert request.sets["extra"] == request.sets["extra-libraries"] == ("dnsmasq-base", "tzdata")
    assert not {"extra", "extra-libraries"} & debian.request_for(Router()).sets.keys()


def test_an_image_tells_of_them_when_they_are_elsewhere(folder: Path) -> None:
    router = load(folder).router
    stored = from_full_spec(full_spec(router))
    assert [(file.target, file.mode) for file in stored.image.files] == [
        ("/etc/hosts.extra", 0o644),
        ("/usr/bin/run", 0o755),
        ("/opt/a/b", 0o440),
    ]
    assert full_spec(stored) == full_spec(router)


def test_who_can_change_them_decides_what_is_built(folder: Path) -> None:
    (folder / "hosts.txt").chmod(0o666)
    with pytest.raises(Untrusted, match=r"hosts\.txt"):
        pipeline.plan(load(folder), folder / "image", lambda _: None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: hosts.txt, target: /etc/h", "source: none, target: /etc/h", "none cannot be read: No such file"),
        ("source: hosts.txt, target: /etc/h", "source: /dev/zero, target: /etc/h", "/dev/zero is not a plain file"),
        ("source: hosts.txt, target: /etc/h", "source: pipe, target: /etc/h", "pipe is not a plain file"),
        ("source: hosts.txt, target: /etc/h", "source: ., target: /etc/h", "is not a plain file"),
        ("source: hosts.txt, target: /etc/h", "source: huge, target: /etc/h", "huge is larger than 64 MiB"),
        ("source: hosts.txt, target: /etc/h", "target: /etc/h", "source of a file of the image must be given"),
        ("/etc/hosts.extra", "etc/x", "is not a place for a file in the root (write an absolute path below"),
        ("/etc/hosts.extra", "/etc/../x", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc/x/..", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc/./x", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc//x", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc/x/", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/run/x", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/dev/sda", "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/bin/x", "is not a place for a file in the root"),
        ("/etc/hosts.extra", '"/etc/a\\nb"', "is not a place for a file in the root"),
        ("/etc/hosts.extra", "/etc/" + "a/" * 130 + "a", "is longer than 255 characters"),
        ("/etc/hosts.extra", "/etc/netvm/config.json", "can't be replaced or added: it belongs to the router itself"),
        ("/etc/hosts.extra", "/etc/passwd", "can't be replaced or added"),
        ("/etc/hosts.extra", "/etc/ld.so.preload", "every program of the router would load what it names"),
        ("/etc/hosts.extra", "/usr/lib/python3.13/json.py", "can't be replaced or added"),
        ("/etc/hosts.extra", "/usr/lib/modules/x.ko", "drivers are `kernel.extra_modules`"),
        ("/etc/hosts.extra", "/usr/lib/firmware/x.fw", "firmware is `kernel.firmware_files`"),
        ("/etc/hosts.extra", "/opt/a/b", "/opt/a/b is also the target of another file"),
        ("/etc/hosts.extra", "/opt/a/b/c", "/opt/a/b is a file of this list, and can't be a folder too"),
        ("'0755'", "'4755'", "has the set-user-ID, set-group-ID or sticky bit"),
        ("'0755'", "02755", "has the set-user-ID, set-group-ID or sticky bit"),
        ("'0755'", "1777", "has the set-user-ID, set-group-ID or sticky bit"),
        ("'0755'", "'0777'", "lets others write (write '0755'"),
        ("'0755'", "rwxr-xr-x", "is not a mode (write '0644'"),
        ("'0755'", "8", "is not a mode"),
        ("'0755'", "'0755', owner: root", "remove it: everything in the root belongs to root"),
        ("dnsmasq-base,", "dnsmasq=2.9,", "(did you mean dnsmasq? write its name alone"),
        ("dnsmasq-base,", "../x,", "is not the name of a Debian package"),
        ("dnsmasq-base,", "-o,", "is not the name of a Debian package"),
        ("dnsmasq-base,", "'{kernel}',", "is not the name of a Debian package"),
        ("image:", "platform: {kind: nixpkgs, nixpkgs: /x}\nimage:", "packages come from Debian's archive"),
    ],
)
def test_what_is_refused(folder: Path, old: str, new: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    os.mkfifo(folder / "pipe")
    with (folder / "huge").open("wb") as file:
        file.truncate((64 << 20) + 1)
    assert old in SPEC
    assert said in problems(folder, SPEC.replace(old, new, 1))


def test_all_files_together_are_bounded(folder: Path) -> None:
    with (folder / "big").open("wb") as file:
        file.truncate(60 << 20)
    three = "".join(f"    - {{source: big, target: /opt/{number}}}\n" for number in range(3))
    assert "3 files of 180 MiB are more than" in problems(folder, f"version: 1\nimage:\n  files:\n{three}")
    many = "".join(f"    - {{source: run.sh, target: /opt/{number}}}\n" for number in range(1001))
    assert "1001 files of 0 MiB are more than" in problems(folder, f"version: 1\nimage:\n  files:\n{many}")


def test_what_the_router_renders_can_be_no_target(folder: Path) -> None:
    """Whatever is in the tree's root, with Wi-Fi too, is refused before a build starts."""
    loaded = load(folder, spec.starter("netvm"))
    wifi = Wifi("DE", (WifiNetwork("home", WifiSecurity.OPEN),))
    rendered = loading.render(replace(loaded, router=replace(loaded.router, wifi=wifi))).files
    targets = {name.removeprefix("rootfs") for name in rendered if name.startswith(("rootfs/etc", "rootfs/usr"))}
    assert len(targets) > 50
    assert "/etc/iwd/main.conf" in targets
    for target in sorted(targets):
        with pytest.raises(ReadError):
            extras._parse_target(Scalar(target, 1, quoted=True))


@given(st.text(alphabet="/.aetcusr-~\0\n ", max_size=30).map(lambda text: f"/etc{text}") | st.text())
def test_a_target_of_any_text_stays_in_its_folder_or_is_refused(value: str) -> None:
    try:
        target = extras._parse_target(Scalar(value, 1, quoted=True))
    except ReadError:
        return
    assert target == posixpath.normpath(value)
    assert target.startswith(tuple(f"{folder}/" for folder in extras.FOLDERS))


@given(st.from_regex(r"[0-7]{1,5}", fullmatch=True) | st.text(max_size=8))
def test_a_mode_of_any_text_has_no_special_bit_or_is_refused(value: str) -> None:
    try:
        mode = extras._MODE.read(Scalar(value, 1, quoted=True), At(Log("", Path("/")), "", 0))
    except ReadError:
        return
    assert mode & ~0o755 == 0
    assert int(value.removeprefix("0o"), 8) == mode


# ---- add_extras.py, on a root and packages of this machine's own files


LOADER = Path("/lib64/ld-linux-x86-64.so.2").resolve()
PROGRAM = Path("/usr/bin/env")


class Made:
    """A root with one file, a package, and what it depends on."""

    def __init__(self, folder: Path) -> None:
        if not PROGRAM.is_file() or not LOADER.exists():
            pytest.skip("this machine's programs lie elsewhere")
        self.root, self.extras = folder / "root", folder / "extras"
        self.package, self.part = folder / "package", folder / "part"
        self.put(self.root / "usr/bin/python3", "ours")
        (self.root / "bin").symlink_to("usr/bin")
        (self.part / "usr/lib64").mkdir(parents=True)
        (self.part / "usr/lib64/ld-linux-x86-64.so.2").symlink_to(LOADER)
        libraries = self.part / "usr/lib/x86_64-linux-gnu"
        libraries.mkdir(parents=True)
        shutil.copy(next(Path("/lib/x86_64-linux-gnu").glob("libc.so.6")), libraries)
        self.package.mkdir()

    @staticmethod
    def put(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def add(
        self, modes: dict[str, str] | None = None, programs: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        self.put(self.extras / "extras.json", json.dumps({"modes": modes or {}, "programs": programs or {}}))
        added = f"{self.package} {self.part}"
        argv = [sys.executable, "-I", "-B", str(SHARED / "add_extras.py"), str(SHARED / "make_rootfs.py")]
        argv += [str(self.root), str(self.extras), added, str(self.part)]
        return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_files_have_their_modes(made: Made) -> None:
    made.put(made.extras / "files/opt/a/b", "mine")
    made.put(made.extras / "files/etc/c", "mine")
    done = made.add({"/opt/a/b": "0550", "/etc/c": "0644"})
    assert done.returncode == 0, done.stderr
    assert (made.root / "opt/a/b").read_text() == "mine"
    assert (made.root / "opt/a/b").stat().st_mode & 0o7777 == 0o550
    assert (made.root / "etc/c").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("target", ["/usr/bin/python3", "/usr/bin", "/bin/x", "/usr/bin/python3/x", "/bin"])
def test_a_file_of_the_root_is_not_replaced(made: Made, target: str) -> None:
    made.put(made.extras / "files/x", "mine").rename(made.extras / "x")
    if target.count("/") < 4:
        made.put(made.extras / f"files{target}", "mine")
    done = made.add({target: "0644"})
    assert done.returncode == 1
    assert f"image.files: {target}" in done.stderr
    assert "hint: write another target" in done.stderr
    assert (made.root / "usr/bin/python3").read_text() == "ours"
    assert list((made.root / "usr/bin").iterdir()) == [made.root / "usr/bin/python3"]


def test_a_package_brings_programs_with_their_libraries_and_nothing_for_readers(made: Made) -> None:
    for name in ("etc/d.conf", "usr/share/d/data", "usr/share/doc/d/copyright", "etc/init.d/d", "usr/bin/python3"):
        made.put(made.package / name, "theirs")
    (made.package / "usr/sbin").mkdir()
    shutil.copy(PROGRAM, made.package / "usr/sbin/d")
    (made.package / "usr/sbin/alias").symlink_to("d")
    (made.package / "usr/sbin/away").symlink_to("/etc/shadow")
    (made.package / "usr/sbin/out").symlink_to("../../../../../../../../etc/passwd")
    (made.package / "usr/sbin/d").chmod(0o4755)
    done = made.add()
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(made.root)) for path in made.root.rglob("*") if not path.is_dir()}
    assert found == {
        "usr/bin/python3", "etc/d.conf", "usr/share/d/data", "usr/sbin/d", "usr/sbin/alias",
        "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    }  # fmt: skip
    assert (made.root / "usr/bin/python3").read_text() == "ours"
    assert (made.root / "usr/sbin/d").stat().st_mode & 0o7777 == 0o755


def test_a_library_that_nothing_has_is_named(made: Made) -> None:
    (made.part / "usr/lib/x86_64-linux-gnu/libc.so.6").unlink()
    (made.package / "usr/sbin").mkdir(parents=True)
    shutil.copy(PROGRAM, made.package / "usr/sbin/d")
    source = made.package / "usr/sbin/d"
    # the loader would find this machine's own, which a build's sandbox hasn't
    source.write_bytes(source.read_bytes().replace(b"libc.so.6\0", b"libx.so.6\0"))
    done = made.add()
    assert done.returncode == 1
    assert "image.packages: usr/sbin/d" in done.stderr
    assert "libx.so.6" in done.stderr
    assert "hint: name the package with the library" in done.stderr


def test_a_program_that_is_linked_statically_is_copied(made: Made, tmp_path: Path) -> None:
    for number, content in enumerate((b"\x7fELF", b"\x7fELF\x02" + bytes(59), b"\x7fELF\x02" + b"\xff" * 100)):
        (made.extras / "files/opt").mkdir(parents=True, exist_ok=True)
        (made.extras / f"files/opt/{number}").write_bytes(content)
    done = made.add({f"/opt/{number}": "0755" for number in range(3)})
    assert done.returncode == 0, done.stderr
