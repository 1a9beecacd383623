"""The file's JSON Schema (draft 2020-12), for editors: made of the same tables of keys that the reader goes by.

It says as much as a schema can; what needs the whole file or this machine is `check`'s.
"""

from __future__ import annotations

from typing import Any

from qlan.names import NAME_MAX
from qlan.topology.guests import CPUS_MAX, HOTPLUG_MAX
from qlan.topology.model import KINDS
from qlan.topology.scalars import MTU_MAX, MTU_MIN, PORT_MAX, VLAN_MAX
from qlan.topology.vocabulary import SECTIONS, Key

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]  # JSON

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = rf"{_OCTET}(\.{_OCTET}){{3}}"
_NAME = rf"^(?=.{{1,{NAME_MAX}}}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_REQUIRED = {"network": ["kind"], "disk": ["path"], "forward": ["host", "guest"]}


def schema() -> Schema:
    """The schema as a JSON value."""
    sections = {name: _section(name, keys) for name, keys in SECTIONS.items()}
    sections["nic"]["oneOf"] = [{"required": ["network"]}, {"required": ["user"]}]
    root = sections.pop("lab")
    return {"$schema": DIALECT, "title": "qlan.yaml", "description": "Networks for QEMU guests.", **root,
            "$defs": sections}  # fmt: skip


def _section(name: str, keys: dict[str, Key]) -> Schema:
    found: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: {"description": entry.text, **_value(entry)} for key, entry in keys.items()},
    }
    if name in _REQUIRED:
        found["required"] = _REQUIRED[name]
    return found


def _value(key: Key) -> Schema:
    if key.choices:
        return {"enum": list(key.choices)}
    return _SORTS[key.sort]


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _section_of(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _by_name(value: Schema) -> Schema:
    return {"type": ["object", "null"], "propertyNames": {"pattern": _NAME}, "additionalProperties": value}


def _list_of(item: Schema) -> Schema:
    return {"type": ["array", "null"], "items": item}


_WORD: Schema = {"type": ["string", "integer", "number"]}  # `machine: 2`, `- 5` in qemu_args: taken as written
_FLAG: Schema = {"enum": [True, False, "yes", "no", "on", "off"]}
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": PORT_MAX}
_DISK: Schema = {"anyOf": [{"type": "string"}, _section_of("disk")]}

_VLAN: Schema = {"type": "integer", "minimum": 1, "maximum": VLAN_MAX}
_VLANS: Schema = {"anyOf": [_VLAN, _text(r"^[0-9]+( *- *[0-9]+)?$")]}
_SPEED = _text(r"^[0-9]+(\.[0-9]+)?([KMGTkmgt][Ii]?)?([Bb][Ii][Tt]|[Bb][Pp][Ss])$")

_SORTS: dict[str, Schema] = {
    "name": {"anyOf": [_text(_NAME), {"type": "integer"}]},
    "word": _WORD,
    "text": _WORD,
    "flag": _FLAG,
    "integer": {"type": "integer", "minimum": 1, "maximum": CPUS_MAX},
    "places": {"type": "integer", "minimum": 0, "maximum": HOTPLUG_MAX},
    "port": {"anyOf": [_PORT, {"const": "auto"}]},
    "mtu": {"type": "integer", "minimum": MTU_MIN, "maximum": MTU_MAX},
    "size": _text(r"^[0-9]+(\.[0-9]+)? ?[KMGTkmgt]([Ii]?[Bb])?$"),
    "lease": _text(r"^[0-9]+ ?[smhdw]$"),
    "time": _text(r"^[0-9]+ ?[smhdw]$"),
    "address": _text(rf"^{_ADDRESS}$"),
    "subnet": _text(rf"^{_ADDRESS}/([89]|[12][0-9]|30)$"),
    "range": _text(rf"^{_ADDRESS} *- *{_ADDRESS}$"),
    "address6": _text(r"^[0-9a-fA-F:.]+$"),
    "address46": _text(r"^[0-9a-fA-F:.]+$"),
    "ipv6-prefix": _text(r"^[0-9a-fA-F:.]+/[0-9]+$"),
    "mac": _text(r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$"),
    "domain": {"type": "string"},
    "hostname": {"anyOf": [_text(_NAME), {"type": "integer"}]},
    "vlan": _VLAN,
    "vlans": {"anyOf": [_VLANS, _list_of(_VLANS)]},
    "speed": _SPEED,
    "rate": {"anyOf": [_SPEED, _section_of("rate")]},
    "interface": _text(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$"),
    "bootfile": {"type": "string"},
    "path": {"type": "string"},
    "disk": _DISK,
    "domains": {"anyOf": [{"type": "string"}, _list_of({"type": "string"})]},
    "guestfwds": {"anyOf": [{"type": "string"}, _list_of({"type": "string"})]},
    "words": {"anyOf": [_WORD, _list_of(_WORD)]},
    "networks": _by_name({"anyOf": [{"enum": list(KINDS)}, _section_of("network")]}),
    "guests": _by_name(_section_of("guest")),
    "dhcp": {"anyOf": [_FLAG, _section_of("dhcp")]},
    "addresses": {"anyOf": [_text(rf"^{_ADDRESS}$"), _list_of(_text(rf"^{_ADDRESS}$"))]},
    "routes": {"type": ["object", "null"], "additionalProperties": _text(rf"^{_ADDRESS}$")},
    "options": {"type": ["object", "null"], "additionalProperties": {"anyOf": [_WORD, _list_of(_WORD)]}},
    "records": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
    "dns": {"anyOf": [_FLAG, _section_of("dns")]},
    "ipv6": {"anyOf": [_FLAG, _text(r"^[0-9a-fA-F:.]+/[0-9]+$"), _section_of("ipv6")]},
    "disks": _list_of(_DISK),
    "nics": {"anyOf": [{"const": "none"}, _list_of({"anyOf": [{"type": ["string", "integer"]}, _section_of("nic")]})]},
    "user": {"anyOf": [{"enum": [True, "yes", "on"]}, {"type": "null"}, _section_of("user")]},
    "reverse": _list_of({"type": "string"}),
    "forwards": _list_of({"anyOf": [{"type": "string"}, _section_of("forward")]}),
}
