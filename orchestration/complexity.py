"""How complex an issue is: one of five levels, with reasons, a confidence and an override.

Owns the step from signals to a level; the signals themselves are `complexity_signals`, the subtasks `decomposition`.
Pure and deterministic. The levels are measured by what a fix touches: atomic is one place, simple one file, moderate
two or three files, complex up to ten, enterprise more.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import msgspec

from .complexity_facts import EditFact, RepositoryFacts, Signal
from .complexity_signals import Signals, collect
from .issue_units import Reading, understand

#: Up to how many changed lines a change in one file is one place, and up to how many it is simple.
ATOMIC_LINES_MAX = 6
SIMPLE_LINES_MAX = 100
#: Where the next level begins, in places: between one file and two, three and four, ten and eleven.
BOUNDS = (1.75, 3.75, 10.5)
#: A change without explicit edits is one place only where it is told in few words.
ATOMIC_WORDS_MAX = 90
#: The same for a program that does something, only wrongly.
SLIP_WORDS_MAX = 50


class Complexity(enum.StrEnum):
    """How much work an issue is, and so into how many levels of subtasks it is worth being taken apart."""

    ATOMIC = "atomic"
    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"
    ENTERPRISE = "enterprise"

    @property
    def levels(self) -> int:
        """Levels of decomposition: none for atomic, up to four (or more) for enterprise."""
        return list(Complexity).index(self)


class Assessment(msgspec.Struct, frozen=True):
    """A level, why, and how sure.

    `confidence` is the estimated chance that the level is exactly right; `estimated` is the level that the signals
    give, which differs from `level` only where it was overridden. `places` is the estimated number of files, `targets`
    are those that are named, `missing` those of them that the repository hasn't. `vague` tells that nothing in the
    text could be checked, so that it can't be taken apart.
    """

    level: Complexity
    estimated: Complexity
    confidence: float
    places: float
    reasons: tuple[Signal, ...]
    targets: tuple[str, ...]
    missing: tuple[str, ...]
    vague: bool = False

    @property
    def overridden(self) -> bool:
        """Tell whether a human said the level."""
        return self.level is not self.estimated


def assess(
    text: str,
    edits: Sequence[EditFact] = (),
    repository: RepositoryFacts | None = None,
    *,
    override: Complexity | str | None = None,
) -> Assessment:
    """Judge an issue's text; any text can be judged. `edits` are its explicit edits, where somebody has read them.

    Raises ValueError for an override that is no level.
    """
    return assess_reading(understand(text), edits, repository, override=override)


def assess_reading(
    reading: Reading,
    edits: Sequence[EditFact] = (),
    repository: RepositoryFacts | None = None,
    *,
    override: Complexity | str | None = None,
) -> Assessment:
    """Judge an issue that has been read, as `assess` does."""
    signals = collect(reading, edits, repository)
    estimated, why = _level(signals, reading)
    reasons = [*signals.found, *why]
    if reading.outline.truncated:
        reasons.append(Signal("length", "only the first 100,000 characters were read", 0.0))
    level = estimated
    confidence = _confidence(signals, repository is not None)
    if override is not None:
        level = Complexity(override)
        reasons.insert(0, Signal("override", f"set to {level}; the signals say {estimated}", 0.0))
        confidence = 1.0
    if signals.vague:
        reasons.append(Signal("vague", "names no file, no case and no number: nothing that could be checked", 0.0))
    return Assessment(
        level=level,
        estimated=estimated,
        confidence=confidence,
        places=round(signals.places, 2),
        reasons=tuple(reasons),
        targets=signals.targets,
        missing=signals.missing,
        vague=signals.vague,
    )


def _level(signals: Signals, reading: Reading) -> tuple[Complexity, list[Signal]]:
    places = signals.places
    if places >= BOUNDS[2]:
        return Complexity.ENTERPRISE, []
    if places >= BOUNDS[1]:
        return Complexity.COMPLEX, []
    if places >= BOUNDS[0]:
        return Complexity.MODERATE, []
    if signals.edited_lines > SIMPLE_LINES_MAX:
        return Complexity.MODERATE, [Signal("size", f"{signals.edited_lines} lines of edits", 0.0)]
    if signals.edits:
        if signals.edited_lines <= ATOMIC_LINES_MAX and not signals.open_asks:
            return Complexity.ATOMIC, [Signal("size", "the edits are all that is asked for, in one place", 0.0)]
        return Complexity.SIMPLE, []
    words = sum(len(part.unit.text.split()) for part in reading.parts)
    if signals.spot and signals.open_asks <= 1 and words <= ATOMIC_WORDS_MAX:
        return Complexity.ATOMIC, [Signal("size", "a change in one spot, told in few words", 0.0)]
    if signals.slip and signals.open_asks <= 1 and words <= SLIP_WORDS_MAX:
        return Complexity.ATOMIC, [Signal("size", "something that is there decides wrongly, told in few words", 0.0)]
    return Complexity.SIMPLE, []


def _confidence(signals: Signals, with_repository: bool) -> float:
    """Return the chance of being exactly right: by what the level rests on, and how near the next level is."""
    if signals.vague:
        return 0.2
    guessed = 0.45 if signals.targets else 0.4
    base = 0.9 if signals.edits and not signals.open_asks else guessed
    margin = min(abs(math.log(signals.places / bound)) for bound in BOUNDS)
    base -= max(0.0, 0.2 - margin) * 0.75
    base += 0.05 if with_repository else 0.0
    base -= 0.1 if signals.missing else 0.0
    return round(min(max(base, 0.1), 0.95), 2)
