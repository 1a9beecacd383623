"""`qlan adopt`: a QEMU that was started by hand becomes a guest of a lab."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json
from qlan.lab import Lab

DESCRIPTION = """\
Know a QEMU that you started by hand: `status` shows it, `forward` lists and changes its forwards, `nic` pulls its
cables and plugs it into the lab's networks, `capture` listens to it.  It is named by its QMP socket, or by its process
if the socket is on its command line (-qmp unix:PATH,server=on,wait=off).  Adopting changes nothing in it, and qlan
never ends it: `qlan release`, and `qlan down`, take back what was lent.  Without a lab that is up it gets one of its
own."""
EXAMPLES = """\
  qemu-system-x86_64 -qmp unix:/tmp/vm.qmp,server=on,wait=off disk.qcow2 &
  qlan adopt /tmp/vm.qmp --as vm
  qlan nic attach vm lan
  qlan forward add vm 2222:22
  qlan release vm"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `adopt`."""
    parser.add_argument("qemu", metavar="SOCKET|PID", help="its QMP socket, or its process id")
    parser.add_argument("--as", dest="name", metavar="NAME", help="the guest's name (default: as QEMU's -name has it)")
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Adopt it."""
    from qlan import adopting

    with interruptible():
        lab, done = adopting.adopt(_lab(args), args.qemu, args.name)
    found = done.change.found
    assert found is not None
    if args.json:
        print_json({"lab": lab.name, "guest": done.change.guest, "pid": found.pid, "socket": found.socket,
                    "machine": found.machine, "nics": [one.mac for one in found.nics]})  # fmt: skip
        return 0
    print(f"process {found.pid} is guest {done.change.guest} of lab {lab.name}; qlan release {done.change.guest}")
    return 0


def _lab(args: argparse.Namespace) -> Lab | None:
    """The one named, that of the file here, or the only one that is up; None: none is."""
    if args.lab or args.file or Lab.names():
        return which.lab_that_is_up(args)
    return None
