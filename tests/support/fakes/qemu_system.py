#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
"""A stand-in for QEMU: speaks QMP over the descriptors it inherits, and plays a router or a client.

FAKE_QEMU in the environment names a fault (see `FAULTS`); empty, the router boots and everything it is asked succeeds.
"""

import base64
import gzip
import json
import os
import random
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

FAULTS = """
exits       prints an error and ends before QMP
mute        runs, but never speaks QMP
dies        is killed as soon as the CPUs run
vanishes    ends with status 0 as soon as the CPUs run, and the guest has said nothing
panics      the kernel finds no root
failed      PID 1 gives up and powers off
torn        closes QMP in the middle of a message
no-uplink   the router finds no uplink
flood       a hostile guest: endless lines, control characters, broken and nested JSON; then a panic
floods      a router that is ready, and then says 63 KiB at a time without end, and answers nothing
hostile     says events that were tampered with for two seconds, and is ready then
hangs       PID 1 hangs, and the watchdog resets the machine, which ends it
no-seccomp  it was built without, and knows no -sandbox
no-port     the event port stays silent; the console speaks
warns       the console shows a WARNING, all else is well
stubborn    the power button does nothing
kvm-hangs   KVM runs nothing; kvm-no-linux: a boot sector only; kvm-resets: Linux resets at once; kvm-aborts: QEMU dies
orphan      goes on when nobody is at the other end of its sockets, as QEMU does
"""

CONFIG = "CONFIG_E1000E=y\nCONFIG_PACKET=y\n# CONFIG_IGB is not set\n"


class Fake:
    def __init__(self, argv: list[str], fault: str) -> None:
        self.fault = fault
        line = " ".join(argv)
        ends = re.findall(r"id=(\w+),fd=(\d+)(?!\d|,server=on)", line)
        self.ends = {name: socket.socket(fileno=int(number)) for name, number in ends}
        self.client = "name=netvm.client" in line
        macs = re.findall(r"id=nic-(\w+),\S*mac=([0-9A-F:]+)", line)
        self.macs = dict(macs)
        self.started = 0.0
        self.one_at_a_time = threading.Lock()

    def t(self) -> float:
        return round(time.monotonic() - self.started + 0.4, 3)

    def console(self, text: str) -> None:
        if "console" in self.ends:
            self.ends["console"].sendall(text.encode() + b"\r\n")

    def port(self, **fields: object) -> None:
        self.to_port(json.dumps(fields).encode() + b"\n")

    def to_port(self, data: bytes) -> None:
        with self.one_at_a_time:
            self.ends["port"].sendall(data)

    def event(self, kind: str, /, **fields: object) -> None:
        body = {"v": 1, "t": self.t(), "event": kind, **fields}
        self.console("netvm: " + json.dumps(body))
        if self.fault != "no-port":
            self.port(**body)

    def qmp(self, **message: object) -> None:
        self.ends["qmp"].sendall(json.dumps(message).encode() + b"\r\n")

    def client_fields(self, mac: str) -> dict[str, str]:
        octets = [int(part, 16) for part in mac.split(":")[3:]]
        low = f"100.{octets[0]}.{octets[1]}.{octets[2]}"
        high = f"100.{octets[0]}.{octets[1]}.{octets[2] + 1}"
        return {"interface": "c" + mac[9:].replace(":", ""), "mac": mac, "router": low, "client": high}

    def power_on(self) -> None:
        self.started = time.monotonic()
        if self.client:
            self.port(hello=1, t=0.5)
            return
        if self.fault == "dies":
            print("fake: internal error", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "vanishes":
            sys.exit(0)
        self.console("[    0.000000] Linux version 6.12.117")
        if self.fault == "flood":
            self.flood()
        if self.fault in ("panics", "flood"):
            self.console('[    0.7] VFS: Cannot open root device "/dev/vda" or unknown-block(0,0): error -6')
            self.console("[    0.7] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
            return
        self.speak()

    def speak(self) -> None:
        """What the router's init says until it is ready."""
        self.event("init", name="netvm", kernel="6.12.117", python="3.13.5")
        if self.fault == "failed":
            self.event("failed", reason="the firewall could not be loaded")
            sys.exit(0)
        if self.fault == "hangs":
            stamp = {"seconds": 1, "microseconds": 0}
            self.qmp(event="WATCHDOG", data={"action": "reset"}, timestamp=stamp)
            self.qmp(event="SHUTDOWN", data={"guest": True, "reason": "guest-reset"}, timestamp=stamp)
            sys.exit(0)
        if self.fault == "warns":
            self.console("[    1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:42 \x1b[31mnetif_oops\x1b[0m")
        self.event("firewall", loaded=True)
        if self.fault != "no-uplink":
            uplink = {"interface": "up0", "mac": "52:54:00:12:34:56", "driver": "e1000e"}
            self.event("uplink", state="found", **uplink)
            lease = {"address": "10.0.2.15/24", "gateway": "10.0.2.2", "nameservers": ["10.0.2.3"]}
            self.event("uplink", state="lease", **uplink, **lease)
        for mac in self.macs.values():
            self.event("client", **self.client_fields(mac))
        if self.fault == "hostile":
            threading.Thread(target=self.tamper, daemon=True).start()
        elif self.fault != "no-uplink":
            self.event("ready", uplinks=1, clients=len(self.macs))
        if self.fault == "floods":
            threading.Thread(target=self.flood_for_ever, daemon=True).start()

    def flood_for_ever(self) -> None:
        line = json.dumps({"v": 1, "t": 9, "event": "log", "source": "x", "text": "y" * 63_000}).encode() + b"\n"
        while True:
            self.to_port(line)

    def tamper(self) -> None:
        chance = random.Random(4)  # noqa: S311  (a pattern)
        vectors = json.loads((Path(__file__).parents[2] / "vectors/events.json").read_text())["events"]
        lines = [json.dumps(one).encode() for one in vectors if one["event"] != "ready"]
        lines += [
            b'{"v": 1, "t": 1' + b"0" * 400 + b', "event": "mounts"}',
            b"[" * 5000,
            b'{"a":' * 900 + b"1" + b"}" * 900,
        ]
        lines += [
            b'{"v": 1, "t": NaN, "event": "mounts"}',
            b'{"v": 1, "t": 1, "event": "ready", "uplinks": 1' + b"0" * 4000,
        ]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            data = bytearray(b"\n".join(chance.choices(lines, k=20)) + b"\n")
            for _ in range(chance.randrange(30)):
                data[chance.randrange(len(data))] = chance.choice(b'{}[]",:0123456789eE-+.\\\n\x00\xff')
            self.to_port(bytes(data))
        self.to_port(b"\n")
        self.event("ready", uplinks=1, clients=len(self.macs))

    def flood(self) -> None:
        hostile = b"\x1b]0;title\x07\x1b[2J" + b"A" * 1000
        # Once more at the end: a screen that joins late sees no more than the last 64 KiB.
        self.ends["console"].sendall(hostile + b"A" * 3_000_000 + b"\n" + hostile + b"\n")
        self.ends["port"].sendall(b'{"v": 1, "t": "x", "event": "init"}\n[]\nnull\n\xff\xfe\n' + b"[" * 200_000 + b"\n")
        self.port(v=1, t=1, event="reply", id=[], body={})
        for number in range(5000):
            self.port(v=1, t=number, event="log", source="x", text="y" * 100)

    def request(self, line: str) -> None:
        if self.fault == "floods":
            return
        asked = json.loads(line)
        if self.client:
            if asked["request"] == "configure":
                mac = self.macs["net"]
                octets = [int(part, 16) for part in mac.split(":")[3:]]
                self.port(id=asked["id"], address=f"100.{octets[0]}.{octets[1]}.{octets[2]}")
            else:
                self.port(id=asked["id"], error="OSError: the fake has no network")
            return
        reply = {"v": 1, "t": self.t(), "event": "reply", "id": asked["id"]}
        if asked["request"] == "kernel-config":
            reply["config_gz"] = base64.b64encode(gzip.compress(CONFIG.encode())).decode()
        elif asked["request"] == "status":
            reply["meminfo"] = {"total_kib": 80000, "available_kib": 50000}
        else:
            reply["error"] = "unknown request"
        self.port(**reply)

    def command(self, line: str) -> None:
        message = json.loads(line)
        name, identity = message["execute"], {"id": message["id"]} if "id" in message else {}
        answer: object = {}
        if name == "query-pci":
            devices = [{"qdev_id": "uplink-nic", "id": {"vendor": 0x8086, "device": 0x10D3}}]
            answer = [{"bus": 0, "devices": devices}]
        self.qmp(**{"return": answer, **identity})
        if name == "cont":
            self.power_on()
        elif name == "device_add":
            self.event("client", **self.client_fields(message["arguments"]["mac"]))
        elif name == "device_del":
            stamp = {"seconds": 1, "microseconds": 0}
            self.qmp(event="DEVICE_DELETED", data={"device": message["arguments"]["id"], "path": "/x"}, timestamp=stamp)
        elif name == "quit":
            sys.exit(0)
        elif name == "system_powerdown" and self.fault != "stubborn":
            self.event("shutdown", reason="power button", clean=True)
            sys.exit(0)

    def serve(self) -> None:
        greeting = {"version": {"qemu": {"major": 9, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}
        if self.fault == "torn" and not self.client:
            self.ends["qmp"].sendall(b'{"QMP": {"ver')
            return
        self.qmp(QMP=greeting)
        import selectors

        selector = selectors.DefaultSelector()
        buffers = dict.fromkeys(self.ends, b"")
        for name, end in self.ends.items():
            selector.register(end, selectors.EVENT_READ, name)
        while True:
            for key, _ in selector.select():
                data = self.ends[key.data].recv(65536)
                if not data and self.fault == "orphan":
                    time.sleep(600)
                if not data:
                    return
                if key.data == "qmp":  # no newline ends a message there
                    data = data.replace(b"}{", b"}\n{") + b"\n"
                *lines, buffers[key.data] = (buffers[key.data] + data).split(b"\n")
                for line in filter(bytes.strip, lines):
                    {"qmp": self.command, "port": self.request}.get(key.data, lambda _: None)(line.decode())


def refuse_kvm(fault: str, linux: bool) -> None:
    if fault == "kvm-hangs" or (fault == "kvm-no-linux" and linux):
        time.sleep(600)
    if fault == "kvm-aborts":
        print("error: failed to set MSR 0x38d to 0x0", file=sys.stderr, flush=True)
        os.abort()
    if fault == "kvm-resets" and linux:
        sys.exit(0)


def main() -> None:
    argv, fault = sys.argv[1:], os.environ.get("FAKE_QEMU", "")
    if fault == "no-seccomp" and "-sandbox" in argv:
        sys.exit("qemu-system-x86_64: -sandbox: There is no option group 'sandbox'")
    if argv[-1:] == ["--version"]:
        print(f"QEMU emulator version {os.environ.get('FAKE_QEMU_VERSION', '9.2.0')} (Fake)")
        return
    if record := os.environ.get("FAKE_QEMU_RECORD"):
        with open(record, "a") as file:
            file.write(json.dumps(argv) + "\n")
    sector, linux = any(part.startswith("isa-debug-exit") for part in argv), "console=ttyS0 panic=-1" in argv
    if sector or linux:  # the accelerator's trial
        if any(part == "kvm" or part.startswith("kvm,") for part in argv):
            refuse_kvm(fault, linux)
        if linux:
            print("[    0.7] Kernel panic - not syncing: VFS: Unable to mount root fs")
        sys.exit(85 if sector else 0)
    if fault == "exits":
        print("qemu-system-x86_64: -drive file=x: Could not open 'x'", file=sys.stderr)
        sys.exit(1)
    if fault == "mute":
        time.sleep(600)
    Fake(argv, fault).serve()


if __name__ == "__main__":
    main()
