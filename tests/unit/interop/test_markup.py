"""XML that nobody vouches for, and that nothing of it is forgotten."""

from __future__ import annotations

import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.errors import UsageError
from qlan.interop import document, libvirt
from qlan.interop.imported import Source
from qlan.interop.markup import comment, element, escape_text, read_tags
from qlan.topology.model import Guest
from tests.samples import GOLDEN

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><network><name>&b;</name></network>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><network><name>&a;</name></network>'


@pytest.mark.parametrize("text", [BOMB, FILE, "\n\n<!DOCTYPE network><network/>"])
def test_dtds_and_entities_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="DTDs and entities"):
        read_tags(text, "x.xml")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("<network>\n  <name>a</nam></network>", "x.xml:2:12"),
        ("<a/><b>&</b>", "x.xml:1:9"),
        ("no xml", "x.xml"),
        ("", "x.xml"),
        ("</files><files>", "x.xml"),
    ],
)  # fmt: skip
def test_broken_xml_has_a_place(text: str, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_tags(text, "x.xml")
    assert caught.value.where.startswith(where)


def test_depth_and_size_are_limited() -> None:
    start = time.monotonic()
    with pytest.raises(UsageError, match="deep"):
        read_tags("<a>" * 5000 + "</a>" * 5000, "x.xml")
    with pytest.raises(UsageError, match="MB"):
        read_tags("<a>" + " " * (5 << 20) + "</a>", "x.xml")
    assert time.monotonic() - start < 3


def test_other_things_are_no_libvirt() -> None:
    with pytest.raises(UsageError, match="neither a network nor a domain"):
        libvirt.import_sources([Source("x.xml", "<html><body/></html>")])


CASES = sorted((GOLDEN / "interop" / "libvirt").glob("*/*.xml"))
PASSED_OVER = re.compile(r"# (?:left out, not about networks|libvirt's own, without a meaning here): (.*)")


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_nothing_is_dropped_silently(path: Path) -> None:
    """An attribute and an element that nobody knows, put into every element in turn, are in the result each time.

    Elements that are left out whole are named: those are not looked into.
    """
    text = re.sub(r"<\?xml[^>]*>", "", path.read_text(encoding="utf-8"))
    root = ElementTree.fromstring(f"<files>{text}</files>")
    passed = {name for names in PASSED_OVER.findall(imported(root, path.name)) for name in names.split(", ")}
    places = [one for top in root for one in inside(top, passed)]
    assert len(places) > 3
    for number, place in enumerate(places):
        place.set("unheard-of", f"zzz{number}z")
        assert f"zzz{number}z" in imported(root, path.name), place.tag
        del place.attrib["unheard-of"]
        stranger = ElementTree.SubElement(place, "stranger", {"number": f"yyy{number}y"})
        assert f"yyy{number}y" in imported(root, path.name), place.tag
        place.remove(stranger)


def inside(one: ElementTree.Element, passed: set[str]) -> list[ElementTree.Element]:
    if one.tag.rpartition("}")[2] in passed:
        return []
    return [one, *(deeper for child in one for deeper in inside(child, passed))]


def imported(root: ElementTree.Element, name: str) -> str:
    text = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
    return document.write(libvirt.import_sources([Source(name, text)]))


@given(st.text())
def test_any_text_is_escaped(text: str) -> None:
    [tag] = read_tags(element("a", escape_text(text), b=text), "x.xml")
    printable = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
    assert tag.attribute("b") == printable
    assert tag.text == printable.strip()
    assert read_tags(f"<a>{comment(text)}</a>", "x.xml")


@pytest.mark.parametrize(
    "memory",
    ["<memory>-5</memory>", "<memory/>", "<memory>1.5</memory>", "<memory>\u00b2</memory>",
     '<memory unit="furlong">5</memory>', f"<memory>{'9' * 5000}</memory>"],
)  # fmt: skip
def test_a_memory_that_is_none_is_told(memory: str) -> None:
    source = Source("x.xml", f"<domain><name>a</name>{memory}</domain>")
    [guest] = libvirt.import_sources([source]).topology.guests
    assert guest.memory_bytes == Guest("a").memory_bytes
    assert "# memory of " in document.write(libvirt.import_sources([source]))
