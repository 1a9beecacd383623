"""Row 6: from a file's text to the plan, for a lab of thousands of guests and one of a tenth: time and memory."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.measure import Failed
from bench.session import Session

ABOUT = "plan of 1000 networks and 10000 guests: nothing and everything to change"
_PLAN = """
import json, resource, sys, time
from bench.labs import many_networks
from qlan.cli.main import collect_rarely
from qlan.planning.plan import plan
from tests.samples import parsed
networks, guests = map(int, sys.argv[1:])
collect_rarely()
text = many_networks(networks, guests)
start = time.perf_counter()
new = parsed(text)
found = {"expanded": time.perf_counter() - start}
for what, present, steps in (("everything", {}, len(new)), ("nothing", dict(new), 0)):
    start = time.perf_counter()
    made = plan(new, present)
    found[what] = found["expanded"] + time.perf_counter() - start
    assert len(made.steps) == steps, len(made.steps)
found["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
"""


def run(session: Session) -> None:
    big = (100, 1000) if session.quick else (1000, 10000)
    with session.no_time_for_failures("plan"):
        pairs = [(_planned(*big), _planned(big[0] // 10, big[1] // 10)) for _ in range(session.pairs(9))]
        for what, shown in (("everything", "everything to change"), ("nothing", "nothing to change")):
            session.series(f"plan of {big[0]} networks, {big[1]} guests: {shown}", "a tenth of it", "s",
                           [(a[what], b[what]) for a, b in pairs], 12.0)  # fmt: skip
        session.figure("its memory", "300 MB", "MB", (pairs[0][0]["MB"], 300.0), 1.0)


def _planned(networks: int, guests: int) -> dict[str, float]:
    words = [sys.executable, "-c", _PLAN, str(networks), str(guests)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr[-500:])
    found: dict[str, float] = json.loads(done.stdout)
    return found
