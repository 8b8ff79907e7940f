# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Put together the guest's root: the tree as rendered, the programs it runs, the libraries and modules those need.

usage: make_rootfs.py ROOT TREE PROGRAMS MODULES PART…

PROGRAMS and MODULES are lists separated by spaces.  A program is looked up in each PART in turn, and its libraries as
the guest's own loader finds them, so nothing is in the image that nothing loads.  The same input gives the same files.

A part holds files (Debian's packages, unpacked), or links to files elsewhere (nixpkgs' packages, in Nix's store).  What
a part only links to stays at its own path in the image too, since other binaries name it by that path, and the root has
the link.
"""

import os
import py_compile
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from modulefinder import ModuleFinder
from pathlib import Path

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"

# Folders that exist for the kernel, init or ConnMan to mount on or link to.
MOUNT_POINTS = ("dev", "proc", "sys", "run", "tmp", "var", "root")

# Modules the standard library tries and does without: each would bring libraries that nobody uses.
UNWANTED = (  # noqa: SIM905  # read as a list of words
    "_hashlib _ssl ssl _bz2 _lzma _sqlite3 _curses readline _decimal _ctypes_test _testcapi doctest unittest pdb pydoc"
    " tkinter distutils multiprocessing asyncio concurrent email http urllib xml logging zipfile tempfile"
    " _strptime calendar argparse gettext optparse inspect dis ast typing"
).split()

# What the interpreter itself imports before our first line.
BOOT_MODULES = (
    "encodings.utf_8", "encodings.ascii", "encodings.latin_1", "codecs", "io", "os", "stat", "abc", "linecache",
)  # fmt: skip


def find(parts: list[Path], name: str) -> Path:
    """The file of that name in the first part that has it."""
    for part in parts:
        if (part / name).exists():
            return part / name
    sys.exit(f"make_rootfs: none of the packages holds {name}")


def install(source: Path, root: Path, name: str) -> None:
    """Copy a file, following links, with a mode that does not depend on the builder's umask."""
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def place(parts: list[Path], file: Path, name: str) -> str:
    """Where a file lies in the root: at `name` if a part holds it, else at its own path."""
    return name if any(file.is_relative_to(part) for part in parts) else str(file).lstrip("/")


def link(root: Path, name: str, target: str) -> None:
    """Let `name` lead to `target`, both below the root."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and not path.is_symlink():
        path.symlink_to(f"/{target}")


def libraries(parts: list[Path], file: Path) -> list[Path]:
    """The shared libraries a binary loads, resolved by the guest's own loader among the parts."""
    loader = find(parts, LOADER)
    path = ":".join(str(part / LIBRARIES) for part in parts)
    listed = subprocess.run([loader, "--library-path", path, "--list", file], capture_output=True, text=True)
    if listed.returncode != 0 or "not found" in listed.stdout:
        sys.exit(f"make_rootfs: {file}: {listed.stdout}{listed.stderr}")
    return [Path(line.split("=>")[1].split("(")[0].strip()) for line in listed.stdout.splitlines() if "=>" in line]


def install_binary(parts: list[Path], root: Path, source: Path, name: str) -> None:
    """Copy a binary and every library it loads."""
    install(source, root, name)
    for library in libraries(parts, source):
        install(library, root, place(parts, library, f"{LIBRARIES}/{library.name}"))


def install_program(parts: list[Path], root: Path, name: str) -> None:
    """Copy a program that init starts by this name."""
    real = find(parts, name).resolve()
    target = place(parts, real, name)
    install_binary(parts, root, real, target)
    if target != name:
        link(root, name, target)


def install_loader(parts: list[Path], root: Path) -> None:
    """Copy what the kernel starts every program by, under the names that programs have for it."""
    found = find(parts, LOADER)
    real = found.resolve()
    inside = any(real.is_relative_to(part) for part in parts)
    for name in (LOADER, f"{LIBRARIES}/{real.name}") if inside else (str(found.readlink()).lstrip("/"),):
        install(real, root, name)


def standard_library(parts: list[Path]) -> Path:
    """The folder of the guest's Python standard library."""
    found = sorted(part for base in parts for part in (base / "usr/lib").glob("python3.*") if (part / "os.py").exists())
    if not found:
        sys.exit("make_rootfs: none of the packages holds Python's standard library")
    return found[0].resolve()


def install_python(parts: list[Path], root: Path, scripts: list[Path], modules: list[str]) -> None:
    """Install the part of the standard library that `scripts` and `modules` import, directly or not."""
    source = standard_library(parts)
    folder = place(parts, source, f"usr/lib/{source.name}")
    finder = ModuleFinder([str(root / "usr/lib/netvm"), str(source), str(source / "lib-dynload")], excludes=UNWANTED)
    for script in scripts:
        finder.run_script(str(script))
    for module in (*BOOT_MODULES, *modules):
        finder.import_hook(module, fromlist=["*"] if module == "encodings" else None)
    for found in sorted(filter(None, (vars(module)["__file__"] for module in finder.modules.values()))):
        file = Path(found)
        if not file.is_relative_to(source):
            continue
        name = f"{folder}/{file.relative_to(source)}"
        if file.suffix == ".so":
            install_binary(parts, root, file, name)
        else:
            install(file, root, name)
    # Sourceless: half the size, and no look for a newer source at each import.
    for file in sorted((root / folder).rglob("*.py")):
        py_compile.compile(
            str(file),
            str(file) + "c",
            dfile="/" + str(file.relative_to(root)),
            doraise=True,
            optimize=2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        file.unlink()


def compile_init(root: Path) -> None:
    """Compile our own package, beside its source, which a traceback on the console shows; /sbin/init to start.pyc.

    Without docstrings, which PID 1 would read on each boot: as `python3 -OO` does it, under the names of `python3`.
    """
    folder = root / "usr/lib/netvm"
    compiled = {file: cache_from_source(str(file)) for file in sorted(folder.rglob("*.py"))}
    for source, target in {**compiled, root / "sbin/init": str(folder / "start.pyc")}.items():
        try:
            py_compile.compile(
                str(source),
                target,
                dfile="/" + str(source.relative_to(root)),
                doraise=True,
                optimize=2,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as error:
            sys.exit(f"make_rootfs: the init package does not compile: {error}")


def main(root: Path, tree: Path, programs: list[str], modules: list[str], parts: list[Path]) -> None:
    shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    for name in MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for program in programs:
        install_program(parts, root, program)
    install_loader(parts, root)
    install_python(parts, root, sorted((root / "usr/lib/netvm/init").rglob("*.py")), modules)
    compile_init(root)
    (root / "sbin/init").chmod(0o755)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(), sys.argv[4].split(), [Path(p) for p in sys.argv[5:]]
    )
