"""When a supervisor that belongs to nobody ends: so long after it was last seen in use. Pure."""

from __future__ import annotations

_LOOK_EVERY_S = 1.0


class IdleClock:
    """Counts the time without use, in seconds of the caller's clock, from the first answer on; `due`: look again."""

    def __init__(self, idle_s: float, now: float) -> None:
        self._idle_s = idle_s
        self._last_use: float | None = None
        self.due = now + _LOOK_EVERY_S

    def is_due(self, now: float) -> bool:
        """Tell whether to ask for the use now; asks once for each time that it falls due."""
        if now < self.due:
            return False
        self.due = now + _LOOK_EVERY_S
        return True

    def used(self, count: int, now: float) -> bool:
        """Take in how many use it now; True once nobody has for so long."""
        if count or self._last_use is None:
            self._last_use = now
        return now - self._last_use >= self._idle_s
