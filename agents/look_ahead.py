"""How far an agent looks ahead: how many tasks may wait in its hands while it works on another. Pure.

Tasks that are done at once cost more on their way than in their handlers: where an agent has a few of them in its
hands, they and their outcomes travel together. What waits there cannot be done by others, so it is never more than is
done in a moment. Behind any other task one may wait: the next one then begins at once, and the bus asks for it back
where another member becomes idle before.
"""

from __future__ import annotations

#: A handler that takes no longer is short.
SHORT_HANDLER_S = 0.005
#: So many tasks wait behind one whose handler isn't short.
AHEAD_MIN = 1
#: As many tasks wait as are done in about so long, by the mean of the last ones, and at most so many.
AHEAD_S, AHEAD_MAX = 0.004, 15
#: How much the last task counts for the mean.
MEAN_WEIGHT = 1 / 8


class LookAhead:
    """The mean of what handlers took lately; it begins, and begins anew after a long one, as if none were short."""

    def __init__(self) -> None:
        self.mean_s = SHORT_HANDLER_S

    def took(self, seconds: float, ahead: int) -> int:
        """Take in what a task took, and return how far to look ahead from now on, where `ahead` is how far it was."""
        # A long handler has been told of already, or the machine was busy and it is not the handler's fault.
        self.mean_s += (min(seconds, SHORT_HANDLER_S) - self.mean_s) * MEAN_WEIGHT
        wanted = min(max(int(AHEAD_S / self.mean_s), AHEAD_MIN), AHEAD_MAX)
        # Saying so costs a message: small changes are not worth it.
        is_far = wanted >= 2 * ahead + 2 or 2 * wanted < ahead or (wanted in (AHEAD_MIN, AHEAD_MAX) and wanted != ahead)
        return wanted if is_far else ahead

    def is_long(self) -> None:
        """Note that a handler is no short one."""
        self.mean_s = SHORT_HANDLER_S
