# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Smoke boots of routers with static uplinks in networks that QEMU's user network cannot have as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.image.manifest import Image
from netvm_build.smoke import report
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.report import Status
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu

from tests.support.needs import tell

pytestmark = [pytest.mark.integration, pytest.mark.long]

STATIC = "version: 1\nname: edge\nuplink: {{dhcp: false, address: {}, gateway: {}, nameservers: [{}]}}\n"


@pytest.mark.parametrize(
    ("address", "gateway", "resolvers", "dns"),
    [
        ("10.9.0.8/31", "10.9.0.9", "10.9.0.9", "10.9.0.9 → this host's resolver"),
        ("203.0.113.7/32", "10.0.0.1", "10.0.0.53", "10.0.0.53 → this host's resolver"),
        (
            "192.168.1.9/24",
            "192.168.1.1",
            "192.168.1.1, 192.168.1.2",
            "QEMU's user network has one resolver, and no 192.168.1.2",
        ),
        ("192.168.1.9/24", "192.168.1.1", "192.0.2.53", "the spec's resolver 192.0.2.53 does not answer this host"),
    ],
    ids=["even-of-a-31", "off-link-gateway", "two-resolvers", "resolver-elsewhere"],
)
def test_a_static_uplink_is_imitated_or_skipped_by_name(
    address: str, gateway: str, resolvers: str, dns: str, image: Image, qemu: Qemu, workshop: Path, tmp_path: Path
) -> None:
    assert image.manifest.uses_dhcp  # whose kernel and lock these share
    (tmp_path / "netvm.yaml").write_text(STATIC.format(address, gateway, resolvers))
    shutil.copy(workshop / loading.LOCK_NAME, tmp_path)
    made = pipeline.build(loading.load(tmp_path / "netvm.yaml"), tmp_path / "image", tell)
    result = smoke(made, qemu, accel="tcg", out=tmp_path / "smoke", sink=discard)
    print(report.text(result))
    assert result.passed, report.text(result)
    (entry,) = result.nics
    checks = {check.name: check for check in entry.checks}
    assert checks["lease"].detail.startswith(f"{address} as the spec sets it")
    found = checks["dns forward"]
    if dns.endswith("this host's resolver") and found.status is Status.SKIPPED:
        pytest.skip(found.detail)  # this host has no resolver that answers
    assert dns in found.detail
    assert found.status is (Status.PASSED if "→" in dns else Status.SKIPPED)
