"""How often a measured value fell into which bucket: what the bus keeps of times and sizes, in memory that stays small.

Pure. Observing costs a look into a short list, so that it may stand on the way of every commit and delivery.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

#: Upper bounds in seconds: of a commit (a sync), and of the wait for a member, which may be long.
COMMIT_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
DISPATCH_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0)
#: Upper bounds of the number of events in a commit.
BATCH_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Histogram:
    """Counts of values by upper bound (inclusive), and their sum; the last count is of what lies above all bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def facts(self) -> dict[str, Any]:
        """Return bounds, counts (each bucket's own, one more than bounds) and sum as plain data."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": self.sum}
