"""Whether dnsmasq may read what it is to serve by TFTP.

In the host realm it has become `nobody` by then.  In a rootless lab it is the user, who is root there, and as root
dnsmasq serves only what everybody may read (check_tftp_fileperm in its tftp.c).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_ACL = "system.posix_acl_access"


def find_fault(folder: Path, bootfile: str | None, *, on_host: bool) -> tuple[str, str] | None:
    """(why not, what to do), or None.  What is not there is no matter of this one."""
    path = folder.absolute()
    if path.is_file():
        return f"{path} is a file, and `tftp` wants a folder", "name one: /srv/tftp is the usual one"
    if on_host:
        for above in reversed(path.parents):
            if _lacks(above, stat.S_IXOTH):
                return f"dnsmasq, as the user nobody, may not enter {above}", _hint("o+x", above)
    wanted = stat.S_IROTH | stat.S_IXOTH
    if _lacks(path, wanted) if on_host else path.exists() and not os.access(path, os.R_OK | os.X_OK):
        return f"dnsmasq may not look into {path}", _hint("o+rx" if on_host else "u+rx", path)
    file = path / bootfile.lstrip("/") if bootfile and "://" not in bootfile else None
    if file and _lacks(file, stat.S_IROTH, acl=on_host):
        return f"dnsmasq serves only what everybody may read, and {file} is not", _hint("o+r", file)
    return None


def _lacks(path: Path, bits: int, *, acl: bool = True) -> bool:
    """Whether others miss one of these rights.  acl: a list of who may (setfacl) is believed."""
    try:
        mode = path.stat().st_mode
        return mode & bits != bits and not (acl and _ACL in os.listxattr(path))
    except OSError:
        return False


def _hint(right: str, path: Path) -> str:
    return f"chmod {right} {path}, or serve another folder: /srv/tftp is the usual one"
