"""Who configures an interface of this machine, and the profile: NetworkManager's and systemd-networkd's state files.

NetworkManager: /run/NetworkManager/devices, profiles as nm-settings-keyfile(5).  systemd-networkd: /run/systemd/netif,
profiles as systemd.network(5).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from qlan.facts.manager import NETWORKD, NETWORKMANAGER, Manager
from qlan.host import files
from qlan.host.run import find_tool, run
from qlan.render import manager as render

Sections = list[tuple[str, tuple[str, ...]]]

_NETWORKD_FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")  # the first one's file of a name holds
_OF_THE_NIC = ("VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "Tunnel", "Xfrm", "VXLAN", "BindCarrier")
_ETHERNET = ("ethernet", "802-3-ethernet")
_NOT_RUNNING = 8  # nmcli(1): its state files outlive it
_ROUTERS_ASKED = ("auto", "dhcp")  # of NetworkManager's IPv6 methods
_KEPT = ("zone", "metered", "mdns", "llmnr", "dns-over-tls", "stable-id", "lldp")  # of NetworkManager's [connection]


def is_managed(index: int) -> bool:
    """Whether one of them says that it configures an interface."""
    return _is_networkmanagers(index, Path("/")) or _is_networkds(index, Path("/"))


def find(row: Mapping[str, Any], root: Path = Path("/")) -> Manager | None:
    """Who configures an interface, with the profile; None: nobody.  row: as `ip -j address` has it."""
    found = _of_networkmanager(row, root) if _is_networkmanagers(row["ifindex"], root) else None
    return found or (_of_networkd(row, root) if _is_networkds(row["ifindex"], root) else None)


def _is_networkmanagers(index: int, root: Path) -> bool:
    return "managed=true" in files.read_text(root / "run/NetworkManager/devices" / str(index))


def _is_networkds(index: int, root: Path) -> bool:
    state = _values(files.read_text(root / "run/systemd/netif/links" / str(index)))
    return state.get("ADMIN_STATE", "unmanaged") != "unmanaged"


def find_handed(nic: str, bridge: str) -> Manager | None:
    """Whose files for this pair are there, if all is lost that we knew."""
    if any(path.exists() for path in render.paths(NETWORKD, nic, bridge)):
        return Manager(NETWORKD)
    for path in render.paths(NETWORKMANAGER, nic, bridge):
        if found := re.search(rf"^{re.escape(render.INSTEAD)}(\S+)$", files.read_text(path), re.MULTILINE):
            return Manager(NETWORKMANAGER, found[1])
    return None


# --- systemd-networkd


def _of_networkd(row: Mapping[str, Any], root: Path) -> Manager:
    state = _values(files.read_text(root / "run/systemd/netif/links" / str(row["ifindex"])))
    name = state.get("NETWORK_FILE", "")
    if not name:
        return Manager(NETWORKD, obstacle="which of its files that is, it does not say", hint="see: networkctl status")
    if Path(name).name < render.FIRST:
        obstacle = f"its file {name} comes before any of ours, which would mean nothing"
        return Manager(NETWORKD, name, obstacle=obstacle, hint=f"rename it: its name must sort after {render.FIRST}")
    text = "\n".join(files.read_text(path) for path in [root / name.lstrip("/"), *_drop_ins(root, Path(name).name)])
    said = [(section, lines) for section, lines in sections(text) if section not in ("Match", "Link")]
    written = [
        line.partition("=")[2].strip().partition("/")[0]
        for _, lines in said
        for line in lines
        if _key(line) == "Address"
    ]
    hosts = _hosts(row, written)
    profile = [
        (section, _with_token(lines, hosts) if section == "IPv6AcceptRA" else _without(lines, _OF_THE_NIC))
        for section, lines in said
    ]
    return Manager(NETWORKD, name, (*profile, *_identity(state, root)))


def _with_token(lines: Iterable[str], hosts: list[IPv6Address]) -> tuple[str, ...]:
    """`prefixstable` makes an address of the interface's name, too (RFC 7217): the bridge is to have the NIC's."""
    return tuple(
        f"Token=static:{hosts[0]}"
        if len(hosts) == 1 and _key(line) == "Token" and line.partition("=")[2].strip().startswith("prefixstable")
        else line
        for line in lines
    )


def _drop_ins(root: Path, name: str) -> Iterator[Path]:
    """Its drop-ins in their order (systemd.network(5))."""
    found: dict[str, Path] = {}
    for folder in _NETWORKD_FOLDERS:
        for path in files.entries(root / folder / "systemd/network" / f"{name}.d"):
            if path.suffix == ".conf":
                found.setdefault(path.name, path)
    yield from (found[one] for one in sorted(found))


def _identity(state: dict[str, str], root: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Its IAID is made of the interface's name: the bridge is to ask as the NIC did (RFC 4361)."""
    lease = _values(files.read_text(root / state.get("DHCP_LEASE", "").lstrip("/"))) if "DHCP_LEASE" in state else {}
    client = lease.get("CLIENTID", "")
    if client.startswith("ff") and len(client) > 10:
        yield "DHCPv4", (f"IAID={int(client[2:10], 16)}",)
    if iaid := state.get("DHCP6_CLIENT_IAID"):
        yield "DHCPv6", (f"IAID={int(iaid, 16)}",)


# --- NetworkManager


def _of_networkmanager(row: Mapping[str, Any], root: Path) -> Manager | None:
    state = sections(files.read_text(root / "run/NetworkManager/devices" / str(row["ifindex"])))
    uuid = _value(state, "device", "connection-uuid")
    if not uuid:
        hint = f"give it a profile, or let it be: nmcli device set {row['ifname']} managed no"
        return Manager(NETWORKMANAGER, obstacle="it has no profile active", hint=hint)
    if find_tool("nmcli") is None:  # removed, as its daemon: its state files stay until the next boot
        return None
    argv = ["nmcli", "--terse", "--escape", "no", "--fields", "UUID,FILENAME", "connection"]
    listed = run(argv, ok=(0, _NOT_RUNNING))
    if listed.returncode == _NOT_RUNNING:
        return None
    path = next((Path(one) for one in _names(listed.stdout, uuid) if one.endswith(".nmconnection")), None)
    if path is None:
        obstacle = f"its profile {uuid} is no keyfile"
        return Manager(NETWORKMANAGER, uuid, obstacle=obstacle, hint=f"nmcli connection migrate {uuid}")
    found = sections(files.read_text(path))
    kind = _value(found, "connection", "type")
    if kind not in _ETHERNET or any(section == "802-1x" for section, _ in found):
        what = "with 802.1X" if kind in _ETHERNET else f"of type {kind}"
        hint = "make a bridge with it by nmcli, and write `kind: bridge`"
        return Manager(NETWORKMANAGER, uuid, obstacle=f"its profile is one {what}, which goes to no bridge", hint=hint)
    profile = [
        (section, (*lines, *_as_before(state, section, lines), *(_token(row, lines) if section == "ipv6" else ())))
        for section, lines in found
        if section in ("ipv4", "ipv6", "proxy")
    ]
    kept = [line for section, lines in found if section == "connection" for line in lines if _key(line) in _KEPT]
    port = [
        ("ethernet" if section in _ETHERNET else section, _without(lines, ["cloned-mac-address"]))
        for section, lines in found
        if section in (*_ETHERNET, "ethtool")
    ]
    return Manager(NETWORKMANAGER, uuid, (("connection", tuple(kept)), *profile), tuple(port))


def _names(listed: str, uuid: str) -> Iterator[str]:
    yield from (name for one, _, name in (line.partition(":") for line in listed.splitlines()) if one == uuid)


def _as_before(state: Sections, family: str, lines: tuple[str, ...]) -> Iterator[str]:
    """What it makes of the interface, or of its sort, where the profile says nothing: as the NIC had it."""
    metric = _value(state, "device", "route-metric-default-effective")
    said = {
        "ipv4": {
            "route-metric": metric,
            "dhcp-client-id": _value(state, "dhcp4", "dhcp4.dhcp_client_identifier"),
        },
        "ipv6": {
            "route-metric": metric,
            "dhcp-duid": _value(state, "dhcp6", "dhcp6.dhcp6_client_id"),
            "dhcp-iaid": _value(state, "dhcp6", "dhcp6.iaid"),
        },
    }
    keys = {_key(line) for line in lines}
    yield from (f"{key}={value}" for key, value in said.get(family, {}).items() if value and key not in keys)


def _token(row: Mapping[str, Any], lines: tuple[str, ...]) -> Iterator[str]:
    """It makes an address's second half of the interface's name (RFC 7217): the bridge is to have the one that is."""
    said = {_key(line): line.partition("=")[2].strip() for line in lines}
    if said.get("method") not in _ROUTERS_ASKED or said.get("addr-gen-mode") in ("eui64", "0") or "token" in said:
        return
    written = [value.partition("/")[0] for key, value in said.items() if re.fullmatch(r"address\d+", key)]
    for host in _hosts(row, written)[:1]:
        yield "addr-gen-mode=eui64"
        yield f"token={host}"


def _hosts(row: Mapping[str, Any], written: Collection[str] = ()) -> list[IPv6Address]:
    """The second halves of the addresses that an interface made of routers' prefixes.  written: those of a profile."""
    made = [
        IPv6Address(int(IPv6Address(one["local"])) % 2**64)
        for one in row.get("addr_info", ())
        if one["family"] == "inet6" and one.get("scope") == "global" and one.get("prefixlen") == 64
        if not one.get("temporary") and one["local"] not in written
    ]
    return list(dict.fromkeys(made))


# --- files of sections


def sections(text: str) -> Sections:
    """An INI file's sections with their lines in order; a section may come more than once, a key too."""
    found: list[tuple[str, list[str]]] = []
    for line in map(str.strip, re.sub(r"\\\n", " ", text).splitlines()):
        if line.startswith("[") and line.endswith("]"):
            found.append((line[1:-1], []))
        elif line and line[0] not in "#;" and found:
            found[-1][1].append(line)
    return [(section, tuple(lines)) for section, lines in found]


def _value(found: Sections, section: str, key: str) -> str:
    for name, lines in found:
        if name == section:
            for line in lines:
                if _key(line) == key:
                    return line.partition("=")[2].strip()
    return ""


def _values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def _key(line: str) -> str:
    return line.partition("=")[0].strip()


def _without(lines: Iterable[str], keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if _key(line) not in keys)
