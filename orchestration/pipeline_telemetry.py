"""What a multi-stage pipeline has measured: how long each stage took, how often it was tried, left and failed.

Owns counting and the summary; who measures is `multi_stage`. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

#: So many of a stage's last latencies are kept for its percentiles.
KEPT = 1000


class StageTelemetry:
    """One stage: `calls` counts items that reached it, `retries` tries after the first, `exits` those that left early.

    `errors` counts items that it stopped.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.retries = 0
        self.exits = 0
        self.errors = 0
        self.latency_total_s = 0.0
        self.latency_max_s = 0.0
        self._last: deque[float] = deque(maxlen=KEPT)

    def note(self, latency_s: float, attempts: int, *, failed: bool, exited: bool) -> None:
        """Count one item; its latency spans all tries and the waits between them."""
        self.calls += 1
        self.retries += max(0, attempts - 1)
        self.errors += failed
        self.exits += exited
        self.latency_total_s += latency_s
        self.latency_max_s = max(self.latency_max_s, latency_s)
        self._last.append(latency_s)

    def latency_s(self, share: float) -> float:
        """Return the latency that this share (0.5: half) of the last items did not exceed; 0 before any."""
        if not self._last:
            return 0.0
        ordered = sorted(self._last)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as JSON-like data."""
        return {
            "calls": self.calls,
            "retries": self.retries,
            "exits": self.exits,
            "errors": self.errors,
            "latency_mean_s": self.latency_total_s / self.calls if self.calls else 0.0,
            "latency_p50_s": self.latency_s(0.5),
            "latency_p99_s": self.latency_s(0.99),
            "latency_max_s": self.latency_max_s,
        }


class PipelineTelemetry:
    """All stages by name, in the order in which they were first reached; `items` counts those that are through."""

    def __init__(self) -> None:
        self.items = 0
        self.stages: dict[str, StageTelemetry] = {}

    def stage(self, name: str) -> StageTelemetry:
        """Return what was measured of a stage."""
        return self.stages.setdefault(name, StageTelemetry())

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as JSON-like data."""
        return {"items": self.items, "stages": {name: stage.snapshot() for name, stage in self.stages.items()}}
