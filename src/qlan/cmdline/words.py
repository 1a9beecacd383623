"""An Explanation as text for people and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qlan.cmdline.explain import Explanation, ForwardView, NetdevView
from qlan.cmdline.model import Fault
from qlan.cmdline.shell import place


def explanation_text(explanation: Explanation, file: str = "") -> str:
    """Verdict, picture, NICs, networks, forwards, warnings."""
    lines = [*_verdict(explanation, file)]
    if not explanation.ok:
        return "\n".join(lines) + "\n"
    if explanation.nics or explanation.netdevs:
        lines += ["", *_picture(explanation), ""]
    if not explanation.nics:
        lines += ["", "The guest has no NIC.", ""]
    for netdev in explanation.netdevs:
        lines += _netdev_lines(explanation, netdev)
    if explanation.warnings:
        lines += ["", "warnings:"]
        lines += [f"  {_shown(warning, explanation.text, file)}" for warning in explanation.warnings]
    return "\n".join(lines).rstrip() + "\n"


def explanation_data(explanation: Explanation) -> dict[str, Any]:
    """`ok`, `errors`, `warnings`, `netdevs`, `nics`, `forwards`, `convertible`; columns count from 1."""
    return {
        "ok": explanation.ok,
        "qemu": explanation.version,
        "errors": [_fault_data(fault, explanation.text) for fault in explanation.errors],
        "warnings": [_fault_data(fault, explanation.text) for fault in explanation.warnings],
        "netdevs": [
            {
                "id": view.id, "type": view.type, "what": view.reach.what, "subnet": view.subnet or None,
                "guest_address": view.guest or None, "nics": list(view.nics),
                "reaches": {"guests": view.reach.guests, "host": view.reach.host, "outside": view.reach.outside},
                "reached_by": view.reach.inbound,
            }
            for view in explanation.netdevs
        ],
        "nics": [
            {"name": view.name, "model": view.model or None, "mac": view.mac, "default_mac": view.mac_is_default,
             "netdevs": list(view.netdevs)}
            for view in explanation.nics
        ],
        "forwards": [
            {"netdev": view.netdev, "protocol": view.protocol, "listens": view.listens, "port": view.port,
             "guest_address": view.guest, "guest_port": view.guest_port, "who": view.who}
            for view in explanation.forwards
        ],
        "convertible": list(explanation.convertible),
    }  # fmt: skip


def _fault_data(fault: Fault, text: str) -> dict[str, Any]:
    line, column = place(text, fault.offset)
    return {
        "line": line, "column": column, "code": fault.code, "what": fault.what, "expected": fault.expected or None,
        "nearest": fault.nearest or None,
    }  # fmt: skip


def _shown(fault: Fault, text: str, file: str) -> str:
    line, column = place(text, fault.offset)
    hint = f": {fault.expected}" if fault.expected else ""
    return f"{file + ':' if file else ''}{line}:{column}: {fault.what}{hint} [{fault.code}]"


def _verdict(explanation: Explanation, file: str) -> Iterator[str]:
    if explanation.ok:
        yield f"QEMU {explanation.version} takes this" + (", prints help and ends." if explanation.prints_help else ".")
        return
    yield f"QEMU {explanation.version} refuses this:"
    for fault in explanation.errors:
        line, column = place(explanation.text, fault.offset)
        yield f"  {fault.shown(explanation.text, file)}"
        source = explanation.text.split("\n")[line - 1]
        begin = max(0, column - 1 - 50)
        yield f"    {source[begin : begin + 100]}"
        yield f"    {' ' * (column - 1 - begin)}^"


def _picture(explanation: Explanation) -> Iterator[str]:
    """One line a wire: guest's NIC, netdev, what is behind it; forwards point the other way."""
    rows: list[tuple[str, str, str, list[ForwardView]]] = []
    for nic in explanation.nics:
        label = f"{nic.name} {nic.model} {nic.mac}{'*' if nic.mac_is_default else ''}"
        views = [view for view in explanation.netdevs if view.id in nic.netdevs]
        if not views:
            rows.append((label, "", "plugged into nothing", []))
        for view in views:
            mine = [forward for forward in explanation.forwards if forward.netdev == view.id]
            rows.append((label, f"{view.id}: {view.type}", view.reach.far, mine))
    left = max((len(row[0]) for row in rows), default=0)
    middle = max((len(row[1]) for row in rows), default=0)
    for label, netdev, far, forwards in rows:
        wire = f"──[ {netdev:<{middle}} ]──" if netdev else "  "
        yield f"  {label:<{left}} {wire} {far}"
        for forward in forwards:
            yield f"  {'':<{left}} ◂── {_forward(forward)}"
    if any(nic.mac_is_default for nic in explanation.nics):
        yield "  (* QEMU's own address: every guest without mac= begins with the same one)"


def _forward(forward: ForwardView) -> str:
    where = forward.listens if forward.listens.startswith("/") else f"{forward.listens}:{forward.port or 'any'}"
    return f"{forward.protocol} {where} to {forward.guest}:{forward.guest_port}, for {forward.who}"


def _netdev_lines(explanation: Explanation, view: NetdevView) -> Iterator[str]:
    nics = ", ".join(view.nics) or "no NIC"
    yield f"{view.id} ({nics}): {view.reach.what}"
    if view.guest:
        yield f"  the guest's address: {view.guest} by DHCP"
    reach = view.reach
    yield f"  reaches other guests: {reach.guests}; the host: {reach.host}; the outside: {reach.outside}"
    yield f"  is reached by others: {reach.inbound}"
    for forward in explanation.forwards:
        if forward.netdev == view.id:
            yield f"  forward: {_forward(forward)}"
