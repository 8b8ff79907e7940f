"""The table of what is measured.  To add a row, write a function that takes the `Setting` and returns `Measured`."""

from __future__ import annotations

from functools import partial

from bench import boot, commands, memory
from bench.values import Aim, Measured, Row, Setting

MIB = 1 << 20


def image_size(setting: Setting) -> Measured:
    """Kernel and root together."""
    image = setting.subject.image
    parts = {"kernel": image.kernel.stat().st_size, "root": image.rootfs.stat().st_size}
    note = ", ".join(f"{name} {size / MIB:.2f} MiB" for name, size in parts.items())
    return Measured((sum(parts.values()) / MIB,), notes=(note,), details={"bytes": parts})


ROWS: tuple[Row, ...] = (
    Row(
        "boot-virtio",
        "ready, virtio-net-pci",
        "s",
        partial(boot.measure, nic="virtio-net-pci"),
        beside="static init",
        aim=Aim(2.0, "ratio"),
    ),
    Row(
        "boot-e1000e",
        "ready, e1000e",
        "s",
        partial(boot.measure, nic="e1000e"),
        beside="static init",
        aim=Aim(3.5, "ratio"),
    ),
    Row("image-size", "kernel and root", "MiB", image_size, aim=Aim(20.0)),
    Row("least-memory", "least memory", "MiB", memory.measure, aim=Aim(40.0), quick=False),
    Row("help", "--help", "s", commands.show_help, beside="bare python", aim=Aim(0.2)),
    Row("click-help", "click --help", "s", commands.click_help, beside="bare python"),
    Row("check", "check", "s", commands.check, beside="bare python"),
    Row("render", "render", "s", commands.render, beside="bare python", aim=Aim(0.4)),
    Row("build", "build, no change", "s", commands.build_again, beside="nix build", aim=Aim(1.0)),
    Row("build-init", "build, new init", "s", commands.build_changed_init, aim=Aim(10.0), quick=False),
)
