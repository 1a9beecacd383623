"""Guests on a network, wired in every way that users have: by qlan, by hand, by QEMU itself, by other programs.

Each is a `with` block that yields its guests booting; `Wired.settle` waits until they have their addresses.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.libvirt import Libvirt
from bench.measure import Failed, took_s
from bench.namespaces import of_lab
from bench.place import Place
from bench.session import Session
from bench.world import UPLINK, World, cable, held
from tests.guest.driver import GuestError, GuestShell
from tests.guest.machine import start_machine

HAND, USER, PASST, VDE, LIBVIRT = "TAP + bridge by hand", "-nic user", "passt", "VDE", "libvirt"
# The first of the host's ports that lead to these of the guest, where a way takes them only at its start.
FORWARDED = {USER: 7100, PASST: 7200}
GUEST_PORTS = (5201, 7, 80)  # iperf3, echo, the web
MEMORY = "192M"
# no_timer_check: several guests that boot at once without KVM make one another late, and the kernel panics over it.
APPEND = "console=ttyS0 quiet no_timer_check"


@dataclass(slots=True)
class Wired:
    """at_host: words that run a command where the guests' host is.  host, peer: its address, the second guest's.

    place: of qlan's, where its file is.
    """

    name: str
    shells: tuple[GuestShell, ...]
    at_host: tuple[str, ...]
    host: str = ""
    peer: str = ""
    address: str = ""
    place: Place | None = None

    def settle(self) -> None:
        """Failed unless every guest gets its address."""
        try:
            leases = [str(shell.wait_for_lease(timeout_s=120).ip) for shell in self.shells]
            words = dict(one.partition("=")[::2] for one in self.shells[0].run("cat /run/lease/eth0").split())
        except GuestError as error:
            raise Failed(f"{self.name}: {error}") from error
        self.address, self.host, self.peer = leases[0], words["router"], leases[1] if len(leases) > 1 else ""


def mac(number: int) -> str:
    return f"52:54:00:62:65:{number:02x}"


@contextmanager
def asked(one: Wired) -> Iterator[None]:
    """What a guest does not do is no result."""
    try:
        yield
    except GuestError as error:
        raise Failed(f"{one.name}: {error}"[:400]) from error


@contextmanager
def by_qlan(place: Place, world: World, guests: int) -> Iterator[Wired]:
    """Guests on a nat network, all else left to qlan."""
    lab, names = f"wired-{place.realm[0]}", "ab"[:guests]
    subnet = f"10.8{int(place.realm == 'host')}.0.0/24"
    text = [
        f"lab: {lab}",
        "networks:",
        f"  out: {{kind: nat, subnet: {subnet}}}",
        f"  more: {{kind: host-only, subnet: 10.8{7 + int(place.realm == 'host')}.0.0/24}}",
        "guests:",
    ]
    text += [f"  {name}: {{{booting(world.kernel, world.measuring)}, nics: [out]}}" for name in names]
    place = place.below("wired")
    place.write("\n".join(text) + "\n")
    place.qlan("up", "--no-wait")
    shells = tuple(GuestShell(place.folder / "r" / lab / "guest" / name / "serial") for name in names)
    try:
        inside = of_lab(place, lab) if place.realm == "rootless" else ()
        yield Wired(f"qlan {place.realm}", shells, inside, place=place)
    finally:
        for shell in shells:
            shell.close()
        place.qlan("down", "--force")


def booting(kernel: Path, initrd: Path) -> str:
    """A guest's words in a lab's file."""
    return f"kernel: {kernel}, initrd: {initrd}, memory: {MEMORY}, accel: tcg, append: {APPEND}"


_MASQUERADE = """\
add table ip {link}
add chain ip {link} out {{ type nat hook postrouting priority srcnat; }}
add rule ip {link} out ip saddr {net}.0/24 oifname {uplink} masquerade
"""


@contextmanager
def by_hand(world: World, guests: int) -> Iterator[Wired]:
    """As somebody does it who knows how: a bridge that does not wait, TAPs with vnet headers, dnsmasq, masquerading."""
    with hand_bridge(world, "hand", "10.82.0", guests), _leading_out("hand", "10.82.0"), ExitStack() as stack:
        shells = [qemu(stack, world, f"hand{n}", tap_words("hand", n)) for n in range(guests)]
        yield Wired(HAND, tuple(shells), ())


@contextmanager
def _leading_out(link: str, net: str) -> Iterator[None]:
    took_s(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    took_s(["nft", _MASQUERADE.format(link=link, net=net, uplink=UPLINK)])
    try:
        yield
    finally:
        took_s(["nft", f"delete table ip {link}"])


@contextmanager
def hand_bridge(world: World, name: str, net: str, guests: int) -> Iterator[None]:
    """It, with so many TAPs and a DHCP server that knows their guests."""
    lines = [f"link add {name} type bridge forward_delay 0", f"link set {name} up"]
    for number in range(guests):
        tap = f"{name}{number}"
        lines += [f"tuntap add {tap} mode tap vnet_hdr", f"link set {tap} master {name} up"]
    batch = world.new_folder(name) / "batch"
    batch.write_text("\n".join(lines) + "\n")
    with ExitStack() as stack:
        took_s(["ip", "-batch", str(batch)])
        for link in (name, *(f"{name}{number}" for number in range(guests))):
            stack.callback(took_s, ["ip", "link", "del", link])
        stack.enter_context(_served(world, name, net, [mac(number) for number in range(guests)]))
        yield


@contextmanager
def _served(world: World, link: str, net: str, macs: Sequence[str]) -> Iterator[None]:
    """The link has the network's address, and a DHCP server that knows its guests."""
    folder = world.new_folder(link)
    took_s(["ip", "addr", "add", f"{net}.1/24", "dev", link])
    hosts = [f"--dhcp-host={one},{net}.{10 + number}" for number, one in enumerate(macs)]
    files = [f"--pid-file={folder}/pid", f"--dhcp-leasefile={folder}/leases", f"--dhcp-option=3,{net}.1"]
    words = ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0", "--bind-interfaces", "--user=root",
             "--except-interface=lo", f"--interface={link}", f"--dhcp-range={net}.10,{net}.99"]  # fmt: skip
    took_s(["dnsmasq", *words, *files, *hosts])
    try:
        yield
    finally:
        took_s(["kill", (folder / "pid").read_text().strip()])


def tap_words(name: str, number: int) -> list[str]:
    return ["-netdev", f"tap,id=net0,ifname={name}{number},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net0,mac={mac(number)},romfile="]  # fmt: skip


def qemu(stack: ExitStack, world: World, name: str, words: Sequence[str]) -> GuestShell:
    """The shell of a guest that boots until the stack ends."""
    folder = world.new_folder(name)
    words = ["-m", MEMORY, *words]
    machine = start_machine(folder, (world.kernel, world.measuring), words, append="no_timer_check")
    return stack.enter_context(machine).shell


@contextmanager
def by_qemu(world: World) -> Iterator[Wired]:
    """`-nic user`, and QEMU's defaults for the rest: slirp and an e1000."""
    with ExitStack() as stack:
        ports = [f"hostfwd=tcp:0.0.0.0:{FORWARDED[USER] + n}-:{port}" for n, port in enumerate(GUEST_PORTS)]
        yield Wired(USER, (qemu(stack, world, "user", ["-nic", ",".join(("user", *ports))]),), ())


@contextmanager
def by_passt(world: World, place: Place) -> Iterator[Wired]:
    """passt as its manual says, and virtio."""
    socket = place.folder / "passt.socket"
    ports = ",".join(f"{FORWARDED[PASST] + n}:{port}" for n, port in enumerate(GUEST_PORTS))
    words = [*place.enter, "passt", "--foreground", "--quiet", "--socket", str(socket), "-t", ports]
    with ExitStack() as stack:
        folder = world.new_folder("passt")
        log = stack.enter_context((folder / "log").open("wb"))
        server = stack.enter_context(subprocess.Popen(words, stdout=log, stderr=log))
        stack.callback(server.kill)
        wait_for(socket, server)
        netdev = f"stream,id=net0,server=off,addr.type=unix,addr.path={socket}"
        words = ["-netdev", netdev, "-device", f"virtio-net-pci,netdev=net0,mac={mac(9)},romfile="]
        yield Wired(PASST, (qemu(stack, world, "passt", words),), ())
    socket.unlink(missing_ok=True)


@contextmanager
def by_vde(world: World, guests: int) -> Iterator[Wired]:
    """A switch that is a program, with a TAP to the machine (slirpvde, its way without root, stalls in bulk)."""
    folder = world.new_folder("vde")
    switch = folder / "switch"
    words = [world.program("vde_switch"), "-s", str(switch), "-t", "vde0"]
    macs = [mac(20 + number) for number in range(guests)]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        started = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=world.environment)
        stack.enter_context(started)
        stack.callback(started.kill)
        wait_for(Path("/sys/class/net/vde0"), started)
        wait_for(switch / "ctl", started)
        took_s(["ip", "link", "set", "vde0", "up"])
        stack.enter_context(_served(world, "vde0", "10.86.0", macs))
        stack.enter_context(_leading_out("vde0", "10.86.0"))
        devices = [["-netdev", f"vde,id=net0,sock={switch}",
                    "-device", f"virtio-net-pci,netdev=net0,mac={one},romfile="] for one in macs]  # fmt: skip
        shells = tuple(qemu(stack, world, f"vde{number}", words) for number, words in enumerate(devices))
        yield Wired(VDE, shells, ())


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a server has made its socket."""
    with held(["sh", "-c", f'for n in $(seq 500); do [ -e "{path}" ] && echo && exit; sleep 0.01; done']):
        pass
    if process.poll() is not None:
        raise Failed(f"{process.args!r} ended")


# As libvirt's own `default`.
_NETWORK = """\
<network><name>{name}</name><forward mode='nat'/><bridge name='{name}' stp='on' delay='0'/>
<ip address='{net}.1' netmask='255.255.255.0'>
<dhcp><range start='{net}.{first}' end='{net}.{last}'/></dhcp></ip></network>
"""
_DOMAIN = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>192</memory>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>/tmp/vmlinux</kernel><initrd>/tmp/{initrd}</initrd>
<cmdline>{append}</cmdline></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<interface type='network'><source network='{network}'/><mac address='{mac}'/><model type='virtio'/></interface>
<serial type='unix'><source mode='bind' path='/tmp/{name}.serial'/><target port='0'/></serial></devices></domain>
"""


@contextmanager
def by_libvirt(world: World, daemon: Libvirt, guests: int) -> Iterator[Wired]:
    """Guests on a network as its default one."""
    enter = ("nsenter", f"--target={daemon.pid}", "--net", "--")
    define_network(daemon, "wired", "192.168.122", (2, 254))
    names = [f"w{number}" for number in range(guests)]
    macs = {name: mac(30 + number) for number, name in enumerate(names)}
    root = define_guests(world, daemon, "wired", macs, world.measuring)
    cable(enter, str(daemon.pid), world.outside, ("192.0.2.2", "192.0.2.1"))
    with ExitStack() as stack:
        stack.callback(took_s, [*enter, "ip", "link", "del", UPLINK])
        daemon.virsh("net-start", "wired")
        stack.callback(daemon.virsh, "net-destroy", "wired")
        for name in names:
            daemon.virsh("start", name)
            stack.callback(daemon.virsh, "destroy", name)
        shells = tuple(GuestShell(root / f"tmp/{name}.serial") for name in names)
        yield Wired(LIBVIRT, shells, enter)


def define_network(daemon: Libvirt, name: str, net: str, given: tuple[int, int]) -> None:
    daemon.define("net", _NETWORK.format(name=name, net=net, first=given[0], last=given[1]))


def define_guests(world: World, daemon: Libvirt, network: str, macs: Mapping[str, str], initrd: Path) -> Path:
    """Guests by name, with the kernel where the daemon sees it; the daemon's root folder."""
    for file in (world.kernel, initrd):
        with file.open("rb") as content:
            subprocess.run([*daemon.enter, "sh", "-c", f"cat >/tmp/{file.name}"], stdin=content, check=True)
    for name, address in macs.items():
        words = {"name": name, "initrd": initrd.name, "append": APPEND, "mac": address, "network": network}
        daemon.define("dom", _DOMAIN.format(**words))
    return Path(f"/proc/{daemon.pid}/root") / daemon.enter[-1].lstrip("/")


def all_wired(session: Session, stack: ExitStack, world: World) -> dict[str, Wired]:
    """Those that work here by name, up until the stack ends.  They boot side by side; who is not measured is idle."""
    started, found = [], {}
    for name, wiring in _wirings(session, world).items():
        with session.no_time_for_failures(name):
            started.append(stack.enter_context(wiring()))
    for one in started:
        with session.no_time_for_failures(one.name):
            one.settle()
            found[one.name] = one
    return found


def _wirings(session: Session, world: World) -> dict[str, Callable[[], AbstractContextManager[Wired]]]:
    """All that can be had here by name, not made yet.  Two guests each; where little is to be done, one will do."""
    guests = 1 if session.quick else 2
    found: dict[str, Callable[[], AbstractContextManager[Wired]]] = {}
    for place in session.realms("guests of qlan"):
        found[f"qlan {place.realm}"] = partial(by_qlan, place, world, 2 if place.realm == "host" else guests)
    found |= {HAND: partial(by_hand, world, 2), USER: partial(by_qemu, world), VDE: partial(by_vde, world, guests)}
    if "rootless" in session.places:
        found[PASST] = partial(by_passt, world, session.places["rootless"])
    daemon = session.libvirt()
    if isinstance(daemon, str):
        session.leave_out("libvirt's guests", daemon)
    else:
        found[LIBVIRT] = partial(by_libvirt, world, daemon, guests)
    return found
