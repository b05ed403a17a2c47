"""Wakes one thread where what another one does takes long: by timerfd_create(2), which Python has from 3.13 on.

A thread that waits with a timeout must be woken to be given another one; here nobody wakes until time is really up.
"""

from __future__ import annotations

import ctypes
import os
import time

_CLOCK_MONOTONIC = 1
#: struct itimerspec: interval and value, each in seconds and nanoseconds. Nothing here repeats.
_Times = ctypes.c_long * 4
# Without giving up the interpreter's lock, which would cost more than the call.
_libc = ctypes.PyDLL(None, use_errno=True)
_create, _settime = _libc.timerfd_create, _libc.timerfd_settime


class Alarm:
    """Goes off `limit_s` seconds after the last `begin`, unless there was a `rest`. Raises OSError where there is none.

    `begin`, `rest` and `ring` are for the thread that works, `wait` and `is_early` for the one that sleeps.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._begun_at = 0.0
        #: It may go off without this, never the other way: who sets it says so before, who cancels it afterwards.
        self._is_set = False
        self._file: int = _create(_CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._file < 0:
            raise _error()

    def begin(self, now: float) -> None:
        """Note that something has begun (monotonic seconds)."""
        self._begun_at = now
        # Where one thing follows the other, what was set for the first serves them all: see `is_early`.
        if not self._is_set:
            self._is_set = True
            self._set(self._limit_s)

    def rest(self) -> None:
        """Let it not go off before the next `begin`."""
        if self._is_set:
            self._set(0)
            self._is_set = False

    def ring(self) -> None:
        """Have it go off now."""
        self._set(1e-6)

    def wait(self) -> None:
        """Sleep until it goes off; signals are handled meanwhile."""
        os.read(self._file, 8)
        self._is_set = False

    def is_early(self) -> bool:
        """Tell, after `wait`, whether what is being done began later than what it was set for; it goes off again."""
        left = self._begun_at + self._limit_s - time.monotonic()
        if left <= 0:
            return False
        self._is_set = True
        self._set(left)
        return True

    def close(self) -> None:
        """Give its descriptor back; nobody may wait for it any more."""
        os.close(self._file)

    def _set(self, seconds: float) -> None:
        whole, part = divmod(int(seconds * 1e9), 1_000_000_000)
        if _settime(self._file, 0, _Times(0, 0, whole, part), None) < 0:
            raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
