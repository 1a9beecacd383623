"""Which guests have a driver for a NIC model without anything installed.

Linux: the drivers of its kernel (virtio_net, e1000, e1000e, 8139cp, pcnet32, ne2k-pci, ne, e100, tulip, vmxnet3, igb,
rocker, cdc_ether).  Windows and others: the manuals of VirtualBox ("Virtual networking hardware") and VMware for the
same chips.  A model that is not here is not known, which is not "none".
"""

from __future__ import annotations

_I8255X = "Linux, *BSD, Windows 2000 and XP"

DRIVERS: dict[str, str] = {
    "virtio-net-pci": "Linux, *BSD; Windows with the virtio-win drivers",
    "virtio-net-pci-transitional": "Linux, *BSD; Windows with the virtio-win drivers",
    "virtio-net-pci-non-transitional": "Linux 4.0 and later; Windows with the virtio-win drivers",
    "virtio-net-device": "Linux (virtio-mmio: microvm, virt)",
    "virtio-net-ccw": "Linux on s390x",
    "e1000": "Linux, *BSD, Windows Vista and later",
    "e1000-82544gc": "Linux, *BSD",
    "e1000-82545em": "Linux, *BSD, Windows Server 2003 and later",
    "e1000e": "Linux, FreeBSD, Windows 8 and later",
    "igb": "Linux, FreeBSD",
    "rtl8139": "Linux, *BSD, Windows 2000 and XP",
    "pcnet": "Linux, *BSD, Windows 2000 and XP",
    "ne2k_pci": "Linux, *BSD, Windows 98 to XP, DOS (packet drivers)",
    "ne2k_isa": "Linux, DOS (packet drivers), Windows 95",
    "tulip": "Linux, *BSD",
    "vmxnet3": "Linux 2.6.32 and later, FreeBSD; Windows with VMware Tools",
    "usb-net": "Linux",
    "rocker": "Linux (switchdev)",
    "spapr-vlan": "Linux on POWER",
    "sunhme": "Linux and Solaris on SPARC",
    **dict.fromkeys(
        ("i82550", "i82551", "i82557a", "i82557b", "i82557c", "i82558a", "i82558b", "i82559a", "i82559b", "i82559c",
         "i82559er", "i82562", "i82801"), _I8255X,
    ),
}  # fmt: skip
