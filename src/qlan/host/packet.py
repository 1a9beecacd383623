"""Forwarding and nft tables as they are, and the forwarding of links that are not ours: borrowed and given back.

Beside the labs' folders there is one for each borrowed link: `before` is what was there (with the link's index: a link
made anew has nothing to get back), and `lab.NAME` says who needs it.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec.json import decode as parse_json
from msgspec.json import encode

from qlan.host import files
from qlan.host.run import run
from qlan.render import packet
from qlan.render.command import Borrow, GiveBack, Save
from qlan.render.layout import Layout
from qlan.resources.model import Admission, Filter, Forwarding, ProxyNeighbor, Resource
from qlan.values import replace

_SYS = Path("/proc/sys")
RESOLVERS = Path("/etc/resolv.conf")
Rows = list[dict[str, Any]]  # of libnftables-json(5)

_VOLATILE = ("handle", "packets", "bytes")
_XARGS_SOME_FAILED = 123  # xargs(1): a link has gone, and its settings with it


def borrow(commands: Sequence[Borrow]) -> None:
    """Remember what is there, unless a lab has done so, and change it."""
    for one in commands:
        with _locked(one.book.parent.parent):
            if not _labs(one.book):
                try:
                    value = (_SYS / one.path).read_text()
                except OSError as error:
                    raise files.explained(error, _SYS / one.path) from error
                differing = [f"{path} {other}" for path, other in _overwritten(one.path) if other != value]
                files.write(one.book / "before", "".join([f"{_index(one.link)} {value}", *differing]))
            files.write(one.book / f"lab.{one.lab}", "")
            _write(one.path, f"{one.value}\n")


def give_back(commands: Sequence[GiveBack]) -> None:
    """Put back what was there, if nobody else needs it."""
    for one in commands:
        with _locked(one.book.parent.parent):
            if not _labs(one.book) - {one.lab}:
                before = files.read_text(one.book / "before").splitlines(keepends=True)
                index, _, value = before[0].partition(" ") if before else ("0", "", _usual(one.path))
                if value and index in ("0", str(_index(one.link))):
                    _write(one.path, value)
                    for path, _, other in (line.partition(" ") for line in before[1:]):
                        _write(path, other)
                files.remove(one.book)
            files.remove(one.book / f"lab.{one.lab}")
        with suppress(OSError):
            one.book.parent.rmdir()  # it stays unless it is empty


def _usual(path: str) -> str:
    """What a new link gets, for one whose book was lost: nobody knows any more what it had; "" where there is none."""
    head, conf, rest = path.partition("/conf/")
    return files.read_text(_SYS / f"{head}/conf/default/{rest.partition('/')[2]}") if conf else ""


def read_forwarding(
    known: Iterable[Forwarding], enter: Mapping[str, Sequence[str]], layout: Layout
) -> Iterator[Forwarding]:
    """Those that are there.  enter: the words that lead into each namespace."""
    wanted = {one.key: one for one in known}
    for entry in files.entries(layout.all_borrowed):
        if (entry / f"lab.{layout.lab}").exists():
            one = _named(entry.name)
            wanted.setdefault(one.key, one)
    for namespace, ours in _by_namespace(wanted.values(), enter).items():
        values = _values([packet.path(one) for one in ours], enter[namespace])
        for one in ours:
            value = values.get(packet.path(one))
            lent = (layout.borrowed(one) / f"lab.{layout.lab}").exists()
            if lent if not one.link_key else value == one.value:  # a link of ours that stays may forward no longer
                yield replace(one, on=value == one.value)


def _named(book: str) -> Forwarding:
    """What a book's name says: LINK, LINK:SETTING or LINK:FAMILY:SETTING."""
    link, *words = book.split(":")
    setting = words.pop() if words else "forwarding"
    return Forwarding(link, setting=setting, family=words.pop() if words else "ipv4")


def programs(known: Sequence[Resource], enter: Mapping[str, Sequence[str]]) -> Iterator[tuple[Sequence[str], str]]:
    """What will be run to read these, words and standard input, as far as it can be told beforehand."""
    filters = {one.key: one for one in known if isinstance(one, Filter)}
    for namespace, some in _by_namespace(filters.values(), enter).items():
        yield _listing_words([_name(one) for one in some], enter[namespace]), ""
    settings = {one.key: one for one in known if isinstance(one, Forwarding)}
    for namespace, ours in _by_namespace(settings.values(), enter).items():
        if enter[namespace]:
            yield _values_program([packet.path(one) for one in ours], enter[namespace])


_Placed = TypeVar("_Placed", Filter, Forwarding)


def _by_namespace(known: Iterable[_Placed], enter: Mapping[str, Sequence[str]]) -> dict[str, list[_Placed]]:
    """Those in namespaces that are there."""
    found: dict[str, list[_Placed]] = {}
    for one in known:
        if one.namespace in enter:
            found.setdefault(one.namespace, []).append(one)
    return found


def _name(one: Filter) -> str:
    return f"inet {packet.table(one)}"


def read_filters(
    known: Iterable[Filter], enter: Mapping[str, Sequence[str]], listings: Mapping[str, Path]
) -> Iterator[Filter]:
    """Those whose table is there.  listings: by key, how the kernel listed it when it was made."""
    for namespace, filters in _by_namespace(known, enter).items():
        tables = _tables([_name(one) for one in filters], enter[namespace])
        for one in filters:
            if rows := tables.get(_name(one)):
                yield replace(one, intact=_is_as_listed(rows, listings[one.key]))


def save(commands: Sequence[Save], enter: Sequence[str]) -> None:
    """Those of one namespace, which were made just now.  CommandFailed where one is not there."""
    tables = _tables([one.table for one in commands], enter)
    for one in commands:
        rows = tables.get(one.table)
        text = run([*enter, *one.listing]).stdout if rows is None else encode({"nftables": rows}).decode()
        files.write(one.path, text)


def _tables(names: Sequence[str], enter: Sequence[str]) -> Mapping[str, Rows]:
    """What is in those that are there, by name with family: one by itself, more in one go with all of family inet, as a
    process a table would take the time.

    Then without the elements of sets, of which a neighbour's table (and our maps of ports) may have thousands; filters
    have no sets.
    """
    found: dict[str, Rows] = {}
    if len(names) == 1:
        rows = _listed(names[0], enter)
        return found if rows is None else {names[0]: rows}
    for row in _json(run(_listing_words(names, enter)).stdout) or ():
        for kind, value in row.items():
            found.setdefault(f"inet {value['name' if kind == 'table' else 'table']}", []).append(row)
    return found


def _listing_words(names: Sequence[str], enter: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [*enter, "nft", "-j", "list", "table", *names[0].split()]
    return [*enter, "nft", "-j", "-t", "list", "ruleset", "inet"]


def _listed(table: str, enter: Sequence[str]) -> Rows | None:
    done = run(_listing_words([table], enter), ok=(0, 1))
    return None if done.returncode else _json(done.stdout)


def is_intact(table: str, enter: Sequence[str], listing: Path) -> bool | None:
    """Whether a table (with its family) is as it was when it was made; None: it is not there."""
    rows = _listed(table, enter)
    return None if rows is None else _is_as_listed(rows, listing)


def _is_as_listed(rows: Rows, listing: Path) -> bool:
    return bool(steady(rows) == steady(_json(files.read_text(listing))))


def read_admissions(known: Iterable[Admission]) -> Iterator[Admission]:
    """Those of which a rule is there."""
    for one in known:
        done = run(["nft", "-j", "list", "chain", one.family, one.table, one.chain], ok=(0, 1))
        rows = _json(done.stdout) if done.returncode == 0 else None
        rules = [row["rule"] for row in rows or () if row.get("rule", {}).get("comment") == one.comment]
        if rules:
            yield replace(one, intact=[_way(rule) for rule in rules] == [("iifname", one.link), ("oifname", one.link)])


def read_neighbors(known: Sequence[ProxyNeighbor]) -> Iterator[ProxyNeighbor]:
    """Those that the kernel has."""
    rows = parse_json(run(["ip", "-j", "-6", "neighbor", "show", "proxy"]).stdout or "[]") if known else []
    there = {(row["dev"], row["dst"]) for row in rows if row}
    return (one for one in known if (one.link, str(one.address)) in there)


def is_resolver_same(before: Path) -> bool:
    """Whether this machine asks the name servers that it asked when the copy was made; yes if either cannot be read."""
    try:
        return _name_servers(before) == _name_servers(RESOLVERS)
    except OSError:
        return True


def _name_servers(path: Path) -> list[str]:
    lines = (line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _way(rule: Any) -> tuple[str, str]:
    """A rule of ours as it was made: a link and nothing else, accepted."""
    match, *rest = rule["expr"]
    with suppress(KeyError, TypeError):
        if [next(iter(one)) for one in rest] == ["counter", "accept"]:
            return match["match"]["left"]["meta"]["key"], match["match"]["right"]
    return "", ""


def steady(data: Any) -> Any:
    """A listing without what changes by itself."""
    if isinstance(data, dict):
        return {key: steady(value) for key, value in data.items() if key not in _VOLATILE}
    return [steady(value) for value in data] if isinstance(data, list) else data


def _json(text: str) -> Rows | None:
    with suppress(ValueError):
        return [row for row in parse_json(text)["nftables"] if "metainfo" not in row]
    return None


def _values(paths: Sequence[str], enter: Sequence[str]) -> dict[str, str]:
    if not enter:
        return {path: text.strip() for path in paths if (text := files.read_text(_SYS / path))}
    words, stdin = _values_program(paths, enter)
    done = run(words, stdin=stdin, ok=(0, _XARGS_SOME_FAILED))
    lines = (line.split(":", 1) for line in done.stdout.splitlines())
    return {path.removeprefix(f"{_SYS}/"): value for path, value in lines}


def _values_program(paths: Sequence[str], enter: Sequence[str]) -> tuple[list[str], str]:
    # one process for all of them: a `cat` each takes most of an `up` with many networks, and a shell's `read` asks for
    # one byte, of which the kernel makes the whole value
    return [*enter, "xargs", "grep", "-Hs", "."], "".join(f"{_SYS / path}\n" for path in paths)


def _overwritten(path: str) -> Iterator[tuple[str, str]]:
    """The settings that one of link `all` is written to, with their values."""
    folder, _, setting = path.partition("/all/")
    for entry in files.entries(_SYS / folder) if setting else ():
        yield f"{folder}/{entry.name}/{setting}", (entry / setting).read_text(encoding="ascii")


def _labs(book: Path) -> set[str]:
    """The labs that need the link, and still are."""
    names = {entry.name.removeprefix("lab.") for entry in files.entries(book) if entry.name.startswith("lab.")}
    return {name for name in names if (book.parent.parent / name).is_dir()}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    files.make_folder(folder)
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write(path: str, value: str) -> None:
    try:
        (_SYS / path).write_text(value, encoding="ascii")
    except FileNotFoundError:
        return  # the link is gone
    except OSError as error:
        raise files.explained(error, _SYS / path) from error


def _index(link: str) -> int:
    from socket import if_nametoindex  # 2 ms, and only who changes settings asks

    try:
        return if_nametoindex(link)
    except OSError:
        return 0


if __name__ == "__main__":  # for the scripts of `qlan plan --script`: borrow or give-back, then the fields in order
    _, _verb, _link, _path, _book, *_words = sys.argv
    if _verb == "borrow":
        borrow([Borrow(_link, _path, Path(_book), *_words)])
    else:
        give_back([GiveBack(_link, _path, Path(_book), *_words)])
