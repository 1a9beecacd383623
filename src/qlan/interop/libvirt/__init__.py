"""libvirt's network and domain XML: `export_lab`, `import_sources`.  Files only; no libvirt is needed."""

from __future__ import annotations

from qlan.interop.libvirt.read import import_sources
from qlan.interop.libvirt.write import export_lab

__all__ = ["export_lab", "import_sources"]
