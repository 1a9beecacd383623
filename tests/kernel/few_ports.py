"""Runs a script, or qlan itself, as if a bridge had room for N NICs: a star of bridges then needs no thousand of them.

python3 few_ports.py N qlan WORDS...
python3 few_ports.py N SCRIPT WORDS...
"""

import runpy
import sys

from qlan.topology import ports

ports.PORTS = int(sys.argv[1])
name = sys.argv[2]
sys.argv = sys.argv[2:]
if name == "qlan":
    runpy.run_module("qlan", run_name="__main__", alter_sys=True)
else:
    runpy.run_path(name, run_name="__main__")
