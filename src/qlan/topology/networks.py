"""The `networks:` section of the file."""

from __future__ import annotations

from qlan.errors import Mark
from qlan.topology.document import Node, Scalar
from qlan.topology.model import HOST_KINDS, KINDS, Dhcp, Network
from qlan.topology.reader import Fields, Reader, parse_choice
from qlan.topology.scalars import (
    MTU_MAX,
    MTU_MIN,
    Unreadable,
    parse_address,
    parse_flag,
    parse_integer,
    parse_lease,
    parse_range,
    parse_subnet,
    quoted,
)
from qlan.topology.vocabulary import DHCP, NETWORK, SORTS

_LATER = ("nat", "routed", "public", "bridge")  # kinds of the design that this version cannot build


def read_networks(node: Node, reader: Reader) -> tuple[Network, ...]:
    """All networks, in the file's order."""
    return tuple(_read_network(key, value, reader) for key, value in reader.pairs(node, "`networks`"))


def parse_kind(text: str) -> str:
    """A kind that this version can build."""
    if text in _LATER:
        raise Unreadable(
            f"kind {quoted(text)} is not in this version",
            "use `host-only` to reach the host; a second NIC, `user`, on the guest leads outside",
        )
    if text == "user":
        raise Unreadable("`user` is no network to share: it is private to a NIC", "write `user` in the guest's `nics`")
    if text == "none":
        raise Unreadable("`none` is no network", "write `nics: none` in the guest")
    return parse_choice(text, KINDS)


def _read_network(name: Scalar, node: Node, reader: Reader) -> Network:
    title = f"network {quoted(name.text)}"
    before = len(reader.problems)
    if isinstance(node, Scalar) and not node.is_null:  # a kind alone
        kind = reader.scalar(node, title, "a kind or a mapping", parse_kind)
        kind = kind or KINDS[0]
        dhcp = Dhcp() if kind in HOST_KINDS else None
        network = Network(name.text, kind, dhcp=dhcp, mark=name.mark, marks={"kind": node.mark})
    else:
        network = _read_fields(name, reader.fields(node, title, NETWORK), title)
    if len(reader.problems) > before:
        reader.damaged.add(name.mark)
    return network


def _read_fields(name: Scalar, fields: Fields, title: str) -> Network:
    if not fields.has("kind"):
        fields.reader.problem(name.mark, f"{title} has no kind", "write `kind: private` or `kind: host-only`")
    kind = fields.value("kind", parse_kind) or KINDS[0]
    dhcp, dhcp_marks = _read_dhcp(fields, kind)
    return Network(
        name=name.text,
        kind=kind,
        subnet=fields.value("subnet", parse_subnet),
        address=fields.value("address", parse_address),
        dhcp=dhcp,
        dns=fields.flag("dns", True),
        mtu_bytes=fields.value("mtu", lambda text: parse_integer(text, MTU_MIN, MTU_MAX)),
        mark=name.mark,
        marks=fields.marks | dhcp_marks,
    )


def _read_dhcp(fields: Fields, kind: str) -> tuple[Dhcp | None, dict[str, Mark]]:
    """As written; not said, the kinds in which the host takes part have it, and `private` serves nothing unasked."""
    node = fields.node("dhcp")
    if node is None:
        return (Dhcp() if kind in HOST_KINDS else None), {}
    if isinstance(node, Scalar):
        wanted = fields.reader.scalar(node, fields.called("dhcp"), SORTS["dhcp"], parse_flag)
        return (Dhcp(mark=node.mark) if wanted else None), {}
    inner = fields.reader.fields(node, f"`dhcp` of {fields.title}", DHCP)
    first, last = inner.value("range", parse_range) or (None, None)
    lease_s = inner.value("lease", parse_lease)
    marks = {f"dhcp.{key}": mark for key, mark in inner.marks.items()}
    return Dhcp(first, last, lease_s if lease_s is not None else 3600, node.mark), marks
