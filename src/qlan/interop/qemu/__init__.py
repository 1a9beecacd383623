"""QEMU's command lines and the shell scripts around them: `export_lab`, `import_sources`."""

from __future__ import annotations

from qlan.interop.qemu.read import import_sources
from qlan.interop.qemu.write import export_lab

__all__ = ["export_lab", "import_sources"]
