"""QEMU processes: started in the background with their sockets and TAPs as descriptors, awaited, and asked to end.

The sockets are made and listened on before QEMU exists, so a connection made right after the start is never refused: it
waits until QEMU answers, and ends at once if QEMU dies.  No sleep, no race.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qlan.errors import GuestFailed, HostError, QmpError
from qlan.host import disk, files, process
from qlan.host.run import shown, tool
from qlan.render.command import FIRST_FD, Boot, Stop
from qlan.values import Value

# In the background of a shell that ends at once: nobody's child but init's, so nobody has to reap it.
_RECORD = '(read -r stat </proc/self/stat && echo "$stat" >"$0" && exec "$@") &'
_START_TIME_LIMIT_S = 60.0
_LOCKED = re.compile(r"another process using the image \[([^\]]+)\]")  # block/file-posix.c in QEMU


class Started(Value):
    """A QEMU on its way up; `monitor` is connected to its QMP socket."""

    boot: Boot
    monitor: socket.socket

    def wait(self) -> None:
        """Wait until QMP answers, then send what the machine is to be told; GuestFailed with QEMU's own words.

        Its greeting alone says little: it comes before the devices are made.
        """
        with self.monitor:
            self.monitor.settimeout(_START_TIME_LIMIT_S)
            try:
                self.monitor.sendall(b'{"execute": "qmp_capabilities"}\n')
                words = b""
                while b'"return"' not in words:
                    more = self.monitor.recv(4096)
                    if not more:
                        raise self._failure()
                    words += more
            except TimeoutError:
                raise GuestFailed(
                    f"QEMU says nothing for {_START_TIME_LIMIT_S:.0f} s", where=f"guest {self.boot.guest}"
                ) from None
            except ConnectionError:
                raise self._failure() from None
        if self.boot.then:
            from qlan.qmp.monitor import execute

            execute(self.boot.sockets[0], [(call.name, dict(call.arguments)) for call in self.boot.then])

    def end(self) -> None:
        """Wait no longer; QEMU stays as it is."""
        self.monitor.close()

    def _failure(self) -> GuestFailed:
        lines = self.boot.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        binary = Path(self.boot.argv[0]).name
        words = [line.removeprefix(f"{binary}: ") for line in lines if "warning:" not in line]
        what = " ".join(words) or "it ended without a word"
        hint = f"its command line: {shown(self.boot.argv)}"
        if "failed to find romfile" in what:
            hint = "it is iPXE's, for `boot: network`: Debian has it in `ipxe-qemu`, Fedora in `ipxe-roms-qemu`"
        if locked := _LOCKED.search(what):
            hint = f"{locked[1]} is open in {disk.find_user(Path(locked[1])) or 'a process of another user'}"
        return GuestFailed(f"QEMU does not start: {what}", where=f"guest {self.boot.guest}", hint=hint)


def start(boot: Boot, taps: Sequence[int]) -> Started:
    """Start it; the TAPs' descriptors are closed here and live on in QEMU."""
    files.make_folder(boot.own, private_to=os.geteuid() if boot.run_as is None else boot.run_as)
    listeners: list[socket.socket] = []
    monitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listeners += [_listen(path, boot.run_as) for path in boot.sockets]
        monitor.connect(str(boot.sockets[0]))
        _spawn(boot, [*(listener.fileno() for listener in listeners), *taps])
    except OSError as error:
        raise files.explained(error, boot.record) from error
    finally:
        for listener in listeners:
            listener.close()
        for fd in taps:
            os.close(fd)
    return Started(boot, monitor)


def _spawn(boot: Boot, fds: list[int]) -> None:
    """A shell writes the record and becomes QEMU (as another user where run_as says so)."""
    tool(boot.argv[0])
    argv = ["sh", "-c", _RECORD, str(boot.record), *as_user(boot.run_as), *boot.argv]
    log = os.open(boot.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if boot.run_as is not None:
        os.fchown(log, boot.run_as, -1)
    numbered = [(null, 0), (log, 1), (log, 2), *((fd, FIRST_FD + place) for place, fd in enumerate(fds))]
    try:
        process.spawn(argv, numbered)
    finally:
        os.close(log)
        os.close(null)


def as_user(uid: int | None) -> list[str]:
    """The words that drop root: the user with all of its groups (it may need `kvm`), its name and its home."""
    if uid is None or uid == os.geteuid():
        return []
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "env", "HOME=/", f"USER={uid}"]
    whose = [f"HOME={entry.pw_dir}", f"USER={entry.pw_name}", f"LOGNAME={entry.pw_name}"]
    return ["setpriv", f"--reuid={uid}", f"--regid={entry.pw_gid}", "--init-groups", "env", *whose]


def _listen(path: Path, uid: int | None) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    if uid is not None:
        os.chown(path, uid, -1)
    listener.listen(8)
    fcntl.fcntl(listener, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return listener


def ask_to_stop(stops: Sequence[Stop], grace_s: float) -> None:
    """Press the power button of every machine among them, and wait until they are off or the time is over.

    A guest that cannot hear the button (no ACPI yet, a hung QEMU) is ended by force by the caller afterwards.
    """
    asked = []
    for stop in stops:
        pid = process.find_recorded(stop.record, mark=stop.mark) if stop.ask else None
        if stop.ask is None or pid is None or grace_s <= 0:
            continue
        from qlan.qmp.monitor import execute

        with suppress(QmpError, HostError):
            execute(stop.ask, [("system_powerdown", {})], time_limit_s=3.0)
            asked.append(pid)
    process.wait_gone(asked, grace_s)
