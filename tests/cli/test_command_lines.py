"""`qlan explain` and `qlan convert`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

LINE = "qemu-system-x86_64 -nic user,hostfwd=tcp::2222-:22 disk.img"


def qlan(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qlan", *words], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )


def test_explain_says_who_can_connect() -> None:
    done = qlan("explain", LINE)
    assert done.returncode == 0
    assert "tcp 0.0.0.0:2222 to 10.0.2.15:22, for everybody who reaches this machine" in done.stdout
    assert "[open-forward]" in done.stdout


def test_explain_points_at_the_mistake() -> None:
    done = qlan("explain", "--qemu", "10.0", LINE.replace("tcp::2222-:22", "tcp:2222::22"))
    assert done.returncode == 2
    assert "did you mean 'tcp::2222-:22'?" in done.stdout
    text, arrow = done.stdout.splitlines()[2:4]
    assert text[arrow.index("^") :].startswith(":22 disk.img")


def test_words_after_dashes_and_scripts(tmp_path: Path) -> None:
    assert qlan("explain", "--", *LINE.split()).returncode == 0
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\nip link\n" + LINE + "\nkvm -nic usr\n")
    done = qlan("explain", "--script", str(script))
    assert done.returncode == 2
    assert f"{script}:4:10" in done.stdout


def test_the_installed_program_is_asked() -> None:
    done = qlan("explain", "--qemu", "qemu-system-x86_64", "--json", LINE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_a_thousand_lines_in_five_seconds() -> None:
    lines = "".join(LINE.replace("2222", str(number + 1)) + "\n" for number in range(999)) + "kvm -nic 'usr\n"
    before = time.perf_counter()
    done = qlan("explain", "--stdin", "--json", stdin=lines)
    assert time.perf_counter() - before < 5
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["ok"] for answer in answers] == [True] * 999 + [False]
    assert answers[998]["forwards"][0]["port"] == 999
    assert answers[-1]["errors"][0]["column"] == 10
    assert set(answers[0]) >= {"ok", "errors", "warnings", "netdevs", "nics", "forwards", "convertible"}
    assert done.returncode == 2


def test_convert_both_ways() -> None:
    done = qlan(
        "convert", "--to", "nic", "--", "qemu-system-x86_64", "-net", "nic,model=virtio", "-net", "user", "x.img"
    )
    assert (done.returncode, done.stdout) == (0, "qemu-system-x86_64 -nic user,model=virtio x.img\n")
    done = qlan("convert", "--to", "netdev", "qemu-system-x86_64 -nic user,id=n x.img")
    assert done.stdout == "qemu-system-x86_64 -netdev user,id=n -device e1000,netdev=n x.img\n"


def test_convert_says_what_it_leaves() -> None:
    done = qlan("convert", "--to", "nic", "qemu-system-x86_64 -netdev user,id=n -device e1000,netdev=n,bootindex=1")
    assert done.returncode == 0
    assert "-netdev user,id=n" in done.stdout
    assert "-nic cannot say bootindex" in done.stderr
    assert qlan("convert", "--to", "nic", "kvm -nic usr").returncode == 2


def test_stdin_beside_another_source_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(LINE + "\n")
    for words in (["--script", str(script)], ["qemu-system-x86_64 -nic bogus"], ["--", *LINE.split()]):
        done = qlan("explain", "--stdin", *words, stdin=LINE)
        assert done.returncode == 2, words
        assert "give one command line" in done.stderr and not done.stdout
