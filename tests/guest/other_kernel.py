"""A machine with another kernel, and with this one's programs: a guest with Debian's kernel, in which ours are run.

Its root is this machine's, read-only by 9p below a tmpfs (overlayfs), so qlan itself runs there, with its Python, QEMU
and dnsmasq.  /run and /tmp are its own.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .driver import GuestShell
from .machine import GuestImage, start_machine

ROOT = "/new"
_WORDS = ("-m", "1280", "-smp", "2", "-nic", "none",
          "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
          "-device", "virtio-9p-pci,fsdev=root,mount_tag=root")  # fmt: skip
_SET_UP = f"""\
modprobe -a 9p 9pnet_virtio overlay tun tap bridge veth macvtap vhost_net &&
mkdir -p /ours /upper {ROOT} &&
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /ours &&
mount -t tmpfs none /upper && mkdir /upper/upper /upper/work &&
mount -t overlay -o lowerdir=/ours,upperdir=/upper/upper,workdir=/upper/work none {ROOT} &&
for name in proc sys dev; do mount --rbind /$name {ROOT}/$name; done &&
for name in run tmp; do mount -t tmpfs none {ROOT}/$name; done &&
chmod 1777 {ROOT}/tmp && chmod 666 /dev/net/tun /dev/null && mkdir {ROOT}/tmp/lab && chmod 777 {ROOT}/tmp/lab"""
# In a chroot the kernel makes no user namespaces (current_chrooted in Linux): its root is moved to where the root is.
_HOLD = f"(cd {ROOT} && mount --move . / && exec chroot . /usr/bin/sleep infinity) & echo $!"


class OtherMachine:
    """Commands run in /tmp/lab."""

    def __init__(self, shell: GuestShell, pid: int) -> None:
        self._shell, self._pid = shell, pid

    def run(self, script: str, *, user: str = "", timeout_s: float = 120) -> str:
        """What a script of bash prints there; GuestError if it fails.  user: not root."""
        words = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        home = "/tmp/home" if user else "/root"
        shell = shlex.join(
            [*words, "/usr/bin/env", f"HOME={home}", "XDG_RUNTIME_DIR=", "/bin/bash", "-ec", f"cd /tmp/lab; {script}"]
        )
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return self._shell.run(f"{path} nsenter --target={self._pid} --root --wd {shell}", timeout_s=timeout_s)

    def qlan(self, words: str, *, user: str = "", timeout_s: float = 120) -> str:
        """A command of qlan."""
        return self.run(f"{shlex.quote(sys.executable)} -m qlan {words} 2>&1", user=user, timeout_s=timeout_s)

    def write(self, text: str) -> None:
        """The lab's file."""
        self.run(f"cat >qlan.yaml <<'END'\n{text}END\n")


@contextmanager
def other_machine(image: GuestImage, folder: Path) -> Iterator[OtherMachine]:
    """It, booted."""
    with start_machine(folder, (image.vmlinux, image.initrd_full), _WORDS) as machine:
        machine.shell.run(_SET_UP)
        yield OtherMachine(machine.shell, int(machine.shell.run(_HOLD)))
