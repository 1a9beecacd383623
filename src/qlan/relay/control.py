"""The control socket: `open` (with the sockets to listen on), `change`, `close`, `list`.

SOCK_SEQPACKET, JSON; one message asks, one or more answer.  A port of protocol `dhcp` comes with two sockets, any other
with one.  Whoever may connect to the control socket (its owner, by its mode) may ask.  An answer is `{"error": TEXT}`
or `{"ports": [...], "more": BOOL}`.  A port's `as_caller`: its guest is called by callers' own addresses, `but` of some
networks; answers come by `link` with a `mark`.  None: all come by ours.
"""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from typing import Any

from qlan.relay import dhcp, tcp, udp
from qlan.relay.callers import Homeward, Kept
from qlan.relay.loop import READ, Loop
from qlan.relay.message import FDS_MAX, MESSAGE_MAX
from qlan.relay.port import Port, link_of

_LISTED_AT_ONCE = 200


def sockets_of(protocol: str) -> int:
    """How many a port comes with."""
    return 2 if protocol == "dhcp" else 1


class Control:
    """What is open, and who asks about it."""

    def __init__(self, listening: socket.socket, loop: Loop) -> None:
        self._socket = listening
        self._loop = loop
        self._pipes = tcp.Pipes()
        self._homeward = Homeward()
        self._listeners: dict[str, tcp.Listener | udp.Listener | dhcp.Listener] = {}
        listening.setblocking(False)
        loop.add(listening.fileno(), READ, self._accept)

    def _accept(self, events: int) -> None:
        with suppress(OSError):
            asker, _ = self._socket.accept()
            asker.setblocking(False)
            self._loop.add(asker.fileno(), READ, lambda _: self._hear(asker))

    def _hear(self, asker: socket.socket) -> None:
        fds: list[int] = []
        try:
            message, fds, _, _ = socket.recv_fds(asker, MESSAGE_MAX, FDS_MAX)
            if not message:
                self._leave(asker)
                return
            self._answer(asker, self._asked(json.loads(message), fds))
        except BlockingIOError:
            return
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            with suppress(OSError):
                asker.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
            self._leave(asker)

    def _leave(self, asker: socket.socket) -> None:
        self._loop.remove(asker.fileno())
        asker.close()

    def _answer(self, asker: socket.socket, ports: list[dict[str, Any]]) -> None:
        asker.setblocking(True)  # an asker that does not listen would hold everybody up: not for long
        asker.settimeout(1.0)
        for start in range(0, max(1, len(ports)), _LISTED_AT_ONCE):
            part = ports[start : start + _LISTED_AT_ONCE]
            more = start + _LISTED_AT_ONCE < len(ports)
            asker.send(json.dumps({"ports": part, "more": more}).encode())
        asker.setblocking(False)

    def _asked(self, message: dict[str, Any], fds: list[int]) -> list[dict[str, Any]]:
        if "open" in message:
            return self._open(message["open"], fds)
        if "change" in message:
            return self._change(message["change"])
        if "close" in message:
            return self._close(message["close"])
        if not message["list"]:
            return []
        return [
            {"key": port.key, "note": port.note, "connections": port.connections, "link": link_of(one.bound),
             "keeps": port.kept is not None}
            for port, one in ((one.port, one) for one in self._listeners.values())
        ]  # fmt: skip

    def _open(self, specs: list[dict[str, Any]], fds: list[int]) -> list[dict[str, Any]]:
        sockets = [socket.socket(fileno=fd) for fd in fds]
        if len(sockets) != sum(sockets_of(spec["protocol"]) for spec in specs):
            raise ValueError(f"{len(sockets)} sockets are not what {len(specs)} ports take")
        for spec in specs:
            port = Port(spec["key"], spec["note"], (spec["address"], spec["port"]), spec["only"])
            port.kept = self._kept(port, spec)
            if old := self._listeners.pop(port.key, None):
                old.close()
            one = sockets.pop(0)
            if spec["protocol"] == "dhcp":
                self._listeners[port.key] = dhcp.Listener(port, one, sockets.pop(0), self._loop)
            elif one.type == socket.SOCK_STREAM:
                self._listeners[port.key] = tcp.Listener(port, one, self._loop, self._pipes)
            else:
                self._listeners[port.key] = udp.Listener(port, one, self._loop)
        return []

    def _change(self, specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """By whose addresses guests are called from now on; TCP connections that are open stay what they are."""
        for one, spec in [(self._listeners[spec["key"]], spec) for spec in specs]:
            one.port.note = spec["note"]
            one.port.kept = self._kept(one.port, spec)
            if isinstance(one, udp.Listener):
                one.forget_callers()
        return []

    def _kept(self, port: Port, spec: dict[str, Any]) -> Kept | None:
        """Whose address the guest is called by; None: by ours, since that is wanted, or nothing else to be had here."""
        said = spec["as_caller"]
        if said is None or not self._homeward.leads(port.family, said["link"], said["mark"]):
            return None
        return Kept(said["but"], said["mark"])

    def _close(self, keys: list[str]) -> list[dict[str, Any]]:
        for key in keys:
            if one := self._listeners.pop(key, None):
                one.close()
        return []
