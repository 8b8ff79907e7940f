"""The smoke boot: an image is booted with two clients, and a table of checks says whether it routes.

engine    the run: set-up, the table's rows in order, the verdict
checks    the table and its functions
vm        the lifetime of one QEMU, its QMP connection, console and port
guest     what the router says
clients   client VMs; client_agent is what runs in them
upstream  what they reach: servers on this host's loopback
diagnose  from evidence to cause and hint
"""

from builder.smoke.engine import smoke

__all__ = ["smoke"]
