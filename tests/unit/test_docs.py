"""The docs keep their word: references are made from the code, examples are read by it, links lead somewhere.

QLAN_UPDATE_GOLDEN=1 writes the generated parts anew.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan import __version__
from qlan.cli.parser import make_parser, verb_module
from qlan.cli.verbs import GROUPS, VERBS
from qlan.planning import cost as cost_of
from qlan.resources.model import RESOURCE_TYPES, Bridge, Namespace
from qlan.topology import load
from qlan.topology.model import KINDS
from qlan.topology.vocabulary import SECTIONS, SORTS
from tests import samples

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
MADE = {  # what the recipes make
    "where",
    "src/qlan/cli/where.py",
    "src/qlan/host/route.py",
    "src/qlan/networks/cable.py",
    "tests/golden/errors/cable-ends/qlan.yaml",
    "tests/golden/expand/cable/qlan.yaml",
}
AGAIN = "\n\nQLAN_UPDATE_GOLDEN=1 pytest tests/unit/test_docs.py writes it anew"


def check_generated(path: Path, text: str) -> None:
    if samples.UPDATE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, AGAIN


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --- docs/file.md


def keys_table(section: str) -> str:
    rows = ["| key | value | |", "| --- | --- | --- |"]
    for name, key in SECTIONS[section].items():
        value = " ".join(f"`{word}`" for word in key.choices) or SORTS[key.sort]
        rows.append(f"| `{name}` | {value} | {cell(key.text)} |")
    return "\n".join(rows)


def test_every_key_of_the_file() -> None:
    """Each section's table stands below its mark, and each section has one."""
    page = DOCS / "file.md"
    text = page.read_text(encoding="utf-8")
    marks = re.findall(r"<!-- keys: (\S+) -->", text)
    assert sorted(marks) == sorted(SECTIONS)
    table = re.compile(r"(<!-- keys: (\S+) -->\n)(?:\n(?:\|.*\n)+)?")
    check_generated(page, table.sub(lambda found: f"{found[1]}\n{keys_table(found[2])}\n", text))


# --- docs/cli.md


def words_of(action: argparse.Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 and not action.choices else "")
    value = "{" + ",".join(map(str, action.choices)) + "}" if action.choices and not action.metavar else str(metavar)
    if not action.option_strings:
        any_number = action.nargs in ("*", argparse.REMAINDER)
        return f"[{value}...]" if any_number else f"{value}..." if action.nargs == "+" else value
    head = ", ".join(action.option_strings)
    return f"{head} {value}" if action.nargs != 0 and value else head


def verb_text(verb: str) -> Iterator[str]:
    module = verb_module(verb)
    parser = make_parser(verb, module)
    actions = [one for one in parser._actions if one.help != argparse.SUPPRESS and one.dest != "help"]
    places = [words_of(one) if one.nargs != "?" else f"[{words_of(one)}]" for one in actions if not one.option_strings]
    rest = [f"[-- {module.REST}]"] if hasattr(module, "REST") else []
    yield f"## qlan {verb}\n"
    yield "    " + " ".join([f"qlan {verb}", "[OPTIONS]", *places, *rest]) + "\n"
    yield module.DESCRIPTION.strip().replace("  ", " ") + "\n"
    if actions:
        yield "| | |\n| --- | --- |"
        yield from (f"| `{cell(words_of(one))}` | {cell((one.help or '').replace('%%', '%'))} |" for one in actions)
        yield ""
    yield "```\n" + "\n".join(line.strip() for line in module.EXAMPLES.strip().splitlines()) + "\n```\n"


def cli_text() -> Iterator[str]:
    yield "# The command line\n"
    yield "Made from the program's own words; `qlan VERB --help` says the same.\n"
    for title, verbs in GROUPS.items():
        yield f"{title}:\n"
        yield from (f"* [`qlan {verb}`](#qlan-{verb}): {text}" for verb, text in verbs.items())
        yield ""
    for verb in VERBS:
        yield from verb_text(verb)


def test_every_verb() -> None:
    check_generated(DOCS / "cli.md", "\n".join(cli_text()).rstrip() + "\n")


# --- docs/changes.md


def changes_text() -> Iterator[str]:
    yield (DOCS / "changes.md").read_text(encoding="utf-8").partition(CHANGES_MARK)[0] + CHANGES_MARK + "\n"
    yield "| cost | what it means |\n| --- | --- |"
    yield from (f"| {cost.value} | {cell(text)} |" for cost, text in cost_of.MEANING.items())
    for kind in RESOURCE_TYPES:
        yield f"\n### {kind.__name__}\n\n{cell((kind.__doc__ or '').strip().splitlines()[0])}\n"
        yield "| field | cost |\n| --- | --- |"
        for name in kind.__struct_fields__:
            cost = cost_of.OF_FIELD.get(kind, {}).get(name)
            anew = "restart of the guests on it" if kind in (Namespace, Bridge) else "live, made anew"
            said = cost.value if cost else anew if name in kind.FIXED else "live"
            said = "-" if name in cost_of.NAMES else said
            more = "; fewer: next start" if name in cost_of.FEWER_IS_LATER else ""
            yield f"| `{name}` | {said}{more} |"


CHANGES_MARK = "<!-- made from the code: what each field costs -->\n"


def test_what_each_change_costs() -> None:
    check_generated(DOCS / "changes.md", "\n".join(changes_text()) + "\n")


def test_every_field_of_what_is_a_guest_s_has_its_cost() -> None:
    for kind, costs in cost_of.OF_FIELD.items():
        assert set(kind.__struct_fields__) - cost_of.NAMES == set(costs)


# --- every page


@EACH_PAGE
def test_a_lab_in_the_docs_is_a_good_file(page: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        assert load.parse(block, "/lab/qlan.yaml")


@EACH_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@EACH_PAGE
def test_verbs_in_the_docs_are_there(page: Path) -> None:
    """In code: at the start of a line of a block, or in backquotes."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```.*?^ *```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"^ {4}\S.*$", text, re.MULTILINE)
    found = re.findall(r"`qlan ([a-z][a-z-]*)\b", text)
    for block in blocks:
        found += re.findall(r"^ *(?:\$ )?qlan ([a-z][a-z-]*)\b", block, re.MULTILINE)
    for verb in found:
        assert verb in VERBS or (verb in MADE and page.name == "recipes.md"), f"qlan {verb}"


@EACH_PAGE
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"`((?:src|tests|scripts|docs|examples)/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or (name in MADE and page.name == "recipes.md"), name


def test_the_table_of_kinds_has_every_kind() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert {*KINDS, "user"} <= set(rows)


def test_the_glossary_has_every_resource() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {kind.__name__ for kind in RESOURCE_TYPES}


def test_the_change_log_has_this_version() -> None:
    assert __version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
