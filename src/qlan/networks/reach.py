"""Who reaches whom: a row of the table of kinds, which README's table, `qlan show` and scripts/reach go by."""

from __future__ import annotations

from qlan.values import Value


class Reach(Value):
    """What a kind of network lets through without a forward.

    guests, host, outside: whom a guest opens connections to.  from_host, from_outside: who opens them to a guest.
    """

    guests: bool
    host: bool
    outside: bool
    from_host: bool
    from_outside: bool


# what is said at a NIC and is no network
NONE = Reach(guests=False, host=False, outside=False, from_host=False, from_outside=False)
USER = Reach(guests=False, host=True, outside=True, from_host=False, from_outside=False)
