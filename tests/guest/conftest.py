"""Fixtures for all that boots a guest."""

import pytest

from .machine import GuestImage, build_image


@pytest.fixture(scope="session")
def guest_image() -> GuestImage:
    return build_image()
