"""A lab from `init` to `down`, by the command alone.  Its guests are paused QEMUs: they need no image and no time."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from qlan.topology.templates import TEMPLATES

from ..kernel.place import IS_ROOT, REALM, Place
from .conftest import LAB, PAUSED, USER_LINE, Terminal


def data(place: Place, *words: str) -> dict[str, object]:
    found = json.loads(place.qlan(*words, "--json").stdout)
    assert isinstance(found, dict)
    return found


# --- init, check


@pytest.mark.parametrize("kind", list(TEMPLATES))
def test_init_writes_a_file_that_is_fine_but_for_its_disks(place: Place, kind: str) -> None:
    done = place.qlan("init", "--from", kind, "--lab", "campus")
    assert done.stdout.startswith("wrote qlan.yaml (lab campus) and .qlan-schema.json (for your editor)\n")
    text = (place.folder / "qlan.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=.qlan-schema.json\n")
    assert json.loads((place.folder / ".qlan-schema.json").read_text())["title"] == "qlan.yaml"
    problems = data_of_check(place)
    assert all("there is no" in str(problem["what"]) for problem in problems), problems


def data_of_check(place: Place) -> list[dict[str, object]]:
    done = place.qlan("check", "--json", *(["--user", USER_LINE.split()[1]] if IS_ROOT else []), check=False)
    problems = json.loads(done.stdout)["problems"]
    assert isinstance(problems, list)
    return problems


def test_init_takes_the_name_of_the_folder(place: Place) -> None:
    folder = place.folder / "My Lab_2"
    folder.mkdir()
    place.folder = folder
    assert "(lab my-lab-2)" in place.qlan("init").stdout


def test_init_does_not_overwrite(shop: Place) -> None:
    done = shop.qlan("init", check=False)
    assert done.stderr == (
        "qlan: error: there is one already\n  where: qlan.yaml\n  hint:  --force replaces it\n"
    )  # fmt: skip
    assert (shop.folder / "qlan.yaml").read_text() == LAB
    shop.qlan("init", "--force")
    assert (shop.folder / "qlan.yaml").read_text() != LAB


def test_init_refuses_a_bad_name(place: Place) -> None:
    done = place.qlan("init", "--lab", "a/b", check=False)
    assert done.returncode == 2
    assert "`a/b` cannot be a lab's name" in done.stderr
    assert not (place.folder / "qlan.yaml").exists()


def test_check(shop: Place) -> None:
    assert shop.qlan("check").stdout == "qlan.yaml: fine: 2 networks, 3 guests\n"
    (shop.folder / "qlan.yaml").write_text("lab: shop\nguests: {web: {nics: [lan]}}\nnetwork: {}\n")
    done = shop.qlan("check", check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert re.search(r"^qlan\.yaml:3:1: .*`network`", done.stdout, re.MULTILINE)
    assert "  hint: did you mean `networks`?" in done.stdout
    assert data_of_check(shop)[-1]["line"] == 3


def test_check_by_root_with_nobody_to_run_qemu(shop: Place) -> None:
    if not IS_ROOT:
        pytest.skip("an ordinary user is that somebody")
    (shop.folder / "qlan.yaml").write_text("guests: {web: {nics: [lan]}}\n")
    environment = {name: value for name, value in shop.environment.items() if name != "SUDO_UID"}
    done = shop.run("env", "-i", *(f"{name}={value}" for name, value in environment.items()), *qlan_words(), "check",
                    check=False)  # fmt: skip
    assert done.returncode == 2
    assert "there is no network `lan`" in done.stdout
    assert "QEMU never runs as root" in done.stdout


def test_check_changes_nothing(shop: Place) -> None:
    shop.qlan("check")
    assert not shop.state_dir.exists()
    assert not shop.run_dir.exists()


def test_schema(place: Place) -> None:
    assert "guests" in json.loads(place.qlan("check", "--schema").stdout)["properties"]


# --- plan, up, down


def test_plan_up_up_down_down(shop: Place) -> None:
    planned = shop.qlan("plan").stdout
    assert "+ bridge/lan  mac=" in planned
    assert "+ machine/lone  " in planned
    assert planned.endswith(" to create\n")
    first = shop.qlan("up", "--no-wait")
    assert re.fullmatch(rf"lab shop is up \({REALM}, \d+\.\d s\)\n", first.stdout)
    assert "+machine/" in first.stderr
    assert "\r" not in first.stderr
    assert shop.qlan("up").stdout == "lab shop: nothing to do\n"
    assert shop.qlan("plan").stdout == "lab shop: nothing to do\n"
    down = shop.qlan("down", "--force")
    assert re.fullmatch(r"lab shop: removed 3 guests, 1 server, 2 bridges(, \d+ namespaces?)?, 3 TAPs\n", down.stdout)
    assert shop.processes() == []
    again = shop.qlan("down")
    assert (again.stdout, again.stderr) == ("lab shop: nothing is up\n", "")


def test_plan_and_up_as_json(shop: Place) -> None:
    plan = data(shop, "plan")
    up = data(shop, "up", "--no-wait")
    assert [one["key"] for one in up["steps"]] == [one["key"] for one in plan["steps"]]  # type: ignore[attr-defined]
    assert (up["lab"], up["realm"], up["postponed"]) == ("shop", REALM, {})
    down = shop.qlan("down", "--force", "--json")
    assert "machine/web" in json.loads(down.stdout)["removed"]
    assert down.stderr == ""


def test_plan_as_a_script(shop: Place) -> None:
    script = shop.qlan("plan", "--script").stdout
    assert script.startswith("#!/bin/sh\n")
    assert "ip -batch" in script
    assert "-name web" in script


@pytest.mark.parametrize("words", [("attach", "web", "lann"), ("move", "web/0", "lann")])
def test_a_nic_on_a_network_that_is_not_there(shop_up: Place, words: tuple[str, ...]) -> None:
    done = shop_up.qlan("nic", *words, check=False)
    assert done.returncode == 2
    assert done.stderr == "qlan: error: lab `shop` has no network `lann`\n  hint:  did you mean `lan`?\n"


def test_up_of_some_guests(shop: Place) -> None:
    shop.qlan("up", "--no-wait", "db")
    assert [one["name"] for one in labs(shop)[0]["guests"]] == ["db"]
    shop.qlan("up", "--no-wait", "shop/lone")
    assert {one["name"] for one in labs(shop)[0]["guests"]} == {"db", "lone"}
    assert shop.qlan("down", "--force", "db").stdout.startswith("lab shop: removed 1 guest")
    assert shop.qlan("down", "db").stdout == "lab shop: db is not up\n"
    assert [one["name"] for one in labs(shop)[0]["guests"]] == ["lone"]
    wrong = shop.qlan("down", "dbb", check=False)
    assert wrong.stderr == "qlan: error: no guest `dbb` in lab `shop`\n  hint:  did you mean `db`?\n"


def test_up_tells_what_each_guest_has(shop: Place) -> None:
    """db has static addresses and user-mode networking, lone nothing: there is no lease to wait for."""
    done = shop.qlan("up", "db", "lone")
    assert re.search(r"^db: back up, user up, \d+\.\d s$", done.stdout, re.MULTILINE)
    assert re.search(r"^lone: no NIC$", done.stdout, re.MULTILINE)


def test_up_on_a_terminal_writes_over_one_line(shop: Place) -> None:
    with Terminal(shop, "up", "--no-wait") as terminal:
        assert terminal.wait() == 0
    assert terminal.said.startswith(b"\r\x1b[K")
    assert b"bringing up shop" in terminal.said
    assert b"lab shop is up" in terminal.said.rpartition(b"\x1b[K")[2]


def test_a_change_of_a_running_guest_is_postponed(shop_up: Place) -> None:
    file = shop_up.folder / "qlan.yaml"
    file.write_text(file.read_text().replace("memory: 16M", "memory: 24M", 1))
    assert "edited: the file was changed" in shop_up.qlan("status").stdout
    done = shop_up.qlan("up")
    assert done.stdout.startswith("web: runs as it was; the file has changed its ")
    assert done.stdout.endswith("to restart it: qlan up --restart\n")
    assert "16 MiB" in shop_up.qlan("show", "web").stdout
    shop_up.qlan("up", "--restart", "--no-wait")
    assert "24 MiB" in shop_up.qlan("show", "web").stdout


def test_restart(shop_up: Place) -> None:
    before = {one["name"]: one["pid"] for one in labs(shop_up)[0]["guests"]}
    done = shop_up.qlan("restart", "db", "--force")
    assert done.stdout.startswith("restarted db (")
    after = {one["name"]: one["pid"] for one in labs(shop_up)[0]["guests"]}
    assert [name for name in before if before[name] != after[name]] == ["db"]


def test_a_lab_from_anywhere(shop_up: Place) -> None:
    file = shop_up.folder / "qlan.yaml"
    shop_up.folder = Path("/")
    assert shop_up.qlan("status").stdout.startswith("lab shop  ")
    assert shop_up.qlan("plan", "-l", "shop").stdout == "lab shop: nothing to do\n"
    assert shop_up.qlan("-f", str(file), "plan").stdout == "lab shop: nothing to do\n"
    assert "guest db of lab shop: running" in shop_up.qlan("show", "db").stdout
    assert shop_up.qlan("down", "-l", "shop", "--force").returncode == 0
    assert shop_up.qlan("down", "-l", "shop").stdout == "lab shop: nothing is up\n"
    assert shop_up.qlan("down", "-l", "shop", "--forget").stdout == "lab shop: nothing is up, and forgotten\n"
    assert not shop_up.state_dir.exists()
    assert shop_up.qlan("down", "-l", "shop", check=False).returncode == 2


def test_down_works_with_a_broken_file(shop_up: Place) -> None:
    (shop_up.folder / "qlan.yaml").write_text("lab: [")
    assert "lab shop" in shop_up.qlan("status").stdout
    shop_up.qlan("down", "--force")
    assert shop_up.processes() == []


# --- status, show, log


def labs(place: Place) -> list[dict[str, list[dict[str, object]]]]:
    found = data(place, "status", "--all")["labs"]
    assert isinstance(found, list)
    return found


def test_status(shop_up: Place) -> None:
    lines = shop_up.qlan("status").stdout.splitlines()
    assert lines[0] == f"lab shop  {REALM}  {shop_up.folder / 'qlan.yaml'}"
    assert lines[1].split() == ["GUEST", "STATE", "NIC", "NETWORK", "MODEL", "MAC", "ADDRESS", "LINK", "FORWARDS"]
    assert re.match(r"web +running  0 +lan      virtio  52:\S+  10\.79\.0\.\d+ \(reserved\) +up$", lines[2])
    assert re.match(r" +fd[0-9a-f:]+ \(slaac\)$", lines[3])
    assert re.match(r" +1 +back     e1000 ", lines[4])
    assert re.match(r"db +running  0 +back     virtio  52:\S+  10\.80\.0\.2 \(static\) +up$", lines[5])
    assert re.search(r"10\.0\.2\.15 \(built in\) +up +127\.0\.0\.1:\d+ -> 22/tcp$", lines[6])
    assert re.match(r"lone +running  none$", lines[7])
    assert len(lines) == 8


def test_status_of_what_is_not_up(shop: Place) -> None:
    assert shop.qlan("status").stdout == "lab shop is not up (qlan up brings it up)\n"
    assert data(shop, "status") == {"labs": [{"lab": "shop", "state": "down", "guests": []}]}
    assert shop.qlan("status", "--all").stdout == "no lab is up\n"


def test_status_shows_drift(shop_up: Place) -> None:
    os.kill(int(str(guest(shop_up, "lone")["pid"])), 9)
    text = shop_up.qlan("status").stdout
    assert re.search(r"^lone +stopped +none$", text, re.MULTILINE)
    assert "drift: changed since `up`; `qlan up` repairs it:\n  + machine/lone" in text
    shop_up.qlan("up", "--no-wait")
    assert "drift" not in shop_up.qlan("status").stdout


def guest(place: Place, name: str) -> dict[str, object]:
    return next(one for one in labs(place)[0]["guests"] if one["name"] == name)


@pytest.mark.parametrize("columns, wide", [(140, True), (79, False), (40, False)])
def test_status_fits_the_terminal(shop_up: Place, columns: int, wide: bool) -> None:
    with Terminal(shop_up, "status", columns=columns) as terminal:
        assert terminal.wait() == 0
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in terminal.said.decode().split("\r\n")]
    assert ("STATE" in lines[1]) is wide
    whole = re.compile(r"lab |.*\bfd[0-9a-f:]{30}")  # an IPv6 address is not cut
    assert all(len(line) <= columns for line in lines if not whole.match(line))
    assert any("10.80.0.2" in line for line in lines)


def test_colours_only_for_who_wants_them(shop_up: Place) -> None:
    with Terminal(shop_up, "status") as terminal:
        terminal.wait()
    assert b"\x1b[1m" in terminal.said
    os.environ["NO_COLOR"] = "1"
    try:
        with Terminal(shop_up, "status") as terminal:
            terminal.wait()
    finally:
        del os.environ["NO_COLOR"]
    assert b"\x1b" not in terminal.said
    assert "\x1b" not in shop_up.qlan("status").stdout


def test_show_guest(shop_up: Place) -> None:
    text = shop_up.qlan("show", "web").stdout
    assert re.search(r"^NIC 0: lan, virtio-net-pci, 52:\S+, link up$", text, re.MULTILINE)
    assert re.search(r"^  address     10\.79\.0\.\d+/24 \(reserved\)$", text, re.MULTILINE)
    assert "  gateway     none\n  DNS         10.79.0.1\n  domain      shop\n" in text
    path = "vnet header yes, offloads none yet, the guest's driver takes them, vhost no, queues 1, option ROM none"
    assert f"{path}, MTU 1500" in text


def test_show_one_nic(shop_up: Place) -> None:
    nics = data(shop_up, "show", "web")["guest"]["nics"]  # type: ignore[index]
    assert len(nics) == 2
    for name in ("web/1", "shop/web/1"):
        assert data(shop_up, "show", name)["guest"]["nics"] == nics[1:]  # type: ignore[index]
    text = shop_up.qlan("show", "web/1").stdout
    assert "NIC 1: " in text
    assert "NIC 0: " not in text
    assert (
        "guest `web` has no NIC 7\n  hint:  its NICs: 0 (lan), 1 (" in shop_up.qlan("show", "web/7", check=False).stderr
    )
    assert "no guest `lan`" in shop_up.qlan("show", "lan/0", check=False).stderr
    assert "guest web of lab shop" in shop_up.qlan("show", "shop/web").stdout
    assert "its NICs: 0 (lan)" in shop_up.qlan("show", "web/7", "-l", "shop", check=False).stderr


def test_show_says_what_to_type_into_a_guest_that_nobody_tells(shop_up: Place) -> None:
    text = shop_up.qlan("show", "db").stdout
    assert "  address     10.80.0.2/24 (static)\n  gateway     none\n  DNS         none\n" in text
    assert "by hand     nothing tells the guest its address" in text
    assert "ip address add 10.80.0.2/24 dev IFACE" in text
    nics = data(shop_up, "show", "db")["guest"]["nics"]  # type: ignore[index]
    assert (nics[1]["address"], nics[1]["gateway"], nics[1]["dns"]) == ("10.0.2.15/24", "10.0.2.2", ["10.0.2.3"])


def test_show_network(shop: Place) -> None:
    """The same words, whether it is up or not."""
    before = shop.qlan("show", "lan").stdout
    assert "network lan: host-only" in before
    assert re.search(r"^  DHCP        10\.79\.0\.\d+-10\.79\.0\.254, leases last 60 min", before, re.MULTILINE)
    assert "  guests      reach each other and this machine, and nothing else\n  members     web (NIC 0)\n" in before
    shop.qlan("up", "--no-wait")
    assert shop.qlan("show", "lan").stdout == before
    assert data(shop, "show", "back")["network"]["reach"] == {  # type: ignore[index]
        "guests": True, "host": False, "outside": False, "from_host": False, "from_outside": False, "outside6": False,
    }  # fmt: skip
    done = shop.qlan("show", "lann", check=False)
    assert done.stderr == (
        "qlan: error: lab `shop` has no guest and no network `lann`\n  hint:  did you mean `lan`?\n"
    )  # fmt: skip


def test_log(shop_up: Place) -> None:
    assert shop_up.qlan("log", "web").stdout == ""
    assert "dnsmasq" in shop_up.qlan("log", "lan").stdout
    assert len(shop_up.qlan("log", "lan", "-n", "1").stdout.splitlines()) == 1
    assert shop_up.qlan("log", "lan", "-n", "0").stdout == ""
    assert "dnsmasq" in data(shop_up, "log", "lan")["lines"][0]  # type: ignore[index]
    done = shop_up.qlan("log", "back", check=False)
    assert done.stderr.startswith("qlan: error: network `back` has no such log\n")
    assert "only a guest has a serial line" in shop_up.qlan("log", "lan", "--serial", check=False).stderr


def test_log_follows_until_the_guest_is_gone(shop_up: Place) -> None:
    with Terminal(shop_up, "log", "-f", "lan") as terminal:
        terminal.expect(b"dnsmasq")
        shop_up.qlan("down", "--force")
        assert terminal.wait() == 0


# --- exec, ssh


def test_exec_is_where_the_bridges_are(shop_up: Place) -> None:
    done = shop_up.qlan("exec", "--", "ip", "-j", "address")
    assert "10.79.0.1" in done.stdout
    assert shop_up.qlan("exec", "sh", "-c", "exit 7", check=False).returncode == 7
    if not IS_ROOT:
        assert "10.79.0.1" not in shop_up.run("ip", "-j", "address").stdout


def test_exec_without_a_network(place: Place) -> None:
    (place.folder / "qlan.yaml").write_text(f"lab: alone\n{USER_LINE}guests: {{box: {{{PAUSED}}}}}\n")
    before = place.qlan("exec", "true", check=False)
    assert before.returncode == (0 if IS_ROOT else 2)
    place.qlan("up", "--no-wait")
    done = place.qlan("exec", "true", check=False)
    if IS_ROOT:
        assert done.returncode == 0
    else:
        assert "lab `alone` has no network of its own to go into" in done.stderr


def fake_ssh(place: Place) -> Path:
    """An ssh that prints its words, a line each."""
    tool = place.folder / "bin" / "ssh"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    return tool.parent


def ssh_words(place: Place, *words: str) -> list[str]:
    folder = fake_ssh(place) if not (place.folder / "bin").exists() else place.folder / "bin"
    path = f"PATH={folder}:{os.environ['PATH']}"
    return place.run("env", path, *qlan_words(), "ssh", *words).stdout.splitlines()


def qlan_words() -> list[str]:
    import sys

    return [sys.executable, "-m", "qlan"]


def test_ssh_takes_the_forward(shop_up: Place) -> None:
    words = ssh_words(shop_up, "db", "-u", "root", "ls", "-l")
    port = re.search(r"127\.0\.0\.1:(\d+) -> 22/tcp", shop_up.qlan("status").stdout)
    assert port
    assert words[:2] == ["-p", port[1]]
    assert "HostKeyAlias=db.shop" in words
    assert f"UserKnownHostsFile={shop_up.run_dir / 'shop' / 'guest' / 'db' / 'known_hosts'}" in words
    assert words[-6:] == ["-l", "root", "127.0.0.1", "--", "ls", "-l"]
    assert ssh_words(shop_up, "shop/root@db")[-3:] == ["-l", "root", "127.0.0.1"]
    assert ssh_words(shop_up, "db", "--", "-x")[-3:] == ["127.0.0.1", "--", "-x"]


def test_ssh_goes_through_the_labs_network(shop_up: Place) -> None:
    words = ssh_words(shop_up, "web")
    assert re.fullmatch(r"10\.79\.0\.\d+", words[-1])
    proxied = [word for word in words if word.startswith("ProxyCommand=")]
    if IS_ROOT:
        assert proxied == []
    else:
        assert proxied[0].endswith(f" -P -m qlan.cli.dial shop {words[-1]} 22 web")
        assert "ProxyUseFdpass=yes" in words


def test_ssh_without_a_way(shop_up: Place) -> None:
    done = shop_up.qlan("ssh", "lone", check=False)
    assert done.returncode == 2
    assert "there is no way to the SSH server of `lone`" in done.stderr
    assert "no guest `nobody` is up" in shop_up.qlan("ssh", "nobody", check=False).stderr


def test_a_guest_of_two_labs_must_be_said(shop_up: Place) -> None:
    other = shop_up.folder / "other"
    other.mkdir()
    (other / "qlan.yaml").write_text(f"lab: two\n{USER_LINE}guests: {{db: {{{PAUSED}, nics: none}}}}\n")
    shop_up.qlan("up", "--no-wait", "-f", str(other / "qlan.yaml"))
    shop_up.folder = Path("/")
    done = shop_up.qlan("log", "db", check=False)
    assert done.stderr == "qlan: error: several labs have a guest `db`\n  hint:  say which: shop/db, two/db\n"
    assert shop_up.qlan("log", "two/db").returncode == 0
    shop_up.qlan("down", "-l", "two", "--force")


def test_exec_of_a_guest_is_told_apart_from_a_program(shop_up: Place) -> None:
    done = shop_up.qlan("exec", "web", "--", "ping", "-c1", "10.10.10.1", check=False)
    assert done.returncode == 2
    assert "`exec` runs programs of this machine, and `web` is a guest" in done.stderr
    assert "qlan ssh web ping -c1 10.10.10.1" in done.stderr


def test_a_usb_card_for_a_guest_without_a_controller(shop_up: Place) -> None:
    done = shop_up.qlan("nic", "attach", "web", "lan", "--model", "usb-net", check=False)
    assert done.returncode == 4
    assert "guest `web` cannot take this while it runs: it was started without a USB controller" in done.stderr
    assert "write `hotplug: 1` at the guest in the file" in done.stderr


@pytest.mark.parametrize("words", ["status shop", "down shop", "nic list shop", "show shop"])
def test_a_lab_where_none_is_wanted(shop_up: Place, words: str) -> None:
    done = shop_up.qlan(*words.split(), check=False)
    assert done.returncode == 2
    assert "\n  hint:  `shop` is a lab: -l shop names it; " in done.stderr


def test_who_names_the_lab_is_not_told_how(shop_up: Place) -> None:
    hint = "\n  hint:  did you mean `lan`?\n"
    for words in (["-l", "shop", "nic", "attach", "web", "lam"], ["nic", "attach", "shop/web", "lam"]):
        assert shop_up.qlan(*words, check=False).stderr.endswith(f"lab `shop` has no network `lam`{hint}")


# --- hints that can be followed


def test_hints_of_partition_and_reverse(shop_up: Place) -> None:
    """A `/` stands between sides, and a port that a guest must know is never `auto`."""
    hints = [
        shop_up.qlan(*words, check=False).stderr.splitlines()[-1]
        for words in (("partition", "WEB", "/", "db"), ("partition", "shop/web", "/", "db"),
                      ("forward", "add", "web", "0:22", "--reverse"))
    ]  # fmt: skip
    assert hints == ["  hint:  did you mean `web`, of lab shop?",
                     "  hint:  `/` stands between the sides here: -l shop names the lab",
                     "  hint:  write the port that the guest connects to: 8080:80"]  # fmt: skip


def test_a_forward_into_a_nic_by_its_network(shop_up: Place) -> None:
    done = data(shop_up, "forward", "add", "db", "auto:23", "--nic", "user")
    assert [(one["guest"], one["nic"], one["guest_port"]) for one in done["add"]] == [("db", 1, 23)]  # type: ignore[attr-defined]
    wrong = shop_up.qlan("forward", "add", "db", "auto:24", "--nic", "wan", check=False)
    assert wrong.stderr == "qlan: error: guest `db` has no NIC `wan`\n  hint:  its NICs: 0 (back), 1 (user)\n"
