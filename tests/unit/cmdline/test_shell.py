"""Shell text from tutorials."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlan.cmdline.shell import BadShell, place, quote, split_shell, words_of

TUTORIAL = """\
# Start the guest
user@host:~/vm$ sudo qemu-system-x86_64 -m 1G \\   # a gigabyte
>   -netdev user,id=n0,hostfwd=tcp::2222-:22 \\
    # the NIC
>   -device "virtio-net,netdev=n0" -name 'web server' $EXTRA > /dev/null 2>&1 &
$ ssh -p 2222 localhost; echo done
# qemu-img create x.qcow2 1G
# qemu-system-x86_64 -net nic x.qcow2
"""


def test_a_tutorial() -> None:
    commands = split_shell(TUTORIAL)
    texts = [[word.text for word in command.words] for command in commands]
    assert texts[0] == [
        "sudo", "qemu-system-x86_64", "-m", "1G", "-netdev", "user,id=n0,hostfwd=tcp::2222-:22", "-device",
        "virtio-net,netdev=n0", "-name", "web server", "$EXTRA",
    ]  # fmt: skip
    assert [word.text for word in commands[0].after] == [">", "/dev/null", "2>&1"]
    assert texts[1:3] == [["ssh", "-p", "2222", "localhost"], ["echo", "done"]]
    assert texts[-1] == ["qemu-system-x86_64", "-net", "nic", "x.qcow2"]
    assert commands[0].words[-1].expands


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("boot() { qemu -m 1; }\nboot", [["boot"], ["qemu", "-m", "1"], ["boot"]]),
        ("boot()\n{\n\tqemu -m 1\n}", [["boot"], ["qemu", "-m", "1"]]),
        ("{\tqemu -m 1;\t}", [["qemu", "-m", "1"]]),
        ("qemu -smp } -m { 1 }", [["qemu", "-smp", "}", "-m", "{", "1", "}"]]),
    ],
)
def test_braces_group_where_a_command_would_begin(text: str, commands: list[list[str]]) -> None:
    """Elsewhere they are words like others, as for every POSIX shell."""
    assert [[word.text for word in command.words] for command in split_shell(text)] == commands


def test_every_letter_knows_where_it_stood() -> None:
    text = 'a \'b c\'\\ d "e\\"f"$X'
    for command in split_shell(text):
        for word in command.words:
            for index, letter in enumerate(word.text):
                assert text[word.offset(index)] == letter


def test_place_counts_from_one() -> None:
    assert place("ab\ncd", 0) == (1, 1)
    assert place("ab\ncd", 4) == (2, 2)


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a $(b", "a `b"])
def test_not_closed(text: str) -> None:
    with pytest.raises(BadShell) as caught:
        split_shell(text)
    assert caught.value.offset == 2


@given(st.lists(st.text(alphabet="ab $'\"\\#;&|<>()\n=,~*", max_size=8), min_size=1, max_size=4))
def test_quoted_words_come_back(words: list[str]) -> None:
    words = ["x", *words]  # so that `a=` is an argument, not an assignment
    text = " ".join(quote(word) for word in words)
    assert [word.text for command in split_shell(text) for word in command.words] == words
    joined = " ".join(word.source for word in words_of(words))
    assert shlex.split(joined) == words
    for word in words_of(words):
        for index, letter in enumerate(word.text):
            assert joined[word.offset(index)] == letter


@settings(max_examples=25)
@given(st.lists(st.text(alphabet="ab'\"\\ ", max_size=6), min_size=1, max_size=3))
def test_as_a_real_shell_has_it(words: list[str]) -> None:
    """The same words as /bin/sh sees, for any text that it takes."""
    text = "printf '%s\\n' x " + " ".join(words)
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=False)
    try:
        commands = split_shell(text)
    except BadShell:
        assert done.returncode != 0
        return
    if done.returncode == 0 and not text.endswith("\\"):
        assert done.stdout.splitlines() == [word.text for word in commands[0].words[2:]]
