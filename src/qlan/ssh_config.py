"""An SSH configuration by which `ssh web.shop` works, and with it rsync, scp, Ansible and editors.

One block a lab, for all of its guests: where a guest is gets asked when somebody connects (`cli/dial.py`), so nothing
goes stale.  Installed, it is a file of its own below ~/.ssh, and one Include in ~/.ssh/config.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from qlan.host import files
from qlan.lab import Lab
from qlan.values import Value

FOLDER = "qlan"  # below ~/.ssh
_INCLUDE = ("# guests of qlan's labs (qlan ssh-config --uninstall takes it out)", f"Include {FOLDER}/*.conf")


class Home(Value):
    """The ~/.ssh of a user."""

    folder: Path

    @property
    def config(self) -> Path:
        """The file itself, where it is a link to one elsewhere."""
        return (self.folder / "config").resolve()

    def block(self, lab: str) -> Path:
        return self.folder / FOLDER / f"{lab}.conf"


def text(lab: Lab) -> str:
    """The block of a lab.  Its host keys are kept in the lab's folder and go with it: a new guest has a new key."""
    run_root = lab.layout.run_root
    dial = ["env", f"QLAN_RUN_DIR={run_root}", sys.executable, "-P", "-m", "qlan.cli.dial", lab.name]
    known_hosts = str(lab.layout.run / "known_hosts").replace("%", "%%")
    return "\n".join(
        [
            f"# guests of lab {lab.name}",
            f"Host *.{lab.name}",
            f"    ProxyCommand {shlex.join(dial).replace('%', '%%')} %n",
            "    ProxyUseFdpass yes",
            f'    UserKnownHostsFile "{known_hosts}"',
            "    GlobalKnownHostsFile none",
            "    StrictHostKeyChecking accept-new",
            "    CheckHostIP no",
            "",
        ]
    )


def install(lab: Lab, home: Home) -> bool:
    """Put it there; False if it is there already, as it should be.  HostError."""
    changed = _write(home.block(lab.name), text(lab))
    before = _read(home.config)
    if _INCLUDE[1] not in before.splitlines():
        # An Include below a Host line would belong to that host: it goes first.
        changed |= _write(home.config, "\n".join([*_INCLUDE, "", before]))
    return changed


def uninstall(lab: str, home: Home) -> bool:
    """Take the lab's block out, and with the last of them the Include; False if nothing was there."""
    block = home.block(lab)
    was_there = block.exists()
    files.remove(block)
    if not block.parent.is_dir() or not any(block.parent.iterdir()):
        files.remove(block.parent)
        before = _read(home.config)
        head = "\n".join([*_INCLUDE, "", ""])
        if head in before:
            _write(home.config, before.replace(head, "", 1))
    return was_there


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise files.explained(error, path) from error


def _write(path: Path, wanted: str) -> bool:
    """With the mode that it had; ssh refuses one that others may write."""
    if path.exists() and _read(path) == wanted:
        return False
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    files.write(path, wanted, mode=mode)
    return True
