"""Links of the kernel and the addresses on them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import ClassVar

from qlan.resources.namespace import HOST, Alone, Inside
from qlan.values import Partly, Value

# Forward delay, hello time, max age: the quickest that IEEE 802.1D allows, which wants
# 2 x (forward delay - 1) >= max age >= 2 x (hello time + 1).
STP_TIMERS_S = (4, 1, 6)

_KIB = 1024
_BURST_MIN_BYTES = 8 * _KIB
_BURSTS_PER_S = 100  # how often a bucket is filled, at least: what a timer's delay costs must fit into it
_ETHERNET_BYTES = 22  # header and a VLAN tag


class Bridge(Inside):
    """A Linux bridge; without STP no forward delay (a new port must not swallow a guest's first DHCP requests).

    branch: 0 for a network's own one; a network with more NICs than a bridge has ports has branches 1, 2, ... too.
    isolates: whether its ports are isolated unless they say otherwise.  The kernel knows it of ports alone; here it is
    for ports that come later (a QEMU started by hand).
    """

    network: str
    name: str
    mac: str
    namespace: str = HOST
    mtu_bytes: int = 1500
    up: bool = True
    stp: bool = False
    forward_delay_cs: int = 0  # hundredths of a second; the kernel's 15 s hold even with STP off
    hello_time_cs: int = 200
    max_age_cs: int = 2000
    ipv6: bool = False  # the host's own; on, it has the addresses that we give it and listens to nobody's RA
    multicast_snooping: bool = False  # with a querier: without one it would stop IPv6 ND and mDNS after minutes
    multicast_querier: bool = False
    isolates: bool = False
    vlan_filtering: bool = False
    vlan: int = 1  # the host's own; a port is born in none
    branch: int = 0
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "name", "namespace", "branch"})

    @property
    def key(self) -> str:
        return f"branch/{self.network}/{self.branch}" if self.branch else f"bridge/{self.network}"


class Trunk(Inside):
    """A veth pair that joins a branch of a network to its first bridge.  near: the end in that one; far: in the branch.

    bridge, branch_bridge: the bridges that the ends are in.  isolated: whether the near end is (`topology/ports.py`).
    whole: both ends are there, marked, and in the same VLANs.
    vlans: ranges of those that pass with their tags, where the bridges look at VLANs.
    """

    network: str
    branch: int
    near: str
    far: str
    bridge: str
    branch_bridge: str
    namespace: str = HOST
    mtu_bytes: int = 1500
    up: bool = True
    isolated: bool = False
    whole: bool = True
    vlans: tuple[tuple[int, int], ...] = ()
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "branch", "near", "far", "namespace", "whole"})

    @property
    def key(self) -> str:
        return f"trunk/{self.network}/{self.branch}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"bridge/{self.network}", f"branch/{self.network}/{self.branch}")


class Address(Value):
    """An address of ours on one of our links.  link_key: the bridge's key; link: its interface name.

    peer: the only other one that is reached over the link by it.
    """

    link_key: str
    link: str
    interface: IPv4Interface | IPv6Interface
    namespace: str = HOST
    peer: IPv4Address | None = None
    FIXED: ClassVar[frozenset[str]] = frozenset({"link_key", "link", "interface", "namespace", "peer"})

    @property
    def key(self) -> str:
        return f"address/{self.link}/{self.interface}" + (f",{self.peer}" if self.peer else "")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key,)

    @property
    def within(self) -> tuple[str, ...]:
        return (self.link_key,)


class Tap(Value):
    """A guest's port on a bridge.  Not persistent: it lives as long as QEMU holds its descriptor.

    foreign: its bridge is somebody else's, and no resource of the lab.
    isolated: it hears only ports that are not, and the bridge itself.  vlan: of its untagged frames; trunk: ranges of
    VLANs that pass with their tags (both on a bridge that looks at VLANs).
    held: by its own machine.  A TAP that somebody else keeps open is of no use and has to be made anew.
    It can move to another bridge, into another namespace too: QEMU's descriptor stays good.
    branch: of its network's bridges the one it is on.
    """

    guest: str
    nic: int
    name: str
    network: str
    bridge: str
    namespace: str = HOST
    mtu_bytes: int = 1500
    up: bool = True
    held: bool = True
    isolated: bool = False
    foreign: bool = False
    vlan: int | None = None
    trunk: tuple[tuple[int, int], ...] = ()
    branch: int = 0
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "name", "held"})

    @property
    def key(self) -> str:
        return f"tap/{self.guest}/{self.nic}"

    @property
    def needs(self) -> tuple[str, ...]:
        branch = (f"branch/{self.network}/{self.branch}",) if self.branch else ()
        return () if self.foreign else (f"bridge/{self.network}", *branch)

    @property
    def within(self) -> tuple[str, ...]:
        nic = f"nic/{self.guest}/{self.nic}"
        return (f"machine/{self.guest}", nic, *((self.namespace,) if self.namespace else ()))


class Ifb(Inside):
    """A link through which what a guest sends is led, so that it can queue: a TAP has no queue on its way in."""

    guest: str
    nic: int
    name: str
    namespace: str = HOST
    up: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "name", "namespace"})

    @property
    def key(self) -> str:
        return f"ifb/{self.guest}/{self.nic}"


class Shaping(Partly):
    """What one direction of a NIC goes through: a limit of its rate, and what netem does to its frames.

    direction: as the guest sees it; link: its TAP; queue: the link that shapes, the TAP itself for `in`, an Ifb for
    `out`.  rate_bps: 0: no limit.  burst_bytes: a multiple of 1024, so that it can be told from what the kernel makes
    of it.  ..._ppm: of a million frames.  whole: nothing is missing of it (it is several things in the kernel).
    file_bps: the limit that the file asks for, for when an impairment made by hand ends.
    """

    guest: str
    nic: int
    direction: str
    link: str
    queue: str
    rate_bps: int = 0
    burst_bytes: int = 0
    namespace: str = HOST
    whole: bool = True
    delay_us: int = 0
    jitter_us: int = 0
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    corrupt_ppm: int = 0
    reorder_ppm: int = 0
    file_bps: int = 0
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "direction", "link", "queue", "namespace", "whole"})
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"file_bps"})

    @property
    def key(self) -> str:
        return f"shaping/{self.guest}/{self.nic}/{self.direction}"

    @property
    def needs(self) -> tuple[str, ...]:
        tap = f"tap/{self.guest}/{self.nic}"
        return (tap,) if self.queue == self.link else (tap, f"ifb/{self.guest}/{self.nic}")

    @property
    def within(self) -> tuple[str, ...]:
        return (f"tap/{self.guest}/{self.nic}",)

    @property
    def netem(self) -> tuple[int, ...]:
        """All that takes a netem."""
        return (self.delay_us, self.jitter_us, self.loss_ppm, self.duplicate_ppm, self.corrupt_ppm, self.reorder_ppm)


def burst_bytes(rate_bps: int, mtu_bytes: int) -> int:
    """The size of a limit's bucket: a hundredth of a second, at least two packets, in whole KiB."""
    wanted = max(_BURST_MIN_BYTES, 2 * (mtu_bytes + _ETHERNET_BYTES), rate_bps // 8 // _BURSTS_PER_S)
    return -(-wanted // _KIB) * _KIB


class Macvlan(Alone):
    """The host's own MAC beside its guests' on a NIC: what the NIC itself sends does not come to them (host_access)."""

    network: str
    name: str
    uplink: str
    mac: str
    mtu_bytes: int = 1500
    up: bool = True
    namespace: str = HOST
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "name", "uplink", "mac", "namespace"})

    @property
    def key(self) -> str:
        return f"macvlan/{self.network}"


class Macvtap(Alone):
    """A guest's MAC on a NIC of this machine.  It outlives its QEMU, and the next one opens it again.

    mac: the guest's own, or nothing would come through.  mode: bridge, private, vepa or passthru.
    """

    guest: str
    nic: int
    name: str
    uplink: str
    mode: str
    mac: str
    mtu_bytes: int = 1500
    up: bool = True
    namespace: str = HOST
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "name", "uplink", "mode", "mac", "namespace"})

    @property
    def key(self) -> str:
        return f"macvtap/{self.guest}/{self.nic}"
