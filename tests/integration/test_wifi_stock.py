# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi with Debian's own kernel: the radio, its switch, iwd's cryptography and the way of the secrets are all modules.

The image is that of `test_wifi.py` but for the kernel, and so is the air.  It shows that the router waits for what its
drivers make, and that all which iwd asks of the kernel is there, with and without certificates.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.vmm import qemu

from tests.integration.test_wifi import hidden, wpa2
from tests.integration.test_wifi_eap import peap, pwd, tls
from tests.support.booted.radio import World, nothing_is_told, show

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_debians_kernel_joins_networks_with_secrets_and_with_certificates(
    stock_wifi_image: Image,
    stock_wifi_qemu: qemu.Qemu,
    stock_air_initramfs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert stock_wifi_image.manifest.options["RFKILL"] == stock_wifi_image.manifest.options["FW_CFG_SYSFS"] == "m"
    scenes = (nothing_is_missing, wpa2, hidden, peap, tls, pwd, nothing_is_told)
    show(stock_wifi_image, stock_wifi_qemu, stock_air_initramfs, tmp_path, capsys, *scenes)


async def nothing_is_missing(world: World) -> None:
    """No word of a module, a secret or a service that is not there."""
    heard = [entry.event for entry in world.guest.heard]
    assert [event for event in heard if isinstance(event, guest.Degraded)] == []
    assert [event for event in heard if isinstance(event, guest.ServiceEvent) and event.state != "started"] == []
    failed = [name for event in heard if isinstance(event, guest.Modules) for name in event.failed]
    assert [name for name in failed if not name.startswith("crc32c_intel:")] == []  # which this processor lacks
