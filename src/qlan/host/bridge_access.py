"""Whether QEMU's setuid bridge helper would plug an ordinary user into a bridge, and if not, exactly why.

The helper (qemu-bridge-helper.c) reads /etc/qemu/bridge.conf: `allow NAME`, `deny NAME`, `include FILE`, with `all` for
any name.  Whatever denies wins over whatever allows, and what is not allowed is denied.  It has given up root by then:
a file that its caller may not read does not count, which is how an included file is for some users alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qlan.host.run import find_tool, run
from qlan.values import Value

CONF = Path("/etc/qemu/bridge.conf")
NAME = "qemu-bridge-helper"
# where distributions keep it: Debian and Arch; Fedora, RHEL, Gentoo; openSUSE; NixOS' wrapper; QEMU's own default
_FOLDERS = (
    "/usr/lib/qemu", "/usr/libexec", "/usr/lib", "/run/wrappers/bin", "/usr/lib64/qemu", "/usr/local/libexec",
)  # fmt: skip
_NAME_BYTES_MAX = 15  # IFNAMSIZ, with the NUL
_INCLUDES_DEEP_MAX = 20
_CAP_NET_ADMIN = 12


class Rule(Value):
    """`allow` or `deny` of a bridge (or `all`).  path, line: where it stands."""

    allows: bool
    bridge: str
    path: Path
    line: int


class Refusal(Value):
    """Why not, and what to do about it."""

    what: str
    hint: str


class Broken(Value):
    """A line at which the helper stops; it then refuses everything."""

    path: Path
    line: int
    why: str


def find_helper(binary: str = "qemu-system-x86_64") -> Path | None:
    """The helper: where the installed QEMU looks for it, else where distributions keep it; one with its bit first."""
    found = [path for path in _candidates(binary) if path.is_file()]
    return next((path for path in found if is_privileged(path)), found[0] if found else None)


def is_privileged(helper: Path) -> bool:
    """Whether it may make a TAP for an ordinary user: setuid root, or the capability in the file."""
    with suppress(OSError):
        status = helper.stat()
        if status.st_uid == 0 and status.st_mode & stat.S_ISUID:
            return True
        permitted = os.getxattr(helper, "security.capability")[4:8]  # linux/capability.h: magic, then permitted
        return bool(int.from_bytes(permitted, "little") >> _CAP_NET_ADMIN & 1)
    return False


def find_refusal(helper: Path | None, bridge: str) -> Refusal | None:
    """Why the helper would not let the caller onto the bridge; None if it would."""
    repair = f"sudo qlan host allow {bridge}"
    if helper is None:
        return Refusal(f"QEMU's {NAME} is not installed", f"install it ({install_hint()}), or use `sudo qlan up`")
    if not os.access(helper, os.X_OK):
        return Refusal(f"{helper} may not be run by this user", f"ls -l {helper}; then {repair}")
    if os.statvfs(helper).f_flag & os.ST_NOSUID:
        return Refusal(f"{helper} is on a file system mounted nosuid", "mount it without nosuid, or use `sudo qlan up`")
    if not is_privileged(helper):
        return Refusal(f"{helper} has no setuid bit (an upgrade of its package takes it off)", repair)
    return find_denial(bridge)


def find_denial(bridge: str, conf: Path = CONF) -> Refusal | None:
    """Why the access list refuses a bridge to the caller; None if it allows it."""
    repair = f"sudo qlan host allow {bridge}"
    if not os.access(conf, os.R_OK):
        what = f"{conf} is not readable for this user" if conf.exists() else f"there is no {conf}"
        return Refusal(f"{what}, and so nothing is allowed", f"{repair} --user {_user()}" if conf.exists() else repair)
    rules, broken = read(conf)
    if broken:
        return Refusal(f"{broken.path}:{broken.line}: {broken.why}; the helper refuses everything", "mend that line")
    if rule := find_rule(rules, bridge, allows=False):
        return Refusal(
            f"{rule.path}:{rule.line} says `deny {rule.bridge}`, and deny wins over allow", "remove that line, as root"
        )
    if find_rule(rules, bridge, allows=True) is None:
        return Refusal(f"{conf} does not allow {bridge}", repair)
    return None


def find_rule(rules: list[Rule], bridge: str, *, allows: bool) -> Rule | None:
    """The first rule of a sort that covers a bridge."""
    return next((one for one in rules if one.allows is allows and one.bridge in (bridge, "all")), None)


def read(conf: Path = CONF) -> tuple[list[Rule], Broken | None]:
    """The rules that the helper finds when the caller runs it, and the line that it stops at.

    A broken line ends an included file without a word; in the first file it is the end of everything.
    """
    rules: list[Rule] = []
    return rules, _read_into(rules, conf, 0)


def _read_into(rules: list[Rule], path: Path, deep: int) -> Broken | None:
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return None
    for number, text in enumerate(lines, 1):
        line = text.lstrip()
        if not line or line.startswith("#"):
            continue
        word, gap, rest = line.partition(" " if " " in line else "\t")
        name = rest.strip()
        if not gap:
            return Broken(path, number, f"`{line}` has no second word")
        if word == "include":
            if deep < _INCLUDES_DEEP_MAX:
                _read_into(rules, Path(name), deep + 1)
        elif len(name.encode(errors="surrogateescape")) > _NAME_BYTES_MAX:
            return Broken(path, number, f"the name `{name}` is too long")
        elif word in ("allow", "deny"):
            rules.append(Rule(word == "allow", name, path, number))
        else:
            return Broken(path, number, f"`{word}` is not known")
    return None


def _candidates(binary: str) -> Iterator[Path]:
    if find_tool(binary):
        for word in run([binary, "-help"], ok=(0, 1)).stdout.split():
            if word.endswith(f"{NAME})") and "default=" in word:
                yield Path(word.partition("default=")[2].rstrip(")"))
    yield from (Path(folder) / NAME for folder in _FOLDERS)


def install_hint() -> str:
    """The words that install it."""
    from qlan.host import packages

    return packages.install_hint(NAME)


def _user() -> str:
    import pwd

    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())
