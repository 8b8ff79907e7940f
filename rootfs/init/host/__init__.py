"""What the host does to PID 1: the event port and its requests, the power button, the watchdog."""
