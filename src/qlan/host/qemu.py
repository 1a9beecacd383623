"""The installed QEMUs: version, machines and NIC models, asked from the binary and remembered by its path and mtime."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from qlan.errors import HostError, MissingTool
from qlan.facts.machine import QemuFacts
from qlan.host import files, kvm
from qlan.host.run import find_tool, run, tool

_DEVICE = re.compile(
    r'name "(?P<name>[^"]+)", bus (?P<bus>[^,\s]+)(?:, alias "(?P<alias>[^"]+)")?(?:, desc "(?P<desc>[^"]*)")?'
)


def probe(arch: str, cache: Path) -> QemuFacts:
    """What qemu-system-ARCH can do; MissingTool."""
    binary = tool(f"qemu-system-{arch}")
    data = _cached(binary, cache, "facts", lambda: _ask(binary))
    major, minor, micro = data["version"]
    return QemuFacts(
        binary, (major, minor, micro), tuple(data["machines"]), data["default_machine"], data["models"], data["buses"]
    )


def is_installed(arch: str) -> bool:
    """Whether there is a qemu-system for the architecture."""
    return find_tool(f"qemu-system-{arch}") is not None


def why_no_kvm(arch: str, cache: Path, uid: int | None) -> str:
    """ "" if KVM may be used and works (tried once per boot), else why not."""
    reason = kvm.why_not(uid)
    if reason or arch not in ("x86_64", "i386"):
        return reason
    try:
        binary = tool(f"qemu-system-{arch}")
    except MissingTool:
        return ""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    answer: str = _cached(binary, cache, f"kvm-{boot_id}", lambda: kvm.why_not_working(binary))
    return answer


def _cached(binary: str, cache: Path, what: str, ask: Any) -> Any:
    """An answer that is good as long as the binary is the same file."""
    stat = os.stat(binary)  # noqa: PTH116  follows the alternatives' links, as running it does
    stamp = [os.path.realpath(binary), stat.st_mtime_ns, stat.st_size, what]
    path = cache / f"{Path(binary).name}-{what.partition('-')[0]}.json"
    with suppress(HostError):  # a cache that cannot be read or written (no home, a full disk) is no cache
        data = files.read_json(path)
        if isinstance(data, dict) and data.get("stamp") == stamp:
            return data["answer"]
    answer = ask()
    with suppress(HostError):
        files.write(path, _json({"stamp": stamp, "answer": answer}))
    return answer


def _json(data: object) -> str:
    import json

    return json.dumps(data)


def _ask(binary: str) -> dict[str, Any]:
    version = run([binary, "-version"]).stdout
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", version)
    machines, default = parse_machines(run([binary, "-machine", "help"]).stdout)
    models, buses = parse_devices(run([binary, "-machine", "none", "-device", "help"]).stdout)
    return {
        "version": [int(word) for word in found.groups()] if found else [0, 0, 0],
        "machines": machines,
        "default_machine": default,
        "models": models,
        "buses": buses,
    }


def ask_schema(program: str) -> list[dict[str, Any]]:
    """What `query-qmp-schema` answers; HostError.

    By a socket, and the program is ended after its answer: told to quit on standard input meanwhile, it drops what it
    has not written yet, and this is long.
    """
    import tempfile

    from qlan.qmp.monitor import execute

    with tempfile.TemporaryDirectory(prefix="qlan-") as folder:
        socket, pid = Path(folder) / "qmp", Path(folder) / "pid"
        paused = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-daemonize", "-pidfile", str(pid)]
        run([program, *paused, "-qmp", f"unix:{socket},server=on,wait=off"])
        try:
            [schema] = execute(socket, (("query-qmp-schema", {}),))
        finally:
            os.kill(int(pid.read_text(encoding="ascii")), signal.SIGTERM)
    answer: list[dict[str, Any]] = schema
    return answer


def parse_machines(text: str) -> tuple[list[str], str]:
    """`-machine help`: the names and the one marked (default); `virt` where none is, else the first."""
    names, default, alias_of = [], "", {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(" ")
        if name:
            names.append(name)
            if target := re.search(r"\(alias of ([^)]+)\)", rest):
                alias_of[target[1]] = name
            if "(default)" in rest:
                default = name
    fallback = "virt" if "virt" in names else (names or [""])[0]
    return names, alias_of.get(default, default) or fallback


def parse_devices(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """`-device help`: of the network devices, name to description and name to bus."""
    models, buses = {}, {}
    inside = False
    for line in text.splitlines():
        if line.endswith(":"):
            inside = line == "Network devices:"
        elif inside and (found := _DEVICE.search(line)):
            models[found["name"]] = found["desc"] or ""
            buses[found["name"]] = found["bus"]
    return models, buses
