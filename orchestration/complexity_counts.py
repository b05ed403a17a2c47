"""Numbers of things to change, and the parts of a system that an issue names side by side.

Owns the signals for them; `complexity_signals` adds them up with the others. Pure.
"""

from __future__ import annotations

import re

from . import extent_language as extent
from .complexity_facts import RepositoryFacts, Signal, listed
from .issue_kind import is_bug
from .issue_units import Reading
from .path_mentions import is_test


def of_counts(reading: Reading, repository: RepositoryFacts | None) -> list[Signal]:
    """Numbers of things to change, and enumerations of the parts of a system."""
    found: list[Signal] = []
    best, best_text = 0.0, ""
    for part in reading.parts:
        if part.role in ("kept", "done", "step"):
            continue
        for match in extent.COUNTED.finditer(part.unit.text):
            word = match[1].lower()
            number = extent.NUMBERS.get(word) or (int(word) if word.isdigit() else 0)
            places = min(number - 1, 10) * (0.5 if match[2].lower() in extent.SMALL_THINGS else 1.0)
            if number <= 30 and places > best and (part.asks or (part.unit.kind == "sentence" and not is_bug(reading))):
                best, best_text = places, f"counted: {match[0]}"
    if best:
        found.append(Signal("counted", best_text, min(best, 8.0) / 2))
    if any(extent.FOR_EACH.search(part.unit.text) for part in reading.asked()):
        found.append(Signal("for each", "a file for each of several things", 2.0))
    agents = _agents(reading)
    if len(agents) > 1:
        found.append(Signal("components", f"to be changed: {listed(agents)}", 0.75 * min(len(agents) - 1, 4)))
    names = _enumerated(reading)
    if len(names) > 2:
        stems = {name.lower().replace(" ", "_"): name for name in names}
        files = repository.files if repository is not None else frozenset()
        there = {_stem(path) for path in files if not is_test(path)} & stems.keys()
        places = min(0.25 * (len(names) - 2), 1.5) + 0.5 * len(there)
        if any(extent.TOUCHES.search(part.unit.text) and names[-1] in part.unit.text for part in reading.parts):
            places = float(min(len(names), 8))
        found.append(Signal("enumerated", f"parts of the system side by side: {listed(names)}", places))
    return found


def _agents(reading: Reading) -> list[str]:
    """Return the parts of the program that have to do something other than now: the walker, the matcher."""
    found: dict[str, None] = {}
    for part in reading.asked():
        for match in extent.AGENT.finditer(part.unit.text):
            name = match[1] or match[2]
            if not extent.NO_AGENT.search(name):
                found[name] = None
    return list(found)


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".", 1)[0].lower()


def _enumerated(reading: Reading) -> list[str]:
    """Return the longest enumeration of short names in what the issue says is to change."""
    told = (part.unit.text for part in reading.parts if part.role not in ("kept", "done", "step"))
    return max(map(enumerated_in, told), key=len, default=[])


def enumerated_in(text: str) -> list[str]:
    """Return the longest enumeration of short names in a text: "runner, terminal summary and junitxml"."""
    best: list[str] = []
    for clause in re.split(r"[.:;()!?|=]", text[:5000]) if "," in text else ():
        names: list[str] = []
        for n, piece in enumerate(piece.strip() for piece in re.split(r",| and | or ", clause)):
            words = piece.split()
            if 0 < len(words) <= 3 and not extent.NOT_A_PART.search(piece):
                names.append(piece)
            elif n == 0 and words and not names:
                names = [words[-1]]
            else:
                break
        best = max(best, names, key=len)
    return best
