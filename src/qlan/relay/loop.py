"""epoll(7) and a clock: who is ready is called; who asked for a moment is called then."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
ERROR = select.EPOLLERR
BROKEN = select.EPOLLERR | select.EPOLLHUP  # epoll tells of these two unasked
ONCE = select.EPOLLET  # nothing else, and these only when they come

Ready = Callable[[int], None]


class Loop:
    """Descriptors and who wants to know of them.  A call gets the epoll events."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._new: set[int] = set()  # in this round: what it says of their numbers is said of who had them before
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.running = True
        self.now = time.monotonic()

    def add(self, fd: int, events: int, ready: Ready) -> None:
        """Call `ready` when one of the events is there, as long as it is (level-triggered)."""
        self._epoll.register(fd, events)
        self._ready[fd] = ready
        self._new.add(fd)

    def change(self, fd: int, events: int) -> None:
        """Other events from now on."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """No calls any more, not even for what was ready in this round."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it once, later."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._numbers), call))

    def run(self) -> None:
        """Until somebody sets `running` to False."""
        while self.running:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1
            events = self._epoll.poll(timeout)
            self.now = time.monotonic()
            self._new.clear()
            for fd, event in events:
                if fd not in self._new and (ready := self._ready.get(fd)):
                    ready(event)
            while self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()
