"""A NIC into its bridge and back, each in one `ip -batch`, with the way back on disk before the first step.

Forth: the bridge gets the IPv4 addresses while the NIC still has them, then the NIC becomes its port, then everything
else follows; only IPv6 addresses and routes are without a home for that moment (well under a millisecond each).
Back: the same, each line such that doing it twice, or after half a way forth, ends the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qlan.facts.manager import NETWORKMANAGER, Manager
from qlan.render import ip, manager
from qlan.render.command import Command, InTurn, Remove, Stop, Sysctl, Write
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import HOST, Bridge, Carried, Uplink
from qlan.values import Value, replace

GUARD = "guard"  # our watchdog's program, in the uplink's folder: it must not need ours while it runs


def create(uplink: Uplink, scene: Scene) -> list[Command]:
    """The way back first, then the watchdog, then forth; `moved` says that all of it was done."""
    folder = scene.layout.uplink(uplink.network)
    watched = [InTurn(_guard("watch", folder))] if uplink.confirm_within_s else []
    return [
        *(Sysctl(HOST, path.replace("%", uplink.bridge), value) for path, value in uplink.carried.settings),
        Write(folder / GUARD, program()),
        *_way_back(uplink, folder),
        Write(folder / "move", _text(forth(uplink))),
        *watched,
        InTurn(("ip", "-batch", str(folder / "move"))),
        *_rules6(uplink, folder),
        *_handed_over(uplink, scene),
        Write(folder / "moved", ""),
    ]


def delete(uplink: Uplink, scene: Scene) -> list[Command]:
    """Back with what the bridge carries now; the watchdog lives until that is done."""
    folder = scene.layout.uplink(uplink.network)
    back = [
        Write(folder / GUARD, program()),
        *_way_back(uplink, folder),
        InTurn(_guard("back", folder)),
    ]
    record, mark = folder / "process", scene.layout.guard_mark(uplink.network)
    moved = uplink.enslaved or uplink.carried.addresses or uplink.manager
    return [*(back if moved else []), Stop(record, f"the watchdog of {uplink.nic}", mark), Remove(folder)]


def create_bridge(bridge: Bridge, scene: Scene) -> list[Command]:
    """A bridge; systemd-networkd is told before, if it has no business yet with this one."""
    made = ip.create_bridge(bridge, scene)
    uplink = scene.resources.get(f"uplink/{bridge.network}")
    if not isinstance(uplink, Uplink) or not (away := manager.kept_away(uplink)):
        return made
    there = Write(scene.layout.uplink(uplink.network) / "resource.json", codec.encode(uplink))
    return [there, *(Write(*one) for one in away), InTurn(manager.reload()), *made]


def program() -> str:
    """The watchdog."""
    return Path(__file__).with_name("uplink_guard").read_text(encoding="utf-8")


def forth(uplink: Uplink) -> Iterator[str]:
    """The lines that move everything from the NIC to the bridge."""
    nic, bridge, carried = uplink.nic, uplink.bridge, uplink.carried
    old, new = _words(carried, nic), _words(carried, bridge)
    if carried.ipv6:
        yield f"link set dev {bridge} addrgenmode none"
    yield from (f"addr add {words}" for words in new.ipv4)
    yield f"link set dev {nic} master {bridge} up"
    yield from (f"rule del {words}" for words in old.rules)
    yield from (f"route del {_lasting(words)}" for words in old.routes)
    yield from (f"route del {words.replace('%', nic)}" for words in carried.prefixes6)
    yield f"addr flush dev {nic}"
    if carried.ipv6:
        yield f"link set dev {nic} addrgenmode none"
        yield from _ipv6("add", new.ipv6)
    yield from (f"route append {words}" for words in new.routes)  # `add` takes one of a prefix and metric
    yield from (f"rule add {words}" for words in new.rules)
    if carried.ipv6 and carried.gen_mode != "none":
        mode = "eui64" if carried.gen_mode == "eui64" else "random"  # the NIC's own secret stays with the NIC
        yield f"link set dev {bridge} addrgenmode {mode}"


def back(uplink: Uplink, *, lasting: bool = False) -> Iterator[str]:
    """The lines that move everything back, whatever of it is back already.

    lasting: but for what the NIC's manager, who has it again, gets by itself.
    """
    nic, bridge, carried = uplink.nic, uplink.bridge, uplink.carried
    old, new = _words(_lasting_of(carried) if lasting else carried, nic), _words(carried, bridge)
    yield from (f"addr replace {words}" for words in old.ipv4)
    yield from (f"rule del {words}" for words in new.rules)
    yield from (f"route del {_lasting(words)}" for words in new.routes)
    yield from (f"route del {words.replace('%', bridge)}" for words in carried.prefixes6)
    yield f"link set dev {nic} nomaster"
    yield f"addr flush dev {bridge}"
    if carried.ipv6:
        yield from _ipv6("replace", old.ipv6)
    yield from (f"route append {words}" for words in old.routes)
    yield from (f"rule add {words}" for words in old.rules)
    if carried.ipv6:
        yield f"link set dev {nic} addrgenmode {carried.gen_mode}"
    if not carried.up:
        yield f"link set dev {nic} down"


def rules6(uplink: Uplink, source: str, target: str) -> Iterator[str]:
    """The same of IPv6 rules, for an `ip -6` of their own: a batch takes a rule's family from nowhere else."""
    rules = uplink.carried.rules6
    yield from (f"rule del {words.replace('%', source)}" for words in rules)
    yield from (f"rule add {words.replace('%', target)}" for words in rules)


class _Words(Value):
    """What is carried, in the words of one interface, the families of addresses apart."""

    ipv4: list[str]
    ipv6: list[str]
    routes: list[str]
    rules: list[str]


def _words(carried: Carried, device: str) -> _Words:
    addresses = [words.replace("%", device) for words in carried.addresses]
    return _Words(
        [words for words in addresses if ":" not in words.split()[0]],
        [words for words in addresses if ":" in words.split()[0]],
        [words.replace("%", device) for words in carried.routes],
        [words.replace("%", device) for words in carried.rules],
    )


def _ipv6(verb: str, addresses: list[str]) -> Iterator[str]:
    """Without duplicate address detection, in which an address is useless for a second: it was ours all the time.

    The second line takes that word off again where it was not there before.
    """
    for words in reversed(addresses):  # the kernel lists the newest first
        yield f"addr {verb} {words}" + ("" if " nodad" in words else " nodad")
        if " nodad" not in words:
            yield f"addr change {words}"


def _lasting_of(carried: Carried) -> Carried:
    """What nobody gave for a time, or made of the link itself."""
    made = (" valid_lft ", " scope link ")
    return replace(
        carried,
        addresses=tuple(words for words in carried.addresses if not any(sign in words for sign in made)),
        routes=tuple(
            words for words in carried.routes if " expires " not in words and not set(words.split()) & {"dhcp", "ra"}
        ),
    )


def _lasting(route: str) -> str:
    """A route to be removed: when it would have ended says nothing about which it is."""
    words = route.split()
    if "expires" in words:
        place = words.index("expires")
        words[place : place + 2] = []
    return " ".join(words)


def _handed_over(uplink: Uplink, scene: Scene) -> list[Command]:
    """To the bridge's profile: who configured the NIC goes on with the bridge."""
    if uplink.manager is None:
        return []
    found = scene.resources.get(f"bridge/{uplink.network}")
    bridge = found if isinstance(found, Bridge) else None
    options = ip.bridge_options(bridge) if bridge else ""
    private = uplink.manager.program == NETWORKMANAGER  # it reads no other; networkd has not the rights to read those
    return [
        *(Write(path, text, private) for path, text in manager.files(uplink.manager, uplink, bridge)),
        *(InTurn(argv) for argv in manager.forth(uplink.manager, uplink, options)),
        *_beside(uplink, scene.layout.uplink(uplink.network)),
    ]


def _beside(uplink: Uplink, folder: Path) -> list[Command]:
    """What somebody put on the NIC beside the profile, once more: the manager takes off what it does not know."""
    words = _words(_lasting_of(uplink.carried), uplink.bridge)
    lines = [
        *(f"addr replace {one}" for one in words.ipv4),
        *_ipv6("replace", words.ipv6),
        *(f"route append {one}" for one in words.routes if " proto kernel " not in one),
        *(f"rule add {one}" for one in words.rules),
    ]
    lines6 = (f"rule add {one.replace('%', uplink.bridge)}" for one in uplink.carried.rules6)
    return [
        Write(folder / "beside", _text(iter(lines))),
        Write(folder / "beside6", _text(lines6)),
        InTurn(_guard("beside", folder)),
    ]


def _way_back(uplink: Uplink, folder: Path) -> list[Command]:
    told = {
        "nic": uplink.nic,
        "bridge": uplink.bridge,
        "within_s": uplink.confirm_within_s,
        "keep": uplink.keep_if_answered,
        "gateways": uplink.carried.gateways,
        "addresses": [words.split()[0] for words in uplink.carried.addresses],
        "manager": _hand_back(uplink.manager, uplink) if uplink.manager else None,
    }
    return [
        Write(folder / "undo", _text(back(uplink))),
        Write(folder / "undo_lasting", _text(back(uplink, lasting=True))),
        Write(folder / "undo6", _text(rules6(uplink, uplink.bridge, uplink.nic))),
        Write(folder / "guard.json", codec.encode(told)),
        Write(folder / "resource.json", codec.encode(uplink)),
    ]


def _hand_back(program: Manager, uplink: Uplink) -> dict[str, object]:
    """handed: the file without which the NIC was never taken from it."""
    first = program.program == NETWORKMANAGER
    there = [str(path) for path in manager.paths(program.program, uplink.nic, uplink.bridge)]
    return {
        "first": first,
        "handed": there[1 if first else 0],
        "remove": there,
        "keep_away": {str(path): text for path, text in manager.kept_away(uplink)},
        "run": manager.back(program, uplink),
    }


def _rules6(uplink: Uplink, folder: Path) -> list[Command]:
    if not uplink.carried.rules6:
        return []
    path = folder / "move6"
    return [Write(path, _text(rules6(uplink, uplink.nic, uplink.bridge))), InTurn(("ip", "-6", "-batch", str(path)))]


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _guard(verb: str, folder: Path) -> tuple[str, ...]:
    return ("python3", "-IS", str(folder / GUARD), verb, str(folder))
