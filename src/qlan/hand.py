"""NICs for a QEMU that somebody starts by hand: which number, which MAC, and the words for its command line.

A NIC on a lab's network has a number; its MAC follows from lab, network and number, and is the same the next time.  A
number is free when no such TAP is there and nobody was given it within the last minute (and may be about to use it).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qlan.errors import HostError, UsageError
from qlan.host import files, link, user
from qlan.host.bridge_helper import NAME as HELPER
from qlan.host.bridge_helper import mark_of, namespace_of, tap_name
from qlan.host.namespace import inside
from qlan.lab import Lab
from qlan.names import derived_mac
from qlan.realm import Realm
from qlan.render import hand
from qlan.render.user_netdev import render
from qlan.resources.model import Bridge, PortForward, UserBackend
from qlan.topology.model import Nic
from qlan.values import defaults

_GIVEN_S = 60.0
_TOLD = frozenset({"network", "user", "model", "mac", "forwards", "mark", "marks"})  # all that QEMU's words can say
_WORDS = {"link_up": "link", "mtu_bytes": "mtu"}


def words(lab: Lab | None, nics: Sequence[Nic], *, short: bool) -> list[str]:
    """The words for these NICs, in order.  lab: the one that is up, None: no NIC is on a network.

    UsageError for what only a guest of the file can have; HostError if the lab's network is not there.
    """
    if not nics:
        return ["-nic", "none"]
    found: list[str] = []
    for index, nic in enumerate(nics):
        _check(nic)
        found += _on_network(lab, nic, short) if nic.network else _user(nic, index, short)
    return found


def _check(nic: Nic) -> None:
    for name, default in defaults(Nic):
        if name not in _TOLD and getattr(nic, name) != default:
            raise UsageError(f"`{_WORDS.get(name, name)}` is for guests that qlan starts",
                             hint="write it in the file, under `nics:`")  # fmt: skip
    seen = set()
    for one in nic.forwards:
        if (key := (one.protocol, one.host_address, one.host_port)) in seen:
            raise UsageError(f"{one.protocol} port {one.host_port} is forwarded twice", hint="keep one of them")
        seen.add(key)


def _user(nic: Nic, index: int, short: bool) -> list[str]:
    assert nic.user is not None
    if nic.user.backend == "passt":
        raise UsageError("passt is started for guests that qlan starts", hint="leave `backend` out: slirp")
    if any(forward.host_port is None for forward in nic.forwards):
        raise UsageError("`auto` ports are picked for guests that qlan starts", hint="name the port: -p 2222:22")
    user_network = UserBackend.of(nic.user, backend="slirp")
    forwards = [
        PortForward("", index, one.protocol, one.host_address, one.host_port or 0, one.guest_address, one.guest_port)
        for one in nic.forwards
    ]
    value = render("", user_network, forwards)
    return hand.words(value, model=nic.model, mac=nic.mac, name=f"user{index}", short=short)


def _on_network(lab: Lab | None, nic: Nic, short: bool) -> list[str]:
    assert lab is not None and nic.network is not None
    bridge = _bridge(lab, nic.network)
    if lab.realm is Realm.HOST:
        mac = nic.mac or derived_mac(user.seed(os.geteuid()), lab.name, "hand", nic.network, str(os.getpid()))
        return hand.words(str(hand.bridge(bridge.name, None)), model=nic.model, mac=mac, name=_id(mac), short=short)
    number = _take_number(lab, nic.network)
    mac = nic.mac or derived_mac(user.seed(os.geteuid()), lab.name, "hand", nic.network, str(number))
    backend = hand.bridge(f"{lab.name}/{nic.network}/{number}", _helper())
    return hand.words(str(backend), model=nic.model, mac=mac, name=_id(mac), short=short)


def _id(mac: str) -> str:
    return "hand" + mac.replace(":", "")


def _bridge(lab: Lab, network: str) -> Bridge:
    record = lab.record
    bridge = record.wanted.get(f"bridge/{network}") if record else None
    if not isinstance(bridge, Bridge):
        if network in lab.networks:
            raise UsageError(f"network `{network}` of lab `{lab.name}` is no bridge of ours",
                             hint=f"`qlan show {network}` says what it is")  # fmt: skip
        known = ", ".join(lab.networks) or "none"
        what = f"lab `{lab.name}` has no network `{network}`" if record else f"lab `{lab.name}` is not up"
        raise UsageError(what, hint=f"its networks: {known}" if record else "qlan up")
    return bridge


def _take_number(lab: Lab, network: str) -> int:
    """The lowest free number on a network; it is ours for a minute, and then as long as its TAP is there."""
    path = lab.layout.run / "hand.json"
    with lab.locked():
        links = {row["ifname"] for row in link.rows(inside(lab.layout, namespace_of(lab.layout, network)))}
        now = time.time()
        given = {mark: at for mark, at in (files.read_json(path) or {}).items() if now - at < _GIVEN_S}
        number = 1
        while tap_name(network, number) in links or mark_of(network, number) in given:
            number += 1
        files.write(path, json.dumps(given | {mark_of(network, number): now}))
    return number


def _helper() -> str:
    """The installed helper's path; QEMU hands one with blanks to a shell, and the shell that calls us splits words."""
    for folder in (Path(sys.argv[0]).absolute().parent, Path(sys.executable).parent):
        path = folder / HELPER
        if path.exists():
            if any(letter in str(path) for letter in " \t,'\"$"):
                raise HostError("the path of qlan's bridge helper has letters that QEMU or a shell takes apart",
                                where=str(path), hint="install qlan in a folder without them")  # fmt: skip
            return str(path)
    raise HostError(f"{HELPER} is not installed beside qlan", hint="pip install qlan again: it brings the helper")
