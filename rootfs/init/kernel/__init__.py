"""What PID 1 tells the kernel and hears of it: netlink, settings, mounts, modules, devices."""
