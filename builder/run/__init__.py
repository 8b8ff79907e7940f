"""`run`: the router in QEMU, kept by a process that shares its console and its event port.

uplink    where the router's uplink leads
outer     another router's client network as the uplink
networks  which clients' networks the VM offers, and the machine that does
launch    all that a VM is started from, its start, and its record
keeper    the process that owns QEMU, from its start to its end
console_log  what the console said, in a file
cards     cards of this machine that come to a running VM, and go
notify    what a service manager is told
engine    on this terminal, or detached from it; and how a VM is stopped
"""

from builder.run.engine import Wanted, check, detached, run, stop
from builder.run.uplink import USER_NETWORK, Uplink, cautions

__all__ = ["USER_NETWORK", "Uplink", "Wanted", "cautions", "check", "detached", "run", "stop"]
