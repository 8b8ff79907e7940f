# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the test of the libvirt guides runs inside its Debian: helpers of its scripts, on Debian's own Python.

libvirt_host.py events SOCKET NAME    wait for an event of the router's and print it
libvirt_host.py reaches ADDRESS PID   does a datagram from PID's network arrive at this host's address?
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time


def event(path: str, name: str, **fields: str) -> None:
    """Print the first event of a name that has these fields; all that the router has said since its boot counts."""
    deadline = time.monotonic() + 90
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(90)
        port.connect(path)
        for line in port.makefile():
            said = json.loads(line)
            print(line, end="", file=sys.stderr)
            if said["event"] == name and fields.items() <= said.items():
                print(line, end="")
                return
            if time.monotonic() > deadline:
                break
    raise SystemExit(f"no {name} {fields}")


def reaches(address: str, pid: str) -> None:
    """Print yes if a datagram arrives that is sent from another process's network, or no."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind((address, 9999))
        here.settimeout(1)
        send = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', (sys.argv[1], 9999))"
        subprocess.run(["nsenter", f"--target={pid}", "--net", sys.executable, "-c", send, address], check=True)
        try:
            here.recv(10)
            print("yes")
        except TimeoutError:
            print("no")


if __name__ == "__main__":
    if sys.argv[1] == "events":
        event(sys.argv[2], sys.argv[3], **dict(word.split("=", 1) for word in sys.argv[4:]))
    else:
        reaches(*sys.argv[2:])
