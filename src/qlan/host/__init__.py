"""Resources <-> the real thing: reading the kernel and our processes, and running commands."""
