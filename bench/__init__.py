"""Benchmarks: qlan beside its peers, in turns, on the same machine, in the same minutes.  `scripts/bench` runs them."""
