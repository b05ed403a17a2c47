"""A run as it is stepped through: its events, and after each the state that orchestration gives it.

Joins the stepping of `projections` with the fold of `orchestration`. Keeps: what is shown of a state is what decisions
rest on; what only serves the fold (positions, indexes) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .eventstore.event import Event
from .eventstore.large_values import Load
from .orchestration.evolve import evolve
from .orchestration.run_fold import RunFold, follow
from .orchestration.run_state import Fact, Run
from .projections.stepping import ABSENT, Change, Stepper

#: Fields of a run that say where the fold is, or repeat what others say.
_LEFT_OUT = frozenset(
    {"id", "first", "last", "version", "seen", "last_ns", "requested_ns", "trace", "open", "out", "used", "held"}
)
_SHOWN = tuple(name for name in Run.__struct_fields__ if name not in _LEFT_OUT)


def run_stepper(run: str, events: Sequence[Event], load: Load | None = None) -> Stepper[RunFold]:
    """Return the steps of a run through its events; `load` puts in what they hold as blobs."""
    return Stepper(events, RunFold(Run(run)), lambda fold, event: follow(fold, event, load), _Heads().view)


def state_document(run: Run) -> dict[str, Any]:
    """Return a run's state as JSON-like data; fields that hold nothing are left out."""
    found: dict[str, Any] = plain(_shown_of(run))
    return {name: value for name, value in found.items() if value not in ({}, [], None, "", False)}


def change_document(change: Change) -> dict[str, Any]:
    """Return a change as JSON-like data: `field`, `before`, `after`; a side on which the field isn't there is null."""
    return {"field": change.field, "before": plain(change.before), "after": plain(change.after)}


def plain(value: Any) -> Any:
    """Return a part of a state as JSON-like data, without the fields of structs that have their defaults."""
    if value is ABSENT:
        return None
    if isinstance(value, msgspec.Struct):
        defaults = msgspec.structs.fields(type(value))
        given = ((field.name, getattr(value, field.name), field.default) for field in defaults)
        return {name: plain(one) for name, one, default in given if one != default}
    if isinstance(value, Mapping):
        return {_key(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


def _key(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)


class _Heads:
    """The states with every input known so far. Where inputs wait for a decision, the next state goes on from the last
    one, so that a thousand that wait are not folded a thousand times.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._pending: tuple[Fact, ...] = ()
        self._head: Run | None = None

    def view(self, fold: RunFold) -> dict[str, Any]:
        """Return what is shown of a run."""
        known = len(self._pending)
        same = self._run is not None and all(getattr(self._run, name) is getattr(fold.run, name) for name in _SHOWN)
        if self._head is None or not same or fold.pending[:known] != self._pending:
            known, self._head = 0, fold.run
        for fact in fold.pending[known:]:
            self._head = evolve(self._head, fact)
        self._run, self._pending = fold.run, fold.pending
        return _shown_of(self._head)


def _shown_of(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _SHOWN}
