"""What the shell is answered at TAB, and the line that makes it ask."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..kernel.place import Place
from .conftest import LAB


def completed(place: Place, line: str) -> list[str]:
    """argcomplete's protocol: the line in the environment, the answer in a file."""
    answer = place.folder / "answer"
    answer.write_text("")
    done = place.run(
        "env", "_ARGCOMPLETE=1", f"_ARGCOMPLETE_STDOUT_FILENAME={answer}", "_ARGCOMPLETE_IFS= ", f"COMP_LINE={line}",
        f"COMP_POINT={len(line)}", "_ARGCOMPLETE_SHELL=bash", "_ARGCOMPLETE_SUPPRESS_SPACE=1", "COMP_TYPE=9",
        sys.executable, "-m", "qlan", check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return answer.read_text().split()


def test_verbs_and_options(place: Place) -> None:
    assert completed(place, "qlan res") == ["restart"]
    assert completed(place, "qlan init --fr") == ["--from"]
    assert "host-only" in completed(place, "qlan init --from ")


def test_names_of_the_file(shop: Place) -> None:
    assert [word for word in completed(shop, "qlan up ") if not word.startswith("-")] == ["web", "db", "lone"]
    assert completed(shop, "qlan show b") == ["back"]


def test_names_of_labs_that_are_up(shop_up: Place) -> None:
    assert completed(shop_up, "qlan down -l ") == ["shop"]
    assert "shop/db" in completed(shop_up, "qlan console shop/")
    (shop_up.folder / "qlan.yaml").unlink()
    assert completed(shop_up, "qlan -l shop console w") == ["web"]


def test_a_broken_file_says_nothing_in_the_middle_of_a_line(shop: Place) -> None:
    (shop.folder / "qlan.yaml").write_text(LAB + "\tx: [")
    assert completed(shop, "qlan up w") == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_registration_is_good_shell(place: Place, shell: str) -> None:
    text = place.qlan("completion", shell).stdout
    assert "_ARGCOMPLETE=1" in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_registration_for_fish(place: Place) -> None:
    assert "complete --command qlan" in place.qlan("completion", "fish").stdout
