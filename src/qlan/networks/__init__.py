"""Topology -> Resources: one file per network kind; `lan` is what bridged kinds share, `guest` what guests are made of."""
