"""Changing a guest that runs: its QEMU is told by QMP, and its record says what it has now."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from qlan.errors import ConflictError, HostError, NotInTime, QlanError
from qlan.host import files, taken
from qlan.host.vhost import open_vhosts
from qlan.render import live
from qlan.render.adopted import MORE_PORTS
from qlan.render.command import Amend, Qmp, QmpCall
from qlan.resources import codec

if TYPE_CHECKING:
    from qlan.qmp.monitor import Call

UNPLUG_S = 10.0  # how long a guest may take to let go of a card
_LET_GO_S, _LET_GO_POLL_S = 1.0, 0.05  # one that does at all takes 0.3 s
_NO_SLOT = ("no slot/function available", "slot 0 function 0 already")  # hw/pci/pci.c
_HINT_REFUSES = "it must run, and its system must know hot-unplug; `qlan down GUEST`, then `qlan up` make it anew"


def amend(command: Amend) -> None:
    """Change a guest's record: what is dropped goes with what is within it, what is put replaces its like."""
    pieces = files.read_json(command.path, list[Raw])
    there = {one.key: one for one in map(codec.read, map(bytes, pieces or ()))}
    for key in [key for key, one in there.items() if command.drop in (key, *one.within)]:
        del there[key]
    there |= {one.key: one for one in (codec.read(text.encode()) for text in command.put)}
    files.write(command.path, codec.encode(list(there.values())))


def tell(command: Qmp, tap: int | None) -> None:
    """Say it to QEMU; the TAP's descriptor is handed over and closed here, with one of vhost-net where that is wanted.

    QmpError (QEMU refuses, is busy with another client, or hangs), HostError (no port is free), NotInTime (the guest
    does not let go).
    """
    from qlan.qmp.monitor import converse

    fds = {} if tap is None else {live.TAP: tap}
    try:
        if command.vhost:
            [fds[live.VHOST]] = open_vhosts(1)
        answers = converse(command.socket, _calls(command, fds))
    except NotInTime as error:
        if command.stays:
            amend(command.stays)
        raise NotInTime(error.what, where=f"guest {command.guest}", hint=_HINT_REFUSES) from None
    except KeyboardInterrupt:
        if command.stays and _stays(command):
            amend(command.stays)
        raise
    except QlanError as error:
        raise _explained(error, command) from error
    finally:
        for fd in fds.values():
            os.close(fd)
    for call, answer in zip(command.calls, answers[-len(command.calls) :], strict=True):
        _check_forward(call, answer, command)
    if command.pause_s:
        time.sleep(command.pause_s)


def _stays(command: Qmp) -> bool:
    """Whether a guest keeps a card that it was asked to let go of, when nobody waits for it any more."""
    from qlan.qmp.monitor import execute

    deadline = time.monotonic() + _LET_GO_S
    with suppress(QlanError):
        while True:
            [cards] = execute(command.socket, [("qom-list", {"path": "/machine/peripheral"})])
            if all(one["name"] != command.gone for one in cards):
                return False
            if time.monotonic() > deadline:
                return True
            time.sleep(_LET_GO_POLL_S)
    return False


def _check_forward(call: QmpCall, answer: object, command: Qmp) -> None:
    """`hostfwd_add` says nothing where all went well; ConflictError (who has the port), HostError."""
    words = str(dict(call.arguments).get("command-line", "")).split()
    if not (words and words[0] == "hostfwd_add" and answer):
        return
    protocol, address, port = words[2].partition("-")[0].split(":")
    what = f"{protocol} port {port} of {address}"
    if owner := taken.find_owner(protocol, address, int(port)):
        raise ConflictError(f"{what} is taken by {owner}", where=f"guest {command.guest}",
                            hint="choose another port, or `auto` for a free one")  # fmt: skip
    hint = "an ordinary process may not listen below net.ipv4.ip_unprivileged_port_start" if int(port) < 1024 else ""
    raise HostError(f"QEMU does not open {what}: {str(answer).strip()}", where=f"guest {command.guest}", hint=hint)


def _calls(command: Qmp, fds: Mapping[str, int]) -> list[Call]:
    """fds: by the name under which QEMU gets them."""
    from qlan.qmp.monitor import Call

    calls = [Call("getfd", {"fdname": name}, fd=fd) for name, fd in fds.items()]
    for one in command.calls:
        arguments: dict[str, Any] = dict(one.arguments)
        if one.name == "device_add" and command.ports is not None:
            arguments["bus"] = _free_port(command, command.ports)
        calls.append(
            Call(one.name, arguments, absent_is_fine=command.gone_is_fine, gone=command.gone, unplug_s=UNPLUG_S)
        )
    return calls


def _free_port(command: Qmp, head: str) -> str:
    """A PCIe port with nothing in it (`query-pci`) whose name begins with `head`; HostError."""
    from qlan.qmp.monitor import execute

    [buses] = execute(command.socket, [("query-pci", {})])
    for bus in buses:
        for device in bus["devices"]:
            bridge, name = device.get("pci_bridge"), str(device["qdev_id"])
            if bridge is not None and name and name.startswith(head) and not bridge.get("devices"):
                return name
    how = "write `hotplug: 8` in the file and `qlan up --restart`" if head else f"start it with more: {MORE_PORTS}"
    raise HostError(
        "no PCIe port is free for another NIC", where=f"guest {command.guest}", hint=f"detach one, or {how}"
    )


def _explained(error: QlanError, command: Qmp) -> QlanError:
    """QEMU's refusal, with what to do about it."""
    if any(words in error.what for words in _NO_SLOT):
        error.hint = "all PCI slots of this guest are taken: detach a NIC first"
    elif "does not support hotplugging" in error.what:
        error.hint = "this model cannot be plugged in or pulled out while the guest runs: `qlan up --restart`"
    if command.guest not in error.where:
        error.where = f"guest {command.guest}"
    return error
