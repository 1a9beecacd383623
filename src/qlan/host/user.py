"""Who asks, and where that user's labs are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from qlan.errors import Denied, UsageError
from qlan.realm import Realm
from qlan.render.layout import SOCKET_PATH_MAX, Layout


def default_realm() -> Realm:
    """host for root, rootless for everyone else."""
    return Realm.HOST if os.geteuid() == 0 else Realm.ROOTLESS


def check_realm(realm: Realm) -> None:
    """Denied if this user cannot have labs in that realm."""
    root = os.geteuid() == 0
    if realm is Realm.HOST and not root:
        raise Denied(
            "the host realm is the machine's own network: it needs root",
            hint="sudo qlan up   (QEMU still runs as you), or leave out --realm and `realm:`",
        )
    if realm is Realm.ROOTLESS and root:
        raise Denied(
            "a rootless lab belongs to an ordinary user: QEMU never runs as root",
            hint="call qlan as that user, without sudo; or leave out --realm and `realm:`",
        )


def layout(lab: str) -> Layout:
    """The folders of this user's labs: /run and /var/lib for root, the XDG base directories for others.

    QLAN_RUN_DIR and QLAN_STATE_DIR name other ones (tests, several sets of labs side by side).
    """
    if os.geteuid() == 0:
        run, state = Path("/run/qlan"), Path("/var/lib/qlan")
    else:
        run = _runtime_folder()
        state = _xdg("XDG_STATE_HOME", ".local/state") / "qlan"
    run, state = Path(os.environ.get("QLAN_RUN_DIR") or run), Path(os.environ.get("QLAN_STATE_DIR") or state)
    run, state = run.absolute(), state.absolute()  # what we start does not run in this folder
    found = Layout(run, state, lab)
    longest = len(os.fsencode(found.guest("x" * 32) / "serial")) - max(0, len(lab) - 32)  # a name's length is `check`'s
    if longest > SOCKET_PATH_MAX:
        raise UsageError(
            f"the path of the folder for sockets is too long ({longest} bytes, at most {SOCKET_PATH_MAX})",
            where=str(run),
            hint="set QLAN_RUN_DIR to a shorter one, for instance /tmp/q",
        )
    return found


def cache_folder() -> Path:
    """What can be asked again at any time is kept here."""
    if os.geteuid() == 0:
        return Path("/var/cache/qlan")
    return _xdg("XDG_CACHE_HOME", ".cache") / "qlan"


def find_invoking_uid(run_as: str | None, *, for_guests: bool = True) -> int | None:
    """The uid that runs QEMU in the host realm: a named user, else who called sudo; None: the caller (not root).

    UsageError if that would be root, or the user does not exist.  for_guests: False where no QEMU is to run, and root
    will do if nobody else is known.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    if run_as is not None:
        try:
            entry = pwd.getpwuid(int(run_as)) if run_as.isdecimal() else pwd.getpwnam(run_as)
        except KeyError:
            raise UsageError(f"there is no user {run_as}", where="user:") from None
        uid = entry.pw_uid
    else:
        uid = int(os.environ.get("SUDO_UID") or 0)
    if uid == 0 and not for_guests:
        return None
    if uid == 0:
        raise UsageError(
            "QEMU never runs as root, and nobody else is known who called",
            hint="name one: `user: NAME` in the file or `--user NAME` (or call by sudo from that user)",
        )
    return uid


def seed(uid: int) -> str:
    """The salt of derived MACs: this machine's and this user's, so that two machines on one LAN never clash."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return f"{Path(path).read_text(encoding='ascii').strip()}/{uid}"
        except OSError:
            continue
    return f"{os.uname().nodename}/{uid}"


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    try:
        return Path.home() / default
    except RuntimeError:
        raise UsageError(f"user {os.geteuid()} has no home folder", hint="set HOME to a folder of your own") from None


def _runtime_folder() -> Path:
    """$XDG_RUNTIME_DIR, or (no login session: su, cron, CI) a folder in /tmp that is ours and nobody else's."""
    value = os.environ.get("XDG_RUNTIME_DIR", "")
    if value.startswith("/") and os.access(value, os.W_OK):
        return Path(value) / "qlan"
    path = Path(f"/tmp/qlan-{os.geteuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Denied(
            "it belongs to someone else or others may write there",
            where=str(path),
            hint="set QLAN_RUN_DIR to a folder of your own",
        )
    return path
