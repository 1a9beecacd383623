"""The relay: a process of its own a lab, which passes published ports into the lab's network (`python -m qlan.relay`).

Theory of operation.  A socket belongs to the network namespace in which it was made, whoever holds it.  The relay runs
inside the lab's network, so all it connects leads to guests; the sockets on which it listens were made outside, by
`qlan up`, and come to it over its control socket (SCM_RIGHTS).  So one process with one thread stands in both networks,
needs no right in either, and ends with the lab's namespace.

Ports come and go one by one while it runs, and no connection notices another port's change.  It imports nothing of
qlan, and of Python only what a loop over sockets takes.
"""
