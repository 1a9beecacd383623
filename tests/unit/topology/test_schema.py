"""The schema and the reader know the same keys, and agree on every file of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qlan.problems import TopologyError
from qlan.topology.document import Mapping, Node, Sequence, compose
from qlan.topology.load import parse
from qlan.topology.schema import schema
from qlan.topology.templates import TEMPLATES, template
from qlan.topology.vocabulary import SECTIONS, SORTS

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted([*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "tests/golden/load").rglob("*.yaml")])


def as_editors_see(node: Node) -> Any:
    """A tree by YAML 1.2's core schema, which editors go by."""
    if isinstance(node, Mapping):
        return {key.text: as_editors_see(value) for key, value in node.pairs}
    if isinstance(node, Sequence):
        return [as_editors_see(item) for item in node.items]
    if node.is_null:
        return None
    if node.plain and node.text.lower() in ("true", "false"):
        return node.text.lower() == "true"
    if node.plain and re.fullmatch(r"[-+]?[0-9]+", node.text):
        return int(node.text)
    if node.plain and re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", node.text):
        return float(node.text)
    return node.text


def is_valid(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(schema())
    return validator.is_valid(as_editors_see(compose(text, "qlan.yaml")[0]))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_key_has_a_sort_and_words_for_a_hover() -> None:
    for keys in SECTIONS.values():
        for key in keys.values():
            assert key.sort in SORTS
            assert key.text.endswith((".", ")"))


def test_the_schema_has_the_keys_of_the_reader() -> None:
    """By what the reader says to a key: each of the schema's is known to it, and nothing else is."""
    whole = schema()
    sections = {"lab": whole, **whole["$defs"]}
    assert {name: set(section["properties"]) for name, section in sections.items()} == {
        name: set(keys) for name, keys in SECTIONS.items()
    }
    holes = {
        "lab": "{KEY: x}",
        "network": "networks: {lan: {kind: private, KEY: x}}",
        "dhcp": "networks: {lan: {kind: private, dhcp: {KEY: x}}}",
        "dns": "networks: {lan: {kind: private, dns: {KEY: x}}}",
        "ipv6": "networks: {lan: {kind: private, ipv6: {KEY: x}}}",
        "guest": "guests: {a: {KEY: x}}",
        "disk": "guests: {a: {disk: {KEY: x}}}",
        "nic": "guests: {a: {nics: [{KEY: x}]}}",
        "rate": "guests: {a: {nics: [{network: n, rate: {KEY: x}}]}}",
        "user": "guests: {a: {nics: [{user: {KEY: x}}]}}",
        "forward": "guests: {a: {nics: [{user: true, forwards: [{KEY: x}]}]}}",
    }
    for name, section in sections.items():
        for key in (*section["properties"], "frobnicate"):
            said = problems(holes[name].replace("KEY", key))
            assert (f"has no key `{key}`" in said) is (key == "frobnicate"), (name, key)


def problems(text: str) -> str:
    try:
        parse(text, "qlan.yaml")
    except TopologyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_a_good_file(name: str) -> None:
    text = template(name, "my-first", ".qlan.schema.json")
    assert text.startswith("# yaml-language-server: $schema=.qlan.schema.json\n")
    assert parse(text, "qlan.yaml").lab == "my-first"
    assert is_valid(text)


def test_what_templates_suggest_in_comments_works() -> None:
    """Each commented line of YAML, with its `#` taken away."""
    for name in TEMPLATES:
        text = template(name, "x", "y")
        for line in re.findall(r"^ +# [-a-z_]+.*: ?.*$", text, re.MULTILINE):
            assert parse(text.replace(line, line.replace("# ", "", 1)), "qlan.yaml"), line


def test_no_such_template() -> None:
    with pytest.raises(KeyError):
        template("../../secrets", "x", "y")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    parse(text, str(path))
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "labb: x",
        "lab: My Lab",
        "realm: root",
        "networks: {lan: {kind: mystery}}",
        "networks: {lan: {subnet: 10.0.0.0/24}}",
        "networks: {lan: {kind: private, subnet: 10.0.0.0/31}}",
        "networks: {lan: {kind: private, subnet: 10.0.300.0/24}}",
        "networks: {lan: {kind: private, mtu: 100}}",
        "networks: {LAN: {kind: private}}",
        "guests: {a: {memory: 512}}",
        "guests: {a: {cpus: two}}",
        "guests: {a: {nics: lan}}",
        "guests: {a: {nics: [{model: e1000}]}}",
        "guests: {a: {nics: [{network: lan, user: true}]}}",
        "guests: {a: {nics: [{user: true, mac: banana}]}}",
        "guests: {a: {nics: [{user: true, forwards: [{guest: 80}]}]}}",
        "guests: {a: {disk: {format: raw}}}",
    ],
)
def test_the_editor_shows_what_the_reader_refuses(text: str) -> None:
    assert not is_valid(text)
