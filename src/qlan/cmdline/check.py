"""What QEMU would refuse in one clause: unknown or missing keys, values of the wrong type.

The rules that tie keys to each other are in backends.py, those that tie clauses to each other in wiring.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from qlan.cmdline.model import Clause, Fault, Form, Kind
from qlan.cmdline.schema import BackendType, Option, Rules
from qlan.cmdline.shell import has_variable
from qlan.cmdline.tokens import Setting, Spelling
from qlan.cmdline.values import LIMITS, parse_bool, parse_device_mac, parse_integer, parse_nic_mac, parse_size
from qlan.names import nearest

ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]*", re.ASCII)
HELP = ("help", "?")
NESTED = ("stream", "dgram")
_JSON_IDS_SINCE = (11, 0)  # since then the id of a -device in JSON is looked at; a -netdev's never is

_REMOVED_KEYS = {
    "vlan": "vlan= was removed in QEMU 3.0: give each NIC its own -nic or -netdev with -device",
    "name": "name= was removed in QEMU 5.1: id= takes its place",
}
_REMOVED_TYPES = {
    "dump": "-object filter-dump,netdev=ID,file=FILE",
    "channel": "guestfwd= of -nic user",
}
_PCI_ADDRESS = re.compile(r"\s*\+?(?:0[xX])?([0-9a-fA-F]+)(?:\.\s*\+?(?:0[xX])?0*[0-7])?", re.ASCII)


def is_open(clause: Clause, text: str) -> bool:
    """Whether only the shell knows the text."""
    return clause.argument.expands and has_variable(text)


def asks_help(clause: Clause) -> bool:
    """Whether QEMU would print help and leave instead of starting."""
    first = "driver" if clause.kind is Kind.DEVICE else "qom-type" if clause.kind is Kind.OBJECT else "type"
    if clause.value(first) in HELP or (clause.kind in (Kind.NIC, Kind.NET) and clause.value("model") in HELP):
        return True
    return clause.kind is Kind.DEVICE and any(s.key in HELP and s.value == "on" for s in clause.settings)


def check_clause(clause: Clause, rules: Rules) -> Iterator[Fault]:
    """Everything wrong inside one clause."""
    if asks_help(clause) or not clause.is_network:
        return
    match clause.kind:
        case Kind.NETDEV | Kind.NIC | Kind.NET:
            yield from _check_id(clause, rules)
            yield from _check_backend(clause, rules)
        case Kind.DEVICE:
            yield from _check_id(clause, rules)
            yield from _check_device(clause, rules)
        case Kind.GLOBAL:
            yield from _check_global(clause)


def backend_name(clause: Clause) -> str | None:
    """The netdev type of a -netdev, -nic or -net; None: not said."""
    name = clause.value("type")
    return "user" if name is None and clause.kind is Kind.NIC else name


def fault_at(clause: Clause, setting: Setting | None, what: str, expected: str = "", near: str = "") -> Fault:
    """A fault at a setting's value, or at the clause's beginning."""
    index = 0 if setting is None or clause.form is Form.JSON else setting.value_start
    return Fault(clause.offset(index), f"-{clause.kind}: {what}", expected, near)


def key_fault(clause: Clause, setting: Setting, what: str, near: str = "") -> Fault:
    """A fault at a setting's key."""
    index = 0 if clause.form is Form.JSON else setting.start
    return Fault(clause.offset(index), f"-{clause.kind}: {what}", "", near, "key")


def _check_id(clause: Clause, rules: Rules) -> Iterator[Fault]:
    setting = next((setting for setting in clause.settings if setting.key == "id"), None)
    if setting is None:
        if clause.kind is Kind.NETDEV and not is_open(clause, clause.argument.text):
            yield fault_at(clause, None, "id= is missing", "id=NAME, for a -device with netdev=NAME")
        return
    if setting.exact is not None or setting.spelling is Spelling.NULL:
        yield fault_at(clause, setting, "id is no string", 'a string, like "n0"')
    free = clause.form is not Form.OPTS and (clause.kind is Kind.NETDEV or rules.version < _JSON_IDS_SINCE)
    if not free and not ID.fullmatch(setting.value) and not is_open(clause, setting.value):
        yield fault_at(clause, setting, f"{setting.value!r} is no id", "a letter, then letters, digits, - . _")


def _check_backend(clause: Clause, rules: Rules) -> Iterator[Fault]:
    name = backend_name(clause)
    setting = clause.setting("type")
    if name is None and is_open(clause, clause.argument.text):
        return
    if name is None:
        yield fault_at(clause, None, "type is missing", "a netdev type first, like user")
        return
    if is_open(clause, name) or (clause.kind in (Kind.NIC,) and name == "none"):
        return
    backend = rules.backends.get(name)
    if backend is None:
        hint = _REMOVED_TYPES.get(name, "")
        expected = hint or ", ".join(sorted(rules.compiled | ({"nic"} if clause.kind is Kind.NET else set())))
        yield fault_at(clause, setting, f"{name!r} is no netdev type", expected, nearest(name, rules.backends))
        return
    refused = _refused_type(clause, name, rules)
    if refused:
        yield fault_at(clause, setting, refused)
        return
    yield from _check_options(clause, backend, rules)


def _refused_type(clause: Clause, name: str, rules: Rules) -> str:
    if clause.kind is Kind.NET:
        if name in ("none", "nic"):
            return ""
        if name == "hubport":
            return "hubport is for -netdev and -nic only"
    elif name in ("nic", "none"):
        return f"{name!r} is not for -{clause.kind}"
    if name in NESTED and clause.kind is not Kind.NETDEV:
        return f"{name!r} has nested options, which -{clause.kind} cannot say: use -netdev and -device"
    return "" if name in rules.compiled else f"this QEMU was built without {name!r}"


def _check_options(clause: Clause, backend: BackendType, rules: Rules) -> Iterator[Fault]:
    own = {"id", "type"} | ({"model", "mac"} if clause.kind is Kind.NIC else set())
    options = _expanded(backend, clause, rules)
    spoken: set[str] = set()
    for setting in clause.settings:
        if setting.key in own:
            if setting.key == "mac" and clause.setting("mac") is setting:
                yield from check_value(clause, setting, "nicmac")
            continue
        if setting.key == "ipv6-net" and clause.form is Form.OPTS and "ipv6-prefix" in options:
            spoken |= {"ipv6-prefix", "ipv6-prefixlen"}
            continue
        option = options.get(setting.key)
        if option is None and _is_of_unknown_address(setting, clause, rules):
            continue
        if option is None:
            yield unknown_key(clause, setting, set(options) | own | {"ipv6-net"})
            continue
        spoken.add(setting.key)
        if option.kind == "list" or clause.setting(setting.key) is setting:
            yield from check_value(clause, setting, "nicmac" if setting.key == "macaddr" else option.kind)
    if not is_open(clause, clause.argument.text):
        yield from _check_missing(clause, backend, options, spoken)


def _check_missing(
    clause: Clause, backend: BackendType, options: Mapping[str, Option], spoken: set[str]
) -> Iterator[Fault]:
    for name, option in options.items():
        if option.required and name not in spoken and _is_wanted(name, spoken, options):
            yield fault_at(clause, None, f"{name}= is missing for {backend.name}", f"{name}=...")


def _is_wanted(name: str, spoken: set[str], options: Mapping[str, Option]) -> bool:
    """`local.port` is required only where `local` is there at all, or is itself required."""
    parent = name.partition(".")[0]
    if "." not in name:
        return True
    return any(key.startswith(parent + ".") for key in spoken) or (parent + ".!") in options


def _expanded(backend: BackendType, clause: Clause, rules: Rules) -> dict[str, Option]:
    """The options with socket addresses unfolded to dotted keys."""
    found: dict[str, Option] = {}
    for name, option in backend.options.items():
        if option.kind != "addr":
            found[name] = option
            continue
        words = "|".join(rules.addresses)
        found[f"{name}.type"] = Option(f"{name}.type", words, True)
        if option.required:
            found[f"{name}.!"] = Option(f"{name}.!", "str")
        chosen = rules.addresses.get(clause.value(f"{name}.type") or "")
        for key, inner in (chosen.options if chosen else {}).items():
            found[f"{name}.{key}"] = Option(f"{name}.{key}", inner.kind, inner.required)
    return found


def _is_of_unknown_address(setting: Setting, clause: Clause, rules: Rules) -> bool:
    """`addr.port` where addr.type is wrong: one fault is enough."""
    kind = clause.value(setting.key.partition(".")[0] + ".type")
    return "." in setting.key and kind is not None and kind not in rules.addresses


def unknown_key(clause: Clause, setting: Setting, known: set[str]) -> Fault:
    """A key that the type, model or object does not have."""
    removed = _REMOVED_KEYS.get(setting.key) if clause.kind is Kind.NET else None
    if removed:
        return key_fault(clause, setting, removed)
    known = {name for name in known if "!" not in name}
    name = backend_name(clause) or clause.value("driver") or clause.value("qom-type")
    return key_fault(clause, setting, f"{name} has no {setting.key!r}", nearest(setting.key, known))


_PARSERS: dict[str, Callable[[str], object]] = {
    "bool": parse_bool,
    "size": parse_size,
    "mac": parse_device_mac,
    "nicmac": parse_nic_mac,
}


def check_value(clause: Clause, setting: Setting, kind: str) -> Iterator[Fault]:
    """The value of a setting against its type."""
    if is_open(clause, setting.value):
        return
    if clause.form is Form.JSON and not _json_fits(setting, kind):
        yield fault_at(clause, setting, f"{setting.key}: wrong kind of JSON value", _json_kind(kind))
        return
    try:
        if kind in LIMITS:
            parse_integer(setting.value, kind)
        elif kind in _PARSERS:
            _PARSERS[kind](setting.value)
        elif "|" in kind and setting.value not in kind.split("|"):
            words = kind.split("|")
            what = f"{setting.value!r} is none of the words of {setting.key}="
            yield fault_at(clause, setting, what, " or ".join(words), nearest(setting.value, words))
    except ValueError as error:
        yield fault_at(clause, setting, f"{setting.value!r} is no value for {setting.key}=", str(error))


def _json_fits(setting: Setting, kind: str) -> bool:
    if (kind == "list") != (setting.spelling is Spelling.MEMBER) or setting.spelling is Spelling.NULL:
        return False
    if kind == "bool":
        return isinstance(setting.exact, bool)
    if kind in LIMITS or kind == "size":
        return isinstance(setting.exact, int) and not isinstance(setting.exact, bool)
    return setting.exact is None


def _json_kind(kind: str) -> str:
    if kind == "list":
        return 'a list of {"str": ...}'
    return "true or false" if kind == "bool" else "a number" if kind in LIMITS or kind == "size" else "a string"


def _check_device(clause: Clause, rules: Rules) -> Iterator[Fault]:
    name = clause.value("driver")
    setting = clause.setting("driver")
    if name is None:
        yield fault_at(clause, None, "the device model is missing", "a model first, like virtio-net-pci")
        return
    device = rules.device(name)
    if is_open(clause, name) or name in rules.others:
        return
    if device is None and rules.processor and name not in rules.lacking:
        return
    if device is None:
        known = {*rules.devices, *(device.alias for device in rules.devices.values() if device.alias)}
        near = nearest(name, known) or nearest(name, rules.others)
        whose = f"qemu-system-{rules.processor}" if rules.processor else f"QEMU {rules.name}"
        elsewhere = rules.processor_with(name)
        theirs = f", qemu-system-{elsewhere} has" if elsewhere else ""
        yield fault_at(clause, setting, f"{whose} has no device {name!r}{theirs}", "", "" if elsewhere else near)
        return
    for item in clause.settings:
        if item.key in ("driver", "id", "bus") or clause.setting(item.key) is not item:
            continue
        kind = device.options.get(item.key)
        if kind is None:
            yield unknown_key(clause, item, {*device.options, "id", "bus"})
        elif item.key == "addr":
            yield from _check_address(clause, item)
        else:
            yield from check_value(clause, item, "mac" if item.key == "mac" else kind)


def _check_address(clause: Clause, setting: Setting) -> Iterator[Fault]:
    """A PCI slot and perhaps function: hexadecimal, 0 to 1f (hw/core/qdev-properties-system.c)."""
    hit = _PCI_ADDRESS.fullmatch(setting.value)
    number = isinstance(setting.exact, int) and 0 <= setting.exact < 256
    if not is_open(clause, setting.value) and not number and (not hit or int(hit[1], 16) > 0x1F):
        yield fault_at(clause, setting, f"{setting.value!r} is no PCI address", "slot[.function], like 05 or 05.0")


def _check_global(clause: Clause) -> Iterator[Fault]:
    """The long form has three keys and no other.  What they set is judged where the NICs are known (wiring.py)."""
    if clause.settings and "." in clause.settings[0].key:
        return
    for key in ("driver", "property", "value"):
        if clause.value(key) is None:
            yield fault_at(clause, None, f"{key}= is missing", "driver=MODEL,property=NAME,value=VALUE")
    for setting in clause.settings:
        if setting.key not in ("driver", "property", "value"):
            yield key_fault(clause, setting, f"there is no {setting.key!r}")
