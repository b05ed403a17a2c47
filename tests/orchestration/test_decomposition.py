"""What an issue falls into: subtasks with scope, files, checks and an order that can be followed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from twelvefold.agents.assessment import decompose, edit_facts
from twelvefold.orchestration.complexity import Complexity
from twelvefold.orchestration.complexity_facts import EditFact, RepositoryFacts
from twelvefold.orchestration.decomposition import DEPTH_MAX, Decomposition, Subtask, take_apart
from twelvefold.orchestration.work_wording import short

from .complexity_samples import Sample, invented, measured
from .test_complexity import MARKDOWN

SAMPLES = [*measured(), *invented()]
BY_NAME = {sample.name[:3]: sample for sample in measured()}


def depth(subtasks: tuple[Subtask, ...]) -> int:
    return 1 + max((depth(subtask.subtasks) for subtask in subtasks), default=0) if subtasks else 0


def check_sound(found: Decomposition) -> None:
    """Assert what holds for every decomposition."""
    level = found.assessment.level
    everything = list(found.walk())
    ids = [subtask.id for subtask in everything]
    assert len(ids) == len(set(ids))
    assert depth(found.subtasks) <= min(level.levels, DEPTH_MAX)
    for subtask in everything:
        assert subtask.title.strip()
        assert subtask.checks and all(check.strip() for check in subtask.checks)
        assert set(subtask.depends_on) <= set(ids) - {subtask.id}
        assert len(subtask.subtasks) != 1
    done: set[str] = set()
    waiting = {subtask.id: {*subtask.depends_on, *(below.id for below in subtask.subtasks)} for subtask in everything}
    while waiting:
        ready = {name for name, needs in waiting.items() if needs <= done}
        assert ready, f"a circle among {waiting}"
        done |= ready
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_every_subtask_can_be_checked_and_done_in_order(sample: Sample) -> None:
    """Each subtask has a check of its own, dependencies have no circle, and the tree is no deeper than its level's."""
    found = decompose(sample.text)
    check_sound(found)
    level = found.assessment.level
    assert bool(found.subtasks) is (level is not Complexity.ATOMIC and not found.assessment.vague)


@settings(max_examples=200, deadline=None)
@given(MARKDOWN)
@example("- [ ] \ud7fc")  # a letter that Unicode doesn't have yet, so that it can't be printed
def test_any_text_is_taken_apart_soundly(text: str) -> None:
    """Whatever the text, whatever the level, what comes out can be followed; and it is the same each time."""
    for level in Complexity:
        found = take_apart(text, edit_facts(text), override=level)
        check_sound(found)
        assert found == take_apart(text, edit_facts(text), override=level)


def test_an_atomic_issue_stays_whole() -> None:
    """A typo is one thing; so is a larger issue that a human calls atomic."""
    assert decompose("# Typo in the docstring of `run`\n\nIt says recieves.").subtasks == ()
    assert decompose(BY_NAME["009"].text, override="atomic").subtasks == ()


def test_boxes_become_subtasks_with_their_files() -> None:
    """Open boxes are subtasks with the files they name; one that speaks of another's result comes after it."""
    found = decompose(BY_NAME["002"].text)
    pages = [subtask for subtask in found.subtasks if subtask.files]
    assert [subtask.files for subtask in pages] == [
        ("docs/publish.rst",),
        ("docs/index.rst",),
        ("docs/getting_started.rst",),
    ]
    (script,) = [subtask for subtask in found.subtasks if "shell script" in subtask.title]
    assert script.depends_on == (pages[2].id,)
    assert found.subtasks[-1].depends_on == tuple(subtask.id for subtask in found.subtasks[:-1])
    assert any("#336" in text for text in found.constraints)


def test_a_fault_begins_with_a_test_that_shows_it() -> None:
    """Below a fault the first subtask is a test that fails, and the work comes after it, with what is expected."""
    first, work = decompose(BY_NAME["007"].text).subtasks
    assert first.kind == "tests"
    assert work.depends_on == (first.id,)
    assert any("filter_subjects is given" in check for check in work.checks)


def test_documents_come_after_what_they_describe() -> None:
    """The page about an option is written after the option."""
    code, page, whole = decompose(BY_NAME["013"].text).subtasks
    assert (code.kind, page.kind, whole.kind) == ("code", "documentation", "verification")
    assert page.depends_on == (code.id,)


def test_criteria_are_checks() -> None:
    """An acceptance criterion is a check of the subtask that it speaks of, else of the whole."""
    found = decompose(BY_NAME["009"].text)
    checks = {subtask.id: " ".join(subtask.checks) for subtask in found.walk()}
    (option,) = [subtask for subtask in found.walk() if "three values" in subtask.title]
    assert "on each of the three levels" in checks[option.id]
    assert "recedence" in checks[found.subtasks[-1].id]


def test_code_at_the_beginning_stays_as_it_is_written() -> None:
    """Titles, checks, criteria and constraints that begin with inline code get no capital, wherever it was found."""
    commands = "- `cite --strict bad.bib` exits 1\n- please `cite bad.bib` exits 0 and warns\n- export the rest\n"
    criteria = "\n## Acceptance criteria\n\n- `cite --strict bad.bib` exits 1\n- Expected: `cite a.bib` exits 0\n"
    found = take_apart(f"# Strict mode\n\nAdd a flag `--strict`.\n\n{commands}{criteria}")
    said = [text for subtask in found.walk() for text in (subtask.title, *subtask.checks)]
    assert "cite --strict bad.bib exits 1" in said
    assert "cite a.bib exits 0" in said
    assert not [text for text in said if "Cite" in text]
    # A word is no code because it begins with the same letters.
    assert short("exporting works", codes=("export",)) == "Exporting works"
    assert short("export works", codes=("export",)) == "export works"
    crash = take_apart("# `cite` crashes\n\nIt exits with a traceback.\n\n- Fix the parser\n- Fix the writer\n")
    titles = [subtask.title for subtask in crash.walk()]
    assert "Write a test that shows the fault: cite crashes" in titles


def test_edits_are_checked_word_by_word() -> None:
    """Each file with explicit edits is a subtask that is done when old texts are gone and new ones there."""
    edits = [EditFact("a.py", 2, 3), EditFact("b.py", 2, 9), EditFact("b.py", 4, 15)]
    found = take_apart("# Three edits", edits)
    assert [subtask.files for subtask in found.subtasks[:2]] == [("a.py",), ("b.py",)]
    assert [below.line for below in found.subtasks[1].subtasks] == [9, 15]
    assert "line 3" in found.subtasks[0].checks[0]


def test_steps_and_references_order_the_work() -> None:
    """`then`, `after 1` and `those` order subtasks; two that need each other don't make a circle."""
    text = """# Move the settings

- [ ] write a converter for the old settings files, needs 3
- [ ] then change the loader to read `settings.toml`
- [ ] new file `schema.json` that names all keys, after 1
- [ ] validate with schema in the `check` command
"""
    found = decompose(text, override="complex")
    check_sound(found)
    by_line = {subtask.line: subtask for subtask in found.walk()}
    assert by_line[4].depends_on == (by_line[3].id,)
    assert by_line[5].id in by_line[3].depends_on
    assert by_line[3].id not in by_line[5].depends_on
    assert by_line[5].id in by_line[6].depends_on


def test_what_stays_is_a_constraint_and_no_subtask() -> None:
    """What must not change is checked in the end, and nobody is told to do it."""
    found = decompose(BY_NAME["014"].text)
    assert any("behave as before" in text for text in found.constraints)
    assert not any("channels" in subtask.title for subtask in found.walk())
    assert any("behave as before" in check for check in found.subtasks[-1].checks)


def test_ticked_boxes_are_done() -> None:
    """What is ticked off is no subtask."""
    found = decompose(
        "# Two things\n\n- [x] add `one` to `a.py`\n- [ ] add `two` to `b.py`\n- [ ] add `three` to `c.py`\n"
    )
    assert not any("one" in subtask.title for subtask in found.walk())
    assert any("two" in subtask.title for subtask in found.walk())


def test_a_repository_gives_files_to_subtasks() -> None:
    """A subtask about a name gets the file that defines it; one about everything is listed by folders."""
    files = frozenset(f"docs/{part}/page{n}.md" for part in ("a", "b", "c") for n in range(4))
    facts = RepositoryFacts(files | {"src/core.py"}, {}, {"load_all": ("src/core.py",)})
    named = take_apart("# Wrong order\n\nPlease sort what `load_all` returns, by name.", repository=facts)
    assert ("src/core.py",) in [subtask.files for subtask in named.walk()]
    swept = take_apart(
        "# docs: modernise the samples\n\nPlease go through all pages and use `const`.", repository=facts
    )
    folders = [subtask.files for subtask in swept.walk() if len(subtask.files) == 4]
    assert len(folders) == 3


def test_nothing_to_check_is_nothing_to_do() -> None:
    """A vague issue has no subtasks, whatever level somebody gives it."""
    assert decompose("# it is slow\n\nplease improve\n", override="complex").subtasks == ()
