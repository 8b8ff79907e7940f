# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Bad luck with real parts: killed, interrupted, out of space, a mirror that fails, folders that are something else.

Each ends with a clear message and the right exit code, leaves no process and no temporary file, and the last good image
as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build.build import pipeline
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu, accelerator

from tests.support.host.mirror import misbehaving
from tests.support.host.world_of_trouble import (
    descendants,
    netvm_build,
    on_a_small_disk,
    scratch_folders,
    start,
    still_running,
)
from tests.support.needs import need

pytestmark = pytest.mark.integration

LOOPBACK = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
Here = Callable[[], Path]


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """Scratch folders of other runs on this machine may come and go; this test's must not stay."""
    before = scratch_folders(tmp_path)
    yield
    end = time.monotonic() + 5
    while (left := [path for path in scratch_folders(tmp_path) if path not in before]) and time.monotonic() < end:
        time.sleep(0.2)
    assert left == []


@pytest.fixture
def unbuilt(variant: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """A folder with a spec whose root nobody has built yet; its kernel is there."""
    variant("name: netvm", f"name: luck{os.getpid()}x{time.time_ns() % 10**9}")
    return tmp_path


@pytest.fixture
def good(image: Image, variant: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """A folder with the default spec, its lock and its image in `out`."""
    variant("name: netvm", "name: netvm")
    shutil.copytree(image.folder, tmp_path / "out")
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def is_whole_or_absent(out: Path) -> bool:
    if not out.exists():
        return True
    manifest.verify(manifest.load(out))
    return True


# ------------------------------------------------------------------ killed


def test_a_killed_build_takes_everything_with_it_and_the_next_one_works(image: Image, unbuilt: Path) -> None:
    child = start("build", "-o", "out", cwd=unbuilt)
    end = time.monotonic() + 60
    below: list[int] = []
    while "mkfs.erofs" not in {comm(pid) for pid in below}:  # the longest of what the builder starts: seconds
        assert child.poll() is None, "the build ended before it was seen to make the root image"
        assert time.monotonic() < end, "Nix never started the builder"
        time.sleep(0.01)
        below = descendants(child.pid)
    child.kill()
    child.wait()
    assert still_running(below) == []
    assert not (unbuilt / "out").exists()
    done = netvm_build("build", "-o", "out", cwd=unbuilt)
    assert done.returncode == 0, done.stderr
    manifest.verify(manifest.load(unbuilt / "out"))


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_what_a_killed_lock_left_is_removed_by_the_next(variant: Callable[[str, str], Path], tmp_path: Path) -> None:
    variant("name: netvm", "name: netvm")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with misbehaving("hang") as mirror:
        (tmp_path / "netvm.yaml").write_text(on(mirror.url))
        child = start("lock", cwd=tmp_path, env={"TMPDIR": str(scratch), **LOOPBACK})
        end = time.monotonic() + 30
        while not mirror.asked:
            assert time.monotonic() < end
            time.sleep(0.05)
        below = descendants(child.pid)
        child.kill()
        child.wait()
        assert still_running(below) == []
    assert len(list(scratch.iterdir())) == 1
    with misbehaving("404") as mirror:
        (tmp_path / "netvm.yaml").write_text(on(mirror.url))
        assert netvm_build("lock", cwd=tmp_path, env={"TMPDIR": str(scratch), **LOOPBACK}).returncode == 5
    assert list(scratch.iterdir()) == []


def on(mirror: str) -> str:
    return f"version: 1\nname: netvm\nplatform: {{kind: debian, mirror: '{mirror}'}}\n"


# ------------------------------------------------------------------ Ctrl-C at any moment


@pytest.mark.parametrize("delay_s", [0.03, 0.15, 0.3, 0.6, 1.0, 2.0, 4.0])
def test_a_build_interrupted(delay_s: float, image: Image, unbuilt: Path) -> None:
    interrupt(delay_s, "build", "-o", "out", cwd=unbuilt)
    assert is_whole_or_absent(unbuilt / "out")


@pytest.mark.parametrize("delay_s", [0.2, 0.5, 1.0, 2.0, 3.0])
def test_a_lock_interrupted(delay_s: float, good: Path) -> None:
    before = (good / "netvm.lock").read_bytes()
    status = interrupt(delay_s, "lock", cwd=good)
    if status == 130:
        assert (good / "netvm.lock").read_bytes() == before


@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.2, 2.5, 5.0])
def test_a_smoke_boot_interrupted(delay_s: float, good: Path, qemu: Qemu) -> None:
    status = interrupt(delay_s, "smoke", "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good)
    assert status == 130
    assert not (good / "out-smoke" / "report.json").exists()


@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.5, 4.0])
def test_a_run_interrupted(delay_s: float, good: Path, qemu: Qemu) -> None:
    assert interrupt(delay_s, "run", "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good) == 130


def interrupt(delay_s: float, *arguments: str, cwd: Path) -> int:
    """Ctrl-C after a while: 130 (or the signal itself, while Python starts) and nothing runs on; or it was done."""
    child = start(*arguments, cwd=cwd)
    below: set[int] = set()
    end = time.monotonic() + delay_s
    while time.monotonic() < end:
        below |= set(descendants(child.pid))
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    below |= set(descendants(child.pid))
    said, _ = child.communicate(timeout=40)
    if child.returncode == 1 and said.startswith("Fatal Python error: init"):  # before any of our code runs
        return 130
    assert child.returncode in (0, 130, -signal.SIGINT), said
    assert "Traceback" not in said or child.returncode == -signal.SIGINT, said
    assert still_running(below) == []
    return 130 if child.returncode == -signal.SIGINT else child.returncode


# ------------------------------------------------------------------ a full disk

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@ROOT_ONLY
def test_a_full_disk_leaves_the_last_good_image(good: Path, unbuilt: Path) -> None:
    """17 MiB hold one image of 16 and no second."""
    script = """
        cp -r out small/out
        netvm_build build -o small/out; echo "status $?"
        ls -A small; cd small/out && sha256sum *
    """
    done = on_a_small_disk(20 << 10, script, unbuilt)
    assert "status 1\n" in done.stdout, done.stdout + done.stderr
    assert re.search(r"error: no space left on the disk, writing \S+small/\S+", done.stderr)
    assert "hint: free some space, then run the same command again" in done.stderr
    lines = done.stdout.partition("status 1\n")[2].splitlines()
    assert lines[:2] == [".netvm", "out"]
    assert {name: digest for digest, name in map(str.split, lines[2:])} == digests(good / "out")


@ROOT_ONLY
def test_a_full_disk_under_the_lock(good: Path) -> None:
    script = """
        cp netvm.yaml small/ && cp netvm.lock small/
        dd if=/dev/zero of=small/filler bs=1k 2>/dev/null
        netvm_build lock small; echo "status $?"
        ls -A small; cmp netvm.lock small/netvm.lock && echo same
    """
    done = on_a_small_disk(128, script, good)
    assert done.stdout.endswith("status 1\nfiller\nnetvm.lock\nnetvm.yaml\nsame\n"), done.stdout + done.stderr
    assert re.search(r"error: no space left on the disk, writing \S+small/\S*netvm\.lock", done.stderr)


@ROOT_ONLY
def test_no_room_for_apts_lists(good: Path) -> None:
    script = 'TMPDIR=$PWD/small netvm_build lock; echo "status $?"; ls -A small'
    done = on_a_small_disk(512, script, good)
    assert done.stdout == "status 5\n", done.stdout + done.stderr
    assert re.search(r"error: apt's lists need \d+ MiB, and \S+/small has 0 left", done.stderr)
    assert "or set TMPDIR to another folder" in done.stderr


@ROOT_ONLY
@pytest.mark.parametrize("size_kib", [16, 64, 112, 400])
def test_a_full_disk_under_the_report(size_kib: int, good: Path, qemu: Qemu) -> None:
    """At the first file, at the logs, at the capture of the uplink: no verdict, and no report that looks like one."""
    smoke = f"netvm_build smoke out --accel tcg --qemu {qemu.path} --out small"
    done = on_a_small_disk(size_kib, f'{smoke}; echo "status $?"; ls small', good)
    assert done.stdout.startswith("status 7\n"), done.stdout + done.stderr
    assert "report.json" not in done.stdout
    assert re.search(r"error: the boot could not be recorded: \S*small\S*: No space left on device", done.stderr)


# ------------------------------------------------------------------ mirrors


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ("404", "this mirror lacks that suite: set platform.mirror"),
        ("cut", "the mirror broke off or did not answer: run netvm-build lock again, or set platform.mirror"),
        ("hang", "the mirror broke off or did not answer: run netvm-build lock again, or set platform.mirror"),
        ("portal", "open {url}/dists/trixie/InRelease in a browser and log in, then run the same command again"),
    ],
)
def test_a_lock_from_a_mirror_that_fails(fault: str, hint: str, good: Path) -> None:
    before = (good / "netvm.lock").read_bytes()
    (good / "apt.conf").write_text('Acquire::http::Timeout "1";\nAcquire::Retries "0";\n')
    with misbehaving(fault) as mirror:
        (good / "netvm.yaml").write_text(on(mirror.url))
        env = {"APT_CONFIG": str(good / "apt.conf"), **LOOPBACK}
        done = netvm_build("lock", cwd=good, env=env, timeout_s=60)
    assert done.returncode == 5, done.stderr
    assert f"hint: {hint.format(url=mirror.url)}" in done.stderr
    assert mirror.url in done.stderr
    assert (good / "netvm.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("fault", "message", "hint"),
    [
        ("404", "the lock is stale: the mirror no longer has ", "pin those with: netvm-build lock"),
        ("cut", "could not be downloaded: ", "run the same command again"),
        ("hang", "could not be downloaded: Timeout was reached", "run the same command again"),
        ("portal", "a page for a browser came instead of dbus-daemon_", "in a browser and log in, then run the same"),
    ],
)
def test_a_build_from_a_mirror_that_fails(fault: str, message: str, hint: str, good: Path) -> None:
    before = digests(good / "out")
    lock = json.loads((good / "netvm.lock").read_text())
    name = next(name for name in lock["packages"] if name.startswith("dbus-daemon"))
    with misbehaving(fault) as mirror:
        lock["mirrors"]["other"] = mirror.url
        lock["packages"][name] |= {"mirror": "other", "sha256": os.urandom(32).hex()}
        (good / "netvm.lock").write_text(json.dumps(lock))
        netvm_build("lock", "--trust", cwd=good)  # so that it isn't verified first
        env = {"NIX_CONFIG": "stalled-download-timeout = 1\ndownload-attempts = 2", **LOOPBACK}
        done = netvm_build("build", "-o", "out", cwd=good, env=env, timeout_s=60)
    assert done.returncode == 5, done.stderr
    assert mirror.asked
    assert re.search(rf"^error: .*{message}", done.stderr, re.MULTILINE), done.stderr
    assert hint in done.stderr
    assert ("trying again" in done.stderr) == (fault == "hang")
    assert digests(good / "out") == before


def test_a_corrupt_lock_is_5_and_stays(good: Path) -> None:
    whole = (good / "netvm.lock").read_bytes()
    (good / "netvm.lock").write_bytes(whole[: len(whole) // 2])
    done = netvm_build("build", "-o", "out", cwd=good)
    assert done.returncode == 5
    assert done.stderr.startswith("error: netvm.lock is corrupt: ")
    assert done.stderr.endswith("hint: make it anew: netvm-build lock\n")
    assert (good / "netvm.lock").read_bytes() == whole[: len(whole) // 2]


# ------------------------------------------------------------------ images


@pytest.mark.parametrize("command", ["smoke", "run"])
@pytest.mark.parametrize("name", [manifest.FILE, "rootfs.img", "kernel"])
def test_a_truncated_image_is_6(command: str, name: str, good: Path) -> None:
    part = good / "out" / name
    os.truncate(part, part.stat().st_size // 2)
    done = netvm_build(command, "out", cwd=good)
    assert done.returncode == 6
    assert f"out/{name}" in done.stderr
    assert "hint: make it again: netvm-build build -o out" in done.stderr


# ------------------------------------------------------------------ a QEMU that dies


def await_qemus(pid: int, count: int) -> list[int]:
    """The QEMUs below a process, once there are so many."""
    end = time.monotonic() + 60
    while True:
        found = [child for child in descendants(pid) if " -name guest=" in cmdline(child)]  # not one asked its version
        if len(found) >= count:
            return found
        assert time.monotonic() < end
        time.sleep(0.05)


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.mark.parametrize("victim", ["guest=netvm ", "guest=client-100.115.92.1 "])
def test_a_qemu_killed_under_smoke_is_7(victim: str, good: Path, qemu: Qemu) -> None:
    child = start("smoke", "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good)
    qemus = await_qemus(child.pid, 3)
    time.sleep(1.5)
    (target,) = [pid for pid in qemus if victim in cmdline(pid)]
    os.kill(target, signal.SIGKILL)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 7, said
    assert f"error: QEMU ({victim.removeprefix('guest=').strip()}) was killed by signal 9" in said
    assert "qemu.log" in said
    assert still_running(qemus) == []
    assert not (good / "out-smoke" / "report.json").exists()


def test_a_qemu_killed_under_run_is_7(good: Path, qemu: Qemu) -> None:
    child = start("run", "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good)
    (only,) = await_qemus(child.pid, 1)
    time.sleep(1)
    os.kill(only, signal.SIGKILL)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 7, said
    assert "error: QEMU was killed by signal 9" in said


@pytest.mark.parametrize("command", ["smoke", "run"])
def test_we_are_killed_and_no_vm_goes_on(command: str, good: Path, qemu: Qemu) -> None:
    child = start(command, "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good)
    qemus = await_qemus(child.pid, 3 if command == "smoke" else 1)
    child.kill()
    child.wait()
    assert still_running(qemus) == []
    if command == "run":  # its folder of sockets goes with the next run
        assert interrupt(3, "run", "out", "--accel", "tcg", "--qemu", str(qemu.path), cwd=good) == 130


def test_kvm_is_decided_by_trial_and_once(
    image: Image, qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this machine's own /dev/kvm is worth: the answer comes in time, is kept, and can be overruled."""
    started = time.monotonic()
    first = accelerator.choose(qemu, kernel=image.kernel, cache=tmp_path)
    assert time.monotonic() - started < accelerator.LINUX_DEADLINE_S + 5
    assert re.match(r"(KVM: /dev/kvm boots a guest|TCG: .*/dev/kvm)", str(first))
    monkeypatch.setattr(accelerator, "probe_linux", lambda *_: pytest.fail("it was tried again"))
    assert accelerator.choose(qemu, kernel=image.kernel, cache=tmp_path) == first
    for kind in accelerator.CHOICES:
        assert accelerator.choose(qemu, kind, cache=tmp_path).kind == kind


# ------------------------------------------------------------------ two at once


def test_two_builds_at_once_in_one_folder(image: Image, unbuilt: Path) -> None:
    first = start("build", "-o", "out", cwd=unbuilt)
    end = time.monotonic() + 30
    while not (unbuilt / ".netvm" / "out" / "tree").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    second = netvm_build("build", "-o", "out", cwd=unbuilt)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert second.returncode == 1
    assert f"another netvm-build (process {first.pid}) is at work here" in second.stderr
    manifest.verify(manifest.load(unbuilt / "out"))


def test_two_smoke_boots_at_once_into_one_folder(good: Path, qemu: Qemu) -> None:
    smoke = ("smoke", "out", "--accel", "tcg", "--qemu", str(qemu.path))
    first = start(*smoke, cwd=good)
    await_qemus(first.pid, 1)
    second = netvm_build(*smoke, cwd=good)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert second.returncode == 1
    assert f"another netvm-build (process {first.pid}) is at work here" in second.stderr
    assert "--out" in second.stderr
    assert json.loads((good / "out-smoke" / "report.json").read_text())["verdict"] == "passed"


# ------------------------------------------------------------------ folders and files that are not what they should be


@ROOT_ONLY
@pytest.mark.parametrize(
    ("arguments", "status"),
    [("build -o small/out", 1), ("render -o small/tree", 3), ("smoke out --qemu {} --out small/report", 1)],
)
def test_a_read_only_place(arguments: str, status: int, good: Path, qemu: Qemu) -> None:
    script = f'mount -o remount,ro small; netvm_build {arguments.format(qemu.path)}; echo "status $?"'
    done = on_a_small_disk(100, script, good)
    assert done.stdout == f"status {status}\n", done.stdout + done.stderr
    assert "small" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_folder_that_is_a_link_stays_one(good: Path) -> None:
    (good / "store").mkdir()
    (good / "link").symlink_to("store/image")
    for _ in range(2):
        done = netvm_build("build", "-o", "link", cwd=good)
        assert done.returncode == 0, done.stderr
        assert (good / "link").readlink() == Path("store/image")
        assert digests(good / "store" / "image") == digests(good / "out")
        os.truncate(good / "store" / "image" / "kernel", 10)
    assert sorted(path.name for path in (good / "store").iterdir()) == [".netvm", "image"]


@pytest.mark.parametrize("kind", ["file", "folder of others", "below a file", "loop", "the root"])
def test_an_image_folder_that_cannot_be_one(kind: str, good: Path) -> None:
    place = good / "place"
    if kind == "folder of others":
        place.mkdir()
        (place / "letter").touch()
    elif kind == "loop":
        place.symlink_to(place)
    else:
        place.write_text("a letter")
    name = {"below a file": "place/out", "the root": "/"}.get(kind, "place")
    done = netvm_build("build", "-o", name, cwd=good)
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr.startswith("error: ")
    assert name.removesuffix("/out") in done.stderr
    assert "Traceback" not in done.stderr
    assert kind != "file" or place.read_text() == "a letter"
    assert not Path("/.netvm").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"HOME": None},
        {"HOME": "/proc"},
        {"HOME": "/nonexistent"},
        {"TMPDIR": "/nonexistent"},
        {"XDG_CACHE_HOME": "/proc"},
    ],
    ids=lambda changed: " ".join(f"{name}={value}" for name, value in changed.items()),
)
def test_a_home_or_a_folder_for_temporary_files_that_is_not_there(
    changed: dict[str, str | None], image: Image, unbuilt: Path
) -> None:
    done = netvm_build("build", "-o", "out", cwd=unbuilt, env=changed)
    assert done.returncode == 0, done.stderr
    listed = netvm_build("doctor", cwd=unbuilt, env=changed)
    assert listed.returncode in (0, 1)
    assert "Traceback" not in listed.stderr
    assert not Path("/nonexistent").exists()


def test_the_machines_nix_and_apt_stay_as_they_are(good: Path, unbuilt: Path) -> None:
    """`lock` and `build` with a root to be made; `make.sh` adds packages to the machine, and nothing else."""
    need("apt-get")
    before = machine_state()
    assert before
    assert netvm_build("lock", cwd=unbuilt).returncode == 0
    assert netvm_build("build", "-o", "out2", cwd=unbuilt).returncode == 0
    assert machine_state() == before


def machine_state() -> dict[str, str]:
    """Every file of what is the machine's, by its digest."""
    home = Path.home()
    places = [Path("/etc/apt"), Path("/etc/nix"), Path("/var/lib/apt"), Path("/var/lib/dpkg"), Path("/var/cache/apt")]
    places += [home / ".config", *home.glob(".nix-*"), home / ".local" / "state" / "nix", home / ".pip"]
    found = {}
    for path in (path for place in places for path in [place, *place.rglob("*")]):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.exists():
            found[str(path)] = "folder"
    return found


def test_the_work_folder_is_beside_the_image(good: Path) -> None:
    assert pipeline.work_folder(good / "out") == good / ".netvm" / "out"
