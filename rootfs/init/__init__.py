"""PID 1 of the router VM.  Standard library only; docs/reference/boot-protocol.md is what it says to the host."""
