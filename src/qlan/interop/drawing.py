"""What every picture of a lab shows: guests with their NICs, networks, this machine, what leads outside.

Theory: networks are rails side by side; a guest is a box with a row a NIC, and each row runs to its rail.  However many
networks a guest is on, nothing has to be laid out by trial.
"""

from __future__ import annotations

from qlan.interop.settled import Settled, ends_of
from qlan.names import bracketed, endpoint
from qlan.topology.model import HOST_KINDS, Forward, Guest, Network, Nic
from qlan.values import Value

HOST_TITLE = "this machine"


class Rail(Value):
    """A network.  words: its kind, subnet, ...; from the most important on."""

    name: str
    words: tuple[str, ...]


class Row(Value):
    """A line of a box.  network: the rail that it runs to, "" for none.  outside: it runs to the outside world by
    user-mode networking.  is_down: the cable is pulled."""

    text: str
    network: str = ""
    outside: bool = False
    is_down: bool = False


class Box(Value):
    """A guest, or this machine."""

    title: str
    rows: tuple[Row, ...]
    is_host: bool = False


class Drawing(Value):
    """The whole picture."""

    title: str
    rails: tuple[Rail, ...]
    boxes: tuple[Box, ...]

    @property
    def has_outside(self) -> bool:
        return any(row.outside for box in self.boxes for row in box.rows)


def draw(lab: Settled) -> Drawing:
    """The picture of a lab."""
    rails = tuple(_rail(network) for network in lab.topology.networks)
    host = [row for network in lab.topology.networks for row in _host_rows(network)]
    boxes = [Box(HOST_TITLE, tuple(host), is_host=True)] if host else []
    boxes += [Box(guest.name, tuple(_rows(guest))) for guest in lab.topology.guests]
    return Drawing(lab.topology.lab, rails, tuple(boxes))


def forward_text(forward: Forward) -> str:
    """`127.0.0.1:2222 -> 22/tcp`."""
    guest = f"{bracketed(forward.guest_address)}:" if forward.guest_address else ""
    host = endpoint(forward.host_address, forward.host_port)
    return f"{host} -> {guest}{forward.guest_port}/{forward.protocol}"


def _rail(network: Network) -> Rail:
    words = [network.kind]
    if network.subnet:
        words.append(str(network.subnet))
    if network.dhcp and network.dhcp.first:
        words.append("DHCP")
    if network.mtu_bytes:
        words.append(f"mtu {network.mtu_bytes}")
    return Rail(network.name, tuple(words))


def _host_rows(network: Network) -> list[Row]:
    if network.kind not in HOST_KINDS:
        return []
    text = str(network.address or "")
    if network.dhcp and network.dhcp.relay:
        text += f"  DHCP of {network.dhcp.relay}"
    elif network.dhcp:
        first, last = ends_of(network.dhcp)
        text += f"  DHCP {first}-{_short(str(first), str(last))}"
    if network.dns:
        text += "  DNS"
    return [Row(text, network.name)]


def _short(first: str, last: str) -> str:
    """The end of a range without what both ends have in common."""
    common = 0
    one, two = first.split("."), last.split(".")
    while common < 3 and one[common] == two[common]:
        common += 1
    return ".".join(two[common:])


def _rows(guest: Guest) -> list[Row]:
    if not guest.nics:
        return [Row("no NIC")]
    rows: list[Row] = []
    for index, nic in enumerate(guest.nics):
        rows.append(_row(index, nic))
        rows += [Row(f"  {forward_text(forward)}") for forward in nic.forwards]
    return rows


def _row(index: int, nic: Nic) -> Row:
    words = [str(index), nic.model]
    if nic.address:
        words.append(str(nic.address))
    if nic.boot:
        words.append("boots")
    if not nic.link_up:
        words.append("link down")
    if nic.user is not None:
        words.append("closed user mode" if nic.user.restrict else "user mode")
        return Row(" ".join(words), outside=not nic.user.restrict, is_down=not nic.link_up)
    return Row(" ".join(words), nic.network or "", is_down=not nic.link_up)
