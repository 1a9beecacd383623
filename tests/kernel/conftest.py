"""Fixtures for tests against the real kernel."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import Place, throw_away


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as one:
            yield one
