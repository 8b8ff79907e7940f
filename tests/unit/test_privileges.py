# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What services may do: the guest's answer, compared with what it should be, and that with the guest's own table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from netvm_build.guest import privileges
from netvm_build.smoke import hardening

NUMBERS = [10, 12, 13]
WITH_NTP = [*NUMBERS, 25]
SETS = ("effective", "permitted", "inheritable", "bounding", "ambient")


def word(uid: int, numbers: list[int], **changed: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"uids": [uid] * 4, "gids": [uid] * 4, "groups": [], "no_new_privs": True, "seccomp": 2}
    said["allow_list"] = True
    return said | dict.fromkeys(SETS, numbers) | changed


def status(**changed: Any) -> dict[str, Any]:
    """A router's answer in which all is well, but for what is changed of connmand."""
    bus = {"name": "dbus-daemon", "restarts": 0, "privilege": word(100, [])}
    connmand = {"name": "connmand", "restarts": 0, "privilege": word(101, NUMBERS)} | changed
    return {"services": [bus, connmand], "watchdog_s": 30}


def test_the_table_is_that_of_the_guest() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "rootfs"))
    from init.core.services import SERVICES, with_ntp
    from init.net.wireless import IWD

    theirs = {
        service.name: privileges.Expected(
            service.program.owner, frozenset(map(privileges.capability, service.program.capabilities))
        )
        for service in (*SERVICES, IWD)
    }
    assert theirs == dict(privileges.EXPECTED)
    capabilities = with_ntp(SERVICES[-1].program).capabilities
    assert frozenset(map(privileges.capability, capabilities)) == privileges.EXPECTED_WITH_NTP["connmand"].capabilities


def test_only_with_time_servers_may_connmand_set_the_clock() -> None:
    may = status(privilege=word(101, WITH_NTP))
    assert hardening.services(may, sets_clock=True).wrong == ()
    assert len(hardening.services(may).wrong) == 5  # in each of the five sets
    assert len(hardening.services(status(), sets_clock=True).wrong) == 5


def test_capabilities_have_the_kernel_s_names() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "linux.json").read_text())
    assert {name: number for number, name in enumerate(privileges.CAPABILITIES)} == vectors["capabilities"]
    assert privileges.capability(99) == "CAP_99"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"uids": [0, 0, 0, 0]}, "connmand: uid 0 0 0 0, not 101 101 101 101"),
        ({"uids": [101, 0, 0, 0]}, "connmand: uid 101 0 0 0, not 101 101 101 101"),
        ({"gids": [101, 101, 101, 5]}, "connmand: gid 101 101 101 5, not 101 101 101 101"),
        ({"groups": [27]}, "connmand: groups 27, not none"),
        ({"no_new_privs": False}, "connmand: no_new_privs false, not true"),
        ({"seccomp": 0}, "connmand: seccomp none, not allow-list"),
        ({"allow_list": False}, "connmand: seccomp filter, not allow-list"),
        ({"effective": [*NUMBERS, 21]}, "connmand: effective capabilities"),
        ({"bounding": [12]}, "connmand: bounding capabilities NET_ADMIN, not NET_ADMIN NET_BIND_SERVICE NET_RAW"),
        ({"ambient": []}, "connmand: ambient capabilities none, not"),
    ],
)
def test_whatever_differs_is_named(changed: dict[str, Any], said: str) -> None:
    judged = hardening.services(status(privilege=word(101, NUMBERS, **changed)))
    assert len(judged.wrong) == 1
    assert said in judged.wrong[0]


def test_all_is_well() -> None:
    judged = hardening.services(status())
    assert judged.wrong == ()
    assert judged.detail == ("dbus-daemon uid 100 (0 caps), connmand uid 101 (3 caps), no new privileges, seccomp")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, ("dbus-daemon is missing", "connmand is missing")),
        (status(restarts=3), ("connmand: restarts 3, not 0",)),
        (status(violation="system call x\x1b"), ("connmand was killed: system call x\\x1b",)),
        (status(restarts=None), ("connmand: restarts None, not 0",)),
        (status(privilege=None), ("connmand: the guest does not say what it may do",)),
        (status(privilege={}), None),
        ({"services": [*status()["services"], {"name": "sh\x1b[2J", "restarts": 0}]}, None),
    ],
)
def test_answers_that_are_no_good(answer: dict[str, Any], said: tuple[str, ...] | None) -> None:
    wrong = hardening.services(answer).wrong
    assert wrong
    assert all(text.isprintable() for text in wrong)
    if said is not None:
        assert wrong == said


@pytest.mark.parametrize("value", [None, True, -1, 1e308, 10**30, "x", [], {}, [[]], [None], [True], {"a": 1}])
def test_a_guest_that_lies_is_read_as_something(value: Any) -> None:
    keys = ("uids", "gids", "groups", "no_new_privs", "seccomp", "allow_list", *SETS)
    seen = privileges.parse(dict.fromkeys(keys, value))
    assert seen is not None
    assert privileges.differences("connmand", seen)


def test_settings_are_held_against_what_is() -> None:
    rows = [{"name": "a", "asked": "1", "is": "1"}, {"name": "b", "asked": "2", "is": None}]
    good = hardening.settings({"settings": rows})
    assert (good.detail, good.wrong) == ("1 of 1 as asked, 1 not in this kernel", ())
    bad = hardening.settings({"settings": [*rows, {"name": "c", "asked": "0", "is": "1"}]})
    assert bad.wrong == ("c is 1, not 0",)
    assert hardening.settings({}).wrong
    assert hardening.settings({"settings": [{"name": "b", "asked": "2", "is": None}]}).wrong


def test_two_uplinks_have_connman_s_own_reverse_path_filter() -> None:
    answer = {"settings": [{"name": "net/ipv4/conf/all/rp_filter", "asked": "1", "is": "2"}]}
    assert hardening.settings(answer, several_uplinks=True).wrong == ()
    assert hardening.settings(answer).wrong == ("net/ipv4/conf/all/rp_filter is 2, not 1",)
    answer["settings"][0]["is"] = "0"
    assert hardening.settings(answer, several_uplinks=True).wrong


def test_the_watchdog_is_armed_as_asked() -> None:
    assert hardening.watchdog({"watchdog_s": 30}, 30).wrong == ()
    assert hardening.watchdog({"watchdog_s": 10}, 30).wrong == ("armed for 10 s, not 30",)
    assert "I6300ESB_WDT" in hardening.watchdog({"watchdog_s": None}, 30).wrong[0]
    assert hardening.watchdog({}, 30).wrong


def test_the_smoke_row_holds_services_of_the_spec_to_it() -> None:
    own = {"dns": privileges.Expected(200, frozenset({"NET_BIND_SERVICE"}))}
    said = status()
    assert hardening.services(said, own=own).wrong == ("dns is missing",)
    said["services"].append({"name": "dns", "restarts": 0, "privilege": word(200, [10])})
    assert hardening.services(said, own=own).wrong == ()
    assert "dns uid 200 (1 caps)" in hardening.services(said, own=own).detail
    said["services"][-1]["privilege"] = word(0, [10])
    assert len(hardening.services(said, own=own).wrong) == 2
    assert hardening.services(said).wrong == ("dns is no known service",)
