"""What a fork is given in place of what its run was asked for: a name with dots and a value, such as `budget.tokens`.

Owns which names there are and what they change in the state of a run; settings of agents are theirs to read. Keeps: a
change either fits as a whole or is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.errors import TwelvefoldError
from .budget import budget_from
from .fork_errors import ForkChangeInvalid
from .levels import LEVELS, depth_from, limits_from
from .plan import plan_data, plan_from
from .run_state import Run, number
from .values import INPUT, references

#: What can be changed beside fields of the input, which may be named by themselves.
PARTS = ("input", "plan", "budget", "labels", "levels", "settings", "timeout_s", "depth_max")


def changed(run: Run, changes: Mapping[str, Any]) -> Run:
    """Return the run as it would be with these changes, in their order; raises ForkChangeInvalid."""
    for name, value in changes.items():
        part, keys = _place(name)
        if not all(keys) or not part:
            raise ForkChangeInvalid(name, "it is no name with dots between its parts")
        try:
            run = _with(run, part, keys, value)
        except ForkChangeInvalid:
            raise
        except TwelvefoldError as error:
            raise ForkChangeInvalid(name, error.message()) from error
        except _Unfit as error:
            raise ForkChangeInvalid(name, str(error)) from None
    return run


def untaken(run: Run, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the changes of the input that no task of the plan takes, as far as that stands in the plan; as `changed`.

    Only a plan that an agent answers with might still take them.
    """
    plan = changed(run, changes).plan
    places = [] if plan is None else [ref.keys for _, ref in references(plan_data(plan)) if ref.name == INPUT]
    given = [(name, keys) for name in changes for part, keys in (_place(name),) if part == "input"]
    return tuple(
        name
        for name, keys in given
        if not any(all(str(one) == other for one, other in zip(place, keys, strict=False)) for place in places)
    )


def _place(name: str) -> tuple[str, list[str]]:
    """Return the part that a change is of, and the keys to its place there."""
    part, *keys = name.split(".")
    return (part, keys) if part in PARTS else ("input", [part, *keys])


class _Unfit(Exception):
    """There is nothing at a place, or it can't hold what is to be put there."""


def _with(run: Run, part: str, keys: Sequence[str], value: Any) -> Run:
    if part == "input":
        return replace(run, input=_put(run.input, keys, value))
    if part == "plan":
        if run.plan is None:
            raise _Unfit("the run has no plan that can be read")
        return replace(run, plan=plan_from(_put(plan_data(run.plan), keys, value)), plan_problem="")
    if part == "budget":
        return replace(run, budget=budget_from(_put(msgspec.to_builtins(run.budget), keys, value)))
    if part == "labels":
        return replace(run, labels=_put(run.labels, keys, value))
    if part == "levels":
        before = dict(zip(LEVELS, run.levels, strict=False))
        return replace(run, levels=tuple(limits_from(_put(before, keys, value)).values()), used=())
    if part == "settings":
        if len(keys) != 1:
            raise _Unfit("settings have one name each, such as settings.model")
        return run
    if keys:
        raise _Unfit(f"{part} is one value")
    if part == "depth_max":
        return replace(run, depth_max=depth_from(value))
    if value is not None and number(value) is None:
        raise _Unfit("it is no number of seconds")
    return replace(run, timeout_s=number(value))


def _put(whole: Any, keys: Sequence[str], value: Any) -> Any:
    """Return JSON-like data with a value in a place, whatever was there; objects are made where nothing is."""
    if not keys:
        return value
    key, *rest = keys
    if whole is None:
        whole = {}
    if isinstance(whole, Mapping):
        return {**whole, key: _put(whole.get(key), rest, value)}
    if isinstance(whole, list | tuple):
        if not key.isdecimal() or int(key) >= len(whole):
            raise _Unfit(f"there is no {key!r} in a list of {len(whole)}")
        items = list(whole)
        items[int(key)] = _put(items[int(key)], rest, value)
        return items
    raise _Unfit(f"{key!r} would be in {str(whole)[:40]!r}, which has no parts")
