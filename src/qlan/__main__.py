"""`python3 -m qlan`."""

from qlan.cli.main import program

program()
