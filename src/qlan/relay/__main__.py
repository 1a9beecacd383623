"""Start it: `python -m qlan.relay RECORD`, with the control socket, which listens already, as descriptor 3.

RECORD only says whose relay it is: run/LAB/relay/process.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from qlan.relay.control import Control
from qlan.relay.loop import Loop

_CONTROL_FD = 3


def main() -> None:
    """Until SIGTERM, or until its namespace ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with suppress(OSError):  # as `ps` and `ss -p` show it, and errors about a port that is taken
        Path("/proc/self/comm").write_text(f"relay:{Path(sys.argv[1]).parts[-3]}", encoding="ascii")
    loop = Loop()
    Control(socket.socket(fileno=_CONTROL_FD), loop)
    loop.run()


if __name__ == "__main__":
    main()
