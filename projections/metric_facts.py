"""What counts of the payloads of events, for metrics. Pure.

Anything may stand in a payload, and nothing does where it was forgotten: what can't be read counts as not said. Only
the fields that count are decoded, as results of effects may be large.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from ..eventstore.event import Event
from .metric_sums import ForgottenSum, TelemetrySum
from .projection import data_of, text

#: What is longer is no name of a tool or a model, and would make a row for each.
NAME_LENGTH_MAX = 100
#: Beyond this, what somebody has written is no measure of anything.
_LARGE = 1e18


class EffectFacts(msgspec.Struct, frozen=True, gc=False):
    """What an effect's result says of it."""

    kind: str = ""
    name: str = ""
    elapsed_s: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0


class _Effect(msgspec.Struct, gc=False):
    kind: Any = ""
    name: Any = ""
    elapsed_s: Any = None
    usage: Any = None


class _Request(msgspec.Struct, gc=False):
    attempt: Any = 1


class _Exit(msgspec.Struct, gc=False):
    expected: Any = False


_decode_effect = msgspec.json.Decoder(_Effect).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_exit = msgspec.json.Decoder(_Exit).decode


@lru_cache(maxsize=1)
def effect_facts(payload: str | None) -> EffectFacts:
    """Read what counts of an effect's result; the same event is asked for once for each of its rows."""
    said: _Effect = _read(_decode_effect, payload, _Effect())
    usage = said.usage if isinstance(said.usage, dict) else {}
    return EffectFacts(
        _name(said.kind),
        _name(said.name),
        _number(said.elapsed_s),
        int(_number(usage.get("tokens_in"))),
        int(_number(usage.get("tokens_out"))),
        _number(usage.get("usd")),
    )


def attempt_of(payload: str | None) -> float:
    """Read which attempt a request of a task is, from 1."""
    said: _Request = _read(_decode_request, payload, _Request())
    return _number(said.attempt)


def was_expected(payload: str | None) -> bool:
    """Read whether a process was asked to end."""
    said: _Exit = _read(_decode_exit, payload, _Exit(True))
    return said.expected is True


def telemetry_of(event: Event) -> TelemetrySum:
    """Read a sample of an agent's telemetry."""
    said = data_of(event)
    timers = {
        name: (_number(timer.get("count")), _number(timer.get("total_s")))
        for name, timer in _named(said.get("timers"))
        if isinstance(timer, dict)
    }
    return TelemetrySum(
        {name: float(value) for name, value in _named(said.get("counters")) if _is_finite(value)},
        timers,
        {name: float(value) for name, value in _named(said.get("gauges")) if _is_finite(value)},
    )


def with_forgotten(before: ForgottenSum, event: Event) -> ForgottenSum:
    """Return the sum with one more run, by what was told of it when it was to be forgotten."""
    said = data_of(event).get("cost")
    cost = said if isinstance(said, dict) else {}
    return ForgottenSum(
        before.runs + 1,
        before.model_calls + int(_number(cost.get("model_calls"))),
        before.tokens_in + int(_number(cost.get("tokens_in"))),
        before.tokens_out + int(_number(cost.get("tokens_out"))),
        before.usd + _number(cost.get("usd")),
    )


def _named(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _name(given: Any) -> str:
    name = text(given)
    return name if len(name) <= NAME_LENGTH_MAX else f"{name[:NAME_LENGTH_MAX]}…"


def _read(decode: Any, payload: str | None, otherwise: Any) -> Any:
    if payload is None:
        return otherwise
    try:
        return decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return otherwise


def _number(value: Any) -> float:
    """Return a finite number that isn't below 0, else 0."""
    return value if _is_finite(value) and value >= 0 else 0


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGE < value < _LARGE
