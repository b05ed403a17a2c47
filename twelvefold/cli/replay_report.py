"""How `replay --check` says what it found: a line a run, the first difference in full, documents for programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from ..replay_check import Difference, RunCheck
from .output import Style, harmless, write

_WORDS = ("same", "different", "unchecked", "forgotten")
_VALUE_LENGTH_MAX = 2000


def check_document(check: RunCheck) -> dict[str, Any]:
    """Return what came of a run as JSON-like data."""
    decided = check.decisions
    difference = None if check.difference is None else msgspec.to_builtins(check.difference)
    counted = ("inputs", "decisions", "older", "pending")
    return {
        "run": check.run,
        "status": check.status,
        "difference": difference,
        "problems": check.problems,
        "decisions": {name: getattr(decided, name) for name in counted},
        "tasks": [msgspec.to_builtins(task) for task in check.tasks],
    }


def summary(counts: Counter[str]) -> dict[str, int]:
    """Return how many runs there were of each status."""
    return {"runs": sum(counts.values()), **{word: counts[word] for word in _WORDS}}


class CheckLines:
    """Writes what came of runs for people."""

    def __init__(self) -> None:
        self._style = Style(sys.stdout)

    def write(self, check: RunCheck) -> None:
        """Write one run."""
        style = self._style
        paint = {"same": style.green, "different": style.red, "unchecked": style.yellow}.get(check.status, style.dim)
        effects = sum(task.effects for task in check.tasks)
        facts = [_count(check.decisions.decisions, "decision"), _count(len(check.tasks), "task")]
        facts += [f"{_count(effects, 'effect')} served"] if effects else []
        facts += [f"{check.decisions.older} of an older decider"] if check.decisions.older else []
        told = "" if check.status == "forgotten" else style.dim(", ".join(facts))
        write(f"{paint(check.status)}  {check.run}  {told}".rstrip())
        if check.difference is not None:
            for name, value in _facts(check.difference):
                write(f"    {style.cyan(f'{name:<9}')} {harmless(value)}")
        for problem in check.problems:
            write(f"    {style.yellow('not checked')} {harmless(problem)}")

    def write_sum(self, counts: Counter[str]) -> None:
        """Write how many runs there were of each status."""
        total = summary(counts)
        parts = [f"{total[word]} {word}" for word in _WORDS if total[word]]
        write(f"{_count(total['runs'], 'run')}: {', '.join(parts) or 'nothing to check'}")


def _facts(found: Difference) -> Iterator[tuple[str, str]]:
    yield "position", f"{found.position}  {found.event}"
    if found.path is not None:
        yield "task", f"{found.path}  {found.agent}"
    yield "field", found.field
    yield "expected", f"{_text(found.expected)}  (recorded)"
    yield "got", f"{_text(found.got)}  (today's code)"
    if found.note:
        yield "note", found.note
    if found.code is not None:
        yield "code", f"{found.code['recorded'] or 'not recorded'} → {found.code['today']}"
    if found.decider:
        yield "decider", ", ".join(f"{name} {version}" for name, version in found.decider.items())
    if not found.steady:
        yield "unsteady", "run twice, today's code doesn't do the same: record what it depends on (`context.record`)"


def _text(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_LENGTH_MAX else text[: _VALUE_LENGTH_MAX - 1] + "…"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
