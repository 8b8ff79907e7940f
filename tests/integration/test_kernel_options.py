# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The index of the locked kernel's options, made by Nix, held against what is written here and against kconfiglib."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.build import kernel_index, loading, pipeline
from netvm_build.kconfig import known
from netvm_build.kconfig.choices import rivals
from netvm_build.kconfig.index import Index
from netvm_build.model import Kernel, OptionKind, OptionValue, RequestedOption, Source
from netvm_build.util import resources
from netvm_build.util.errors import Problem

from tests.support import reasons
from tests.support.needs import in_turn, tell

pytestmark = pytest.mark.integration

FRAGMENTS = kconfig.load_fragments([resources.folder("kernel-configs")])
SAMPLED = 300

# What the kernel's rules make of requests, by kconfiglib: lines of {option: value} in, lines of values out.  What isn't
# asked is off, as in allnoconfig; the line {"": seed} asks for a random half of all options, and gets all values.
SOLVER = """
import json, os, random, sys
from pathlib import Path
made = Path(sys.argv[1])
sys.path.insert(0, str(made / "python"))
answers = json.loads((made / "answers.json").read_text())
tree = str(made / "tree")
os.environ |= answers["environment"] | {"srctree": tree}
import kconfiglib
class Functions:
    functions = {"shell": (lambda kconf, name, command: answers["shell"][command.replace(tree, "$srctree")], 1, 1)}
os.environ["KCONFIG_FUNCTIONS"] = "answered"
sys.modules["answered"] = Functions
class Kconfig(kconfiglib.Kconfig):
    def _open(self, filename, mode):
        import io, re
        text = super()._open(filename, mode).read()
        return io.StringIO(re.sub(r"(?m)^([ \\t]+)modules[ \\t]*$", r"\\1option modules", text))
kconf = Kconfig("Kconfig", warn=False)
switches = {s.name: s for s in kconf.unique_defined_syms if s.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE)}
off = {name: "y" if symbol.is_allnoconfig_y else "n" for name, symbol in switches.items()}
for name, value in off.items():
    switches[name].set_value(value)
before = {}
for line in sys.stdin:
    asked = json.loads(line)
    drawn = random.Random(asked.pop("", None)) if "" in asked else None
    if drawn:
        asked = {name: drawn.choice(["y", "y", "m", "n"]) for name in switches}
    for name in before.keys() - asked.keys():
        kconf.syms[name].set_value(off[name]) if name in off else kconf.syms[name].unset_value()
    asked = {name: value for name, value in asked.items() if name in kconf.syms}
    for name, value in asked.items():
        if before.get(name) != value:
            kconf.syms[name].set_value(value) or kconf.syms[name].set_value("y")
    before = asked
    print(json.dumps({name: kconf.syms[name].str_value for name in asked}))
"""


@pytest.fixture(scope="module")
def made(loaded: loading.Loaded, workshop: Path) -> Path:
    with in_turn(workshop):
        return pipeline.read_kconfig(loaded, workshop / "image", tell)


@pytest.fixture(scope="module")
def index(made: Path) -> Index:
    return Index((made / "index").read_bytes())


def _solved(made: Path, kernels: list[kconfig.KernelConfig]) -> list[dict[str, str]]:
    """What the kernel's rules make of what is asked of each kernel."""
    return _solved_lines(made, [json.dumps({one.name: str(one.value) for one in kernel.options}) for kernel in kernels])


def _solved_lines(made: Path, lines: list[str]) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", SOLVER, str(made)], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _kernel(**options: str) -> kconfig.KernelConfig:
    """The default kernel with more options."""
    kinds = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}
    own = (RequestedOption(name, OptionValue(kinds[value]), Source("netvm.yaml", 9)) for name, value in options.items())
    return kconfig.attempt(Kernel(config=tuple(own)), FRAGMENTS).config


def test_the_table_of_choices_is_that_of_the_source(index: Index) -> None:
    for members in index.choices.values():
        assert {members[0], *rivals(members[0])} == set(members)


def test_all_fragments_together_are_asked_rightly(index: Index) -> None:
    kernel = kconfig.resolve(Kernel(fragments=tuple(FRAGMENTS)), FRAGMENTS)
    assert list(known.problems(kernel, index, ())) == []


def test_the_index_is_kept_for_check(made: Path, loaded: loading.Loaded) -> None:
    kept = kernel_index.location(loaded.router, loaded.lock_path)
    assert kept is not None
    assert kept.read_bytes() == (made / "index").read_bytes()


@pytest.fixture(scope="module")
def sample(index: Index) -> dict[str, str]:
    """Options, each with a value that somebody could ask for."""
    drawn = random.Random(12)  # noqa: S311
    switches = {name: one.kind for name in index.names if (one := index.get(name)) and one.kind in ("bool", "tristate")}
    names = drawn.sample([*switches], SAMPLED)
    return {name: drawn.choice("ym" if switches[name] == "tristate" else "yyn") for name in names}


@pytest.fixture(scope="module")
def said(index: Index, sample: dict[str, str]) -> dict[str, Problem]:
    """Of each sampled option, what is said first."""
    found = {name: list(known.problems(_kernel(**{name: value}), index, {name})) for name, value in sample.items()}
    return {name: problems[0] for name, problems in found.items() if problems}


@pytest.mark.lasts(90)
def test_no_option_is_refused_that_the_kernel_would_have(
    made: Path, sample: dict[str, str], said: dict[str, Problem]
) -> None:
    kernels = [_kernel(**{name: sample[name]}) for name in said]
    for name, kernel, got in zip(said, kernels, _solved(made, kernels), strict=True):
        assert any(got.get(one.name, "n") != str(one.value) for one in kernel.options), said[name]


@pytest.mark.lasts(90)
def test_every_reason_names_all_that_is_missing(made: Path, sample: dict[str, str], said: dict[str, Problem]) -> None:
    """With what a reason names, or a hint has the user add, the option comes out as asked; and what a reason says to be
    ruled out by that doesn't.
    """
    by_words = {name: named for name, one in said.items() if (named := reasons.named(one.message))}
    by_hints = {name: pasted for name, one in said.items() if (pasted := reasons.pasted(one.hint or ""))}
    for remedies in (by_words, by_hints):
        assert len(remedies) > SAMPLED // 4
        kernels = [_kernel(**{name: sample[name], **remedy}) for name, remedy in remedies.items()]
        for name, kernel, got in zip(remedies, kernels, _solved(made, kernels), strict=True):
            assert got[name] == sample[name], said[name]
            for lost in reasons.ruled_out(said[name].message):
                assert got.get(lost, "n") != kernel.value(lost), said[name]


@pytest.mark.lasts(90)
def test_what_is_called_impossible_never_comes(made: Path, sample: dict[str, str], said: dict[str, Problem]) -> None:
    """Under random requests for half of all options, no option comes that a reason says nothing brings."""
    never = [name for name, one in said.items() if reasons.impossible(one.message) and sample[name] != "n"]
    assert len(never) > SAMPLED // 20
    for got in _solved_lines(made, [json.dumps({"": seed}) for seed in range(6)]):
        assert sum(value != "n" for value in got.values()) > 1000
        assert [said[name] for name in never if got[name] != "n"] == []


@pytest.mark.lasts(90)
def test_requests_that_rule_each_other_out_are_found(
    made: Path, index: Index, sample: dict[str, str], said: dict[str, Problem]
) -> None:
    """Pairs of options that can each be had: where the kernel's rules lose one of both, `check` says so."""
    remedies = {name: {name: sample[name], **reasons.pasted(one.hint or "")} for name, one in said.items()}
    able = [name for name, remedy in remedies.items() if len(remedy) > 1]
    drawn = random.Random(3)  # noqa: S311
    pairs = [drawn.sample(able, 2) for _ in range(SAMPLED // 3)]
    kernels = [_kernel(**(remedies[one] | remedies[other])) for one, other in pairs]
    for pair, kernel, got in zip(pairs, kernels, _solved(made, kernels), strict=True):
        lost = [one for one in kernel.options if got.get(one.name, "n") != str(one.value) and not one.value.optional]
        found = list(known.problems(kernel, index, {one.name for one in kernel.options}))
        assert bool(lost) == bool(found), (pair, lost, found)
