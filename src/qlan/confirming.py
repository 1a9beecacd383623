"""`qlan confirm`: the NICs that became ports of bridges stay there.

The watchdog alone decides whether it comes too late: it is ended, or it is putting back and then that is what is told.
"""

from __future__ import annotations

from qlan.errors import DriftError, UsageError
from qlan.host import uplink
from qlan.host.uplink import Guarded
from qlan.lab import Lab
from qlan.resources.model import Uplink


def uplinks(lab: Lab) -> list[Guarded]:
    """The watchdogs of the lab's uplinks and what they are doing."""
    record = lab.record
    wanted = record.wanted.values() if record else ()
    return [uplink.guarded(lab.layout, one) for one in wanted if isinstance(one, Uplink)]


def confirm(lab: Lab) -> list[Guarded]:
    """End the watchdogs of a lab; returns those that were running.

    UsageError if the lab has no uplink, DriftError if a NIC was put back already.
    """
    with lab.locked():
        record = lab.record
        wanted = [one for one in record.wanted.values() if isinstance(one, Uplink)] if record else []
        if not wanted:
            raise UsageError(f"lab `{lab.name}` has no NIC of this machine to confirm", hint="`kind: public` has one")
        done = [(uplink.guarded(lab.layout, one), uplink.confirm(lab.layout, one)) for one in wanted]
    for _, after in done:
        if after.ended and not after.ended.startswith("kept"):
            raise DriftError(f"{after.nic}: {after.ended}", hint="`qlan up` tries again, `qlan down` ends it")
    return [before for before, _ in done if before.left_s is not None]
