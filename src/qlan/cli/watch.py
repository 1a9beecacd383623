"""`qlan watch`: a live table of a lab, and what happens to it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterator

from qlan.cli import events, table, which
from qlan.cli.terminal import BOLD, YELLOW, is_live, painted, printable, width
from qlan.errors import UsageError
from qlan.host import counters
from qlan.host.counters import Bytes
from qlan.host.namespace import find_holder
from qlan.lab import Lab
from qlan.resources.model import HOST, Tap
from qlan.status import GuestStatus
from qlan.values import Struct, field
from qlan.watching import Watch

DESCRIPTION = """\
Show a lab that is up as a table that stays current: guests, addresses with the forwards that lead there, links, and
how much each NIC on a bridge sends and receives; under it the last events, as `qlan events` prints them.  Ends when the
lab is down, or by Ctrl-C.
With --repair, what somebody else changed is put back at once."""
EXAMPLES = """\
  qlan watch
  qlan watch --repair
  qlan events            the events alone, for a log or a program"""

_TICK_S = 1.0
_HEAD = ("GUEST", "STATE", "NIC", "NETWORK", "ADDRESS", "LINK", "SENDS", "RECEIVES")
_ENTER, _LEAVE, _HOME, _END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[J"
_EVENTS_KEPT, _UNITS = 200, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s")


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `watch`."""
    events.add_repair(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Show it until it is down."""
    if not is_live(sys.stdout):
        raise UsageError("`qlan watch` draws on a terminal", hint="qlan events prints lines")
    lab = which.lab_that_is_up(args)
    said: deque[str] = deque(maxlen=_EVENTS_KEPT)
    rates = _Rates(lab)
    sys.stdout.write(_ENTER)
    try:
        drawn = 0.0
        for event in Watch(lab, args.repair).events(tick_s=_TICK_S):
            if event is not None:
                said.append(events.line(event))
            if event is None or time.monotonic() - drawn > _TICK_S:
                _draw(lab, said, rates)
                drawn = time.monotonic()
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
    print(f"lab {lab.name} is down")
    return 0


def _draw(lab: Lab, said: deque[str], rates: _Rates) -> None:
    columns, height = width(sys.stdout) or 80, _height()
    status = lab.status()
    by_nic = rates.read()
    rows = [row for guest in status.guests for row in _rows(guest, by_nic)]
    head = f"lab {painted(status.lab, BOLD)}  {status.realm}  {time.strftime('%H:%M:%S')}"
    lines = [head, *table.lines(_HEAD, rows, fits=columns)]
    if status.drift:
        lines.append(painted(f"{len(status.drift)} not as wanted: qlan status", YELLOW))
    room = max(0, height - len(lines) - 2)
    lines += ["", *list(said)[-room:]] if room else []
    text = "".join(f"{line}\x1b[K\n" for line in lines[: height - 1])
    sys.stdout.write(f"{_HOME}{text}{_END}")
    sys.stdout.flush()


def _rows(guest: GuestStatus, rates: dict[tuple[str, int], tuple[float, float]]) -> Iterator[tuple[str, ...]]:
    name, state = printable(guest.name), guest.state
    if not guest.nics:
        yield (name, state, "none", "", "", "", "", "")
    for nic in guest.nics:
        address = "\n".join([f"{nic.address} ({nic.address_state})" if nic.address else "-", *nic.forwards])
        sends, receives = (_rate(one) for one in rates.get((guest.name, nic.index), (-1.0, -1.0)))
        yield (name, state, str(nic.index), nic.network, address, nic.link, sends, receives)
        name = state = ""


def _rate(bit_per_s: float) -> str:
    """`1.2 Mbit/s`; "" where nobody counts."""
    if bit_per_s < 0:
        return ""
    for unit in _UNITS:
        if bit_per_s < 1000 or unit == _UNITS[-1]:
            return f"{bit_per_s:.3g} {unit}"
        bit_per_s /= 1000
    raise AssertionError


def _height() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or 24
    except OSError:
        return 24


class _Rates(Struct):
    """What each NIC with a TAP sent and received per second since the last reading."""

    lab: Lab
    _last: dict[tuple[str, int], Bytes] = field(default_factory=dict)
    _at_s: float = 0.0

    def read(self) -> dict[tuple[str, int], tuple[float, float]]:
        """(guest, NIC) to bits per second, from the guest and to it; none at the first reading."""
        record = self.lab.record
        taps = [one for one in record.wanted.values() if isinstance(one, Tap)] if record else []
        now = time.monotonic()
        counted = self._counted(taps)
        passed_s = max(now - self._at_s, 0.001)
        found = {
            nic: (8 * (new.received - old.received) / passed_s, 8 * (new.sent - old.sent) / passed_s)
            for nic, new in counted.items()
            if (old := self._last.get(nic)) and new.received >= old.received and new.sent >= old.sent
        }
        self._last, self._at_s = counted, now
        return found

    def _counted(self, taps: list[Tap]) -> dict[tuple[str, int], Bytes]:
        links: dict[str, dict[str, Bytes]] = {}
        for one in taps:
            if one.namespace not in links:
                holder = find_holder(self.lab.layout, one.namespace) if one.namespace != HOST else None
                links[one.namespace] = counters.read(holder) if holder or one.namespace == HOST else {}
        return {
            (one.guest, one.nic): links[one.namespace][one.name] for one in taps if one.name in links[one.namespace]
        }
