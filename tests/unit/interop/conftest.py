"""Other programs' own checkers.  Without one the test is left out, and says which Debian package has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGES = {
    "netplan": "netplan.io",
    "nmcli": "network-manager",
    "ifup": "ifupdown",
    "virt-xml-validate": "libvirt-clients",
    "xmllint": "libxml2-utils",
    "dot": "graphviz",
    "rsvg-convert": "librsvg2-bin",
    "dnsmasq": "dnsmasq-base",
    "bash": "bash",
    "unshare": "util-linux",
    "/lib/systemd/systemd-networkd": "systemd",
    "qemu-system-x86_64": "qemu-system-x86",
}

Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tool() -> Tool:
    """Runs a program that must be there; its failure is the test's, with its own words."""

    def run(name: str, *words: str | Path, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if path is None:
            pytest.skip(
                f"{name} is not here: apt install --no-install-recommends {PACKAGES[name]}, or scripts/setup --all"
            )
        done = subprocess.run(
            [path, *map(str, words)], input=stdin, capture_output=True, text=True, check=False, timeout=120
        )
        assert not check or done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done

    return run
