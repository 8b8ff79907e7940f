# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The index of a kernel's options: how it is made of a small tree, what it shows, where it is kept, and `check`."""

from __future__ import annotations

import json
import os
import random
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from netvm_build import kconfig
from netvm_build.build import debian, kernel_index
from netvm_build.cli import main
from netvm_build.kconfig import known
from netvm_build.kconfig.bounds import Bounds
from netvm_build.kconfig.choices import rivals
from netvm_build.kconfig.fragment import Fragment
from netvm_build.kconfig.index import VERSION, BadIndex, Index
from netvm_build.model import HostFile, Kernel, OptionKind, OptionValue, RequestedOption, Router, Source
from netvm_build.util import resources
from netvm_build.util.errors import LockError

from tests.support import reasons
from tests.unit import test_check_config as build_check
from tests.unit.test_check_config import kconfiglib

__all__ = ["kconfiglib"]  # a fixture

READER = resources.folder("templates") / "kernel" / "read_kconfig.py"
NEWER = READER.with_name("newer_kconfig.py")
KINDS = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}
SPEC = "version: 1\nname: netvm\n"
BUILT_IN = "can't be a module: NF_CONNTRACK (netvm.yaml:6), which is built in, selects it"


@pytest.fixture
def made(tmp_path: Path, kconfiglib: None) -> Iterator[Path]:
    """What is made of the small tree."""
    before = dict(os.environ)
    assert (
        runpy.run_path(str(READER))["main"]([str(build_check.SCRIPT), str(NEWER), str(build_check.TREE), str(tmp_path)])
        == 0
    )
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def _asked(options: dict[str, str]) -> kconfig.KernelConfig:
    """A kernel of which a spec asks just these options."""
    requests = tuple(
        RequestedOption(
            name,
            OptionValue(KINDS[value]) if value in KINDS else OptionValue(OptionKind.FREEFORM, value),
            Source("netvm.yaml", line),
        )
        for line, (name, value) in enumerate(sorted(options.items()), 1)
    )
    router = {"router": Fragment("router", "d", Source("router.yaml"))}
    return kconfig.attempt(Kernel(fragments=(), config=requests), router).config


def _said(index: Index, options: dict[str, str]) -> dict[str, str]:
    found = known.problems(_asked(options), index, set(options))
    return {problem.path.removeprefix("kernel.config."): problem.message for problem in found}


def test_the_index_has_each_option_as_the_tree_defines_it(made: Path) -> None:
    index = Index((made / "index").read_bytes())
    assert (index.linux, index.modules) == ("6.12.7", "MODULES")
    kinds = {name: symbol.kind for name in ("NET", "E1000E", "NR_CPUS", "HOSTNAME") if (symbol := index.get(name))}
    assert kinds == {"NET": "bool", "E1000E": "tristate", "NR_CPUS": "int", "HOSTNAME": "string"}
    hz, plain = index.get("HZ_250"), index.get("OLD_NAME")
    assert hz is not None
    assert hz.choice is not None
    assert index.choices[hz.choice] == ("HZ_1000", "HZ_250")
    assert plain is not None
    assert plain.prompt is None


CONDITIONAL = """mainmenu "Linux $(KERNELVERSION)"
config MODULES
	bool "Modules"
	modules
config A
	tristate "A"
config B
	tristate "B"
config C
	bool "C"
config NUMBER
	int "Number"
	default 3
config X
	tristate "X"
	depends on CONDITION # a comment
"""


@pytest.mark.usefixtures("kconfiglib")
@pytest.mark.parametrize(
    ("condition", "prompt"),
    [
        ("A if B", ["|", "A", ["=", "B", "'n"]]),
        ("A if A", ["|", "A", ["=", "A", "'n"]]),
        ("A || C if !B", ["|", "A", "C", ["!=", "B", "'n"]]),
        ("A if B && C", ["|", "A", ["=", "B", "'n"], ["=", "C", "'n"]]),
        ("A if B || C", ["|", "A", ["&", ["=", "B", "'n"], ["=", "C", "'n"]]]),
        ("A if !(B || C)", ["|", "A", ["!", ["&", ["=", "B", "'n"], ["=", "C", "'n"]]]]),
        ("A if B != n", ["|", "A", ["!", ["!=", "B", "'n"]]]),
        ("A if NUMBER > 2", ["|", "A", ["!", [">", "NUMBER", "'2"]]]),
        ("A \\\n\t\tif B", ["|", "A", ["=", "B", "'n"]]),
        ("A && C", ["&", "A", "C"]),
    ],
)
def test_a_dependency_with_a_condition(tmp_path: Path, condition: str, prompt: list[Any]) -> None:
    """Linux 7's ``depends on X if Y``, which kconfiglib doesn't know."""
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Kconfig").write_text(CONDITIONAL.replace("CONDITION", condition))
    (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 0\n")
    out = tmp_path / "out"
    arguments = [str(build_check.SCRIPT), str(NEWER), str(tree), str(out)]
    assert runpy.run_path(str(READER))["main"](arguments) == 0
    line = next(line for line in (out / "index").read_text().splitlines() if line.startswith("X\t"))
    assert json.loads(line.partition("\t")[2])["prompt"] == prompt


def test_the_tree_and_what_its_commands_printed_serve_elsewhere(made: Path) -> None:
    answers = json.loads((made / "answers.json").read_text())
    assert answers["environment"]["SRCARCH"] == "x86"
    assert answers["shell"]['{ test "gcc" = gcc; } >/dev/null 2>&1 && echo y || echo n'] == "y"
    copied = {str(path.relative_to(made / "tree")) for path in (made / "tree").rglob("*") if path.is_file()}
    assert copied == {"Kconfig", "Makefile", "drivers/Kconfig"}


@pytest.mark.parametrize(
    ("option", "asked", "said"),
    [
        ("IP_NF_NATT", {"IP_NF_NATT": "y"}, "there is no such option in Linux 6.12.7"),
        ("NETFILTER", {"NETFILTER": "y"}, "needs NET: yes"),
        (
            "IP_NF_NAT",
            build_check.NAT | {"NF_CONNTRACK": "n"},
            "needs NF_CONNTRACK: yes, which netvm.yaml:5 sets to no",
        ),
        ("NF_NAT_MASQUERADE", {"NF_NAT_MASQUERADE": "y", "NET": "y"}, "has no question: it comes with NFT_MASQ"),
        ("NF_DEFRAG", build_check.NAT | {"NF_DEFRAG": "n"}, "can't be off: NF_CONNTRACK (netvm.yaml:5) selects it"),
        ("HIDDEN_AWAY", {"HIDDEN_AWAY": "y"}, "needs EXPERT: yes"),
        ("NR_CPUS", {"NR_CPUS": "1000"}, "must be 2 to 512, not 1000"),
        ("NR_CPUS", {"NR_CPUS": "010"}, "is a number without zeros before it"),
        ("NR_CPUS", {"NR_CPUS": "0" * 5000 + "10"}, "is a number without zeros before it"),
        ("NR_CPUS", {"NR_CPUS": "many"}, "is a number, not 'many'"),
        ("NR_CPUS", {"NR_CPUS": "y"}, "is a number, not yes"),
        ("HOSTNAME", {"HOSTNAME": "n"}, "is a text, not no"),
        ("NET", {"NET": "m"}, "can't be a module: it is yes or no"),
        ("NET", {"NET": "lab"}, "is yes or no, not 'lab'"),
        ("MAGIC", {"NET": "y", "MAGIC": "y"}, "needs CC_HAS_MAGIC, which this machine or compiler lacks"),
        ("ELSEWHERE", {"NET": "y", "ELSEWHERE": "y"}, "needs S390, which this kernel does not have"),
        ("DARK", {"DARK": "y", "OPTICS": "y"}, "needs LASER: no, but OPTICS (netvm.yaml:2) brings it"),
        ("ICE", {"ICE": "y", "STEAM": "y"}, "needs COLD: yes, which rules out STEAM (netvm.yaml:2)"),
        ("LOADED", {"NET": "y", "LOADED": "y"}, "can't be built in: it is a module or off"),
        ("LASER_POWER", {"NET": "y", "LASER_POWER": "y"}, "needs OPTICS: yes, which brings LASER"),
        ("EITHER_WAY", {"NET": "y", "EITHER_WAY": "y"}, "needs NETFILTER: yes"),
        ("NETVM_OFF", {"NET": "y", "NETVM_OFF": "n"}, "can't be off: it has no question, and is on by default"),
        ("NF_DEFRAG", build_check.NAT | {"MODULES": "y", "NF_DEFRAG": "m"}, BUILT_IN),
    ],
)
def test_what_is_said_of_an_option(made: Path, option: str, asked: dict[str, str], said: str) -> None:
    assert _said(Index((made / "index").read_bytes()), asked)[option] == said


def test_nothing_is_said_of_what_the_kernel_can_have(made: Path, tmp_path: Path) -> None:
    """Random requests: whatever is said is also found by the check inside the build, which has the solver."""
    index = Index((made / "index").read_bytes())
    drawn = random.Random(7)  # noqa: S311
    values = {"bool": "yyn", "tristate": "yym", "int": ("4", "600"), "hex": ("0x2000", "0x1"), "string": ("lab",)}
    told = 0
    for _ in range(150):
        names = drawn.sample([*index.names], drawn.randint(1, 8))
        asked = {name: drawn.choice(values[symbol.kind]) for name in names if (symbol := index.get(name))}
        kernel = _asked(asked)
        whole = {option.name: str(option.value) for option in kernel.options}
        wrong = {
            problem.path.partition(".")[2].removeprefix("config."): problem.message
            for problem in known.problems(kernel, index, asked)
        }
        # One that another request rules out could be had where that one, too, can't be.
        found = build_check._check(tmp_path, whole).keys()
        more = {name: said for name, said in wrong.items() if name not in found}
        assert all(any(f" {other}:" in said for other in wrong.keys() & found) for said in more.values()), (asked, more)
        told += bool(wrong)
    assert told > 30


def test_what_a_reason_names_lets_the_option_be_as_asked(made: Path) -> None:
    """Random requests: with what a reason names, the rules of Kconfig make the option as asked; what a plan rules out
    doesn't come out any more.
    """
    index = Index((made / "index").read_bytes())
    drawn = random.Random(5)  # noqa: S311
    switches = [name for name in index.names if (one := index.get(name)) and one.kind in ("bool", "tristate")]
    held, ruled_out = 0, 0
    for _ in range(60):
        asked = dict.fromkeys(drawn.sample(switches, drawn.randint(1, 5)), "y")
        for option, message in _said(index, asked).items():
            if named := reasons.named(message):
                whole = asked | named
                built = kconfig.read_config(build_check._allnoconfig(whole))
                assert built.get(option, "n") == whole[option], (asked, option, message)
                for lost in reasons.ruled_out(message):
                    assert built.get(lost, "n") != asked[lost], (asked, option, message)
                    ruled_out += 1
                held += 1
    assert held > 40
    assert ruled_out


def test_bounds_hold_what_the_kernel_comes_to(made: Path) -> None:
    """Random requests that come out as asked: each option's level is within its bounds."""
    index = Index((made / "index").read_bytes())
    drawn = random.Random(11)  # noqa: S311
    levels = {"n": 0, "m": 1, "y": 2}
    switches = [name for name in index.names if (one := index.get(name)) and one.kind in ("bool", "tristate")]
    held = 0
    for _ in range(200):
        asked = dict.fromkeys(drawn.sample(switches, drawn.randint(1, 3)), "y")
        built = kconfig.read_config(build_check._allnoconfig(asked))
        if any(built.get(name, "n") != value for name, value in asked.items()):
            continue
        bounds = Bounds(index, {option.name: option for option in _asked(asked).options})
        for name in switches:
            least, most = bounds.of(name)
            assert least <= levels[built.get(name, "n")] <= most, (asked, name)
        held += 1
    assert held > 20


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"version":1}', b'{"version":2,"linux":"6","modules":"M","options":1}\nA\t{}', b"[" * 9999],
)
def test_what_is_no_index(content: bytes) -> None:
    with pytest.raises(BadIndex):
        Index(content).get("A")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("BONDNG", "BONDING"),
        ("IP_NF_NATT", "IP_NF_NAT"),
        ("RETPOLINE", "MITIGATION_RETPOLINE"),
        ("BONIDNG", "BONDING"),
        ("BONDINF", "BONDING"),
        ("BOND_ING", "BONDING"),
        ("NF_LOG_COMMON", None),
        ("PAGE_MAPCOUNT", None),
        ("CRYPTO_CFB", None),
        ("CRYPTO_STATS", None),
        ("NF_NAT_IPV4", None),
        ("ACPI_MRRM", None),
    ],
)
def test_the_option_that_is_meant(name: str, near: str | None) -> None:
    """Beside those that are near only in their letters, found in what others have in their kernels."""
    names = (
        *("ACPI_PRMT", "BONDING", "CRYPTO_DEV_IAA_CRYPTO_STATS", "CRYPTO_ECB", "IP_NF_NAT", "MITIGATION_RETPOLINE"),
        *("NFS_COMMON", "NF_NAT_IPV6", "PAGE_COUNTER"),
    )
    rows = "".join(f'{one}\t{{"type":"bool"}}\n' for one in names)
    head = f'{{"version":{VERSION},"linux":"6.12.1","modules":"MODULES","options":{len(names)}}}\n'
    assert Index(f"{head}{rows}".encode()).nearest(name) == near


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec and a lock, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("netvm.yaml").write_text(SPEC)
    packages = {
        name: {"sha256": digit * 64} for name, digit in (("linux-source-6.12_6.12.1-1_all", "0"), ("gcc_14_amd64", "1"))
    }
    sets = {"linux": ["linux-source-6.12_6.12.1-1_all"], "toolchain": ["gcc_14_amd64"]}
    Path("netvm.lock").write_text(json.dumps({"version": 1, "sets": sets, "packages": packages}))
    Path("kernel-configs").mkdir()
    return tmp_path


def _keep(**more: dict[str, Any]) -> Path:
    """Keep an index that has the options of our fragments, and more."""
    ours = kconfig.load_fragments([resources.folder("kernel-configs")])
    symbols: dict[str, dict[str, Any]] = {"BONDING": {"type": "tristate", "prompt": "'y"}, "WG": {"type": "bool"}}
    for option in (one for fragment in ours.values() for one in fragment.every_option):
        text = option.value.text
        kind = "tristate" if not text else "hex" if text.startswith("0x") else "int" if text.isdecimal() else "string"
        symbols[option.name] = {"type": kind, "prompt": "'y"}
    head = json.dumps({"version": 2, "linux": "6.12.1", "modules": "MODULES", "options": len(symbols | more)})
    rows = [f"{name}\t{json.dumps(symbol)}" for name, symbol in sorted((symbols | more).items())]
    Path("made").write_text("\n".join([head, *rows]) + "\n")
    kernel_index.keep(Router(), Path("netvm.lock"), Path("made"))
    file = kernel_index.location(Router(), Path("netvm.lock"))
    assert file is not None
    return file


def test_check_says_that_there_is_no_index_and_what_makes_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "netvm-build kernel index" in capsys.readouterr().err
    _keep()
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["looked_up_in"] == "6.12.1"


@pytest.mark.parametrize("made", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_lock_that_is_no_plain_file_is_not_read(here: Path, made: Callable[[Path], None]) -> None:
    """In a folder of others: a pipe would make us wait, and /dev/zero has no end."""
    lock = here / "netvm.lock"
    lock.unlink()
    made(lock)
    assert main(["check"]) == 0
    with pytest.raises(LockError, match="cannot be read: "):
        debian.load_lock(lock, debian.request_for(Router()))


def test_check_finds_options_that_are_misspelt_in_a_fragment_and_in_the_spec(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _keep()
    Path("kernel-configs/mine.yaml").write_text("description: d\noptions:\n  BONDNG: yes\n")
    Path("netvm.yaml").write_text(f"{SPEC}kernel:\n  fragments: [mine]\n  config:\n    IP_NF_NATT: yes\n")
    assert main(["check"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: kernel-configs/mine.yaml:3: options.BONDNG: there is no such option in Linux 6.12.1",
        "hint: did you mean BONDING?",
        "error: netvm.yaml:6: kernel.config.IP_NF_NATT: there is no such option in Linux 6.12.1",
        "hint: did you mean IP_NF_NAT?",
    ]


def test_misspelt_options_fragments_and_keys_are_found_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _keep()
    Path("netvm.yaml").write_text(f"{SPEC}kernal: {{}}\nkernel:\n  fragments: [intell]\n  config: {{BONDNG: yes}}\n")
    assert main(["check", "--json"]) == 2
    told = [(one["path"], one["hint"]) for one in json.loads(capsys.readouterr().out)["problems"]]
    assert told == [
        ("kernal", "did you mean kernel?"),
        ("kernel.fragments[0]", "did you mean intel?"),
        ("kernel.config.BONDNG", "did you mean BONDING?"),
    ]


def test_one_option_of_the_spec_that_stops_many_is_one_problem(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs = {"type": "tristate", "prompt": "NF_CONNTRACK"}
    _keep(NFT_NAT=needs, NFT_MASQ=needs)
    Path("netvm.yaml").write_text(f"{SPEC}kernel:\n  config:\n    NF_CONNTRACK: no\n")
    assert main(["check"]) == 2
    problem, hint = capsys.readouterr().err.splitlines()
    assert problem.startswith("error: netvm.yaml:5: kernel.config.NF_CONNTRACK: is no here, but ")
    assert problem.endswith("kernel-configs/nftables.yaml:13 needs it for NFT_MASQ, and so does 1 other option")
    assert hint == "hint: remove NF_CONNTRACK from kernel.config"


def test_members_of_a_choice_that_only_the_index_knows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    member = {"type": "bool", "prompt": "'y", "choice": 1}
    _keep(COLOUR_RED=member, COLOUR_BLUE=member)
    Path("kernel-configs/mine.yaml").write_text("description: d\noptions: {COLOUR_RED: yes}\n")
    Path("netvm.yaml").write_text(f"{SPEC}kernel:\n  fragments: [mine]\n  config: {{COLOUR_BLUE: yes}}\n")
    assert main(["check"]) == 2
    said = capsys.readouterr().err
    assert "COLOUR_BLUE: is on here, but kernel-configs/mine.yaml:2 asks for COLOUR_RED" in said
    assert "`COLOUR_RED: unset`" in said


@pytest.mark.parametrize("harm", ["foreign", "cut", "huge"])
def test_an_index_that_others_could_have_written_or_that_is_cut_off_is_none(
    here: Path, harm: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _keep()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    if harm == "foreign":
        file.parent.chmod(0o777)
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    else:
        monkeypatch.setattr(kernel_index, "MAX_BYTES", 100)
    assert main(["check"]) == 0
    assert "netvm-build kernel index" in capsys.readouterr().err


def test_another_kernel_patch_or_compiler_is_another_index(here: Path) -> None:
    first = kernel_index.location(Router(), Path("netvm.lock"))
    patched = Router(kernel=Kernel(patches=(HostFile("fix.patch", here / "fix.patch", b"--- a/x"),)))
    assert first not in (None, kernel_index.location(patched, Path("netvm.lock")))
    lock = json.loads(Path("netvm.lock").read_text())
    lock["packages"]["gcc_14_amd64"]["sha256"] = "2" * 64
    Path("netvm.lock").write_text(json.dumps(lock))
    assert first not in (None, kernel_index.location(Router(), Path("netvm.lock")))
    assert kernel_index.location(Router(kernel=Kernel(version="6.18")), Path("netvm.lock")) is None
    assert kernel_index.location(Router(kernel=Kernel(stock=True)), Path("netvm.lock")) is None
    Path("netvm.lock").write_text("{")
    assert kernel_index.location(Router(), Path("netvm.lock")) is None


def test_as_many_indexes_are_kept_as_there_is_use_for(here: Path) -> None:
    lock = json.loads(Path("netvm.lock").read_text())
    for number in range(12):
        lock["packages"]["gcc_14_amd64"]["sha256"] = f"{number:064}"
        Path("netvm.lock").write_text(json.dumps(lock))
        file = _keep()
        os.utime(file, (number, number))
    assert len(list(file.parent.glob("*.index"))) == 8
    assert file.exists()


def test_rivals_are_known_both_ways() -> None:
    assert "HZ_1000" in rivals("HZ_250")
    assert "HZ_250" in rivals("HZ_1000")
    assert rivals("TUN") == ()
