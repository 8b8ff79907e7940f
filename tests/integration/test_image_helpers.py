# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Active FTP, PPTP and TFTP through booted images with `clients.helpers`: Debian's kernel, and (long) one we build."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.build import loading, pipeline
from netvm_build.vmm.qemu import Qemu
from scenarios import SCENARIOS
from workbench import PAIRED

from tests.support.booted.image_bench import HELPERS_ON_THE_IMAGE, ImageBench, standing
from tests.support.booted.on_wires import require_taps, running
from tests.support.needs import tell

pytestmark = pytest.mark.integration

KERNELS = {"stock": "{stock: true, fragments: [virtio]}", "own": "{fragments: [virtio]}"}
OPTIONS = ("NF_CONNTRACK_FTP", "NF_CONNTRACK_PPTP", "NF_CONNTRACK_TFTP")


@pytest.fixture(scope="module", params=["stock", pytest.param("own", marks=pytest.mark.long)])
def bench(
    workshop: Path, qemu: Qemu, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ImageBench]:
    """Around the VM of an image whose clients are PAIRED's."""
    require_taps()
    folder = workshop / f"helpers-{request.param}"
    folder.mkdir(exist_ok=True)
    clients = json.dumps(spec.full_spec(PAIRED)["clients"])
    kernel = KERNELS[request.param]
    (folder / "netvm.yaml").write_text(f"version: 1\nname: helpers\nkernel: {kernel}\nclients: {clients}\n")
    image = pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell)
    built_in = "m" if request.param == "stock" else "y"
    assert [image.manifest.options[option] for option in OPTIONS] == [built_in] * len(OPTIONS)
    home = tmp_path_factory.mktemp("h")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        with running(image, qemu, spare=6) as router, standing(router, "virtio-net-pci", PAIRED) as made:
            yield made


@pytest.mark.parametrize("name", HELPERS_ON_THE_IMAGE)
def test_on_the_wire(bench: ImageBench, name: str) -> None:
    bench.load(SCENARIOS[name].spec)
    SCENARIOS[name].run(bench)
    assert bench.vm.trouble() == []
