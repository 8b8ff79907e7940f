# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The table of what is measured.  To add a row, write a function that takes the `Setting` and returns `Measured`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench import boot, clients, commands, comparison, memory, paths, stock, traffic
from bench.values import Aim, Measured, Row, Setting

MIB = 1 << 20


def image_size(setting: Setting) -> Measured:
    """Kernel and root together."""
    image = setting.subject.image
    parts = {"kernel": image.kernel.stat().st_size, "root": image.rootfs.stat().st_size}
    note = ", ".join(f"{name} {size / MIB:.2f} MiB" for name, size in parts.items())
    return Measured((sum(parts.values()) / MIB,), notes=(note,), details={"bytes": parts})


Measure = Callable[[Setting], Measured]

RULE, ALONE = "masquerade only", "1 client"
"""What traffic is measured beside."""


def _boot(nic: str, name: str, what: str, most: float) -> Row:
    return Row(name, what, "s", partial(boot.measure, nic=nic), beside="static init", aim=Aim(most, "ratio"))


def _throughput(name: str, what: str, measure: Measure, beside: str) -> Row:
    return Row(
        name, what, "MiB/s", measure, beside=beside, aim=Aim(0.95, "ratio", at_least=True), quick=False, comparable=True
    )


def _rate(name: str, what: str, measure: Measure, beside: str) -> Row:
    return Row(
        name, what, "/s", measure, beside=beside, aim=Aim(0.9, "ratio", at_least=True), quick=False, comparable=True
    )


def _echo(name: str, what: str, measure: Measure, beside: str) -> Row:
    return Row(name, what, "ms", measure, beside=beside, aim=Aim(1.05, "ratio"), quick=False, comparable=True)


ROWS: tuple[Row, ...] = (
    _boot("virtio-net-pci", "boot-virtio", "ready, virtio-net", 2.0),
    _boot("e1000e", "boot-e1000e", "ready, e1000e", 3.5),
    Row("image-size", "kernel and root", "MiB", image_size, aim=Aim(20.0)),
    Row("least-memory", "least memory", "MiB", memory.measure, aim=Aim(40.0), quick=False),
    _throughput("tcp", "TCP, one client", traffic.firewall_tcp, RULE),
    _rate("connections", "new connections", traffic.firewall_connections, RULE),
    _echo("round-trip", "echo", traffic.firewall_round_trip, RULE),
    _throughput("first-tcp", "TCP, first of 240", traffic.first_tcp, ALONE),
    _echo("first-round-trip", "echo, first of 240", traffic.first_round_trip, ALONE),
    _throughput("last-tcp", "TCP, last of 240", traffic.last_tcp, ALONE),
    _echo("last-round-trip", "echo, last of 240", traffic.last_round_trip, ALONE),
    Row("rules-packet", "packet, counted", "k", comparison.packet, beside=RULE, quick=False),
    Row("rules-connection", "connection, counted", "k", comparison.connection, beside=RULE, quick=False),
    Row("offloads-out", "TCP out, offloads", "Mbit/s", paths.offloads_out, beside="without", quick=False),
    Row("offloads-in", "TCP in, offloads", "Mbit/s", paths.offloads_in, beside="without", quick=False),
    Row("queues", "packets, 2 queues", "/s", paths.queues_packets, beside="1 queue", quick=False),
    Row("attach", "plug to answer", "s", clients.attach, aim=Aim(0.25), quick=False),
    Row("client-memory", "a client", "MiB", clients.memory, aim=Aim(0.45), quick=False),
    Row("client-boot", "a client's boot", "ms", clients.boot_time, aim=Aim(40.0), quick=False),
    Row("client-init", "of it, PID 1", "ms", clients.init_time, aim=Aim(3.0), quick=False),
    Row("help", "--help", "s", commands.show_help, beside="bare python", aim=Aim(0.2)),
    Row("click-help", "click --help", "s", commands.click_help, beside="bare python"),
    Row("check", "check", "s", commands.check, beside="bare python"),
    Row("render", "render", "s", commands.render, beside="bare python", aim=Aim(0.4)),
    Row("build", "build, no change", "s", commands.build_again, beside="nix build", aim=Aim(1.0)),
    Row("build-init", "build, new init", "s", commands.build_changed_init, aim=Aim(10.0), quick=False),
    Row("build-stock", "build, stock kernel", "s", stock.build, aim=Aim(60.0), quick=False),
)
