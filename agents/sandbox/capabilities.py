"""Root's special rights, given up: what a process may then do is what its user's files allow.

Owns the capabilities of this process (capabilities(7)). Leaves files to Landlock. Keeps: none comes back, not by
starting a program either.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 24, 47, 4
_VERSION_3 = 0x20080522
#: More than any kernel has: 41 in Linux 6.
_CAPABILITIES_MAX = 64


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


if _libc is not None:
    _prctl_call = _libc["prctl"]
    _prctl_call.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def drop_all() -> None:
    """Empty all five sets of this process, which has one thread. Raises OSError."""
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    for capability in range(_CAPABILITIES_MAX):
        if _prctl(_PR_CAPBSET_DROP, capability) != 0:
            number = ctypes.get_errno()
            if number == errno.EINVAL:
                break  # the kernel has no more
            if number == errno.EPERM:
                break  # without the right to it: an ordinary user, for whom the bounds are none that he could reach
            raise OSError(number, os.strerror(number))
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)  # EINVAL before Linux 4.3, which has no such set
    header, nothing = _Header(_VERSION_3, 0), (_Sets * 2)()
    if _libc.capset(ctypes.byref(header), nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, value: int) -> int:
    assert _libc is not None
    return int(_prctl_call(option, value, 0, 0, 0))
