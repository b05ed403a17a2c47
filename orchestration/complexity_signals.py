"""The concrete signals of how large the work on an issue is, each with the number of places that it stands for.

Owns the sum over an issue's parts, its explicit edits and, where one is given, what its repository says. A place is a
file that has to change. Pure: edits and repository come in as plain data. Keeps: one signal more never makes the sum
smaller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from . import extent_language as extent
from .complexity_counts import of_counts
from .complexity_facts import EditFact, RepositoryFacts, Signal, counted, listed
from .complexity_surfaces import of_surfaces
from .issue_kind import in_one_spot, is_bug, only_documents, tells_of_a_slip
from .issue_units import Part, Reading
from .path_mentions import is_by_product, is_document, is_test

#: Items up to here are details of one change.
ITEMS_FREE = 2
#: So many words does it take to tell of one change.
WORDS_FREE = 150
#: Who writes more than that has said something to hold on to.
VAGUE_WORDS_MAX = 40
#: So many different words with a meaning make an order that can be checked.
WORDS_SAYING_WHAT = 5
#: So many in its title tell what a complaint is about; of a wish's title one less, or as many in all that it asks for.
WORDS_SAYING_WHERE = 4


class Signals(msgspec.Struct, frozen=True):
    """All signals of an issue, and the facts that the level needs besides their sum."""

    found: tuple[Signal, ...]
    targets: tuple[str, ...]
    missing: tuple[str, ...]
    edited_lines: int
    edits: int
    open_asks: int
    spot: bool
    slip: bool
    vague: bool

    @property
    def places(self) -> float:
        """How many files the work is likely to change; at least one."""
        return max(1.0, sum(signal.places for signal in self.found))


def collect(reading: Reading, edits: Sequence[EditFact] = (), repository: RepositoryFacts | None = None) -> Signals:
    """Return the signals of an issue."""
    targets, missing = _targets(reading, edits, repository)
    found = [*_of_files(targets, missing, edits, repository)]
    found += of_surfaces(reading, targets, edits)
    found += _of_renamings(edits, repository)
    found += _of_definitions(reading, targets, repository, found)
    found += _of_items(reading, targets, edits, found)
    found += of_counts(reading, repository)
    found += _of_breadth(reading, edits, repository)
    found += _of_kind(reading, targets)
    found += _of_detail(reading)
    asks = _open_asks(reading, edits)
    spot = in_one_spot(reading) or any(not edit.path and not edit.old for edit in edits)
    bump = len(targets) <= 1 and any(extent.BUMP.search(part.unit.text) for part in reading.asked())
    return Signals(
        found=tuple(found),
        targets=targets,
        missing=missing,
        edited_lines=sum(edit.lines for edit in edits if edit.path),
        edits=sum(1 for edit in edits if edit.path),
        open_asks=asks,
        spot=spot or (bump and bool(targets)),
        slip=tells_of_a_slip(reading),
        vague=_is_vague(reading, targets, edits),
    )


def _targets(
    reading: Reading, edits: Sequence[EditFact], repository: RepositoryFacts | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files named as places, as the repository calls them, and those of them that it hasn't."""
    named = list(dict.fromkeys([*(edit.path for edit in edits if edit.path), *reading.targets]))
    if repository is None:
        return tuple(named), ()
    found: list[str] = []
    missing: list[str] = []
    by_name: dict[str, list[str]] = {}
    for path in sorted(repository.files):
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    for path in named:
        tails = [file for file in by_name.get(path.rsplit("/", 1)[-1], []) if f"/{file}".endswith(f"/{path}")]
        if path in repository.files or len(tails) != 1:
            found.append(path)
        else:
            found.append(tails[0])
        if found[-1] not in repository.files:
            missing.append(path)
    return tuple(dict.fromkeys(found)), tuple(missing)


def _of_files(
    targets: Sequence[str], missing: Sequence[str], edits: Sequence[EditFact], repository: RepositoryFacts | None
) -> list[Signal]:
    found = []
    edited = [path for path in targets if any(edit.path == path for edit in edits)]
    if edited:
        number = sum(1 for edit in edits if edit.path)
        lines = sum(edit.lines for edit in edits if edit.path)
        text = f"{counted(number, 'explicit edit')} ({counted(lines, 'line')}) in {listed(edited)}"
        found.append(Signal("edits", text, float(len(edited))))
    others = [path for path in targets if path not in edited]
    if others:
        found.append(Signal("files", f"{counted(len(others), 'file')} named: {listed(others)}", float(len(others))))
    if missing and repository is not None:
        found.append(Signal("files missing", f"not in the repository: {listed(missing)}", 0.0))
    return found


def _of_renamings(edits: Sequence[EditFact], repository: RepositoryFacts | None) -> list[Signal]:
    names = [edit for edit in edits if edit.old and not edit.path]
    if not names:
        return []
    said = listed([f"{edit.old} to {edit.new}" for edit in names])
    if repository is not None:
        files = {file for edit in names for file in repository.uses.get(edit.old, ()) if not is_test(file)}
        text = f"renaming {said}: used in {counted(len(files), 'file')}"
        return [Signal("renaming", text, max(0.0, len(files) - 1.0))]
    every = any(edit.everywhere for edit in names)
    return [Signal("renaming", f"renaming {said}{' everywhere' if every else ''}", 1.0 if every else 0.5)]


def _of_definitions(
    reading: Reading, targets: Sequence[str], repository: RepositoryFacts | None, found: Sequence[Signal]
) -> list[Signal]:
    """Files that define what is asked about: half of those beyond what is counted already have to change."""
    if repository is None:
        return []
    names = {code.removesuffix("()").rsplit(".", 1)[-1] for part in reading.asked() for code in part.unit.codes}
    files = {file for name in names for file in repository.definitions.get(name, ()) if not is_test(file)}
    files -= set(targets)
    if not files:
        return []
    there = sum(1 for signal in found if signal.name == "code")
    text = f"names of the issue are defined in {listed(sorted(files))}"
    return [Signal("definitions", text, min(max(0, len(files) - there) * 0.5, 3.0))]


def _of_items(
    reading: Reading, targets: Sequence[str], edits: Sequence[EditFact], found: Sequence[Signal]
) -> list[Signal]:
    items = len(reading.items())
    criteria = sum(1 for part in reading.parts if part.role == "criterion" and part.unit.kind == "item")
    rows = sum(1 for part in reading.parts if part.role == "told" and part.unit.kind == "row" and part.unit.codes)
    rows = 0 if any(edit.old and not edit.path for edit in edits) else rows
    beyond = items + (criteria + rows) / 2 - ITEMS_FREE
    if beyond <= 0:
        return []
    one_file = len(targets) == 1 and sum(signal.places for signal in found) <= 1
    weight = 0.2 if one_file else 0.5
    others = [counted(criteria, "criterion", "criteria")] if criteria else []
    others += [counted(rows, "row")] if rows else []
    text = ", ".join([f"{counted(items, 'part')} asked for", *others])
    return [Signal("parts", text, min(beyond * weight, 4.0))]


def _of_breadth(reading: Reading, edits: Sequence[EditFact], repository: RepositoryFacts | None) -> list[Signal]:
    """Words that make a whole project, or every use of something, the place of the work."""
    asked = [part.unit.text for part in reading.parts if part.asks or (part.role == "told" and part.unit.kind == "row")]
    renamed = any(edit.old and not edit.path for edit in edits)
    whole = list(dict.fromkeys(match[0].lower() for text in asked for match in extent.WHOLE.finditer(text)))
    every = list(dict.fromkeys(match[0].lower() for text in asked for match in extent.EVERY.finditer(text)))
    every = [] if renamed else [word for word in every if not any(word in other for other in whole)]
    found = []
    if whole:
        places = 9.0 + min(len(whole) - 1, 2)
        if repository is not None:
            told = any(re.search(r"page|doc|site", words) for words in whole)
            meant = [file for file in repository.files if is_document(file) or not told]
            sources = sum(1 for file in meant if not is_test(file) and not is_by_product(file))
            places = min(places, max(0.0, sources - 1.0))
        found.append(Signal("whole project", f"goes through everything: {listed(whole)}", places))
    if every:
        places = 2.5 + 0.5 * min(len(every) - 1, 2)
        if repository is not None:
            places = min(places, max(0.0, len(repository.files) - 1.0))
        found.append(Signal("every use", f"every one of a kind: {listed(every)}", places))
    return found


def _of_kind(reading: Reading, targets: Sequence[str]) -> list[Signal]:
    """Kinds of work that go through a system: rewriting, porting, dropping support, new subsystems."""
    if targets and only_documents(reading, targets):
        return []  # the documents that it goes through are named
    match = extent.SWEEPING.search(reading.outline.title)
    said = reading.outline.title[slice(*match.span())] if match else ""
    if match and not any(said in code for code in reading.outline.title_codes):
        return [Signal("kind of work", f"the title says: {said}", 3.0)]
    for part in reading.asked():
        if part.role != "title" and (match := extent.SWEEPING.search(part.unit.text)):
            return [Signal("kind of work", f"asked for: {part.unit.text[slice(*match.span())]}", 1.5)]
    return []


def _of_detail(reading: Reading) -> list[Signal]:
    """Many words about what is to be done are about many things."""
    words = sum(len(part.unit.text.split()) for part in reading.asked())
    if words <= WORDS_FREE:
        return []
    return [Signal("detail", f"{words} words about what is asked for", min((words - WORDS_FREE) / 75, 3.0))]


def _open_asks(reading: Reading, edits: Sequence[EditFact]) -> int:
    """Count what is asked for that no explicit edit answers: items without an edited file, and further sentences."""
    edited = {edit.path for edit in edits if edit.path}
    items = [part for part in reading.items() if not edited & set(part.paths)]
    said = sum(1 for part in reading.parts if part.role == "ask" and part.unit.kind == "sentence" and not part.implied)
    answered = sum(1 for edit in edits if edit.path) or 1
    return len(items) + max(0, said - answered)


def _says_what(part: Part) -> bool:
    """Tell whether an order, or a criterion, tells enough for looking afterwards whether it was followed."""
    if part.role not in ("ask", "criterion") or part.unit.kind == "title":
        return False
    return len(_meaning(part.unit.text)) >= (WORDS_SAYING_WHAT if part.role == "ask" else WORDS_SAYING_WHAT - 2)


def _is_specific(reading: Reading) -> bool:
    """Tell whether a wish names what it is about, or a complaint tells what goes wrong and where."""
    title = _meaning(reading.outline.title)
    asked = title.union(*(_meaning(part.unit.text) for part in reading.asked()))
    complains = is_bug(reading) or extent.PERFORMANCE.search(reading.outline.title)
    if complains:
        return len(title) >= WORDS_SAYING_WHERE
    return len(title) >= WORDS_SAYING_WHERE - 1 or len(asked) >= WORDS_SAYING_WHERE


def _meaning(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{3,}", text.lower())) - extent.SAYING_NOTHING


def _is_vague(reading: Reading, targets: Sequence[str], edits: Sequence[EditFact]) -> bool:
    """Tell whether there is nothing to hold on to: no file, name, number, sample, item or criterion."""
    if targets or edits or reading.outline.samples or reading.items():
        return False
    parts = [part.unit for part in reading.parts]
    if sum(len(unit.text.split()) for unit in parts) > VAGUE_WORDS_MAX:
        return False
    if any(_says_what(part) for part in reading.parts) or _is_specific(reading):
        return False
    return not any(
        unit.codes or re.search(r"\d|[\"“«„]|\w[_A-Z]\w*\(|\w_\w|[a-z][A-Z]|\w [A-Z][a-z]+", unit.text)
        for unit in parts
    )
