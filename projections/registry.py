"""Which projections there are: the built-in ones, and those that installed distributions offer.

A distribution offers one by an entry point of the group `twelvefold.projections`, whose value names a subclass of
`Projection`. A built-in name can't be taken by another. Imports a module only when its projection is wanted.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from .errors import ProjectionBroken, ProjectionUnknown
from .fingerprint import code_of
from .projection import Projection

GROUP = "twelvefold.projections"
#: Built-in projections: the module here, and the class in it.
BUILT_IN: dict[str, tuple[str, str]] = {
    "runs": ("runs", "Runs"),
    "tasks": ("tasks", "Tasks"),
    "sagas": ("sagas", "Sagas"),
    "agents": ("agents", "Agents"),
    "processes": ("processes", "Processes"),
    "inbox": ("inbox", "Inbox"),
    "cost": ("cost", "CostOfRuns"),
    "effects": ("effects", "Effects"),
    "repositories": ("repositories", "Repositories"),
    "metrics": ("metrics", "Metrics"),
}
_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")


class Broken(msgspec.Struct, frozen=True):
    """A projection that is offered and can't be used, and why."""

    name: str
    reason: str


@cache
def offered() -> dict[str, EntryPoint]:
    """Return what installed distributions offer, by name; a built-in name isn't taken by them."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def names() -> list[str]:
    """Return the names of all projections, the built-in ones first."""
    return [*BUILT_IN, *sorted(offered())]


def projection_named(name: str) -> Projection[Any]:
    """Return the projection of this name; raises ProjectionUnknown and ProjectionBroken."""
    if name in BUILT_IN:
        module, of_class = BUILT_IN[name]
        made: Projection[Any] = getattr(import_module(f"{__package__}.{module}"), of_class)()
        code_of(made)
        return made
    entry = offered().get(name)
    if entry is None:
        raise ProjectionUnknown(name, tuple(names()))
    return _loaded(entry)


def all_projections() -> tuple[list[Projection[Any]], list[Broken]]:
    """Return every projection that can be used, and those that can't."""
    good, broken = [], []
    for name in names():
        try:
            good.append(projection_named(name))
        except ProjectionBroken as error:
            broken.append(Broken(name, error.reason))
    return good, broken


def _loaded(entry: EntryPoint) -> Projection[Any]:
    try:
        made = entry.load()
        projection = made() if isinstance(made, type) else made
    except (Exception, SystemExit) as error:  # whatever a user's module raises: it must not take the others down
        raise ProjectionBroken(entry.name, entry.value, f"{type(error).__name__}: {error}") from error
    if not isinstance(projection, Projection):
        raise ProjectionBroken(entry.name, entry.value, "it is not a subclass of twelvefold.Projection")
    if not _NAME.fullmatch(entry.name):
        raise ProjectionBroken(entry.name, entry.value, "its name is not a token of a-z, 0-9, _ and -")
    if projection.name != entry.name:
        raise ProjectionBroken(entry.name, entry.value, f"its class calls itself {projection.name!r}")
    code_of(projection)
    return projection
