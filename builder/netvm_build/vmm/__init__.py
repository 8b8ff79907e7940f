"""The virtual machine monitor: what a VM is started with, and by which program."""
