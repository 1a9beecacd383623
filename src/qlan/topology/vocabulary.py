"""Every key of the file: what sort of value it takes and what it is for.

The reader knows a key by this table, and the JSON Schema is made of it: a key is added here, and read in its section.
"""

from __future__ import annotations

from qlan.topology.model import KINDS
from qlan.values import Value

ACCELS = ("auto", "kvm", "tcg")
DISPLAYS = ("none", "sdl", "gtk", "vnc", "spice")
INTERFACES = ("virtio", "ide", "scsi", "none")
DISK_FORMATS = ("qcow2", "raw", "qed", "vdi", "vhdx", "vmdk", "vpc")
REALMS = ("rootless", "host")
PROTOCOLS = ("tcp", "udp")
LINKS = ("up", "down")
BOOTS = ("network",)
BACKENDS = ("slirp", "passt", "auto")
MODES = ("bridge", "private", "vepa", "passthru")


class Key(Value):
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
    "places": "a number",
    "port": "a port number",
    "mtu": "a number of bytes",
    "size": "a size like 512M",
    "lease": "a time like 1h",
    "time": "a time like 60s",
    "address": "an IPv4 address",
    "subnet": "a subnet like 10.10.10.0/24",
    "range": "a range like 10.10.10.2-10.10.10.100",
    "address6": "an IPv6 address",
    "address46": "an IPv4 or IPv6 address",
    "ipv6-prefix": "a prefix like fd00:1::/64",
    "mac": "a MAC address",
    "domain": "a domain name",
    "hostname": "a host name",
    "interface": "an interface name",
    "bootfile": "a file's name",
    "path": "a path",
    "disk": "a path or a mapping",
    "domains": "a domain name or a list of them",
    "guestfwds": "a text or a list of texts",
    "rate": "a rate like 10mbit or a mapping",
    "speed": "a rate like 10mbit",
    "vlan": "a VLAN's number",
    "vlans": "a list like [10, 20-30]",
    "words": "a list of words or a line",
    "networks": "a mapping of networks",
    "guests": "a mapping of guests",
    "dhcp": "true, false or a mapping",
    "ipv6": "true, false, a prefix or a mapping",
    "addresses": "an IPv4 address or a list of them",
    "routes": "a mapping of subnets to gateways",
    "options": "a mapping of DHCP options to values",
    "records": "a mapping of names to addresses",
    "dns": "true, false or a mapping",
    "disks": "a list of disks",
    "nics": "a list of NICs or none",
    "user": "true or a mapping",
    "forwards": "a list of forwards",
    "reverse": "a list of reverse forwards",
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
    "kind": Key(
        "choice",
        "private: guests hear each other and nothing else. host-only: and the host. "
        "nat: and outside, with the host's address. routed: and outside, with their own (root). "
        "wire: a cable between two NICs that passes every frame. "
        "bridge: a bridge of this machine that somebody else made. "
        "public: on the LAN of this machine, by a NIC of it. "
        "macvtap: a MAC of its own for each guest on a NIC of this machine (root).",
        KINDS,
    ),
    "mode": Key("choice", "bridge: guests hear each other. private: they don't. vepa: by way of the switch. "
                "passthru: one guest has the NIC alone. Default: bridge (kind macvtap).", MODES),
    "host_access": Key("flag", "Put this machine on the network too, as `address`; else it and its guests do not "
                       "hear each other (kind macvtap). Default: false."),
    "bridge": Key("word", "The bridge that is there already (kind bridge). Default: the network's name."),
    "subnet": Key("subnet", "The network's addresses. Default, where some are needed: a free one, picked once."),
    "address": Key("address", "The host's own address (private: the DHCP server's). Default: the subnet's first."),
    "dhcp": Key(
        "dhcp",
        "Give addresses by DHCP. Guests of this file always get the same one. public: where no other server answers. "
        "Default: true for host-only and nat, false for private.",
    ),
    "ipv6": Key("ipv6", "IPv6 beside IPv4: true, or the prefix. Default: as `dhcp`."),
    "dns": Key("dns", "Answer for the names of guests, as NAME and NAME.LAB. Default: true."),
    "mtu": Key("mtu", "The largest packet in bytes. Default: 1500; as root the way outside's, rootless up to 65500."),
    "bridge_name": Key("interface", "The bridge's interface name, at most 15 letters. Default: made of the network's."),
    "reach": Key("domains", "nat, routed: other such networks of the file whose guests may be reached from this one."),
    "proxy_arp": Key("flag", "routed: answer for the guests on the uplink (ARP and ND), so that nobody there needs a "
                     "route. Default: false."),
    "isolated": Key("flag", "Guests reach the host, not each other; a NIC can say otherwise. Default: false."),
    "uplink": Key("interface", "public: the Ethernet NIC of this machine that becomes a port of the bridge. "
        "macvtap: the NIC that guests share. "
                  "nat, as root: the only link that leads outside; default: as routing has it."),
    "confirm_within": Key("time", "public: after so long without `qlan confirm` the NIC is put back as it was; "
                          "0s: never. Default: 60s."),
    "managed": Key("flag", "public: hand the NIC's profile of NetworkManager or systemd-networkd over to the bridge. "
                   "Default: false, such a NIC is refused."),
    "stp": Key("flag", "Speak the spanning tree protocol: for guests that bridge this network in a loop. "
               "A new port then waits 8 s. Default: false."),
    "multicast_snooping": Key("flag", "Pass IPv4 multicast only to who asked for it (the bridge asks, as querier). "
                              "Default: false, everyone gets it."),
    "vlan_filtering": Key("flag", "Keep VLANs apart: a NIC is in one, or gets some with their tags. Default: false."),
    "vlan": Key("vlan", "With `vlan_filtering`: the host's VLAN, and of NICs that don't say theirs. Default: 1."),
    "tftp": Key("path", "A folder that the DHCP server serves by TFTP, read-only, for NICs with `boot: network`."),
    "bootfile": Key("bootfile", "What such a NIC fetches first: a file within `tftp`, or a URL for iPXE."),
}  # fmt: skip

DHCP = {
    "relay": Key("address", "A server elsewhere that gives the addresses: it is asked for the guests (RFC 1542), and "
                 "nothing else of `dhcp` is said here."),
    "range": Key("range", "Addresses to give. Default: the upper three quarters of the subnet."),
    "lease": Key("lease", "How long a lease lasts, like 30m, 1h, 2d. Default: 1h."),
    "routes": Key("routes", "Ways that guests are told, like {10.9.0.0/16: 10.10.10.5}; 0.0.0.0/0: out (option 121)."),
    "ntp": Key("addresses", "Time servers (option 42)."),
    "options": Key(
        "options", "Any others, by number or by dnsmasq's name: {66: boot.example, log-server: 10.10.10.5}."
    ),
}  # fmt: skip

DNS = {
    "records": Key("records", "Further names that the network's server knows, like {repo.example: 10.10.10.5}."),
}

IPV6 = {
    "prefix": Key("ipv6-prefix", "The network's prefix. Default: a /64 of the lab's own (RFC 4193), picked once."),
    "address": Key("address6", "The host's own address (private: the server's). Default: the prefix's ::1."),
    "slaac": Key("flag", "Guests make themselves an address, by router advertisements. Default: true."),
    "dhcp": Key("flag", "DHCPv6 gives guests of this file a fixed address, and others a free one. Default: true."),
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
    "hotplug": Key("places", "Places for NICs that are plugged in while it runs: PCIe ports of q35 and virt, and a USB "
                   "controller. Default: 4 PCIe ports, no USB."),
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
    "address6": Key("address6", "Its IPv6 address, given by DHCPv6. Default: the prefix, and the end of its IPv4 "
                    "address."),
    "forwards": Key("forwards", "Host ports that lead into the guest, like 2222:22; not on a private network."),
    "reverse": Key("reverse", "The other way: ports of the host's address on the network that lead to services of this "
                   "machine, like 5432:5432 or 8080:192.168.1.5:80."),
    "boot": Key("choice", "network: boot from this NIC.", BOOTS),
    "link": Key("choice", "down: start with the cable pulled. Default: up.", LINKS),
    "mtu": Key("mtu", "The MTU told to the guest. Default: the network's."),
    "isolated": Key("flag", "Reach the host and NICs that are not isolated. Default: as the network is."),
    "rate": Key("rate", "The most that the guest gets and sends, like 10mbit (tc's units). Default: no limit."),
    "vlan": Key(
        "vlan",
        "The VLAN of its untagged frames (network: `vlan_filtering`). Default: the network's; none beside `trunk`.",
    ),
    "trunk": Key("vlans", "VLANs that pass with their tags, like [10, 20-30]."),
    "vhost": Key("flag", "The kernel moves the NIC's packets, past QEMU (vhost-net; virtio models). Default: with KVM, "
                 "where this machine has it."),
}  # fmt: skip

RATE = {
    "in": Key("speed", "What comes in to the guest. Default: no limit."),
    "out": Key("speed", "What the guest sends. Default: no limit."),
}

USER = {
    "backend": Key("choice", "slirp: QEMU's own TCP/IP. passt: a process beside QEMU, faster, with IPv6 as this "
                   "machine has it. auto: passt where it is of 2024-08 or newer and can do what is asked. "
                   "Default: slirp.", BACKENDS),
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
}  # fmt: skip

FORWARD = {
    "host": Key("port", "The port on this machine, or `auto` for a free one."),
    "guest": Key("port", "The port in the guest."),
    "protocol": Key("choice", "Default: tcp.", PROTOCOLS),
    "address": Key("address46", "The address on this machine to listen at, of either family. Default: 127.0.0.1."),
    "guest_address": Key("address46", "The guest's address, where it isn't the one DHCP gave."),
}

SECTIONS = {"lab": LAB, "network": NETWORK, "dhcp": DHCP, "ipv6": IPV6, "dns": DNS, "guest": GUEST, "disk": DISK,
            "nic": NIC, "rate": RATE, "user": USER, "forward": FORWARD}  # fmt: skip

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
