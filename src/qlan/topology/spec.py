"""A NIC in one word, `user,model=e1000` or `lan,address=10.0.0.5`: turned into the mapping that it stands for.

A comma inside a value is written twice, as in QEMU's own options.
"""

from __future__ import annotations

from qlan.problems import Mark
from qlan.topology.document import Mapping, Node, Scalar, Sequence
from qlan.topology.reader import Reader, known_hint
from qlan.topology.scalars import quoted
from qlan.topology.vocabulary import NIC, USER

_LISTS = {"forward": "forwards", "forwards": "forwards", "search": "search", "guestfwd": "guestfwd"}  # may be repeated


def parse_spec(scalar: Scalar, reader: Reader) -> Mapping:
    """`NETWORK[,KEY=VALUE]...` or `user[,KEY=VALUE]...` as a mapping whose marks point into the word."""
    words = _split(scalar)
    head = words[0]
    is_user = head.text == "user"
    nic: dict[str, tuple[Scalar, Node]] = {}
    user: dict[str, tuple[Scalar, Node]] = {}
    if "=" in head.text or not head.text:
        what = f"{quoted(scalar.text)} does not start with a network's name or `user`"
        reader.problem(
            head.mark, what, "write it like `lan,model=e1000` or `user,model=e1000`; in [ ] put it in quotes"
        )
    for word in words[1:]:
        name, equals, value = word.text.partition("=")
        known = _known(is_user)
        if not equals:
            reader.problem(word.mark, f"{quoted(word.text)} in {quoted(scalar.text)} has no value", _hint(name, known))
        elif name not in known:
            reader.problem(word.mark, f"a NIC has no option {quoted(name)}", _unknown_hint(name, known, is_user))
        else:
            part = Scalar(value, _shifted(word.mark, len(name) + 1), plain=False)
            key = _LISTS.get(name, name)
            _put(user if key in USER else nic, Scalar(key, word.mark), part, reader)
    if is_user:
        inner = Mapping(tuple(user.values()), head.mark)
        nic["user"] = (Scalar("user", head.mark), inner)
    else:
        nic["network"] = (Scalar("network", head.mark), head)
    return Mapping(tuple(nic.values()), scalar.mark)


def _known(is_user: bool) -> list[str]:
    plain = [key for key in NIC if key not in ("network", "user", "forwards")]
    return [*plain, "forward", "forwards", *USER] if is_user else plain


def _hint(name: str, known: list[str]) -> str:
    if name not in known:
        return known_hint(name, known)
    key = NIC.get(name) or USER.get(name)
    return f"write `{name}=true`" if key and key.sort == "flag" else f"write `{name}=VALUE`"


def _unknown_hint(name: str, known: list[str], is_user: bool) -> str:
    if not is_user and name in _known(True):
        return "only a `user` NIC has it"
    return known_hint(name, known)


def _put(found: dict[str, tuple[Scalar, Node]], key: Scalar, value: Scalar, reader: Reader) -> None:
    if key.text in _LISTS.values():
        old = found[key.text][1] if key.text in found else None
        items = (*old.items, value) if isinstance(old, Sequence) else (value,)
        found[key.text] = (key, Sequence(items, key.mark))
    elif key.text in found:
        reader.problem(key.mark, f"{quoted(key.text)} is written twice", "keep one of them")
    else:
        found[key.text] = (key, value)


def _split(scalar: Scalar) -> list[Scalar]:
    """The words between single commas, unescaped, each with its place."""
    text, start, index = scalar.text, 0, 0
    base = scalar.mark if scalar.plain else _shifted(scalar.mark, 1)
    found = []
    while index <= len(text):
        if text[index : index + 2] == ",,":
            index += 2
            continue
        if index == len(text) or text[index] == ",":
            word = text[start:index].replace(",,", ",")
            found.append(Scalar(word, _shifted(base, start), plain=False))
            start = index + 1
        index += 1
    return found


def _shifted(mark: Mark, columns: int) -> Mark:
    return Mark(mark.file, mark.line, mark.column + columns)
