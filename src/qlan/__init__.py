"""qlan gives QEMU guests their networks: `from qlan.lab import Lab`."""

__version__ = "0.1.0"
