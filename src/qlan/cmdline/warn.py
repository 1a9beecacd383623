"""What QEMU takes but its user probably did not mean.  Each warning has a stable code; docs list them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from qlan.cmdline.check import backend_name, fault_at
from qlan.cmdline.forwards import HostForward, render_host_forward
from qlan.cmdline.model import Clause, Fault, Kind, Other, Reading
from qlan.cmdline.schema import Rules
from qlan.cmdline.tokens import Setting, Spelling
from qlan.cmdline.usermode import UserMode
from qlan.cmdline.values import is_multicast_mac
from qlan.cmdline.wiring import Card, Plug, Wiring
from qlan.facts.machine import Facts

SHARED = frozenset({"tap", "bridge", "socket", "stream", "dgram", "l2tpv3", "vde", "vhost-user", "netmap", "af-xdp"})
_EMULATED = re.compile(r"e1000|rtl8139|ne2k|pcnet|i82|tulip|vmxnet3|igb", re.ASCII)
_PORTS = re.compile(r"[^:]*:[^:]*:([^-]*)-[^:]*:(.*)", re.DOTALL)
_DIGITS = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+", re.ASCII)


# Of a helper ("": QEMU's own) and a bridge: why this machine's would not open it, and what to do; None if it would.
HelperRefusal = Callable[[str, str], tuple[str, str] | None]


def warnings_of(
    reading: Reading,
    wiring: Wiring,
    rules: Rules,
    modes: Mapping[str, UserMode],
    facts: Facts | None = None,
    refusal: HelperRefusal | None = None,
) -> Iterator[Fault]:
    """All warnings, in no particular order."""
    yield from _addresses(wiring)
    yield from _loose_ends(wiring)
    yield from _models(reading, wiring, rules)
    yield from _old_words(reading)
    yield from _missing_dashes(reading)
    for plug in wiring.plugs:
        if plug.clause is not None:
            yield from _taps(plug, plug.clause, facts)
            yield from _helpers(plug, plug.clause, facts, refusal)
            if plug.id in modes and wiring.plug(plug.id) is plug:
                yield from _forwards(plug.clause, modes[plug.id], facts)
    yield from _unknown_globals(reading, rules)


def _warning(clause: Clause, code: str, what: str, hint: str = "", setting: Setting | None = None) -> Fault:
    found = fault_at(clause, setting, what, hint)
    return Fault(found.offset, what, hint, code=code)


def _addresses(wiring: Wiring) -> Iterator[Fault]:
    seen: dict[str, Card] = {}
    for card in wiring.cards:
        if card.clause is None:
            continue
        shared = sorted({plug.type for plug in wiring.reached(card)} & SHARED)
        if shared and not card.own_mac:
            what = (
                f"{card.name} has QEMU's own address {card.mac}: another guest without mac= on this network has it too"
            )
            yield _warning(card.clause, "default-mac", what, "mac=52:54:00:XX:XX:XX, different in each guest")
        if card.mac in seen:
            what = f"{card.name} and {seen[card.mac].name} have the same address {card.mac}"
            yield _warning(card.clause, "same-mac", what, "an address of its own for each NIC")
        if card.own_mac and is_multicast_mac(card.mac):
            yield _warning(card.clause, "multicast-mac", f"{card.mac} is a multicast address", "an even first byte")
        seen[card.mac] = card


def _loose_ends(wiring: Wiring) -> Iterator[Fault]:
    used = {plug.id for card in wiring.cards for plug in wiring.reached(card)} | {card.netdev for card in wiring.cards}
    used |= {str(plug.clause.value("netdev")) for plug in wiring.plugs if plug.clause and plug.type == "hubport"}
    for plug in wiring.plugs:
        if plug.clause and plug.id not in used:
            hint = f"-device virtio-net-pci,netdev={plug.id}" if plug.clause.kind is Kind.NETDEV else "-net nic"
            yield _warning(plug.clause, "no-nic", f"no NIC is plugged into {plug.id}", hint)
    for card in wiring.cards:
        if card.clause and not card.netdev and not wiring.reached(card):
            yield _warning(card.clause, "no-netdev", f"{card.name} is plugged into nothing", "netdev=ID")


def _models(reading: Reading, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    for card in wiring.cards:
        if card.clause is None:
            continue
        if _EMULATED.match(card.model):
            key = "model=virtio" if card.clause.kind is not Kind.DEVICE else "virtio-net-pci"
            what = f"{card.name} is an emulated {card.model}: virtio is faster where the guest has its driver"
            yield _warning(card.clause, "slow-model", what, key)
        known = rules.models | {"virtio", "ne2k_isa", "virtio-net-pci", ""}
        if card.clause.kind is not Kind.DEVICE and card.model not in known and _is_pc(reading):
            what = f"QEMU makes no NIC of model {card.model} for {card.clause.flag.text}, and only warns"
            yield _warning(card.clause, "no-such-model", what, card.clause.kind)


def _is_pc(reading: Reading) -> bool:
    program = reading.line.program.text if reading.line.program else "x86_64"
    machine = (reading.line.option("machine", "M") or "pc").split(",")[0]
    return program.endswith(("x86_64", "i386", "kvm", "qemu")) and machine.startswith(("pc", "q35"))


def _old_words(reading: Reading) -> Iterator[Fault]:
    net = reading.line.of_kind(Kind.NET)
    if any(backend_name(clause) != "none" for clause in net):
        yield _warning(net[0], "old-net", "-net is out of date: all of its NICs and networks share one hub", "-nic")
    for clause in reading.line.clauses:
        for setting in clause.settings:
            if setting.spelling in (Spelling.ON, Spelling.OFF) and setting.key not in ("help", "?"):
                what = f"a bare {'no' if setting.spelling is Spelling.OFF else ''}{setting.key} is out of date"
                yield _warning(clause, "bare-boolean", what, f"{setting.key}={setting.value}", setting)


def _missing_dashes(reading: Reading) -> Iterator[Fault]:
    for part in reading.line.parts:
        if isinstance(part, Other) and not part.name and part.words[0].text in list(Kind):
            word = part.words[0]
            what = f"{word.text!r} is taken for a disk image: its dash is missing"
            yield Fault(word.start, what, f"-{word.text}", code="missing-dash")


def _taps(plug: Plug, clause: Clause, facts: Facts | None) -> Iterator[Fault]:
    own = not any(clause.value(key) is not None for key in ("fd", "fds", "helper"))
    if plug.type == "tap" and own:
        script = clause.value("script")
        if script in ("no", ""):
            name = clause.value("ifname") or "the TAP"
            what = f"script={script}: nobody puts {name} into a bridge or gives it an address"
            yield _warning(clause, "tap-alone", what, "ip link set TAP master BRIDGE", clause.setting("script"))
        elif script is None:
            yield _warning(
                clause, "tap-script", "/etc/qemu-ifup is run, as root or in vain", "script=no, or -nic bridge"
            )
        if facts is not None and facts.uid != 0 and clause.value("ifname") is None:
            yield _warning(clause, "tap-root", "making a TAP needs root", "-nic bridge, or a TAP made beforehand")


def _helpers(plug: Plug, clause: Clause, facts: Facts | None, refusal: HelperRefusal | None) -> Iterator[Fault]:
    """qemu-bridge-helper: setuid root, or run by root, and its ACL must name the bridge."""
    if plug.type != "bridge" and not (plug.type == "tap" and clause.value("helper") is not None):
        return
    bridge = clause.value("br") or "br0"
    if refusal is None:
        what = f"the bridge helper must be setuid root, and /etc/qemu/bridge.conf must allow {bridge}"
        if facts is None or facts.uid != 0:
            yield _warning(clause, "helper", what, f"allow {bridge}")
    elif found := refusal(clause.value("helper") or "", bridge):
        yield _warning(clause, "helper-denied", *found)


def _forwards(clause: Clause, mode: UserMode, facts: Facts | None) -> Iterator[Fault]:
    rules = [setting for setting in clause.settings if setting.key == "hostfwd"]
    for setting, forward in zip(rules, mode.forwards, strict=True):
        yield from _forward(clause, setting, forward, facts)
    if mode.restrict and mode.forwards:
        yield _warning(clause, "restrict-forward", "restrict=on does not close the forwards", setting=rules[0])
    for setting in clause.settings:
        if setting.key == "guestfwd" and "-cmd:" in setting.value:
            yield _warning(clause, "guest-command", "the guest can start a program on this machine", setting=setting)


def _forward(clause: Clause, setting: Setting, forward: HostForward, facts: Facts | None) -> Iterator[Fault]:
    port, text = forward.host_port, setting.value
    if not forward.path and (forward.host_address is None or forward.host_address == IPv4Address(0)):
        what = f"hostfwd={text}: port {port} is open to everybody who reaches this machine"
        hint = render_host_forward(
            HostForward(forward.protocol, IPv4Address("127.0.0.1"), port, forward.guest_address, forward.guest_port)
        )
        yield _warning(clause, "open-forward", what, hint, setting)
    ports = _PORTS.fullmatch(text)
    if not forward.path and ports and not (_DIGITS.fullmatch(ports[1]) and _DIGITS.fullmatch(ports[2])):
        what = f"hostfwd={text}: what follows the port is passed over"
        yield _warning(clause, "stray-text", what, render_host_forward(forward), setting)
    if facts is None or forward.path:
        return
    if 0 < port < facts.free_port_floor and facts.uid != 0:
        yield _warning(clause, "low-port", f"only root may listen on port {port}", "a port above 1023", setting)
    for used in facts.used_ports:
        if (used.protocol, used.port) == (forward.protocol, port) and _meet(used.address, forward.host_address):
            what = f"port {port} is taken by {used.owner or 'another program'}"
            yield _warning(clause, "port-taken", what, "another port", setting)


def _meet(one: IPv4Address | IPv6Address, other: IPv4Address | None) -> bool:
    """QEMU forwards IPv4 alone; a socket of IPv6 that listens there, too, is told with both."""
    everywhere = IPv4Address(0)
    return one.version == 4 and (one in (everywhere, other) or other in (None, everywhere))


def _unknown_globals(reading: Reading, rules: Rules) -> Iterator[Fault]:
    for clause in reading.line.of_kind(Kind.GLOBAL):
        driver = clause.settings[0].key.partition(".")[0] if clause.settings else ""
        device = rules.device(driver)
        if device and device.alias == driver:
            what = f"-global does not know the alias {driver}: nothing is set"
            yield _warning(clause, "alias-global", what, device.name)
