"""What of this machine stands in a lab's way, printed by the verbs that bring it up or show it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from qlan.cli.terminal import YELLOW, painted, printable
from qlan.realm import Realm
from qlan.resources.model import Resource


def ahead() -> AbstractContextManager[None]:
    """Within, what `show` will ask the kernel is being answered already, as long as nothing is changed."""
    if os.geteuid():
        return nullcontext()
    from qlan.host import firewall

    return firewall.listing_ahead()


def show(resources: Mapping[str, Resource], realm: Realm) -> None:
    """A line what is dropped by whom, and one what to do."""
    for one in data(resources, realm):
        print(painted(printable(f"in the way of {one['network']}: {one['what']}"), YELLOW))
        print(printable(f"  {one['hint']}"), flush=True)


def data(resources: Mapping[str, Resource], realm: Realm) -> list[dict[str, str]]:
    """The same for JSON; a rootless lab has a realm of its own, where nobody is."""
    if realm is Realm.ROOTLESS:
        return []
    from qlan.obstacles import find  # who is spared it answers at once

    return [{"network": one.network, "what": one.what, "hint": one.hint} for one in find(resources)]
