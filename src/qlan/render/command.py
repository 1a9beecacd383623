"""Commands as data.  The same ones are shown by `qlan plan`, written by `--script` and run by `up` and `down`.

`@KEY@` in a word or a line stands for the process id of the namespace with that key: it is known only when it runs.
"""

from __future__ import annotations

from pathlib import Path

from qlan.values import Value


class Ip(Value):
    """One line for `ip -batch` in a namespace (a Namespace's key, or "" for the machine's own).

    gone_is_fine: a removal of what may already have gone with something else.  program: another one of iproute2 that
    takes batches (tc, bridge).
    """

    namespace: str
    line: str
    gone_is_fine: bool = False
    program: str = "ip"


class Sysctl(Value):
    """Write a value to a file below /proc/sys, as a namespace has it; a kernel without that file needs no word."""

    namespace: str
    path: str
    value: str


class OpenTap(Value):
    """Make a TAP that lives as long as its descriptor; a later Start hands it on."""

    namespace: str
    name: str


class Write(Value):
    """Write a file of ours (its folder is made), which others may read unless it is private."""

    path: Path
    text: str
    private: bool = False


class Folder(Value):
    """Make a folder of ours into which nobody looks but a user (None: who runs qlan)."""

    path: Path
    owner: int | None = None


class Remove(Value):
    """Remove a folder of ours with all that is in it."""

    path: Path


class Forget(Value):
    """Take the lines of these words (MACs, addresses) out of a lease file; no such file is fine."""

    path: Path
    words: tuple[str, ...]


class Hold(Value):
    """Start the process that holds a namespace open; `record` is written by it before it sleeps."""

    key: str
    argv: tuple[str, ...]
    record: Path


class Release(Value):
    """End the process that holds a namespace open, and with it all that runs there."""

    key: str
    record: Path


class Run(Value):
    """Run a program to its end in a namespace; a daemon ends when it is ready.  run_as: a uid, None: our own.

    behind: the resource that it makes, if what does not need that may be done meanwhile.
    """

    namespace: str
    argv: tuple[str, ...]
    run_as: int | None = None
    behind: str = ""


class InTurn(Value):
    """Run a program to its end on the machine itself, after all before it and before all after it."""

    argv: tuple[str, ...]


class QmpCall(Value):
    """A QMP command with its arguments."""

    name: str
    arguments: tuple[tuple[str, object], ...] = ()


class Amend(Value):
    """Change a guest's record in one step: take out the resource `drop` with what is within it, put in those of `put`
    (JSON) in place of what has their keys.
    """

    path: Path
    put: tuple[str, ...] = ()
    drop: str = ""


class Qmp(Value):
    """Commands for a QEMU that runs, in one conversation.

    What it gets a descriptor of is called `tap` in QEMU; tap: (namespace, name) of a TAP opened before, macvtap: a link
    of this machine's, end: (namespace, which) of a wire, both opened then.  vhost: it gets one of vhost-net, too, as
    `vhost`.  ports: the device goes into a PCIe port that is free, and whose name begins so.  gone: wait until the
    guest lets go of this device; stays: what to note if it does not.
    gone_is_fine: what is to be removed may not be there.  pause_s: stay silent for so long afterwards.
    """

    guest: str
    socket: Path
    calls: tuple[QmpCall, ...]
    tap: tuple[str, str] | None = None
    macvtap: str = ""
    end: tuple[str, int] | None = None
    vhost: bool = False
    ports: str | None = None
    gone: str = ""
    gone_is_fine: bool = False
    stays: Amend | None = None
    pause_s: float = 0.0


class Boot(Value):
    """Start a QEMU.  It gets descriptors from FIRST_FD on, in this order: listening sockets, TAPs, macvtaps, ends of
    wires, and as many of vhost-net as `vhosts` says.

    argv: complete; `sockets` are (path) of the unix sockets to make and listen on, taps the interfaces opened before.
    own: a folder in which QEMU itself may write.  then: QMP commands to send when it answers (with -S on the command
    line: the last one is `cont`).
    """

    guest: str
    argv: tuple[str, ...]
    record: Path
    log: Path
    own: Path
    sockets: tuple[Path, ...]
    taps: tuple[tuple[str, str], ...]  # (namespace, name)
    macvtaps: tuple[str, ...] = ()  # interfaces of this machine's, opened when it starts
    ends: tuple[tuple[str, int], ...] = ()  # of wires: (namespace, which end), made when it starts
    vhosts: int = 0
    then: tuple[QmpCall, ...] = ()
    run_as: int | None = None


class Adopt(Value):
    """Know a QEMU that somebody else started: its record (/proc/PID/stat) is written, and `monitor` leads to its QMP.

    start: when it started (proc(5)), for which there is no other.  own: a folder in which it may write itself.
    """

    guest: str
    pid: int
    start: int
    uid: int
    socket: Path
    record: Path
    monitor: Path
    own: Path


class Stop(Value):
    """End a process that we started.

    mark: what is in its command line, for a record that is a pid file or was lost; inside: the key of the namespace in
    which it counted its id ("": the machine's).  ask: the QMP socket on which to ask first.  taps: namespaces and names
    of those that go with it.
    """

    record: Path
    what: str
    mark: str = ""
    inside: str = ""
    ask: Path | None = None
    taps: tuple[tuple[str, str], ...] = ()


class Reload(Value):
    """Have a daemon of ours read its files again (SIGHUP)."""

    record: Path
    what: str
    mark: str
    inside: str = ""


class Serve(Value):
    """Start the lab's relay with a control socket in `folder`, which others cannot connect to; enter: where it runs."""

    what: str
    folder: Path
    enter: tuple[str, ...]
    run_as: int | None = None


class AsCaller(Value):
    """A guest is called by its callers' own addresses, but of some networks (`10.1.0.0/24`): they come by ours.

    link: the bridge by which it answers.
    """

    link: str
    but: tuple[str, ...]


class Publish(Value):
    """Listen on an address and port of this machine, for the relay of `folder` to pass on; note: what it remembers.

    inside: the key of another namespace to listen in.  link: hear only what comes by this one.  only: the one address
    that is served; "": all.  as_caller: None: all come by our address.  is_open: the relay listens there already, and
    gets no socket.
    """

    folder: Path
    key: str
    protocol: str
    listen: tuple[str, int]
    target: tuple[str, int]
    note: str
    inside: str = ""
    link: str = ""
    only: str = ""
    as_caller: AsCaller | None = None
    is_open: bool = False


class Withdraw(Value):
    """Have the relay listen no longer there."""

    folder: Path
    key: str


class Nft(Value):
    """A text for `nft -f` in a namespace; neighbours become one transaction.

    new: the table (with its family) that it fills, and that is not there; if it is all the same, it goes first.  To
    remove one, and be it empty, the kernel waits until no packet can be on its way through it: 10 to 20 ms.
    comment: the new table's, our mark.
    """

    namespace: str
    text: str
    gone_is_fine: bool = False
    new: str = ""
    comment: str = ""

    @property
    def creating(self) -> str:
        """The text that fails if the table is there.  The kernel takes a comment only when it makes the table."""
        return f'create table {self.new} {{ comment "{self.comment}"; }}\n{self.text}' if self.new else self.text

    @property
    def replacing(self) -> str:
        """The text that never does."""
        return f"table {self.new}\ndelete table {self.new}\n{self.text}" if self.new else self.text


class Disconnect(Value):
    """Have the kernel forget the connections that it leads from a port of this machine to a guest.

    host_address: "": any.  guest: an address or a whole subnet.  Ports: 0: all.
    """

    protocol: str
    guest: str
    guest_port: int = 0
    host_address: str = ""
    host_port: int = 0


class Save(Value):
    """Keep how the kernel lists a table of a namespace in a file of ours, as libnftables-json(5).

    table: with its family.  terse: without the elements of its sets and maps.
    """

    namespace: str
    table: str
    path: Path
    terse: bool = False

    @property
    def listing(self) -> tuple[str, ...]:
        """The words that list it."""
        return ("nft", "-j", *(("-t",) if self.terse else ()), "list", "table", *self.table.split())


class Borrow(Value):
    """Change a setting of a link that is not ours; book: the folder that remembers what was there."""

    link: str
    path: str
    book: Path
    lab: str
    value: str = "1"


class GiveBack(Value):
    """The lab needs it no longer; the last lab puts back what was there."""

    link: str
    path: str
    book: Path
    lab: str


Command = (
    Ip
    | Sysctl
    | OpenTap
    | Write
    | Folder
    | Remove
    | Forget
    | Hold
    | Release
    | Run
    | InTurn
    | Boot
    | Adopt
    | Stop
    | Reload
    | Amend
    | Qmp
    | Serve
    | Publish
    | Withdraw
    | Nft
    | Save
    | Disconnect
    | Borrow
    | GiveBack
)

HERE = "here"  # as a key: the namespace of the program that runs the commands
SOCKETS = ("qmp", "serial", "events")  # in a guest's folder; a QEMU gets them from FIRST_FD on, in this order
FIRST_FD = 3
