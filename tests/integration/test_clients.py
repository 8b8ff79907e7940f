"""Clients of this host on a router that runs, in a host made up of namespaces: what is killed leaves nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.manifest import Image
from builder.qemu import Qemu
from tests.integration.host_world import Namespace, need_namespaces

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    need_namespaces()
    with Namespace() as made:
        yield made


@pytest.fixture
def router(host: Namespace, image: Image, qemu: Qemu) -> Iterator[str]:
    """A router that has booted, with a client's network by a socket and ports for four more."""
    host.build("run", str(image.folder), "--detach", "--accel", "tcg", "--qemu", str(qemu.path))
    host.build("events", "--until", "ready", "--timeout", "120")
    yield "netvm"
    host.build("stop", "--now", check=False)
    host.build("client", "list")
    assert host.links() == []


@pytest.mark.parametrize(
    ("what", "name", "transport"),
    [("attach", "client", "tap"), ("detach", "client", "tap"), ("attach", "-", "tap"), ("attach", "-", "socket")],
    ids=["attach, a network since the boot", "detach, a network since the boot", "attach", "attach by a socket"],
)
def test_killed_at_each_step(what: str, name: str, transport: str, host: Namespace, router: str) -> None:
    script = Path(__file__).with_name("kill_steps.py")
    done = host.run(sys.executable, str(script), what, name, transport)
    table = json.loads(done.stdout)
    print("\n".join(table["steps"]))
    assert len(table["steps"]) >= {"tap": 15, "socket": 4}[transport]
    assert table["wrong"] == []
