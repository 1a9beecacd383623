"""The demo: a lab of booted guests, who reaches whom in it, and what is left of it afterwards.

scripts/demo calls it, as an ordinary user: demo_lab.py GUEST-FOLDER. Everything it makes is in one folder in /tmp.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from qlan.cli.terminal import BOLD, DIM, GREEN, RED, painted  # noqa: E402
from qlan.lab import Lab  # noqa: E402
from qlan.status import LabStatus  # noqa: E402
from tests.guest.driver import GuestShell  # noqa: E402

QLAN = str(Path(sys.executable).with_name("qlan"))
MACHINE = "this machine"
NAMES = ("web", "db", "cache", "box", MACHINE)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANSWERS, SILENCE = "answers", ""
PICTURE = """\
  this machine ─┬─ lan (host-only, DHCP) ─┬─ web
                │                         └─ db ─── back (private) ─── cache
                └─ box (user-mode networking; a port of this machine leads to its web server)
"""


class DemoError(Exception):
    """Something was not as it should be; its message says what."""


@dataclass(frozen=True)
class Question:
    """A command that `source` runs to reach `target`, and the answer that it should get: a page, ANSWERS, SILENCE."""

    source: str
    target: str
    command: str
    expected: str


@dataclass(frozen=True)
class Answer:
    question: Question
    said: str

    @property
    def is_right(self) -> bool:
        return self.said == self.question.expected


@dataclass(frozen=True)
class Traces:
    """What can be seen of the lab from outside, and inside it if it is up."""

    machine_network: str
    lab_links: int | None
    processes: list[str]
    files: list[str]


def main() -> int:
    started_s = time.monotonic()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    with work_folder(Path(sys.argv[1])) as folder:
        try:
            show(folder)
        except KeyboardInterrupt:
            print("\ninterrupted: taking the lab down", flush=True)
            return 130
        except (DemoError, subprocess.CalledProcessError) as error:
            complain(error)
            return 1
    print(painted(f"\nAll as it should be, in {time.monotonic() - started_s:.0f} s.", BOLD))
    return 0


def show(folder: Path) -> None:
    before = read_traces(folder)
    title("A lab of four guests, without root: examples/demo.yaml")
    print(PICTURE)
    qlan("up")
    during = read_traces(folder)

    title("What is there")
    qlan("status")

    title("Who reaches whom")
    answers = ask_all(Lab.load(Path("qlan.yaml").resolve()))
    print_matrix(answers)
    print_answers(answers)
    if wrong := [one for one in answers if not one.is_right]:
        raise DemoError(f"{len(wrong)} of {len(answers)} paths are not as they should be: " + ", ".join(
            f"{one.question.source} → {one.question.target}" for one in wrong))  # fmt: skip

    title("All of it taken back")
    qlan("down", "--forget")
    after = read_traces(folder)
    print_traces(before, during, after)
    if after != before:
        raise DemoError("something is left:\n" + "\n".join([*after.processes, *after.files]))


@contextmanager
def work_folder(guest: Path) -> Iterator[Path]:
    """A folder with the lab's file and the guest's image, qlan's own folders in it; the current one.

    At its end, however that comes, the lab goes with it.
    """
    folder = Path(tempfile.mkdtemp(prefix="qlan-demo-", dir="/tmp"))
    try:
        shutil.copy(HERE / "examples" / "demo.yaml", folder / "qlan.yaml")
        (folder / "guest").symlink_to(guest.resolve())
        os.environ |= {"QLAN_RUN_DIR": str(folder / "run"), "QLAN_STATE_DIR": str(folder / "state")}
        os.environ["TMPDIR"] = str(folder)  # a mark in every process that comes of this
        os.chdir(folder)
        yield folder
    finally:
        for number in SIGNALS:  # a second Ctrl-C must not leave half a lab; what we start ignores them, too
            signal.signal(number, signal.SIG_IGN)
        if (folder / "run").exists():
            qlan("down", "--force", "--forget", shown=False)
        os.chdir("/")
        shutil.rmtree(folder)


def qlan(*words: str, shown: bool = True) -> None:
    """Run it as anyone would; CalledProcessError."""
    if shown:
        print(painted(f"$ qlan {' '.join(words)}", BOLD), flush=True)
    subprocess.run([QLAN, *words], check=shown, stdout=None if shown else subprocess.DEVNULL)


# --- who reaches whom


def ask_all(lab: Lab) -> list[Answer]:
    """Every question, asked by all sources at once."""
    with small_web_server(MACHINE) as port:
        questions = list(make_questions(lab.status(), lab, port))
        by_source = [[one for one in questions if one.source == name] for name in NAMES]
        with ThreadPoolExecutor(len(NAMES)) as pool:
            return [one for answers in pool.map(lambda some: ask(lab, some), by_source) for one in answers]


def make_questions(status: LabStatus, lab: Lab, port: int) -> Iterator[Question]:
    """Where a reply is due: a page that says who serves it. Where none is: a cry into the cable itself (ARP), because
    that needs no route, so its silence is not just that of a guest that knows no way."""
    nics = {guest.name: guest.nics for guest in status.guests}
    web, db, cache, box = (nics[name][0].address for name in ("web", "db", "cache", "box"))
    db_back = nics["db"][1].address
    here = str(address_on(lab, "lan"))
    forward = nics["box"][0].forwards[0].split(" ", 1)[0]

    def page(source: str, target: str, url: str) -> Question:
        return Question(source, target, f"wget -qO- http://{url}/", target)

    def cry(source: str, target: str, address: str, expected: str = SILENCE) -> Question:
        return Question(source, target, f"arping -f -w 2 -I eth0 {address}", expected)

    def ping(source: str, target: str, address: str) -> Question:
        return Question(source, target, f"ping -c 1 -W 2 {address}", ANSWERS)

    yield page("web", "db", "db")
    yield cry("web", "db", db, ANSWERS)  # so that silence elsewhere means something
    yield cry("web", "cache", cache)
    yield cry("web", "box", box)
    yield ping("web", MACHINE, here)

    yield page("db", "web", "web.demo")
    yield page("db", "cache", cache)
    yield cry("db", "box", box)
    yield ping("db", MACHINE, here)

    yield cry("cache", "web", web)
    yield page("cache", "db", db_back)
    yield cry("cache", "box", box)
    yield cry("cache", MACHINE, here)

    yield cry("box", "web", web)
    yield cry("box", "db", db)
    yield cry("box", "cache", cache)
    yield page("box", MACHINE, f"10.0.2.2:{port}")

    yield Question(MACHINE, "web", f"qlan exec -- curl -s -m 5 http://{web}/", "web")
    yield Question(MACHINE, "db", f"qlan exec -- curl -s -m 5 http://{db}/", "db")
    yield Question(MACHINE, "cache", f"qlan exec -- curl -s -m 2 http://{cache}/", SILENCE)
    yield Question(MACHINE, "box", f"curl -s -m 5 http://{forward}/", "box")


def ask(lab: Lab, questions: Sequence[Question]) -> list[Answer]:
    """The questions of one source, one after the other."""
    source = questions[0].source
    if source == MACHINE:
        return [Answer(one, run_here(one.command)) for one in questions]
    with GuestShell(lab.layout.serial(source)) as shell:
        answers = []
        for one in questions:
            done = shell.try_run(one.command)
            answers.append(Answer(one, meaning(one.command, done.status, done.output)))
        return answers


def run_here(command: str) -> str:
    words = shlex.split(command)
    done = subprocess.run(
        [QLAN if words[0] == "qlan" else words[0], *words[1:]], stdout=subprocess.PIPE, text=True, check=False
    )
    return meaning(command, done.returncode, done.stdout)


def meaning(command: str, status: int, output: str) -> str:
    if status != 0:
        return SILENCE
    return output.strip() if command.startswith(("wget", "curl", "qlan")) else ANSWERS


def address_on(lab: Lab, network: str) -> str:
    """This machine's address on a network."""
    done = subprocess.run([QLAN, "show", network, "-l", lab.name, "--json"], stdout=subprocess.PIPE, check=True)
    return str(json.loads(done.stdout)["network"]["addresses"][0]).partition("/")[0]


@contextmanager
def small_web_server(page: str) -> Iterator[int]:
    """Serves one page on this machine's loopback; yields its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{page}\n".encode())

        def log_message(self, *_: object) -> None:
            """Nothing: the answers are shown."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def print_matrix(answers: Sequence[Answer]) -> None:
    widths = {name: max(len(name), 5) + 2 for name in NAMES}
    print("  from \\ to".ljust(16) + "".join(name.ljust(widths[name]) for name in NAMES).rstrip())
    for source in NAMES:
        cells = []
        for target in NAMES:
            there = [one for one in answers if (one.question.source, one.question.target) == (source, target)]
            word, colour = cell(there)
            cells.append(painted(word, colour) + " " * (widths[target] - len(word)))
        print(f"  {source:14}" + "".join(cells).rstrip())
    print()


def cell(answers: Sequence[Answer]) -> tuple[str, str]:
    """yes or no, and what it would have to be if that is wrong."""
    if not answers:
        return "-", DIM
    reached = any(one.said != SILENCE for one in answers)
    if all(one.is_right for one in answers):
        return ("yes", GREEN) if reached else ("no", DIM)
    return ("YES?" if reached else "NO?"), RED


def print_answers(answers: Sequence[Answer]) -> None:
    width = max(len(one.question.command) for one in answers)
    last = ""
    for one in answers:
        source = one.question.source
        mark, colour = ("✓", GREEN) if one.is_right else (f"✗ should be: {one.question.expected or 'no answer'}", RED)
        said = one.said or painted("no answer", DIM)
        padding = " " * max(0, len(MACHINE) - len(one.said or "no answer"))
        print(f"  {source if source != last else '':14}{one.question.command.ljust(width)}  {said}{padding}  "
              f"{painted(mark, colour)}")  # fmt: skip
        last = source


# --- what is left


def read_traces(folder: Path) -> Traces:
    lab = Lab.load(Path("qlan.yaml").resolve())
    lab_links = None
    if lab.is_up:
        done = subprocess.run(
            [QLAN, "exec", "-l", "demo", "--", "ip", "-j", "link"], stdout=subprocess.PIPE, check=True
        )
        lab_links = len(json.loads(done.stdout))
    network = "".join(
        subprocess.run(["ip", *words], stdout=subprocess.PIPE, text=True, check=True).stdout
        for words in (("-o", "link"), ("-br", "address"), ("route",), ("rule",))
    )
    return Traces(network, lab_links, read_processes(folder), read_files(folder))


def read_processes(folder: Path) -> list[str]:
    """QEMU, dnsmasq, the holders of namespaces: all that have the folder in their environment or among their words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if str(folder).encode() in words + (process / "environ").read_bytes():
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def read_files(folder: Path) -> list[str]:
    """The lab's. The lock that all labs of a user share stays: somebody may be waiting for it."""
    found = [*(folder / "run").rglob("*"), *(folder / "state").rglob("*")]
    return sorted(str(path) for path in found if path != folder / "state" / ".lock")


def print_traces(before: Traces, during: Traces, after: Traces) -> None:
    def row(what: str, *words: object) -> None:
        print(f"  {what:42}" + "".join(str(word).ljust(11) for word in words).rstrip())

    same = ["the same" if one.machine_network == before.machine_network else "CHANGED" for one in (during, after)]
    row("", "before", "up", "now")
    row("this machine's links, addresses, routes", f"{before.machine_network.count(chr(10))} lines", *same)
    row("links in the lab's own namespace", *("-" if one.lab_links is None else one.lab_links
                                              for one in (before, during, after)))  # fmt: skip
    row("processes", *(len(one.processes) for one in (before, during, after)))
    row("files and sockets", *(len(one.files) for one in (before, during, after)))


# --- words


def title(text: str) -> None:
    print(f"\n{painted(text, BOLD)}\n", flush=True)


def complain(error: Exception) -> None:
    """What failed, and what the guests and servers said last."""
    if isinstance(error, subprocess.CalledProcessError):
        error = DemoError(f"`qlan {' '.join(error.cmd[1:])}` ended with exit status {error.returncode}")
    sys.stdout.flush()
    print(painted(f"\ndemo: {error}", RED), file=sys.stderr)
    for log in sorted(Path.cwd().glob("run/demo/**/*log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        print(painted(f"--- {log.relative_to(Path.cwd())}", BOLD), *lines, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
