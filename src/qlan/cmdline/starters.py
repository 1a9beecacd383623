"""Where in a simple command the program's own word stands: behind `sudo -u bob`, `timeout 10` and their like.

A word that looks like QEMU's program is none in `apt-get install qemu-kvm`, `man qemu` or `cd qemu`: who starts
nothing is listed.  So is what starts another program, with the words that belong to it, to see whose argument it is.
What is in neither list may start one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qlan.cmdline.shell import Word
from qlan.values import Value

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PROMPT_ENDS = ("$", "#", "❯")
_PROMPT_MAX = 3  # words of a prompt that shell.py does not know: `MacBook:~ me$`


class _Starter(Value):
    """valued: its options that take the next word, the letters of short ones run together.

    operands: words of its own before the command, `|` between those of which one is due; "" is any.
    """

    valued: str = ""
    long: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()


_PLAIN = (
    "if", "then", "else", "elif", "while", "until", "do", "!", "{", "coproc", "builtin", "eval",
    "nohup", "setsid", "prlimit", "firejail", "valgrind", "dbus-run-session", "gamemoderun",
)  # fmt: skip
_STARTERS = {
    **dict.fromkeys(_PLAIN, _Starter()),
    "function": _Starter(operands=("", "{")),
    "command": _Starter("vV"),  # these ask where a program is, and start nothing
    "exec": _Starter("a"),
    "env": _Starter("uC", ("--unset", "--chdir")),
    "time": _Starter("fo", ("--format", "--output")),
    "sudo": _Starter("ugpCrtTUDRh", ("--user", "--group", "--prompt", "--chdir", "--chroot", "--host")),
    "doas": _Starter("uC"),
    "pkexec": _Starter(long=("--user",)),
    "runuser": _Starter("ugG", ("--user", "--group")),
    "setpriv": _Starter(long=("--reuid", "--regid", "--groups", "--inh-caps", "--ambient-caps", "--bounding-set")),
    "nice": _Starter("n", ("--adjustment",)),
    "ionice": _Starter("cn", ("--class", "--classdata")),
    "chrt": _Starter("TPD", operands=("",)),
    "taskset": _Starter(operands=("",)),
    "numactl": _Starter("iNCmpP", ("--interleave", "--cpunodebind", "--physcpubind", "--membind", "--preferred")),
    "cgexec": _Starter("g"),
    "timeout": _Starter("ks", ("--kill-after", "--signal"), ("",)),
    "stdbuf": _Starter("ioe", ("--input", "--output", "--error")),
    "unshare": _Starter("RwSG", ("--root", "--wd", "--setuid", "--setgid")),
    "nsenter": _Starter("tSG", ("--target", "--setuid", "--setgid")),
    "ip": _Starter("n", operands=("netns|vrf", "exec", "")),
    "chroot": _Starter(operands=("",)),
    "flock": _Starter("wE", ("--wait", "--timeout"), ("",)),
    "systemd-run": _Starter("putEMH", ("--unit", "--property", "--slice", "--uid", "--gid", "--setenv")),
    "strace": _Starter("aebEIoOpPsSuUX"),
    "gdb": _Starter("xpcds"),  # -ex COMMAND --args PROGRAM
    "screen": _Starter("ceSstTp"),
    "xargs": _Starter("IdnPaLsE"),
    "xvfb-run": _Starter("nsefp"),
}  # fmt: skip


_START_NOTHING = frozenset((
    "apt", "apt-get", "aptitude", "dnf", "yum", "microdnf", "zypper", "pacman", "yay", "paru", "apk", "brew",
    "port", "emerge", "nix", "nix-env", "nix-shell", "guix", "snap", "flatpak", "dpkg", "rpm", "pip", "pip3",
    "pipx", "man", "info", "whatis", "apropos", "cd", "pushd", "ls", "cp", "mv", "rm", "ln", "mkdir", "rmdir",
    "touch", "chmod", "chown", "chgrp", "cat", "less", "more", "head", "tail", "grep", "find", "locate", "which",
    "whereis", "command", "type", "hash", "echo", "printf", "export", "unset", "alias", "file", "ldd", "strings",
    "stat", "du", "pgrep", "pkill", "killall", "kill", "ps", "pidof", "systemctl", "service", "usermod", "useradd",
    "adduser", "addgroup", "groupadd", "gpasswd", "getent", "id", "git", "make", "cmake", "meson", "ninja", "wget",
    "curl", "tar", "unzip", "sha256sum", "md5sum", "modprobe", "lsmod", "setcap", "getcap", "update-alternatives",
    "qlan", "virsh", "vi", "vim", "nano", "source", ".", "test", "[", "docker", "podman", "ip",
))  # fmt: skip


def starts_nothing(word: Word) -> bool:
    """Whether a program of this name takes no other one's command line; docker's, say, runs elsewhere."""
    return word.text.rpartition("/")[2] in _START_NOTHING


def command_place(words: Sequence[Word]) -> int:
    """The index of the word that the shell, or what it starts, would run; len(words) if there is none."""
    texts = [word.text for word in words]
    at = max((index + 1 for index, text in enumerate(texts[:_PROMPT_MAX]) if text.endswith(_PROMPT_ENDS)), default=0)
    while at < len(words):
        starter = _STARTERS.get(texts[at].rpartition("/")[2])
        if starter is not None:
            after = _behind(starter, texts, at + 1)
            if after is None:
                return at
            at = after
        elif _ASSIGNMENT.fullmatch(texts[at]):
            at += 1
        else:
            return at
    return at


def _behind(starter: _Starter, texts: Sequence[str], at: int) -> int | None:
    """Where the words behind it begin; None if its operands are others, and it starts nothing."""
    operands = list(starter.operands)
    while at < len(texts):
        text = texts[at]
        if text.startswith("-"):
            at += 2 if _takes_next(starter, text) else 1
        elif operands:
            wanted = operands.pop(0)
            if wanted and text not in wanted.split("|"):
                return None
            at += 1
        else:
            break
    return at


def _takes_next(starter: _Starter, text: str) -> bool:
    """`-u NAME`, `-Eu NAME`, `--user NAME`; but neither `-uNAME` nor `--user=NAME`."""
    if text.startswith("--"):
        return text in starter.long
    first = next((at for at, letter in enumerate(text) if at and letter in starter.valued), None)
    return first is not None and first == len(text) - 1
