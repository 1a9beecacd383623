"""The command line's NICs and forwards (`--nic lan,model=e1000 -p 2222:22`), in the file's own words."""

from __future__ import annotations

from collections.abc import Sequence as Words
from pathlib import Path

from qlan.problems import Mark, Problem, TopologyError
from qlan.topology.document import Scalar, Sequence
from qlan.topology.forwards import parse_forwards
from qlan.topology.model import Forward, Nic
from qlan.topology.nics import read_nics
from qlan.topology.reader import Reader
from qlan.values import replace

NIC_WORD, FORWARD_WORD = "--nic", "-p"  # the "file" of marks; the line says which of several


def parse_nics(specs: Words[str], forwards: Words[str], folder: Path) -> tuple[Nic, ...]:
    """The NICs of one guest.  No spec at all: one `user` NIC.  Forwards go to the first `user` NIC.

    folder: what relative paths start from.  TopologyError with everything that is wrong.
    """
    reader = Reader(folder)
    nodes = tuple(Scalar(spec, Mark(NIC_WORD, index, 1)) for index, spec in enumerate(specs, 1))
    nics = read_nics(Sequence(nodes, Mark(NIC_WORD, 1, 1)) if nodes else None, "the guest", reader)
    wanted = [one for index, text in enumerate(forwards, 1) for one in _forwards(text, index, reader)]
    nics = with_forwards(nics, wanted, reader.problems)
    if reader.problems:
        raise TopologyError(reader.problems)
    return nics


def with_forwards(nics: tuple[Nic, ...], forwards: list[Forward], problems: list[Problem]) -> tuple[Nic, ...]:
    """The NICs with the forwards added to the first that can have them; a problem if none can."""
    if not forwards:
        return nics
    for index, nic in enumerate(nics):
        if nic.user is not None:
            return (*nics[:index], replace(nic, forwards=(*nic.forwards, *forwards)), *nics[index + 1 :])
    problems.append(Problem(forwards[0].mark, "no NIC has user-mode networking to forward into", "add `--nic user`"))
    return nics


def _forwards(text: str, index: int, reader: Reader) -> tuple[Forward, ...]:
    mark = Mark(FORWARD_WORD, index, 1)
    word = Scalar(text, mark, plain=False)
    return reader.scalar(word, "the forward", "a forward", lambda one: parse_forwards(one, mark)) or ()
