"""A lab's record on disk: read once as long as it is the same, and never longer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from qlan import journal
from qlan.host import files, run
from qlan.realm import Realm
from qlan.render.layout import Layout
from qlan.resources.model import Uplink
from qlan.values import replace
from tests import samples

FIRST = journal.Record("shop", Realm.ROOTLESS, None, "1")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "run", tmp_path / "state", "shop")


def test_what_is_written_is_read(layout: Layout) -> None:
    assert journal.read_record(layout) is None
    journal.write_record(layout, FIRST)
    assert journal.read_record(layout) == FIRST
    assert journal.read_record(layout) is journal.read_record(layout)
    journal.write_record(layout, replace(FIRST, digest="2"))
    assert journal.read_record(layout) == replace(FIRST, digest="2")
    layout.record.unlink()
    assert journal.read_record(layout) is None


def test_what_another_process_writes_is_seen(layout: Layout) -> None:
    journal.write_record(layout, FIRST)
    assert journal.read_record(layout) == FIRST
    text = journal.record_text(replace(FIRST, digest="2"))
    if not os.fork():
        files.write(layout.record, text)
        os._exit(0)
    os.wait()
    assert journal.read_record(layout) == replace(FIRST, digest="2")


def test_another_lab_s_record_is_another(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "run", tmp_path / "state", "other")
    journal.write_record(layout, FIRST)
    journal.write_record(other, replace(FIRST, lab="other"))
    read = [journal.read_record(one) for one in (layout, other, layout)]
    assert [one and one.lab for one in read] == ["shop", "other", "shop"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"lab": "shop"}'])
def test_what_is_damaged_is_none(layout: Layout, text: str) -> None:
    files.write(layout.record, text)
    assert journal.read_record(layout) is None


def test_what_is_remembered_already_is_not_written_anew(layout: Layout) -> None:
    """Written files are others, by their inode."""
    wanted = samples.parsed(samples.DEMO)
    first = replace(FIRST, wanted=wanted)
    journal.write_record(layout, first)
    inode = layout.record.stat().st_ino
    journal.write_record(layout, replace(first, wanted=samples.parsed(samples.DEMO)))
    assert layout.record.stat().st_ino == inode
    backwards = replace(first, wanted=dict(reversed(wanted.items())))
    journal.write_record(layout, backwards)
    assert layout.record.stat().st_ino != inode, "guests are shown in the file's order"
    read = journal.read_record(layout)
    assert read is not None
    assert list(read.wanted.items()) == list(backwards.wanted.items())
    uplink = Uplink("lan", "eth0", "br0")
    journal.write_record(layout, replace(first, wanted={uplink.key: uplink}))
    journal.write_record(layout, replace(first, wanted={uplink.key: replace(uplink, confirm_within_s=0)}))
    read = journal.read_record(layout)
    assert read is not None
    assert [one.confirm_within_s for one in read.wanted.values() if isinstance(one, Uplink)] == [0], "not compared"
    layout.record.write_text("damaged")
    journal.write_record(layout, backwards)
    assert journal.read_record(layout) == backwards


def test_what_was_read_before_waiting_for_a_lock_is_asked_anew(tmp_path: Path) -> None:
    """Who held it has changed something."""
    lock, words = tmp_path / "lock", ("date", "+%s.%N")
    with run.ahead([(words, "")]):
        with journal.locked(lock, wait_s=0, what="it"):
            thread = threading.Thread(target=wait_for, args=(lock, ended := []))
            thread.start()
            time.sleep(0.2)
            released_s = time.time()
        thread.join(timeout=10)
        with journal.locked(lock, wait_s=0, what="it"):
            assert float(run.run(words).stdout) < released_s, "nobody had to wait"
    assert ended[0] > released_s


def wait_for(lock: Path, ended: list[float]) -> None:
    with run.ahead([(("date", "+%s.%N"), "")]), journal.locked(lock, wait_s=5, what="it"):
        ended.append(float(run.run(["date", "+%s.%N"]).stdout))
