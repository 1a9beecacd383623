"""`qlan check`: every problem of the file at once; `--schema` prints the JSON Schema for editors."""

from __future__ import annotations

import argparse
from pathlib import Path

from qlan.cli import which
from qlan.cli.complaint import problem_data, problem_lines
from qlan.cli.output import count, print_json
from qlan.errors import UsageError
from qlan.lab import Lab
from qlan.problems import Problem, TopologyError

DESCRIPTION = """\
Read the file and name everything that is wrong with it, as FILE:LINE:COLUMN, and what to write instead.  Also what only
this machine can know: a missing disk, a port or a subnet that is taken.  Exit status 2 if something is wrong."""
EXAMPLES = """\
  qlan check
  qlan check -f lab/qlan.yaml --json
  qlan check --schema > .qlan-schema.json"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `check`."""
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the file, for editors")
    which.add_realm(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Check, and print what was found."""
    if args.schema:
        from qlan.topology.schema import schema

        print_json(schema())
        return 0
    lab, problems = _check(args)
    if args.json:
        print_json({"problems": [problem_data(problem) for problem in problems]})
    elif problems:
        for problem in problems:
            print("\n".join(problem_lines(problem)))
        print(count(len(problems), "problem"))
    elif lab and lab.topology:
        topology = lab.topology
        networks, guests = count(len(topology.networks), "network"), count(len(topology.guests), "guest")
        print(f"{topology.mark.file if topology.mark else lab.name}: fine: {networks}, {guests}")
    return TopologyError.exit_code if problems else 0


def _check(args: argparse.Namespace) -> tuple[Lab | None, list[Problem]]:
    from qlan.topology.check import check, check_written, in_order

    try:
        lab = which.lab_of_file(args)
    except TopologyError as error:
        return None, error.problems
    assert lab.topology is not None
    try:
        facts = lab.facts
    except UsageError as error:  # root, and nobody named who shall run QEMU: the file can be checked all the same
        return lab, [*in_order(check_written(lab.topology)), Problem(None, error.what, error.hint)]
    return lab, check(lab.topology, facts, Path.exists)
