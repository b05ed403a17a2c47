"""Reading issues: the shapes in which people state edits, and all that looks like an edit and is none."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twelvefold.agents.edits import EVERY, Edit
from twelvefold.agents.git import check_branch
from twelvefold.agents.issue import parse_issue, slug

FILES = ["a.py", "src/b.py", "src/pkg/__init__.py", "README.md", "conf/x.toml", "Makefile"]

#: A busy machine is no finding.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def edits(text: str) -> list[Edit]:
    """The edits of an issue that says all that they need."""
    found, problems = parse_issue(text).edits(FILES)
    assert not problems, problems
    return found


def short(text: str) -> list[tuple[str, str | None, str | None]]:
    return [(edit.path, edit.old, edit.new) for edit in edits(text)]


def problems(text: str) -> list[tuple[int, str]]:
    found, problems = parse_issue(text).edits(FILES)
    assert not found, found
    return [(problem.line, problem.text) for problem in problems]


def nothing(text: str) -> None:
    """The issue states neither an edit nor a part of one."""
    issue = parse_issue(text)
    assert (issue.pairs, issue.problems) == ([], [])


def block(text: str, info: str = "") -> str:
    return f"```{info}\n{text}\n```\n"


SEARCH = "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE"
PAIRS = {
    "current": f"### 1. `src/b.py`: title\nCurrent:\n{block('x')}\nShould be:\n{block('y')}",
    "bold": f"### `src/b.py`\n**Current**\n\n{block('x')}\n**Should be**\n\n{block('y')}",
    "colon inside bold": f"### `src/b.py`\n**Before:**\n{block('x')}\n**After:**\n{block('y')}",
    "current code": f"### src/b.py\nCurrent code:\n\n{block('x', 'python')}\nNew code:\n{block('y', 'python')}",
    "headings": f"## 1. `src/b.py`\n## Before\n{block('x')}\n## After\n{block('y')}",
    "sub-headings": f"## `src/b.py`\n### Old\n{block('x')}\n### New\n{block('y')}",
    "replace": f"### `src/b.py`\nReplace\n{block('x')}\nwith\n{block('y')}",
    "replace this": f"In `src/b.py`, replace this:\n{block('x')}\nwith this:\n{block('y')}",
    "replace the following": f"Please replace the following code in `src/b.py`:\n{block('x')}\nby:\n{block('y')}",
    "find": "1. Open `src/b.py`\n2. Find:\n   ```\n   x\n   ```\n3. Replace with:\n   ```\n   y\n   ```\n",
    "file line": f"File: `src/b.py`, class `X`\n\nCurrent:\n{block('x')}\nShould become:\n{block('y')}",
    "bold file": f"**src/b.py**\n\nold:\n{block('x')}\nnew:\n{block('y')}",
    "file in label": f"Current (`src/b.py`, line 3):\n{block('x')}\nShould be:\n{block('y')}",
    "in file, current": f"In `src/b.py`, current:\n{block('x')}\nshould be:\n{block('y')}",
    "fence title": f"Before:\n{block('x', 'python title=src/b.py')}\nAfter:\n{block('y', 'python')}",
    "fence path": f"Before:\n{block('x', 'python:src/b.py')}\nAfter:\n{block('y')}",
    "tildes": "### `src/b.py`\nCurrent:\n~~~\nx\n~~~\nShould be:\n~~~\ny\n~~~\n",
    "indented": "### `src/b.py`\nBefore\n\n    x\n\nAfter\n\n    y\n",
    "files to update": f"## Files to Update\n- src/b.py\n\n## How\nCurrent:\n{block('x')}\nShould be:\n{block('y')}",
    "line number": f"### `src/b.py:12`\nCurrent:\n{block('x')}\nShould be:\n{block('y')}",
    "dot slash": f"### `./src/b.py`\nCurrent:\n{block('x')}\nShould be:\n{block('y')}",
    "remark before": f"### `src/b.py`\nCurrent:\n\nThe call as it is now.\n\n{block('x')}\nShould be:\n{block('y')}",
    "file in remark": f"Before:\n\nThis stands in `src/b.py`:\n{block('x')}\nAfter:\n{block('y')}",
    "file in heading of label": f"# T\n#### Before (`src/b.py`)\n{block('x')}\n#### After\n{block('y')}",
    "remark between": f"### `src/b.py`\nCurrent:\n{block('x')}\nThat is wrong.\n\nShould be:\n{block('y')}",
    "typed diff": f"### `src/b.py`\n{block('-x' + chr(10) + '+y', 'diff')}",
    "diff with path": f"{block('-x' + chr(10) + '+y', 'diff src/b.py')}",
    "diff with header": block("--- a/src/b.py\n+++ b/src/b.py\n-x\n+y", "diff"),
    "real diff": block("--- a/src/b.py\n+++ b/src/b.py\n@@ -3 +3 @@ def f():\n-x\n+y", "diff"),
    "git diff": block(
        "diff --git a/src/b.py b/src/b.py\nindex 1..2 100644\n--- a/src/b.py\n+++ b/src/b.py\n@@ -3 +3 @@\n-x\n+y"
    ),
    "wrong counts": block("--- a/src/b.py\n+++ b/src/b.py\n@@ -3,9 +3,7 @@\n-x\n+y", "diff"),
    "from and to": f"## `src/b.py`\nChange from:\n{block('x')}\nto:\n{block('y')}",
    "is": f"## `src/b.py`\nIs:\n{block('x')}\nShould be:\n{block('y')}",
    "proposed fix": f"## `src/b.py`\nCurrent implementation:\n{block('x')}\nProposed fix:\n{block('y')}",
    "suggested": f"## `src/b.py`\nCurrent:\n{block('x')}\nSuggested:\n{block('y')}",
    "marks": f"## `src/b.py`\n❌ Before:\n{block('x')}\n✅ After:\n{block('y')}",
    "sentence": f"The current code in `src/b.py` is:\n\n{block('x')}\nIt should be changed to:\n\n{block('y')}",
    "change this": f"In `src/b.py` change this:\n{block('x')}\nto this:\n{block('y')}",
    "function": f"In `src/b.py`, function `f`, replace\n{block('x')}\nwith\n{block('y')}",
    "line before": f"### `src/b.py`\nLines 12-14, current:\n{block('x')}\nshould be:\n{block('y')}",
    "quotes": f'In file "src/b.py":\n\nCurrent:\n{block("x")}\nShould be:\n{block("y")}',
    "search": f"`src/b.py`\n{block(SEARCH)}",
    "unmarked diff": f"In `src/b.py`:\n{block('-x' + chr(10) + '+y')}",
    "crlf": f"### `src/b.py`\r\nCurrent:\r\n{block('x')}\r\nShould be:\r\n{block('y')}".replace("\r\n", "\n").replace(
        "\n", "\r\n"
    ),
}


@pytest.mark.parametrize("text", PAIRS.values(), ids=PAIRS.keys())
def test_shapes_of_blocks(text: str) -> None:
    """Each of the usual ways to show a block before and after gives the same edit of whole lines."""
    found = edits(f"# Title\n\n{text}")
    assert [(edit.path, edit.old, edit.new, edit.lines) for edit in found] == [("src/b.py", "x\n", "y\n", True)]


INLINE = {
    "replace": "Replace `x` with `y` in `src/b.py`.",
    "in file": "In `src/b.py`, replace `x` with `y`.",
    "please": "Please change `x` to `y` in `src/b.py`, thanks.",
    "rename": "### `src/b.py`\nRename the function `x` to `y`.",
    "from to": "Change the limit in `src/b.py` from `x` to `y`.",
    "two lines": "In `src/b.py`, replace `x`\nwith `y`.",
    "labels": "### `src/b.py`\nCurrent: `x`\nShould be: `y`",
    "list": "### `src/b.py`\n- Before: `x`\n- After: `y`\n",
    "bold labels": "### `src/b.py`\n- **Old:** `x`\n- **New:** `y`\n",
    "table": "### `src/b.py`\n\n| old | new |\n|---|---|\n| `x` | `y` |\n",
    "table with file": "| File | Before | After |\n|---|---|---|\n| `src/b.py` | `x` | `y` |\n",
    "plain path": "Replace `x` with `y` in src/b.py.",
    "plain path first": "In src/b.py, replace `x` with `y`.",
    "line": "In `src/b.py` (line 12), replace `x` with `y`.",
    "second sentence": "This is wrong. Replace `x` with `y` in `src/b.py`.",
}


@pytest.mark.parametrize("text", INLINE.values(), ids=INLINE.keys())
def test_shapes_of_inline_code(text: str) -> None:
    """Each of the usual ways to name two pieces of inline code gives the same edit of a part of a line."""
    found = edits(f"# Title\n\n{text}")
    assert [(edit.path, edit.old, edit.new, edit.lines) for edit in found] == [("src/b.py", "x", "y", False)]


def test_arrow() -> None:
    """An arrow between two versions of a text is an edit; one between a call and its result is none."""
    text = "number in `src/b.py`\n\n`version = '1.0'` -> `version = '1.1'`"
    assert short(text) == [("src/b.py", "version = '1.0'", "version = '1.1'")]
    nothing("see `src/b.py`\n\n`slugify('a b')` -> `a-b-c-d`\n\n`f(1)` → `2`")


def test_should_be() -> None:
    """Of two like texts one may be said to become the other; a result that should be another is no edit."""
    assert short("In `src/b.py` (line 3), `x = 1` should be `x = 2`.") == [("src/b.py", "x = 1", "x = 2")]
    nothing("In `src/b.py`, `slugify('a b')` should be `a-b-c-d`.")


def test_block_content_is_exact() -> None:
    """Tabs, trailing blanks, blank lines and backticks of a block are part of the text."""
    old, new = "\tif x:  \n\n\t\treturn `y`", "    \tz\t"
    found = edits(f"### `src/b.py`\nCurrent:\n````\n{old}\n````\nShould be:\n````\n{new}\n````\n")
    assert [(edit.old, edit.new) for edit in found] == [(f"{old}\n", f"{new}\n")]


def test_several_files_and_several_pairs() -> None:
    """Each pair belongs to the file that was named last before it."""
    pair = f"Current:\n{block('x')}\nShould be:\n{block('y')}"
    text = f"# T\n## Files to Update\n- a.py\n- src/b.py\n\n### 1. `a.py`: one\n{pair}{pair}\n### 2. `src/b.py`\n{pair}"
    assert [path for path, _, _ in short(text)] == ["a.py", "a.py", "src/b.py"]
    text = f"In `a.py`:\n\n{pair}\nIn `README.md`:\n\n{pair}\nReplace `u` with `v` in `Makefile`."
    assert [path for path, _, _ in short(text)] == ["a.py", "README.md", "Makefile"]


def test_dunder_without_backticks() -> None:
    """Markdown takes the underscores of `__init__.py` for emphasis; the path is whole all the same."""
    pair = f"Current:\n{block('x')}\nShould be:\n{block('y')}"
    assert short(f"## Files to Update\n- src/pkg/__init__.py\n\n## Change\n{pair}")[0][0] == "src/pkg/__init__.py"


COUNTS = {
    "Replace all 3 occurrences of `x` with `y` in `a.py`.": 3,
    "In `a.py`, replace both occurrences of `x` with `y`.": 2,
    "Replace `x` with `y` in `a.py`, it occurs 4 times.": 4,
    "Rename `x` to `y` everywhere in `a.py`.": EVERY,
    f"### `a.py`\nCurrent (occurs twice):\n{block('x')}\nShould be:\n{block('y')}": 2,
    f"### `a.py`\nCurrent:\n{block('x')}\n(3 occurrences)\n\nShould be:\n{block('y')}": 3,
    f"### `a.py`\nThe line occurs three times.\n\nCurrent:\n{block('x')}\nShould be:\n{block('y')}": 3,
    f"### `a.py`\nCurrent:\n{block('x')}\nShould be:\n{block('y')}\nThis occurs 5 times.": 5,
    f"### `a.py`\nReplace every occurrence of\n{block('x')}\nwith\n{block('y')}": EVERY,
    f"### `a.py`\nIt fails 3 times a day.\n\nCurrent:\n{block('x')}\nShould be:\n{block('y')}": 1,
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_stated_number(text: str, count: int) -> None:
    """A stated number of occurrences is taken up; any other number isn't."""
    assert [edit.count for edit in edits(f"# T\n\n{text}")] == [count]


def test_diff_with_several_files() -> None:
    """Each hunk is an edit of its own, with the line at which it says to stand; /dev/null makes or removes a file."""
    diff = (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n@@ -11,2 +11,3 @@\n u\n+v\n w\n"
        "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+n\n--- a/src/b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-o"
    )
    found = edits(block(diff, "diff"))
    assert [(edit.path, edit.old, edit.new, edit.at_line) for edit in found] == [
        ("a.py", "x\ny\n", "x\nz\n", 1),
        ("a.py", "u\nw\n", "u\nv\nw\n", 11),
        ("new.py", None, "n\n", 0),
        ("src/b.py", "o\n", None, 1),
    ]


@pytest.mark.parametrize("numbers", ["-1 +1", "-1 +1,2", "-1,9 +1,9", "-1,0 +1"])
def test_no_line_of_a_diff_is_lost(numbers: str) -> None:
    """Whatever a hunk's header says about the number of its lines, all of them count."""
    found = edits(block(f"--- a/a.py\n+++ b/a.py\n@@ {numbers} @@\n-x\n+y\n+z", "diff"))
    assert [(edit.old, edit.new) for edit in found] == [("x\n", "y\nz\n")]


def test_patch_of_git_format_patch() -> None:
    """A patch with its letter head and signature is a diff like any other."""
    patch = (
        "From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH] T\n\n- a list\n---\n a.py | 2 +-\n\n"
        "diff --git a/a.py b/a.py\nindex 1..2 100644\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n-- \n2.39.5\n"
    )
    assert short(block(patch, "diff")) == [("a.py", "x\n", "y\n")]


def test_typed_diff_with_gaps() -> None:
    """In a diff typed by hand, `@@` and `...` part two places, and blank lines are context."""
    typed = block("-x\n+y\n...\n u\n\n-w", "diff")
    found = edits(f"### `a.py`\n{typed}")
    assert [(edit.old, edit.new) for edit in found] == [("x\n", "y\n"), ("u\n\nw\n", "u\n\n")]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (f"# T\n\nBefore:\n{block('x')}\nAfter:\n{block('y')}", 3, "no file is named"),
        (f"# T\nold\n{block('x', 'js')}\nnew\n{block('y', 'js')}", 2, "no file is named"),
        (f"In `a.py` or `src/b.py`:\n\nBefore:\n{block('x')}\nAfter:\n{block('y')}", 3, "several files"),
        (f"### `a.py` and `src/b.py`\nBefore:\n{block('x')}\nAfter:\n{block('y')}", 2, "several files"),
        (f"### `a.py`\nCurrent:\n{block('x')}\nShould be:\n{block('x')}", 2, "the same text twice"),
        (f"### `a.py`\nCurrent:\n```\n\n```\nShould be:\n{block('x')}", 2, "no old text"),
        (f"### `a.py`\nCurrent:\n{block('x')}", 2, "no new one"),
        (f"### `a.py`\nFind:\n{block('x')}\nand see to it that it works\n{block('y')}", 2, "no new one"),
        (f"### `a.py`\nAdd this after the loop:\n{block('x')}", 2, "something else"),
        (f"### `a.py`\nThen insert the block:\n\n{block('x')}", 2, "something else"),
        (f"### `a.py`\n{block('+x', 'diff')}", 3, "does not say where"),
        (f"### `a.py`\n{block('-x' + chr(10) + 'y', 'diff')}", 4, "starts with none"),
        (f"### `a.py`\n{block('rename from a' + chr(10) + '-x' + chr(10) + '+y', 'diff')}", 2, "renames"),
        (f"### `a.py`\n{block(' x', 'diff')}", 2, "changes nothing"),
    ],
)
def test_what_is_missing_is_said(text: str, line: int, part: str) -> None:
    """A pair that can't be an edit is told with its line and what it lacks."""
    found = problems(text)
    assert [number for number, _ in found] == [line]
    assert part in found[0][1]


def test_a_named_file_that_is_not_there_is_not_traded_for_another() -> None:
    """The nearest named file counts even where it doesn't exist, so that no other one is edited in its place."""
    pair = f"Current:\n{block('x')}\nShould be:\n{block('y')}"
    text = f"## Files to Update\n- a.py\n\n## 1. `a.py`\n### `src/gone.py`\n{pair}"
    assert [path for path, _, _ in short(text)] == ["src/gone.py"]


NO_EDITS = {
    "output": f"In `a.py`.\n\nGenerated now:\n{block('x')}\nShould be generated:\n{block('y')}",
    "actual and expected": "See `a.py`\n\n## Actual\n`1`\n\n## Expected\n`2`\n",
    "actual output": f"See `a.py`\n\n## Actual output\nBefore:\n{block('x')}\nAfter:\n{block('y')}",
    "behaviour": f"`a.py`\n\nCurrent behaviour:\n{block('x')}\nExpected behaviour:\n{block('y')}",
    "traceback": block('Traceback (most recent call last):\n  File "a.py", line 41, in start\n    x\nValueError: y'),
    "program": block("# a.py\nimport x\nold = 1\nnew = 2", "python"),
    "table of values": "`a.py`\n\n| value | meaning |\n|---|---|\n| `x` | `y` |\n",
    "negation": "Do not replace `x` with `y` in `a.py`. Don't change `x` to `y`, and never rename `x` to `y`.",
    "not now": "In `a.py`, we should not just replace `x` with `y`.",
    "past": "We replaced `x` with `y` in `a.py`, and it broke. If you change `x` to `y`, it crashes.",
    "quoted": "> Replace `x` with `y` in `a.py`\n",
    "comment": "<!-- Replace `x` with `y` in `a.py` -->\n",
    "struck": "~~Replace `x` with `y` in `a.py`.~~",
    "in code": block("Replace `x` with `y` in `a.py`"),
    "alternatives": "## Alternatives\nReplace `x` with `y` in `a.py`.\n",
    "prose": "Change the behaviour of `a.py` so that `x` leads to `y`.",
    "requirements": "raise the timeout from 15 minutes in `conf/x.toml`.\n\n- the timeout is 60 minutes\n",
    "empty": "",
    "title": "# Fix it",
}


@pytest.mark.parametrize("text", NO_EDITS.values(), ids=NO_EDITS.keys())
def test_what_is_no_edit(text: str) -> None:
    """Output, examples, tables, tracebacks, quotations and what must not be done never become an edit."""
    nothing(text)


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("Status: open", None),
        ("Status: **Closed**", "Closed"),
        ("## Status\nRESOLVED in 1.4.2 (PR #88)\n\n## More\n", "RESOLVED in 1.4.2 (PR #88)"),
        ("## Status\nopen, will be fixed", None),
        ("---\ntitle: A thing\nstatus: done\n---\n# Other", "done"),
        ("Type: bug\nPriority: low\nStatus: won't fix", "won't fix"),
        ("The status is closed.", None),
        ("Status: reopened", None),
        ("Fixed by nobody", None),
    ],
)
def test_status(text: str, over: str | None) -> None:
    """An issue that says of itself that it is settled is recognised, and only such a one."""
    assert parse_issue(f"{text}\n").over == over


@pytest.mark.parametrize(
    ("text", "name", "title"),
    [
        ("# Issue #001: ISO timestamps", "", "ISO timestamps"),
        ("\ufeff# `load` drops **keys**\n", "", "load drops keys"),
        ("#12 - Crash\n", "", "Crash"),
        ("something is off\nreally", "", "something is off"),
        ("## Only a section\ntext", "", "Only a section"),
        ("---\ntitle: 'From the front'\n---\n# Other", "", "From the front"),
        ("", "issues/017-session-timeout.md", "017 session timeout"),
        ("", "", "Untitled issue"),
    ],
)
def test_title(text: str, name: str, title: str) -> None:
    """The title is the first heading's words, else the first line's, else the file's name."""
    assert parse_issue(text, name).title == title


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("ISO timestamps lose a microsecond", "iso-timestamps-lose-a-microsecond"),
        ("La documentación empuja a usar `attribute`", "la-documentacion-empuja-a-usar-attribute"),
        ("../../etc/passwd; rm -rf / --force", "etc-passwd-rm-rf-force"),
        ("日本語", "issue"),
        ("x" * 100, "x" * 40),
    ],
)
def test_slug(title: str, expected: str) -> None:
    """A title becomes a short piece of a branch's name."""
    assert slug(title) == expected


@unhurried
@given(st.text(max_size=300))
def test_any_title_makes_a_branch(title: str) -> None:
    """Whatever an issue is called, its branch is one that publishing takes."""
    assert check_branch(f"refs/heads/twelvefold/{slug(title)}-{'0' * 32}")


PIECES = """\
Current:|Should be:|Before|After:|Replace `x`|with `y`|`a.py`|### `a.py`|```|```diff|-x|+y| z|@@ -1 +1 @@|--- a/a.py
+++ b/a.py|a ? b|> q|- item|    code|text|Status: closed|---|title: x|all 3 occurrences|`x` -> `xy`|# T|@@|...|<!--|-->
\\ No newline at end of file|rename from x|[a](b)|**old**|~~~|1. find:|_new_:|In `a.py`, change|from `x` to `y`|:"""
words = st.sampled_from(
    [
        *PIECES.replace("\n", "|").split("|"),
        "| old | new |",
        "|---|---|",
        "| `x` | `y` |",
        "",
        "\t\t",
        "\ufeff",
        "\0",
        "\ue000",
    ]
)


@unhurried
@given(st.lists(words, max_size=30).map("\n".join))
def test_any_text_is_read(text: str) -> None:
    """No text breaks the reading, and every edit has a file, an old text to look for and a line of the issue."""
    issue = parse_issue(text)
    found, problems = issue.edits(FILES)
    assert len(found) + len(problems) >= len(issue.pairs)
    for edit in found:
        assert edit.path
        assert edit.old is None or edit.old.strip()
        assert 1 <= edit.line <= text.count("\n") + 2
