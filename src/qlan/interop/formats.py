"""Which module writes and which reads which format, and what each cannot say (docs/interop.md is made of it)."""

from __future__ import annotations

from types import ModuleType

from qlan.interop import (
    compose,
    dot,
    ifupdown,
    libvirt,
    mermaid,
    netplan,
    networkd,
    networkmanager,
    qemu,
    quickemu,
    svg,
)

EXPORTS: dict[str, ModuleType] = {
    "qemu": qemu,
    "networkd": networkd,
    "netplan": netplan,
    "networkmanager": networkmanager,
    "ifupdown": ifupdown,
    "libvirt": libvirt,
    "mermaid": mermaid,
    "dot": dot,
    "svg": svg,
}

IMPORTS: dict[str, ModuleType] = {
    "qemu": qemu,
    "libvirt": libvirt,
    "quickemu": quickemu,
    "compose": compose,
}


def recognised(name: str, text: str) -> str:
    """The import format that a file is in, by its look."""
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return "libvirt"
    if name.endswith((".yml", ".yaml")) or compose.is_compose(text):
        return "compose"
    return "quickemu" if quickemu.is_configuration(text) else "qemu"
