"""`python3 -m qlan.host.relay_script`: what a shell cannot do for the relay, for the scripts of `qlan plan --script`.

serve [--run-as UID] FOLDER -- [ENTER ...]
publish [--inside PID] [--link LINK] [--only ADDRESS] [--as-caller LINK/NETWORK,...] [--is-open]
    FOLDER KEY PROTOCOL ADDRESS/PORT ADDRESS/PORT NOTE
withdraw FOLDER KEY
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qlan.errors import QlanError
from qlan.host import relay
from qlan.render.command import AsCaller, Publish, Serve, Withdraw


def main() -> int:
    """One command of a plan."""
    parser = argparse.ArgumentParser(prog="relay_script", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve, publish, withdraw = (verbs.add_parser(name) for name in ("serve", "publish", "withdraw"))
    for verb in (serve, publish, withdraw):
        verb.add_argument("folder", type=Path)
    serve.add_argument("--run-as", type=int)
    serve.add_argument("enter", nargs="*")
    for name in ("key", "protocol", "listen", "target", "note"):
        publish.add_argument(name)
    publish.add_argument("--inside", type=int, help="a process in the network to listen in")
    for name in ("--link", "--only"):
        publish.add_argument(name, default="")
    publish.add_argument("--as-caller", default="", help="the bridge, and networks whose callers come by our address")
    publish.add_argument("--is-open", action="store_true")
    withdraw.add_argument("key")
    args = parser.parse_args()
    if args.verb == "serve":
        relay.start(Serve("relay", args.folder, tuple(args.enter), args.run_as), python=sys.executable)
    elif args.verb == "publish":
        ends = _end(args.listen), _end(args.target)
        inside = str(args.inside or "")
        link, _, but = args.as_caller.partition("/")
        called = AsCaller(link, tuple(but.split(","))) if link else None
        place = inside, args.link, args.only
        port = Publish(args.folder, args.key, args.protocol, *ends, args.note, *place, called, args.is_open)
        relay.publish([port], int)
    else:
        relay.withdraw([Withdraw(args.folder, args.key)])
    return 0


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition("/")
    return address, int(port)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QlanError as error:
        sys.exit(f"relay: {error}")
