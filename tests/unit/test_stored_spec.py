# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The full spec in an image's manifest: the router of today's, of an older version's, and of anybody's bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build import spec
from netvm_build.model import (
    Authorities,
    Eap,
    EapMethod,
    HostFile,
    Kernel,
    RootImage,
    Router,
    Secret,
    Source,
    Uplink,
    Wifi,
    WifiNetwork,
    WifiSecurity,
)
from netvm_build.util.errors import SpecError

from tests.support.foreign import JSON, replaced

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])


def full(router: Router) -> dict[str, Any]:
    return dict(json.loads(json.dumps(spec.full_spec(router))))


def without_origin(router: Router) -> Kernel:
    """The kernel without the folders and lines that its options came from, which no full spec has."""
    options = tuple(replace(option, source=Source("")) for option in router.kernel.config)
    return replace(router.kernel, config=options, fragment_dirs=())


def without_folder(router: Router) -> RootImage:
    """The root's files without what they hold, and without the folder of the spec, which no full spec has."""
    files = tuple(
        replace(one, source=HostFile(one.source.written, Path("/", one.source.written))) for one in router.image.files
    )
    return replace(router.image, files=files)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_a_full_spec_is_the_router_again(file: Path) -> None:
    router = spec.load(file).router
    assert spec.from_full_spec(full(router)) == replace(
        router, kernel=without_origin(router), image=without_folder(router)
    )


def test_certificates_are_in_the_image_and_not_read_again() -> None:
    eap = Eap(EapMethod.TLS, "ana", ca=Authorities("/no/such.pem", "text"), certificate="/a.pem", key=Secret(file="/k"))
    router = Router(wifi=Wifi(networks=(WifiNetwork("x", WifiSecurity.EAP, eap=eap),)))
    stored = replace(eap, ca=Authorities("/no/such.pem", ""))
    assert spec.from_full_spec(full(router)).wifi.networks == (WifiNetwork("x", WifiSecurity.EAP, eap=stored),)


def test_an_older_spec_has_the_defaults_of_what_it_misses() -> None:
    assert spec.from_full_spec({}) == Router()
    assert spec.from_full_spec({"uplink": {"mtu": 1400}, "uplinks": []}).uplink == Uplink(mtu=1400)


def test_rules_that_span_keys_are_for_those_who_build() -> None:
    """A new rule doesn't make an image unreadable that was built before it."""
    text = "version: 1\nuplink: {dhcp: false}\n"
    with pytest.raises(SpecError):
        spec.parse(text, "netvm.yaml", ROOT)
    assert spec.from_full_spec({"uplink": {"dhcp": False}}).uplink == Uplink(dhcp=False)


@given(st.sampled_from(EXAMPLES), st.lists(st.integers(0, 20), max_size=5), JSON)
def test_a_stored_spec_of_any_shape_is_a_router_or_a_spec_error(file: Path, at: list[int], by: Any) -> None:
    tampered = replaced(full(spec.load(file).router), at, by)
    with suppress(SpecError):
        assert isinstance(spec.from_full_spec(tampered if isinstance(tampered, dict) else {}), Router)


@pytest.mark.parametrize("value", ["\ud800", "\n", "\0", 10**4000, -1, 1.5, [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]])
def test_a_value_that_yaml_cannot_have_is_a_spec_error(value: Any) -> None:
    for section, keys in full(Router()).items():
        for key in keys if isinstance(keys, dict) else ():
            with suppress(SpecError):
                assert isinstance(spec.from_full_spec({section: {key: value}}), Router)
