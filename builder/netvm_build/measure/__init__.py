# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How fast a router is on this machine: boots, and traffic between two wires with nothing slower than the router.

wires     network namespaces with a tap each; dhcp, the least server that an uplink needs
load      what is sent between two wires
"""
