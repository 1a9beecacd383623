"""docs/command-lines.md names every warning, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_warning_is_documented() -> None:
    sources = [(ROOT / "src/qlan/cmdline" / name).read_text() for name in ("warn.py", "explain.py")]
    codes = {
        code
        for text in sources
        for code in re.findall(r'_warning\(\s*(?:card\.|plug\.)?\w+(?:\[0\])?,\s*"([\w-]+)"', text)
    }
    codes |= {code for text in sources for code in re.findall(r'code="([\w-]+)"', text)}
    documented = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/command-lines.md").read_text(), re.MULTILINE))
    assert codes == documented
    assert len(codes) > 20
