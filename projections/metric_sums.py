"""The sums that the read model of metrics is made of. Pure; each is a value, and adding to one gives another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

import msgspec

#: Upper bounds in seconds of how long tasks wait and take, and runs.
SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


class Spread(msgspec.Struct, frozen=True, gc=False):
    """How many values fell up to each bound of SECONDS and above the one before; the last is above all. And their sum.

    No counts at all stand for zeros.
    """

    counts: tuple[int, ...] = ()
    sum: float = 0.0

    def with_value(self, seconds: float) -> Spread:
        """Return the spread with one more value; one below 0 counts as 0."""
        value = max(0.0, seconds)
        counts = list(self.counts or _ZEROS)
        counts[bisect_left(SECONDS, value)] += 1
        return Spread(tuple(counts), self.sum + value)

    def plus(self, other: Spread) -> Spread:
        """Return the spread of the values of both."""
        if not other.counts or not self.counts:
            return self if self.counts else other
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return Spread(counts, self.sum + other.sum)

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.counts)


_ZEROS = (0,) * (len(SECONDS) + 1)


class AgentSum(msgspec.Struct, frozen=True):
    """What the tasks of one agent (by its queue) add up to.

    `retried` counts requests after the first attempt, `redelivered` starts of a request that had started before.
    `outcomes` are succeeded, nothing_to_do, failed, needs_human, planned; parked and withdrawn (by the bus). `waits`
    are the times from requests to their starts, `seconds` those from start to outcome.
    """

    requested: int = 0
    retried: int = 0
    redelivered: int = 0
    outcomes: dict[str, int] = {}
    waits: Spread = Spread()
    seconds: Spread = Spread()
    model_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    def plus(self, other: AgentSum) -> AgentSum:
        """Return the sum of both."""
        return AgentSum(
            self.requested + other.requested,
            self.retried + other.retried,
            self.redelivered + other.redelivered,
            summed((self.outcomes, other.outcomes)),
            self.waits.plus(other.waits),
            self.seconds.plus(other.seconds),
            self.model_calls + other.model_calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.usd + other.usd,
        )


class EffectSum(msgspec.Struct, frozen=True, tag="effect"):
    """What the effects of one kind and name add up to; `ended` are completed, failed and in_doubt."""

    ended: dict[str, int] = {}
    elapsed_s: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0


class ProcessSum(msgspec.Struct, frozen=True, tag="process"):
    """What became of the processes of one place; `unexpected` counts ends that nobody asked for, `given_up` how often
    it was given up.
    """

    started: int = 0
    restarted: int = 0
    unexpected: int = 0
    given_up: int = 0


class ParkedSum(msgspec.Struct, frozen=True, tag="parked"):
    """How much was parked in one place, with the position of the last."""

    count: int = 0
    position: int = 0


class ForgottenSum(msgspec.Struct, frozen=True, tag="forgotten"):
    """How many runs were forgotten, and what they had used: their payloads tell it no more."""

    runs: int = 0
    model_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0


class TelemetrySum(msgspec.Struct, frozen=True, tag="telemetry"):
    """What an agent's instance counted and measured itself, as of its last sample: counters and timers (count and total
    seconds) since its start, gauges as they were.
    """

    counters: dict[str, float] = {}
    timers: dict[str, tuple[float, float]] = {}
    gauges: dict[str, float] = {}


def added(counts: dict[str, int], name: str) -> dict[str, int]:
    """Return counts with one more under a name."""
    return {**counts, name: counts.get(name, 0) + 1}


def summed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of counts, by name."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
