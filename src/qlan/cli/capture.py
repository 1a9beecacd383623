"""`qlan capture`: the frames of a NIC or a network, into a file, a pipe or the terminal."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from qlan.cli import which
from qlan.cli.output import count
from qlan.cli.parser import span
from qlan.errors import HostError, UsageError
from qlan.host.run import environment, tool
from qlan.lab import Lab

if TYPE_CHECKING:
    from qlan.pcapng import Packet

DESCRIPTION = """\
Listen to a NIC (web/0, web/lan), to all NICs of a guest (web) or to a network (lan) of a lab that is up, without
stopping or changing anything; in a rootless lab without root.  Without -w each frame is a line, as tcpdump has it; with
-w the frames go into a pcapng file (`-`: standard output) that names each NIC and says in which direction a frame went,
as seen by the guest.  User-mode NICs are heard inside QEMU.  Ends by Ctrl-C, with --for after that time, or when
nothing is left to listen to.  What did not fit (a very busy link) is counted and told at the end."""
EXAMPLES = """\
  qlan capture web
  qlan capture lan --filter 'udp port 67 or arp'
  qlan capture web/0 -w web.pcapng --for 30s
  qlan capture lan -w - | wireshark -k -i -"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `capture`."""
    name = parser.add_argument("name", metavar="GUEST[/NIC]|NETWORK", help="of a lab that is up")
    name.completer = which.complete_names  # type: ignore[attr-defined]
    parser.add_argument("-w", "--write", metavar="FILE", help="write pcapng there; -: to standard output")
    parser.add_argument("--filter", default="", metavar="EXPR", help="only these frames: pcap-filter(7), `tcp port 80`")
    parser.add_argument("--for", dest="time_s", type=span, metavar="TIME", help="end after 30s, 5m, 1h")
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Listen."""
    from qlan import capturing, pcapng

    if args.write == "-" and sys.stdout.isatty():
        raise UsageError("frames would go to the terminal", hint="qlan capture ... -w - | wireshark -k -i -")
    lab, name = _find(args)
    where = capturing.points(lab, name)
    program = capturing.compiled(args.filter)
    taken = 0
    with ExitStack() as stack:
        write = _writer(args.write, stack)

        def take(packets: Sequence[Packet]) -> bool:
            nonlocal taken
            taken += len(packets)
            return write(b"".join(map(pcapng.block, packets)))

        write(pcapng.head([point.name for point in where]))
        lost = capturing.capture(lab, where, take, program=program, time_limit_s=args.time_s)
    if args.write:
        lost_words = f", {lost} more were lost: the link is faster than this" if lost else ""
        print(f"{count(taken, 'frame')} of {', '.join(point.name for point in where)}{lost_words}", file=sys.stderr)
    return 0


def _find(args: argparse.Namespace) -> tuple[Lab, str]:
    """The lab, and `web/0`, `web` or `lan`.  Of `A/B` A is a guest, and B says which of its NICs, unless A is a lab."""
    head, _, last = args.name.rpartition("/")
    if head and ("/" in head or last.isdecimal() or head not in Lab.names()):
        from qlan.bending import find_nic

        args.guest = head
        lab, guest = which.lab_of_guest(args)
        return lab, f"{guest}/{find_nic(lab, guest, last)}"
    if not (args.lab or args.file or head):
        args.guests = [args.name]
        if found := which.find_lab_of_guest(args):
            return found[0], args.name
    [bare] = which.split([args.name], args)
    return which.lab_that_is_up(args), bare


def _writer(target: str | None, stack: ExitStack) -> Callable[[bytes], bool]:
    """A function that writes and says whether somebody still reads."""
    if target is None:
        return _to_terminal(stack)
    if target == "-":
        return _into(sys.stdout.buffer)
    try:
        return _into(stack.enter_context(Path(target).open("wb")))
    except OSError as error:
        raise HostError(f"cannot be written: {error.strerror}", where=target) from error


def _to_terminal(stack: ExitStack) -> Callable[[bytes], bool]:
    """Through tcpdump, in a session of its own: a Ctrl-C ends us first, and it prints the last frames."""
    argv = [tool("tcpdump"), "-nn", "-l", "-r", "-"]
    reader = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
                              start_new_session=True)  # fmt: skip
    assert reader.stdin
    pipe = reader.stdin

    def finish() -> None:
        with suppress(BrokenPipeError):
            pipe.close()
        reader.wait()

    stack.callback(finish)
    return _into(pipe)


def _into(file: IO[bytes]) -> Callable[[bytes], bool]:
    def write(data: bytes) -> bool:
        try:
            file.write(data)
            file.flush()
        except BrokenPipeError:
            return False
        return True

    return write
