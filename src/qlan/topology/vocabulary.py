"""Every key of the file: what sort of value it takes and what it is for.

The reader knows a key by this table, and the JSON Schema is made of it: a key is added here, and read in its section.
"""

from __future__ import annotations

from dataclasses import dataclass

from qlan.topology.model import KINDS

ACCELS = ("auto", "kvm", "tcg")
DISPLAYS = ("none", "sdl", "gtk", "vnc", "spice")
INTERFACES = ("virtio", "ide", "scsi", "none")
DISK_FORMATS = ("qcow2", "raw", "qed", "vdi", "vhdx", "vmdk", "vpc")
REALMS = ("rootless", "host")
PROTOCOLS = ("tcp", "udp")
LINKS = ("up", "down")
BOOTS = ("network",)


@dataclass(frozen=True, slots=True)
class Key:
    """sort: a name in SORTS.  text: what an editor shows beside the key."""

    sort: str
    text: str
    choices: tuple[str, ...] = ()


SORTS = {
    "name": "a name",
    "word": "a word",
    "text": "a text",
    "choice": "a word",
    "flag": "true or false",
    "integer": "a number",
    "port": "a port number",
    "mtu": "a number of bytes",
    "size": "a size like 512M",
    "lease": "a time like 1h",
    "address": "an IPv4 address",
    "subnet": "a subnet like 10.10.10.0/24",
    "range": "a range like 10.10.10.2-10.10.10.100",
    "ipv6-prefix": "a prefix like fd00:1::/64",
    "mac": "a MAC address",
    "domain": "a domain name",
    "hostname": "a host name",
    "bootfile": "a file's name",
    "path": "a path",
    "disk": "a path or a mapping",
    "domains": "a domain name or a list of them",
    "guestfwds": "a text or a list of texts",
    "words": "a list of words or a line",
    "networks": "a mapping of networks",
    "guests": "a mapping of guests",
    "dhcp": "true, false or a mapping",
    "disks": "a list of disks",
    "nics": "a list of NICs or none",
    "user": "true or a mapping",
    "forwards": "a list of forwards",
}

LAB = {
    "lab": Key("name", "The lab's name, and its DNS domain. Default: the name of the folder."),
    "realm": Key("choice", "Where bridges and TAPs live: a namespace of the lab's own, or this machine's (root). "
                 "Default: rootless for a user, host for root.", REALMS),
    "user": Key("word", "The user that runs QEMU in the host realm. Default: the one who called sudo."),
    "networks": Key("networks", "The lab's networks by name. A kind alone is enough: `back: private`."),
    "guests": Key("guests", "The lab's guests by name."),
}  # fmt: skip

NETWORK = {
    "kind": Key("choice", "private: guests hear each other and nothing else. host-only: and the host.", KINDS),
    "subnet": Key("subnet", "The network's addresses. Default, where some are needed: a free one, picked once."),
    "address": Key("address", "The host's own address (private: the DHCP server's). Default: the subnet's first."),
    "dhcp": Key(
        "dhcp",
        "Give addresses by DHCP. Guests of this file always get the same one. "
        "Default: true for host-only, false for private.",
    ),
    "dns": Key("flag", "Answer for the names of guests, as NAME and NAME.LAB. Default: true."),
    "mtu": Key("mtu", "The largest packet in bytes. Default: 1500."),
}

DHCP = {
    "range": Key("range", "Addresses to give. Default: the upper three quarters of the subnet."),
    "lease": Key("lease", "How long a lease lasts, like 30m, 1h, 2d. Default: 1h."),
}

GUEST = {
    "disk": Key("disk", "A disk image: a path, or a mapping as in `disks`. Its format is read from its header."),
    "disks": Key("disks", "Disk images, each a path or a mapping."),
    "kernel": Key("path", "A Linux kernel to boot directly."),
    "initrd": Key("path", "The initial RAM disk of `kernel`."),
    "append": Key("text", "The command line of `kernel`."),
    "memory": Key("size", "Like 512M or 1G. Default: 512M."),
    "cpus": Key("integer", "The number of CPUs. Default: 1."),
    "machine": Key("word", "QEMU's machine type. Default: the one that QEMU itself takes."),
    "arch": Key("word", "The processor, as in qemu-system-ARCH. Default: this machine's."),
    "accel": Key("choice", "auto: KVM where it works, else TCG. Default: auto.", ACCELS),
    "display": Key("choice", "What QEMU shows the screen with. Default: none.", DISPLAYS),
    "cloud_init": Key("flag", "Offer a NoCloud seed, by which a cloud image gets its addresses. Default: false."),
    "qemu_args": Key("words", "More words for QEMU's command line, taken as they are."),
    "nics": Key("nics", "The NICs in order: a network's name, `user`, or a mapping. `none` or `[]`: no NIC. "
                "Without this key a guest has one `user` NIC."),
}  # fmt: skip

DISK = {
    "path": Key("path", "The image file."),
    "format": Key("choice", "Its format. Default: what its header says.", DISK_FORMATS),
    "interface": Key("choice", "How it is attached. Default: virtio.", INTERFACES),
    "read_only": Key("flag", "Never write to it. Default: false."),
}

NIC = {
    "network": Key("name", "A network of this file."),
    "user": Key("user", "QEMU's user-mode network, private to this NIC: out without any rights, in by forwards."),
    "model": Key("word", "virtio, e1000, rtl8139, ...: `qlan models` lists them. Default: virtio."),
    "mac": Key("mac", "Default: derived from lab, guest and NIC, always the same."),
    "address": Key("address", "The guest's address on the network. Default: picked once, where there is a subnet."),
    "forwards": Key("forwards", "Host ports that lead into the guest, like 2222:22 (user-mode networking)."),
    "boot": Key("choice", "network: boot from this NIC.", BOOTS),
    "link": Key("choice", "down: start with the cable pulled. Default: up.", LINKS),
    "mtu": Key("mtu", "The MTU told to the guest. Default: the network's."),
}

USER = {
    "subnet": Key("subnet", "Default: 10.0.2.0/24."),
    "host": Key("address", "The address under which the guest reaches the host. Default: the subnet's .2."),
    "dhcp_start": Key("address", "The guest's own address. Default: the subnet's .15."),
    "dns": Key("address", "The address of the DNS server. Default: the subnet's .3."),
    "domain": Key("domain", "The domain told by DHCP."),
    "search": Key("domains", "The DNS search list told by DHCP."),
    "hostname": Key("hostname", "The name told by DHCP. Default: the guest's."),
    "ipv4": Key("flag", "Default: true."),
    "ipv6": Key("flag", "Default: as QEMU has it (on)."),
    "ipv6_prefix": Key("ipv6-prefix", "Default: fec0::/64."),
    "restrict": Key("flag", "Let nothing out, only forwards in. Default: false."),
    "tftp": Key("path", "A folder to serve by TFTP, for network boot."),
    "bootfile": Key("bootfile", "The file to boot, within `tftp`."),
    "smb": Key("path", "A folder to share as \\\\10.0.2.4\\qemu (needs samba)."),
    "guestfwd": Key("guestfwds", "QEMU's guestfwd: a port inside that leads to a command or character device."),
}

FORWARD = {
    "host": Key("port", "The port on this machine, or `auto` for a free one."),
    "guest": Key("port", "The port in the guest."),
    "protocol": Key("choice", "Default: tcp.", PROTOCOLS),
    "address": Key("address", "The address on this machine to listen at. Default: 127.0.0.1."),
    "guest_address": Key("address", "The guest's address, where it isn't the one DHCP gave."),
}

SECTIONS = {"lab": LAB, "network": NETWORK, "dhcp": DHCP, "guest": GUEST, "disk": DISK, "nic": NIC, "user": USER,
            "forward": FORWARD}  # fmt: skip

# Words of other tools (QEMU, libvirt, compose files) that people write here, and what they mean.
MEANT = {
    "name": "lab", "project": "lab", "vms": "guests", "machines": "guests", "hosts": "guests", "nets": "networks",
    "type": "kind", "mode": "kind", "driver": "kind", "net": "subnet", "cidr": "subnet", "gateway": "address",
    "ip": "address", "ranges": "range", "lease_time": "lease", "image": "disk", "drive": "disk", "hda": "disk",
    "file": "path", "driver_format": "format", "readonly": "read_only", "ro": "read_only", "cmdline": "append",
    "ram": "memory", "mem": "memory", "smp": "cpus", "vcpus": "cpus", "cpu": "cpus", "architecture": "arch",
    "interfaces": "nics", "networks": "nics", "args": "qemu_args", "bridge": "network", "macaddr": "mac",
    "ports": "forwards", "hostfwd": "forwards", "dhcpstart": "dhcp_start", "domainname": "domain",
    "dnssearch": "search", "ipv6-net": "ipv6_prefix", "host_port": "host", "guest_port": "guest",
    "host_address": "address", "proto": "protocol",
}  # fmt: skip
