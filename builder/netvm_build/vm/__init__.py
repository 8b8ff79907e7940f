# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A running VM: started by `run`, kept by a process that shares its console and its event port.

engine    on this terminal, or detached from it; and how a VM is stopped
launch    all that a VM is started from, its start, and its record
keeper    the process that owns QEMU, from its start to its end
broker    one console and one event port, shared by many readers
registry  which VMs run
status    a guest's answers as the state of its VM
terminal  a VM's console on this terminal
uplink    where the router's uplink leads
outer     another router's client network as the uplink
networks  which clients' networks the VM offers, and the machine that does
clients   VMs of this host attached to a running router, and detached
cards     cards of this machine that come to a running VM, and go
console_log  what the console said, in a file
notify    what a service manager is told
"""
