"""A change by hand that goes into the file, too (`--save`): its new text, and that it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from qlan import journal
from qlan.errors import Denied, UsageError
from qlan.host import files
from qlan.render.layout import Layout
from qlan.topology.model import Topology
from qlan.values import replace


def new_text(source: Path, edit: Callable[[str], str], is_meant: Callable[[Topology, Topology], bool]) -> str:
    """The file's text after `edit`.  It is read again: is_meant: whether it means, beside the old, what was wanted.

    UsageError, TopologyError, HostError: it cannot be read, or its folder not be written.
    """
    from qlan.topology.check import check_written
    from qlan.topology.load import parse

    old = _text_of(source)
    before = parse(old, str(source))
    text = edit(old)
    after = parse(text, str(source))
    known = {one.what for one in check_written(before)}
    if problems := [one for one in check_written(after) if one.what not in known]:
        raise UsageError(f"the file would not be right: {problems[0].what}", where=str(source),
                         hint=problems[0].hint or "leave out --save")  # fmt: skip
    folder = source.resolve().parent
    if not os.access(folder, os.W_OK):
        raise Denied("nothing can be written into this folder", where=str(folder), hint="leave out --save")
    if not is_meant(before, after):
        raise UsageError("the file is written in a way that qlan cannot change safely", where=str(source),
                         hint="write the change into it by hand, then `qlan up`")  # fmt: skip
    return text


def _text_of(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except OSError as error:
        raise files.explained(error, source) from error
    except UnicodeDecodeError:
        raise UsageError("this file is not UTF-8", where=str(source), hint="leave out --save, or save it as UTF-8"
                         ) from None  # fmt: skip


def write(source: Path, text: str) -> None:
    """In one step, with the mode it had; a link stays a link."""
    real = source.resolve()
    files.write(real, text, mode=real.stat().st_mode & 0o777)


def write_done(layout: Layout, source: Path, text: str, keys: Collection[str]) -> None:
    """The same of a lab that has it already: these keys are no longer beside the file.  The lab is locked.

    What else was changed by hand at those guests is no older than this edit, which must not take it back.
    """
    from qlan.topology.changes import base_of
    from qlan.topology.load import parse

    record = journal.read_record(layout)
    was_read = record is not None and journal.digest(source) == record.digest
    before, after = parse(_text_of(source), str(source)), parse(text, str(source))
    write(source, text)
    if record is not None:
        left = tuple(line for line in record.unsaved if line[2:] not in keys)
        digest = journal.digest(source) if was_read else record.digest
        bases = {
            guest: base_of(after, guest) if base == base_of(before, guest) else base
            for guest, base in record.bases.items()
        }
        journal.write_record(layout, replace(record, unsaved=left, digest=digest, bases=bases))
        if not was_read:
            os.utime(layout.record, (0, 0))  # it speaks of an older text than the file's time tells
