"""Let ordinary users onto a bridge by QEMU's setuid helper, and take that back: `qlan host allow`, `qlan host revoke`.

What is to be done is data, shown before it is done.  Each line that is written stands below a comment of ours, so that
what is taken back is exactly that; what the helper's mode was is remembered in the same file.

A user alone is let in by a file that only root and this user's own group can read: the helper, which has given up root
by then, does not see it when anybody else calls (QEMU's wiki, Features/HelperNetworking).
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qlan.errors import ConflictError, Denied, HostError, MissingTool, UsageError
from qlan.host import bridge_access, files
from qlan.host.bridge_access import CONF
from qlan.host.run import find_tool, run
from qlan.values import Value

_BY = "# by qlan host allow"
_HEAD = "# made by qlan host allow"
_HEAD_FOLDER = f"{_HEAD}, with its folder"
_NO_END = " (the line before had no end)"
_BIT = re.compile(rf"{_BY}: (?P<path>/.*) was (?P<mode>[0-7]{{4}})(?P<kept>, kept by dpkg-statoverride)?\n")


class Text(Value):
    """A file from one text to another; None: there is no such file.  mode, gid: of a new one (root's own always)."""

    path: Path
    before: str | None
    after: str | None
    mode: int = 0o644
    gid: int = 0


class Mode(Value):
    """The helper's mode from one to another.  kept: told to dpkg too, so that an upgrade does not undo it."""

    path: Path
    before: int
    after: int
    kept: bool


Change = Text | Mode


def allow(bridge: str, user: str | None = None) -> list[Change]:
    """What must change so that the user (None: every one) gets onto the bridge; nothing: it is so already.

    Denied, MissingTool, HostError, ConflictError (a `deny` that is not ours to remove), UsageError.
    """
    _check_root()
    helper = bridge_access.find_helper()
    if helper is None:
        raise MissingTool(f"QEMU's {bridge_access.NAME} is not installed", hint=bridge_access.install_hint())
    conf = _read(CONF)
    texts = {CONF: conf}
    gids: dict[Path, int] = {}
    _check_rules(bridge)
    if not _is_allowed(bridge, None):
        if user is None:
            texts[CONF] = _added(conf, CONF, bridge, f"allow {bridge}")
        else:
            own, gid = _file_of(user)
            gids[own] = gid
            if not _is_allowed(bridge, own):
                texts[own] = _added(_read(own), own, bridge, f"allow {bridge}")
            if f"include {own}" not in (conf or "").splitlines():
                texts[CONF] = _added(conf, CONF, f"--user {user}", f"include {own}")
    modes = _bit_set(helper)
    if modes:
        kept = ", kept by dpkg-statoverride" if modes[0].kept else ""
        text = texts[CONF] if texts[CONF] is not None else _new(CONF)
        texts[CONF] = f"{text}{_BY}: {helper} was {modes[0].before:04o}{kept}\n"
    changed = [_text(path, after, gids) for path, after in reversed(texts.items()) if after != _read(path)]
    return [*changed, *modes]


def revoke(bridge: str, user: str | None = None) -> list[Change]:
    """What must change so that what `allow` did is undone.  UsageError: it did nothing of the kind."""
    _check_root()
    conf = _read(CONF)
    own = CONF if user is None else CONF.parent / f"{user}.conf"
    texts = {own: _removed(_read(own), bridge, f"allow {bridge}")}
    if texts[own] == _read(own):
        raise _not_ours(bridge, own)
    if own != CONF:
        texts[CONF] = conf if texts[own] is not None else _removed(conf, f"--user {user}", f"include {own}")
    modes: list[Change] = []
    left = texts[CONF]
    bit = _BIT.search(left or "")
    if left and bit and not re.search(rf"^{_BY} ", left, re.MULTILINE):
        helper = Path(bit["path"])
        texts[CONF] = _or_none(left.replace(bit[0], ""))
        if helper.exists() and (mode := stat.S_IMODE(helper.stat().st_mode)) & stat.S_ISUID:
            modes = [Mode(helper, mode, int(bit["mode"], 8), bit["kept"] is not None)]
    return [*modes, *(_text(path, after, {}) for path, after in texts.items() if after != _read(path))]


def lines(changes: Sequence[Change]) -> list[str]:
    """What they are, as one would type or see them."""
    found: list[str] = []
    for one in changes:
        if isinstance(one, Mode):
            found += [" ".join(words) for words in _mode_commands(one)]
        elif one.after is None:
            found.append(f"rm {one.path}")
        else:
            mode = one.mode if one.before is None else stat.S_IMODE(one.path.stat().st_mode)
            found.append(f"write {one.path} (mode {mode:04o}):")
            before, after = (one.before or "").splitlines(), one.after.splitlines()
            found += [f"  - {line}" for line in before if line not in after]
            found += [f"  + {line}" for line in after if line not in before]
    return found


def apply(changes: Sequence[Change]) -> None:
    """Do it; each file in one step.  HostError."""
    for one in changes:
        if isinstance(one, Mode):
            for words in _mode_commands(one):
                run(words)
        elif one.after is None:
            files.remove(one.path)
            if one.before is not None and one.before.startswith(_HEAD_FOLDER):
                with suppress(OSError):  # somebody has put something there meanwhile
                    one.path.parent.rmdir()
        else:
            _write(one)


def _write(change: Text) -> None:
    """Beside the old one, with its owner and mode, and then in its place."""
    assert change.after is not None
    mode, uid, gid = change.mode, 0, change.gid
    with suppress(FileNotFoundError):
        status = change.path.stat()
        mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    files.make_folder(change.path.parent)
    temporary = change.path.with_name(f".{change.path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(change.after)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
        temporary.replace(change.path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise files.explained(error, change.path) from error


def _mode_commands(change: Mode) -> list[list[str]]:
    path = str(change.path)
    if not change.kept:
        return [["chmod", f"{change.after:04o}", path]]
    if change.after & stat.S_ISUID:
        return [["dpkg-statoverride", "--update", "--add", "root", "root", f"{change.after:04o}", path]]
    return [["dpkg-statoverride", "--remove", path], ["chmod", f"{change.after:04o}", path]]


def _bit_set(helper: Path) -> list[Mode]:
    """The setuid bit, if neither it nor a capability is there; on Debian so that the package's upgrades leave it."""
    if bridge_access.is_privileged(helper):
        return []
    mode = stat.S_IMODE(helper.stat().st_mode)
    kept = False
    if find_tool("dpkg-statoverride"):
        is_package = run(["dpkg", "-S", str(helper)], ok=(0, 1)).returncode == 0
        kept = is_package and not run(["dpkg-statoverride", "--list", str(helper)], ok=(0, 1)).stdout
    return [Mode(helper, mode, mode | stat.S_ISUID, kept)]


def _check_root() -> None:
    if os.geteuid() != 0:
        raise Denied("only root may change who gets onto a bridge", hint="the same with sudo before it")
    if CONF.exists():
        status = CONF.stat()
        if status.st_uid != 0 or status.st_mode & stat.S_IWOTH:
            raise HostError(
                f"{CONF} can be written by others than root", hint=f"chown root {CONF} && chmod o-w {CONF}; then again"
            )


def _check_rules(bridge: str) -> None:
    rules, broken = bridge_access.read(CONF)
    if broken:
        raise HostError(f"{broken.why}; the helper refuses everything", where=f"{broken.path}:{broken.line}",
                        hint="mend that line first")  # fmt: skip
    for rule in rules:
        if not rule.allows and rule.bridge in (bridge, "all") and _is_for_all(rule.path):
            raise ConflictError(f"`deny {rule.bridge}` wins over any allow", where=f"{rule.path}:{rule.line}",
                                hint="remove that line, if it is yours to remove; then again")  # fmt: skip


def _is_allowed(bridge: str, path: Path | None) -> bool:
    """By a file that all can read (None), or by this one."""
    rules, _ = bridge_access.read(CONF if path is None else path)
    return any(
        one.allows and one.bridge in (bridge, "all") and (_is_for_all(one.path) if path is None else True)
        for one in rules
    )


def _is_for_all(path: Path) -> bool:
    return path == CONF or bool(path.stat().st_mode & stat.S_IROTH)


def _file_of(user: str) -> tuple[Path, int]:
    """The user's own file, and the group that makes it the user's alone."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user `{user}` on this machine") from None
    if "/" in user or user == CONF.stem:
        raise UsageError(f"`{user}` is no name for a file in {CONF.parent}", hint="allow the bridge without --user")
    members = {one.pw_name for one in pwd.getpwall() if one.pw_gid == entry.pw_gid}
    others = sorted((members | set(grp.getgrgid(entry.pw_gid).gr_mem)) - {user})
    if others:
        group = grp.getgrgid(entry.pw_gid).gr_name
        raise ConflictError(
            f"{user}'s group `{group}` is not {user}'s alone, and what it may, {', '.join(others[:3])} would too",
            hint=f"give {user} a group of its own (groupadd, usermod -g), or leave out --user",
        )
    status = CONF.stat() if CONF.exists() else None
    if status and not status.st_mode & stat.S_IROTH:
        readers = os.getgrouplist(user, entry.pw_gid) if status.st_mode & stat.S_IRGRP else []
        if status.st_gid not in readers:
            group = grp.getgrgid(status.st_gid).gr_name
            raise HostError(
                f"{user} may not read {CONF} (mode {stat.S_IMODE(status.st_mode):04o}, group {group})",
                hint=f"chmod o+r {CONF}, or put {user} into that group; then again",
            )
    return CONF.parent / f"{user}.conf", entry.pw_gid


def _text(path: Path, after: str | None, gids: dict[Path, int]) -> Text:
    mode = 0o640 if path in gids else 0o644
    return Text(path, _read(path), after, mode, gids.get(path, 0))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.explained(error, path) from error


def _new(path: Path) -> str:
    return f"{_HEAD if path.parent.exists() or path != CONF else _HEAD_FOLDER}\n"


def _added(text: str | None, path: Path, what: str, line: str) -> str:
    """The text with a line more, below a comment of ours."""
    if text is None:
        text = _new(path)
    if text and not text.endswith("\n"):
        return f"{text}\n{_BY} {what}{_NO_END}\n{line}\n"
    return f"{text}{_BY} {what}\n{line}\n"


def _removed(text: str | None, what: str, line: str) -> str | None:
    """The text as it was before `_added`; None: the file was made by us, and nothing is left in it."""
    if text is None:
        return None
    text = text.replace(f"\n{_BY} {what}{_NO_END}\n{line}\n", "")
    return _or_none(text.replace(f"{_BY} {what}\n{line}\n", ""))


def _or_none(text: str) -> str | None:
    return None if text in (f"{_HEAD}\n", f"{_HEAD_FOLDER}\n") else text


def _not_ours(bridge: str, path: Path) -> UsageError:
    rules, _ = bridge_access.read(path)
    if rule := bridge_access.find_rule(rules, bridge, allows=True):
        return UsageError(f"`allow {rule.bridge}` was not written by qlan", where=f"{rule.path}:{rule.line}",
                          hint="remove that line by hand, if it is yours to remove")  # fmt: skip
    return UsageError(f"`qlan host allow` did not allow {bridge} in {path}", hint=f"cat {path}")
