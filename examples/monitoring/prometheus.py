#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
"""Print a router's state as Prometheus metrics: see docs/how-to/logs-and-monitoring.md.

Usage: netvm-build status NAME --json | prometheus.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

Row = tuple[str, str, float, dict[str, str]]  # name, type, value, labels


def rows(status: dict[str, Any]) -> Iterator[Row]:
    """Every metric of a router; what it doesn't report is left out."""
    yield "netvm_ready", "gauge", status["state"] == "ready", {}
    yield "netvm_uptime_seconds", "gauge", status["uptime_s"], {}
    yield "netvm_memory_used_bytes", "gauge", status["memory"]["used_kib"] * 1024, {}
    yield "netvm_image_changed", "gauge", bool(status["image_changed"]), {}
    for uplink in status["uplinks"]:
        labels = {"uplink": uplink["name"] or uplink["interface"] or ""}
        yield "netvm_uplink_has_address", "gauge", bool(uplink["address"]), labels
        yield from traffic(uplink, "uplink", labels)
    for client in status["clients"]:
        yield from traffic(client, "client", {"client": client["name"] or client["client"]})
    for drop in status["drops"]:
        yield "netvm_refused_packets_total", "counter", drop["packets"], {"reason": drop["reason"]}
    for drop in status["kernel_drops"]:
        yield "netvm_kernel_drops_total", "counter", drop["packets"], {"reason": drop["reason"]}
    for service in status["services"]:
        labels = {"service": service["name"]}
        yield "netvm_service_running", "gauge", service["running"], labels
        yield "netvm_service_restarts_total", "counter", service["restarts"], labels


def traffic(one: dict[str, Any], kind: str, labels: dict[str, str]) -> Iterator[Row]:
    """What came in and went out: as a client sees it for a client, as the router sees it for an uplink."""
    for direction in ("in", "out"):
        for unit in ("bytes", "packets"):
            if f"{direction}_{unit}" in one:
                value = one[f"{direction}_{unit}"]
                yield f"netvm_{kind}_{unit}_total", "counter", value, labels | {"direction": direction}


def text(found: Iterable[Row], router: str) -> str:
    """Rows in Prometheus's text format: the rows of a metric together, below its type."""
    metrics: dict[str, list[str]] = {}
    for name, kind, value, labels in found:
        pairs = ",".join(f"{key}={json.dumps(label)}" for key, label in ({"router": router} | labels).items())
        metrics.setdefault(name, [f"# TYPE {name} {kind}"]).append(f"{name}{{{pairs}}} {float(value):.15g}")
    return "".join(f"{line}\n" for lines in metrics.values() for line in lines)


if __name__ == "__main__":
    read = json.load(sys.stdin)
    print(text(rows(read), read["name"]), end="")
