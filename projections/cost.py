"""The read model of cost: what the model and tool calls of each run used. Pure.

Cost stays with the run whose stream holds the event: what a fork took over from its parent costs it nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..eventstore.event import Event
from ..eventstore.forgotten import REQUESTED
from .projection import Projection, data_of, facts_reader, number, run_of, text


class _Facts(msgspec.Struct, frozen=True, gc=False):
    """What of an effect's record counts here."""

    kind: Any = ""
    name: Any = ""
    usage: Any = None
    elapsed_s: Any = None


_facts = facts_reader(_Facts)


class Used(msgspec.Struct, frozen=True, gc=False):
    """What calls used, summed; None where no call said that, and before the first one 0."""

    calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    usd: float | None = 0.0

    def plus(self, usage: dict[str, Any]) -> Used:
        """Return the sum with one more call."""
        before = self if self.calls else Used(0, None, None, None)
        return Used(
            self.calls + 1,
            _sum(before.tokens_in, usage.get("tokens_in"), int),
            _sum(before.tokens_out, usage.get("tokens_out"), int),
            _sum(before.usd, usage.get("usd"), float),
        )


class CostRow(msgspec.Struct, frozen=True):
    """One run: all of its model calls, the same by model, and its other calls with the seconds that all took.

    Of a run that was `forgotten` the models are gone, and the seconds.
    """

    model_calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    usd: float | None = 0.0
    tasks: int = 0
    other_calls: int = 0
    elapsed_s: float = 0.0
    models: dict[str, Used] = {}
    forgotten: bool = False


class CostOfRuns(Projection[CostRow]):
    """What each run has cost."""

    name = "cost"
    types = ("effect.completed", "effect.failed", "task.requested", REQUESTED)
    key_names = ("run",)
    columns = ("run", "model_calls", "tokens_in", "tokens_out", "usd", "other_calls", "elapsed_s")
    by_run = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the run in whose stream the event stands."""
        run = run_of(event)
        return (run,) if run else ()

    def initial(self, key: str) -> CostRow:
        """Return nothing used."""
        return CostRow()

    def apply(self, state: CostRow, event: Event) -> CostRow:
        """Return the cost with one more call, or one more request of a task."""
        if event.type == "task.requested":
            return msgspec.structs.replace(state, tasks=state.tasks + 1)
        if event.type == REQUESTED:
            return _left(state, event)
        facts = _facts(event)
        elapsed_s = round(float(state.elapsed_s + number(facts.elapsed_s)), 6)
        if facts.kind != "model" or event.type != "effect.completed":
            return msgspec.structs.replace(state, other_calls=state.other_calls + 1, elapsed_s=elapsed_s)
        used = facts.usage if isinstance(facts.usage, dict) else {}
        total = Used(state.model_calls, state.tokens_in, state.tokens_out, state.usd).plus(used)
        name = text(facts.name)
        models = {**state.models, name: state.models.get(name, Used()).plus(used)}
        return CostRow(
            total.calls, total.tokens_in, total.tokens_out, total.usd, state.tasks, state.other_calls, elapsed_s, models
        )  # fmt: skip


def _left(state: CostRow, event: Event) -> CostRow:
    """Return what is still known of a run's cost: what the request to forget it says."""
    told = data_of(event).get("cost")
    try:
        used = msgspec.convert(told, CostRow)
    except msgspec.ValidationError:
        used = CostRow()
    other = max(0, state.model_calls + state.other_calls - used.model_calls)
    return CostRow(used.model_calls, used.tokens_in, used.tokens_out, used.usd, state.tasks, other, forgotten=True)


def _sum(before: Any, more: Any, kind: type[int] | type[float]) -> Any:
    """Return the sum of what is known, of this kind of number; None where neither is."""
    if not isinstance(more, int | float) or isinstance(more, bool) or not -1e15 < more < 1e15:
        return before
    return kind((before or 0) + more)
