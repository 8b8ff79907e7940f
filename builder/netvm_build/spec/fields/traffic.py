# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of what clients may use beside the outside by IPv4: IPv6, and helpers of connection tracking."""

from __future__ import annotations

from netvm_build.model import HELPERS
from netvm_build.spec.absent import SIP, SIP_NAMES
from netvm_build.spec.fields.readers import scalar
from netvm_build.spec.scalars import ReadError
from netvm_build.spec.yaml_nodes import Scalar, shown

IPV6_OFF = "off"


def _parse_ipv6(node: Scalar) -> str:
    if node.text in ("off", "no", "false"):  # what YAML may make of it
        return IPV6_OFF
    why = {
        "nat66": "its translation is not written, and an untested one would be a leak",
        "prefix": "ConnMan does not hand on delegated prefixes",
        "prefix-delegation": "ConnMan does not hand on delegated prefixes",
    }.get(node.text.lower(), "the router keeps clients apart and hidden only for IPv4")
    hint = "write `ipv6: off`, or remove the line: clients reach the outside by IPv4"
    raise ReadError(f"{shown(node.text)} isn't available: {why}", hint)


IPV6 = scalar(IPV6_OFF, _parse_ipv6, {"enum": [IPV6_OFF, False]})


def _parse_helper(node: Scalar) -> str:
    name = node.text.lower()
    if name in HELPERS:
        return name
    hint = SIP if name in SIP_NAMES else f"the helpers are {', '.join(HELPERS)}"
    raise ReadError(f"{shown(node.text)} is not a helper", hint)


HELPER = scalar(", ".join(HELPERS), _parse_helper, {"type": "string", "enum": list(HELPERS)})
