"""The two Linux process attributes that keep children from outliving their supervisor (prctl(2)).

Elsewhere (`AVAILABLE` is False) processes are stopped all the same, but one that left its group is not found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

AVAILABLE = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# Bound at import, so that nothing is looked up between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if AVAILABLE else None


def _set(option: int, value: int) -> None:
    if _prctl is not None and _prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends."""
    _set(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Let this process be killed when `parent`, its parent, ends; if that has ended already, end at once.

    The kernel ties this to the thread that is the parent now, so a child that is to be adopted calls it afterwards.
    """
    _set(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
