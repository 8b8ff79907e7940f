# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The user network of a router that runs: what its clients reach by passt and by QEMU's own, and what they would."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from netvm_build.image.manifest import Image
from netvm_build.util.errors import LaunchError
from netvm_build.vmm.qemu import Qemu, passt, passt_trial

from tests.support.host.host_world import Namespace, need_namespaces
from tests.support.needs import need_passt

pytestmark = pytest.mark.integration

HERE, OUTSIDE = "198.51.100.2", "198.51.100.1"
SERVER = """
import socket, threading
tcp = socket.create_server(("", 8080))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 8080))
def answer():
    while True:
        data, sender = udp.recvfrom(2048)
        udp.sendto(data, sender)
threading.Thread(target=answer, daemon=True).start()
while True:
    tcp.accept()[0].close()
"""


@pytest.fixture(scope="module")
def scene(image: Image, qemu: Qemu, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A host whose resolver is on its loopback, as systemd-resolved is, with a server beside it."""
    need_namespaces()
    need_passt(image)
    folder = tmp_path_factory.mktemp("scene")
    with Namespace() as host, Namespace() as outside:
        host.run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "out0", "netns", str(outside.pid))
        for name, place, address in (("wan0", host, HERE), ("out0", outside, OUTSIDE)):
            place.run("ip", "address", "add", f"{address}/24", "dev", name)
            place.run("ip", "link", "set", name, "up")
        host.run("ip", "route", "add", "default", "via", OUTSIDE)
        outside.start(sys.executable, "-c", SERVER, log=folder / "server.log")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.53\n")
        host.run("mount", "--bind", str(folder / "resolv.conf"), "/etc/resolv.conf")
        script = str(Path(__file__).parents[1] / "support" / "host" / "user_network_scenes.py")
        shown = host.run(sys.executable, script, str(image.folder), str(qemu.path), OUTSIDE, HERE)
        yield json.loads(shown.stdout)


def test_clients_reach_the_host_s_loopback_neither_by_slirp_nor_by_default(scene: dict[str, Any]) -> None:
    """They would by slirp, if the router weren't told to close it."""
    untold, slirp, user = scene["untold"], scene["slirp"], scene["user"]
    assert [one["backend"] for one in (untold, slirp, user)] == ["slirp", "slirp", "passt"]
    assert untold["loopback"] == {"tcp": "SA", "udp": "answer"}
    assert untold["arrived"] == {"tcp": 1, "udp": 1}
    assert slirp["loopback"] == {"tcp": "", "udp": ""}
    assert user["loopback"]["tcp"] != "SA"
    assert user["loopback"]["udp"] != "answer"
    for closed in (slirp, user):
        assert closed["arrived"] == {"tcp": 0, "udp": 0}
        assert "SA" not in closed["by the resolver's"]["tcp"]
        assert closed["by the resolver's"]["udp"] != "answer"
        assert closed["arrived beside the resolver"] == {"tcp": 0, "udp": 0}
    assert [one["dropped"] > 0 for one in (untold, slirp, user)] == [False, True, False]


def test_the_record_says_who_closes_the_loopback(scene: dict[str, Any]) -> None:
    found = {name: scene[name]["told of the loopback"] for name in ("untold", "slirp", "user")}
    assert found == {"untold": "", "slirp": "closed by the router", "user": "closed"}


def test_no_client_reaches_it_by_its_own_address(scene: dict[str, Any]) -> None:
    for where in ("untold", "slirp", "user"):
        assert set(scene[where]["by its address"].values()) <= {"", "unreachable"}


@pytest.mark.parametrize("where", ["slirp", "user"])
def test_the_outside_and_names_are_reached_by_both(scene: dict[str, Any], where: str) -> None:
    assert scene[where]["outside"] == {"tcp": "SA", "udp": "answer"}
    assert scene[where]["name"] == "answer"
    assert scene[where]["name by the resolver's address"] == "answer"
    assert scene[where]["asked the host's resolver"]


def test_a_passt_that_is_killed_is_replaced_and_said_to_be(scene: dict[str, Any]) -> None:
    found = scene["user"]
    assert found["another"]
    assert found["said"] == ["passt was killed by signal 9: started again; connections that were open are lost"]
    assert found["outside again"] == "answer"


def test_questions_follow_the_host_s_resolver(scene: dict[str, Any]) -> None:
    assert scene["user"]["asked the next resolver"]


def test_a_passt_that_maps_the_host_s_loopback_is_refused(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    need_passt(image)
    (program, *_), (side, *_) = passt.find(image.manifest.qemu), passt.guest_sides(image.manifest)
    passt_trial.trial(program, side)
    usual = passt.argv

    def mapped(*given: Any) -> list[str]:
        return ["10.0.2.2" if word == "none" and before == "--map-host-loopback" else word
                for before, word in pairwise(["", *usual(*given)])]  # fmt: skip

    monkeypatch.setattr(passt, "argv", mapped)
    with pytest.raises(LaunchError, match="lets the router reach this host's loopback"):
        passt_trial.trial(program, side)


def test_a_host_without_a_route_or_a_link_has_a_user_network_too(image: Image) -> None:
    need_namespaces()
    need_passt(image)
    script = "import sys; from pathlib import Path; from netvm_build.image import manifest;"
    script += " from netvm_build.vm import user_network;"
    script += " print(user_network.choose('user', manifest.load(Path(sys.argv[1]))).kind)"
    with Namespace() as host:
        host.run("ip", "link", "set", "lo", "down")
        assert host.run(sys.executable, "-c", script, str(image.folder)).stdout == "passt\n"


def test_no_passt_outlives_its_router(scene: dict[str, Any]) -> None:
    assert scene["user"]["left"] == []
    assert scene["killed keeper"] == {"passts": 1, "left": []}
