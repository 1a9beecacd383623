"""Every verb: its module and what it does in one line.  Nothing is imported here: `qlan --help` must answer at once."""

from __future__ import annotations

GROUPS: dict[str, dict[str, str]] = {
    "A lab, from its file": {
        "init": "write a qlan.yaml to start from",
        "check": "name every problem of the file, with its line",
        "plan": "show what `up` would do, or write it as a shell script",
        "up": "make it so, and wait until the guests have their network",
        "confirm": "keep what `up` did with this machine's NIC (`kind: public`)",
        "enable": "have it come up when the machine does",
        "disable": "and no longer",
        "down": "take it back, without leaving anything",
        "restart": "end a guest and start it again, as the file is now",
    },
    "A lab that is up": {
        "nic": "plug NICs into running guests, pull them out, move them",
        "impair": "make a NIC's link late, lossy or slow, and good again",
        "partition": "have guests not hear each other, their cables plugged",
        "heal": "have all hear all again",
        "adopt": "know a QEMU that was started by hand as a guest",
        "release": "give it back as it was",
    },
    "One guest, without a file": {
        "run": "start a disk image or a kernel with a network",
    },
    "While it runs": {
        "forward": "list, open and close ports that lead into a guest",
    },
    "What is there": {
        "status": "guests, NICs, addresses, forwards; what was changed meanwhile",
        "show": "all about one guest or network",
        "leases": "who has which address, guests outside the file too",
        "watch": "a live table of guests, leases and rates, and what happens",
        "events": "what happens, a line each; --repair puts back what others change",
        "capture": "frames of a NIC or a network: pcapng, or a line each",
        "log": "what QEMU, a serial line or a network's server said",
    },
    "Into a guest or a lab": {
        "console": "a guest's serial console",
        "ssh": "a shell or a command in a guest",
        "ssh-config": "make `ssh GUEST.LAB` work, and rsync, Ansible, editors",
        "exec": "a command inside the lab's own network",
    },
    "A QEMU command line of your own": {
        "explain": "say in plain words what it does, and what is wrong with it",
        "args": "words that plug a QEMU of your own into a lab's network",
        "convert": "rewrite it between -nic and -netdev, or from the old -net",
    },
    "Pictures, and other programs' files": {
        "graph": "a picture of the lab in the terminal, or as SVG",
        "import": "make a qlan.yaml of a QEMU command line, libvirt's XML, ...",
        "export": "the lab as a script, QEMU command lines, a picture, ...",
    },
    "About this machine": {
        "models": "the NIC models of the installed QEMU, and who has drivers for them",
        "host": "let users onto a bridge of this machine, and take it back",
        "completion": "print the line that makes your shell complete qlan's words",
    },
}

VERBS: dict[str, str] = {verb: text for group in GROUPS.values() for verb, text in group.items()}

# A keyword of Python cannot be a module's name.
_RENAMED = {"exec": "execute", "import": "importing", "ssh-config": "ssh_config"}
MODULES: dict[str, str] = {verb: _RENAMED.get(verb, verb) for verb in VERBS}

EXAMPLES = """\
  qlan init --from host-only         a file: two guests on a network with DHCP
  qlan up                            they boot, and each says its address
  qlan run debian.qcow2 -p 8080:80   one guest, no file; its port 80 is our 8080
  qlan ssh web uname -a              a command in a guest
  qlan exec -- ping 10.10.10.10      from inside the lab's network, without root
  qlan down                          all gone
"""


def help_text() -> str:
    """What `qlan --help` prints."""
    lines = [
        "usage: qlan VERB [OPTIONS]",
        "",
        "Gives QEMU guests their networks, without root wherever the kernel allows it.",
    ]
    for title, verbs in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {verb:<11} {text}" for verb, text in verbs.items())]
    lines += [
        "",
        "Options:",
        "  -f FILE     the lab's file (default: qlan.yaml here or in a parent folder)",
        "  -l LAB      a lab that is up, by its name, from anywhere",
        "  --version   print the version",
        "  --help      this; `qlan VERB --help` tells all about a verb",
        "",
        "Examples:",
        EXAMPLES.rstrip("\n"),
        "",
        "Exit status: 0 done, 2 wrong words or file, 3 this machine can't, 4 taken by",
        "someone else, 5 failed and put back, 6 failed and not put back, 7 changed by",
        "someone meanwhile, 8 not in time, 70 a bug of qlan, 130 Ctrl-C.",
    ]
    return "\n".join(lines)
