"""What each part of an issue is for: asked for, a criterion, kept as it is, done already, a step to see the fault.

Owns the judgement of single sentences and list items by their words and their place, and which files they speak of;
leaves sums over them to `complexity_signals`. Pure.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from . import issue_language as language
from .issue_outline import Outline, Section, Unit, read_outline
from .path_mentions import is_by_product, is_test, normal, paths_in

#: A title of so few words names something; a longer one tells something.
NAME_WORDS_MAX = 2
Role = Literal["title", "ask", "criterion", "kept", "done", "step", "told"]


class Part(msgspec.Struct, frozen=True):
    """A unit of the outline with its role and the files that it speaks of as places of the work.

    `among_tasks` tells that its section is the one that says what is to be done, `implied` that only the title makes
    a sentence one that asks.
    """

    unit: Unit
    role: Role
    paths: tuple[str, ...] = ()
    among_tasks: bool = False
    implied: bool = False

    @property
    def asks(self) -> bool:
        """Tell whether something is wanted here."""
        return self.role in ("title", "ask", "criterion")


class Reading(msgspec.Struct, frozen=True):
    """An issue as it was understood: its parts in reading order, and the files named as places of the work."""

    outline: Outline
    parts: tuple[Part, ...]
    targets: tuple[str, ...]
    about_tests: bool

    def asked(self) -> list[Part]:
        """Return the parts that want something, the title first."""
        return [part for part in self.parts if part.asks]

    def items(self) -> list[Part]:
        """Return what is asked for as items of a list, criteria left out."""
        return [part for part in self.parts if part.role == "ask" and part.unit.kind == "item"]


def understand(text: str) -> Reading:
    """Read an issue; any text has a reading."""
    outline = read_outline(text)
    kinds = _section_kinds(outline.sections)
    stepwise = _stepwise_lists(outline)
    parts = []
    ordered = language.ORDER.search(outline.title) is not None or _names_a_feature(outline)
    introductions = {unit.intro for unit in outline.units if unit.intro}
    for unit in outline.units:
        role, implied = _role(unit, kinds[unit.section], unit.group in stepwise), False
        if role == "told" and ordered and unit.kind == "sentence" and _specifies(unit):
            role, implied = "ask", True
        if unit.kind != "title" and unit.text in introductions and len(unit.text.split()) <= 4:
            role = "told"
        paths = () if role in ("kept", "done", "step") else _places(unit)
        parts.append(Part(unit, role, paths, kinds[unit.section] == "tasks", implied))
    tests = language.TESTS.search(outline.title) or language.NAMED_TEST.search(outline.title)
    about_tests = bool(tests) and not language.FIX_TESTED.search(outline.title)
    named = [path for part in parts for path in part.paths]
    headed = [path for section in outline.sections for path in paths_in(section.heading, (section.heading,))]
    headed += [path for sample in outline.samples for path in _of_info(sample.info)]
    wanted = [path for path in dict.fromkeys([*named, *headed]) if not is_by_product(path)]
    # The tests come with every change; they are its size only where they are what is wrong.
    targets = [path for path in wanted if about_tests or not is_test(path)]
    return Reading(outline, tuple(parts), tuple(_without_short_forms(targets)), about_tests)


def _names_a_feature(outline: Outline) -> bool:
    """Tell whether the title is no more than the name of what is wanted: "Rate limiting"."""
    title = outline.title
    return not outline.samples and len(title.split()) <= NAME_WORDS_MAX and not language.BACKGROUND.search(title)


def _of_info(info: str) -> list[str]:
    """Return the path behind a code block's fence: `python src/a.py`, `title="src/a.py"`."""
    words = info.replace('"', " ").replace("'", " ").replace("=", " ").replace(":", " ").split()[1:]
    return [path for word in words for path in paths_in(normal(word), (normal(word),))][:1]


def _without_short_forms(paths: list[str]) -> list[str]:
    """Leave `setup.py` out beside `lib/setup.py` only where it is the same file said more shortly: a folder's."""
    # `CONTRIBUTING` beside `CONTRIBUTING.md` is the same file.
    paths = [path for path in paths if "." in path or not any(other.startswith(f"{path}.") for other in paths)]
    longer = [path for path in paths if "/" in path]
    return [path for path in paths if "/" in path or sum(other.endswith("/" + path) for other in longer) != 1]


def _section_kinds(sections: tuple[Section, ...]) -> list[str]:
    """Return for each section what it holds; a section below another one is of its kind unless it has its own."""
    kinds: list[str] = []
    above: list[tuple[int, str]] = []
    for section in sections:
        kind = _kind(section.heading)
        while above and above[-1][0] >= section.level:
            above.pop()
        if not kind and above:
            kind = above[-1][1]
        above.append((section.level, kind))
        kinds.append(kind)
    return kinds


def _kind(heading: str) -> str:
    if not heading or paths_in(heading, (heading,)):
        return ""
    for kind, pattern in (
        ("acceptance", language.ACCEPTANCE),
        ("expected", language.EXPECTED),
        ("aside", language.ASIDE),
        ("reproduction", language.REPRODUCTION),
        ("tasks", language.TASKS),
    ):
        if pattern.search(heading):
            return kind
    return ""


def _stepwise_lists(outline: Outline) -> set[int]:
    """Return the numbered lists that show how to see a fault: with samples or commands in them, and nothing
    asked for.
    """
    shown = {sample.group for sample in outline.samples if sample.group}
    asking = {unit.group for unit in outline.units if unit.group and asks(unit)}
    numbered = {unit.group for unit in outline.units if unit.ordered}
    typed = {unit.group for unit in outline.units if unit.group and unit.codes[:1] == (unit.text,) and " " in unit.text}
    return ((shown | typed) & numbered) - asking


def orders(unit: Unit) -> bool:
    """Tell whether a unit is an order: it begins with a verb, which is not a name in inline code."""
    named = any(unit.text.startswith(code) for code in unit.codes[:1])
    return not named and language.ORDER.search(unit.text) is not None


def asks(unit: Unit) -> bool:
    """Tell whether a unit's own words ask for something."""
    return orders(unit) or language.ASK.search(unit.text) is not None


def _role(unit: Unit, section: str, stepwise: bool) -> Role:
    text = unit.text
    if unit.kind == "title":
        return "title"
    if unit.checked:
        return "done"
    if section == "reproduction" and unit.kind == "sentence" and language.CAUSE.search(text):
        return "told"  # not how to see the fault, but where it is
    if section == "reproduction" or stepwise or (unit.intro and language.STEPS.search(unit.intro[-60:])):
        return "step"
    if section == "aside" and unit.checked is None:
        return "told"
    if unit.kind == "sentence" and len(text.split()) <= 4 and text.endswith(":"):
        return "told"  # a label, or what leads to a list
    if unit.kind != "row" and _keeps(unit):
        return "kept"
    if section in ("acceptance", "expected") or language.ACCEPTANCE.search(unit.intro or text):
        return "criterion"
    if unit.kind == "sentence" and language.EXPECTED.search(text):
        return "criterion"
    if language.TURNED_DOWN.search(text) and unit.kind == "sentence":
        return "told"
    if unit.kind == "item":
        return "criterion" if language.RULES.search(unit.intro) else "ask"
    if unit.kind == "row":
        return "ask" if section == "tasks" else "told"
    if language.WISH.search(text) and not text.endswith(":"):
        return "ask"
    return "ask" if asks(unit) or (section == "tasks" and len(text.split()) > 4) else "told"


def _specifies(unit: Unit) -> bool:
    """Tell whether a sentence below a title that orders something says what shall be, and not what is."""
    words = len(unit.text.split())
    return words > 4 and not language.BACKGROUND.search(unit.text) and not language.TURNED_DOWN.search(unit.text)


def _keeps(unit: Unit) -> bool:
    """Tell whether a unit only says what stays; one that asks for something in another clause does more."""
    if not language.KEPT.search(unit.text) or (unit.kind == "item" and orders(unit)):
        return False
    clauses = re.split(r"[;:]|[.!?] |, (?:but|and|aber|und|mais|pero) ", unit.text)
    others = [clause for clause in clauses if not language.KEPT.search(clause)]
    wanted = [clause for clause in others if language.ASK.search(clause) or language.ORDER.search(clause)]
    return all(language.NEGATED.search(clause) for clause in wanted)


def _places(unit: Unit) -> tuple[str, ...]:
    """Return the files of a unit, without those that only stand for an example."""
    found = []
    for path in paths_in(unit.text, unit.codes):
        before = unit.text[: max(unit.text.find(path), 0)][-40:].rstrip("`\"' (")
        if not language.EXAMPLE.search(before):
            found.append(path)
    return tuple(found)
