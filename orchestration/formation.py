"""How many of each process run, and which PORT each gets. Pure.

A formation is text such as `fixer=3,all=1`; a process that it doesn't name has its `quantity`, or one. Ports are given
as foreman and honcho do: each line of the Procfile has a hundred, each instance of it one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import FormationInvalid
from .procfile_options import QUANTITY_MAX, ProcessOptions

PORTS_PER_LINE = 100


def parse_formation(text: str, names: Sequence[str]) -> dict[str, int]:
    """Return the count of each process named, `all` spread over those without a count of their own.

    Names are taken as written or in other capitals; the last of two counts holds. Raises FormationInvalid.
    """
    known = {name.lower(): name for name in names}
    counts: dict[str, int] = {}
    for_all: int | None = None
    column = 1
    for part in text.split(","):
        start = column + len(part) - len(part.lstrip())
        column += len(part) + 1
        if not part.strip():
            if text.strip():
                raise FormationInvalid(text, start, "expected NAME=COUNT", tuple(names))
            continue
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise FormationInvalid(text, start, f"{name!r} has no count", tuple(names))
        if not (number.isascii() and number.isdigit() and int(number[:9]) <= QUANTITY_MAX and len(number) < 9):
            problem = f"the count of {name!r} must be a whole number from 0 to {QUANTITY_MAX}"
            raise FormationInvalid(text, start + part.strip().index("=") + 1, problem, tuple(names))
        if name.lower() == "all":
            for_all = int(number)
        elif name.lower() in known:
            counts[known[name.lower()]] = int(number)
        else:
            problem = f"there is no process {name!r}; there is {', '.join(names) or 'none'}"
            raise FormationInvalid(text, start, problem, tuple(names))
    if for_all is not None:
        counts = {name: counts.get(name, for_all) for name in names}
    return counts


def quantities(
    names: Sequence[str], options: Mapping[str, ProcessOptions], formation: Mapping[str, int]
) -> dict[str, int]:
    """Return how many of each process to run: the formation's count, else its `quantity`, else one."""
    result = {}
    for name in names:
        quantity = options[name].quantity if name in options else None
        result[name] = formation.get(name, 1 if quantity is None else quantity)
    return result


def port_of(base: int, line_index: int, instance: int) -> int:
    """Return the PORT of the instance-th (from 1) process of the line_index-th (from 0) line."""
    return base + PORTS_PER_LINE * line_index + instance - 1
