"""Booting from the network: who serves what, and cards that can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from qlan.facts.machine import Facts
from qlan.names import device_name
from qlan.problems import Problem
from qlan.topology.checks.titles import nics, of_guest, of_network, of_nic
from qlan.topology.model import Network, Topology, mark_of
from qlan.topology.scalars import Unreadable, parse_bootfile, quoted

# QEMU's cards that have a ROM to boot from on a PC (`romfile` of their classes in QEMU's hw/net).
_WITH_ROM = ("virtio-net-pci", "e1000", "rtl8139", "i82", "ne2k_pci", "pcnet", "vmxnet3")


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    for network in topology.networks:
        yield from _check_network(network)
    for guest in topology.guests:
        for index, nic in enumerate(guest.nics):
            if nic.boot and guest.kernel:
                what = f"{of_nic(guest, index)}: `boot: network`, and {of_guest(guest)} boots the kernel of the file"
                yield Problem(mark_of(nic, "boot"), what, "leave one of them out")


def check_here(topology: Topology, facts: Facts, exists: Callable[[Path], bool]) -> Iterator[Problem]:
    """Files that are missing or that the server may not read; cards without a ROM."""
    for network in topology.networks:
        if network.tftp is None:
            continue
        title, mark = of_network(network), mark_of(network, "tftp")
        file = network.tftp / network.bootfile.lstrip("/") if network.bootfile and not _is_url(network) else None
        if not exists(network.tftp):
            yield Problem(mark, f"{title}: there is no folder {quoted(str(network.tftp))} for `tftp`")
        elif network.name in facts.tftp_faults:  # before its files: we may not see them for the same reason
            what, hint = facts.tftp_faults[network.name]
            yield Problem(mark, f"{title}: {what}", hint)
        elif file and not exists(file):
            what = f"{title}: there is no {quoted(str(network.bootfile))} in {quoted(str(network.tftp))}"
            yield Problem(mark_of(network, "bootfile"), what, "name a file of that folder, as guests fetch it")
    for guest, index, nic in nics(topology):
        arch = guest.arch or facts.arch
        model = device_name(nic.model)
        if nic.boot and arch in ("x86_64", "i386") and not model.startswith(_WITH_ROM):
            what = f"{of_nic(guest, index)}: `boot: network`, and {quoted(nic.model)} has no ROM to boot from"
            yield Problem(mark_of(nic, "boot"), what, "use `model: virtio`, or e1000")


def _check_network(network: Network) -> Iterator[Problem]:
    title = of_network(network)
    said = [key for key in ("tftp", "bootfile") if getattr(network, key) is not None]
    if said and network.dhcp is None:
        what = f"{title}: `{said[0]}` without DHCP: nobody tells guests where to boot from"
        yield Problem(mark_of(network, said[0]), what, "write `dhcp: true`, or leave it out")
    if network.bootfile is None:
        return
    mark = mark_of(network, "bootfile")
    try:
        parse_bootfile(network.bootfile)
    except Unreadable as error:  # of a topology made in Python: the reader has refused it already
        yield Problem(mark, f"`bootfile` of {title}: {error.what}", error.hint)
    if network.tftp is None and not _is_url(network):
        what = f"{title}: `bootfile: {network.bootfile}` without `tftp`: nobody serves it"
        yield Problem(mark, what, "write `tftp: FOLDER`, or a URL like http://10.10.10.1/boot.ipxe (for iPXE)")


def _is_url(network: Network) -> bool:
    return "://" in (network.bootfile or "")
