"""The relay by itself: real sockets on loopback, a server that the test plays, and what a bad peer does."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from qlan.errors import ConflictError, HostError
from qlan.host import process, relay
from qlan.render.command import Publish, Serve, Withdraw

LOCAL = "127.0.0.1"


class Running:
    """A relay, and ports published through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        relay.start(Serve("relay", folder, ()), python=sys.executable)
        found = process.find_recorded(folder / "process")
        assert found
        self.pid = found

    def publish(self, target: int, protocol: str = "tcp", key: str = "one", address: str = LOCAL) -> int:
        port = free_port(protocol)
        relay.publish([Publish(self.folder, key, protocol, (address, port), (LOCAL, target), json.dumps(key))])
        return port

    def connections(self, key: str = "one") -> int:
        return next(port["connections"] for port in relay.ask(self.folder, {"list": True}) if port["key"] == key)

    def fds(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def free_port(protocol: str = "tcp") -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as one:
        one.bind((LOCAL, 0))
        return int(one.getsockname()[1])


@pytest.fixture
def running() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        one = Running(Path(folder) / "t" / "relay")
        try:
            yield one
        finally:
            process.end({one.pid: "the relay"}, grace_s=2)


@contextmanager
def server(backlog: int = 1024) -> Iterator[socket.socket]:
    with socket.create_server((LOCAL, 0), backlog=backlog) as one:
        one.settimeout(10)
        yield one


def connect(port: int) -> socket.socket:
    one = socket.create_connection((LOCAL, port), timeout=10)
    one.settimeout(10)
    return one


def until(true: object, what: str, limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def received(one: socket.socket) -> bytes:
    found = b""
    while more := one.recv(1 << 20):
        found += more
    return found


def test_bytes_pass_whole_both_ways_and_each_end_is_passed_on_by_itself(running: Running) -> None:
    with server() as guest, connect(running.publish(guest.getsockname()[1])) as client:
        there, back = os.urandom(3 << 20), os.urandom(5 << 20)
        inside, _ = guest.accept()
        with inside:
            inside.settimeout(10)

            def serve() -> None:
                assert received(inside) == there  # the client's half-close came through, and the way back is open
                inside.sendall(back)
                inside.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=serve)
            thread.start()
            client.sendall(there)
            client.shutdown(socket.SHUT_WR)
            assert received(client) == back
            thread.join()
        until(lambda: running.connections() == 0, "the connection is not over")


def test_a_reset_is_passed_on_in_both_directions(running: Running) -> None:
    with server() as guest:
        port = running.publish(guest.getsockname()[1])
        for breaks_first in ("client", "guest"):
            client, (inside, _) = connect(port), guest.accept()
            inside.settimeout(10)
            first, second = (client, inside) if breaks_first == "client" else (inside, client)
            client.sendall(b"x")
            assert inside.recv(1) == b"x"
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()
            with pytest.raises(ConnectionResetError):
                second.recv(1)
            second.close()
        until(lambda: running.connections() == 0, "a broken connection stays")


def test_a_guest_that_does_not_listen_resets_the_caller(running: Running) -> None:
    with pytest.raises(ConnectionResetError), connect(running.publish(free_port())) as client:
        client.recv(1)


def test_a_slow_reader_holds_nobody_up_and_loses_nothing(running: Running) -> None:
    with server() as guest:
        port = running.publish(guest.getsockname()[1])
        slow, (behind, _) = connect(port), guest.accept()
        data = os.urandom(32 << 20)
        sender = threading.Thread(target=lambda: (behind.sendall(data), behind.close()))
        sender.start()
        time.sleep(0.3)
        with connect(port) as quick:
            inside, _ = guest.accept()
            quick.sendall(b"ping")
            assert inside.recv(4) == b"ping"
            inside.close()
        before = cpu_ticks(running.pid)
        time.sleep(0.5)
        assert cpu_ticks(running.pid) - before < 10, "it spins while somebody reads slowly"
        assert received(slow) == data
        sender.join()
        slow.close()


def test_a_caller_that_breaks_off_under_a_slow_guest_costs_no_processor(running: Running) -> None:
    with server() as guest:
        client, inside = connect(running.publish(guest.getsockname()[1])), None
        inside, _ = guest.accept()
        client.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                client.send(b"x" * 65536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        before = cpu_ticks(running.pid)
        time.sleep(0.5)
        assert cpu_ticks(running.pid) - before < 10
        until(lambda: running.connections() == 0, "the broken connection stays")
        inside.close()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_thousand_idle_connections_hold_two_descriptors_each_and_leave_none(running: Running) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    empty = running.fds()
    with server() as guest, ExitStack() as stack:
        port = running.publish(guest.getsockname()[1])
        for _ in range(1000):
            client = stack.enter_context(connect(port))
            inside = stack.enter_context(guest.accept()[0])
            client.sendall(b"x")
            assert inside.recv(1) == b"x"
        assert running.connections() == 1000
        assert running.fds() < empty + 2000 + 80  # and a few spare pipes
    until(lambda: running.connections() == 0, "some stay")
    assert running.fds() < empty + 80


def test_out_of_descriptors_callers_wait_and_nothing_breaks() -> None:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        running = Running(Path(folder) / "t" / "relay")
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (60, 60))
        try:
            with server() as guest, ExitStack() as stack:
                port = running.publish(guest.getsockname()[1])
                clients = [stack.enter_context(connect(port)) for _ in range(60)]
                ticks = cpu_ticks(running.pid)
                time.sleep(0.5)
                assert cpu_ticks(running.pid) - ticks < 10
                for client in clients:  # in turn each of them is served, once those before it have gone
                    client.sendall(b"x")
                    inside, _ = guest.accept()
                    inside.settimeout(10)
                    assert inside.recv(1) == b"x"
                    inside.sendall(b"y")
                    assert client.recv(1) == b"y"
                    inside.close()
                    client.close()
            until(lambda: running.connections() == 0, "some stay")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            process.end({running.pid: "the relay"}, grace_s=2)


def test_ports_come_and_go_beside_open_connections(running: Running) -> None:
    with server() as guest:
        target = guest.getsockname()[1]
        port = running.publish(target)
        with connect(port) as client, guest.accept()[0] as inside:
            running.publish(target, key="two")
            relay.withdraw([Withdraw(running.folder, "one")])
            with pytest.raises(ConnectionRefusedError):
                connect(port)
            client.sendall(b"still here")
            assert inside.recv(10) == b"still here"
        assert [one["note"] for one in relay.ask(running.folder, {"list": True})] == ["two"]


def test_who_has_a_port_is_named(running: Running) -> None:
    port = running.publish(free_port())
    with pytest.raises(
        ConflictError, match=rf"tcp port {port} of 0.0.0.0 is taken by relay:t \(process {running.pid}\)"
    ):
        relay.listen(Publish(running.folder, "x", "tcp", ("0.0.0.0", port), (LOCAL, 9), "0"))
    with pytest.raises(HostError, match="this machine has no such address"):
        relay.listen(Publish(running.folder, "x", "udp", ("192.0.2.1", port), (LOCAL, 9), "0"))


def test_datagrams_find_their_way_back_to_each_caller(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest, ExitStack() as stack:
        guest.bind((LOCAL, 0))
        guest.settimeout(10)
        port = running.publish(guest.getsockname()[1], "udp", address="0.0.0.0")
        callers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
        for number, caller in enumerate(callers):
            caller.settimeout(10)
            address = f"127.0.0.{1 + number}"  # an answer comes from the address that was asked
            caller.connect((address, port))
            caller.send(str(number).encode())
        for _ in callers:
            data, flow = guest.recvfrom(100)
            guest.sendto(b"answer " + data, flow)
        for number, caller in enumerate(callers):
            assert caller.recv(100) == f"answer {number}".encode()
        assert running.connections() == 20
        relay.withdraw([Withdraw(running.folder, "one")])
        until(lambda: running.fds() < 45, "the flows of a withdrawn port stay")


def test_a_port_for_one_caller_serves_no_other(running: Running) -> None:
    """As the outlet's ports; link: only what comes by that one."""
    with server() as guest, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LOCAL, 0))
        udp.settimeout(10)
        ports = {}
        for protocol, target in (("tcp", guest.getsockname()[1]), ("udp", udp.getsockname()[1])):
            ports[protocol] = free_port(protocol)
            ends = (LOCAL, ports[protocol]), (LOCAL, target)
            relay.publish([Publish(running.folder, protocol, protocol, *ends, "0", link="lo", only="127.0.0.7")])
        for source, is_served in (("127.0.0.8", False), ("127.0.0.7", True)):
            got = b""
            with suppress(ConnectionError), socket.create_connection((LOCAL, ports["tcp"]), 10, (source, 0)) as one:
                one.settimeout(10)
                one.sendall(b"x")
                one.shutdown(socket.SHUT_WR)
                if is_served:
                    with guest.accept()[0] as inside:
                        got = received(inside)
                assert one.recv(1) == b""
            assert got == (b"x" if is_served else b"")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((source, 0))
                one.sendto(source.encode(), (LOCAL, ports["udp"]))
        assert udp.recv(100) == b"127.0.0.7", "the other's came first, and was dropped"
        assert running.connections("udp") == 1


def test_a_message_that_is_none_is_refused_and_the_relay_goes_on(running: Running) -> None:
    for words in (b"nonsense", b"[]", b'{"open": [{}]}', b'{"close": 1}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(str(running.folder / "control"))
            channel.send(words)
            assert b"error" in channel.recv(1000), words
    assert relay.ask(running.folder, {"list": True}) == []


def test_thousands_of_ports_are_listed(running: Running) -> None:
    ports = [
        Publish(running.folder, str(number), "udp", (LOCAL, 0), (LOCAL, 9), json.dumps("x" * 300))
        for number in range(600)
    ]
    relay.publish(ports)
    assert len(relay.ask(running.folder, {"list": True})) == 600


def test_sigterm_ends_it_and_a_second_start_finds_the_way_clear(running: Running) -> None:
    os.kill(running.pid, signal.SIGTERM)
    until(lambda: process.find_stat(running.pid) is None, "it does not end")
    with pytest.raises(HostError, match="does not answer"):
        relay.ask(running.folder, {"list": True})
    again = Running(running.folder)
    assert relay.ask(running.folder, {"list": True}) == []
    process.end({again.pid: "the relay"}, grace_s=2)
