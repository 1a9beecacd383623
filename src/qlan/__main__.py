"""`python3 -m qlan`."""

import sys

from qlan.cli.main import main

sys.exit(main())
