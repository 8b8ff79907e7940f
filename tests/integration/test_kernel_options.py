# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The index of the locked kernel's options, made by Nix, held against what is written here and against kconfiglib."""

from __future__ import annotations

import json
import random
import re
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

from tests.support.needs import in_turn, tell

pytestmark = pytest.mark.integration

FRAGMENTS = kconfig.load_fragments([resources.folder("kernel-configs")])
SAMPLED = 300

# What the kernel's rules make of requests, by kconfiglib: lines of {option: value} in, lines of values out.
SOLVER = """
import json, os, sys
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
switches = [s for s in kconf.unique_defined_syms if s.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE)]
for line in sys.stdin:
    kconf.unset_values()
    for symbol in switches:
        symbol.set_value(2 if symbol.is_allnoconfig_y else 0)
    asked = json.loads(line)
    for name, value in asked.items():
        kconf.syms[name].set_value(value) if name in kconf.syms else None
    print(json.dumps({name: kconf.syms[name].str_value for name in asked if name in kconf.syms}))
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
    lines = "".join(f"{json.dumps({one.name: str(one.value) for one in kernel.options})}\n" for kernel in kernels)
    done = subprocess.run(
        [sys.executable, "-c", SOLVER, str(made)], input=lines, capture_output=True, text=True, check=True
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


@pytest.mark.lasts(90)
def test_what_is_said_of_sampled_options_is_true(made: Path, index: Index) -> None:
    """No option is refused that the kernel's rules would have, and of the reasons that name what is needed, nearly all
    are enough; the others are true, and more is needed.
    """
    drawn = random.Random(12)  # noqa: S311
    switches = {name: one.kind for name in index.names if (one := index.get(name)) and one.kind in ("bool", "tristate")}
    sample = {
        name: drawn.choice("ym" if switches[name] == "tristate" else "yyn")
        for name in drawn.sample([*switches], SAMPLED)
    }
    kernels = {name: _kernel(**{name: value}) for name, value in sample.items()}
    said = {name: list(known.problems(kernel, index, {name})) for name, kernel in kernels.items()}
    for name, got in zip(kernels, _solved(made, [*kernels.values()]), strict=True):
        asked = {option.name: str(option.value) for option in kernels[name].options}
        assert not said[name] or any(got.get(one, "n") != value for one, value in asked.items()), said[name]
    needs = {name: named for name, problems in said.items() if problems and (named := _named(problems[0].message))}
    again = [_kernel(**{name: sample[name], **named}) for name, named in needs.items()]
    enough = [got[name] == sample[name] for name, got in zip(needs, _solved(made, again), strict=True)]
    assert len(enough) > SAMPLED // 4
    assert sum(enough) >= 0.9 * len(enough)


def _named(message: str) -> dict[str, str]:
    """What a reason asks to set, of alternatives the first; empty where it says that nothing helps."""
    if not message.startswith("needs ") or "lacks" in message or "does not have" in message or "comes with" in message:
        return {}
    parts = (re.match(r"\(?(\w+): (\w+)", part) for part in message.removeprefix("needs ").split(" and "))
    return {part[1]: {"yes": "y", "module": "m", "no": "n"}[part[2]] for part in parts if part}
