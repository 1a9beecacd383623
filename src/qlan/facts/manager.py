"""Who configures an interface of this machine, and with what.  A file of its own: `qlan status` needs no more of the
facts."""

from __future__ import annotations

from qlan.values import Value

NETWORKMANAGER = "NetworkManager"
NETWORKD = "systemd-networkd"


class Manager(Value):
    """A program that configures an interface.  program: NETWORKMANAGER or NETWORKD.

    name: of the profile, as the program knows it: a UUID, a file.  profile: what of it holds for the bridge too, as
    sections with their lines.  port: likewise, what stays with the NIC.  obstacle: why it cannot go to a bridge, hint:
    what to do then; "" if it can.
    """

    program: str
    name: str = ""
    profile: tuple[tuple[str, tuple[str, ...]], ...] = ()
    port: tuple[tuple[str, tuple[str, ...]], ...] = ()
    obstacle: str = ""
    hint: str = ""
