#!/usr/bin/env python3
"""Make src/qlan/cmdline/facts.json: what each QEMU version takes on its command line for networks.

Give it QEMU source trees (for qapi/net.json, qapi/sockets.json, qemu-options.hx: with `apt-get source qemu`, for
instance) and QEMU programs (for the device models and their properties, which no schema describes):

    scripts/generate_qemu_facts.py --source 7.2=DIR --source 10.0=DIR --program 7.2=qemu-system-x86_64 \\
        --program '10.0=chroot DIR /usr/bin/qemu-system-x86_64'

The NICs of other processors' programs are kept apart, as what they have more and less than x86's; that part alone is
made anew by

    scripts/generate_qemu_facts.py --foreign x86_64=qemu-system-x86_64 --foreign s390x=qemu-system-s390x ...

(x86_64, of the same version, is what the others are compared with).
Only facts are kept (names, types, versions); equal facts of neighbouring versions are written once, as a range.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src/qlan/cmdline/facts.json"
DEFINE = re.compile(r'^DEF(?:HEADING)?\("(?P<name>[^"]*)",\s*(?P<arg>HAS_ARG|0),', re.MULTILINE)
SINCE = re.compile(r"\(since:?\s*(\d+\.\d+)", re.IGNORECASE)
DEVICE = re.compile(r'^name "(?P<name>[^"]+)"(?:, bus (?P<bus>[^,\n]+))?(?:, alias "(?P<alias>[^"]+)")?', re.MULTILINE)
PROPERTY = re.compile(r"^\s+(?P<name>\S+?)=<(?P<type>[^>]+>?)>", re.MULTILINE)
CHOICES = re.compile(r"^\s+(?P<name>\S+?)=<\w+>\s+- (?P<words>[\w-]+(?:/[\w-]+)+)", re.MULTILINE)

Json = dict[str, Any]


def expressions(text: str) -> list[Json]:
    """The definitions of a QAPI schema file: a dialect of Python's literals, so Python reads them."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found, depth, start = [], 0, 0
    for at, letter in enumerate(bare):
        if letter == "{":
            start = at if depth == 0 else start
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                piece = re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", bare[start : at + 1]))
                found.append(ast.literal_eval(piece))
    return found


def documented_since(text: str) -> dict[str, Json]:
    """Per definition: the version in which it came ("") and those of its members, as its comment says."""
    found: dict[str, Json] = {}
    for block in re.findall(r"^##\n(.*?)^##", text, re.MULTILINE | re.DOTALL):
        head = re.match(r"# @([\w-]+):", block)
        if not head:
            continue
        since: Json = {}
        for member in re.finditer(r"^# @([\w-]+):(.*?)(?=^# @|^#\n# [A-Z]|\Z)", block, re.MULTILINE | re.DOTALL):
            version = SINCE.search(member[2]) or re.match(r"\s*since (\d+\.\d+)", member[2])
            if version:
                since[member[1]] = version[1]
        own = re.search(r"^# Since: (\d+\.\d+)", block, re.MULTILINE)
        since[""] = own[1] if own else ""
        found[head[1]] = since
    return found


def value_type(raw: Any, schema: dict[str, Json]) -> str:
    """A member's type in our words: str, bool, int32, size, list, addr, or the words of an enumeration joined by |."""
    name = raw["type"] if isinstance(raw, dict) else raw
    if isinstance(name, list):
        return "list"
    if name == "SocketAddress":
        return "addr"
    if name in schema and "enum" in schema[name]:
        return "|".join(word if isinstance(word, str) else word["name"] for word in schema[name]["data"])
    return str(name)


def members(name: str, schema: dict[str, Json], since: dict[str, Json]) -> Json:
    """The options of a struct (and of what it is based on): name -> [type, required, documented since]."""
    struct = schema[name]
    found = members(struct["base"], schema, since) if isinstance(struct.get("base"), str) else {}
    for key, raw in struct["data"].items():
        plain = key.lstrip("*")
        version = since.get(name, {}).get(plain, "")
        found[plain] = [value_type(raw, schema), not key.startswith("*"), version]
    return found


def read_schema(folder: Path) -> Json:
    """Netdev types and socket addresses of one QEMU source tree."""
    text = (folder / "qapi/net.json").read_text()
    sockets = (folder / "qapi/sockets.json").read_text()
    common = (folder / "qapi/common.json").read_text()
    schema: dict[str, Json] = {}
    for piece in expressions(text) + expressions(sockets) + expressions(common):
        for kind in ("struct", "enum", "union"):
            if kind in piece:
                schema[piece[kind]] = piece
    since = documented_since(text)
    drivers = since.get("NetClientDriver", {})
    netdevs: Json = {"none": {"since": "", "needs": "", "options": {}}}
    for kind, raw in schema["Netdev"]["data"].items():
        struct = raw["type"] if isinstance(raw, dict) else raw
        condition = schema[struct].get("if", raw.get("if", "") if isinstance(raw, dict) else "")
        netdevs[kind] = {
            "since": drivers.get(kind) or since.get(struct, {}).get("", ""),
            "needs": condition if isinstance(condition, str) else json.dumps(condition),
            "options": members(struct, schema, since),
        }
    addresses = {}
    for kind, raw in schema.get("SocketAddress", {}).get("data", {}).items():
        addresses[kind] = {"since": "", "needs": "", "options": members(str(raw), schema, since)}
    return {"netdev": netdevs, "address": addresses}


def read_options(folder: Path) -> Json:
    """Every command-line option of one source tree: name -> whether an argument follows."""
    text = (folder / "qemu-options.hx").read_text()
    return {found["name"]: found["arg"] == "HAS_ARG" for found in DEFINE.finditer(text)}


def ask(program: list[str], *words: str) -> str:
    """What the program prints; it must end by itself."""
    done = subprocess.run([*program, *words], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def read_properties(text: str) -> Json:
    found = {hit["name"]: hit["type"] for hit in PROPERTY.finditer(text)}
    for hit in CHOICES.finditer(text):
        if found[hit["name"]] not in ("bool", "str") and set(hit["words"].split("/")) != {"on", "off"}:
            found[hit["name"]] = hit["words"].replace("/", "|")
    return {name: kind for name, kind in found.items() if not kind.startswith(("child<", "link<"))}


def read_program(program: list[str]) -> Json:
    """Network devices with their properties, all other devices' names, filters: of one QEMU program."""
    heads = re.split(r"^(\w[^\n]*devices):\n", ask(program, "-device", "help"), flags=re.MULTILINE)
    sections = dict(zip(heads[1::2], heads[2::2], strict=True))
    devices: Json = {}
    for hit in DEVICE.finditer(sections["Network devices"]):
        properties = read_properties(ask(program, "-device", f"{hit['name']},help"))
        devices[hit["name"]] = {"bus": hit["bus"] or "", "alias": hit["alias"] or "", "options": properties}
    others = {hit["name"] for part in sections.values() for hit in DEVICE.finditer(part)} - set(devices)
    others |= {
        hit["alias"]
        for name, part in sections.items()
        if name != "Network devices"
        for hit in DEVICE.finditer(part)
        if hit["alias"]
    }
    filters: Json = {}
    for name in re.findall(r"^\s+((?:filter-|colo-)\S+)$", ask(program, "-object", "help"), re.MULTILINE):
        filters[name] = {"options": read_properties(ask(program, "-object", f"{name},help"))}
    backends = set(re.findall(r"^([a-z][a-z0-9-]*)$", ask(program, "-netdev", "help"), re.MULTILINE))
    models = set(re.findall(r"^([a-z][\w-]*)$", ask(program, "-machine", "pc", "-nic", "model=help"), re.MULTILINE))
    return {
        "devices": devices,
        "filters": filters,
        "others": dict.fromkeys(sorted(others), True),
        "backends": dict.fromkeys(sorted(backends), True),
        "models": dict.fromkeys(sorted(models), True),
    }


def nics_of(program: list[str]) -> dict[str, re.Match[str]]:
    text = re.split(r"^(\w[^\n]*devices):\n", ask(program, "-device", "help"), flags=re.MULTILINE)
    nics = dict(zip(text[1::2], text[2::2], strict=True)).get("Network devices", "")
    return {hit["name"]: hit for hit in DEVICE.finditer(nics)}


def read_foreign(programs: dict[str, list[str]]) -> Json:
    """The NICs that x86 has not, and by processor which of those it has and which of x86's it lacks."""
    known = nics_of(programs.pop("x86_64"))
    models: Json = {}
    processors: Json = {}
    for processor, program in sorted(programs.items()):
        hits = nics_of(program)
        for name in hits.keys() - known.keys():
            properties = read_properties(ask(program, "-device", f"{name},help"))
            models[name] = {"bus": hits[name]["bus"] or "", "alias": hits[name]["alias"] or "", "options": properties}
        processors[processor] = {"has": sorted(hits.keys() - known.keys()), "lacks": sorted(known.keys() - hits.keys())}
    return {"models": dict(sorted(models.items())), "processors": processors}


def ranges(per_version: dict[str, Json], versions: list[str]) -> Json:
    """{version: {name: fact}} to {name: [[first, last, fact], ...]}; "" for a last means: still so in the newest."""
    found: dict[str, list[list[Any]]] = {}
    for index, version in enumerate(versions):
        for name, fact in per_version[version].items():
            runs = found.setdefault(name, [])
            before = versions[index - 1] if index else None
            if runs and runs[-1][1] == before and runs[-1][2] == fact:
                runs[-1][1] = version
            else:
                runs.append([version, version, fact])
    newest, oldest = versions[-1], versions[0]
    return {
        name: [[("" if a == oldest else a), ("" if b == newest else b), fact] for a, b, fact in runs]
        for name, runs in sorted(found.items())
    }


def nested(per_version: dict[str, Json], versions: list[str]) -> Json:
    """As `ranges`, for groups that have options: the group's own facts and its options' are folded apart."""
    names = sorted({name for groups in per_version.values() for name in groups})
    found: Json = {}
    for name in names:
        having = [version for version in versions if name in per_version[version]]
        own = {v: {"_": {k: x for k, x in per_version[v][name].items() if k != "options"}} for v in having}
        options = {v: per_version[v][name]["options"] if name in per_version[v] else {} for v in versions}
        group: Json = dict(own[having[-1]]["_"])
        group["in"] = [
            [a, b] for a, b, _ in ranges({v: ({"_": True} if v in having else {}) for v in versions}, versions)["_"]
        ]
        group["options"] = ranges(options, versions)
        found[name] = group
    return found


def pairs(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


def by_number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", default=[], metavar="VERSION=FOLDER")
    parser.add_argument("--program", action="append", default=[], metavar="VERSION=COMMAND")
    parser.add_argument("--foreign", action="append", default=[], metavar="PROCESSOR=COMMAND")
    given = parser.parse_args()
    foreign = {processor: shlex.split(command) for processor, command in pairs(given.foreign).items()}
    if not given.source:
        facts = json.loads(TARGET.read_text())
        write(facts | {"foreign": read_foreign(foreign)})
        return
    sources = {version: Path(folder) for version, folder in pairs(given.source).items()}
    programs = {version: shlex.split(command) for version, command in pairs(given.program).items()}
    versions = sorted(sources, key=by_number)
    asked = sorted(programs, key=by_number)
    schemas = {version: read_schema(folder) for version, folder in sources.items()}
    read = {version: read_program(command) for version, command in programs.items()}
    facts = {
        "versions": {"schema": versions, "devices": asked},
        "netdev": nested({v: schemas[v]["netdev"] for v in versions}, versions),
        "address": nested({v: schemas[v]["address"] for v in versions}, versions),
        "option": ranges({v: read_options(sources[v]) for v in versions}, versions),
        "device": nested({v: read[v]["devices"] for v in asked}, asked),
        "filter": nested({v: read[v]["filters"] for v in asked}, asked),
        "other": ranges({v: read[v]["others"] for v in asked}, asked),
        "backend": ranges({v: read[v]["backends"] for v in asked}, asked),
        "model": ranges({v: read[v]["models"] for v in asked}, asked),
    }
    facts["foreign"] = read_foreign(foreign)
    write(facts)
    print(f"schema {versions}, devices {asked}")


def write(facts: Json) -> None:
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in facts.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
