"""The marks by which an orchestrator remembers its open runs, and by which others know whether there is work.

`run/<id>` holds the position of an open run's first event, with ` resting` behind it while the run waits for a human;
`run/seen` the last run.requested that was decided. They commit with the decisions they belong to. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "run/"
SEEN = "run/seen"
_RESTING = " resting"


def mark_of(first: int, *, resting: bool) -> str:
    """Return the mark of an open run whose first event stands at a position."""
    return f"{first}{_RESTING}" if resting else str(first)


def first_of(mark: str) -> int:
    """Return the position of the first event of the run that a mark stands for."""
    return int(mark.removesuffix(_RESTING))


def is_resting(mark: str) -> bool:
    """Tell whether the run that a mark stands for waits for a human."""
    return mark.endswith(_RESTING)


def at_work(marks: Mapping[str, str]) -> int:
    """Count the open runs that don't rest."""
    return sum(name != SEEN and not is_resting(mark) for name, mark in marks.items())


def resting(marks: Mapping[str, str]) -> int:
    """Count the runs that wait for a human."""
    return sum(is_resting(mark) for mark in marks.values())
