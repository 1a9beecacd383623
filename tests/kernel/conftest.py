"""Fixtures for tests against the real kernel."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place, throw_away

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: true}
  back: {kind: private, dhcp: true}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan, {network: back, model: e1000, link: down}]}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{user: true, forwards: ["auto:22"]}]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as one:
            yield one
