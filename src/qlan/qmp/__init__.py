"""QMP: what QEMU is asked and told, and what it says by itself."""
