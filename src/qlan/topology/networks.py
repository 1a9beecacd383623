"""The `networks:` section of the file."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from qlan.problems import Mark
from qlan.topology.document import Mapping, Node, Scalar
from qlan.topology.model import HOST_KINDS, KINDS, Dhcp, Ipv6, Network
from qlan.topology.options import read_options, read_records, read_routes
from qlan.topology.reader import Fields, Reader, parse_choice
from qlan.topology.scalars import (
    IPV6_MTU_MIN,
    MTU_MAX,
    MTU_MIN,
    Unreadable,
    parse_address,
    parse_address6,
    parse_bootfile,
    parse_duration,
    parse_flag,
    parse_integer,
    parse_interface,
    parse_ipv6_prefix,
    parse_lease,
    parse_range,
    parse_subnet,
    parse_vlan,
    parse_word,
    quoted,
)
from qlan.topology.vocabulary import DHCP, DNS, IPV6, NETWORK, SORTS


def read_networks(node: Node, reader: Reader) -> tuple[Network, ...]:
    """All networks, in the file's order."""
    return tuple(_read_network(key, value, reader) for key, value in reader.pairs(node, "`networks`"))


def parse_kind(text: str) -> str:
    """A kind that this version can build."""
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
        network = Network(
            name.text, kind, dhcp=dhcp, ipv6=_default_ipv6(kind, dhcp, None), mark=name.mark, marks={"kind": node.mark}
        )
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
    mtu = fields.value("mtu", lambda text: parse_integer(text, MTU_MIN, MTU_MAX))
    dns, records = _read_dns(fields)
    ipv6, ipv6_marks = _read_ipv6(fields, _default_ipv6(kind, dhcp, mtu))
    return Network(
        name=name.text,
        kind=kind,
        subnet=fields.value("subnet", parse_subnet),
        address=fields.value("address", parse_address),
        dhcp=dhcp,
        ipv6=ipv6,
        dns=dns,
        records=records,
        mtu_bytes=mtu,
        mode=fields.choice("mode"),
        host_access=fields.flag("host_access", False),
        bridge=fields.value("bridge", parse_interface),
        bridge_name=fields.value("bridge_name", parse_interface),
        reach=fields.several("reach", parse_word),
        proxy_arp=fields.flag("proxy_arp", False),
        isolated=fields.flag("isolated", False),
        stp=fields.flag("stp", False),
        multicast_snooping=fields.flag("multicast_snooping", False),
        uplink=fields.value("uplink", parse_interface),
        confirm_within_s=_read_confirm(fields),
        managed=fields.flag("managed", False),
        vlan_filtering=fields.flag("vlan_filtering", False),
        vlan=fields.value("vlan", parse_vlan),
        tftp=fields.path("tftp"),
        bootfile=fields.value("bootfile", parse_bootfile),
        mark=name.mark,
        marks=fields.marks | dhcp_marks | ipv6_marks,
    )


def _read_confirm(fields: Fields) -> int:
    found = fields.value("confirm_within", parse_duration)
    return 60 if found is None else found


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
    told = (read_routes(inner), inner.several("ntp", parse_address), read_options(inner))
    marks = {f"dhcp.{key}": mark for key, mark in inner.marks.items()}
    relay = inner.value("relay", parse_address)
    return Dhcp(first, last, lease_s if lease_s is not None else 3600, node.mark, *told, relay), marks


def _read_dns(fields: Fields) -> tuple[bool, tuple[tuple[str, IPv4Address | IPv6Address], ...]]:
    """A flag, or a mapping."""
    node = fields.node("dns")
    if node is None or isinstance(node, Scalar):
        return fields.flag("dns", True), ()
    return True, read_records(fields.reader.fields(node, fields.called("dns"), DNS))


def _default_ipv6(kind: str, dhcp: Dhcp | None, mtu_bytes: int | None) -> Ipv6 | None:
    """Both families, where guests are given addresses unasked; a link that carries less than 1280 bytes has no IPv6."""
    wanted = kind in HOST_KINDS and dhcp is not None and (mtu_bytes is None or mtu_bytes >= IPV6_MTU_MIN)
    return Ipv6(asked=False) if wanted else None


def _read_ipv6(fields: Fields, default: Ipv6 | None) -> tuple[Ipv6 | None, dict[str, Mark]]:
    """As written: a flag, a prefix or a mapping."""
    node = fields.node("ipv6")
    if node is None:
        return default, {}
    if isinstance(node, Scalar) and ":" in node.text:
        prefix = fields.value("ipv6", parse_ipv6_prefix)
        return Ipv6(prefix, mark=node.mark), {"ipv6.prefix": node.mark}
    if not isinstance(node, Mapping):
        wanted = fields.reader.scalar(node, fields.called("ipv6"), SORTS["ipv6"], parse_flag)
        return (Ipv6(mark=node.mark) if wanted else None), {}
    inner = fields.reader.fields(node, f"`ipv6` of {fields.title}", IPV6)
    found = Ipv6(
        prefix=inner.value("prefix", parse_ipv6_prefix),
        address=inner.value("address", parse_address6),
        slaac=inner.flag("slaac", True),
        dhcp=inner.flag("dhcp", True),
        mark=node.mark,
    )
    return found, {f"ipv6.{key}": mark for key, mark in inner.marks.items()}
