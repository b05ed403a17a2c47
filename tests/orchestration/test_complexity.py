"""How complex an issue is: accuracy on measured issues, what may and what may not sway it, any text at all."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.agents.assessment import analyze_complexity, decompose, edit_facts
from twelvefold.orchestration import complexity
from twelvefold.orchestration.complexity import Complexity, assess
from twelvefold.orchestration.complexity_facts import EditFact, RepositoryFacts
from twelvefold.orchestration.complexity_signals import Signals, collect
from twelvefold.orchestration.issue_outline import READ_MAX, read_outline

from .complexity_samples import (
    Sample,
    invented,
    measured,
    paraphrased,
    released,
    score,
    shuffled,
    without_code,
    without_lists,
    without_marks,
)

ORDER = list(Complexity)
MEASURED = measured()
NAMES = [sample.name for sample in MEASURED]


def test_levels_have_the_promised_meanings() -> None:
    """Atomic is no decomposition, simple one level, moderate two, complex three, enterprise four."""
    assert [(level.value, level.levels) for level in Complexity] == [
        ("atomic", 0),
        ("simple", 1),
        ("moderate", 2),
        ("complex", 3),
        ("enterprise", 4),
    ]


def test_accuracy_on_measured_issues(capsys: pytest.CaptureFixture[str]) -> None:
    """At least 60 % of the levels measured from real fixes are met exactly, 90 % within one; the matrix is printed."""
    found = score(MEASURED)
    with capsys.disabled():
        sys.stdout.write("\n" + found.shown("measured") + "\n")
    assert len(found.rows) == 17
    assert found.share(0) >= 0.6
    assert found.share(1) >= 0.9


def test_accuracy_on_invented_issues(capsys: pytest.CaptureFixture[str]) -> None:
    """The same holds for five times as many issues that nobody measured, in six languages."""
    found = score(invented())
    with capsys.disabled():
        sys.stdout.write("\n" + found.shown("invented") + "\n")
    assert len(found.rows) >= 80
    assert found.share(0) >= 0.6
    assert found.share(1) >= 0.9


def test_accuracy_on_released_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """What to expect of issues never seen: two in five exactly and nine in ten within one level, kept with reserve."""
    found = score(released())
    with capsys.disabled():
        for half in ("first", "second", "third", "fourth"):
            sys.stdout.write("\n" + score(released(half)).shown(f"released, {half}") + "\n")
    assert len(found.rows) >= 135
    assert found.share(0) >= 0.46
    assert found.share(1) >= 0.88


@pytest.mark.parametrize("sample", released(), ids=[sample.name for sample in released()])
def test_every_subtask_of_a_released_change_can_be_checked(sample: Sample) -> None:
    """No subtask is without something to look at afterwards, and versions and dotted names are no files."""
    found = decompose(sample.text)
    tasks = list(found.subtasks)
    for task in tasks:
        tasks.extend(task.subtasks)
    assert all(task.checks for task in tasks)
    paths = {path for task in tasks for path in task.files} | set(found.assessment.targets)
    assert not [path for path in paths if re.fullmatch(r"v?[\d.]+|[a-z_]+\.[a-z_]+\(\)", path)]


CHANGES: dict[str, Callable[[str], str]] = {
    "lower case": str.lower,
    "paraphrased": paraphrased,
    "without code blocks": without_code,
    "without backticks": without_marks,
    "without lists": without_lists,
    **{f"paragraphs reordered {seed}": functools.partial(shuffled, seed=seed) for seed in range(3)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_accuracy_does_not_hang_on_the_wording(change: str) -> None:
    """Told in other words, another order or another form, the issues keep the accuracy that is asked for."""
    found = score([*MEASURED, *invented()], CHANGES[change])
    assert found.share(0) >= 0.6, found.shown(change)
    assert found.share(1) >= 0.9, found.shown(change)


def test_accuracy_does_not_hang_on_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any one signal left out the measured issues keep the accuracy that is asked for: none is fitted to them."""
    names = {reason.name for sample in MEASURED for reason in analyze_complexity(sample.text).reasons}
    assert len(names) > 10
    for name in sorted(names):

        def without(*given: object, left_out: str = name) -> Signals:
            signals = collect(*given)  # type: ignore[arg-type]
            kept = tuple(signal for signal in signals.found if signal.name != left_out)
            return msgspec.structs.replace(signals, found=kept)

        monkeypatch.setattr(complexity, "collect", without)
        found = score(MEASURED)
        assert found.share(0) >= 0.6, found.shown(f"without {name}")
        assert found.share(1) >= 0.9, found.shown(f"without {name}")


def test_confidence_is_honest() -> None:
    """Where the confidence is high more levels are right than where it is low, and it promises no more than is kept."""
    rows = score([*MEASURED, *invented()]).rows
    sure = [wanted == found for wanted, found, confidence in rows if confidence >= 0.65]
    unsure = [wanted == found for wanted, found, confidence in rows if confidence < 0.5]
    assert sum(sure) / len(sure) >= sum(unsure) / len(unsure)
    mean = sum(confidence for *_, confidence in rows) / len(rows)
    assert mean <= sum(wanted == found for wanted, found, _ in rows) / len(rows)
    unseen = score(released()).rows  # of each batch about a third was met when it was judged blind
    assert sum(confidence for *_, confidence in unseen) / len(unseen) <= 0.42


@pytest.mark.parametrize("sample", MEASURED, ids=NAMES)
def test_files_are_those_that_the_text_names_as_places(sample: Sample) -> None:
    """Examples, tracebacks, output, dotted names and versions are no files; what is to be changed is."""
    judged = analyze_complexity(sample.text)
    assert not set(judged.targets) & set(sample.bait_paths)
    extra = set(judged.targets) - set(sample.named_files)
    assert not extra


def test_named_files_are_found() -> None:
    """Of the files that the measured issues name as places nine in ten are found."""
    wanted = [(sample, path) for sample in MEASURED for path in sample.named_files if not sample.name.startswith("016")]
    found = [path for sample, path in wanted if path in analyze_complexity(sample.text).targets]
    assert len(found) >= 0.9 * len(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "Upgrade to 1.2.3 or 10.2",
        "`logger.info` is called before `a.b.c` is set, see `os.path.join` and `self.html`",
        "See https://example.com/src/main.py and www.example.com/index.html",
        "Node.js and Vue.js, e.g. this, i.e. that, and/or I/O",
        "It prints `response.json()` and reads /etc/hosts.conf, ~/.config/tool.toml and C:/x.py",
        "```\npython src/run.py\n```",
        "    cat src/run.py",
        "> somebody quoted src/run.py",
        "<!-- src/run.py -->",
        'File "site-packages/nats/js/client.py", line 3',
    ],
)
def test_what_is_no_file(text: str) -> None:
    """Versions, dotted names, addresses, products, samples and places of the system are not files."""
    assert assess(f"# Something\n\n{text}\n").targets == ()


@pytest.mark.parametrize(
    "path", ["src/a.py", "main.go", "pkg/__init__.py", "docs/x.rst", "Makefile", ".github/workflows/test.yml", "a.b.ts"]
)
def test_what_is_a_file(path: str) -> None:
    """A file's path is one with or without backticks, with a line number, and at the end of a sentence."""
    for written in (f"`{path}`", f"`{path}:12`", f"{path}.", f"({path})"):
        assert assess(f"# Something\n\nPlease change {written}\n").targets == (path,)


def test_every_level_has_its_reasons() -> None:
    """A judgement says why, each reason with its number of places, and their sum is what the level rests on."""
    for sample in MEASURED:
        judged = analyze_complexity(sample.text)
        assert judged.reasons
        assert all(reason.text for reason in judged.reasons)
        assert judged.places == pytest.approx(max(1.0, sum(reason.places for reason in judged.reasons)), abs=0.02)
        assert 0 < judged.confidence < 1


def test_override() -> None:
    """A human's level counts, the estimate is still told, and a word that is no level is refused."""
    judged = assess("# Rewrite everything in all modules", override="atomic")
    assert (judged.level, judged.overridden, judged.confidence) == (Complexity.ATOMIC, True, 1.0)
    assert judged.estimated is not Complexity.ATOMIC
    assert judged.reasons[0].name == "override"
    assert not assess("x", override=Complexity.SIMPLE).overridden
    with pytest.raises(ValueError, match="tiny"):
        assess("x", override="tiny")


def test_nothing_to_hold_on_to_is_said() -> None:
    """An issue without file, case, number or name is vague, and its confidence is low."""
    judged = assess("# it is slow\n\neverything takes forever, please improve\n")
    assert judged.vague
    assert judged.confidence <= 0.2


#: Where a place is named. Where none is, an edit may tell that a vague wish is a small one.
PLACED = [sample for sample in MEASURED if any(e.path for e in edit_facts(sample.text)) or assess(sample.text).targets]


@pytest.mark.parametrize("sample", PLACED, ids=[sample.name for sample in PLACED])
def test_another_file_with_an_edit_never_lowers_the_level(sample: Sample) -> None:
    """With each further named file and its explicit edit the level stays or rises."""
    text = sample.text
    before = analyze_complexity(text)
    for n in range(11):
        text += (
            f"\n\nIn `extra/module_{n}.py`\n\nCurrent:\n\n```\nold_{n} = 1\n```\n\nShould be:\n\n```\nnew = {n}\n```\n"
        )
        after = analyze_complexity(text)
        assert f"extra/module_{n}.py" in after.targets
        assert ORDER.index(after.level) >= ORDER.index(before.level)
        before = after
    assert ORDER.index(before.level) >= ORDER.index(Complexity.COMPLEX)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 40),
)
def test_edits_add_up(lines: list[int], more: int) -> None:
    """Where the edits are all that is asked for, the level is that of the table, and never falls with one more."""
    edits = [EditFact(f"src/file_{n}.py", count, n) for n, count in enumerate(lines)]
    judged = assess("# Edits", edits)
    files, size = len(edits), sum(lines)
    if files == 1:
        assert judged.level is (Complexity.ATOMIC if size <= 6 else Complexity.SIMPLE)
    else:
        wanted = Complexity.MODERATE if files <= 3 else Complexity.COMPLEX if files <= 10 else Complexity.ENTERPRISE
        assert judged.level is wanted
    after = assess("# Edits", [*edits, EditFact("src/one_more.py", more)])
    assert ORDER.index(after.level) >= ORDER.index(judged.level)


def test_a_repository_replaces_guesses() -> None:
    """How many files use a name that is renamed, whether files are there, and where names are defined, is looked up."""
    text = "# Rename\n\nRename `old_name` to `new_name` everywhere.\n"
    edits = [EditFact("", 2, 3, "old_name", "new_name", everywhere=True)]
    few = RepositoryFacts(frozenset({"a.py", "b.py"}), {"old_name": ("a.py",)})
    many = RepositoryFacts(frozenset(f"m{n}.py" for n in range(30)), {"old_name": tuple(f"m{n}.py" for n in range(20))})
    assert assess(text, edits, few).level is Complexity.SIMPLE
    assert assess(text, edits, many).level is Complexity.ENTERPRISE
    there = RepositoryFacts(frozenset({"src/deep/errors.py"}))
    judged = assess("# Wrong message\n\nPlease correct it in `errors.py` and in `gone.py`", repository=there)
    assert judged.targets == ("src/deep/errors.py", "gone.py")
    assert judged.missing == ("gone.py",)
    small = RepositoryFacts(frozenset({"a.py", "b.py"}))
    assert ORDER.index(assess("# Reformat the whole code base", repository=small).level) <= 2


PIECES = """# |## Steps|- [ ] |1. |```|~~~|`|> |<!--|-->|---|    |src/a.py|please|every|all the|-> |Current:|Should be:|http://
](|[|**|__|(|add|1.2.3|é|请|two files|, |and |the parser must|\ue000|\ue001|\0|\u2028"""
MARKDOWN = st.lists(
    st.sampled_from([*PIECES.replace("\n", "|").split("|"), "\n", "\r", "\t", "| a | b |"]) | st.text(max_size=20),
    max_size=60,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(MARKDOWN)
def test_any_text_is_judged_and_always_the_same_way(text: str) -> None:
    """No text raises, and one text has one judgement."""
    judged = analyze_complexity(text)
    assert judged == analyze_complexity(text)
    assert judged.level in ORDER


HOSTILE = {
    "brackets": "[" * 1_000_000,
    "code marks": "`a " * 300_000,
    "list": "- add a `b` to c.py\n" * 50_000,
    "quotes": ">" * 1_000_000,
    "table": "|a|b|\n|--|--|\n" + "|x|`y`|\n" * 100_000,
    "one word": "a" * 1_000_000,
    "dots": "a." * 500_000,
    "slashes": "a/" * 500_000,
    "commas": "a, " * 300_000,
    "headings": "# a\n" * 250_000,
    "tags": "<a " * 300_000,
    "comments": "<!--" * 250_000,
    "spaces": " " * 1_000_000,
    "sentences": "请。" * 300_000,
    "words": "split the new a every all of the both two " * 24_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_anything_is_judged(name: str) -> None:
    """A text of a megabyte costs no more than its first part, and the judgement says that there was more."""
    text = HOSTILE[name]
    assert len(text) > READ_MAX
    assert "length" in {reason.name for reason in analyze_complexity(text).reasons}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Issue #012: Wrong sum\n\nIt adds.", "Wrong sum"),
        ("---\ntitle: Wrong sum\n---\nIt adds.", "Wrong sum"),
        ("Wrong sum\n=========\n", "Wrong sum"),
        ("Correct the sum. It is wrong.", "Correct the sum."),
        ("- correct the sum\n- and the mean\n", "correct the sum"),
        (
            "# Export __all__ of `pkg/__init__.py` and _more_ **now**\n",
            "Export __all__ of pkg/__init__.py and more now",
        ),
        ("", ""),
    ],
)
def test_the_title(text: str, title: str) -> None:
    """The title is the first heading's, without its number and markup; else the first sentence or item."""
    assert read_outline(text).title == title
