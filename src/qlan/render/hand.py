"""A NIC as words for a QEMU command line that somebody writes by hand: `-netdev ... -device ...`, or `-nic ...`."""

from __future__ import annotations

from qlan.names import device_name
from qlan.render.option import Option


def bridge(name: str, helper: str | None) -> Option:
    """`bridge,br=NAME,helper=PATH`; helper None: QEMU's own."""
    return Option("bridge", br=name, helper=helper)


def words(backend: str, *, model: str, mac: str | None, name: str, short: bool) -> list[str]:
    """The words of one NIC.  name: its id in the long form.  short: `-nic` (no way to leave out the boot ROM there)."""
    device = device_name(model)
    if short:
        return ["-nic", f"{backend},{Option(model=device, mac=mac)}"]
    return [
        *("-netdev", f"{backend},{Option(id=name)}"),
        *("-device", str(Option(device, netdev=name, mac=mac, romfile=""))),
    ]
