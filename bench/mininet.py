"""Mininet with Linux bridges, out of its packages: a lab of so many hosts, each with one NIC, up and down.

It runs with links and processes of its own, and with a /proc/sys that cannot be written: it would raise the machine's
limits.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench.labs import NICS_A_BRIDGE
from bench.measure import Failed, took_s

_PACKAGES = ("mininet", "bridge-utils", "net-tools", "python3-pkg-resources")
_TIME_LIMIT_S = 600
_APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", """\
ip link set lo up
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -t sysfs sysfs /sys
exec "$@"
""", "mininet"]  # fmt: skip
_LAB = """\
import json, sys, time
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import Topo

nics, a_bridge = map(int, sys.argv[1:])

class Lab(Topo):
    def build(self):
        for net in range(-(-nics // a_bridge)):
            self.addSwitch(f"s{net}")
        for nic in range(nics):
            self.addHost(f"h{nic}")
            self.addLink(f"h{nic}", f"s{nic // a_bridge}")

start = time.perf_counter()
net = Mininet(topo=Lab(), switch=LinuxBridge, controller=None, waitConnected=False)
net.start()
up = time.perf_counter() - start
works = " 0% packet loss" in net.hosts[0].cmd(f"ping -c1 -W5 {net.hosts[-1 % min(nics, a_bridge)].IP()}")
start = time.perf_counter()
net.stop()
print(json.dumps([up, time.perf_counter() - start, works]))
"""


class Mininet:
    """scratch: where it is unpacked.  Failed: its packages could not be had, or this is not root."""

    def __init__(self, scratch: Path) -> None:
        packages = Path(os.environ.get("QLAN_BENCH_PEERS", "/nowhere"))
        if os.geteuid():
            raise Failed("needs root")
        if not list(packages.glob("mininet_*.deb")):
            raise Failed("its packages could not be fetched (scripts/bench does it by apt-get)")
        for name in _PACKAGES:
            for package in packages.glob(f"{name}_*.deb"):
                took_s(["dpkg-deb", "-x", str(package), str(scratch)])
        self._root = scratch

    def up_and_down(self, nics: int) -> tuple[float, float]:
        """Seconds, as it measures itself: without the start of its interpreter."""
        folders = [str(self._root / folder) for folder in ("usr/bin", "usr/sbin", "sbin", "bin")]
        environment = {
            "PATH": ":".join([*folders, os.environ["PATH"]]),
            "PYTHONPATH": str(self._root / "usr/lib/python3/dist-packages"),
            "LC_ALL": "C",
        }
        argv = [*_APART, "/usr/bin/python3", "-c", _LAB, str(nics), str(NICS_A_BRIDGE)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S, env=environment)
        if done.returncode:
            raise Failed(f"mininet: {done.stderr[-300:]}")
        up, down, works = json.loads(done.stdout.splitlines()[-1])
        if not works:
            raise Failed("mininet's hosts do not hear each other")
        return up, down
