"""`qlan show NAME`: all about one guest or network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping

from qlan.cli import table, which
from qlan.cli.outlook import NicOutlook, nic_outlook
from qlan.cli.output import duration, plain, print_json
from qlan.cli.terminal import BOLD, painted, printable
from qlan.errors import UsageError
from qlan.lab import Lab
from qlan.names import nearest
from qlan.planning.scope import network_of
from qlan.resources.model import (
    Address,
    Bridge,
    DhcpRelay,
    Dnsmasq,
    Filter,
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
from qlan.status import GuestStatus, all_leases
from qlan.status import guests as guests_of
from qlan.status import offloads as offloads_of
from qlan.values import Value, replace

DESCRIPTION = """\
Show a guest as `ip address`, `ip route` and `resolvectl` would inside it, as far as it can be known from outside, with
the way its packets take; or a network with its members, addresses and leases.  A lab that is not up is shown as it
would be."""
EXAMPLES = """\
  qlan show web
  qlan show web/0        its first NIC alone
  qlan show lan
  qlan show shop/web --json"""


class _View(Value):
    """A lab's resources, and its guests as status has them."""

    lab: Lab
    known: Mapping[str, Resource]
    guests: tuple[GuestStatus, ...]
    is_up: bool


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `show`."""
    name = parser.add_argument("name", metavar="NAME", help="a guest, GUEST/NIC or a network")
    name.completer = which.complete_names  # type: ignore[attr-defined]
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    nic = _take_nic(args)
    view, name = _find(args)
    guest = next((one for one in view.guests if one.name == name), None)
    if nic is not None:
        view.lab.check_guest(name)
        guest = _with_nic(guest, nic) if guest else None
    network = view.known.get(f"bridge/{name}")
    bare = None if isinstance(network, Bridge) else _bare_data(name, view)
    if guest is None and bare is None and not isinstance(network, Bridge):
        known = [*(one.name for one in view.guests), *view.lab.networks]
        near = nearest(name, known)
        hint = f"did you mean `{near}`?" if near else f"it has {', '.join(known) or 'none'}"
        raise UsageError(f"lab `{view.lab.name}` has no guest and no network `{name}`", hint=hint)
    if args.json:
        found = {"lab": view.lab.name, "up": view.is_up}
        if guest:
            found["guest"] = _guest_data(guest, view)
        if isinstance(network, Bridge):
            found["network"] = _network_data(network, view)
        elif bare:
            found["network"] = bare
        print_json(found)
        return 0
    if guest:
        print("\n".join(_guest_lines(guest, view)))
    if bare:
        print("\n".join(_bare_lines(bare)))
    if isinstance(network, Bridge):
        print("\n".join(_network_lines(_network_data(network, view))))
        _print_leases(network, view)
    return 0


def _take_nic(args: argparse.Namespace) -> int | None:
    """The NIC of GUEST/NIC, which leaves the guest's name; LAB/GUEST of a lab that is up stays what it is.

    With -l no lab is in it.
    """
    guest, _, last = args.name.rpartition("/")
    if not guest or not (last.isascii() and last.isdecimal()) or (guest in Lab.names() and not args.lab):
        return None
    args.name = guest
    return int(last)


def _with_nic(guest: GuestStatus, index: int) -> GuestStatus:
    """The guest with that NIC alone."""
    nics = tuple(one for one in guest.nics if one.index == index)
    if not nics:
        known = ", ".join(f"{one.index} ({one.network})" for one in guest.nics) or "none"
        raise UsageError(f"guest `{guest.name}` has no NIC {index}", hint=f"its NICs: {known}")
    return replace(guest, nics=nics)


def _find(args: argparse.Namespace) -> tuple[_View, str]:
    if not (args.lab or args.file or "/" in args.name):
        args.guests = [args.name]
        if found := which.find_lab_of_guest(args):
            return _view(found[0]), args.name
    [name] = which.split([args.name], args)
    return _view(which.lab_by_name(args)), name


def _view(lab: Lab) -> _View:
    if not lab.is_up:
        return _View(lab, lab.wanted, guests_of(lab.layout, lab.wanted, lab.wanted, {}), False)
    wanted, there = lab.read()
    known = {**there, **wanted}
    return _View(lab, known, lab.status().guests, True)


# --- a guest


def _guest_data(guest: GuestStatus, view: _View) -> dict[str, object]:
    machine = view.known.get(f"machine/{guest.name}")
    found: dict[str, object] = {"name": guest.name, "state": guest.state if view.is_up else "not up", "pid": guest.pid}
    if isinstance(machine, Machine):
        found |= {"binary": machine.binary, "machine": machine.machine, "accel": machine.accel, "cpus": machine.cpus,
                  "memory_bytes": machine.memory_bytes, "drives": plain(machine.drives)}  # fmt: skip
    return found | {"nics": plain(_outlooks(guest, view))}


def _outlooks(guest: GuestStatus, view: _View) -> list[NicOutlook]:
    nics = {one.index: one for one in view.known.values() if isinstance(one, Nic) and one.guest == guest.name}
    offloads = offloads_of(view.lab.layout, view.known, guest.name) if guest.pid else {}
    return [nic_outlook(nics[seen.index], seen, view.known, offloads) for seen in guest.nics]


def _guest_lines(guest: GuestStatus, view: _View) -> Iterator[str]:
    state = f"{guest.state}, process {guest.pid}" if guest.pid else guest.state
    yield f"guest {painted(guest.name, BOLD)} of lab {view.lab.name}: {state if view.is_up else 'not up'}"
    machine = view.known.get(f"machine/{guest.name}")
    if isinstance(machine, Machine):
        yield f"  {machine.machine}, {machine.accel}, {machine.cpus} CPU, {machine.memory_bytes >> 20} MiB"
    for nic in _outlooks(guest, view):
        yield f"NIC {nic.index}: {nic.network or 'no network'}, {nic.model}, {nic.mac}, link {nic.link}"
        yield from (f"  {title:<11} {printable(text)}" for title, text in _nic_words(nic) if text)
        if nic.by_hand:
            yield f"  {'by hand':<11} nothing tells the guest its address; type in it:"
            yield from (f"  {'':<11}   {line}" for line in nic.by_hand)
    if not guest.nics:
        yield "no NIC: it reaches nothing, and nothing reaches it"


def _nic_words(nic: NicOutlook) -> Iterator[tuple[str, str]]:
    how = f" ({nic.how}{_ends(nic.expires_s)})" if nic.how else ""
    yield "address", f"{nic.address}{how}" if nic.address else "none that is known here"
    yield "IPv6", nic.address6
    if nic.address:
        yield "gateway", nic.gateway or "none"
        yield "DNS", " ".join(nic.dns) or "none"
    yield "domain", nic.domain
    yield "search", " ".join(nic.search)
    for place, forward in enumerate(nic.forwards):
        yield "" if place else "forwards", forward
    if nic.callers_seen_as:
        yield "", f"the guest sees callers as {nic.callers_seen_as}, not by their own address"
    path = dict(nic.data_path)
    yield "data path", f"netdev {path.pop('netdev')}"
    yield "", ", ".join(f"{name} {text}" for name, text in path.items())


def _ends(expires_s: int | None) -> str:
    if expires_s is None:
        return ""
    if expires_s == 0:
        return ", for ever"
    left = expires_s - time.time()
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(expires_s))
    return f" until {until}, {duration(left)} left" if left > 0 else f", expired {until}"


# --- a network


def _network_data(bridge: Bridge, view: _View) -> dict[str, object]:
    name = bridge.network
    server, relay = view.known.get(f"dnsmasq/{name}"), view.known.get(f"dhcprelay/{name}")
    is_private = bridge.namespace == f"namespace/{name}"  # an address in there is the server's, and nobody's else
    is_public = f"uplink/{name}" in view.known
    kind = "public" if is_public else "private" if is_private else _kind_of(view.known.get(f"filter/{name}"))
    hosts = [str(one.interface) for one in view.known.values()
             if isinstance(one, Address) and one.link_key == bridge.key and not is_private]  # fmt: skip
    dhcp = isinstance(server, Dnsmasq) and server.first is not None
    return {
        "name": name, "kind": kind, "bridge": bridge.name, "mac": bridge.mac,
        "mtu_bytes": bridge.mtu_bytes, "realm": view.lab.realm.value, "addresses": hosts,
        "dhcp": {"first": str(server.first), "last": str(server.last), "lease_time_s": server.lease_time_s,
                 "server": str(server.address.ip)} if isinstance(server, Dnsmasq) and dhcp else None,
        "dhcp_relay": str(relay.server) if isinstance(relay, DhcpRelay) else None,
        "tftp": str(server.tftp) if isinstance(server, Dnsmasq) and server.tftp else None,
        "bootfile": server.bootfile if isinstance(server, Dnsmasq) else None,
        "dns": {"server": str(server.address.ip), "domain": server.lab}
        if isinstance(server, Dnsmasq) and server.dns else None,
        "reach": _reach_data(kind, view.known.get(f"filter/{name}")),
        "members": _members(name, view),
        "leases": [plain(lease) for lease in all_leases(view.lab.layout, view.known).get(name, {}).values()],
    }  # fmt: skip


def _reach_data(kind: str, rules: Resource | None) -> dict[str, bool]:
    """The kind's row; `outside` is of IPv4.  rules: the network's, if it has some."""
    from qlan.networks.expand import kind_reach  # who shows a guest is spared it

    row = kind_reach(kind)
    by_ipv6 = row.outside and (not isinstance(rules, Filter) or rules.prefix is not None)
    return {"guests": row.guests, "host": row.host, "outside": row.outside, "outside6": by_ipv6,
            "from_host": row.from_host, "from_outside": row.from_outside}  # fmt: skip


def _kind_of(table: Resource | None) -> str:
    if not isinstance(table, Filter) or table.closed:
        return "host-only"
    return "nat" if table.masquerade else "routed"


def _members(network: str, view: _View) -> list[dict[str, object]]:
    return [{"guest": nic.guest, "nic": nic.index, "mac": nic.mac} for nic in view.known.values()
            if isinstance(nic, Nic) and network_of(nic, view.known) == network]  # fmt: skip


def _bare_data(name: str, view: _View) -> dict[str, object] | None:
    """A network without a bridge of ours, known by its NICs; None if no NIC is on it."""
    nics = [one for one in view.known.values() if isinstance(one, Nic) and network_of(one, view.known) == name]
    if not nics or isinstance(nics[0].backend, UserBackend):
        return None
    backend, how = nics[0].backend, "a UDP socket an end, in a namespace of the wire's own; every frame passes"
    if isinstance(backend, HelperBackend):
        how = f"TAPs on bridge {backend.bridge}, which somebody else made; {backend.helper} makes them"
    elif isinstance(backend, TapBackend):
        tap = view.known.get(backend.tap)
        how = f"TAPs of ours on bridge {tap.bridge if isinstance(tap, Tap) else '?'}, which somebody else made"
    elif isinstance(backend, MacvtapBackend):
        one, own = view.known.get(backend.macvtap), f"macvlan/{name}" in view.known
        words = f"mode {one.mode}, on {one.uplink}" if isinstance(one, Macvtap) else ""
        heard = (
            "this machine is there too (host_access)" if own else "this machine and its guests do not hear each other"
        )
        how = f"macvtaps, {words}; {heard}"
    kinds = {WireBackend: "wire", MacvtapBackend: "macvtap"}
    return {"name": name, "kind": kinds.get(type(backend), "bridge"), "how": how,
            "realm": view.lab.realm.value, "members": _members(name, view)}  # fmt: skip


def _bare_lines(data: Mapping[str, object]) -> Iterator[str]:
    yield f"network {painted(str(data['name']), BOLD)}: {data['kind']}, {data['realm']}"
    yield f"  how         {data['how']}"
    yield _members_line(data)


def _members_line(data: Mapping[str, object]) -> str:
    members = data["members"]
    assert isinstance(members, list)
    words = [f"{one['guest']} (NIC {one['nic']})" for one in members]
    return f"  members     {', '.join(words) or 'none'}"


def _network_lines(data: Mapping[str, object]) -> Iterator[str]:
    yield f"network {painted(str(data['name']), BOLD)}: {data['kind']}, {data['realm']}"
    where = "in the lab's own namespace (`qlan exec`)" if data["realm"] == "rootless" else "on this machine"
    where = "in a namespace of its own" if data["kind"] == "private" else where
    yield f"  bridge      {data['bridge']} {where}, {data['mac']}, MTU {data['mtu_bytes']}"
    addresses = data["addresses"]
    yield f"  address     {', '.join(addresses) if isinstance(addresses, list) and addresses else 'none'}"
    dhcp, dns, reach = data["dhcp"], data["dns"], data["reach"]
    if isinstance(dhcp, dict):
        lasts = duration(dhcp["lease_time_s"])
        yield f"  DHCP        {dhcp['first']}-{dhcp['last']}, leases last {lasts}, served by {dhcp['server']}"
    elif data["dhcp_relay"]:
        yield f"  DHCP        by {data['dhcp_relay']}, which is asked through a relay"
    else:
        yield "  DHCP        none"
    if data["tftp"] or data["bootfile"]:
        by = f" by TFTP, from {data['tftp']}" if data["tftp"] else ""
        yield f"  boots       {data['bootfile'] or 'what it asks for'}{by}"
    if isinstance(dns, dict):
        yield f"  DNS         {dns['server']}: guests as NAME and NAME.{dns['domain']}"
    assert isinstance(reach, dict)
    words = {"guests": "each other", "host": "this machine", "outside": "outside"}
    yes = [text for who, text in words.items() if reach[who]]
    rest = (" (IPv4)" if not reach["outside6"] else "") if reach["outside"] else ", and nothing else"
    yield f"  guests      reach {' and '.join(yes)}{rest}"
    yield _members_line(data)


def _print_leases(bridge: Bridge, view: _View) -> None:
    leases = all_leases(view.lab.layout, view.known).get(bridge.network, {})
    guests = {nic.mac: nic.guest for nic in view.known.values() if isinstance(nic, Nic)}
    rows = [(str(lease.address), lease.mac, guests.get(lease.mac, "-"), lease.name, _ends(lease.expires_s).strip(", "))
            for lease in leases.values()]  # fmt: skip
    if rows:
        table.show(("LEASE", "MAC", "GUEST", "CALLS ITSELF", "ENDS"), rows)
