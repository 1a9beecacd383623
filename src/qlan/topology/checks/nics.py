"""What NICs are plugged into, their models and MACs."""

from __future__ import annotations

from collections.abc import Iterator

from qlan import names
from qlan.facts.machine import Facts
from qlan.names import MODEL_ALIASES, device_name
from qlan.problems import Problem
from qlan.topology.addressing import nic_mac, realm_of
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import Network, Nic, Realm, Topology, mark_of
from qlan.topology.reader import HINTS_MAX, known_hint
from qlan.topology.scalars import MTU_MAX, MTU_MIN, quoted

USER_MTU = 1500  # slirp's own (IF_MTU_DEFAULT in libslirp)


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells, but for MACs."""
    known = {network.name: network for network in topology.networks}
    hints = 0
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        if nic.found is not None:
            continue
        if (nic.network is None) == (nic.user is None):
            yield Problem(nic.mark, f"{title} needs either a network or `user`", "write one of them")
        elif nic.network is not None and nic.network not in known:
            what = f"{title}: there is no network {quoted(nic.network)}"
            hints += 1
            guess = known_hint(nic.network, known) if hints <= HINTS_MAX else ""
            hint = guess or f"add it under `networks:`, like `{nic.network}: private`"
            yield Problem(mark_of(nic, "network"), what, hint)
        if nic.user is not None and nic.address is not None:
            what = f"{title}: `address` is for networks; this NIC has user-mode networking"
            yield Problem(mark_of(nic, "address"), what, f"write `user: {{dhcp_start: {nic.address}}}`")
        yield from _check_mtu(nic, title, known.get(nic.network or ""))
        yield from _check_vhost(nic, title, known.get(nic.network or ""))


def check_vhost(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether this machine has what a NIC insists on."""
    others = [
        one.name for one in topology.networks if one.kind == "bridge" and realm_of(topology, facts) is Realm.ROOTLESS
    ]
    for guest, index, nic in nics(topology):
        if nic.vhost and nic.network in others:
            what = f"{of_nic(guest, index)}: `vhost` is not possible through QEMU's bridge helper"
            yield Problem(mark_of(nic, "vhost"), what, "leave it out, or as root: sudo qlan up")
        elif nic.vhost and facts.no_vhost:
            what = f"{of_nic(guest, index)}: `vhost` is not possible: {facts.no_vhost}"
            hint = "`sudo modprobe vhost_net`; an ordinary user must be allowed to open it; or leave `vhost:` out"
            yield Problem(mark_of(nic, "vhost"), what, hint)


def check_macs(topology: Topology, seed: str | None) -> Iterator[Problem]:
    """Each MAC usable and nobody else's in the lab.  seed: None: derived ones are not known yet."""
    owners: dict[str, str] = {}
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        if nic.found is not None:
            continue  # on a network of its user's
        if nic.mac is not None:
            fault = _mac_fault(nic.mac)
            if fault:
                yield Problem(mark_of(nic, "mac"), f"`mac` of {title}: {fault}")
                continue
        elif seed is None:
            continue
        mac = nic.mac or nic_mac(topology, guest.name, index, seed or "")
        own = {one.mac: place for place, one in enumerate(guest.nics) if one.found is not None}
        other = of_nic(guest, own[mac]) if mac in own else owners.get(mac)
        if other:
            what = f"{title} and {other} have one MAC: {mac}"
            yield Problem(mark_of(nic, "mac"), what, "leave `mac:` out, and each gets its own")
        owners.setdefault(mac, title)


def check_models(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether the QEMU of this machine has the models."""
    for guest, index, nic in nics(topology):
        qemu = facts.qemu.get(guest.arch or facts.arch)
        if nic.found or qemu is None or not qemu.models or device_name(nic.model) in qemu.models:
            continue
        what = f"{of_nic(guest, index)}: {_binary(qemu.binary)} has no model {quoted(nic.model)}"
        usual = [alias for alias, model in MODEL_ALIASES.items() if model in qemu.models]
        guess = names.nearest(nic.model, [*usual, *qemu.models])
        hint = f"did you mean `{guess}`?" if guess else "`qlan models` lists what there is"
        yield Problem(mark_of(nic, "model"), what, hint)


def _binary(path: str) -> str:
    return path.rpartition("/")[2]


def _check_mtu(nic: Nic, title: str, network: Network | None) -> Iterator[Problem]:
    mtu = nic.mtu_bytes
    if mtu is None:
        return
    mark = mark_of(nic, "mtu")
    if not MTU_MIN <= mtu <= MTU_MAX:
        yield Problem(mark, f"`mtu` of {title}: {mtu} is not from {MTU_MIN} to {MTU_MAX}")
    elif nic.user is not None and nic.user.backend == "slirp" and mtu > USER_MTU:
        yield Problem(mark, f"{title}: user-mode networking carries {USER_MTU} bytes, not {mtu}", "leave `mtu:` out")
    elif network is not None and mtu > (network.mtu_bytes or 1500):
        what = f"{title}: an MTU of {mtu} is more than the {network.mtu_bytes or 1500} of {of_network(network)}"
        yield Problem(mark, what, f"write `mtu: {mtu}` at the network")


def _check_vhost(nic: Nic, title: str, network: Network | None) -> Iterator[Problem]:
    if not nic.vhost:
        return
    if not device_name(nic.model).startswith("virtio-net"):
        yield Problem(mark_of(nic, "vhost"), f"{title}: `vhost` is for virtio models, not for {nic.model}",
                      "leave one of them out")  # fmt: skip
    elif nic.user is not None or (network is not None and network.kind == "wire"):
        what = f"{title}: `vhost` is for NICs that are a TAP or a macvtap on this machine"
        yield Problem(mark_of(nic, "vhost"), what, "leave it out")


def _mac_fault(mac: str) -> str:
    try:
        usual = names.parse_mac(mac)
    except ValueError as error:
        return str(error)
    return "" if usual == mac else f"{quoted(mac)} is not in the usual spelling {usual}"
