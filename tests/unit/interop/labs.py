"""Labs for tests of exports and imports, and what two labs must have in common to be the same."""

from __future__ import annotations

from typing import Any

from qlan.interop.settled import Settled, settle
from qlan.topology import addressing, load
from qlan.topology.check import check_written
from qlan.topology.model import Picks, Realm, Topology
from qlan.values import Value, replace
from tests.samples import FACTS

EVERYTHING = """\
lab: shop
networks:
  lan:
    kind: host-only
    subnet: 10.10.10.0/24
    dhcp:
      {range: 10.10.10.2-10.10.10.100, lease: 30m, routes: {10.9.0.0/16: 10.10.10.5}, ntp: 10.10.10.5,
       options: {66: boot.example}}
    dns: {records: {repo.example: 10.10.10.5, db6.example: "fd00::5"}}
  quiet: {kind: host-only, subnet: 10.10.20.0/24, dhcp: no, dns: off, mtu: 1400}
  back: {kind: private, subnet: 10.10.30.0/24, dhcp: true, mtu: 9000}
  wire: private
guests:
  web:
    disk: {path: /images/web.qcow2, format: qcow2}
    memory: 1536M
    cpus: 2
    machine: q35
    display: vnc
    nics:
      - {network: lan, address: 10.10.10.10}
      - {network: back, model: e1000, mac: "52:54:00:12:34:57", boot: network, link: down, mtu: 8000}
  db:
    disks: [{path: "/images/a,b <&> c.img", format: raw, interface: ide, read_only: true}]
    qemu_args: [-device, "virtio-rng-pci", -snapshot]
    nics: [back, {network: quiet, mtu: 1300}, wire]
  box:
    kernel: /boot/vmlinuz
    initrd: /boot/initrd.gz
    append: console=ttyS0 x="a b"
    nics:
      - user: {hostname: box, subnet: 10.0.5.0/24, search: lab.example, ipv6: no}
        forwards: ["2222:22", "udp:127.0.0.1:5353:53", "0.0.0.0:8080:10.0.5.15:80"]
  shut:
    disk: {path: /images/s.img, format: qcow2}
    nics: [{user: {restrict: true}}]
  suspect:
    disk: {path: /images/t.img, format: qcow2}
    nics: none
"""

KINDS = """\
lab: kinds
networks:
  cable: {kind: wire, subnet: 10.10.40.0/30}
  office: {kind: bridge, bridge: br0}
  out: {kind: macvtap, uplink: eth0, mode: vepa}
  home: {kind: nat, subnet: 10.10.50.0/24, uplink: eth1, ipv6: false}
  dmz: {kind: routed, subnet: 10.10.60.0/24, ipv6: false}
  street: {kind: public, uplink: eth2, stp: true}
guests:
  web: {kernel: /boot/vmlinuz, nics: [{network: cable, link: down}, office]}
  db: {kernel: /boot/vmlinuz, nics: [{network: cable, model: e1000}, out]}
  gate: {kernel: /boot/vmlinuz, nics: [home, dmz, street]}
"""


def settled(text: str, file: str = "/lab/qlan.yaml") -> Settled:
    """A lab of the machine of FACTS in the host realm, with nothing left open."""
    topology = replace(load.parse(text, file), realm=Realm.HOST)
    assert list(check_written(topology)) == []
    formats = {str(disk.path): "qcow2" for guest in topology.guests for disk in guest.disks}
    facts = replace(FACTS, disk_formats=formats)
    return settle(topology, addressing.complete(topology, Picks({}, {}, {}), facts), facts)


def data(value: Any) -> Any:
    """Dataclasses as dicts without marks, the realm and the file: what a file means, wherever it came from."""
    if isinstance(value, Value):
        skipped = ("mark", "marks", "source", "realm", "_networks", "_guests", "_written6", "asked", "wide")
        return {name: data(getattr(value, name)) for name in value.__struct_fields__ if name not in skipped}
    return [data(one) for one in value] if isinstance(value, tuple) else value


def differences(one: Topology, other: Topology) -> dict[str, tuple[Any, Any]]:
    """Where two labs differ, by path (`guests.web.nics.0.mtu_bytes`)."""
    found: dict[str, tuple[Any, Any]] = {}
    _compare(data(_effective(one)), data(_effective(other)), "", found)
    return found


def _effective(lab: Topology) -> Topology:
    """Each NIC says itself whether it is isolated, instead of its network."""
    guests = []
    for guest in lab.guests:
        own = [lab.network(nic.network).isolated if nic.network else None for nic in guest.nics]
        nics = [replace(nic, isolated=bool(isolated if nic.isolated is None else nic.isolated))
                for nic, isolated in zip(guest.nics, own, strict=True)]  # fmt: skip
        guests.append(replace(guest, nics=tuple(nics)))
    networks = tuple(replace(network, isolated=False) for network in lab.networks)
    return replace(lab, networks=networks, guests=tuple(guests))


def _compare(one: Any, other: Any, path: str, found: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            _compare(one.get(key), other.get(key), f"{path}.{key}".lstrip("."), found)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            name = left["name"] if isinstance(left, dict) and "name" in left else str(index)
            _compare(left, right, f"{path}.{name}", found)
    elif one != other:
        found[path] = (one, other)
