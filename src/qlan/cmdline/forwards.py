"""The rules inside `hostfwd=` and `guestfwd=` of user-mode networking (net/slirp.c, and the manual's -netdev user).

    hostfwd=[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport       hostfwd=unix:/path-[guestaddr]:guestport (10.2)
    guestfwd=[tcp]:[server]:port-dev                                  guestfwd=[tcp]:[server]:port-cmd:command

QEMU has no IPv6 form of either (its own FIXME, still so in 10.2): an address in brackets is refused here as there.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from qlan.cmdline.values import parse_ipv4, parse_port
from qlan.values import Value

_UNIX_SINCE = (10, 2)
_STRTOI_SINCE = (10, 0)  # before it an empty host port meant 0; since then anything may follow a port's digits
_LAST_DASH_SINCE = (11, 0)  # a dash in the socket's path


class HostForward(Value):
    """A way from the host into the guest.

    host_address None: all of the host's.  host_port 0: the kernel picks one.  guest_address None: the first lease.
    path: the UNIX socket instead of host address and port, or "".
    """

    protocol: str
    host_address: IPv4Address | None
    host_port: int
    guest_address: IPv4Address | None
    guest_port: int
    path: str = ""


class GuestForward(Value):
    """A way from the guest to something of QEMU's.  server None: the network's .4.  command: run for each connection
    where `is_command`, else the word for a character device."""

    server: IPv4Address | None
    port: int
    target: str
    is_command: bool


class BadRule(ValueError):
    """offset: where in the rule, from 0.  expected: what should stand there."""

    def __init__(self, what: str, offset: int, expected: str, suggestion: str = "") -> None:
        super().__init__(what)
        self.offset = offset
        self.expected = expected
        self.suggestion = suggestion


def parse_host_forward(rule: str, version: tuple[int, ...] = (99,)) -> HostForward:
    """Raises BadRule, with what was probably meant where that can be said."""
    protocol, at = _until(rule, 0, ":", "no `:`", "tcp:", rule)
    if protocol == "unix" and version >= _UNIX_SINCE:
        return _unix_forward(rule, at, version)
    if protocol not in ("", "tcp", "udp"):
        raise BadRule(f"{protocol!r} is no protocol", 0, "tcp or udp", _repaired(rule))
    if rule[at : at + 1] == "[":
        raise BadRule("QEMU forwards from IPv4 addresses only", at, "an IPv4 address or nothing", _repaired(rule))
    host, start = _until(rule, at, ":", "the host port is missing", "[address]:port-[address]:port", rule)
    host_address = _address(host, at, rule)
    text, after = _until(rule, start, "-", "no `-` after the host port", "a port and then `-`", rule)
    lax = version >= _STRTOI_SINCE
    host_port = 0 if text == "" and not lax else _port(text, start, 0, rule, lax)
    guest, last = _until(rule, after, ":", "no `:` before the guest port", "[guest address]:port", rule)
    guest_address = _address(guest, after, rule)
    guest_port = _port(rule[last:], last, 1, rule, lax)
    return HostForward(protocol or "tcp", host_address, host_port, guest_address, guest_port)


def parse_guest_forward(rule: str) -> GuestForward:
    """Raises BadRule."""
    protocol, at = _until(rule, 0, ":", "no `:`", "tcp:")
    if protocol not in ("", "tcp"):
        raise BadRule(f"{protocol!r} is no protocol that guestfwd= knows", 0, "tcp or nothing")
    address, start = _until(rule, at, ":", "the port is missing", "[address]:port-target")
    server = _address(address, at)
    text, after = _until(rule, start, "-", "no `-` after the port", "a port and then `-`")
    stripped = text.strip(" \t\n")
    if not stripped.isdecimal() or text != text.rstrip() or not 1 <= int(stripped) <= 65535:
        raise BadRule(f"{text!r} is no port", start, "a port between 1 and 65535")
    target = rule[after:]
    command = target.startswith("cmd:")
    return GuestForward(server, int(stripped), target[4:] if command else target, command)


def render_host_forward(forward: HostForward) -> str:
    """QEMU's own form."""
    guest = f"{forward.guest_address or ''}:{forward.guest_port}"
    if forward.path:
        return f"unix:{forward.path}-{guest}"
    return f"{forward.protocol}:{forward.host_address or ''}:{forward.host_port}-{guest}"


def render_guest_forward(forward: GuestForward) -> str:
    """QEMU's own form."""
    return f"tcp:{forward.server or ''}:{forward.port}-{'cmd:' if forward.is_command else ''}{forward.target}"


def _unix_forward(rule: str, at: int, version: tuple[int, ...]) -> HostForward:
    dash = rule.rfind("-") if version >= _LAST_DASH_SINCE else rule.find("-", at)
    path, after = _until(rule, max(at, dash), "-", "no `-` after the socket's path", "an absolute path and then `-`")
    path = rule[at : after - 1]
    if not path.startswith("/"):
        raise BadRule("a UNIX socket's path must be absolute", at, "an absolute path")
    if len(path.encode()) > 107:
        raise BadRule("the path is longer than a socket's path may be", at, "at most 107 bytes")
    guest, last = _until(rule, after, ":", "no `:` before the guest port", "[guest address]:port")
    return HostForward("tcp", None, 0, _address(guest, after), _port(rule[last:], last, 1, "", True), path)


def _until(rule: str, at: int, mark: str, what: str, expected: str, whole: str = "") -> tuple[str, int]:
    """The piece up to the next `mark`, and where the rest begins."""
    end = rule.find(mark, at)
    if end < 0:
        raise BadRule(what, at, expected, _repaired(whole))
    return rule[at:end], end + 1


def _address(text: str, at: int, whole: str = "") -> IPv4Address | None:
    if not text:
        return None
    try:
        return parse_ipv4(text)
    except ValueError:
        raise BadRule(f"{text!r} is no IPv4 address", at, "an IPv4 address or nothing", _repaired(whole)) from None


def _port(text: str, at: int, lowest: int, whole: str = "", lax: bool = False) -> int:
    try:
        return parse_port(text, lowest, lax)
    except ValueError as error:
        raise BadRule(f"{text!r} is no port", at, str(error), _repaired(whole)) from None


def _repaired(rule: str) -> str:
    """What was probably meant: the ports and addresses of the rule in the right places, or "" """
    pieces = [piece for piece in rule.replace("-", ":").replace("/", ":").split(":") if piece]
    protocol = pieces.pop(0) if pieces and pieces[0].lower() in ("tcp", "udp") else "tcp"
    places: list[tuple[str, str]] = []
    address = ""
    for piece in pieces:
        if piece.isdecimal():
            places.append((address, piece))
            address = ""
        else:
            address = piece
    if len(places) != 2 or address:
        return ""
    (host, host_port), (guest, guest_port) = places
    fixed = f"{protocol.lower()}:{host}:{host_port}-{guest}:{guest_port}"
    try:
        parse_ipv4(host or "0")
        parse_ipv4(guest or "0")
        return fixed if 0 < int(guest_port) <= 65535 and int(host_port) <= 65535 else ""
    except ValueError:
        return ""
