"""Row 15: what stays: many times up and down, many labs at once, many networks of one user, many NICs on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.labs import PAUSED, guest_sizes
from bench.measure import Failed, settle
from bench.place import Place
from bench.session import Session

ABOUT = "1000 times up and down, 20 labs at once, 200 DHCP networks, 1500 NICs on one network: what works, what stays"
_LAB = """\
lab: {name}
networks:
  lan: {{kind: host-only, subnet: 10.{net}.0.0/24}}
guests:
  a: {{{paused}, nics: [{{network: lan, forwards: ["auto:22"]}}]}}
"""
# One process that lives long, as a test runner is: what a command leaves in it would grow.
_CYCLES = """\
import json, os, resource, sys
from pathlib import Path
from qlan.lab import Lab

def times(count):
    for _ in range(count):
        lab = Lab.load(Path("qlan.yaml"))
        lab.up()
        lab.down(grace_s=0)

for line in sys.stdin:
    times(int(line))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print(json.dumps({"descriptors": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task")),
                      "MB of its memory": pages * resource.getpagesize() / 1e6}), flush=True)
"""
_MAY_GROW = {"MB of its memory": 1.1}


def run(session: Session) -> None:
    for place in session.realms("leaks"):
        with session.no_time_for_failures(f"up and down, {place.realm}"):
            _cycles(session, place.below("cycles"))
    rootless = session.places.get("rootless")
    if rootless is not None:
        with session.no_time_for_failures("labs at once"):
            _at_once(session, rootless, 3 if session.quick else 20)
        for what, text, nics in _big(session.quick):
            with session.no_time_for_failures(what):
                _comes_up(session, rootless.below("big"), what, text, nics)


def _cycles(session: Session, place: Place) -> None:
    """What there is after a tenth of them, and after all."""
    first, rest = (1, 2) if session.quick else (100, 900)
    place.write(_LAB.format(name="cycles", net=94, paused=PAUSED))
    words = [*place.enter, sys.executable, "-c", _CYCLES]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=place.environment, cwd=place.folder,
    ) as runner:  # fmt: skip
        try:
            before = _after(place, runner, first)
            after = _after(place, runner, rest)
        finally:
            runner.kill()
            place.qlan("down", "--force")
    for what, count in after.items():
        peer = f"after {first}"
        limit = _MAY_GROW.get(what, 1.0)
        session.figure(f"{what} after {first + rest} times up and down, {place.realm}", peer, "", (count, before[what]),
                       limit)  # fmt: skip


def _after(place: Place, runner: subprocess.Popen[str], times: int) -> dict[str, float]:
    assert runner.stdin
    assert runner.stdout
    assert runner.stderr
    runner.stdin.write(f"{times}\n")
    runner.stdin.flush()
    said = runner.stdout.readline()
    if not said:
        raise Failed(runner.stderr.read()[-500:])
    own: dict[str, float] = json.loads(said)
    return _left(place) | own


def _left(place: Place) -> dict[str, float]:
    """What there is on the machine, and in qlan's folders."""
    settle()
    time.sleep(0.2)
    processes = [one for one in Path("/proc").glob("[0-9]*") if _link(one / "exe")]  # those that we may look at
    files = [one for name in "rs" for one in (place.folder / name).rglob("*")]
    return {
        "processes": len(processes),
        "namespaces": len({_link(one / "ns/net") for one in processes}),
        "links": len(_said("ip", "-o", "link").splitlines()),
        "nft tables": len(_said("nft", "list", "tables").splitlines()) if os.geteuid() == 0 else 0,
        "files": len(files),
        "kB in files": sum(one.stat().st_size for one in files if one.is_file()) / 1000,
    }


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _at_once(session: Session, place: Place, count: int) -> None:
    """All in the same moment, each by a command of its own; beside them one after the other."""
    labs = [place.below(f"lab{number}") for number in range(count)]
    for number, lab in enumerate(labs):
        lab.write(_LAB.format(name=f"many{number}", net=100 + number, paused=PAUSED))
    before = _left(place)
    together = _all_of(labs, ("up", "--no-wait"), count)
    for lab in labs:
        lab.must_be_up(1)
    _all_of(labs, ("down", "--force"), count)
    one_by_one = _all_of(labs, ("up", "--no-wait"), 1)
    _all_of(labs, ("down", "--force"), 1)
    session.figure(f"{count} labs up at once", "one after the other", "s", (together, one_by_one), 1.0)
    after = _left(place)
    for what in ("processes", "namespaces", "links"):
        session.figure(f"{what} after {count} labs", "before", "", (after[what], before[what]), 1.0)


def _all_of(labs: Sequence[Place], words: Sequence[str], workers: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda lab: lab.qlan(*words), labs))
    return time.perf_counter() - start


def _big(quick: bool) -> list[tuple[str, str, int]]:
    """(what, the lab, how many NICs)."""
    networks, nics = (5, 30) if quick else (200, 1500)
    many = "".join(f"  n{n}: {{kind: host-only, subnet: 10.95.{n}.0/24}}\n" for n in range(networks))
    guests = "".join(f"  g{n}: {{{PAUSED}, nics: [{', '.join(['lan'] * size)}]}}\n"
                     for n, size in enumerate(guest_sizes(nics)))  # fmt: skip
    return [
        (f"{networks} DHCP networks of one user", f"lab: wide\nnetworks:\n{many}", 0),
        (f"a network of {nics} NICs", f"lab: deep\nnetworks:\n  lan: {{kind: private}}\nguests:\n{guests}", nics),
    ]


def _comes_up(session: Session, place: Place, what: str, text: str, nics: int) -> None:
    place.write(text)
    before = _left(place)
    try:
        up = place.qlan("up", "--no-wait")
        place.must_be_up(nics)
        down = place.qlan("down", "--force")
    except Failed as failure:
        if "exit status 2" not in str(failure):
            place.qlan("down", "--force")
            raise
        session.leave_out(what, f"refused: {str(failure).partition('exit status 2: ')[2][:200]}")
        return
    session.figure(f"{what}: up, and down", "down", "s", (up, down))
    after = _left(place)
    for kind in ("processes", "namespaces", "links"):
        session.figure(f"{what}: {kind} after it", "before", "", (after[kind], before[kind]), 1.0)
