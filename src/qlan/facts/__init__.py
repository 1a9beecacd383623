"""What this machine can do and what is on it, as data."""
