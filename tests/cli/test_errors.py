"""What goes wrong is said in three lines, with an exit status that tells who must act."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from ..kernel.place import Place
from .conftest import LAB, USER_LINE, Terminal

UNKNOWN_LAB = "qlan: error: no lab `nosuch` is up\n  hint:  up now: none\n"


@pytest.mark.parametrize(
    "words, said",
    [
        (["upp"], "qlan: error: there is no verb `upp`\n  hint:  did you mean `qlan up`?\n"),
        (["--foo"], "qlan: error: there is no option `--foo`\n  hint:  qlan --help\n"),
        (["status", "--jsno"], "qlan: error: unrecognized arguments: --jsno\n  hint:  did you mean `--json`?\n"),
        (["up", "--js"], "qlan: error: unrecognized arguments: --js\n  hint:  did you mean `--json`?\n"),
        (["up", "--timeout", "soon"], "qlan: error: argument --timeout: `soon` is not a time in seconds, like 30 or "
         "0.5\n  hint:  qlan up --help\n"),
        (["status", "-l", "nosuch"], UNKNOWN_LAB),
        (["-l", "nosuch", "status"], UNKNOWN_LAB),
        (["--lab=nosuch", "status"], UNKNOWN_LAB),
        (["status", "-l", "../../etc"], "qlan: error: no lab `../../etc` is up\n  hint:  up now: none\n"),
        (["check"], "qlan: error: there is no qlan.yaml here or in a parent folder\n"
         "  hint:  `qlan init` writes one; -f FILE names another\n"),
        (["up", "-f", "nosuch.yaml"], "nosuch.yaml:1:1: there is no such file\n  hint: `qlan init` writes one; "
         "`-f FILE` names another\nqlan: error: 1 problem in the topology\n"),
        (["up", "a/x", "b/y"], "qlan: error: several labs are named: a, b\n  hint:  one lab at a time\n"),
        (["up", "x", "b/y"], "qlan: error: either all guests are named with their lab or none: x b/y\n"
         "  hint:  write b/x b/y\n"),
        (["exec"], "qlan: error: no command is named\n  hint:  write one: qlan exec -- ip address\n"),
        (["run"], "qlan: error: nothing to start is named\n  hint:  qlan run DISK, or qlan run --kernel FILE\n"),
        (["run", "x.img", "--nic", "lan"], "qlan: error: `--nic lan` names a network, and a guest of `qlan run` stands "
         "alone\n  hint:  `--nic user`, `--nic none`; or put both into a qlan.yaml (`qlan init`)\n"),
        (["run", "x.img", "--memory", "5"], "qlan: error: --memory: `5` has no unit\n  hint:  write `5M` or `5G`\n"),
        (["run", "x.img", "--cpus", "0"], "qlan: error: --cpus: 0 is not from 1 to 1024\n"),
        (["nic", "list", "a", "b"], "qlan: error: `b` is a word too many for `qlan nic list`\n"
         "  hint:  one guest, or none\n"),
        (["-f", "nofile"], "qlan: error: `qlan -f nofile` names no verb\n"
         "  hint:  say what to do: qlan -f nofile status; `qlan --help` lists the verbs\n"),
        (["--lab=shop"], "qlan: error: `qlan --lab=shop` names no verb\n"
         "  hint:  say what to do: qlan --lab=shop status; `qlan --help` lists the verbs\n"),
        (["-l"], "qlan: error: `qlan -l` names no verb\n"
         "  hint:  say what to do: qlan -l LAB status; `qlan --help` lists the verbs\n"),
        (["impair", "web/0", "--loss", "-1%"], "qlan: error: --loss: `-1%` is no share of the frames\n"
         "  hint:  write it like `1%` or `0.1%`, at most `100%`\n"),
        (["impair", "web/0", "--delay", "-5ms"], "qlan: error: --delay: `-5ms` is not a delay\n"
         "  hint:  write it like `50ms`, `1.5s` or `200us`; at most a minute\n"),
        (["impair", "web/0", "--delay", "99999999999999999999s"], "qlan: error: --delay: `99999999999999999999s` is "
         "not a delay\n  hint:  write it like `50ms`, `1.5s` or `200us`; at most a minute\n"),
        (["run", "x.img", "--memory", "-5M"], "qlan: error: --memory: `-5M` is not a size\n"
         "  hint:  write it like `512M` or `1G`\n"),
        (["capture", "web", "--for", "-1s"], "qlan: error: argument --for: `-1s` is not a time like 30s, 5m or 1h, or "
         "0.5 for half a second\n  hint:  qlan capture --help\n"),
        (["capture", "web", "--for", "99999999999999999999h"], "qlan: error: argument --for: `99999999999999999999h` "
         "is too long: at most 1000000000 seconds, some 30 years\n  hint:  qlan capture --help\n"),
        (["forward", "list", "--reverse"], "qlan: error: `forward list` takes no --reverse: it shows all, of both "
         "sorts\n  hint:  qlan forward list [GUEST]\n"),
        (["forward", "list", "--save"], "qlan: error: `forward list` takes no --save: it shows all, of both "
         "sorts\n  hint:  qlan forward list [GUEST]\n"),
        (["forward", "list", "--nic", "0"], "qlan: error: `forward list` takes no --nic: it shows all, of both "
         "sorts\n  hint:  qlan forward list [GUEST]\n"),
        (["forward", "remove", "web", "8080", "--nic", "1"], "qlan: error: --nic is for `qlan forward add`\n"
         "  hint:  leave it out: the port says which forward is meant\n"),
        (["ssh"], "qlan: error: the following arguments are required: GUEST\n  hint:  qlan ssh --help\n"),
        (["args", "lan", "-p", "2222:22"], "qlan: error: no NIC has user-mode networking to forward into\n"
         "  hint:  name one: qlan args lan user -p 2222:22\n"),
        (["args", "none", "user"], "qlan: error: `none` means no NIC at all, and others stand beside it\n"
         "  hint:  qlan args none, or without it\n"),
    ],
)  # fmt: skip
def test_wrong_words(place: Place, words: list[str], said: str) -> None:
    done = place.qlan(*words, check=False)
    assert (done.stderr, done.stdout, done.returncode) == (said, "", 2)


def test_what_is_called_as_the_file_and_is_none(place: Place) -> None:
    path = place.folder / "qlan.yaml"
    path.mkdir()
    said = [place.qlan("check", check=False).stderr]
    path.rmdir()
    path.symlink_to("nowhere")
    said.append(place.qlan("check", check=False).stderr)
    hint = "  hint:  -f FILE names another\n"
    assert said == [f"qlan: error: qlan.yaml is a folder\n{hint}",
                    f"qlan: error: qlan.yaml is no file, or a link to none\n{hint}"]  # fmt: skip


def test_help_behind_the_lab(place: Place) -> None:
    assert place.qlan("-l", "shop", "--help").stdout == place.qlan("--help").stdout


@pytest.mark.parametrize("words", [("--confirm-within", "5"), ("--confirm-by-gateway",), ("--managed",)])
def test_words_about_a_nic_of_this_machine_that_nothing_wants(shop: Place, words: tuple[str, ...]) -> None:
    done = shop.qlan("up", "--no-wait", *words, check=False)
    assert done.stderr == (f"qlan: error: {words[0]} is for networks of `kind: public`, and lab `shop` has none\n"
                           "  hint:  leave it out: no NIC of this machine is touched\n")  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")


def test_folders_in_place_of_files_are_named_together(place: Place) -> None:
    user = USER_LINE + "guests:\n"
    (place.folder / "qlan.yaml").write_text(f"lab: shop\n{user}  web: {{disk: .}}\n  db: {{kernel: ./nope}}\n")
    lines = [line for line in place.qlan("up", check=False).stderr.splitlines() if line.startswith("qlan.yaml:")]
    assert [line.partition(": ")[2].replace(str(place.folder), "X") for line in lines] == [
        "guest `web`: the disk `X` is a folder", "guest `db`: there is no kernel `X/nope`"
    ]  # fmt: skip
    run_as = ["--user", USER_LINE.split()[1]] if USER_LINE else []
    done = place.qlan("run", ".", "--name", "box", *run_as, check=False)
    assert done.stderr.splitlines()[0].endswith(" is a folder")
    assert done.returncode == 2


def test_bare_qlan_shows_help_and_fails(place: Place) -> None:
    done = place.qlan(check=False)
    assert done.stdout.startswith("usage: qlan VERB [OPTIONS]")
    assert done.returncode == 2


def test_all_problems_of_a_file_at_once(shop: Place) -> None:
    file = shop.folder / "qlan.yaml"
    file.write_text(file.read_text().replace("kind: host-only", "kind: hostonly").replace("model:", "modle:"))
    done = shop.qlan("up", check=False)
    lines = done.stderr.splitlines()
    places = [line.split(": ")[0] for line in lines if line.startswith("qlan.yaml:")]
    assert len(places) == 2
    assert places == sorted(places, key=lambda text: int(text.split(":")[1]))
    assert "  hint: did you mean `host-only`?" in lines
    assert "  hint: did you mean `model`?" in lines
    assert lines[-1] == "qlan: error: 2 problems in the topology"
    assert (done.returncode, done.stdout) == (2, "")


def test_problems_carry_the_place_from_where_one_stands(shop: Place) -> None:
    (shop.folder / "qlan.yaml").write_text(LAB.replace("lab: shop", "labb: shop"))
    below = shop.folder / "a" / "b"
    below.mkdir(parents=True)
    done = subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "check"], env=shop.environment, cwd=below,
                          text=True, capture_output=True, check=False)  # fmt: skip
    assert done.stdout.startswith("../../qlan.yaml:1:1: ")


def test_json_errors_are_one_object_on_standard_error(shop: Place) -> None:
    done = shop.qlan("status", "-l", "nosuch", "--json", check=False)
    assert json.loads(done.stderr) == {
        "error": {"kind": "UsageError", "exit_status": 2, "what": "no lab `nosuch` is up", "where": "",
                  "hint": "up now: none"}
    }  # fmt: skip
    (shop.folder / "qlan.yaml").write_text("lab: [\n")
    done = shop.qlan("up", "--json", check=False)
    [problem] = json.loads(done.stderr)["error"]["problems"]
    assert (problem["file"], problem["line"]) == ("qlan.yaml", 2)
    assert done.stdout == ""


def test_json_of_somebody_else_is_not_ours(shop: Place) -> None:
    done = shop.qlan("exec", "-l", "nosuch", "--", "x", "--json", check=False)
    assert done.stderr == UNKNOWN_LAB


def test_a_bug_leaves_a_traceback_and_status_70(place: Place) -> None:
    code = (
        "import qlan.cli.status as s, sys; s.run = lambda _: 1 // 0; from qlan.cli.main import main; sys.exit(main())"
    )
    done = place.run(sys.executable, "-c", code, "status", check=False)
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.endswith(
        "qlan: this is a bug of qlan: please report it, with the text above and what you typed\n"
    )


def test_a_folder_that_is_closed_to_us_is_no_bug_and_no_other_labs_matter(shop_up: Place) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    other = shop_up.folder / "other.yaml"
    other.write_text("lab: other\nnetworks: {lan: {kind: host-only, subnet: 10.99.0.0/24}}\n")
    run = shop_up.run_dir / "shop"
    for folder in (run / "guest" / "web", run):
        mode = folder.stat().st_mode
        folder.chmod(0)
        try:
            for verb in ("status", "up", "down"):
                done = shop_up.qlan(verb, check=False)
                assert done.returncode == 3, done.stderr
                what, where, hint = done.stderr.splitlines()
                assert what == "qlan: error: Permission denied"
                assert hint.removeprefix("  hint:  who may go there: namei -l ") == where.removeprefix("  where: ")
                assert str(folder) in where
            assert "bridge/lan" in shop_up.qlan("plan", "-f", str(other)).stdout
        finally:
            folder.chmod(mode)
    assert "nothing to do" in shop_up.qlan("plan").stdout, "something was done meanwhile"


@pytest.mark.parametrize("words", ["init", "run disk.qcow2", "args lan", "down -f x.yaml", "status"])
def test_in_a_folder_that_was_removed(place: Place, words: str) -> None:
    gone = place.folder / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from qlan.cli.main import main; sys.exit(main())"
    done = subprocess.run([*place.enter, sys.executable, "-c", code, *words.split()], env=place.environment, cwd=gone,
                          text=True, capture_output=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, "qlan: error: this folder was removed\n  hint:  cd to one that is there\n"
    )  # fmt: skip


def test_a_closed_pipe_is_no_reason_to_complain(shop: Place) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "plan"], stdout=write, stderr=subprocess.PIPE,
                          env=shop.environment, cwd=shop.folder, check=False)  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_pipe_does_not_take_a_lab_back(shop: Place) -> None:
    """Progress is for whoever listens; the lab is what was asked for."""
    read, write = os.pipe()
    os.close(read)
    subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "up", "--no-wait"], stdout=write, stderr=write,
                   env=shop.environment, cwd=shop.folder, check=False)  # fmt: skip
    os.close(write)
    assert shop.qlan("plan").stdout == "lab shop: nothing to do\n"


def test_interrupted_while_waiting(shop: Place) -> None:
    with Terminal(shop, "up") as terminal:
        terminal.expect(b"waiting for the network of")
        terminal.interrupt()
        assert terminal.wait() == 130
        assert b"qlan: interrupted: the lab stays up, but not all" in terminal.said
    assert "nothing to do" in shop.qlan("plan").stdout


def test_interrupted_while_making(shop: Place) -> None:
    """Stopped at the first batch of steps: what was made is taken back."""
    code = (
        "import os, signal, sys; from qlan.cli import progress;"
        "progress.Progress.steps = lambda self, steps: os.kill(os.getpid(), signal.SIGINT);"
        "from qlan.cli.main import main; sys.exit(main())"
    )
    done = shop.run(sys.executable, "-c", code, "up", check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("qlan: interrupted: the host was put back to what it was\n")
    assert "Traceback" not in done.stderr
    assert shop.processes() == []


def test_not_in_time(shop: Place) -> None:
    done = shop.qlan("up", "--timeout", "0.3", check=False)
    assert done.returncode == 8
    assert "qlan: error: no lease within 0 s: web's NIC 0 on lan" in done.stderr
    assert shop.processes() != []


def test_a_file_of_somebody_else_in_a_parent_folder(shop: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(shop.folder / "qlan.yaml", 12345, -1)
    below = shop.folder / "below"
    below.mkdir()
    environment = {name: value for name, value in shop.environment.items() if name != "SUDO_UID"}
    done = subprocess.run([*shop.enter, sys.executable, "-m", "qlan", "plan"], env=environment, cwd=below, text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "this file belongs to someone else" in done.stderr


def test_a_terminated_console_gives_the_terminal_back(shop_up: Place) -> None:
    import termios

    with Terminal(shop_up, "console", "web") as terminal:
        before = termios.tcgetattr(terminal.slave)
        terminal.expect(b"Ctrl-] detaches")
        terminal.type(b"\r")  # the loop is entered when this is taken
        for _ in range(100):
            if termios.tcgetattr(terminal.slave) != before:
                break
            signal.sigtimedwait([], 0.05)
        assert termios.tcgetattr(terminal.slave)[3] & termios.ECHO == 0
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
        assert termios.tcgetattr(terminal.slave) == before
