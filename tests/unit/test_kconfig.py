# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel fragments: what is read, what is refused, and what a spec's choice comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from netvm_build import kconfig
from netvm_build.kconfig import Fragment, KernelConfig
from netvm_build.model import Kernel, OptionKind, OptionValue, RequestedOption, Source, Versions, version_key
from netvm_build.util import resources
from netvm_build.util.errors import OptionMismatch, SpecError

from tests.support.dotconfig import compare, seed_text

SPEC = Source("netvm.yaml", 3)
OURS = resources.folder("kernel-configs")
ROUTER = "description: always there\n"
SEED = ("E1000E", "IGB", "PACKET", "IP_NF_NAT", "IP_NF_IPTABLES", "IP_NF_TARGET_MASQUERADE", "NF_CONNTRACK")
GUEST = ("VIRTIO_PCI", "VIRTIO_BLK", "VIRTIO_NET", "DEVTMPFS_MOUNT", "HW_RANDOM", "HW_RANDOM_VIRTIO")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of fragments that messages call `own`."""
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    return Path("own")


def _write(folder: Path, **files: str) -> Mapping[str, Fragment]:
    files.setdefault("router", ROUTER)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return kconfig.load_fragments([folder])


def _problems(call: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        call()
    return "".join(f"{problem}\n    hint: {problem.hint}\n" for problem in caught.value.problems)


def _ours(*fragments: str, version: str = "6.12") -> KernelConfig:
    return kconfig.resolve(Kernel(version=version, fragments=fragments), kconfig.load_fragments([OURS]))


def _own(name: str, kind: OptionKind, line: int = 9) -> RequestedOption:
    return RequestedOption(name, OptionValue(kind), Source("netvm.yaml", line))


class TestOurs:
    def test_each_is_well_formed_and_described_in_a_line(self) -> None:
        for fragment in kconfig.load_fragments([OURS]).values():
            assert 10 < len(fragment.description) <= 110, fragment.name
            assert fragment.options or fragment.requires, fragment.name
            assert fragment.source.file == f"kernel-configs/{fragment.name}.yaml"

    def test_all_of_them_go_together(self) -> None:
        names = tuple(kconfig.load_fragments([OURS]))
        assert {fragment.name for fragment in _ours(*names).fragments} == set(names)

    def test_the_starter_has_what_the_design_asks_for(self) -> None:
        starter = _ours("intel", "virtio")
        assert {name: starter.value(name) for name in (*SEED, *GUEST)} == dict.fromkeys((*SEED, *GUEST), "y")

    def test_the_starter_as_a_seed(self, golden: Callable[[str, str], None]) -> None:
        golden("kconfig/starter.seed", seed_text(_ours("intel", "virtio").options))

    @pytest.mark.parametrize("nic", ["8139CP", "8139TOO", "VMXNET3", "E1000"])
    def test_every_emulated_card_has_a_fragment(self, nic: str) -> None:
        assert _ours("intel", "realtek", "vmware").value(nic) == "y"

    def test_the_tables_that_linux_6_17_hid_are_asked_for_from_there_on(self) -> None:
        expected = {"6.9": "n", "6.12": "n", "6.16.12": "n", "6.17": "y", "6.18": "y", "7.0": "y"}
        for version, value in expected.items():
            assert _ours(version=version).value("IP_NF_IPTABLES_LEGACY") == value, version


class TestReading:
    def test_every_kind_of_value(self, folder: Path) -> None:
        text = (
            "description: d\n"
            "options:\n"
            "  A: yes\n"
            "  B: module\n"
            "  C: no\n"
            "  D: unset\n"
            "  E: 16\n"
            "  F: 0x10\n"
            "  G: some text\n"
            "  64BIT: {value: yes, optional: true}\n"
        )
        options = _write(folder, kinds=text)["kinds"].options
        assert [(option.name, str(option.value), option.value.optional) for option in options] == [
            ("A", "y", False),
            ("B", "m", False),
            ("C", "n", False),
            ("D", "unset", False),
            ("E", "16", False),
            ("F", "0x10", False),
            ("G", "some text", False),
            ("64BIT", "y", True),
        ]
        assert [option.source.line for option in options] == list(range(3, 11))
        assert options[0].source.file == "own/kinds.yaml"

    def test_everything_wrong_at_once(self, folder: Path, golden: Callable[[str, str], None]) -> None:
        files = {
            "keys": "descripton: misspelt\noptions: [A]\n",
            "values": (
                "description: ''\n"
                "requires: nat\n"
                "conflicts: [No, 12, [a], nat, nat]\n"
                "options:\n"
                "  CONFIG_A: yes\n"
                "  B-C: yes\n"
                "  D:\n"
                "  E: [1]\n"
                "  F: {value: yes, optinal: true}\n"
                "  G: $(reboot)\n"
                "  H: yes\n"
                "  H: no\n"
            ),
            "nat": "description: d\nrequires: [circle, nftable]\n",
            "circle": "description: d\nrequires:\n- nftables\n",
            "nftables": "description: d\nrequires: [nat]\n",
            "selfish": "description: d\nrequires: [selfish]\n",
            "versions": (
                "description: d\n"
                "when:\n"
                "- {at_least: six, options: {A: yes}}\n"
                "- {options: {A: yes}}\n"
                "- {at_least: 6.17}\n"
                "- {at_least: 6.12, older_than: 6.9, options: {A: yes}}\n"
                "- {at_lest: 6.12, older_than: 6.19, options: {A: maybe`}}\n"
                "- 6.12\n"
            ),
            "tabs": "description: d\noptions:\n\tA: yes\n",
            "list": "- a\n",
            "empty": "# nothing\n",
            "Upper": "description: d\n",
        }
        (folder / "nic.yml").write_text("description: d\n")
        text = _problems(lambda: _write(folder, **files))
        golden("errors/fragments.txt", text)

    def test_a_name_that_is_taken(self, folder: Path) -> None:
        (folder / "intel.yaml").write_text("description: mine\noptions: {IGB: yes}\n")
        assert _problems(lambda: kconfig.load_fragments([folder, OURS])) == (
            f"own/intel.yaml: a fragment 'intel' is also in {OURS}/intel.yaml\n"
            "    hint: rename one of the two: mv own/intel.yaml own/my-intel.yaml\n"
        )

    def test_a_users_fragment_works_like_ours(self, folder: Path) -> None:
        (folder / "lab.yaml").write_text("description: mine\nrequires: [realtek]\noptions: {TUN: yes}\n")
        fragments = kconfig.load_fragments([folder, OURS])
        kernel = kconfig.resolve(Kernel(fragments=("lab",)), fragments)
        assert (kernel.value("TUN"), kernel.value("R8169")) == ("y", "y")
        assert kernel.chosen_by["realtek"] == "lab"

    def test_a_config_that_is_called_a_fragment(self, folder: Path) -> None:
        (folder / "lab.yaml").write_text("# mine\nCONFIG_TUN=y\nCONFIG_HZ=250\n")
        assert _problems(lambda: kconfig.load_fragments([folder])) == (
            "own/lab.yaml:2: has the form of a .config, not of a fragment\n"
            "    hint: mv own/lab.yaml lab.config && netvm-build kernel import lab.config\n"
        )

    def test_a_folder_that_is_not_there(self) -> None:
        text = _problems(lambda: kconfig.load_fragments([Path("gone")]))
        assert text.startswith("gone: cannot be read: No such file or directory")

    def test_other_files_are_left_alone(self, folder: Path) -> None:
        (folder / "README.md").write_text("text")
        (folder / ".swap.yaml").write_text("[")
        assert list(_write(folder)) == ["router"]


class TestVersions:
    @pytest.mark.parametrize(
        ("older", "newer"),
        [("6.9", "6.12"), ("6.12", "6.12.1"), ("6.12.9", "6.12.10"), ("6.19", "7.0"), ("5.19", "6.0")],
    )
    def test_order_is_by_number(self, older: str, newer: str) -> None:
        assert version_key(older) < version_key(newer)

    def test_a_series_is_its_first_release(self) -> None:
        assert version_key("6.12") == version_key("6.12.0")

    @pytest.mark.parametrize(("version", "holds"), [("6.9", False), ("6.12", True), ("6.12.30", True), ("6.17", False)])
    def test_limits(self, version: str, holds: bool) -> None:
        assert Versions("6.12", "6.17").include(version) is holds


class TestResolving:
    def test_requirements_follow(self, folder: Path) -> None:
        fragments = _write(
            folder,
            a="description: d\nrequires: [b]\noptions: {A: yes}\n",
            b="description: d\nrequires: [c]\noptions: {B: yes}\n",
            c="description: d\noptions: {C: yes}\n",
            d="description: d\noptions: {D: yes}\n",
        )
        kernel = kconfig.resolve(Kernel(fragments=("a",)), fragments)
        assert [option.name for option in kernel.options] == ["A", "B", "C"]
        assert kernel.chosen_by == {"a": "", "router": "", "b": "a", "c": "b"}

    def test_an_unknown_fragment(self, folder: Path) -> None:
        fragments = _write(folder, intel="description: d\n")
        origins = {"kernel.fragments[0]": Source("lab.yaml", 6)}
        kernel = Kernel(fragments=("intle", "zzz"))
        assert _problems(lambda: kconfig.resolve(kernel, fragments, origins=origins)) == (
            "lab.yaml:6: kernel.fragments[0]: there is no fragment 'intle'\n"
            "    hint: did you mean intel?\n"
            "netvm.yaml: kernel.fragments[1]: there is no fragment 'zzz'\n"
            "    hint: `netvm-build kernel list` shows them all\n"
        )

    def test_a_conflict_names_both_and_who_brought_them(self, folder: Path) -> None:
        fragments = _write(
            folder,
            small="description: d\nconflicts:\n- ipv6\n",
            ipv6="description: d\n",
            dual="description: d\nrequires: [ipv6]\n",
        )
        assert _problems(lambda: kconfig.resolve(Kernel(fragments=("small", "dual")), fragments)) == (
            "own/small.yaml:3: conflicts: 'small' cannot go with 'ipv6' (required by 'dual')\n"
            "    hint: leave small or dual out of kernel.fragments\n"
        )
        kconfig.resolve(Kernel(fragments=("small",)), fragments)

    def test_two_values_name_both_lines(self, folder: Path) -> None:
        fragments = _write(
            folder, a="description: d\noptions:\n  HZ: 250\n", b="description: d\noptions:\n  A: yes\n  HZ: 1000\n"
        )
        assert _problems(lambda: kconfig.resolve(Kernel(fragments=("a", "b")), fragments)) == (
            "own/b.yaml:4: options.HZ: is 1000 here, but own/a.yaml:3 asks for 250\n"
            "    hint: select one of the two fragments, or decide in the spec: kernel.config.HZ\n"
        )

    def test_the_spec_has_the_last_word(self, folder: Path) -> None:
        fragments = _write(folder, a="description: d\noptions: {X: yes}\n", b="description: d\noptions: {X: no}\n")
        kernel = kconfig.resolve(Kernel(fragments=("a", "b"), config=(_own("X", OptionKind.MODULE),)), fragments)
        asked = [(option.name, str(option.value), str(option.source)) for option in kernel.options]
        assert asked == [("MODULES", "y", "netvm.yaml:9"), ("X", "m", "netvm.yaml:9")]

    def test_unset_in_the_spec_withdraws_every_request(self, folder: Path) -> None:
        fragments = _write(folder, a="description: d\noptions: {X: yes, Y: yes}\n")
        kernel = kconfig.resolve(Kernel(fragments=("a",), config=(_own("X", OptionKind.UNSET),)), fragments)
        assert [option.name for option in kernel.options] == ["Y"]
        assert [(str(one.request.value), one.used) for one in kconfig.explain("X", kernel, fragments).asked] == [
            ("y", False),
            ("unset", True),
        ]

    def test_unset_in_a_fragment_leaves_the_kernels_default_and_agrees_with_no_value(self, folder: Path) -> None:
        fragments = _write(folder, a="description: d\noptions: {X: unset}\n", b="description: d\noptions: {X: no}\n")
        assert kconfig.resolve(Kernel(fragments=("a",)), fragments).options == ()
        assert _problems(lambda: kconfig.resolve(Kernel(fragments=("a", "b")), fragments)) == (
            "own/b.yaml:2: options.X: is n here, but own/a.yaml:2 asks for unset\n"
            "    hint: select one of the two fragments, or decide in the spec: kernel.config.X\n"
        )

    def test_modules_unset_in_the_spec_are_on_where_a_module_is_asked_for(self) -> None:
        config = (_own("MODULES", OptionKind.UNSET), _own("TUN", OptionKind.MODULE))
        kernel = kconfig.resolve(Kernel(config=config), kconfig.load_fragments([OURS]))
        assert (kernel.value("MODULES"), kernel.value("TUN")) == ("y", "m")

    def test_a_module_without_loading_is_refused(self) -> None:
        config = (_own("MODULES", OptionKind.NO, 7), _own("TUN", OptionKind.MODULE))
        fragments = kconfig.load_fragments([OURS])
        assert _problems(lambda: kconfig.resolve(Kernel(config=config), fragments)) == (
            "netvm.yaml:9: TUN is to be a module, but netvm.yaml:7 sets MODULES to no\n"
            "    hint: remove MODULES from kernel.config, or have built in what is a module here\n"
        )
        said = _problems(lambda: kconfig.resolve(Kernel(config=config[:1], modules=("intel",)), fragments))
        assert said.startswith("netvm.yaml: E1000, E1000E, IGB, IGC are to be modules, but netvm.yaml:7 sets")

    def test_a_condition_of_a_single_option(self, folder: Path) -> None:
        text = 'description: d\noptions:\n  X: {value: yes, at_least: "6.12", older_than: 6.17}\n'
        fragments = _write(folder, a=text)
        own = RequestedOption("Y", OptionValue(OptionKind.NO, versions=Versions("6.17")), SPEC)
        for version, expected in {"6.9": ("n", []), "6.12": ("y", ["X"]), "6.17": ("n", ["Y"])}.items():
            kernel = kconfig.resolve(Kernel(version=version, fragments=("a",), config=(own,)), fragments)
            assert (kernel.value("X"), [option.name for option in kernel.options]) == expected, version

    def test_ignore_unknown_asks_only_kernels_that_have_the_options(self, folder: Path) -> None:
        when = 'when: [{at_least: "6.0", options: {Y: no}}]\n'
        fragments = _write(folder, a=f"description: d\nignore_unknown: true\noptions: {{X: yes}}\n{when}")
        options = kconfig.resolve(Kernel(fragments=("a",)), fragments).options
        assert [(one.name, one.value.optional) for one in options] == [("X", True), ("Y", True)]
        plain = _write(folder, a=f"description: d\nignore_unknown: false\noptions: {{X: yes}}\n{when}")
        assert not any(one.value.optional for one in plain["a"].every_option)

    @pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
    def test_a_plain_request_counts_more_than_an_optional_one(self, folder: Path, names: tuple[str, ...]) -> None:
        optional = "description: d\noptions: {X: {value: yes, optional: true}}\n"
        fragments = _write(folder, a=optional, b="description: d\noptions: {X: yes}\n")
        (option,) = kconfig.resolve(Kernel(fragments=names), fragments).options
        assert (option.value.optional, option.source.file) == (False, "own/b.yaml")

    @pytest.mark.parametrize(
        ("mine", "ours"),
        [("HZ_250", "HZ_1000"), ("KERNEL_ZSTD", "KERNEL_LZ4"), ("PREEMPT", "PREEMPT_NONE")],
    )
    def test_the_spec_s_member_of_a_choice_wins_over_a_fragment_s(self, mine: str, ours: str) -> None:
        fragments = kconfig.load_fragments([OURS])
        kernel = kconfig.resolve(Kernel(config=(_own(mine, OptionKind.YES),)), fragments)
        assert (kernel.value(mine), kernel.value(ours)) == ("y", "n")
        said = kconfig.explain(ours, kernel, fragments)
        assert [one.used for one in said.asked] == [False]
        assert said.rival is not None
        assert (said.rival.name, str(said.rival.source)) == (mine, "netvm.yaml:9")
        assert kconfig.resolve(Kernel(config=(_own(mine, OptionKind.NO),)), fragments).value(ours) == "y"

    def test_fragments_that_disagree_on_a_choice_name_both_places(self, folder: Path) -> None:
        fragments = _write(
            folder,
            a="description: d\noptions:\n  HZ_100: yes\n",
            b="description: d\noptions:\n  X: yes\n  HZ_250: yes\n  HZ_300: {value: yes, optional: true}\n",
        )
        assert _problems(lambda: kconfig.resolve(Kernel(fragments=("a", "b")), fragments)) == (
            "own/b.yaml:4: options.HZ_250: is on here, but own/a.yaml:3 asks for HZ_100; only one of their choice can"
            " be on\n    hint: keep one of the two, or decide in the spec: kernel.config.HZ_250: yes\n"
        )
        decided = kconfig.resolve(Kernel(fragments=("a", "b"), config=(_own("HZ_1000", OptionKind.YES),)), fragments)
        assert [option.name for option in decided.options] == ["HZ_1000", "X"]

    def test_two_members_of_a_choice_in_the_spec(self, folder: Path) -> None:
        config = (_own("HZ_100", OptionKind.YES), _own("HZ_250", OptionKind.YES, 10))
        said = _problems(lambda: kconfig.resolve(Kernel(fragments=(), config=config), _write(folder)))
        assert said.startswith("netvm.yaml:10: options.HZ_250: is on here, but netvm.yaml:9 asks for HZ_100;")

    def test_options_are_sorted_whatever_the_order_of_selection(self) -> None:
        assert _ours("intel", "realtek").options == _ours("realtek", "intel").options
        names = [option.name for option in _ours("intel").options]
        assert names == sorted(names)


class TestExplaining:
    def test_who_asks_and_why(self) -> None:
        fragments = kconfig.load_fragments([OURS])
        kernel = kconfig.resolve(Kernel(config=(_own("IP_NF_NAT", OptionKind.NO),)), fragments)
        said = kconfig.explain("CONFIG_IP_NF_NAT", kernel, fragments)
        assert [(one.fragment, one.because, one.used) for one in said.asked] == [
            ("nat", ("nat", "router"), False),
            ("", (), True),
        ]
        assert said.option is not None
        assert str(said.option.source) == "netvm.yaml:9"

    def test_who_would_ask(self) -> None:
        fragments = kconfig.load_fragments([OURS])
        said = kconfig.explain("R8169", kconfig.resolve(Kernel(fragments=("intel",)), fragments), fragments)
        assert (said.option, said.asked, [one.name for one in said.elsewhere]) == (None, (), ["realtek"])

    def test_a_name_nobody_knows(self) -> None:
        fragments = kconfig.load_fragments([OURS])
        said = kconfig.explain("IP_NF_NATT", kconfig.resolve(Kernel(), fragments), fragments)
        assert said.nearest == "did you mean IP_NF_NAT?"


class TestDotConfig:
    def test_read(self) -> None:
        text = '# a comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="say \\"hi\\""\nCONFIG_D=0x10\nCONFIG_E=""\n'
        assert kconfig.read_config(text) == {"A": "y", "B": "n", "C": 'say "hi"', "D": "0x10", "E": ""}

    def test_a_seed_reads_back_as_it_was_asked(self) -> None:
        values = [
            OptionValue(OptionKind.YES),
            OptionValue(OptionKind.MODULE),
            OptionValue(OptionKind.NO),
            OptionValue(OptionKind.FREEFORM, "16"),
            OptionValue(OptionKind.FREEFORM, "0x1F"),
            OptionValue(OptionKind.FREEFORM, "(none) or so"),
            OptionValue(OptionKind.FREEFORM, ""),
        ]
        options = [RequestedOption(f"O{number}", value, Source("f", 1)) for number, value in enumerate(values)]
        seed = seed_text(options)
        assert seed.splitlines()[2:] == [
            "# CONFIG_O2 is not set",
            "CONFIG_O3=16",
            "CONFIG_O4=0x1F",
            'CONFIG_O5="(none) or so"',
            'CONFIG_O6=""',
        ]
        assert compare(options, seed) == ()

    def test_mismatches_are_sorted_and_say_what_came_out(self) -> None:
        asked = [_own("B", OptionKind.YES), _own("A", OptionKind.YES), _own("C", OptionKind.NO)]
        assert compare(asked, "CONFIG_A=m\nCONFIG_C=y\n") == (
            OptionMismatch("A", "y", "m"),
            OptionMismatch("B", "y", "absent"),
            OptionMismatch("C", "n", "y"),
        )

    def test_a_number_is_compared_by_value_and_a_text_as_the_kernel_quotes_it(self) -> None:
        text = 'CONFIG_A=0x10\nCONFIG_B=16\nCONFIG_C="say \\"hi\\""\nCONFIG_D=17\n# CONFIG_E is not set\n'
        asked = {"A": "16", "B": "0x10", "C": 'say "hi"', "D": "0x10", "E": "y", "F": "n", "G": "m"}
        assert kconfig.differences(asked, text) == (
            OptionMismatch("D", "0x10", "17"),
            OptionMismatch("E", "y", "n"),
            OptionMismatch("G", "m", "n"),
        )

    def test_one_reader_serves_the_host_and_the_build(self) -> None:
        """Every other place that looks for ``CONFIG_…=`` would be a reader of its own."""
        root = Path(__file__).parents[2]
        files = (path for room in ("builder", "templates") for path in (root / room).rglob("*.py"))
        text = {path: path.read_text() for path in files}
        splits = ("CONFIG_(", 'partition("=")', 'split("=")')
        readers = [path.name for path, code in text.items() if "CONFIG_" in code and any(one in code for one in splits)]
        assert readers == ["check_config.py"]


class TestLog:
    LOG = (
        "netvm-stage: configure\n"
        "linux> "
        'netvm-kconfig-mismatch: {"option": "IP_NF_NAT", "wanted": "y", "got": "absent",'
        ' "because": "needs NF_CONNTRACK=y, which is asked to be n"}\n'
        'netvm-kconfig-mismatch: {"option": "PERF_EVENTS", "wanted": "n", "got": "y",'
        ' "because": "is selected by X86, IGB"}\n'
        "netvm-kconfig-mismatch: {cut off\n"
        'netvm-kconfig-mismatch: ["other"]\n'
        'netvm-kconfig-mismatch: {"option": "IP_NF_NAT", "wanted": "y", "got": "n", "because": ""}\n'
    )

    def test_read(self) -> None:
        assert kconfig.mismatches_in(self.LOG) == (
            OptionMismatch("IP_NF_NAT", "y", "n", ""),
            OptionMismatch("PERF_EVENTS", "n", "y", "is selected by X86, IGB"),
        )
        assert kconfig.mismatches_in("nothing\n") == ()

    def test_the_lines_of_the_spec_are_put_in(self) -> None:
        fragments = kconfig.load_fragments([OURS])
        kernel = kconfig.resolve(Kernel(fragments=("intel",), config=(_own("NF_CONNTRACK", OptionKind.NO),)), fragments)
        (line,) = [str(option.source) for option in kernel.options if option.name == "IGB"]
        first = kconfig.mismatches_in("\n".join(self.LOG.splitlines()[:3]))
        assert [mismatch.because for mismatch in kconfig.with_sources(first, kernel)] == [
            "needs NF_CONNTRACK=y, which netvm.yaml:9 sets to n",
            f"is selected by X86, IGB ({line})",
        ]

    def test_the_error_carries_the_table_and_the_next_step(self) -> None:
        error = kconfig.mismatch_error((OptionMismatch("IGB", "y", "n", "needs PCI=y"),), log=Path("build.log"))
        assert error.mismatches[0].because == "needs PCI=y"
        assert error.exit_code == 5
        assert error.hint is not None
        assert "netvm-build kernel explain IGB" in error.hint


def router_options(*names: str) -> dict[str, str]:
    """What a router with these fragments asks for, as it is in a .config."""
    fragments = kconfig.load_fragments((resources.folder("kernel-configs"),))
    chosen = kconfig.resolve(Kernel(fragments=names), fragments)
    return {asked.name: asked.value.text or asked.value.kind.value for asked in chosen.options}


def test_ipv6_is_off_and_with_its_fragment_brings_what_drops_it() -> None:
    """A kernel with IPv6 and without nf_tables' side of it could not be told to drop it."""
    default, with_ipv6 = router_options("intel"), router_options("intel", "ipv6")
    assert "IPV6" not in default  # and what nobody asks for is n
    assert not [name for name in default if "IPV6" in name or name.endswith("_INET")]
    assert {with_ipv6[name] for name in ("IPV6", "NF_TABLES_IPV6", "NF_TABLES_INET")} == {"yes"}
    assert with_ipv6["IPV6_SIT"] == "no"


class TestModules:
    """What `kernel.modules` and `kernel.stock` make of the options."""

    def resolved(self, **settings: Any) -> kconfig.KernelConfig:
        return kconfig.resolve(Kernel(**settings), kconfig.load_fragments((resources.folder("kernel-configs"),)))

    def test_all_is_built_in_unless_asked_otherwise(self) -> None:
        kernel = self.resolved()
        assert kernel.drivers is None
        assert (kernel.value("MODULES"), kernel.value("E1000E")) == ("n", "y")

    def test_a_fragment_s_drivers_become_modules_and_its_menus_do_not(self) -> None:
        kernel = self.resolved(fragments=(), modules=("intel",))
        found = {name: kernel.value(name) for name in ("MODULES", "E1000E", "IGB", "ETHERNET", "NET_VENDOR_INTEL")}
        assert found == {"MODULES": "y", "E1000E": "m", "IGB": "m", "ETHERNET": "y", "NET_VENDOR_INTEL": "y"}
        assert kernel.value("VIRTIO_PCI") == "y"
        assert kernel.drivers == kconfig.Drivers(("e1000", "e1000e", "igb", "igc"), (), lock=False, stock=False)

    def test_a_module_of_the_spec_is_left_to_the_kernels_makefiles_unless_a_fragment_names_it(self) -> None:
        own = (_own("TUN", OptionKind.MODULE), _own("NFT_NAT", OptionKind.MODULE))
        kernel = self.resolved(config=(*own, RequestedOption("X", OptionValue(OptionKind.MODULE, optional=True), SPEC)))
        assert kernel.drivers is not None
        assert kernel.drivers.names == ("nft_chain_nat", "nft_nat")
        assert kernel.drivers.options == ("TUN",)

    def test_an_option_of_the_spec_stays_as_it_is(self) -> None:
        kernel = self.resolved(modules=("intel",), config=(_own("IGB", OptionKind.YES),))
        assert (kernel.value("IGB"), kernel.value("E1000E")) == ("y", "m")

    def test_families_bring_their_fragments(self) -> None:
        kernel = self.resolved(fragments=(), nics=("usb", "broadcom"))
        assert (kernel.value("USB_RTL8152"), kernel.value("TIGON3"), kernel.value("E1000E")) == ("y", "y", "n")

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("intle", "did you mean intel?"),
            ("igb", "igb is a driver of the fragment intel: write intel"),
            ("hardening", "a fragment lists its drivers under `modules:`"),
        ],
    )
    def test_what_is_no_fragment_of_drivers(self, name: str, hint: str) -> None:
        with pytest.raises(SpecError) as caught:
            self.resolved(modules=(name,))
        (problem,) = caught.value.problems
        assert problem.path == "kernel.modules[0]"
        assert hint in str(problem.hint)

    def test_a_stock_kernel_is_asked_for_what_the_router_does_not_for_how_ours_is_built(self) -> None:
        kernel = self.resolved(fragments=(), nics=("intel",), stock=True, config=(_own("TUN", OptionKind.NO),))
        asked = {option.name: str(option.value) for option in kernel.options}
        assert asked["NF_TABLES"] == asked["E1000E"] == asked["IPV6"] == "y"
        assert asked["TUN"] == "n"
        assert asked["I6300ESB_WDT"] == "y"
        assert not {"MODULES", "HZ_1000", "IO_URING", "KERNEL_LZ4", "WATCHDOG_NOWAYOUT"} & set(asked)

    def test_the_modules_of_a_stock_image_are_those_of_its_fragments_and_those_named(self) -> None:
        kernel = self.resolved(fragments=(), nics=("intel",), stock=True, modules=("bnx2", "snd-dummy"))
        assert kernel.drivers is not None
        names = set(kernel.drivers.names)
        assert {"e1000e", "igb", "nft_nat", "nft_chain_nat", "erofs", "virtio_blk", "bnx2", "snd_dummy"} <= names
        assert not {"r8169", "vmxnet3"} & names

    def test_an_option_is_known_by_its_fragment_or_by_a_module_of_its_name(self) -> None:
        kernel = self.resolved(
            fragments=(), stock=True, modules=("tun",), config=(_own("TUN", OptionKind.YES), _own("X", OptionKind.YES))
        )
        assert kernel.drivers is not None
        assert {"TUN", "NFT_NAT"} <= set(kernel.drivers.options)
        assert "X" not in kernel.drivers.options

    def test_what_debians_kernel_lacks_is_found_without_building(self) -> None:
        with pytest.raises(SpecError) as caught:
            self.resolved(fragments=("verity",), stock=True)
        (problem,) = caught.value.problems
        assert problem.path == "kernel.stock"
        assert problem.message.startswith("Debian's kernel can't have DM_INIT, which kernel-configs/verity.yaml:")
        assert self.resolved(fragments=("verity",)).value("DM_INIT") == "y"

    def test_a_parameter_stands_in_for_an_option_that_debians_kernel_lacks(self) -> None:
        def parameters(*fragments: str, config: tuple[RequestedOption, ...] = ()) -> tuple[str, ...]:
            return kconfig.stock_parameters(self.resolved(fragments=fragments, stock=True, config=config).requests)

        assert parameters() == ("i6300esb.nowayout=1",)
        assert parameters("vfio-host") == ("intel_iommu=on", "i6300esb.nowayout=1")
        assert parameters(config=(_own("WATCHDOG_NOWAYOUT", OptionKind.NO),)) == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("modules: [igb]", "modules: a list is not a mapping"),
        ("modules: {IGB: [igb, 1.5]}", "modules.IGB: a list is not the name of a module"),
        ("modules: {IGB: a/b}", "modules.IGB: 'a/b' is not the name of a module"),
    ],
)
def test_modules_that_are_none(line: str, said: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        _write(folder, a=f"description: d\noptions: {{IGB: yes}}\n{line}\n")
    assert said in str(caught.value)
