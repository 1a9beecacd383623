"""QEMU command lines, alone or in a shell script with the commands around them, as a lab.

Variables that the script itself sets are put in; loops and conditions are not followed.  A command that stands in a
comment (`# ip link set tap0 master br0`) is taken as one that root must type: tutorials write root's prompt so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qlan import cmdline
from qlan.cmdline import Kind, Rules
from qlan.cmdline.parse import find_program
from qlan.cmdline.shell import BadShell, Command, Word, has_variable, quote_word, split_shell
from qlan.errors import UsageError
from qlan.interop.imported import HEAD, Imported, Notes, Source, our_name
from qlan.interop.qemu.host import HostSide, read_command
from qlan.interop.qemu.machine import Parts, read_machine
from qlan.interop.qemu.nics import Context, read_nics
from qlan.interop.shared import Shared, place_of
from qlan.topology.model import Guest, Ipv6, Network, Nic, Topology
from qlan.values import replace

_TYPED = re.compile(
    r"^[ \t]*#[ \t]+(?:sudo[ \t]+)?((?:ip|bridge|tc|iptables|sysctl|brctl|tunctl|dnsmasq)[ \t].*)$", re.MULTILINE
)
_MASKS = re.compile(r"\b(?:MASQUERADE|masquerade|SNAT|snat)\b")
_WAY_OUT = re.compile(r"(?:\s-o|oifname)\s+\"?([\w.-]+)")
_SOURCE = re.compile(r"(?:\s-s|--source|saddr)\s+([0-9./]+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")
_USB = "qemu-xhci,id=xhci"  # render/qemu.py
_NOTHING = ("-boot", "menu=off")  # QEMU's own default, said


def import_sources(sources: Sequence[Source]) -> Imported:
    """The lab of all command lines of all texts.  UsageError if there is no QEMU in them."""
    notes, host, rules = Notes(), HostSide(), cmdline.rules()
    lines: list[cmdline.Reading] = []
    for source in sources:
        lines += _readings(source, host, rules)
    if not lines:
        raise UsageError("there is no command in it that starts QEMU", where=", ".join(one.name for one in sources),
                         hint="a QEMU command line starts with qemu-system-...")  # fmt: skip
    shared = Shared(notes)
    for bridge in dict.fromkeys([*host.bridges, *_addressed(host)]):
        _known_network(bridge, host, shared)
    guests: list[Guest] = []
    for reading in lines:
        guests.append(_guest(reading, [guest.name for guest in guests], host, shared, notes))
    _say_rest(host, shared, notes)
    domains = [server.domain for server in host.servers if server.domain]
    stem = guests[0].name if "\0" in sources[0].text else sources[0].name.rpartition("/")[2].partition(".")[0]
    lab = our_name("lab", domains[0] if domains else stem)
    names = ", ".join(source.name for source in sources)
    return Imported(Topology(lab, shared.joined(guests), tuple(guests)), notes, names)


def _readings(source: Source, host: HostSide, rules: Rules) -> list[cmdline.Reading]:
    """The QEMU commands of a text; the others go to the host's side."""
    if "\0" in source.text:  # /proc/PID/cmdline
        argv = source.text.rstrip("\0").split("\0")
        reading = cmdline.read(argv, rules)
        return [reading] if reading.line.program or argv[0].startswith("-") else []
    found = []
    values: dict[str, str] = {}
    try:
        for match in _TYPED.finditer(source.text):
            for command in split_shell(match[1]):
                read_command([word.text for word in command.words], host)
        commands = split_shell(source.text)
    except BadShell as error:
        line = source.text.count("\n", 0, error.offset) + 1
        raise UsageError(str(error), where=f"{source.name}:{line}") from error
    for command in commands:
        words = _filled(command, values)
        if not words:
            continue
        if find_program(tuple(words)) is not None:
            found.append(cmdline.read(" ".join(map(quote_word, words)), rules))
        else:
            into = " ".join(word.text for word in command.after)
            read_command([word.text for word in words], host, into=into)
    return found


def _filled(command: Command, values: dict[str, str]) -> list[Word]:
    """The command's words with the variables that are known put in; assignments alone are remembered."""
    for word in command.before:
        name, _, value = word.text.partition("=")
        values[name] = _substituted(value, values)
    found: list[Word] = []
    for word in command.words:
        if not word.expands:
            found.append(Word(word.text))
            continue
        text = _substituted(word.text, values)
        pieces = text.split() if word.text == word.source else [text]
        found += [Word(piece, expands=has_variable(piece)) for piece in pieces]
    return found


def _substituted(text: str, values: dict[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}`; what is not known stays as it is."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[3], match[2] or match[0]), text)


def _addressed(host: HostSide) -> list[str]:
    """Links with an address that guests' TAPs are or are plugged into."""
    ports = {*host.masters.values(), *host.taps}
    return [link for space, link in host.addresses if not space and link in ports]


def _known_network(bridge: str, host: HostSide, shared: Shared) -> None:
    """A network of which the script itself says what it is."""
    name = our_name("network", bridge.removeprefix("br-"), {one.name for one in shared.all})
    own = host.addresses.get(("", bridge))
    server, apart = host.server_of(bridge)
    interface = own or apart
    network = _optioned(Network(name, "host-only" if own else "private"), bridge, host)
    if interface and interface.network.prefixlen <= 30:
        network = replace(network, subnet=interface.network, address=interface.ip)
    interface6 = host.addresses6.get(("", bridge))
    if own and interface6 and interface6.network.prefixlen == 64:
        network = replace(network, ipv6=Ipv6(interface6.network, interface6.ip, slaac=False, dhcp=False))
    if server:
        network = server.serve(network, interface)
    elif own:
        network = replace(network, dns=False)
    network = _leading_outside(network, bridge, host, shared)
    shared.put("bridge", bridge, network)
    for text in server.unsaid if server else ():
        shared.notes.add(place_of(network), f"dnsmasq {text} is not carried over")


def _optioned(network: Network, bridge: str, host: HostSide) -> Network:
    """With the bridge's own options; the kernel's default of snooping needs a querier that nobody is."""
    options = host.options.get(bridge, {})
    filters = options.get("vlan_filtering") == "1"
    own_vlan = host.untagged.get(bridge, 1)
    return replace(
        network,
        mtu_bytes=host.mtus.get(bridge),
        bridge_name=bridge if bridge not in (network.name, f"br-{network.name}") else None,
        stp=options.get("stp_state") == "1",
        multicast_snooping=options.get("mcast_snooping") == "1" and options.get("mcast_querier") == "1",
        vlan_filtering=filters,
        vlan=own_vlan if filters and own_vlan != 1 else None,
    )


def _leading_outside(network: Network, bridge: str, host: HostSide, shared: Shared) -> Network:
    """public where a NIC of the machine is on the bridge; nat or routed where the script makes the machine forward."""
    place = place_of(network)
    nics = [port for port, master in host.masters.items() if master == bridge and host.is_nic(port)]
    if nics:
        for port in nics[1:]:
            shared.notes.add(place, f"{port} is on the bridge too: a public network has one uplink")
        for address in filter(None, (network.address, host.addresses6.get(("", bridge)))):
            shared.notes.add(place, f"{address} was the bridge's: it keeps the addresses that {nics[0]} has")
        if network.dhcp:
            shared.notes.add(place, f"DHCP of {network.dhcp.first} to {network.dhcp.last} is not carried over")
        return Network(network.name, "public", uplink=nics[0], stp=network.stp, mtu_bytes=network.mtu_bytes)
    forwarding = [text for text in host.outside if "ip_forward" in text]
    masked = [text for text in host.outside if _MASKS.search(text) and _is_about(text, network)]
    if network.kind != "host-only" or not forwarding:
        return network
    for text in dict.fromkeys([*forwarding, *masked]):
        shared.notes.add(place, f"its kind does this by itself: {text}")
    out = {found[1] for text in masked if (found := _WAY_OUT.search(text))}
    host.done.update(forwarding, masked)
    return replace(network, kind="nat" if masked else "routed", uplink=out.pop() if len(out) == 1 else None)


def _is_about(text: str, network: Network) -> bool:
    """Whether a rule names no subnet, or this one."""
    found = _SOURCE.search(text)
    return found is None or found[1] == str(network.subnet)


def _guest(reading: cmdline.Reading, taken: list[str], host: HostSide, shared: Shared, notes: Notes) -> Guest:
    parts = read_machine(reading.line, notes, cmdline.rules())
    name = our_name("guest", parts.name or _stem(parts), taken)
    place = ("guests", name)
    if parts.name and name != parts.name:
        notes.add(place, f"its name was {parts.name}")
    for fault in reading.faults:
        near = f"; did you mean {fault.nearest}?" if fault.nearest else ""
        notes.add(place, f"QEMU would refuse this: {fault.what}{near}")
    for text in parts.unsaid:
        notes.add(place, text)
    for word in reading.line.tail:
        notes.add(place, f"redirected: {word.text}")
    wiring = cmdline.wire(reading.line, cmdline.rules())
    nics = read_nics(Context(wiring, cmdline.rules(), host, shared, notes, name))
    rest = [*_without_own(parts.rest, nics), *_objects(reading, wiring, notes, name)]
    values = parts.said | {"qemu_args": tuple(rest)}
    return _bootable(Guest(name, tuple(parts.disks), nics=tuple(nics), **values), parts, notes)


def _without_own(words: list[str], nics: Sequence[Nic]) -> list[str]:
    """Without the USB controller that qlan itself adds for a USB NIC: its id would be there twice."""
    own = ["-device", _USB]
    at = next((at for at in range(len(words)) if words[at : at + 2] == own), None)
    if at is None or not any(nic.model == "usb" for nic in nics):
        return words
    return words[:at] + words[at + 2 :]


def _stem(parts: Parts) -> str:
    path = parts.disks[0].path if parts.disks else parts.said.get("kernel")
    return path.name.partition(".")[0] if path else "guest"


def _objects(reading: cmdline.Reading, wiring: cmdline.Wiring, notes: Notes, guest: str) -> list[str]:
    """Filters and globals go to QEMU as they are, with the netdev's new name (qlan calls them net0, net1, ...)."""
    new = {card.netdev: f"net{index}" for index, card in enumerate(wiring.cards) if card.netdev}
    found = []
    for clause in reading.line.of_kind(Kind.OBJECT, Kind.GLOBAL):
        old = clause.value("netdev") if clause.kind is Kind.OBJECT else None
        if old is not None and old not in new:
            notes.add(("guests", guest), f"-object {clause.argument.text}: its netdev has no NIC")
            continue
        text = clause.argument.text.replace(f"netdev={old}", f"netdev={new[old]}") if old else clause.argument.text
        found += [clause.flag.text, text]
    for clause in reading.line.of_kind(Kind.TFTP, Kind.BOOTP, Kind.SMB, Kind.REDIR):
        notes.add(("guests", guest), f"-{clause.kind} {clause.argument.text} is out of date")
    return found


def _bootable(guest: Guest, parts: Parts, notes: Notes) -> Guest:
    """QEMU tries the network last where nothing else is said; qlan wants that in words."""
    nothing = not (guest.disks or guest.kernel or guest.qemu_args or any(nic.boot for nic in guest.nics))
    if guest.nics and (parts.boots_from_network or nothing):
        first: Nic = replace(guest.nics[0], boot=True)
        return replace(guest, nics=(first, *guest.nics[1:]))
    if nothing:
        notes.add(("guests", guest.name), "it has nothing to boot from")
        return replace(guest, qemu_args=_NOTHING)
    return guest


def _say_rest(host: HostSide, shared: Shared, notes: Notes) -> None:
    """The script's other commands."""
    for text in host.outside:
        if text in host.done:
            continue
        notes.add(HEAD, f"not done (a network of `kind: nat` or `routed` does the like): {text}")
    for text in host.others:
        notes.add(HEAD, f"not done: {text}")
    known = {key[1] for key in shared.by_key}
    for (space, link), address in (*host.addresses.items(), *host.addresses6.items()):
        if not space and link not in known:
            notes.add(HEAD, f"not done: address {address} on {link}")
    used = {id(server) for key in shared.by_key if (server := host.server_of(key[1])[0])}
    for server in host.servers:
        if id(server) not in used:
            notes.add(HEAD, f"not done: a dnsmasq on {server.interface or 'every interface'}")
