"""One conversation with a QEMU: connect, a few commands, leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient
from qemu.qmp.error import QMPError

from qlan.errors import NotInTime, QmpError
from qlan.values import Value

_UNDER_WAY = "already in the process of unplug"  # qdev_unplug in softmmu/qdev-monitor.c


class Call(Value):
    """A command.  absent_is_fine: what it is about may not be there.  fd: a descriptor that goes with it (`getfd`).

    gone: a device; the call has an answer only when the guest let go of it, for which it has unplug_s seconds.
    """

    name: str
    arguments: dict[str, Any]
    absent_is_fine: bool = False
    fd: int | None = None
    gone: str = ""
    unplug_s: float = 10.0


class Refused(QmpError):
    """QEMU answered with an error; `what` holds its words."""


def execute(path: Path, commands: Sequence[tuple[str, dict[str, Any]]], *, time_limit_s: float = 10.0) -> list[Any]:
    """What QEMU answers to each command, in order (QEMU's QMP reference has the shapes).

    QmpError if it refuses one, does not answer within time_limit_s, or if nobody listens at path.
    """
    return converse(path, [Call(name, arguments) for name, arguments in commands], time_limit_s=time_limit_s)


def converse(path: Path, calls: Sequence[Call], *, time_limit_s: float = 10.0) -> list[Any]:
    """The same for calls with more to them.  Refused, QmpError, NotInTime (a guest does not let go)."""
    return asyncio.run(_converse(path, calls, time_limit_s))


async def _converse(path: Path, calls: Sequence[Call], time_limit_s: float) -> list[Any]:
    client = QMPClient("qlan")
    answers: list[Any] = []
    try:
        async with asyncio.timeout(time_limit_s):
            await client.connect(str(path))
        for call in calls:
            answers.append(await _answer(client, call, time_limit_s))
    except ExecuteError as error:
        raise Refused(f"QEMU refuses `{calls[len(answers)].name}`: {error}", where=str(path)) from error
    except TimeoutError as error:
        hint = "another program may be connected to it (QEMU talks to one at a time), or QEMU hangs"
        raise QmpError(f"no answer within {time_limit_s:.0f} s", where=str(path), hint=hint) from error
    except (QMPError, OSError) as error:
        raise QmpError(f"cannot talk to QEMU: {error}", where=str(path)) from error
    finally:
        await _leave(client)
    return answers


async def _answer(client: QMPClient, call: Call, time_limit_s: float) -> Any:
    with client.listener(names=("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR")) as events:
        try:
            async with asyncio.timeout(time_limit_s):
                if call.fd is not None:
                    client.send_fd_scm(call.fd)
                answer = await client.execute(call.name, call.arguments)
        except ExecuteError as error:
            if call.absent_is_fine and error.error_class == "DeviceNotFound":
                return None
            if not (call.gone and _UNDER_WAY in str(error)):
                raise
            answer = None
        if call.gone:
            await _let_go(events, call)
        return answer


async def _let_go(events: Any, call: Call) -> None:
    """Wait until the guest let go of a device."""
    try:
        async with asyncio.timeout(call.unplug_s):
            async for event in events:
                if event.get("data", {}).get("device") != call.gone:
                    continue
                if event["event"] == "DEVICE_DELETED":
                    return
                raise NotInTime(f"the guest refuses to let go of {call.gone}")
    except TimeoutError:
        raise NotInTime(f"the guest does not let go of {call.gone} within {call.unplug_s:.0f} s") from None


async def _leave(client: QMPClient) -> None:
    try:
        async with asyncio.timeout(2.0):
            await client.disconnect()
    except (QMPError, OSError, TimeoutError, EOFError):
        return  # it is gone, or hangs: there is nothing left to say to it
