"""`qlan run DISK`: one guest without a file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from qlan.cli import which
from qlan.cli.output import print_json
from qlan.cli.progress import Progress
from qlan.errors import ConflictError, UsageError
from qlan.lab import Lab, UpReport
from qlan.names import endpoint
from qlan.resources.model import PortForward
from qlan.topology.model import Guest, Nic
from qlan.values import replace

DESCRIPTION = """\
Start one guest without a file: a disk image, or a Linux kernel.  It gets user-mode networking, with a free port of this
machine forwarded to its SSH (the same one every time); `--nic none` gives it nothing.  It runs in the background as a
lab of its own, named after the image: `qlan console`, `qlan ssh` and `qlan down -l NAME` know it.
A NIC is written as in the file: `user`, `user,model=e1000,restrict=true`.  Words after -- go to QEMU as they are."""
EXAMPLES = """\
  qlan run debian.qcow2 -p 8080:80
  qlan run --kernel vmlinuz --initrd initrd.gz --append console=ttyS0 --console
  qlan run suspect.qcow2 --nic none
  qlan run old.img --nic user,model=ne2k_pci --machine pc --name old -- -rtc base=localtime"""
REST = "QEMU-ARGS"

_SSH = "auto:22"
_SSH_PORT = 22


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `run`."""
    what = parser.add_argument_group("what to start")
    what.add_argument("disk", nargs="?", type=Path, metavar="DISK", help="a disk image (qcow2, raw, ...)")
    what.add_argument("--kernel", type=Path, metavar="FILE", help="a Linux kernel to boot directly")
    what.add_argument("--initrd", type=Path, metavar="FILE", help="its initial RAM disk")
    what.add_argument("--append", default="", metavar="TEXT", help="its command line")
    what.add_argument("--name", metavar="NAME", help="the guest's name (default: made of the file's)")
    network = parser.add_argument_group("network")
    network.add_argument("--nic", action="append", metavar="SPEC", help="a NIC (may be repeated; default: user)")
    network.add_argument("-p", "--forward", action="append", default=[], metavar="FORWARD",
                         help="a port of this machine that leads into it, like 8080:80 (may be repeated)")  # fmt: skip
    machine = parser.add_argument_group("machine")
    machine.add_argument("--memory", metavar="SIZE", help="like 512M or 2G (default: 512M)")
    machine.add_argument("--cpus", metavar="N", help="default: 1")
    machine.add_argument("--arch", metavar="ARCH", help="as in qemu-system-ARCH (default: this machine's)")
    machine.add_argument("--machine", metavar="TYPE", help="QEMU's machine type")
    machine.add_argument("--accel", choices=("auto", "kvm", "tcg"), help="default: auto, KVM where it works")
    machine.add_argument("--display", choices=("none", "sdl", "gtk", "vnc", "spice"), help="default: none")
    parser.add_argument("--console", action="store_true", help="attach to its serial console at once")
    which.add_realm(parser)
    which.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Start it."""
    start_s = time.monotonic()
    lab = Lab.of(topology_of(args))
    _refuse_others(lab)
    progress = Progress(quiet=args.json)
    with progress.shown(f"starting {lab.name}"):
        report = lab.up(progress=progress.steps)
    if args.json:
        print_json(_data(lab, report))
        return 0
    _say(lab, report, time.monotonic() - start_s)
    if args.console:
        from qlan.cli.console import attach

        return attach(lab, lab.name)
    return 0


def topology_of(args: argparse.Namespace) -> Any:
    """The lab of one guest that the words mean.  TopologyError, UsageError."""
    from qlan.topology.load import lab_name
    from qlan.topology.model import Disk, Realm, Topology
    from qlan.topology.short import parse_nics

    boot = args.disk or args.kernel
    if boot is None:
        raise UsageError("nothing to start is named", hint="qlan run DISK, or qlan run --kernel FILE")
    name = args.name or lab_name(boot.name.split(".")[0])
    nics = parse_nics(args.nic or [], args.forward, which.working_folder())
    _refuse_networks(nics)
    guest = Guest(
        name,
        disks=(Disk(args.disk.absolute()),) if args.disk else (),
        kernel=args.kernel.absolute() if args.kernel else None,
        initrd=args.initrd.absolute() if args.initrd else None,
        append=args.append, nics=_with_ssh(nics), qemu_args=tuple(args.rest), **_machine(args),
    )  # fmt: skip
    realm = Realm(args.realm) if args.realm else None
    return Topology(name, guests=(guest,), realm=realm, run_as=args.user)


def _machine(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of the machine; defaults are the model's."""
    from qlan.topology.scalars import Unreadable, parse_integer, parse_size

    said: dict[str, Any] = {key: getattr(args, key) for key in ("arch", "machine", "accel", "display")
                            if getattr(args, key) is not None}  # fmt: skip
    option = "memory"
    try:
        if args.memory is not None:
            said["memory_bytes"] = parse_size(args.memory)
        option = "cpus"
        if args.cpus is not None:
            said["cpus"] = parse_integer(args.cpus, 1, 1024)
    except Unreadable as error:
        raise UsageError(f"--{option}: {error.what}", hint=error.hint) from None
    return said


def _with_ssh(nics: tuple[Nic, ...]) -> tuple[Nic, ...]:
    """SSH of the first user-mode NIC on a free port, unless port 22 is forwarded already."""
    from qlan.topology.forwards import parse_forward

    if any(one.guest_port == _SSH_PORT and one.protocol == "tcp" for nic in nics for one in nic.forwards):
        return nics
    for place, nic in enumerate(nics):
        if nic.user is not None:
            return (
                *nics[:place],
                replace(nic, forwards=(*nic.forwards, parse_forward(_SSH, None))),
                *nics[place + 1 :],
            )
    return nics


def _refuse_networks(nics: tuple[Nic, ...]) -> None:
    for nic in nics:
        if nic.network is not None:
            raise UsageError(f"`--nic {nic.network}` names a network, and a guest of `qlan run` stands alone",
                             hint="`--nic user`, `--nic none`; or put both into a qlan.yaml (`qlan init`)")  # fmt: skip


def _refuse_others(lab: Lab) -> None:
    """A lab of that name that is not this very guest stays as it is."""
    record = lab.record
    if record is None:
        return
    hint = f"--name NAME gives this one another name; qlan down -l {lab.name} takes that one down"
    if record.source is not None:
        raise ConflictError(f"a lab named `{lab.name}` is up, from {record.source}", hint=hint)
    if lab.wanted != record.wanted:
        raise ConflictError(f"a guest named `{lab.name}` is up already, started with other words", hint=hint)


def _forwards(lab: Lab) -> list[PortForward]:
    record = lab.record
    return [one for one in record.wanted.values() if isinstance(one, PortForward)] if record else []


def _say(lab: Lab, report: UpReport, took_s: float) -> None:
    if report.plan:
        print(f"guest {lab.name} runs ({took_s:.1f} s)")
    else:
        print(f"guest {lab.name} runs already: nothing to do")
    for one in _forwards(lab):
        ssh = f"   qlan ssh {lab.name}" if one.guest_port == _SSH_PORT and one.protocol == "tcp" else ""
        print(f"  {endpoint(one.host_address, one.host_port)} -> {one.guest_port}/{one.protocol}{ssh}")
    print(f"  serial console: qlan console {lab.name}")
    print(f"  take it down:   qlan down -l {lab.name}", flush=True)


def _data(lab: Lab, report: UpReport) -> dict[str, object]:
    rows = [{"protocol": one.protocol, "address": str(one.host_address), "port": one.host_port,
             "guest_port": one.guest_port} for one in _forwards(lab)]  # fmt: skip
    return {"lab": lab.name, "guest": lab.name, "took_s": round(report.took_s, 3), "started": bool(report.plan),
            "forwards": rows}  # fmt: skip
