"""The host's side: what is changed on this machine for a router, and how it is given back.

journal  what was changed, on disk before it is changed, so that anyone can undo it
links    taps, and bridges of two ports that the host itself has no part in
rights   the one capability that links need, and no other
"""
