"""QEMU's user-mode network and its forwards as a `-netdev user` value."""

from __future__ import annotations

from qlan.render.option import Option
from qlan.resources.model import PortForward, UserBackend


def render(name: str, user: UserBackend, forwards: list[PortForward]) -> str:
    """Only what differs from QEMU's defaults is said, so that the line stays readable.  name "": without an id."""
    option = Option("user", id=name or None)
    if not user.ipv4 or user.ipv6:  # `ipv6=on` alone would turn IPv4 off (net_init_user in net/slirp.c)
        option.add(ipv4="on" if user.ipv4 else "off")
    option.add(net=user.subnet, host=user.host, dhcpstart=user.dhcp_start, dns=user.dns)
    if user.ipv6 is not None:
        option.add(ipv6="on" if user.ipv6 else "off")
    if user.ipv6_prefix:
        option.add(**{"ipv6-net": user.ipv6_prefix})
    if user.restrict:
        option.add(restrict="on")
    option.add(hostname=user.hostname, domainname=user.domain)
    for word in user.search:
        option.add(dnssearch=word)
    option.add(tftp=user.tftp, bootfile=user.bootfile, smb=user.smb)
    for forward in forwards:
        option.add(hostfwd=hostfwd(forward))
    for word in user.guestfwd:
        option.add(guestfwd=word)
    return str(option)


def hostfwd(forward: PortForward) -> str:
    """A forward in QEMU's words: `tcp:127.0.0.1:2222-:22`."""
    guest = forward.guest_address or ""
    return f"{forward.protocol}:{forward.host_address}:{forward.host_port}-{guest}:{forward.guest_port}"
