# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the documents tell people to type is something the command line takes, and every link leads somewhere."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner
from netvm_build.cli.app import netvm_build
from netvm_build.util import errors

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- commands


def typed(text: str) -> Iterator[str]:
    """The command lines of a document's sh, console and indented blocks.

    Continued lines are joined, here-documents left out.
    """
    yield from re.findall(r"^(?: {4}|\t)(?:\$ )?(netvm-build .*)", text, re.MULTILINE)
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = iter(block.replace("\\\n", " ").splitlines())
        for line in lines:
            if kind == "console" and not line.startswith("$ "):
                continue  # what the command prints
            yield line.removeprefix("$ ")
            here = re.search(r"<<-?'?(\w+)'?", line)
            if here:
                while next(lines) != here.group(1):
                    pass


def ours(text: str) -> Iterator[list[str]]:
    """The arguments of each call of netvm-build, from blocks and from inline code."""
    inline = re.findall(r"`(netvm-build [^`…]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*typed(text), *inline]:
        if "netvm-build" not in line:
            continue  # nor is a line of another program always a whole word of shell
        substituted = re.sub(r'"?\$\((.*?)\)"?', r"; \1", re.sub(r"\s#.*", "", line))
        for part in re.split(r"&&|\|\||[|;]", re.sub(r">>?\s*\S+", "", substituted)):
            words = shlex.split(part, comments=True)
            while words and ("=" in words[0] or words[0] == "sudo"):
                words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
            if words and words[0] == "netvm-build":
                yield words[1:]


def parse(arguments: list[str]) -> None:
    """Let click read the arguments of a command, and run nothing.  Raises click.UsageError."""
    command: click.Command = netvm_build
    context = command.make_context("netvm-build", list(arguments), resilient_parsing=False)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
        if not rest:
            return  # the bare name in a sentence
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, rest, parent=context)


CALLS = [
    pytest.param(arguments, id=f"{name_of(path)}: {' '.join(arguments)}")
    for path in DOCUMENTS
    for arguments in ours(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("arguments", CALLS)
def test_the_command_line_takes_what_documents_say(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "-C" in arguments:
        (tmp_path / arguments[arguments.index("-C") + 1]).mkdir()
    with suppress(click.MissingParameter, click.exceptions.Exit):  # a bare name in a sentence; --version
        parse(arguments)


def test_a_call_that_does_not_exist_is_seen() -> None:
    (arguments,) = ours("```sh\nnetvm-build smoke --nick igb  # try\n```")
    with pytest.raises(click.UsageError):
        parse(arguments)


def test_calls_are_found_wherever_they_stand() -> None:
    block = "A=b netvm-build init x && sudo -u me netvm-build build \\\n  -o y > z\ncat <<'E'\nnetvm-build no\nE\n"
    text = f"`netvm-build check` and\n```sh\n{block}```\n"
    assert list(ours(text)) == [["init", "x"], ["build", "-o", "y"], ["check"]]


def subcommand(group: click.Group, context: click.Context, name: str) -> click.Command:
    found = group.get_command(context, name)
    assert found is not None
    return found


def examples_in_help() -> Iterator[str]:
    def walk(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from walk(subcommand(command, context, name))

    for command in walk(netvm_build):
        yield from re.findall(r"Example: (.*)", command.epilog or "")


@pytest.mark.parametrize("example", sorted(set(examples_in_help())))
def test_the_examples_of_help_are_taken_and_name_files_that_are_there(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    calls = list(ours(f"```sh\n{example}\n```"))
    assert calls
    for arguments in calls:
        parse(arguments)
        assert all((ROOT / word).exists() for word in arguments if word.startswith("examples/"))


def test_scripts_and_targets_that_documents_name_exist() -> None:
    known = set(re.findall(r"^  ([a-z-]+)  ", usage(), re.MULTILINE)) | {"all"}
    targets = set(re.findall(r"^([a-z -]+):$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split())
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"(?:^ *|`)\./make\.sh ([a-z][a-z-]*)", text, re.MULTILINE):
            assert command in known, f"{name_of(path)}: ./make.sh {command}"
        for target in re.findall(r"`make ([a-z-]+)`", text):
            assert target in targets, f"{name_of(path)}: make {target}"
    assert known <= targets


def usage() -> str:
    return subprocess.run([ROOT / "make.sh", "help"], capture_output=True, text=True, check=True).stdout


# ---- the tutorial, tried


NEEDS_A_BUILD = {"build", "lock", "smoke", "run", "status", "events", "console", "stop", "doctor"}


def test_the_tutorial_works_as_far_as_it_needs_no_nix(tmp_path: Path) -> None:
    """Every command of the tutorial in one shell, with those that build left out."""
    text = (ROOT / "docs" / "tutorial" / "first-router.md").read_text(encoding="utf-8")
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = line.split()
            if line.startswith(("./make.sh", "PATH=")) or (words[:1] == ["netvm-build"] and words[1] in NEEDS_A_BUILD):
                continue
            lines.append(line)
    assert sum(line.startswith("netvm-build") for line in lines) >= 8
    script = f'set -eu\nnetvm-build() {{ "{sys.executable}" -m netvm_build "$@"; }}\n'.replace(
        "netvm-build()", "tool()"
    )
    script += "\n".join(re.sub(r"^netvm-build ", "tool ", line) for line in lines)
    done = subprocess.run(
        ["sh"],
        input=script,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "builder")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "BONDING=y" in done.stdout
    assert "bond" in (tmp_path / "my-router" / "netvm.yaml").read_text()


def test_the_readme_shows_what_address_prints() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^\$ netvm-build (address .*)\n((?:.*\n)*?)```", text, re.MULTILINE)
    assert CliRunner().invoke(netvm_build, shlex.split(shown[0])).output == shown[1]


def test_every_exit_code_has_a_row() -> None:
    def codes(error: type[errors.NetvmError]) -> set[int]:
        return {error.exit_code}.union(*(codes(one) for one in error.__subclasses__()))

    table = (ROOT / "docs" / "reference" / "json.md").read_text().partition("## Exit codes\n")[2]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert listed == codes(errors.NetvmError) | {0, 130}


def texts() -> list[str]:
    """Every constant text of the program and of the guest."""
    files = [*(ROOT / "builder").rglob("*.py"), *(ROOT / "rootfs").rglob("*.py")]
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [node.value for node in nodes if isinstance(node.value, str)]


def test_the_messages_that_are_explained_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (.*?) \| ", page, re.MULTILINE)
    quoted = {span for cell in cells for span in re.findall(r"`([^`]+)`", cell)}
    known = texts()
    parts = {part.strip() for span in quoted for part in re.split(r"…\S*", span) if part.strip()}
    assert len(parts) > 30
    assert {part for part in parts if not any(part in text for text in known)} == set()


# ---- the paths that contributors are sent to


def test_the_files_that_contributors_are_sent_to_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:builder|rootfs|templates|tests|docs|kernel-configs)/[^`\s]*)`", text))
    for line in re.findall(r"^pytest (.*)$", text, re.MULTILINE):
        named |= {word for word in line.split() if word.startswith("tests/")}
    paths = {path for path in named if "NAME" not in path}
    assert len(paths) > 30
    assert {path for path in paths if not any(ROOT.glob(path))} == set()


# ---- the README


def test_the_picture_is_what_its_source_draws() -> None:
    folder = ROOT / "docs" / "images"
    drawn = subprocess.run([sys.executable, folder / "overview.py"], capture_output=True, text=True, check=True).stdout
    assert drawn == (folder / "overview.svg").read_text(encoding="utf-8"), (
        "python3 docs/images/overview.py > docs/images/overview.svg"
    )
    assert ElementTree.fromstring(drawn).tag.endswith("svg")  # noqa: S314  # it is our own
    assert "](docs/images/overview.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_fits_a_screen_and_a_half() -> None:
    """Without the report, which has a row for each check."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    prose, reports = re.subn(r"^```text\n.*?^```\n", "", text[text.index("# netvm-build") :], flags=re.M | re.DOTALL)
    assert reports == 1
    assert len(prose.splitlines()) <= 52


# ---- links


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    pytest.param(path, link, id=f"{name_of(path)}: {link}")
    for path in DOCUMENTS
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    if not re.match(r"[a-z]+:", link)
]


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_every_relative_link_leads_somewhere(path: Path, link: str) -> None:
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve() if file else path
    assert target.exists()
    assert target.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(target)


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        for link in re.findall(r"\]\(([^)\s#]+)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", link):
                target = (path.parent / link).resolve()
                waiting += target.rglob("*.md") if target.is_dir() else [target] if target.is_file() else []
    assert reached >= set(DOCUMENTS)


def test_each_decision_has_a_number_of_its_own() -> None:
    files = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    headings = [int(re.match(r"# (\d+)\. ", file.read_text())[1]) for file in files]  # type: ignore[index]
    assert headings == [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports them by their names alone."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
