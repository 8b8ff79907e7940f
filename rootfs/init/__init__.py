"""PID 1 of the router VM.  Standard library only; docs/boot-protocol.md is what it says to the host."""
