"""Who reaches whom, by real packets between booted guests: scripts/reach calls it.

    reach_matrix.py GUEST-FOLDER [--json] [KIND...]

A kind at a time: two guests on one network of it, in a machine that is a network namespace with a cable to another, the
outside.  Everybody serves a page with their name, so that an answer says whose it is.  Where a network offers no way
out, guests take one by hand: a `no` must not be just that of a guest that knows no way.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from qlan.cli.terminal import BOLD, DIM, GREEN, RED, painted
from qlan.networks.expand import KINDS, kind_reach
from qlan.networks.reach import Reach
from tests.guest.driver import GuestShell
from tests.guest.lab import filled
from tests.guest.machine import GuestImage
from tests.kernel.place import IS_ROOT, REALM, throw_away
from tests.kernel.world import BEYOND, BEYOND6, HERE, HERE6, THERE, THERE6, UPLINK, World, world

SUBNET, GATEWAY, PREFIX, GATEWAY6 = "10.77.0.0/24", "10.77.0.1", "fd77::/64", "fd77::1"
PATHS = {
    "guests": "guest→guest",
    "host": "guest→host",
    "outside": "guest→outside",
    "from_host": "host→guest",
    "from_outside": "outside→guest",
}
LEFT, RIGHT = "left", "right"
PATIENCE_S, TRIES = 3, 4

_SERVER = """
import http.server, socket, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
one = Server(("::", 80), Page)
print(flush=True)
one.serve_forever()
"""


class Failed(Exception):
    """Something did not come up; its message says what."""


@dataclass(frozen=True)
class Trial:
    """How a kind is tried.  network: its words in the file; nics: of the two guests.  host: the host's addresses there.

    realm: the only one that has it.  own: routes of the outside to its subnets.
    """

    network: str
    nics: tuple[str, str] = ("lan", "lan")
    host: tuple[str, ...] = (GATEWAY, GATEWAY6)
    realm: str = ""
    own: tuple[str, str] = (SUBNET, PREFIX)

    @property
    def is_on_the_lan(self) -> bool:
        return not self.own[0]


_OURS = f"subnet: {SUBNET}, ipv6: {{prefix: '{PREFIX}'}}"
_LAN = ("", "")
TRIALS = {
    "none": Trial("", ("", ""), (HERE, HERE6)),
    "user": Trial("", ("{user: true}", "{user: {subnet: 10.0.3.0/24}}"), ("10.0.2.2", "fec0::2"),
                  own=("10.0.2.0/24", "fec0::/64")),
    "private": Trial(f"kind: private, dhcp: true, {_OURS}", host=(GATEWAY, GATEWAY6, HERE, HERE6)),
    "wire": Trial(f"kind: wire, subnet: {SUBNET}", host=(HERE, HERE6)),
    "host-only": Trial(f"kind: host-only, {_OURS}"),
    "nat": Trial(f"kind: nat, {_OURS}"),
    "routed": Trial(f"kind: routed, {_OURS}", realm="host"),
    "public": Trial(f"kind: public, uplink: {UPLINK}", host=(HERE, HERE6), realm="host", own=_LAN),
    "bridge": Trial("kind: bridge, bridge: br0", host=(HERE, HERE6), realm="host", own=_LAN),
    "macvtap": Trial(f"kind: macvtap, uplink: {UPLINK}", host=(HERE, HERE6), realm="host", own=_LAN),
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    kind: str
    version: int
    path: str
    expected: bool
    found: bool


def main() -> int:
    args = _args()
    guest = GuestImage(*(args.guest / name for name in ("vmlinuz", "vmlinux", "initrd.gz", "initrd-full.gz")))
    cells: list[Cell] = []
    if not args.json:
        print(painted(f"Who reaches whom, {REALM}: what the table of kinds says / what was found\n", BOLD))
        print(f"  {'':11}{'':6}" + "".join(title.ljust(15) for title in PATHS.values()).rstrip(), flush=True)
    for kind in args.kinds or TRIALS:
        if TRIALS[kind].realm not in ("", REALM):
            if not args.json:
                print(painted(f"  {kind:11}only in the {TRIALS[kind].realm} realm", DIM), flush=True)
            continue
        found = try_out(kind, guest)
        cells += found
        if not args.json:
            print("\n".join(_lines(found)), flush=True)
    wrong = [one for one in cells if one.found != one.expected]
    if args.json:
        print(json.dumps([vars(one) for one in cells], indent=1))
    else:
        print(f"\n  {len(cells) - len(wrong)} of {len(cells)} cells as the table has them")
    return 1 if wrong else 0


def _args() -> argparse.Namespace:
    assert set(TRIALS) == {*KINDS, "user", "none"}, "a kind is not tried"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("guest", type=Path, help="the folder that scripts/build-guest made")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(TRIALS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_intermixed_args()
    if unknown := [kind for kind in args.kinds if kind not in TRIALS]:
        parser.error(f"no kind of network is called {', '.join(unknown)}: there are {', '.join(TRIALS)}")
    return args


def _lines(cells: Sequence[Cell]) -> Iterator[str]:
    for version in (4, 6):
        row = [one for one in cells if one.version == version]
        kind = row[0].kind if version == 4 else ""
        yield f"  {kind:11}IPv{version}  " + "".join(_shown(one) for one in row).rstrip()


def _shown(cell: Cell) -> str:
    words = [("yes" if value else "no") for value in (cell.expected, cell.found)]
    right = cell.expected == cell.found
    text = f"{words[0]} / {words[1] if right else words[1].upper() + ' !'}"
    return painted(text, (GREEN if cell.found else DIM) if right else RED) + " " * (15 - len(text))


# --- one kind


def try_out(kind: str, image: GuestImage) -> list[Cell]:
    """Boot, ask, take down."""
    trial = TRIALS[kind]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ql")))
        folder.chmod(0o755)
        there = stack.enter_context(world(stack.enter_context(throw_away(folder))))
        there.on_machine("sysctl", "-q", "-w", f"net.ipv6.conf.{UPLINK}.accept_ra=0")  # all is said by hand
        stack.enter_context(serving("outside", there.outside))
        stack.enter_context(serving("host", there.here))
        if trial.is_on_the_lan:
            stack.enter_context(lan_server(there, folder))
        if kind == "bridge":
            _bridge_uplink(there)
        (folder / "qlan.yaml").write_text(filled(image, _file(trial)))
        stack.callback(there.machine.qlan, "down", "--force", check=False)
        there.machine.qlan("up", "--no-wait")
        if kind == "public":
            there.machine.qlan("confirm")
        realm = _realm(there)
        if realm:
            stack.enter_context(serving("host", (*there.machine.enter, *realm)))
        shells = {
            name: stack.enter_context(GuestShell(there.machine.run_dir / "reach" / "guest" / name / "serial"))
            for name in (LEFT, RIGHT)
        }
        addresses = {name: _settle(kind, name, shell) for name, shell in shells.items()}
        _lead_back(there, trial)
        return list(ask_all(kind, there, (*there.machine.enter, *realm), shells[LEFT], addresses))


def _file(trial: Trial) -> str:
    text = "lab: reach\n" + (f"networks:\n  lan: {{{trial.network}}}\n" if trial.network else "")
    guests = zip((LEFT, RIGHT), trial.nics, strict=True)
    return text + "guests:\n" + "".join(f"  {name}: {{KERNEL, nics: [{nic}]}}\n" for name, nic in guests)


def _lead_back(there: World, trial: Trial) -> None:
    """The outside knows the way to the guests, over the machine: what does not arrive was kept out."""
    for version, subnet, gateway in zip("46", trial.own, (HERE, HERE6), strict=True):
        if subnet:
            there.at_outside("ip", f"-{version}", "route", "replace", subnet, "via", gateway)


def _bridge_uplink(there: World) -> None:
    """The machine's bridge, as distributions make it: with the NIC in it, and the NIC's addresses."""
    for words in (
        "link add br0 type bridge forward_delay 0",
        f"addr flush dev {UPLINK}",
        f"link set {UPLINK} master br0",
        "link set br0 up",
        f"addr add {HERE}/24 dev br0",
        f"route replace default via {THERE} dev br0",
        f"-6 addr add {HERE6}/64 dev br0 nodad",
        f"-6 route replace default via {THERE6} dev br0",
    ):
        there.on_machine("ip", *words.split())


def _realm(there: World) -> tuple[str, ...]:
    """The words that lead on to where a rootless lab's bridges are, if it has any."""
    record = there.machine.run_dir / "reach" / "namespace" / "realm"
    if IS_ROOT or not record.exists():
        return ()
    return ("nsenter", f"--target={record.read_text().split()[0]}", "--user", "--net", "--preserve-credentials")


def _settle(kind: str, name: str, shell: GuestShell) -> dict[int, str]:
    """A guest's addresses by family, once it has them; then it takes a way out if none was offered."""
    if kind == "none":
        return {}
    if kind == "wire":
        shell.run(f"ip -6 addr add fd77::{1 + (name == RIGHT)}/64 dev eth0")
    found = {}
    for version in (4, 6):  # a link-local one is no answer, a tentative one cannot be used yet
        look = f"ip -o -{version} addr show dev eth0 | grep -v -e tentative -e fe80 | grep -o 'inet6* [^/ ]*'"
        found[version] = shell.wait_for(look, timeout_s=60).split()[1]
    if TRIALS[kind].is_on_the_lan:  # its router says so in a moment of its own
        for version in (4, 6):
            shell.wait_for(f"ip -{version} route show default | grep via", timeout_s=60)
        return found
    gateway, gateway6 = GATEWAY, GATEWAY6
    if kind == "wire" and name == LEFT:
        gateway, gateway6 = "10.77.0.2", "fd77::2"
    for option, address in (("-4", gateway), ("-6", gateway6)):
        shell.run(f"ip {option} route show default | grep -q via || ip {option} route add default via {address} "
                  "dev eth0 metric 1")  # fmt: skip
    return found


# --- the questions


def ask_all(
    kind: str, there: World, host: Sequence[str], left: GuestShell, addresses: dict[str, dict[int, str]]
) -> Iterator[Cell]:
    """The five paths in both families; who can ask at the same time does."""
    trial, beyond = TRIALS[kind], {4: BEYOND, 6: BEYOND6}
    # without a NIC there is no address: what is asked for is the one that it would have
    targets = addresses[RIGHT] or {4: "10.77.0.9", 6: "fd77::9"}
    own = addresses[LEFT] or targets
    due = dict.fromkeys((4, 6), _paths(kind_reach(kind)))

    def outwards(version: int) -> dict[str, bool]:
        hosts = [one for one in trial.host if (":" in one) == (version == 6)]
        wanted = due[version]
        return {
            "guests": guest_reads(left, targets[version], RIGHT, wanted["guests"]),
            "host": any(guest_reads(left, one, "host", wanted["host"]) for one in hosts),
            "outside": guest_reads(left, beyond[version], "outside", wanted["outside"]),
        }

    def inwards(version: int) -> dict[str, bool]:
        wanted = due[version]
        return {
            "from_host": reads(host, own[version], LEFT, wanted["from_host"]),
            "from_outside": reads(there.outside, own[version], LEFT, wanted["from_outside"]),
        }

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lambda: {version: outwards(version) for version in (4, 6)})
        inward = dict(zip((4, 6), pool.map(inwards, (4, 6)), strict=True))
        for version, row in asked.result().items():
            answers = {**row, **inward[version]}
            for path in PATHS:
                yield Cell(kind, version, path, due[version][path], answers[path])


def _paths(row: Reach) -> dict[str, bool]:
    return {path: bool(getattr(row, path)) for path in PATHS}


def guest_reads(shell: GuestShell, address: str, page: str, due: bool) -> bool:
    """Whether a guest gets this page from there.  due: it should, so a slow machine gets more tries."""
    for _ in range(TRIES if due else 1):
        done = shell.try_run(f"timeout {PATIENCE_S} wget -qO- {_url(address)}", timeout_s=60)
        if done.status == 0 and done.output.strip() == page:
            return True
    return False


def reads(enter: Sequence[str], address: str, page: str, due: bool) -> bool:
    """The same from a namespace."""
    words = [*enter, "curl", "-sg", "--noproxy", "*", "--max-time", str(PATIENCE_S), _url(address)]
    for _ in range(TRIES if due else 1):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.stdout.strip() == page:
            return True
    return False


def _url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


# --- who answers


@contextmanager
def serving(page: str, enter: Sequence[str]) -> Iterator[None]:
    """A web server in a namespace, for both families."""
    with _running([*enter, sys.executable, "-c", _SERVER, page], page) as server:
        if not (server.stdout and server.stdout.read(1)):
            raise Failed(f"no web server for {page}: {shlex.join(enter)}")
        yield


@contextmanager
def lan_server(there: World, folder: Path) -> Iterator[None]:
    """The LAN's own DHCP server and router: public guests are its clients.

    It forwards: a neighbour that says it is no router (RFC 4861, 7.2.5) is taken out of the guests' default routes.
    """
    there.at_outside("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    words = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan0", "--bind-interfaces",
        "--no-ping", "--dhcp-authoritative", "--user=root", "--pid-file=", f"--dhcp-leasefile={folder / 'leases'}",
        "--dhcp-range=198.51.100.50,198.51.100.99,255.255.255.0", f"--dhcp-option=3,{THERE}", "--enable-ra",
        f"--dhcp-range={THERE6.removesuffix('1')},ra-only,64",
    ]  # fmt: skip
    with _running([*there.outside, *words], "the LAN's dnsmasq"):
        yield


@contextmanager
def _running(argv: Sequence[str], what: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
    try:
        yield process
        if process.poll() is not None:
            raise Failed(f"{what} ended by itself, exit status {process.returncode}")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
