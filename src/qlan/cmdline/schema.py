"""What a QEMU version takes: netdev types, their options and types, device models, command-line options.

All of it is data (facts.json, made by scripts/generate_qemu_facts.py from QEMU's own schema and programs); for an
installed program, `Rules.of_program` puts that program's own answers in place of the data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from qlan.values import Value, replace

Version = tuple[int, ...]

_PROPERTY = re.compile(r"^\s+(\S+?)=<([^>]+>?)>", re.MULTILINE)
_INTEGERS = frozenset({"int", "int32", "int64", "uint16", "uint32", "uint64", "size"})


class Option(Value):
    """An option of a netdev type.  kind: str, bool, int, uint16, ..., size, list, addr, or words joined by `|`."""

    name: str
    kind: str
    required: bool = False


class BackendType(Value):
    """A netdev type.  since: the version that brought it.  needs: QEMU's build switch for it, or ""."""

    name: str
    since: str
    needs: str
    options: Mapping[str, Option]


class DeviceModel(Value):
    """A network device.  bus: PCI, ISA, usb-bus, ..., alias: its other name or "", options: property -> type."""

    name: str
    bus: str
    alias: str
    options: Mapping[str, str]


class Rules(Value):
    """One version's language.

    compiled: netdev types in the program (in Debian's, unless it is asked).  others: devices that are no network
    devices.  words: command-line option -> whether an argument follows.  models: what `-nic model=` takes on a PC.
    processor: "" for x86; another's program has devices (of other sorts than NICs) that the data lacks.
    lacking: other processors' NICs that it has not.
    """

    version: Version
    backends: Mapping[str, BackendType]
    addresses: Mapping[str, BackendType]
    compiled: frozenset[str]
    words: Mapping[str, bool]
    devices: Mapping[str, DeviceModel]
    others: frozenset[str]
    filters: Mapping[str, Mapping[str, str]]
    models: frozenset[str]
    processor: str = ""
    lacking: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return ".".join(str(part) for part in self.version)

    def device(self, name: str) -> DeviceModel | None:
        """The network device of that name or alias."""
        if name in self.devices:
            return self.devices[name]
        return next((device for device in self.devices.values() if name and device.alias == name), None)

    def processor_with(self, device: str) -> str:
        """A processor that has a NIC which x86 lacks, or ""."""
        table = _facts()["foreign"]["processors"]
        return next((name for name, own in table.items() if device in own["has"]), "")

    def of_processor(self, processor: str) -> Rules:
        """These rules for qemu-system-PROCESSOR: its own NICs, and x86's without those that it has not."""
        table = _facts()["foreign"]
        own = table["processors"].get(processor)
        if own is None:
            return replace(self, processor=processor)
        models = {name: DeviceModel(name, **table["models"][name]) for name in own["has"]}
        aliases = {model.alias for model in models.values()}
        rest = {name: model if model.alias not in aliases else replace(model, alias="")
                for name, model in self.devices.items() if name not in own["lacks"]}  # fmt: skip
        lacking = {*own["lacks"], *table["models"].keys() - models.keys()}
        return replace(self, devices=models | rest, processor=processor, lacking=frozenset(lacking))

    def of_program(self, schema: list[dict[str, Any]], netdev_help: str, device_help: Mapping[str, str]) -> Rules:
        """These rules with a program's own answers in place of the data.

        schema: `query-qmp-schema`'s return.  netdev_help: what `-netdev help` prints.  device_help: by model, what
        `-device MODEL,help` prints.  Raises KeyError if the schema has no netdev_add.
        """
        compiled = frozenset(re.findall(r"^([a-z][a-z0-9-]*)$", netdev_help, re.MULTILINE)) or self.compiled
        devices = dict(self.devices)
        for model, text in device_help.items():
            known = self.device(model) or DeviceModel(model, "", "", {})
            devices[known.name] = replace(known, options=dict(_PROPERTY.findall(text)))
        return replace(self, backends=_of_schema(schema, self.backends), compiled=compiled, devices=devices)


def known_versions() -> tuple[str, ...]:
    """The versions that the data was made from, oldest first."""
    versions = _facts()["versions"]
    return tuple(sorted({*versions["schema"], *versions["devices"]}, key=parse_version))


def parse_version(text: str) -> Version:
    """`7.2`, `7.2.22`, `QEMU emulator version 10.0.13 (Debian ...)`: major and minor; ValueError."""
    hit = re.search(r"(\d+)\.(\d+)", text)
    if not hit:
        raise ValueError(f"{text!r} is not a QEMU version: two numbers, like 7.2")
    return int(hit[1]), int(hit[2])


@lru_cache(maxsize=64)
def rules(version: str = "") -> Rules:
    """The rules of a version ("": the newest known).  Newer versions than the data's are taken for the newest known."""
    facts = _facts()
    asked = parse_version(version) if version else max(map(parse_version, known_versions()))
    schema, programs = _Folded(facts["versions"]["schema"], asked), _Folded(facts["versions"]["devices"], asked)
    return Rules(
        version=asked,
        backends={name: _backend(name, group, schema) for name, group in schema.groups(facts["netdev"])},
        addresses={name: _backend(name, group, schema) for name, group in schema.groups(facts["address"])},
        compiled=frozenset(programs.plain(facts["backend"])) | {"none"},
        words=schema.plain(facts["option"]),
        devices={name: _device(name, group, programs) for name, group in programs.groups(facts["device"])},
        others=frozenset(programs.plain(facts["other"])),
        filters={name: _filter(group, programs) for name, group in programs.groups(facts["filter"])},
        models=frozenset(programs.plain(facts["model"])),
    )


class _Folded(Value):
    """Reads ranges `[first, last, fact]` for one version; the last range that holds wins."""

    snapshots: list[str]
    version: Version

    def groups(self, table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, group in table.items():
            since = group.get("since", "")
            if any(self.holds(first, last, since) for first, last in group["in"]):
                yield name, group

    def plain(self, table: dict[str, Any], born: tuple[str, str] = ("", "")) -> dict[str, Any]:
        """born: first snapshot and documented version of the group, for options that it had from the beginning."""
        found = {}
        for name, runs in table.items():
            for first, last, fact in runs:
                since = fact[2] if isinstance(fact, list) else ""
                if self.holds(first, last, since or (born[1] if first == born[0] else "")):
                    found[name] = fact
        return found

    def holds(self, first: str, last: str, since: str) -> bool:
        if first and self.version < parse_version(since or first):
            return False
        if not last:
            return True
        after = [snapshot for snapshot in self.snapshots if parse_version(snapshot) > parse_version(last)]
        return self.version < parse_version(after[0])


@lru_cache(maxsize=1)
def _facts() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(__package__).joinpath("facts.json").read_text(encoding="utf-8"))
    return found


def _backend(name: str, group: dict[str, Any], folded: _Folded) -> BackendType:
    facts = folded.plain(group["options"], (group["in"][0][0], group["since"]))
    options = {key: Option(key, fact[0], fact[1]) for key, fact in facts.items()}
    return BackendType(name, group["since"], group["needs"], options)


def _filter(group: dict[str, Any], folded: _Folded) -> dict[str, str]:
    """5.2 does not list a filter's properties: those of the next version stand in."""
    return folded.plain(group["options"]) or {name: runs[0][2] for name, runs in group["options"].items()}


def _device(name: str, group: dict[str, Any], folded: _Folded) -> DeviceModel:
    return DeviceModel(name, group["bus"], group["alias"], folded.plain(group["options"]))


def _of_schema(schema: list[dict[str, Any]], known: Mapping[str, BackendType]) -> dict[str, BackendType]:
    """netdev types of a program's own introspection.  It says "int" for all integers: the data knows which."""
    types = {entry["name"]: entry for entry in schema}
    union = types[types["netdev_add"]["arg-type"]]
    found: dict[str, BackendType] = {}
    for variant in union["variants"]:
        name = variant["case"]
        before = known.get(name, BackendType(name, "", "", {}))
        options = {}
        for member in types[variant["type"]].get("members", []):
            kind = _introspected(member["type"], types)
            data = before.options.get(member["name"])
            if data and (kind == data.kind or (kind == "int" and data.kind in _INTEGERS)):
                kind = data.kind
            options[member["name"]] = Option(member["name"], kind, "default" not in member)
        found[name] = replace(before, options=options)
    return found


def _introspected(name: str, types: Mapping[str, dict[str, Any]]) -> str:
    entry = types[name]
    match entry["meta-type"]:
        case "builtin":
            return str(entry["json-type"]).replace("string", "str").replace("boolean", "bool")
        case "array":
            return "list"
        case "enum":
            return "|".join(entry.get("values", [member["name"] for member in entry.get("members", [])]))
    return "addr"
