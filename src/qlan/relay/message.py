"""What both ends of the control socket know of its messages (relay/control.py); who asks loads no more of the relay."""

from __future__ import annotations

FDS_MAX = 250  # in a message; SCM_MAX_FD is 253, net/scm.h
MESSAGE_MAX = 128 << 10
