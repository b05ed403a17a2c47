"""Whole issues as different people and programs write them, on a small repository: which bytes come out."""

from __future__ import annotations

import pytest

from twelvefold.agents.edits import Applied, EditFailure, apply_edits
from twelvefold.agents.issue import parse_issue

CORE = "TIMEOUT = 30\nRETRIES = 3\n\n\ndef load(path):\n    with open(path) as f:\n        return f.read()\n"
UTIL = "def clamp(value, low, high):\n    return max(low, min(value, low))\n"
FILES = {
    "src/core.py": CORE,
    "src/util.py": UTIL,
    "lib/core.py": "X = 1\n",
    "README.md": "Run `pip install pkg-dev`, with Python 3.7 or newer\n",
    "docs/list.md": "- one\n- two\n",
    "pyproject.toml": 'version = "1.0.0"\n',
}
OLD, NEW = "    return max(low, min(value, low))\n", "    return max(low, min(value, high))\n"
CLAMPED = {"src/util.py": UTIL.replace(OLD, NEW)}
RAISED = {"src/core.py": CORE.replace("= 30", "= 60")}
BOTH_RAISED = {"src/core.py": CORE.replace("= 30", "= 60").replace("= 3\n", "= 5\n")}


def code(*texts: str, info: str = "python") -> str:
    """A fenced block with these lines or groups of lines."""
    lines = "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)
    return f"```{info}\n{lines}```\n"


def pair(old: str, new: str, first: str = "Current:", second: str = "Should be:", info: str = "python") -> str:
    return f"{first}\n{code(old, info=info)}\n{second}\n{code(new, info=info)}"


def outcome(text: str) -> dict[str, str] | str:
    """The changed files of an issue, or a word for why it changes nothing."""
    issue = parse_issue(text)
    edits, problems = issue.edits(FILES)
    if problems:
        return "incomplete"
    if not edits:
        return "none"
    made = apply_edits(edits, {edit.path: FILES[edit.path].encode() for edit in edits if edit.path in FILES})
    if isinstance(made, Applied):
        return {path: (content or b"").decode() for path, content in made.contents.items()}
    return made[0].reason if isinstance(made, list) else "already"


FIX = pair(OLD, NEW)
HUNK = "@@ -1,2 +1,2 @@\n def clamp(value, low, high):\n-" + OLD + "+" + NEW
NAMES = "--- a/src/util.py\n+++ b/src/util.py\n"
LETTER = "From 0123456789 Mon Sep 17\nFrom: J <j@x>\nSubject: [PATCH] Fix clamp\n\n---\n src/util.py | 2 +-\n\n"
GIT = f"diff --git a/src/util.py b/src/util.py\nindex 12..45 100644\n{NAMES}{HUNK}-- \n2.40.0\n"
SEARCH = f"<<<<<<< SEARCH\n{OLD}=======\n{NEW}>>>>>>> REPLACE\n"
SHAPES = {
    "sentence before": (
        f"The `clamp` in `src/util.py` is off. It currently reads\n\n{code(OLD)}\nbut it should read\n\n{code(NEW)}"
    ),
    "is now, must be": f"In `src/util.py` line 2 is now\n\n{code(OLD)}\nIt must be\n\n{code(NEW)}",
    "instead of": f"In `src/util.py`, instead of\n\n{code(OLD)}\nit should say\n\n{code(NEW)}",
    "we have": f"In `src/util.py` we have\n\n{code(OLD)}\nwhich should instead be\n\n{code(NEW)}",
    "this line": f"### `src/util.py`\nThis line:\n{code(OLD)}\nneeds to be changed to:\n{code(NEW)}",
    "following code": f"### `src/util.py`\nThe following code\n{code(OLD)}\nshould be replaced with\n{code(NEW)}",
    "modified": f"Modify `src/util.py`:\n\nOriginal:\n{code(OLD)}\nModified:\n{code(NEW)}",
    "expected under a file": f"#### src/util.py\nCurrent:\n{code(OLD)}\nExpected:\n{code(NEW)}",
    "numbered headings": f"## 1. src/util.py\n### 1.1 Current\n{code(OLD)}\n### 1.2 Should be\n{code(NEW)}",
    "comments in one block": f"`src/util.py`:\n\n{code('# Before', OLD, '', '# After (fixed)', NEW)}",
    "path as a comment": pair(f"# src/util.py\n{OLD}", f"# src/util.py\n{NEW}", "Before:", "After:"),
    "path as a comment of a diff": code(f"# src/util.py\n-{OLD}+{NEW}", info="diff"),
    "summary": f"<details>\n<summary><code>src/util.py</code></summary>\n\n{FIX}\n</details>\n",
    "sentence about another file": (
        f"### `src/util.py`\nIn `src/core.py`, it is called with floats, so this matters.\n\n{FIX}"
    ),
    "compare another file": "### `src/util.py`\n" + pair(OLD, NEW, "Current (compare `src/core.py`):"),
    "output told before": (
        f"## What happens\nCurrent:\n{code('0', info='')}\nExpected:\n{code('3', info='')}\n"
        f"## Fix in `src/util.py`\n{FIX}"
    ),
    "stated twice": f"### `src/util.py`\n{FIX}\nAs a diff:\n\n{code(NAMES + HUNK, info='diff')}",
    "diff --git alone": code(f"diff --git a/src/util.py b/src/util.py\n{HUNK}", info="diff"),
    "letter in a plain fence": code(LETTER + GIT, info=""),
    "letter without a fence": LETTER + GIT,
    "diff without a fence": f"# clamp\n\nPlease apply:\n\n{NAMES}{HUNK}\nThanks!\n",
    "search without a fence": f"# clamp\n\nsrc/util.py\n{SEARCH}",
    "apply_patch": code(f"*** Begin Patch\n*** Update File: src/util.py\n@@\n-{OLD}+{NEW}*** End Patch", info=""),
    "search and replace": f"## File: `src/util.py`\n### Search\n{code(OLD)}\n### Replace\n{code(NEW)}",
    "place in the label": pair(OLD, NEW, "**Current** (src/util.py:2):", "**Should be**:"),
    "only a title": "# Replace `value, low))` with `value, high))` in `src/util.py`",
    "windows": f"# clamp\n\n{NAMES}{HUNK}".replace("\n", "\r\n"),
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_shapes(text: str) -> None:
    """However people say it, a clear issue gives exactly the one change."""
    assert outcome(text) == CLAMPED


TWO = {
    "chain": "In `src/core.py`, replace `TIMEOUT = 30` with `TIMEOUT = 60` and `RETRIES = 3` with `RETRIES = 5`.",
    "these two lines": (
        "### `src/core.py`\nReplace these two lines:\n"
        f"{code('TIMEOUT = 30', 'RETRIES = 3')}\nwith:\n"
        f"{code('TIMEOUT = 60', 'RETRIES = 5')}"
    ),
    "context shown twice": (
        f"### `src/core.py`\nCurrent:\n{code('TIMEOUT = 30', 'RETRIES = 3', '')}\nShould be:\n"
        f"{code('TIMEOUT = 30', 'RETRIES = 5', '')}\nReplace `TIMEOUT = 30` with `TIMEOUT = 60`."
    ),
    "table": (
        "| # | File | Current code | New code |\n|---|---|---|---|\n"
        "| 1 | src/core.py | `TIMEOUT = 30` | `TIMEOUT = 60` |\n| 2 | `src/core.py` | `RETRIES = 3` | `RETRIES = 5` |\n"
    ),
}


@pytest.mark.parametrize(("name", "text"), TWO.items(), ids=TWO.keys())
def test_two_changes(name: str, text: str) -> None:
    """Two changes of one file are both made; where one shows as it was what the other changes, neither is."""
    assert outcome(text) == ("edits_overlap" if name == "context shown twice" else BOTH_RAISED)


LIST = {
    "colons": "- `README.md`: `pkg-dev` → `other`\n- `src/core.py`: `TIMEOUT = 30` → `TIMEOUT = 60`\n",
    "in": "Edits:\n* in src/core.py: `TIMEOUT = 30` -> `TIMEOUT = 60`\n* in README.md: `pkg-dev` -> `other`\n",
    "line": "1. `README.md`, line 1: `pkg-dev` => `other`\n2. `src/core.py` – `TIMEOUT = 30` => `TIMEOUT = 60`\n",
}


@pytest.mark.parametrize("text", LIST.values(), ids=LIST.keys())
def test_no_item_of_a_list_is_left_out(text: str) -> None:
    """An item whose texts have nothing in common is made like the ones beside it, not dropped without a word."""
    assert outcome(text) == {**RAISED, "README.md": FILES["README.md"].replace("pkg-dev", "other")}


@pytest.mark.parametrize(
    "text",
    [
        "If legal agrees, {}.",
        "{} if legal agrees.",
        "{}, unless somebody objects.",
        "{} once #12 is merged.",
        "{} only when asked.",
        "Perhaps, once there is time, {}.",
        "TODO later: {}.",
        "Option A: {}. Option B: leave it.",
        "In `src/core.py`, replace `TIMEOUT = 30` with `TIMEOUT = 60` or `TIMEOUT = 90`.",
    ],
)
def test_a_condition_is_a_persons_to_judge(text: str) -> None:
    """What is to be done only perhaps, or in one of several ways, is not done."""
    order = "replace `TIMEOUT = 30` with `TIMEOUT = 60` in `src/core.py`"
    assert outcome(text.format(order)) == "incomplete"


@pytest.mark.parametrize(
    "text",
    ["As it is too short: {}.", "If it is slow, the call fails: {}.", "{}, as it fails if the line is slow."],
)
def test_a_reason_is_no_condition(text: str) -> None:
    """A sentence that tells when something fails still orders."""
    assert outcome(text.format("replace `TIMEOUT = 30` with `TIMEOUT = 60` in `src/core.py`")) == RAISED


def test_a_new_file_without_a_last_line_end() -> None:
    """A diff that makes a file whose last line has no end makes exactly that."""
    text = code(
        "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n", info="diff"
    )
    assert outcome(text) == {"new.txt": "one\ntwo"}


PAIR = f"### `src/core.py`\nCurrent:\n{code('TIMEOUT = 30')}\nShould be:\n{code('TIMEOUT = 60')}"
REFUSED = {
    "a line that goes on": (
        f"### `src/core.py`\nCurrent:\n{code('    with open(path)')}\nShould be:\n{code('    with x(path)')}",
        "old_text_missing",
    ),
    "the end of a line": (
        f"### `src/core.py`\nCurrent:\n{code('open(path) as f:')}\nShould be:\n{code('x(path) as f:')}",
        "old_text_missing",
    ),
    "a longer number": ("### `pyproject.toml`\nReplace `1.0` with `1.1`.", "old_text_missing"),
    "a longer name": (
        "### `README.md`\n" + pair("pip install pkg", "pip install p", info=""),
        "old_text_missing",
    ),
    "a table with a row in plain words": (
        "| file | old | new |\n|---|---|---|\n| `src/core.py` | `TIMEOUT = 30` | `TIMEOUT = 60` |\n"
        "| `src/core.py` | RETRIES = 3 | RETRIES = 5 |\n",
        "incomplete",
    ),
    "an insertion beside a pair": (
        f"{PAIR}\nAfter the function\n{code('RETRIES = 3')}\nadd\n{code('DELAY = 1')}",
        "incomplete",
    ),
    "all but one": (
        "In `src/core.py`, replace all occurrences of `path` with `name`, except the one in `load`.",
        "incomplete",
    ),
    "a hidden diff": (f"# clamp\n<!-- as in\n{NAMES}{HUNK}-->\n", "none"),
    "a third text": (
        "In `src/core.py`, replace `TIMEOUT = 30` with `TIMEOUT = 60` and `RETRIES = 3` in the same way.",
        "incomplete",
    ),
    "one shows what another changes": (
        f"{PAIR}\nCurrent:\n{code('TIMEOUT = 30', 'RETRIES = 3')}\nShould be:\n{code('TIMEOUT = 30', 'RETRIES = 5')}",
        "edits_overlap",
    ),
    "a text to be removed beside an order": (
        "In `README.md`, replace `3.7` with `3.9`. Remove `RETRIES = 3` from `src/core.py`.",
        "incomplete",
    ),
    "a line that is an item's text": ("Remove the line `one` from `docs/list.md`.", "old_text_missing"),
    "a line to be commented out beside an order": (
        "In `README.md`, replace `3.7` with `3.9`. Comment out `RETRIES = 3` in `src/core.py`.",
        "incomplete",
    ),
    "texts with nothing in common beside an order of the same kind": (
        "In `README.md`, `pkg-dev` should be `other`. In `src/core.py`, `TIMEOUT = 30` should be `TIMEOUT = 60`.",
        "incomplete",
    ),
    "output and what it should be": (
        f"See `src/core.py`.\n\nCurrent:\n{code('3' + chr(10), info='')}\nExpected:\n{code('5' + chr(10), info='')}",
        "none",
    ),
}


@pytest.mark.parametrize(("text", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_doubt_changes_nothing(text: str, word: str) -> None:
    """What stands there otherwise, or is said by half, changes nothing at all."""
    assert outcome(text) == word


@pytest.mark.parametrize("file", ["`src/util.py`", "src/util.py", "**`src/util.py`**", "`src/util.py` (line 2)"])
def test_an_item_speaks_of_the_file_that_it_begins_with(file: str) -> None:
    """Not of one that an item before it names, although the text stands there as well."""
    first = "- `src/core.py`:\n  - replace `RETRIES = 3` with `RETRIES = 5`\n"
    text = f"# Clean up\n\n{first}- {file}: replace `low` with `least`\n"
    issue = parse_issue(text)
    edits, problems = issue.edits(FILES)
    assert problems == []
    assert [(edit.path, edit.old) for edit in edits] == [("src/core.py", "RETRIES = 3"), ("src/util.py", "low")]


@pytest.mark.parametrize(
    ("order", "file"),
    [("add `B = 2` after `X = 1`", "src/util.py"), ("set `version` to `2.0.0`", "pyproject.toml")],
)
def test_lines_and_settings_go_into_the_file_that_their_item_begins_with(order: str, file: str) -> None:
    """Not into one that an item before it names."""
    text = f"# Clean up\n\n- `src/core.py`:\n  - replace `RETRIES = 3` with `RETRIES = 5`\n- {file}: {order}\n"
    edits, problems = parse_issue(text).edits(FILES)
    assert problems == []
    assert [edit.path for edit in edits] == ["src/core.py", file]


def test_a_stated_line_decides_between_equal_ones() -> None:
    """Where a text stands several times, the line that the issue names tells which is meant."""
    twice = "a = 1\nb = 2\na = 1\n"
    for place in ("### `x.py`, line 3\n", "### `x.py:3`\n"):
        found, _ = parse_issue(place + pair("a = 1", "a = 9")).edits(["x.py"])
        made = apply_edits(found, {"x.py": twice.encode()})
        assert isinstance(made, Applied)
        assert made.contents == {"x.py": b"a = 1\nb = 2\na = 9\n"}
    found, _ = parse_issue("### `x.py`, line 1 and 3\n" + pair("a = 1", "a = 9")).edits(["x.py"])
    assert isinstance(apply_edits(found, {"x.py": twice.encode()}), list)


def test_one_sentence_for_two_files() -> None:
    """A replacement in two files is made in both."""
    found, problems = parse_issue("Replace `1.0` with `1.1` in `a.toml` and `b.json`.").edits(["a.toml", "b.json"])
    assert not problems
    assert [(edit.path, edit.old, edit.new) for edit in found] == [("a.toml", "1.0", "1.1"), ("b.json", "1.0", "1.1")]


def test_overlap_in_context() -> None:
    """Two edits may show the same lines around what they change, as far as neither changes them."""
    old, new = ("TIMEOUT = 30\nRETRIES = 3\n", "TIMEOUT = 60\nRETRIES = 3\n")
    more, less = ("RETRIES = 3\n\n\ndef load(path):\n", "RETRIES = 3\n\n\ndef load(path, mode):\n")
    text = f"### `src/core.py`\n{pair(old, new)}\n{pair(more, less)}"
    assert outcome(text) == {"src/core.py": CORE.replace("= 30", "= 60").replace("(path):", "(path, mode):")}


def test_a_text_inside_of_a_line_is_pointed_at() -> None:
    """The refusal of a block that is only a part of a line names that line."""
    [edit], _ = parse_issue(REFUSED["a line that goes on"][0]).edits(FILES)
    failures = apply_edits([edit], {"src/core.py": CORE.encode()})
    assert isinstance(failures, list)
    assert isinstance(failures[0], EditFailure)
    assert "line 6 it is a part of something longer: with open(path) as f:" in failures[0].message
