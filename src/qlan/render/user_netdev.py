"""QEMU's user-mode network and its forwards as a `-netdev user` value."""

from __future__ import annotations

from collections.abc import Iterable

from qlan.render.option import Option
from qlan.resources.model import PortForward, UserBackend


def render(name: str, user: UserBackend, forwards: list[PortForward]) -> str:
    """Only what differs from QEMU's defaults is said, so that the line stays readable.  name "": without an id."""
    option = Option("user")
    for key, value in words(name, user, forwards).items():
        for one in value if isinstance(value, list) else [value]:
            said = one["str"] if isinstance(one, dict) else one
            option.add(**{key: ("on" if said else "off") if isinstance(said, bool) else said})
    return str(option)


def words(name: str, user: UserBackend, forwards: list[PortForward]) -> dict[str, object]:
    """The same as arguments of QMP's `netdev_add` (NetdevUserOptions in QEMU's qapi/net.json), without the type."""
    found: dict[str, object] = {"id": name or None}
    if not user.ipv4 or user.ipv6:  # `ipv6=on` alone would turn IPv4 off (net_init_user in net/slirp.c)
        found["ipv4"] = user.ipv4
    found |= {"net": user.subnet, "host": user.host, "dhcpstart": user.dhcp_start, "dns": user.dns, "ipv6": user.ipv6}
    found |= {"ipv6-net": user.ipv6_prefix, "restrict": user.restrict or None, "hostname": user.hostname}
    found |= {"domainname": user.domain, "dnssearch": _strings(user.search)}
    found |= {"tftp": user.tftp, "bootfile": user.bootfile, "smb": user.smb}
    found |= {"hostfwd": _strings(map(hostfwd, forwards)), "guestfwd": _strings(user.guestfwd)}
    return {key: value if isinstance(value, bool | list) else str(value) for key, value in found.items()
            if value is not None and value != []}  # fmt: skip


def _strings(values: Iterable[str]) -> list[dict[str, str]]:
    return [{"str": value} for value in values]


def hostfwd(forward: PortForward) -> str:
    """A forward in QEMU's words: `tcp:127.0.0.1:2222-:22`."""
    guest = forward.guest_address or ""
    return f"{forward.protocol}:{forward.host_address}:{forward.host_port}-{guest}:{forward.guest_port}"
