"""An agent's own counters, timers and gauges: aggregated in the process, sampled into the log.

Owns the aggregation only. The process decides when a sample is taken (at most every SAMPLE_INTERVAL_S, and at its
end), so there is never an event per increment; a sample's counters and timers count from the process's start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: The least time between two samples of one instance.
SAMPLE_INTERVAL_S = 10.0


class AgentTelemetry:
    """What one agent instance counts and measures; may be used from any thread."""

    def __init__(self, agent_name: str) -> None:
        self.agent_name = agent_name
        self._lock = threading.Lock()
        self._counters: dict[str, float] = {}
        self._timers: dict[str, list[float]] = {}
        self._gauges: dict[str, float] = {}
        self._changed = False

    def increment_counter(self, name: str, value: float = 1) -> None:
        """Add value to a counter."""
        with self._lock:
            self._counters[name] = self._counters.get(name, 0) + value
            self._changed = True

    @contextmanager
    def timer(self, name: str) -> Iterator[None]:
        """Measure a block: count, total, least and most seconds. A block that raises is measured too."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._measured(name, time.perf_counter() - started)

    def _measured(self, name: str, seconds: float) -> None:
        with self._lock:
            count, total, least, most = self._timers.get(name, [0, 0.0, seconds, seconds])
            self._timers[name] = [count + 1, total + seconds, min(least, seconds), max(most, seconds)]
            self._changed = True

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge to a value."""
        with self._lock:
            self._gauges[name] = value
            self._changed = True

    def snapshot(self) -> dict[str, Any]:
        """Return `agent`, `counters`, `timers` (`count total_s min_s max_s`) and `gauges` as they are now."""
        with self._lock:
            timers = {
                name: {"count": count, "total_s": total, "min_s": least, "max_s": most}
                for name, (count, total, least, most) in self._timers.items()
            }
            return {
                "agent": self.agent_name,
                "counters": dict(self._counters),
                "timers": timers,
                "gauges": dict(self._gauges),
            }

    def sample(self) -> dict[str, Any] | None:
        """Return a snapshot if something changed since the last sample, else None."""
        with self._lock:
            if not self._changed:
                return None
            self._changed = False
        return self.snapshot()
