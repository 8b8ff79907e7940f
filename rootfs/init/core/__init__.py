"""What any PID 1 has: system calls, the loop, children, services kept running, and events that say so."""
