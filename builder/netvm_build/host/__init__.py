# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The host's side: what is changed on this machine for a router, and how it is given back.

journal  what was changed, on disk before it is changed, so that anyone can undo it
pci      the host's PCI devices as sysfs shows them, and their names
routes   which interfaces the host's own traffic leaves by
steps    the writes that hand a card to VFIO, and how each is undone
vfio     whether a card may be handed over; bind, release, and taking it for a while
access   what a user needs to use a card without root: udev rules, memory locks
links    taps, and bridges of two ports that the host itself has no part in
capabilities   the one capability that links need, and no other
"""
