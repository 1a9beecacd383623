"""Which module writes and which reads which format, and what each cannot say (docs/interop.md is made of it)."""

from __future__ import annotations

from types import ModuleType

from qlan.interop import ifupdown, libvirt, netplan, networkd, networkmanager

EXPORTS: dict[str, ModuleType] = {
    "networkd": networkd,
    "netplan": netplan,
    "networkmanager": networkmanager,
    "ifupdown": ifupdown,
    "libvirt": libvirt,
}
