"""Ids of runs as people give them: whole, or by the first digits that no other run's id has."""

from __future__ import annotations

from typing import Protocol

from .errors import PrefixAmbiguous
from .orchestration.errors import RunNotFound

_SHOWN_MAX = 5


class RunIndex(Protocol):
    """The part of a log that knows its runs."""

    def runs(self, prefix: str = "", limit: int = 1000) -> list[str]:
        """List ids of runs that begin with prefix."""


def resolve_run(log: RunIndex, given: str, command: str) -> str:
    """Return the whole id of the one run that begins with `given`; raises RunNotFound and PrefixAmbiguous.

    `command` is the command line up to the id, for the help of an ambiguous one.
    """
    prefix = given.strip().lower().removeprefix("run.").replace("-", "")
    found = log.runs(prefix, _SHOWN_MAX) if prefix else []
    if not found:
        raise RunNotFound(given)
    if len(found) > 1 and prefix not in found:
        raise PrefixAmbiguous("run", given, tuple(found), command)
    return prefix if prefix in found else found[0]
