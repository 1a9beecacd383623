"""A file becomes a Topology, or all its problems at once."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from qlan.names import NAME_MAX, device_name
from qlan.problems import Mark, Problem, TopologyError
from qlan.topology.check import check_written, in_order
from qlan.topology.document import compose
from qlan.topology.guests import read_guests
from qlan.topology.model import Network, Nic, Realm, Topology
from qlan.topology.networks import read_networks
from qlan.topology.reader import Fields, Reader
from qlan.topology.scalars import parse_text, parse_word
from qlan.topology.vocabulary import LAB
from qlan.values import replace

SIZE_MAX_BYTES = 8 << 20


def load(path: Path) -> Topology:
    """Read a lab's file; TopologyError with everything that is wrong with it."""
    topology = parse(_read_text(path), str(path))
    try:
        str(topology.source).encode()
    except UnicodeEncodeError as error:  # what is wanted is kept as JSON, which is text
        raise _refused(path, "the path of the file is not UTF-8", "rename its folder, or move the file") from error
    return topology


def parse(text: str, file: str) -> Topology:
    """The topology of a text.  file: its name, for marks; its folder is what relative paths start from."""
    folder = Path(file).parent.resolve()
    root, problems = compose(text, file)
    reader = Reader(folder, problems)
    fields = reader.fields(root, "the file", LAB)
    topology = _read_topology(fields, folder / Path(file).name, reader)
    if reader.problems:
        problems = [*reader.problems, *_further_problems(topology, reader)]
        raise TopologyError(in_order(problems))
    return topology


def lab_name(folder: str) -> str:
    """A lab's name made of a folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower())[:NAME_MAX].strip("-")
    return name or "lab"


def _read_topology(fields: Fields, source: Path, reader: Reader) -> Topology:
    nodes = fields.node("networks"), fields.node("guests")
    networks = read_networks(nodes[0], reader) if nodes[0] else ()
    guests = read_guests(nodes[1], reader) if nodes[1] else ()
    narrow = {nic.network for guest in guests for nic in guest.nics if not _takes_wide(nic)}
    realm = fields.choice("realm")
    return Topology(
        lab=fields.value("lab", parse_text) or lab_name(source.parent.name),
        networks=tuple(replace(one, wide=one.name not in narrow) for one in networks),
        guests=guests,
        realm=Realm(realm) if realm else None,
        run_as=fields.value("user", parse_word),
        source=source,
        mark=fields.mark,
        marks=fields.marks,
    )


def _takes_wide(nic: Nic) -> bool:
    """Of the models virtio's alone can be told an MTU; iPXE has no memory for frames of such a size."""
    return device_name(nic.model).startswith("virtio-net") and nic.mtu_bytes is None and not nic.boot


def _further_problems(topology: Topology, reader: Reader) -> list[Problem]:
    """What is wrong with what could be read, so that the user has to come back only once."""
    networks = [_trusted(network, reader.damaged) for network in topology.networks]
    unsure = {network.name for network in topology.networks if network.mark in reader.damaged}
    guests = []
    for guest in topology.guests:
        nics = [replace(nic, address=None, address6=None) if nic.network in unsure else nic
                for nic in guest.nics if nic.mark not in reader.damaged]  # fmt: skip
        guests.append(replace(guest, nics=tuple(nics)))
    readable = replace(topology, networks=tuple(networks), guests=tuple(guests))
    return list(check_written(readable, damaged=reader.damaged))


def _trusted(network: Network, damaged: set[Mark]) -> Network:
    """The network; of a damaged one only its name."""
    return Network(network.name, "private", mark=network.mark) if network.mark in damaged else network


def _read_text(path: Path) -> str:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _refused(path, "this is a folder", f"name the file in it, like {path / 'qlan.yaml'}")
        if status.st_size > SIZE_MAX_BYTES:
            what = f"the file is {status.st_size / (1 << 20):.0f} MB; more than {SIZE_MAX_BYTES >> 20} is not read"
            raise _refused(path, what, "is it a disk image?")
        with path.open("rb") as file:
            data = file.read(SIZE_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _refused(path, "there is no such file", "`qlan init` writes one; `-f FILE` names another") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(path, f"the file cannot be read: {reason}", "") from error
    if len(data) > SIZE_MAX_BYTES:
        raise _refused(path, f"more than {SIZE_MAX_BYTES >> 20} MB is not read", "is it a disk image?")
    return _decoded(data, path)


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        mark = Mark(str(path), before.count(b"\n") + 1, column)
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise TopologyError([Problem(mark, what, "save the file as UTF-8")]) from error


def _refused(path: Path, what: str, hint: str) -> TopologyError:
    return TopologyError([Problem(Mark(str(path), 1, 1), what, hint)])
