"""Topology -> Resources: a file per network kind; `lan`: what bridged kinds share, `guest`: what guests are."""
