"""`qlan completion SHELL`: the line that makes a shell complete verbs, options, guests, networks and labs."""

from __future__ import annotations

import argparse
import sys

DESCRIPTION = """\
Print what makes your shell complete qlan's verbs and options, and the names of guests, networks and labs."""
EXAMPLES = """\
  eval "$(qlan completion bash)"                              in ~/.bashrc
  eval "$(qlan completion zsh)"                               in ~/.zshrc
  qlan completion fish > ~/.config/fish/completions/qlan.fish"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="your shell")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["qlan"], shell=args.shell) + "\n")
    return 0
