"""What of an issue counts no more: struck out, done before, or one of several issues in a text that is closed."""

from __future__ import annotations

from twelvefold.agents.edits import AlreadyThere, Applied, apply_edits
from twelvefold.agents.issue import parse_issue
from twelvefold.agents.understanding.structure import understand_issue

FIRST = "Replace `a = 1` with `a = 2` in `a.py`."
SECOND = "Replace `b = 1` with `b = 2` in `a.py`."
THREE = f"""# Epic

## Issue A

{FIRST}

## Issue B

Status: closed

{SECOND}

Also add retries.

## Issue C

Add docs.
"""


def edits(text: str) -> list[tuple[str, str | None]]:
    found, problems = parse_issue(text).edits(["a.py"])
    assert not problems, problems
    return [(edit.path, edit.new) for edit in found]


def test_a_closed_one_of_several_issues_does_not_close_the_others() -> None:
    """Only its own section counts no more: neither its edits are made, nor is told that its wishes are left."""
    issue = parse_issue(THREE)
    assert issue.over is None
    assert edits(THREE) == [("a.py", "a = 2")]
    understood = understand_issue("1.md", THREE).issue
    assert understood.outcome == "actionable"
    assert understood.further[0] == "Add docs"
    assert not any("retries" in wish or "Issue B" in wish for wish in understood.further)


def test_a_status_of_all_of_them_or_at_the_end_is_the_whole_issue_s() -> None:
    """An issue of closed ones only is closed, and so is one that says it after all that it asks for."""
    assert parse_issue(f"# Epic\n\n## 1. A\n\nStatus: done\n\n{FIRST}\n\n## 2. B\n\nStatus: closed\n\n{SECOND}\n").over
    assert parse_issue(f"# Epic\n\n## 1. A\n\n{FIRST}\n\n## 2. B\n\n{SECOND}\n\nStatus: closed\n").over == "closed"


def test_what_is_struck_out_is_no_wish() -> None:
    """It was taken back; what stands beside it in the same item was not."""
    further = understand_issue(
        "1.md", f"# T\n\n{FIRST}\n\n- [ ] ~~add `retries` too~~\n- [ ] ~~x~~ add docs\n"
    ).issue.further
    assert further == ("Add docs",)


def test_what_is_said_to_be_done_is_asked_about() -> None:
    """An order with "(done in #12)" behind it is not carried out once more."""
    found, problems = parse_issue(f"# T\n\n1. {FIRST[:-1]} (done in #12)\n2. {SECOND}\n").edits(["a.py"])
    assert [edit.new for edit in found] == ["b = 2"]
    assert [problem.line for problem in problems] == [3]


def test_a_line_elsewhere_is_no_proof_that_a_diff_was_applied() -> None:
    """Where a diff of one line says at which, the same new line in another place doesn't make it done."""
    diff = "# T\n\n```diff\n--- a/a.py\n+++ b/a.py\n@@ -2 +2 @@\n-    return a * b\n+    return a + b\n```\n"
    found, problems = parse_issue(diff).edits(["a.py"])
    assert not problems
    other = b"def f(a, b):\n    return a - b\ndef g(a, b):\n    return a + b\n"
    made = apply_edits(found, {"a.py": other})
    assert isinstance(made, list)
    assert made[0].reason == "old_text_missing"
    assert isinstance(apply_edits(found, {"a.py": b"def f(a, b):\n    return a + b\n"}), AlreadyThere)
    assert isinstance(apply_edits(found, {"a.py": b"def f(a, b):\n    return a * b\n"}), Applied)


def test_a_diff_may_make_a_file_of_any_name() -> None:
    """A file without an extension is a file where a diff makes it."""
    diff = "# T\n\n```diff\n--- /dev/null\n+++ b/VERSION\n@@ -0,0 +1 @@\n+1.0\n\\ No newline at end of file\n```\n"
    assert edits(diff) == [("VERSION", "1.0")]


def test_a_column_of_files_and_lines() -> None:
    """`src/a.py:3` in a table is that file."""
    table = "# T\n\n| File:line | Before | After |\n|---|---|---|\n| `a.py:3` | `a = 1` | `a = 2` |\n"
    assert edits(table) == [("a.py", "a = 2")]


def test_what_shall_not_be_done_is_not_done() -> None:
    """A section of what not to do changes nothing, and is no wish; one whose heading is a wish is read."""
    text = f"# T\n\n## Do not do\n\n{FIRST}\n\n## Do\n\n{SECOND}\n"
    assert edits(text) == [("a.py", "b = 2")]
    assert understand_issue("1.md", text).issue.further == ()
    assert edits(f"# T\n\n## Don't crash on empty input\n\n{FIRST}\n") == [("a.py", "a = 2")]


def test_an_order_among_examples_is_asked_about() -> None:
    """It may show what somebody would write."""
    found, problems = parse_issue(f"# T\n\n## Example\n\n{FIRST}\n\n## Task\n\n{SECOND}\n").edits(["a.py"])
    assert [edit.new for edit in found] == ["b = 2"]
    assert "example" in problems[0].text


def test_half_a_couple_behind_a_whole_one_is_asked_about() -> None:
    """Neither an old text without a new one nor a second new text is left out silently."""
    half = "# T\n\n### `a.py`\n\nOld: `a = 1`\nNew: `a = 2`\nOld: `b = 1`\n"
    twice = "# T\n\n### `a.py`\n\nOld:\n```\na = 1\n```\nNew:\n```\na = 2\n```\nNew:\n```\na = 3\n```\n"
    assert [problem.text for problem in parse_issue(half).edits(["a.py"])[1]] == [
        "has an old text, and no new one after it"
    ]
    assert "another new text" in parse_issue(twice).edits(["a.py"])[1][0].text


def test_an_old_text_with_other_spacing_is_not_done() -> None:
    """That the new text stands elsewhere doesn't make it so."""
    pair = "# T\n\n### `a.py`\nOld:\n```\n    return a - b   \n```\nNew:\n```\n    return a + b\n```\n"
    made = apply_edits(parse_issue(pair).edits(["a.py"])[0], {"a.py": b"    return a - b\n\n    return a + b\n"})
    assert isinstance(made, list)
    assert "spacing" in made[0].message


def test_the_words_over_a_block_that_is_put_are_no_wish_of_their_own() -> None:
    """They were carried out with it, and so was an item whose file its diff changes."""
    put = "# T\n\nAdd this to the end of `a.py`:\n\n```\nb = 3\n```\n"
    fix = "# T\n\n1. Do it.\n2. And fix `a.py`:\n   ```diff\n   -a = 1\n   +a = 2\n   ```\n"
    assert understand_issue("1.md", put).issue.further == ()
    assert not any("a.py" in wish for wish in understand_issue("1.md", fix).issue.further)


def test_both_files_are_read() -> None:
    """ "in both" is a place like any other."""
    found, _ = parse_issue("# T\n\nReplace `a` with `b` in both `a.py` and `b.py`.\n").edits(["a.py", "b.py"])
    assert [edit.path for edit in found] == ["a.py", "b.py"]


def test_a_choice_or_somebody_else_s_words_are_asked_about() -> None:
    """Of several ways none is taken, nor what somebody is said to have said, nor a suggestion without its old text."""
    for text in (
        f"# T\n\nEither:\n\n- {FIRST}\n- or {SECOND}\n",
        f"# T\n\nOne of these should do:\n\n1. {FIRST}\n2. {SECOND}\n",
        f"# T\n\nThe bot said: {FIRST}\n",
        "# T\n\n`a.py` line 2:\n\n```suggestion\nx = 1\n```\n",
    ):
        found, problems = parse_issue(text).edits(["a.py"])
        assert found == []
        assert problems
