"""QMP by the QEMU project's own library (qemu.qmp); what we ask of it, in our words."""
