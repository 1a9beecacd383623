"""Forwarding, nft tables and pasta as commands.

A table's name is its mark: `qlan.LAB.NETWORK`, and no name has a dot.  The chains look at the network's own bridge and
at nothing else.  Every link of any lab carries a group number from a range of ours: that is how "another lab's network"
is said without knowing its name.
"""

from __future__ import annotations

from qlan.names import ANSWER, LINK_GROUPS
from qlan.render import nft_table
from qlan.render.command import Borrow, Command, GiveBack, InTurn, Ip, Nft, Remove, Run, Stop, Sysctl, Write
from qlan.render.enter import REALM, enter
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import HOST, Admission, Filter, Forwarding, Pasta, ProxyNeighbor


def create_forwarding(forwarding: Forwarding, scene: Scene) -> list[Command]:
    """On; what a link of somebody else had is remembered first."""
    if forwarding.link_key:
        return [Sysctl(forwarding.namespace, path(forwarding), forwarding.value)]
    book = scene.layout.borrowed(forwarding)
    return [Borrow(forwarding.link, path(forwarding), book, scene.lab, forwarding.value)]


def change_forwarding(before: Forwarding, after: Forwarding, scene: Scene) -> list[Command]:
    """On again."""
    return create_forwarding(after, scene)


def delete_forwarding(forwarding: Forwarding, scene: Scene) -> list[Command]:
    """As it was, if no other lab needs it."""
    if forwarding.link_key:
        return [Sysctl(forwarding.namespace, path(forwarding), "0")]
    return [GiveBack(forwarding.link, path(forwarding), scene.layout.borrowed(forwarding), scene.lab)]


def path(one: Forwarding) -> str:
    """The setting, below /proc/sys."""
    return f"net/{one.family}/conf/{one.link}/{one.setting}"


def create_filter(one: Filter, scene: Scene) -> list[Command]:
    """The table."""
    return _made(one, scene, is_there=False)


def change_filter(before: Filter, after: Filter, scene: Scene) -> list[Command]:
    """Replaced whole."""
    return _made(after, scene, is_there=True)


def delete_filter(one: Filter, scene: Scene) -> list[Command]:
    """The table, then its files."""
    return nft_table.gone(one, f"inet {table(one)}", scene.layout.filter(one.network))


def _made(one: Filter, scene: Scene, *, is_there: bool) -> list[Command]:
    return nft_table.made(one, _table(one), scene.layout.filter(one.network), is_there=is_there)


def table(one: Filter) -> str:
    """The table's name."""
    return f"qlan.{one.lab}.{one.network}"


def _table(one: Filter) -> nft_table.Table:
    """Leaving: to what it may reach, else to no lab's network.  Arriving: answers, forwards, and who may reach it."""
    reach, reached_by = (_names(names) for names in (one.reach, one.reached_by))
    link = f'"{one.link}"'
    leaving = [f"oifname {link} accept", "ct state established,related accept"]
    if one.closed:
        leaving += ["counter reject with icmpx admin-prohibited"]
    leaving += [f"oifname {reach} counter accept"] if reach else []
    leaving += [f"oifgroup {_GROUPS} counter reject with icmpx admin-prohibited"]
    if one.uplink:
        leaving += [f'oifname != "{one.uplink}" counter reject with icmpx admin-prohibited']
    leaving += [] if one.prefix else ["meta nfproto ipv6 counter reject with icmpx admin-prohibited"]
    leaving += ["counter accept"]
    arriving = ["ct state established,related accept", "ct status dnat accept"]
    arriving += [f"iifname {reached_by} counter accept"] if reached_by else []
    if one.masquerade:
        arriving += ["counter reject with icmpx admin-prohibited"]
    else:
        arriving += [f"iifgroup {_GROUPS} counter reject with icmpx admin-prohibited"]
        arriving += [f'iifname != "{one.uplink}" counter reject with icmpx admin-prohibited'] if one.uplink else []
        arriving += ["counter accept"]
    hidden = [f"ip saddr {one.subnet}"] if one.masquerade and not one.closed else []
    hidden += [f"ip6 saddr {one.prefix}"] if one.masquerade6 else []
    inside = _names((one.link, *one.reach))
    chains = {
        "leaving": leaving,
        "arriving": arriving,
        "forward": ["type filter hook forward priority filter; policy accept;",
                    f"iifname {link} jump leaving", f"oifname {link} jump arriving"],
        "postrouting": ["type nat hook postrouting priority srcnat; policy accept;",
                        *(f"{source} oifname != {inside} counter masquerade" for source in hidden)],
    }  # fmt: skip
    if not hidden:
        del chains["postrouting"]
    if one.namespace == REALM and not one.closed:
        chains |= _leading_home(link)
    return nft_table.Table(f"inet {table(one)}", f"network {one.network} of lab {one.lab}, made by qlan", chains)


def _leading_home(link: str) -> dict[str, list[str]]:
    """What a guest answers to a caller whose address the relay took is marked, as the call was (relay/callers.py)."""
    has_mark = f"mark & {ANSWER:#x} == {ANSWER:#x}"
    return {
        "calls": ["type filter hook output priority filter; policy accept;",
                  f"oifname {link} meta {has_mark} ct mark set ct mark | {ANSWER:#x}"],
        "answers": ["type filter hook prerouting priority mangle; policy accept;",
                    f"iifname {link} ct direction reply ct {has_mark} meta mark set meta mark | {ANSWER:#x}"],
    }  # fmt: skip


_GROUPS = f"{LINK_GROUPS[0]:#x}-{LINK_GROUPS[1]:#x}"


def _names(links: tuple[str, ...]) -> str:
    return f"{{ {', '.join(f'{chr(34)}{name}{chr(34)}' for name in links)} }}" if links else ""


def create_admission(one: Admission, scene: Scene) -> list[Command]:
    """Before all that is in the chain: whoever wrote that did not mean a lab."""
    rules = [
        f'insert rule {one.family} {one.table} {one.chain} {way} "{one.link}" counter accept comment "{one.comment}"\n'
        for way in ("oifname", "iifname")
    ]
    return [Nft(HOST, "".join(rules))]


def change_admission(before: Admission, after: Admission, scene: Scene) -> list[Command]:
    """What is left of them, and both anew."""
    return [*delete_admission(before, scene), *create_admission(after, scene)]


def delete_admission(one: Admission, scene: Scene) -> list[Command]:
    """By their mark: a rule is removed by its handle, and only a listing tells that."""
    chain = f"{one.family} {one.table} {one.chain}"
    line = f's/.* comment "{one.comment}".* # handle \\([0-9]*\\)$/delete rule {chain} handle \\1/p'
    return [InTurn(("sh", "-c", f"nft -a list chain {chain} 2>/dev/null | sed -n '{line}' | nft -f -"))]


def create_neighbor(one: ProxyNeighbor, scene: Scene) -> list[Command]:
    """The entry, with which the kernel also listens to who asks for it."""
    return [Ip(HOST, f"neighbor add proxy {one.address} dev {one.link}")]


def delete_neighbor(one: ProxyNeighbor, scene: Scene) -> list[Command]:
    """Out of the kernel's table."""
    return [Ip(HOST, f"neighbor del proxy {one.address} dev {one.link}")]


_RESOLVERS = 'cat /etc/resolv.conf >"$0" || :'  # what it reads now; a machine may have none


def create_pasta(uplink: Pasta, scene: Scene) -> list[Command]:
    """pasta(1) goes into the background when its link is there.

    No port of either side is passed on by itself, and its gateway does not stand for the host's loopback.
    """
    ipv6 = ["-a", str(uplink.address6), "-g", str(uplink.gateway6)] if uplink.address6 else ["-4"]
    words = [
        "--config-net", *ipv6, "--no-map-gw",
        "-I", uplink.link, "-a", str(uplink.address), "-n", str(uplink.prefix), "-g", str(uplink.gateway),
        "--dns-forward", str(uplink.dns), "-t", "none", "-u", "none", "-T", "none", "-U", "none",
        "-P", str(scene.layout.pasta / "pid"), f"@{uplink.namespace}@",
    ]  # fmt: skip
    return [
        Write(scene.layout.pasta / "resource.json", codec.encode(uplink)),
        Run(HOST, ("sh", "-c", _RESOLVERS, str(scene.layout.pasta_resolvers))),
        Run(HOST, ("pasta", *words), behind=uplink.key),  # it takes as long as the lab's bridges and rules together
    ]


def delete_pasta(uplink: Pasta, scene: Scene) -> list[Command]:
    """The process, then its files."""
    folder = scene.layout.pasta
    return [Stop(folder / "pid", uplink.key, mark=scene.layout.pasta_mark), Remove(folder)]


def _entered(namespace: str, scene: Scene) -> tuple[str, ...]:
    return tuple(word for word in enter(namespace, rootless=scene.rootless) if word != "--pid")
