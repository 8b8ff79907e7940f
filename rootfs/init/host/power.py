# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The power button: an input device that says KEY_POWER."""

from __future__ import annotations

from init.core.native import Struct, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop

    OnPress = Callable[[], None]

SYSFS = "/sys/class/input"
EVENT = Struct("=qqHHi")  # input_event of a 64-bit kernel: seconds, microseconds, type, code, value
EV_KEY, KEY_POWER, PRESSED = 1, 116, 1


def has_power_key(bitmap: str) -> bool:
    """Whether a capabilities/key text (64-bit words in hex, highest first) has KEY_POWER."""
    words = bitmap.split()
    word = KEY_POWER // 64
    try:
        return len(words) > word and bool(int(words[-1 - word], 16) >> (KEY_POWER % 64) & 1)
    except ValueError:
        return False


def pressed(data: bytes) -> bool:
    """Whether input events (input.h) say that the power key was pressed."""
    whole = len(data) - len(data) % EVENT.size
    return any(
        kind == EV_KEY and code == KEY_POWER and value == PRESSED
        for _, _, kind, code, value in EVENT.iter_unpack(data[:whole])
    )


class PowerButtons:
    """Every power button there is."""

    def __init__(self, loop: Loop, on_press: OnPress) -> None:
        self._loop = loop
        self._on_press = on_press
        self._open: dict[str, int] = {}

    def look(self, sysfs: str = SYSFS, devices: str = "/dev/input") -> None:
        """Open every button that is there and not open yet."""
        try:
            names = [name for name in os.listdir(sysfs) if name.startswith("event") and name not in self._open]
        except OSError:
            return
        for name in names:
            try:
                with open(f"{sysfs}/{name}/device/capabilities/key") as file:
                    if not has_power_key(file.read()):
                        continue
                descriptor = os.open(f"{devices}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            self._open[name] = descriptor
            self._watch(name, descriptor)

    def _watch(self, name: str, descriptor: int) -> None:
        def ready() -> None:
            try:
                data = os.read(descriptor, EVENT.size * 64)
            except BlockingIOError:
                return
            except OSError:  # unplugged
                self._loop.unwatch(descriptor)
                os.close(descriptor)
                del self._open[name]
                return
            if pressed(data):
                self._on_press()

        self._loop.watch(descriptor, ready)
