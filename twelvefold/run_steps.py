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
from .orchestration.run_fold import RunFold, follow
from .orchestration.run_state import Run
from .projections.stepping import ABSENT, Change, Stepper

#: Fields of a run that say where the fold is, or repeat what others say.
_LEFT_OUT = frozenset(
    {"id", "first", "last", "version", "seen", "last_ns", "requested_ns", "trace", "open", "out", "used", "held"}
)
_SHOWN = tuple(name for name in Run.__struct_fields__ if name not in _LEFT_OUT)


def run_stepper(run: str, events: Sequence[Event], load: Load | None = None) -> Stepper[RunFold]:
    """Return the steps of a run through its events; `load` puts in what they hold as blobs."""
    return Stepper(events, RunFold(Run(run)), lambda fold, event: follow(fold, event, load), _view)


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


def _view(fold: RunFold) -> dict[str, Any]:
    return _shown_of(fold.at_head)


def _shown_of(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _SHOWN}
