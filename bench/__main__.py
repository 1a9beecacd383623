"""scripts/bench [NAME...] [--quick] [--json FILE] [--svg FILE] [--page] [--check]: run rows and show what came out."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType

from bench import report
from bench.chart import chart
from bench.libvirt import daemon
from bench.lines import lines
from bench.measure import Results
from bench.place import places
from bench.session import Session
from bench.wirings import Wired, all_wired
from bench.world import world

ROWS = Path(__file__).parent / "rows"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def rows() -> dict[str, ModuleType]:
    """The rows by name: a file each.  Those that boot guests are the last: guests stay, and make others late."""
    names = sorted(file.stem for file in ROWS.glob("[a-z]*.py"))
    found = {name: importlib.import_module(f"bench.rows.{name}") for name in names}
    return dict(sorted(found.items(), key=lambda row: getattr(row[1], "BOOTS", 0)))


def main() -> int:
    known = rows()
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure qlan beside its peers, in turns.",
        epilog="rows:\n" + "\n".join(f"  {name:10} {module.ABOUT}" for name, module in known.items()),
    )  # fmt: skip
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these rows")
    parser.add_argument("--quick", action="store_true", help="each once, in its smallest size: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the ratios")
    parser.add_argument(
        "--check", action="store_true", help="exit status 1 where a ratio is not met (as where a row fails)"
    )
    parser.add_argument("--page", action="store_true", help="put table and charts into docs/performance.md")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f"there is no row `{unknown[0]}`; there are {', '.join(known)}")
    results = Results(report.tell)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qlan-bench-")))
        found, missing = stack.enter_context(places())
        libvirt = cache(lambda: stack.enter_context(daemon(scratch / "libvirt")))
        one_world = cache(lambda: stack.enter_context(world(scratch / "world")))

        @cache
        def wired() -> Mapping[str, Wired] | str:
            there = one_world()
            return there if isinstance(there, str) else all_wired(session, stack, there)

        session = Session(found, missing, libvirt, results, args.quick, world=one_world, wired=wired)
        for name in [name for name in known if name in args.names] or known:
            session.row = name
            with session.no_time_for_failures("the rest of the row"):
                known[name].run(session)
    report.summary(results)
    if args.json:
        args.json.write_text(report.as_json(results))
    if args.svg:
        args.svg.write_text(chart(results.measured))
    if args.page:
        PAGE.write_text(report.as_page(results, PAGE.read_text()))
        PAGE.with_suffix(".svg").write_text(chart(results.measured))
        if any(one.row == "scale" for one in results.measured):
            PAGE.with_name("performance-growth.svg").write_text(lines(results.measured))
    return int(report.has_failed(results) or (args.check and not report.is_met(results)))


if __name__ == "__main__":
    sys.exit(main())
