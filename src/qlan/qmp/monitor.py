"""One conversation with a QEMU: connect, a few commands, leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient
from qemu.qmp.error import QMPError

from qlan.errors import QmpError


def execute(path: Path, commands: Sequence[tuple[str, dict[str, Any]]], *, time_limit_s: float = 10.0) -> list[Any]:
    """What QEMU answers to each command, in order (QEMU's QMP reference has the shapes).

    QmpError if it refuses one, does not answer within time_limit_s, or if nobody listens at path.
    """
    return asyncio.run(_execute(path, commands, time_limit_s))


async def _execute(path: Path, commands: Sequence[tuple[str, dict[str, Any]]], time_limit_s: float) -> list[Any]:
    client = QMPClient("qlan")
    answers: list[Any] = []
    try:
        async with asyncio.timeout(time_limit_s):
            await client.connect(str(path))
            for name, arguments in commands:
                answers.append(await client.execute(name, arguments))
    except ExecuteError as error:
        raise QmpError(f"QEMU refuses `{commands[len(answers)][0]}`: {error}", where=str(path)) from error
    except TimeoutError as error:
        hint = "another program may be connected to it (QEMU talks to one at a time), or QEMU hangs"
        raise QmpError(f"no answer within {time_limit_s:.0f} s", where=str(path), hint=hint) from error
    except (QMPError, OSError) as error:
        raise QmpError(f"cannot talk to QEMU: {error}", where=str(path)) from error
    finally:
        await _leave(client)
    return answers


async def _leave(client: QMPClient) -> None:
    try:
        async with asyncio.timeout(2.0):
            await client.disconnect()
    except (QMPError, OSError, TimeoutError, EOFError):
        return  # it is gone, or hangs: there is nothing left to say to it
