"""setgroups(2) in a rootless lab: the kernel refuses it there, and programs that drop rights give up (tcpdump).

There is only one user and one group in such a namespace, so there is nothing to drop: a seccomp filter answers the call
with success and does nothing (seccomp(2), linux/seccomp.h, linux/filter.h).
"""

from __future__ import annotations

import ctypes
import platform
import struct

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_ALLOW, _ERRNO_0 = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCH_AT = 0, 4  # struct seccomp_data
_CALL = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}  # AUDIT_ARCH_*, setgroups


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def pretend_setgroups() -> None:
    """From now on, in this process and what it becomes, setgroups succeeds without doing anything.

    On other processors than x86_64 and aarch64 nothing is changed.  OSError if the kernel has no seccomp.
    """
    if platform.machine() not in _CALL:
        return
    arch, number = _CALL[platform.machine()]
    code = b"".join(
        struct.pack("HBBI", *one)
        for one in (
            (_LOAD, 0, 0, _ARCH_AT),
            (_JUMP_IF_EQUAL, 0, 3, arch),
            (_LOAD, 0, 0, _NUMBER_AT),
            (_JUMP_IF_EQUAL, 0, 1, number),
            (_RETURN, 0, 0, _ERRNO_0),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")
