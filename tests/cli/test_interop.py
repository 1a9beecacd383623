"""`qlan export`, `qlan import` and `qlan graph`, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qlan.cli.export import FORMATS

from ..kernel.place import IS_ROOT, Place
from .conftest import Terminal

LINE = "qemu-system-x86_64 -name web -hda web.img -nic user,hostfwd=tcp:127.0.0.1:2222-:22,smbserver=10.0.2.4"


def qlan(*words: str, stdin: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qlan", *words], input=stdin, capture_output=True, text=True,
                          check=False, timeout=60, cwd=folder)  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_a_lab(shop: Place, name: str) -> None:
    before = shop.snapshot()
    text = shop.qlan("export", "--to", name).stdout
    for guest in ("web", "db"):
        assert guest in text
    assert shop.snapshot() == before
    files = json.loads(shop.qlan("export", "--to", name, "--json").stdout)["files"]
    assert all(file["text"] in text for file in files)


def test_the_script_is_shell_and_brings_the_lab_up(shop: Place) -> None:
    """Also while it is up: the script is the lab from nothing."""
    file = shop.folder / "qlan.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "  db:" not in line)
                    .replace(", {network: back, model: e1000}", ""))  # fmt: skip
    first = shop.qlan("export", "--to", "script").stdout
    shop.qlan("up", "--no-wait")
    assert shop.qlan("export", "--to", "script").stdout == first
    shop.qlan("down")
    path = shop.folder / "up.sh"
    path.write_text(first)
    shop.run("bash", "-n", str(path))
    shop.run("sh", str(path))
    assert any("-name web" in words for _, words in shop.processes())


def test_files_are_written_where_they_belong(shop: Place) -> None:
    shop.qlan("export", "--to", "netplan", "-o", str(shop.folder / "root"))
    path = shop.folder / "root/etc/netplan/60-qlan-shop.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    shop.qlan("export", "--to", "svg", "-o", str(shop.folder / "lab.svg"))
    assert (shop.folder / "lab.svg").read_text().startswith("<svg")
    done = shop.qlan("export", "--to", "svg", "-o", "/proc/nowhere/x.svg", check=False)
    assert done.returncode == 3 and "cannot be written" in done.stderr


def test_a_wrong_file_and_a_wrong_format_say_so(place: Place) -> None:
    (place.folder / "qlan.yaml").write_text("networks: {lan: private}\nguests: {web: {nics: [nowhere]}}\n")
    done = place.qlan("export", "--to", "dot", check=False)
    assert done.returncode == 2 and "there is no network `nowhere`" in done.stderr
    assert place.qlan("export", "--to", "word", check=False).returncode == 2


def test_a_command_line_becomes_a_file_that_checks(tmp_path: Path) -> None:
    done = qlan("import", "--", *LINE.split())
    assert done.returncode == 0
    assert "smbserver=10.0.2.4" in done.stdout
    assert "1 thing could not be said" in done.stderr
    (tmp_path / "qlan.yaml").write_text(done.stdout)
    (tmp_path / "web.img").write_bytes(b"\0" * 512)
    who = ["--user", "nobody"] if IS_ROOT else []
    checked = qlan("check", "-f", str(tmp_path / "qlan.yaml"), *who)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_an_export_says_an_import_understands(shop: Place) -> None:
    script = shop.qlan("export", "--to", "qemu").stdout
    (shop.folder / "run.sh").write_text(script)
    shop.qlan("import", "run.sh", "-o", "again.yaml")
    text = (shop.folder / "again.yaml").read_text()
    assert "lab: shop" in text and "subnet: 10.79.0.0/24" in text and "model: e1000" in text
    stream = shop.qlan("export", "--to", "libvirt").stdout
    done = qlan("import", "-", "--json", "--lab", "other", stdin=stream)
    assert json.loads(done.stdout)["lab"] == "other"
    assert "subnet: 10.79.0.0/24" in json.loads(done.stdout)["text"]


def test_a_running_qemu(tmp_path: Path) -> None:
    """A process that has QEMU's words; the real one's are words too."""
    words = ["-name", "live", "-nic", "user,model=virtio", "-drive", "file=a,,b.img,if=virtio"]
    sleeper = subprocess.Popen([*fake(tmp_path), *words])
    try:
        done = qlan("import", "--pid", str(sleeper.pid))
        assert done.returncode == 0, done.stderr
        assert "\n  live:\n" in done.stdout and "a,b.img" in done.stdout
        assert qlan("import", f"/proc/{sleeper.pid}/cmdline").returncode == 0
    finally:
        sleeper.kill()
        sleeper.wait()
    assert qlan("import", "--pid", str(sleeper.pid)).returncode == 2
    with subprocess.Popen(["sleep", "60"]) as other:
        assert "is no QEMU" in qlan("import", "--pid", str(other.pid)).stderr
        other.kill()


def fake(folder: Path) -> list[str]:
    """A program called like QEMU that does nothing for a while."""
    path = folder / "qemu-system-x86_64"
    path.symlink_to(sys.executable)
    code = folder / "code.py"
    code.write_text("import time\ntime.sleep(60)\n")
    return [str(path), str(code)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to import is named"),
        (("nope.xml",), "cannot be read"),
        (("qemu-system-x86_64 -nic user",), "stands after --"),
        (("--pid", "1", "x.sh"), "exclude each other"),
        (("-", "--lab", "Ü"), "is no name for a lab"),
        (("--pid", "x"), "`x` is not a process's number"),
    ],
)
def test_wrong_words(words: tuple[str, ...], said: str) -> None:
    done = qlan("import", *words, stdin=LINE)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text", ["", "echo hello\n", "\0\0", "<a>", "<network", "services:\n- a\n", "qemu-img info 'x"]
)
def test_what_is_nothing_that_we_know(text: str) -> None:
    done = qlan("import", "-", stdin=text)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "qlan.yaml").write_text("mine")
    done = qlan("import", "-o", str(tmp_path / "qlan.yaml"), "--", *LINE.split())
    assert done.returncode == 2 and "is there already" in done.stderr
    assert (tmp_path / "qlan.yaml").read_text() == "mine"


def test_an_export_writes_nothing_over_either(shop: Place) -> None:
    lab = (shop.folder / "qlan.yaml").read_text()
    done = shop.qlan("export", "--to", "svg", "-o", "qlan.yaml", check=False)
    assert done.returncode == 2 and "qlan.yaml is there already" in done.stderr
    assert (shop.folder / "qlan.yaml").read_text() == lab
    done = shop.qlan("export", "--to", "netplan", "-o", "qlan.yaml", check=False)
    assert done.returncode == 2 and "qlan.yaml is there already" in done.stderr
    files = json.loads(shop.qlan("export", "--to", "netplan", "--json").stdout)["files"]
    last = shop.folder / "root" / files[-1]["path"]
    last.parent.mkdir(parents=True)
    last.write_text("mine")
    done = shop.qlan("export", "--to", "netplan", "-o", "root", check=False)
    assert len(files) > 1 and done.returncode == 2 and "is there already" in done.stderr
    assert [path for path in (shop.folder / "root").rglob("*") if path.is_file()] == [last]
    assert last.read_text() == "mine"


def test_a_dash_is_standard_output(shop: Place) -> None:
    text = shop.qlan("export", "--to", "qemu", "-o", "-").stdout
    assert text == shop.qlan("export", "--to", "qemu").stdout
    done = qlan("import", "-", "-o", "-", stdin=text, folder=shop.folder)
    assert done.returncode == 0 and "guests:" in done.stdout
    assert not (shop.folder / "-").exists()


def test_near_names_are_for_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "run.sh").write_text(LINE)
    done = qlan("import", "folder", folder=tmp_path)
    assert done.returncode == 2 and "cannot be read" in done.stderr and "did you mean" not in done.stderr
    done = qlan("import", "/proc/1/mem")
    assert done.returncode == 2 and "cannot be read" in done.stderr and "did you mean" not in done.stderr
    assert "did you mean run.sh?" in qlan("import", "rum.sh", folder=tmp_path).stderr


@pytest.mark.skipif(IS_ROOT, reason="root may list every folder")
def test_no_near_names_of_a_folder_that_may_not_be_listed(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o100)
    done = qlan("import", "shut/run.sh", folder=tmp_path)
    assert done.returncode == 2 and "cannot be read" in done.stderr and "Traceback" not in done.stderr


def test_graph(shop: Place) -> None:
    wide = shop.qlan("graph").stdout
    assert "●" in wide and "this machine" in wide
    plain = shop.qlan("graph", "--ascii").stdout
    assert plain.isascii() and "web" in plain
    boxes = json.loads(shop.qlan("graph", "--json").stdout)["boxes"]
    assert [box["title"] for box in boxes] == ["this machine", "web", "db", "lone"]


def test_graph_on_terminals(shop: Place) -> None:
    for columns in (100, 40):
        with Terminal(shop, "graph", columns=columns) as terminal:
            assert terminal.wait() == 0
            lines = terminal.said.decode().replace("\r", "").splitlines()
            assert max(map(len, lines)) <= columns
            assert any("web" in line for line in lines)


def test_graph_where_boxes_cannot_be_written(shop: Place) -> None:
    done = subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "graph"], capture_output=True, check=False,
                          cwd=shop.folder, env={**shop.environment, "PYTHONIOENCODING": "ascii"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and b"web" in done.stdout


def test_graph_opens_a_picture(shop: Place) -> None:
    tools = shop.folder / "tools"
    tools.mkdir()
    (tools / "xdg-open").write_text('#!/bin/sh\ncp "$1" "$TMPDIR/opened"\n')
    (tools / "xdg-open").chmod(0o755)
    environment = {**shop.environment, "PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(shop.folder),
                   "XDG_CACHE_HOME": str(shop.folder / "cache")}  # fmt: skip
    done = subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "graph", "--open"], capture_output=True,
                          text=True, check=False, cwd=shop.folder, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (shop.folder / "opened").read_text().startswith("<svg")
