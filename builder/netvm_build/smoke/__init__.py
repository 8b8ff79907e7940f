# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The smoke boot: an image is booted with two clients, and a table of checks says whether it routes.

engine    the run: set-up, the table's rows in order, the verdict
checks    the table, and the functions that ask the router
through   those that clients make; several, those of several uplinks; cards, those that differ with a real card
lab       what a check is, and all that it may use
vm        the lifetime of one QEMU, its QMP connection, console and port
guest     what the router says
clients   client VMs; client_agent is what runs in them
upstream  what they reach: servers on this host's loopback
diagnose  from evidence to cause and hint
"""
