"""Budgets: what a run may spend before it is stopped, and how they are read from what a caller says. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from .run_errors import BudgetInvalid


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run may spend: None where there is no bound. `tasks` counts attempts, compensations apart; `wall_s` runs
    from the request on; `tokens` and `usd` are what model calls have reported.
    """

    tasks: int | None = None
    wall_s: float | None = None
    tokens: int | None = None
    usd: float | None = None


def budget_from(given: Any) -> Budget:
    """Make a budget of JSON-like data; raises BudgetInvalid, which names the bound."""
    try:
        budget = msgspec.convert(given, Budget)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise BudgetInvalid(place.rstrip("`"), problem[:1].lower() + problem[1:]) from None
    for name in BOUNDS:
        bound = getattr(budget, name)
        if bound is not None and not 0 <= bound < 1e12:
            raise BudgetInvalid(name, f"must be at least 0 and less than 1e12, is {bound:g}")
    return budget


#: The names of the bounds, as they are written.
BOUNDS = Budget.__struct_fields__
