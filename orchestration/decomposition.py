"""An issue taken apart into subtasks: each with its own scope, files, acceptance check and what it depends on.

Owns grouping, order and dependencies of the pieces that `work_items` finds. Pure and deterministic. Keeps: an atomic
issue stays whole; the tree is never deeper than its level's levels; dependencies never form a circle; every subtask
has something that can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from . import issue_language as language
from .complexity import BOUNDS, Assessment, Complexity, assess_reading
from .complexity_facts import EditFact, RepositoryFacts
from .issue_kind import is_bug
from .issue_units import Part, Reading, understand
from .work_items import WorkItem, work_items
from .work_wording import short, words_of

#: More deeply than this nobody decomposes by reading alone; an enterprise issue's tree ends here.
DEPTH_MAX = 4


#: A criterion belongs to a piece of work if so much of its words is about it.
CRITERION_SHARE = 0.4


class Subtask(msgspec.Struct, frozen=True):
    """One subtask: `id` is its place in the tree (1.2), `line` where the issue speaks of it (0: nowhere).

    `files` are the places that are known for it; `depends_on` are ids of subtasks that have to be done before.
    """

    id: str
    title: str
    kind: str
    line: int
    files: tuple[str, ...]
    checks: tuple[str, ...]
    depends_on: tuple[str, ...] = ()
    subtasks: tuple[Subtask, ...] = ()


class Decomposition(msgspec.Struct, frozen=True):
    """An issue's level with its reasons, its subtasks as a tree, and what must stay as it is."""

    title: str
    assessment: Assessment
    subtasks: tuple[Subtask, ...]
    constraints: tuple[str, ...]

    def walk(self) -> Iterator[Subtask]:
        """Yield all subtasks, each before those below it."""
        rest = list(reversed(self.subtasks))
        while rest:
            subtask = rest.pop()
            yield subtask
            rest += reversed(subtask.subtasks)


def take_apart(
    text: str,
    edits: Sequence[EditFact] = (),
    repository: RepositoryFacts | None = None,
    *,
    override: Complexity | str | None = None,
) -> Decomposition:
    """Judge an issue and take it apart; any text can be. Raises ValueError for an override that is no level."""
    reading = understand(text)
    assessment = assess_reading(reading, edits, repository, override=override)
    kept = [part.unit for part in reading.parts if part.role == "kept"]
    constraints = tuple(dict.fromkeys(short(unit.text, 200, unit.codes) for unit in kept))
    subtasks: tuple[Subtask, ...] = ()
    if assessment.level.levels:
        one_place = assessment.places < BOUNDS[0]
        items = work_items(reading, edits, assessment.targets, repository, one_place=one_place)
        subtasks = () if assessment.vague else _tree(reading, items, assessment.level, constraints)
    return Decomposition(reading.outline.title, assessment, subtasks, constraints)


class _Node(msgspec.Struct):
    """A subtask in the making; `needs` are other nodes, by their place in the list of all."""

    item: WorkItem
    checks: list[str]
    needs: list[_Node]
    below: list[_Node]
    id: str = ""


def _tree(
    reading: Reading, items: list[WorkItem], level: Complexity, constraints: Sequence[str]
) -> tuple[Subtask, ...]:
    depth = min(level.levels, DEPTH_MAX)
    nodes = [_Node(item, list(item.checks), [], []) for item in items]
    _depend(nodes)
    left = _match_criteria(reading, nodes)
    if level is Complexity.SIMPLE:
        top = _with_reproduction(reading, nodes)
        if left and top:
            top[-1].checks += left
    else:
        top = _grouped(reading, _with_reproduction(reading, nodes), depth)
        top.append(_verification(left, constraints, top))
    for node in nodes:
        _spread(node, depth - _depth_of(node, top))
    for number, node in enumerate(top, 1):
        _number(node, str(number))
    return tuple(map(_finished, top))


def _depend(nodes: Sequence[_Node]) -> None:
    """Find what has to come before what: references, words such as "then", files that are made, documents last."""
    for n, node in enumerate(nodes):
        text = node.item.scope
        for found in language.CROSS_REFERENCE.finditer(text):
            number = int(found[1])
            if 1 <= number <= len(nodes):
                _need(node, nodes[number - 1])
        if n and language.AFTER_IT.search(text):
            _need(node, nodes[n - 1])
        for other in nodes[:n]:
            for meant in language.DEMONSTRATIVE.finditer(text):
                if words_of(meant[1]) & other.item.words:
                    _need(node, other)
        for other in nodes:
            made = [path.rsplit("/", 1)[-1].split(".")[0] for path in other.item.creates]
            if other is not node and any(re.search(rf"\b{re.escape(name)}\b", text) for name in made if len(name) > 2):
                _need(node, other)
    for node in nodes:
        if node.item.kind == "documentation":
            code = [other for other in nodes if other.item.kind == "code"]
            same = [other for other in code if node.item.codes & other.item.codes]
            # "Documented, with an example" is about all of it.
            for other in same or ([] if node.item.files else code):
                _need(node, other)


def _need(node: _Node, other: _Node) -> None:
    """Let a node depend on another, unless that one depends on it already."""
    if other is node or other in node.needs:
        return
    seen: list[_Node] = []
    rest = [other]
    while rest:
        one = rest.pop()
        if one is node:
            return
        if one not in seen:
            seen.append(one)
            rest += one.needs
    node.needs.append(other)


def _match_criteria(reading: Reading, nodes: Sequence[_Node]) -> list[str]:
    """Give each criterion to the one piece of work that it speaks of; return those that speak of the whole."""
    left: list[str] = []
    for part in reading.parts:
        if part.role != "criterion" or part.unit.kind == "title":
            continue
        words, codes = words_of(part.unit.text), set(part.unit.codes)
        scores = [len(words & node.item.words) + 2 * len(codes & node.item.codes) for node in nodes]
        best = max(scores, default=0)
        said = _criterion(part)
        if best >= 2 and scores.count(best) == 1 and best >= CRITERION_SHARE * len(words):
            node = nodes[scores.index(best)]
            node.checks.append(said)
        else:
            left.append(said)
    return list(dict.fromkeys(left))


def _criterion(part: Part) -> str:
    text = re.sub(
        r"^\W*(?:acceptance|expected(?: behaviou?r)?|done when|erwartet|attendu|esperado)\W+",
        "",
        part.unit.text,
        flags=re.I,
    )
    return short(text or part.unit.text, 200, part.unit.codes)


def _with_reproduction(reading: Reading, nodes: list[_Node]) -> list[_Node]:
    """Put a test that shows the fault before the work on it."""
    if not nodes or not is_bug(reading) or any(node.item.kind != "code" for node in nodes):
        return nodes
    item = WorkItem(
        title=f"Write a test that shows the fault: {short(reading.outline.title, codes=reading.outline.title_codes)}",
        scope="",
        kind="tests",
        line=reading.outline.samples[0].line if reading.outline.samples else reading.parts[0].unit.line,
        files=(),
        checks=("the test fails before the change, for the reason that the issue tells",),
    )
    first = _Node(item, list(item.checks), [], [])
    for node in nodes:
        node.needs.insert(0, first)
        if node.item.scope == reading.parts[0].unit.text:
            node.checks[0] = "that test passes, and so do all others"
        else:
            node.checks.insert(0, "that test passes")
    return [first, *nodes]


def _grouped(reading: Reading, nodes: list[_Node], depth: int) -> list[_Node]:
    """Put what belongs together below one subtask: by the issue's sections, else by kind, where that parts anything."""
    if depth < 2 or len(nodes) < 4:
        return nodes
    by_kind: dict[str, list[_Node]] = {}
    for node in nodes:
        by_kind.setdefault(node.item.kind, []).append(node)
    if len(by_kind) < 2 or max(map(len, by_kind.values())) < 2:
        return nodes
    top: list[_Node] = []
    for kind, mine in by_kind.items():
        if len(mine) == 1:
            top.append(mine[0])
            continue
        title = f"{kind[:1].upper()}{kind[1:]}"
        files = tuple(dict.fromkeys(path for node in mine for path in node.item.files))
        checks = ("the parts below pass their checks together",)
        top.append(_Node(WorkItem(title, "", mine[0].item.kind, 0, files, checks), list(checks), [], mine))
    return top


def _verification(left: Sequence[str], constraints: Sequence[str], top: Sequence[_Node]) -> _Node:
    checks = [*left, *(f"respected: {text}" for text in constraints)]
    documents = all(node.item.kind == "documentation" for node in top)
    checks.append("the documents build, and nothing else has changed" if documents else "the project's tests pass")
    item = WorkItem("Check the whole against the issue", "", "verification", 0, (), tuple(checks))
    return _Node(item, checks, list(top), [])


def _depth_of(node: _Node, top: Sequence[_Node]) -> int:
    return 1 if any(node is one for one in top) else 2


def _spread(node: _Node, levels: int) -> None:
    """Put the parts of a piece of work below it, as far down as is allowed."""
    if levels < 1 or len(node.item.parts) < 2:
        return
    for part in node.item.parts:
        child = _Node(part, list(part.checks), [], [])
        node.below.append(child)
        _spread(child, levels - 1)


def _number(node: _Node, place: str) -> None:
    node.id = place
    for number, child in enumerate(node.below, 1):
        _number(child, f"{place}.{number}")


def _finished(node: _Node) -> Subtask:
    item = node.item
    needs = tuple(sorted({other.id for other in node.needs}, key=lambda place: [int(n) for n in place.split(".")]))
    return Subtask(
        node.id,
        item.title,
        item.kind,
        item.line,
        item.files,
        tuple(node.checks),
        needs,
        tuple(map(_finished, node.below)),
    )
