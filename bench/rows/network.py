"""Rows 2 and 3: one NAT network with DHCP, and ten in one file, up and down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench.libvirt import Libvirt
from bench.measure import Run, took_s
from bench.place import Place
from bench.session import Session

ABOUT = "one NAT network with DHCP and ten, up and down, beside virsh and a script of ip, nft and dnsmasq"
_XML = """\
<network><name>n{0}</name><forward mode='nat'/><bridge name='virbr{0}'/>
<ip address='10.72.{0}.1' netmask='255.255.255.0'>
<dhcp><range start='10.72.{0}.2' end='10.72.{0}.200'/></dhcp></ip></network>
"""
_UP = """\
set -e
for n in $(seq 0 $(($1 - 1))); do
    ip link add hand$n type bridge forward_delay 0
    ip addr add 10.73.$n.1/24 dev hand$n
    ip link set hand$n up
    sysctl -q -w net.ipv4.conf.hand$n.forwarding=1
    nft -f - <<END
    table ip hand$n {
        chain out { type nat hook postrouting priority srcnat; ip saddr 10.73.$n.0/24 oifname != hand$n masquerade; }
        chain filter { type filter hook forward priority filter;
            oifname hand$n ct state established,related accept
            oifname hand$n iifname != hand$n drop; }
    }
END
    dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --port=0 --bind-interfaces --except-interface=lo \\
        --interface=hand$n --dhcp-range=10.73.$n.2,10.73.$n.200 --pid-file=$2/hand$n.pid \\
        --dhcp-leasefile=$2/hand$n.leases --user=root
done
"""
_DOWN = """\
set -e
for n in $(seq 0 $(($1 - 1))); do
    kill $(cat $2/hand$n.pid)
    nft delete table ip hand$n
    ip link del hand$n
done
"""


def run(session: Session) -> None:
    place = session.places.get("host")
    if place is None:
        session.leave_out("network", session.missing["host"])
        return
    with _way_outside():
        _all_sizes(session, place)


def _all_sizes(session: Session, place: Place) -> None:
    daemon = session.libvirt()
    if not isinstance(daemon, str):
        for number in range(10):
            daemon.define("net", _XML.format(number))
    for count, limits in ((1, (0.7, 0.35)), (10, (0.2, 0.1))):
        place.write(_lab(count))
        what = "one NAT network" if count == 1 else f"{count} NAT networks in one file"
        hand = [partial(_script, place, text, count) for text in (_UP, _DOWN)]
        _both(session, what, place, ("a script", hand[0], hand[1]), (None, None))
        if isinstance(daemon, str):
            session.leave_out(f"{what} beside virsh", daemon)
        else:
            virsh = [partial(_virsh, daemon, word, count) for word in ("net-start", "net-destroy")]
            _both(session, what, place, ("virsh", virsh[0], virsh[1]), limits)


@contextmanager
def _way_outside() -> Iterator[None]:
    """A cable with a default route over it: NAT networks ask for one."""
    took_s(["ip", "link", "add", "way", "type", "veth", "peer", "name", "beyond"])
    for words in ("link set beyond up", "link set way up", "addr add 198.51.100.65/30 dev way",
                  "route add default via 198.51.100.66 metric 900"):  # fmt: skip
        took_s(["ip", *words.split()])
    try:
        yield
    finally:
        took_s(["ip", "link", "del", "way"])


def _both(session: Session, what: str, place: Place, peer: tuple[str, Run, Run],
          limits: tuple[float | None, float | None]) -> None:  # fmt: skip
    """Up is timed with each pair, and so is the down that follows it."""
    name, up, down = peer
    downs: tuple[list[float], list[float]] = ([], [])
    ours = _timed(partial(_up, place), partial(place.qlan, "down"), downs[0])
    session.compare(f"{what} up", ours, (name, _timed(up, down, downs[1])), limits[0], 7)
    if downs[0] and len(downs[0]) == len(downs[1]):
        pairs = list(zip(*downs, strict=True))
        session.series(f"{what} down", name, "s", pairs[1:] or pairs, limits[1])


def _up(place: Place) -> float:
    """It answers when its server is bound; nothing may be missing then."""
    cost = place.qlan("up")
    place.must_be_up(0)
    return cost


def _timed(up: Run, down: Run, downs: list[float]) -> Callable[[], float]:
    def both() -> float:
        cost = up()
        downs.append(down())
        return cost

    return both


def _lab(count: int) -> str:
    networks = "".join(f"  n{n}: {{kind: nat, subnet: 10.74.{n}.0/24}}\n" for n in range(count))
    return f"lab: nets\nnetworks:\n{networks}"


def _script(place: Place, text: str, count: int) -> float:
    return took_s(["sh", "-c", text, "sh", str(count), str(place.folder)])


def _virsh(daemon: Libvirt, word: str, count: int) -> float:
    return sum(daemon.virsh(word, f"n{number}") for number in range(count))
