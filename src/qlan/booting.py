"""`qlan enable`: a lab that comes up when the machine does, by a systemd unit: the user's own for a rootless lab.

The unit calls `qlan up` and `qlan down`; it says nothing that the file says.  See systemd.service(5), systemd.unit(5).
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from qlan.errors import HostError, UsageError
from qlan.host import files
from qlan.host.run import run
from qlan.lab import Lab
from qlan.realm import Realm
from qlan.values import Value

_RUNNING = Path("/run/systemd/system")  # sd_booted(3)
_LINGER = Path("/var/lib/systemd/linger")


class Unit(Value):
    """A lab's unit.  of_user: for the user's own systemd."""

    name: str
    path: Path
    text: str
    of_user: bool

    @property
    def systemctl(self) -> list[str]:
        return ["systemctl", "--user"] if self.of_user else ["systemctl"]


def unit(lab: Lab) -> Unit:
    """The unit of a lab that has a file; UsageError if it has none."""
    source = lab.topology.source if lab.topology else None
    if source is None:
        raise UsageError(f"lab `{lab.name}` has no file to come up from", hint="write it a qlan.yaml")
    of_user = lab.realm is Realm.ROOTLESS
    qlan = [sys.executable, "-P", "-m", "qlan"]
    start = [*qlan, "up", "--no-wait", "--realm", lab.realm.value, "-f", str(source)]
    public = [one for one in lab.topology.networks if one.kind == "public"] if lab.topology else []
    if public:
        start.append("--confirm-by-gateway")
    if any(one.managed for one in public):
        start.append("--managed")
    lines = [
        "[Unit]",
        f"Description=qlan lab {lab.name}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "# What `up` leaves behind is ended by `down`, guests by being asked.",
        "KillMode=process",
        "TimeoutStartSec=5min",
        "TimeoutStopSec=2min",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in _environment(lab)),
        f"ExecStart={_command(start)}",
        f"ExecStop={_command([*qlan, 'down', '-l', lab.name])}",
        "",
        "[Install]",
        f"WantedBy={'default.target' if of_user else 'multi-user.target'}",
        "",
    ]
    return Unit(f"qlan-{lab.name}.service", _folder(of_user) / f"qlan-{lab.name}.service", "\n".join(lines), of_user)


def enable(lab: Lab) -> Unit:
    """Write the unit and enable it.  HostError, with the line for cron instead, where no systemd runs."""
    one = unit(lab)
    if not _RUNNING.is_dir():
        raise HostError("no systemd runs on this machine", hint=f"a line for `crontab -e`:  {cron_line(lab)}")
    files.write(one.path, one.text)
    run([*one.systemctl, "daemon-reload"])
    run([*one.systemctl, "enable", one.name])
    return one


def disable(lab: Lab) -> bool:
    """Take it back; the lab itself stays as it is.  False if it was not enabled."""
    name = f"qlan-{lab.name}.service"
    of_user = lab.realm is Realm.ROOTLESS
    path = _folder(of_user) / name
    if not path.exists():
        return False
    systemctl = ["systemctl", "--user"] if of_user else ["systemctl"]
    if _RUNNING.is_dir():
        run([*systemctl, "disable", name])
    files.remove(path)
    if _RUNNING.is_dir():
        run([*systemctl, "daemon-reload"])
    return True


def cron_line(lab: Lab) -> str:
    """What brings the lab up where cron does that."""
    source = lab.topology.source if lab.topology else ""
    words = [sys.executable, "-P", "-m", "qlan", "up", "--no-wait", "-f", str(source)]
    return f"@reboot {shlex.join(words)}"


def lingers() -> bool:
    """Whether this user's systemd runs without a login (loginctl enable-linger)."""
    import pwd

    return (_LINGER / pwd.getpwuid(os.getuid()).pw_name).exists()


def _folder(of_user: bool) -> Path:
    if not of_user:
        return Path("/etc/systemd/system")
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def _environment(lab: Lab) -> list[tuple[str, str]]:
    """What the caller had said and systemd would not: who runs QEMU, and folders of the user's choice."""
    found = [(name, os.environ[name]) for name in ("QLAN_RUN_DIR", "QLAN_STATE_DIR") if name in os.environ]
    named = lab.topology.run_as if lab.topology else None
    if lab.realm is Realm.HOST and not named and os.environ.get("SUDO_UID"):
        found.append(("SUDO_UID", os.environ["SUDO_UID"]))
    return found


def _command(words: list[str]) -> str:
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _quoted(word: str) -> str:
    """A word of a unit: in quotes where it must be, and `%` is no specifier."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(char in text for char in " \t\"'\\;") else text
