# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Compare the table in docs/explanation/architecture.md with the imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "explanation" / "architecture.md"

# The one module that starts programs, and the program that becomes another one.
PROCESS = Path("util/process.py")
JAILER = Path("vmm/qemu/jailer.py")

# What comes from outside, and the rooms that may know it.
OUTSIDE = {
    "yaml": {"spec"},
    "msgspec": {"util"},
    "jinja2": {"build"},
    "markupsafe": {"build"},
    "asyncio": {"util", "vmm", "vm", "smoke", "measure"},
    "qemu": {"vmm"},
    "click": {"cli"},
    "rich": {"cli"},
}


def rooms_of_table(text: str) -> dict[str, set[str]]:
    """Room → the rooms it may import, in the order of the table under ``## Rooms``.

    A row reads ``| `spec` | job | marks, model |``; "all above" stands for every room of the rows before, "–" for none.
    """
    section = re.search(r"^## Rooms\b.*?$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "there is no heading `## Rooms`"
    rooms: dict[str, set[str]] = {}
    for line in section.group(1).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        named = re.fullmatch(r"`(\w+)`", cells[0])
        if line.startswith("|") and len(cells) == 3 and named:
            room = named.group(1)
            assert room not in rooms, f"{room} has two rows"
            rooms[room] = set(rooms) if cells[2] == "all above" else set(re.findall(r"\w+", cells[2]))
    return rooms


@cache
def walked(source: str) -> tuple[ast.AST, ...]:
    """All nodes of a file: several tests look at each."""
    return tuple(ast.walk(ast.parse(source)))


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def modules(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*.py")):
        if "data" not in path.relative_to(package).parts[:1]:
            yield path


def imported(source: str, package: str) -> Iterator[str]:
    """Every module a file imports, anywhere in it, dotted; names taken from the package itself are modules."""
    for node in walked(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == package:
                yield from (f"{package}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def rooms_imported(source: str, package: str = "netvm_build") -> set[str]:
    names = (name.split(".") for name in imported(source, package))
    return {parts[1] for parts in names if parts[0] == package and len(parts) > 1} - {"__version__"}


def violations(files: Iterable[tuple[str, str]], rooms: dict[str, set[str]]) -> list[str]:
    """What the (room, source) pairs import against the table and against OUTSIDE."""
    found = []
    for room, source in files:
        for other in sorted(rooms_imported(source) - {room}):
            if other not in rooms.get(room, set()):
                found.append(f"{room} imports {other}")
        for outside in sorted({name.split(".")[0] for name in imported(source, "netvm_build")} & set(OUTSIDE)):
            if room not in OUTSIDE[outside]:
                found.append(f"{room} imports {outside}, which is for {' and '.join(sorted(OUTSIDE[outside]))}")
        found += [f"{room} uses {name}" for name in starters(source)]
    return sorted(set(found))


# What waits for a program, and has a counterpart in `interrupts` that lets other tasks run.
BLOCKING = {
    "netvm_build.util.process.run",
    "netvm_build.util.process.end_group",
    "netvm_build.util.process.ends_within",
}


def blocking(source: str) -> Iterator[str]:
    """The calls in coroutines that keep the event loop waiting for a program."""
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in walked(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for coroutine in (node for node in walked(source) if isinstance(node, ast.AsyncFunctionDef)):
        ahead: list[ast.AST] = list(coroutine.body)
        while ahead:
            node = ahead.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            ahead += ast.iter_child_nodes(node)
            if isinstance(node, ast.Call):
                first, dot, rest = ast.unparse(node.func).partition(".")
                if f"{known.get(first, first)}{dot}{rest}" in BLOCKING:
                    yield f"{coroutine.name} calls {ast.unparse(node.func)}"


# What names a program that runs is no program started.
HARMLESS = {"Popen", "TimeoutExpired"}
STARTERS = re.compile(r"os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*)|asyncio\.create_subprocess_\w+")


def starters(source: str) -> Iterator[str]:
    """Whatever in a file could start a program."""
    for node in walked(source):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if STARTERS.fullmatch(called) or called in ("Popen", "subprocess.Popen"):
                yield called
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "subprocess":
            if node.attr not in HARMLESS:
                yield f"subprocess.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "subprocess":
            yield from (f"subprocess.{alias.name}" for alias in node.names if alias.name not in HARMLESS)


@pytest.fixture(scope="module")
def table() -> dict[str, set[str]]:
    return rooms_of_table(TABLE.read_text(encoding="utf-8"))


def module_graph(package: Path) -> dict[str, set[str]]:
    """Module → the modules of the same package that it imports, anywhere in the file; `package.room.file`."""
    files = {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in modules(package)}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        graph[name] = set()
        for node in walked(path.read_text(encoding="utf-8")):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= {full if full in files else node.module for full in inside.values()}
        graph[name] = (graph[name] & files.keys()) - {name}
    return graph


def children_graph(graph: dict[str, set[str]], parent: str) -> dict[str, set[str]]:
    """The imports between what lies directly in a package: its files, and its sub-packages as a whole."""
    depth = parent.count(".") + 2
    found: dict[str, set[str]] = {}
    for name, imports in graph.items():
        if name.startswith(f"{parent}."):
            child = ".".join(name.split(".")[:depth])
            others = {".".join(one.split(".")[:depth]) for one in imports if one.startswith(f"{parent}.")}
            found.setdefault(child, set()).update(others - {child})
    return found


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            ahead += (new := graph.get(ahead.pop(), set()) - seen)
            seen |= new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def ours() -> list[tuple[str, str]]:
    package = ROOT / "builder" / "netvm_build"
    files = [path for path in modules(package) if path.relative_to(package) not in (PROCESS, JAILER)]
    found = [(room_of(path, package), path.read_text(encoding="utf-8")) for path in files]
    return [(room, source) for room, source in found if room != "__init__"]


def test_every_room_has_a_row_and_every_row_a_room(table: dict[str, set[str]]) -> None:
    assert set(table) == {room for room, _ in ours()}


def test_imports_run_one_way_only(table: dict[str, set[str]]) -> None:
    above: set[str] = set()
    for room, may in table.items():
        assert may <= above, f"{room} may import {sorted(may - above)}, which must then be above it"
        above.add(room)


def test_the_layers_are_those_of_the_document(table: dict[str, set[str]]) -> None:
    layers: dict[str, int] = {}
    for room, may in table.items():
        layers[room] = 1 + max((layers[other] for other in may), default=0)
    (line,) = re.findall(r"^Layers, from the bottom: (.*)\.$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    written = [re.findall(r"`(\w+)`", part) for part in line.split(";")]
    numbers = range(1, max(layers.values()) + 1)
    assert written == [sorted(room for room, layer in layers.items() if layer == number) for number in numbers]


def test_no_room_imports_more_than_the_table_says(table: dict[str, set[str]]) -> None:
    assert violations(ours(), table) == []


def test_the_table_allows_no_more_than_is_used(table: dict[str, set[str]]) -> None:
    used: dict[str, set[str]] = {}
    for room, source in ours():
        used.setdefault(room, set()).update(rooms_imported(source) - {room})
    unused = {room: sorted(may - used[room]) for room, may in table.items() if may - used[room]}
    unused.pop("cli", None)  # all above: it draws what any of them says
    assert unused == {}


@pytest.mark.parametrize("package", ["builder/netvm_build", "rootfs/init", "bench", "tests"])
def test_no_files_and_no_folders_import_each_other(package: str) -> None:
    """Not directly and not by way of others, neither files nor, at any level, what lies in one folder."""
    graph = module_graph(ROOT / package)
    folders = {name.rpartition(".")[0] for name in graph if "." in name}
    assert cycles(graph) == []
    assert {folder: cycles(children_graph(graph, folder)) for folder in folders} == {folder: [] for folder in folders}


def test_no_coroutine_blocks_to_wait_for_a_program() -> None:
    files = [path for package in ("builder/netvm_build", "bench") for path in modules(ROOT / package)]
    found = {path: list(blocking(path.read_text())) for path in files if path.name != "interrupts.py"}
    assert {path: calls for path, calls in found.items() if calls} == {}


# What only QEMU's command line and its monitor are told.
OF_QEMU = re.compile(
    r"(?<!\w)-(netdev|device|chardev|object|drive) \w|\b(netdev|device)_(add|del)\b|\b(tap|stream),\w+="
)


def in_words_of_qemu(source: str) -> list[str]:
    """The texts of a file that are options or commands of QEMU, or a part of one."""
    texts = (node.value for node in walked(source) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [text for text in texts if OF_QEMU.search(text)]


def test_the_words_of_qemu_are_in_its_package() -> None:
    package = ROOT / "builder" / "netvm_build"
    others = [path for path in modules(package) if not path.is_relative_to(package / "vmm" / "qemu")]
    found = {path.relative_to(package): in_words_of_qemu(path.read_text(encoding="utf-8")) for path in others}
    assert {path: texts for path, texts in found.items() if texts} == {}
    own = [path for path in modules(package / "vmm" / "qemu") if in_words_of_qemu(path.read_text(encoding="utf-8"))]
    assert len(own) > 3


@pytest.mark.parametrize("source", ["f'-netdev user,id={x}'", "'device_add nic'", "f'tap,fd={x}'", "'-device x'"])
def test_words_of_qemu_are_seen(source: str) -> None:
    assert in_words_of_qemu(source)
    assert not in_words_of_qemu("'a tap, or a stream of devices'")


def test_the_guest_knows_nothing_but_the_standard_library() -> None:
    package = ROOT / "rootfs" / "init"
    for path in modules(package):
        names = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"), "init")}
        assert names - {"init"} <= sys.stdlib_module_names, path


def test_bench_uses_builder_and_nobody_uses_bench() -> None:
    for package in ("builder/netvm_build", "rootfs"):
        for path in modules(ROOT / package):
            names = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"), package)}
            assert "bench" not in names, path


def test_bench_starts_programs_through_builder() -> None:
    assert [(path, name) for path in modules(ROOT / "bench") for name in starters(path.read_text())] == []


# ---- the test itself can fail

EXAMPLE = """
## Rooms

| room | job | may import |
|---|---|---|
| `errors` | the error tree | – |
| `model` | values; see `errors` | errors |
| `cli` | arguments in | all above |

## Next

| `other` | x | – |
"""


def test_a_table_is_read_as_it_is_meant() -> None:
    assert rooms_of_table(EXAMPLE) == {"errors": set(), "model": {"errors"}, "cli": {"errors", "model"}}


@pytest.mark.parametrize(
    ("room", "source", "said"),
    [
        ("model", "from netvm_build import cli", "model imports cli"),
        ("model", "import netvm_build.cli.app", "model imports cli"),
        ("errors", "def f():\n    from netvm_build.model import Router", "errors imports model"),
        ("model", "import subprocess\nsubprocess.run([])", "model uses subprocess.run"),
        ("model", "from subprocess import Popen\nPopen([])", "model uses Popen"),
        ("model", "import os\nos.execv('a', [])", "model uses os.execv"),
        ("model", "from qemu.qmp import QMPClient", "model imports qemu, which is for vmm"),
    ],
)
def test_a_violation_is_seen(room: str, source: str, said: str) -> None:
    assert violations([(room, source)], rooms_of_table(EXAMPLE)) == [said]


def test_what_is_allowed_is_no_violation() -> None:
    source = "import json\nfrom netvm_build import __version__, errors\nfrom netvm_build.model import Router"
    assert (
        violations([("cli", source), ("model", "from netvm_build.errors import Problem")], rooms_of_table(EXAMPLE))
        == []
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from netvm_build.util.process import end_group\nasync def f():\n    end_group(1)", ["f calls end_group"]),
        (
            "from netvm_build.util import process\nasync def f():\n    with a:\n        process.run([])",
            ["f calls process.run"],
        ),
        ("from netvm_build.util import process\nasync def f():\n def g():\n  process.run([])\n await h(g)", []),
        ("from netvm_build.util import interrupts\nasync def f():\n    await interrupts.end_group(1)", []),
    ],
)
def test_a_coroutine_that_blocks_is_seen(source: str, said: list[str]) -> None:
    assert list(blocking(source)) == said


def package_of(folder: Path, **sources: str) -> Path:
    """A package `made`; `room_file` is made/room/file.py."""
    for name, source in sources.items():
        path = folder / "made" / f"{name.replace('_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder / "made"


def test_files_that_import_each_other_are_seen(tmp_path: Path) -> None:
    sources = {
        "a": "from made import b",
        "b": "def f():\n    from made.c import x",
        "c": "import made.a",
        "d": "import made.a",
    }
    graph = module_graph(package_of(tmp_path, **sources))
    assert graph["made.b"] == {"made.c"}
    assert cycles(graph) == [["made.a", "made.b", "made.c"]]


def test_folders_that_import_each_other_by_different_files_are_seen(tmp_path: Path) -> None:
    sources = {"one_a": "import made.two.a", "one_b": "", "two_a": "", "two_b": "from made.one import b"}
    graph = module_graph(package_of(tmp_path, **sources))
    assert cycles(graph) == []
    assert cycles(children_graph(graph, "made")) == [["made.one", "made.two"]]
