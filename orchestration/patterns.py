"""The patterns that there are: those built in, and those that installed distributions offer.

A distribution offers one by an entry point of the group `twelvefold.patterns` that names its class; importing the
module of the class must register it with `register_pattern` and `register_decider`. Owns when they are imported: once,
when a plan uses a word that is not known yet, or a decider is wanted.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from . import (  # noqa: F401  each registers its pattern
    critique,
    fork_join,
    graph,
    map_reduce,
    pipeline,
    race,
    saga,
    scatter_gather,
    task,
)
from .errors import PatternNotLoadable
from .plan import PatternFields, pattern_of

GROUP = "twelvefold.patterns"


@cache
def load() -> dict[str, str]:
    """Import every pattern that is offered; return the problem of each that can't be used, by its entry point's name.

    One broken distribution must not keep the plans of others from running: its pattern stays unknown.
    """
    problems: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            _check(point.name, point.load())
        except Exception as error:  # noqa: BLE001  foreign code may fail in any way
            problems[point.name] = f"{type(error).__name__}: {error}"
    return problems


def _check(name: str, found: object) -> None:
    if not (isinstance(found, type) and issubclass(found, PatternFields)):
        raise PatternNotLoadable(name, "it is not a pattern's class")
    if pattern_of(found) != name:
        raise PatternNotLoadable(name, f"its class is written {pattern_of(found)!r} in plans")
