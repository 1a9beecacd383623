"""A machine in the small: a place with processes, a /run and a system bus of its own, for daemons that need them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .place import Place

DBUS = shutil.which("dbus-daemon")

_BUS = """\
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true"/><allow receive_sender="*"/></policy></busconfig>
"""
# $1: the bus's configuration; afterwards: the words of who made it
_FIRST = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/systemd /run/bin
for file in passwd group resolv.conf; do cat /etc/$file >/run/$file; done
for name in systemd-resolve systemd-network; do
    grep -q ^$name: /run/passwd || echo $name:x:$((id = ${id:-992} + 1)):993::/:/bin/false >>/run/passwd
    grep -q ^$name: /run/group || echo $name:x:993: >>/run/group
done
for file in passwd group resolv.conf; do mount --bind /run/$file /etc/$file; done
dbus-daemon --config-file="$1" --nofork --nopidfile &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
shift
"""


@contextmanager
def box(place: Place, folder: Path, script: str, *words: str) -> Iterator[tuple[Place, subprocess.Popen[bytes]]]:
    """The place inside, and the process that holds it.  script: shell that starts the daemons, with `words` as its
    arguments.  All of it ends with the block.
    """
    config = folder / "bus.conf"
    config.write_text(_BUS)
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    argv = [*place.enter, *apart, f"{_FIRST}{script}\nexec sleep infinity", "box", str(config), *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            target = f"--target={_inner(process.pid)}"
            enter = ("nsenter", target, "--net", "--mount", "--pid", f"--wdns={place.folder}")
            yield replace(place, enter=enter), process
        finally:
            process.kill()


def _inner(outer: int) -> int:
    """The first process of the box."""
    children = Path(f"/proc/{outer}/task/{outer}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for child in children.read_text().split():
            return int(child)
        time.sleep(0.05)
    raise AssertionError("no box")
