"""Which package has a program, by distribution family (looked up in the distributions' file lists)."""

from __future__ import annotations

from pathlib import Path

_DEBIAN, _FEDORA, _ARCH = "debian", "fedora", "arch"

_INSTALL = {_DEBIAN: "apt install", _FEDORA: "dnf install", _ARCH: "pacman -S"}

_PACKAGES: dict[str, dict[str, str]] = {
    "qemu-system-x86_64": {_DEBIAN: "qemu-system-x86", _FEDORA: "qemu-system-x86-core", _ARCH: "qemu-system-x86"},
    "qemu-system-aarch64": {
        _DEBIAN: "qemu-system-arm",
        _FEDORA: "qemu-system-aarch64-core",
        _ARCH: "qemu-system-aarch64",
    },
    "qemu-img": {_DEBIAN: "qemu-utils", _FEDORA: "qemu-img", _ARCH: "qemu-img"},
    "ip": {_DEBIAN: "iproute2", _FEDORA: "iproute", _ARCH: "iproute2"},
    "tc": {_DEBIAN: "iproute2", _FEDORA: "iproute-tc", _ARCH: "iproute2"},
    "bridge": {_DEBIAN: "iproute2", _FEDORA: "iproute", _ARCH: "iproute2"},
    "ss": {_DEBIAN: "iproute2", _FEDORA: "iproute", _ARCH: "iproute2"},
    "nft": {_DEBIAN: "nftables", _FEDORA: "nftables", _ARCH: "nftables"},
    "dnsmasq": {_DEBIAN: "dnsmasq-base", _FEDORA: "dnsmasq", _ARCH: "dnsmasq"},
    "pasta": {_DEBIAN: "passt", _FEDORA: "passt", _ARCH: "passt"},
    "passt": {_DEBIAN: "passt", _FEDORA: "passt", _ARCH: "passt"},
    "tcpdump": {_DEBIAN: "tcpdump", _FEDORA: "tcpdump", _ARCH: "tcpdump"},
    "unshare": {_DEBIAN: "util-linux", _FEDORA: "util-linux", _ARCH: "util-linux"},
    "nsenter": {_DEBIAN: "util-linux", _FEDORA: "util-linux", _ARCH: "util-linux"},
    "setpriv": {_DEBIAN: "util-linux", _FEDORA: "util-linux", _ARCH: "util-linux"},
    "ssh": {_DEBIAN: "openssh-client", _FEDORA: "openssh-clients", _ARCH: "openssh"},
    "smbd": {_DEBIAN: "samba", _FEDORA: "samba", _ARCH: "samba"},
    "qemu-bridge-helper": {_DEBIAN: "qemu-system-common", _FEDORA: "qemu-common", _ARCH: "qemu-common"},
    "sleep": {_DEBIAN: "coreutils", _FEDORA: "coreutils", _ARCH: "coreutils"},
}


def family(os_release: Path = Path("/etc/os-release")) -> str:
    """debian, fedora, arch, or "" (os-release(5): ID and ID_LIKE)."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    known = {"ubuntu": _DEBIAN, "rhel": _FEDORA, "centos": _FEDORA, "archlinux": _ARCH}
    for word in words:
        name = known.get(word, word)
        if name in _INSTALL:
            return name
    return ""


def package_of(tool: str, distribution: str) -> str:
    """The package's name in that family; the tool's own name where it is not known."""
    return _PACKAGES.get(tool, {}).get(distribution, tool)


def install_hint(tool: str) -> str:
    """`apt install dnsmasq-base`, in this machine's words."""
    distribution = family()
    if not distribution:
        return f"install the package that has `{tool}`"
    return f"{_INSTALL[distribution]} {package_of(tool, distribution)}"
