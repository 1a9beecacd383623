"""Limits and impairments as they are: `tc -j qdisc` and the ingress filters of TAPs, known by our handles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.json import decode as parse_json

from qlan.host.run import run
from qlan.names import BUCKET_IN_NETEM, NETEM_HANDLE, QDISC_HANDLE
from qlan.resources.model import Shaping, Tap
from qlan.values import replace

_KIB = 1024
_NAMED = {"loss": "loss-random"}  # how tc calls in JSON what it does not call by its own name

Queues = Mapping[str, Mapping[str, Any]]  # link -> the fields of a Shaping that its queue has


def read(enter: Sequence[str], taps: Sequence[Tap], ifbs: Mapping[tuple[str, int], str]) -> Iterator[Shaping]:
    """Those of some TAPs of one namespace.  enter: the words of nsenter, or none; ifbs: names by guest and NIC."""
    rows = parse_json(run([*enter, "tc", "-j", "qdisc", "show"]).stdout or "[]")
    filtered = {row["dev"] for row in rows if row.get("kind") == "ingress"}
    yield from parse(rows, _redirects(enter, [tap for tap in taps if tap.name in filtered]), taps, ifbs)


def parse(
    rows: Sequence[Mapping[str, Any]],
    leads: Mapping[str, str],
    taps: Sequence[Tap],
    ifbs: Mapping[tuple[str, int], str],
) -> Iterator[Shaping]:
    """What is shaped, out of what tc prints.

    leads: for a TAP with an ingress qdisc, where its filter leads frames ("": no filter, `*`: to a link that is gone).
    """
    queues = _queues(rows)
    for tap in taps:
        one = Shaping(tap.guest, tap.nic, "in", tap.name, tap.name, namespace=tap.namespace)
        if tap.name in queues:
            yield replace(one, **queues[tap.name])
        queue = ifbs.get((tap.guest, tap.nic), "")
        if tap.name in leads or queue in queues:
            whole = queue in queues and leads.get(tap.name) == queue
            yield replace(one, direction="out", queue=queue, whole=whole, **queues.get(queue, {}))


def _queues(rows: Sequence[Mapping[str, Any]]) -> Queues:
    """A queue of ours by its link: a bucket, a netem, or a bucket in a netem."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        handle, root = row.get("handle"), bool(row.get("root"))
        if row.get("kind") == "tbf" and handle == f"{QDISC_HANDLE if root else BUCKET_IN_NETEM:x}:":
            found.setdefault(row["dev"], {}).update(_bucket(row["options"]))
        elif row.get("kind") == "netem" and root and handle == f"{NETEM_HANDLE:x}:":
            found.setdefault(row["dev"], {}).update(_netem(row["options"]))
    return found


def _bucket(options: Mapping[str, Any]) -> dict[str, Any]:
    """tc counts a bucket in ticks of 64 ns: what it prints is a few bytes less than what was said."""
    burst = round(options.get("burst", 0) / _KIB) * _KIB
    return {"rate_bps": options.get("rate", 0) * 8, "burst_bytes": burst}


def _netem(options: Mapping[str, Any]) -> dict[str, Any]:
    """tc prints seconds, by its ticks up to a microsecond too few, and shares of one."""
    delay = options.get("delay", {})
    found = {f"{name}_us": int(round(delay.get(name, 0) * 1e6, -1)) for name in ("delay", "jitter")}
    for name in ("loss", "duplicate", "corrupt", "reorder"):
        found[f"{name}_ppm"] = round(options.get(_NAMED.get(name, name), {}).get(name, 0) * 1e6)
    return found


def _redirects(enter: Sequence[str], taps: Sequence[Tap]) -> dict[str, str]:
    if not taps:
        return {}
    lines = "".join(f"filter show dev {tap.name} ingress\n" for tap in taps)
    return parse_redirects(run([*enter, "tc", "-j", "-batch", "-"], stdin=lines).stdout, taps)


def parse_redirects(text: str, taps: Sequence[Tap]) -> dict[str, str]:
    """Where the ingress filter of each leads frames: a batch prints a list a line of it."""
    from json import JSONDecoder  # only where a NIC is shaped; msgspec reads no text of which it does not know the end

    decoder, found, at = JSONDecoder(), [], 0
    while (at := text.find("[", at)) >= 0:
        rows, at = decoder.raw_decode(text, at)
        found.append(rows)
    return {tap.name: _target(rows) for tap, rows in zip(taps, found, strict=True)}


def _target(rows: Sequence[Mapping[str, Any]]) -> str:
    actions = [one for row in rows for one in row.get("options", {}).get("actions", ())]
    return next((str(one.get("to_dev", "")) for one in actions if one.get("kind") == "mirred"), "")
