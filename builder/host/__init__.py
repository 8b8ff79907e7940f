"""The host's side: what is changed on this machine for a router, and how it is given back.

journal  what was changed, on disk before it is changed, so that anyone can undo it
"""
