"""The single pieces of work that an issue asks for, each with what shows that it is done.

Owns which sentences, list items and explicit edits are work of their own; leaves their order and grouping to
`decomposition`, and their words to `work_wording`. Pure. Keeps: nothing becomes a piece of work that cannot be checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from . import extent_language as extent
from . import issue_language as language
from .complexity_counts import enumerated_in
from .complexity_facts import EditFact, RepositoryFacts
from .issue_kind import is_bug, only_documents
from .issue_units import Part, Reading, asks, orders
from .path_mentions import is_document, is_test
from .work_wording import Kind, check_of, kind_of, kind_of_file, short, subject_of, title_of, words_of

#: A work on everything is listed by folders as long as that helps.
FOLDERS_MAX = 40
#: More pieces than anybody would list; a text that has more is no issue.
ITEMS_MAX = 200
_NOTABLE = re.compile(r"\d|[\"“«„「]|[a-z][A-Z]|\w_\w|\w\(\)|\b[A-Z][\w+]*\.?[A-Za-z]|[^\x00-\x7f]{4}")


class WorkItem(msgspec.Struct, frozen=True):
    """One piece of work: what, where in the issue and in the repository, and what shows that it is done.

    `codes` and `words` are what it shares with others that speak of the same; `creates` are files it brings.
    """

    title: str
    scope: str
    kind: Kind
    line: int
    files: tuple[str, ...]
    checks: tuple[str, ...]
    codes: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    creates: tuple[str, ...] = ()
    parts: tuple[WorkItem, ...] = ()


def work_items(
    reading: Reading,
    edits: Sequence[EditFact],
    targets: Sequence[str],
    repository: RepositoryFacts | None,
    *,
    one_place: bool,
) -> list[WorkItem]:
    """Return the pieces of work in reading order, at least one for an issue with any words.

    `one_place` tells that all of it is thought to be in one file.
    """
    found = [*_of_edits(edits), *_of_renamings(edits, repository)]
    edited = {edit.path for edit in edits if edit.path}
    documents = only_documents(reading, targets)
    for part in _asking(reading, edits):
        if not (part.paths and edited.issuperset(part.paths)):
            found.append(_of_part(part, reading, repository, documents))
    if reading.parts:
        found = _with_title(found, reading, edits, targets, repository, documents)
    found = _with_files(found, reading, targets, one_place)
    return sorted(found, key=lambda item: item.line)[:ITEMS_MAX]


def _asking(reading: Reading, edits: Sequence[EditFact]) -> list[Part]:
    """Return the parts that are work of their own: items; sentences where there are none, or where they add to them."""
    tops = {part.unit.group for part in reading.items() if part.unit.depth == 1}
    items = [part for part in reading.items() if part.unit.depth == 1 or part.unit.group not in tops]
    explicit = any(edit.path for edit in edits)
    renamed = {edit.line for edit in edits if not edit.path}
    found = []
    for part in reading.parts:
        unit = part.unit
        if part.role != "ask" or not _checkable(part) or unit.line in renamed:
            continue
        listed = unit.kind == "row" or (unit.kind == "item" and part in items)
        if listed or (unit.kind == "sentence" and _adds(part, bool(items), explicit)):
            found.append(part)
    return found


def _adds(part: Part, items: bool, explicit: bool) -> bool:
    """Tell whether a sentence is work of its own, beside a list of items or explicit edits."""
    text = part.unit.text
    placed = bool(part.paths) or any(extent.SURFACES[name].search(text) for name in ("documentation", "public names"))
    ordered = orders(part.unit)
    fragment = len(text.split()) <= 4 and text[:1].islower() and not part.unit.codes and not part.paths
    if text.endswith(":") or fragment:
        return False
    if language.MOTIVE.search(text) and not ordered:
        return False
    if explicit:
        return placed
    return not items or ordered or bool(part.paths) or part.among_tasks or bool(language.PROPOSAL.search(text))


def _checkable(part: Part) -> bool:
    """Tell whether one could look and see if it is done: a box, a name, a number, a quoted text, or a full order."""
    unit = part.unit
    if unit.checked is False or part.paths or unit.codes:
        return True
    if len(unit.text.split()) >= 4 or _NOTABLE.search(unit.text[1:]):
        return True
    return any(pattern.search(unit.text) for pattern in extent.SURFACES.values())


def _of_edits(edits: Sequence[EditFact]) -> list[WorkItem]:
    by_file: dict[str, list[EditFact]] = {}
    for edit in edits:
        if edit.path:
            by_file.setdefault(edit.path, []).append(edit)
    found = []
    for path, mine in by_file.items():
        each = tuple(
            WorkItem(
                title=f"Make the edit of line {edit.line} in {path}",
                scope="",
                kind=kind_of_file(path),
                line=edit.line,
                files=(path,),
                checks=(f"{path} has the new text that line {edit.line} of the issue gives, and the old one no more",),
                codes=frozenset([path]),
            )
            for edit in mine
        )
        if len(each) > 1:
            checks = (f"{path} has all {len(each)} new texts, and the old ones no more",)
            title = f"Make {len(each)} edits in {path}"
            found.append(msgspec.structs.replace(each[0], title=title, checks=checks, parts=each))
        else:
            found.append(each[0])
    return found


def _of_renamings(edits: Sequence[EditFact], repository: RepositoryFacts | None) -> list[WorkItem]:
    uses = repository.uses if repository is not None else {}
    return [
        WorkItem(
            title=f"Rename {edit.old} to {edit.new}{' everywhere' if edit.everywhere else ''}",
            scope="",
            kind="code",
            line=edit.line,
            files=tuple(file for file in uses.get(edit.old, ()) if not is_test(file)),
            checks=(f"{edit.new} is there, and {edit.old} is left only where the issue keeps it",),
            codes=frozenset([edit.old, edit.new]),
        )
        for edit in edits
        if edit.old and not edit.path
    ]


def _of_part(part: Part, reading: Reading, repository: RepositoryFacts | None, documents: bool) -> WorkItem:
    unit = part.unit
    files = part.paths or _defining(unit.codes, repository)
    kind: Kind = "documentation" if documents and not part.paths else kind_of(unit.text, part.paths)
    item = WorkItem(
        title=subject_of(title_of(unit.text, unit.codes), reading.outline.title, reading.outline.title_codes),
        scope=unit.text,
        kind=kind,
        line=unit.line,
        files=files,
        checks=(check_of(kind, unit.text, part.paths, unit.codes),),
        codes=frozenset(code for code in unit.codes if len(code) > 2),
        words=words_of(unit.text),
        creates=part.paths[:1] if language.CREATING.search(unit.text) else (),
    )
    return msgspec.structs.replace(item, parts=_below(item, part, reading, repository, documents))


def _below(
    item: WorkItem, part: Part, reading: Reading, repository: RepositoryFacts | None, documents: bool
) -> tuple[WorkItem, ...]:
    """Return the pieces of a piece: nested items, else one for each file, else one for each part of the system."""
    unit = part.unit
    if unit.kind == "item":
        start = reading.parts.index(part) + 1
        nested = []
        for other in reading.parts[start : start + ITEMS_MAX]:
            if other.unit.kind != "item" or other.unit.group != unit.group or other.unit.depth <= unit.depth:
                break
            if other.unit.depth == unit.depth + 1 and other.role == "ask" and _checkable(other):
                nested.append(_of_part(other, reading, repository, documents))
        if nested:
            return tuple(nested)
    if repository is not None and extent.WHOLE.search(unit.text):
        return _by_folder(item, repository)
    several = len(part.paths) > 1
    # Names of the code side by side are values or methods of one thing, not parts of the system.
    names = list(part.paths) if several else [name for name in enumerated_in(unit.text) if name not in unit.codes]
    if len(names) < (2 if several else 4):
        return ()
    return tuple(
        msgspec.structs.replace(
            item,
            title=f"{name}: {item.title}",
            files=(name,) if several else (),
            kind=kind_of_file(name) if several else item.kind,
            checks=(f"the same check, for {name} alone",),
            creates=(),
        )
        for name in names
    )


def _by_folder(item: WorkItem, repository: RepositoryFacts) -> tuple[WorkItem, ...]:
    """Return one piece for each folder of a repository's documents or sources."""
    folders: dict[str, list[str]] = {}
    for path in sorted(repository.files):
        if is_document(path) is (item.kind == "documentation") and not is_test(path) and not path.startswith("."):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
    if not 1 < len(folders) <= FOLDERS_MAX:
        return ()
    return tuple(
        msgspec.structs.replace(
            item,
            title=f"{folder or 'the top'}: {item.title}",
            files=tuple(paths),
            checks=(
                f"the same check, for the {len(paths)} files there" if len(paths) > 1 else f"the same, for {paths[0]}",
            ),
            creates=(),
        )
        for folder, paths in folders.items()
    )


def _with_title(
    found: list[WorkItem],
    reading: Reading,
    edits: Sequence[EditFact],
    targets: Sequence[str],
    repository: RepositoryFacts | None,
    documents: bool,
) -> list[WorkItem]:
    """Make the title a piece of work where nothing else is, or where everything else only goes along with it."""
    title = reading.parts[0]
    text = title.unit.text
    kind: Kind = "documentation" if documents else kind_of(text, title.paths if found else tuple(targets))
    sentence = not reading.outline.titled and asks(title.unit)
    covered = any(item.kind == "code" for item in found) or documents or reading.about_tests or bool(targets)
    said = {code for item in found for code in (*item.codes, *item.files)}
    # "Rename `serve` to `run`": the text below may only tell the rest.
    more = language.ORDER.search(text) is not None and not said.issuperset(title.unit.codes) and not edits
    if found and not (sentence or more) and (covered or kind != "code"):
        return found
    files = title.paths or _defining(title.unit.codes, repository)
    if not found:
        files = tuple(targets) or files
    words = title_of(text, title.unit.codes)
    check = _check_of_title(reading, text, kind)
    base = WorkItem(words, text, kind, title.unit.line, files, (check,), frozenset(title.unit.codes), words_of(text))
    if repository is not None and extent.WHOLE.search(text):
        base = msgspec.structs.replace(base, parts=_by_folder(base, repository))
    if len(targets) < 2 or found:
        return [base, *found]
    return [
        msgspec.structs.replace(
            base,
            title=f"{path}: {base.title}",
            files=(path,),
            kind=kind_of_file(path),
            checks=(f"{path} shows that it is done: {base.title}",),
        )
        for path in targets
    ]


def _check_of_title(reading: Reading, text: str, kind: Kind) -> str:
    """Return what shows that the whole issue is done, whose title may ask or complain."""
    if extent.PERFORMANCE.search(text):
        return "measured before and after in the same way: better, with the same results"
    if language.ORDER.search(text):
        return check_of(kind, text, (), reading.outline.title_codes)
    if is_bug(reading):
        return "what the issue tells happens no more, and a test shows it"
    where = "the documentation" if kind == "documentation" else "a test"
    return f"{where} shows that it is done: {short(text, codes=reading.outline.title_codes)}"


def _with_files(found: list[WorkItem], reading: Reading, targets: Sequence[str], one_place: bool) -> list[WorkItem]:
    """Give each named file that no piece speaks of to the piece that does without its name, or to one of its own."""
    covered = {path for item in found for path in item.files}
    if one_place and len(targets) == 1 and covered <= set(targets):
        kind = kind_of_file(targets[0])
        return [
            item if item.files else msgspec.structs.replace(item, files=tuple(targets), kind=kind) for item in found
        ]
    for part in reading.parts:
        for path in part.paths:
            if path not in targets or path in covered:
                continue
            covered.add(path)
            text = part.unit.text
            shared = [len(words_of(text) & item.words) if not item.files else 0 for item in found]
            best = max(shared, default=0)
            if best >= 2:
                place = shared.index(best)
                found[place] = msgspec.structs.replace(found[place], files=(path,))
                continue
            kind = kind_of_file(path)
            check = f"{path} shows that it is done: {short(reading.outline.title, codes=reading.outline.title_codes)}"
            title = f"{path}: {short(text, codes=part.unit.codes)}"
            found.append(WorkItem(title, text, kind, part.unit.line, (path,), (check,), words=words_of(text)))
    return found


def _defining(codes: Sequence[str], repository: RepositoryFacts | None) -> tuple[str, ...]:
    if repository is None:
        return ()
    found = [file for code in codes for file in repository.definitions.get(code.rstrip("()").split(".")[-1], ())]
    return tuple(sorted({file for file in found if not is_test(file) and not is_document(file)})[:4])
