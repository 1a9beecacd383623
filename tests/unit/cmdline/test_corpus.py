"""Command lines from public documents: understood as somebody has reviewed it, and given back unchanged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from qlan import cmdline

FOLDER = Path(__file__).parents[2] / "golden/cmdline/corpus"
FILES = sorted(FOLDER.glob("*.json"))
ENTRIES = [(file.stem, index, entry) for file in FILES for index, entry in enumerate(json.loads(file.read_text()))]


def understood(entry: dict[str, Any]) -> dict[str, Any]:
    rules = cmdline.rules(entry["qemu"])
    (reading,) = cmdline.read_script(entry["text"], rules)
    data = cmdline.explanation_data(cmdline.explain(reading, rules))
    place = "{line}:{column} {code}"
    return {
        "errors": [f"{error['line']}:{error['column']} {error['what']}" for error in data["errors"]],
        "warnings": [place.format(**warning) for warning in data["warnings"]],
        "nics": [f"{nic['name']} {nic['model']} {nic['mac']} on {'+'.join(nic['netdevs'])}" for nic in data["nics"]],
        "netdevs": [f"{netdev['id']}: {netdev['what']}" for netdev in data["netdevs"]],
        "forwards": [
            "{protocol} {listens}:{port} to {guest_address}:{guest_port}".format(**forward)
            for forward in data["forwards"]
        ],
        "convertible": data["convertible"],
    }


@pytest.mark.parametrize(("file", "index", "entry"), ENTRIES, ids=[f"{file}-{index}" for file, index, _ in ENTRIES])
def test_entry(file: str, index: int, entry: dict[str, Any]) -> None:
    found = understood(entry)
    if "QLAN_WRITE_CORPUS" in os.environ:
        path = FOLDER / f"{file}.json"
        entries = json.loads(path.read_text())
        entries[index]["expected"] = found
        path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
        return
    assert found == entry["expected"], entry["source"]
    (reading,) = cmdline.read_script(entry["text"], cmdline.rules(entry["qemu"]))
    words = cmdline.render(reading.line)
    again = cmdline.read(cmdline.render_text(reading.line), cmdline.rules(entry["qemu"]))
    assert cmdline.render(again.line) == words


def test_the_corpus_is_large_and_every_entry_has_a_source() -> None:
    assert len(ENTRIES) >= 150
    assert all(entry["source"] and entry["text"] for _, _, entry in ENTRIES)
    assert len({" ".join(entry["text"].split()) for _, _, entry in ENTRIES}) == len(ENTRIES)
