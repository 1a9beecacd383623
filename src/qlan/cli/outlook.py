"""What a guest's own `ip address`, `ip route` and `resolvectl` would say, as far as the outside can know it.

Known are the reservations and leases of our own DHCP servers, and what QEMU's user-mode network serves (its defaults:
qemu-system-x86_64(1), -netdev user; its lease lasts a day, LEASE_TIME in libslirp).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from qlan.names import user_gateway
from qlan.resources.model import (
    Dnsmasq,
    ForeignBackend,
    HelperBackend,
    Machine,
    Macvtap,
    MacvtapBackend,
    Nic,
    Resource,
    Tap,
    TapBackend,
    UserBackend,
    WireBackend,
)
from qlan.status import NicStatus
from qlan.values import Value

_USER_SUBNET = IPv4Network("10.0.2.0/24")
_USER_PREFIX6 = IPv6Network("fec0::/64")


class NicOutlook(Value):
    """One NIC.  address: with prefix, "" if none is known.  how: `lease`, `reserved`, `static`, `built in` or "".
    by_hand: the lines to type into the guest, where nothing tells it its address.  data_path: words, in their order."""

    index: int
    network: str
    model: str
    mac: str
    link: str
    address: str
    how: str
    expires_s: int | None
    gateway: str
    dns: tuple[str, ...]
    domain: str
    search: tuple[str, ...]
    address6: str
    forwards: tuple[str, ...]
    callers_seen_as: str
    by_hand: tuple[str, ...]
    data_path: dict[str, str]


def nic_outlook(
    nic: Nic, seen: NicStatus, known: Mapping[str, Resource], offloads: Mapping[str, tuple[str, ...]]
) -> NicOutlook:
    """All about a NIC.  seen: what status knows of it; known: the lab's resources; offloads: by the TAPs' keys."""
    told = _user(nic.backend) if isinstance(nic.backend, UserBackend) else _bridged(nic, seen, known)
    return NicOutlook(
        nic.index, seen.network, nic.model, nic.mac, seen.link,
        address=f"{seen.address}/{told.prefix}" if seen.address and told.prefix else seen.address,
        how=seen.address_state, expires_s=seen.expires_s, gateway=told.gateway, dns=told.dns, domain=told.domain,
        search=told.search, address6=_address6(seen) or told.address6, forwards=seen.forwards,
        callers_seen_as=seen.callers_seen_as,
        by_hand=_by_hand(nic, known), data_path=_data_path(nic, known, offloads),
    )  # fmt: skip


class _Told(Value):
    """What DHCP tells the guest beside its address."""

    prefix: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    address6: str = ""


def _user(backend: UserBackend) -> _Told:
    if not backend.ipv4:
        return _Told(address6=_prefix6(backend))
    subnet = backend.subnet or _USER_SUBNET
    if backend.backend == "passt":
        six = "" if backend.ipv6 is False else "as this machine has it"
        return _Told(prefix=str(subnet.prefixlen), gateway=str(backend.host or subnet[2]), search=backend.search,
                     address6=six)  # fmt: skip
    return _Told(
        prefix=str(subnet.prefixlen),
        gateway="" if backend.restrict else str(user_gateway(backend.host, subnet)),
        dns=(str(backend.dns or subnet.network_address + 3),), domain=backend.domain or "", search=backend.search,
        address6=_prefix6(backend),
    )  # fmt: skip


def _prefix6(backend: UserBackend) -> str:
    return "" if backend.ipv6 is False else f"one in {backend.ipv6_prefix or _USER_PREFIX6}, made by the guest"


def _bridged(nic: Nic, seen: NicStatus, known: Mapping[str, Resource]) -> _Told:
    if nic.address:
        return _Told(prefix=str(nic.address.network.prefixlen))
    server = known.get(f"dnsmasq/{seen.network}")
    if not isinstance(server, Dnsmasq):
        return _Told()
    dns = (str(server.address.ip),) if server.dns else ()
    return _Told(
        prefix=str(server.address.network.prefixlen), gateway=str(server.router) if server.router else "", dns=dns,
        domain=server.lab if server.dns else "",
    )  # fmt: skip


def _address6(seen: NicStatus) -> str:
    how = {"slaac": "made by the guest of its MAC", "lease": "lease"}.get(seen.address6_state, seen.address6_state)
    return f"{seen.address6} ({how})" if seen.address6 else ""


def _by_hand(nic: Nic, known: Mapping[str, Resource]) -> tuple[str, ...]:
    """Nothing, if the kernel's `ip=` or a cloud-init seed tells the guest its address."""
    machine = known.get(f"machine/{nic.guest}")
    if nic.address is None or not isinstance(machine, Machine):
        return ()
    if machine.seed or f"ip={nic.address.ip}:" in " ".join([machine.append, *machine.addresses]):
        return ()
    return (
        f"ip address add {nic.address} dev IFACE    # the one with {nic.mac} in `ip link`",
        "ip link set IFACE up",
    )


def _offloads(key: str, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What the guest's driver takes unfinished, and what it hands over so: it agrees to both or none."""
    return {"offloads": " ".join(known[key]) or "none yet, the guest's driver takes them"} if key in known else {}


def _data_path(nic: Nic, known: Mapping[str, Resource], offloads: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    rom, vhost = "iPXE (boots from the network)" if nic.boot else "none", "yes" if nic.vhost else "no"
    if isinstance(nic.backend, UserBackend) and nic.backend.backend == "passt":
        return {"netdev": f"stream: a socket to passt, this NIC's own (passt/{nic.guest}.{nic.index}/own in the lab's "
                          "folder has its log)", "option ROM": rom,
                "MTU": str(nic.mtu_bytes or "65520, if the guest takes it from DHCP")}  # fmt: skip
    if isinstance(nic.backend, ForeignBackend):
        return {"netdev": f"{nic.backend.kind or 'none'}: of the user who started this QEMU"}
    if isinstance(nic.backend, UserBackend):
        return {"netdev": "user (QEMU's own TCP/IP, slirp)", "option ROM": rom,
                "MTU": str(nic.mtu_bytes or 1500)}  # fmt: skip
    if isinstance(nic.backend, WireBackend):
        return {"netdev": f"dgram: end {nic.backend.end} of wire {nic.backend.network}, a UDP socket handed over as a "
                          "descriptor; every frame passes", "vnet header": "no", "option ROM": rom,
                "MTU": str(nic.mtu_bytes or 1500)}  # fmt: skip
    if isinstance(nic.backend, MacvtapBackend):
        one = known.get(nic.backend.macvtap)
        where = f"{one.name}, mode {one.mode}, on {one.uplink}" if isinstance(one, Macvtap) else "(it is gone)"
        mtu = nic.mtu_bytes or (one.mtu_bytes if isinstance(one, Macvtap) else 1500)
        return {"netdev": f"tap: macvtap {where}, a descriptor; this machine is heard by host_access alone",
                "vnet header": "yes", **_offloads(nic.backend.macvtap, offloads), "vhost": vhost, "queues": "1",
                "option ROM": rom, "MTU": str(mtu)}  # fmt: skip
    if isinstance(nic.backend, HelperBackend):
        return {"netdev": f"bridge: a TAP on {nic.backend.bridge}, made by {nic.backend.helper}", "vnet header": "yes",
                "vhost": "no", "queues": "1", "option ROM": rom, "MTU": str(nic.mtu_bytes or 1500)}  # fmt: skip
    tap = known.get(nic.backend.tap) if isinstance(nic.backend, TapBackend) else None
    if not isinstance(tap, Tap):
        return {"netdev": "tap (it is gone: `qlan status`)", "option ROM": rom}
    has_header = nic.model.startswith(("virtio-net", "vmxnet3", "e1000e"))
    return {
        "netdev": f"tap {tap.name}, handed over as a descriptor, on bridge {tap.bridge or 'none'}",
        "vnet header": "yes" if has_header else "not used by the model",
        **(_offloads(tap.key, offloads) if has_header else {"offloads": "none"}),
        "vhost": vhost, "queues": "1", "option ROM": rom,
        "MTU": f"{tap.mtu_bytes}" + ("" if nic.mtu_bytes is None else f", the guest is told {nic.mtu_bytes}"),
    }  # fmt: skip
