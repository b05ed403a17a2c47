"""Issues for several repositories: each is handed what is said to it, and nothing that is said to another."""

from __future__ import annotations

import pytest

from twelvefold.agents.issue import parse_issue
from twelvefold.agents.repositories.issue_split import Split, split_issue

FILES = {
    "cite": ["cite/core.py", "cite/__init__.py", "README.md", "setup.py"],
    "web-app": ["src/app.js", "src/only.js", "README.md", "package.json"],
}


def edits(split: Split, name: str) -> dict[str, tuple[str | None, str | None]]:
    """What the engine `patch` would do in one of the repositories."""
    found, problems = parse_issue(split.texts[name]).edits(FILES[name])
    assert not problems, problems
    return {edit.path: (edit.old, edit.new) for edit in found}


def block(old: str, new: str, language: str = "python") -> str:
    return f"Current:\n```{language}\n{old}\n```\nShould be:\n```{language}\n{new}\n```\n"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("### cite: cite/core.py", "### web-app: src/app.js"),
        ("### cite: `cite/core.py`", "### web-app: `src/app.js`"),
        ("### `cite/cite/core.py`", "### `web-app/src/app.js`"),
        ("### cite/core.py", "### src/app.js"),
        ("## cite\n\n### `cite/core.py`", "## web-app\n\n### `src/app.js`"),
        ("## Changes in cite\n\nIn `cite/core.py`:", "## Repository: web-app\n\nIn `src/app.js`:"),
        ("## `cite`\n\nIn `cite/cite/core.py`:", "## `web-app` (front end)\n\nIn `web-app/src/app.js`:"),
        ("In `cite/core.py`:", "In `web-app/src/app.js`:"),
        ("**`cite/cite/core.py`**", "**`web-app/src/app.js`**"),
        ("Repository `cite`, file `cite/core.py`:", "In the `web-app` repository, file `src/app.js`:"),
    ],
)
def test_each_repository_gets_its_own_edits(one: str, two: str) -> None:
    """However files and repositories are named, each has its edit with its own name of the file."""
    text = (
        f"# Rename the limit\n\nBoth must agree.\n\n{one}\n{block('A = 1', 'A = 2')}\n{two}\n{block('a = 1', 'a = 2')}"
    )
    split = split_issue(text, FILES)
    assert split.problems == []
    assert edits(split, "cite") == {"cite/core.py": ("A = 1\n", "A = 2\n")}
    assert edits(split, "web-app") == {"src/app.js": ("a = 1\n", "a = 2\n")}
    for part in split.texts.values():
        assert part.count("\n") == text.count("\n")
        assert "Rename the limit" in part
        assert "Both must agree." in part


def test_prose_that_calls_a_repository_by_name_is_its_own() -> None:
    """Where both have a file of a name, the words of the paragraph say which one is meant."""
    one, two = "Repository `cite`, `README.md`: replace `a` with `b`.", "In web-app, `README.md`: replace `c` with `d`."
    text = f"# Two\n\n{one}\n\n{two}\n"
    split = split_issue(text, FILES)
    assert split.problems == []
    assert edits(split, "cite") == {"README.md": ("a", "b")}
    assert edits(split, "web-app") == {"README.md": ("c", "d")}


def test_a_diff_below_such_prose_needs_no_other_name() -> None:
    """The paragraph right before a diff says whose it is; one further up does not."""
    diff = "```diff\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-a\n+b\n```\n"
    split = split_issue(f"# One\n\nRepository `cite`:\n\n{diff}", FILES)
    assert split.problems == []
    assert list(split.texts) == ["cite"]
    assert edits(split, "cite") == {"README.md": ("a\n", "b\n")}
    far = split_issue(f"# One\n\nRepository `cite`: see below.\n\nSomething else.\n\n{diff}", FILES)
    assert len(far.problems) == 1


def test_a_diff_of_one_repository_leaves_no_empty_one_in_another() -> None:
    """Where a whole diff is one repository's, the other is handed no fences around nothing, which no engine takes."""
    diff = "```diff\n--- a/cite/core.py\n+++ b/cite/core.py\n@@ -1 +1 @@\n-a\n+b\n```\n"
    split = split_issue(f"# Both\n\n{diff}\n### `src/only.js`\n\n{block('a', 'b')}", FILES)
    assert edits(split, "web-app") == {"src/only.js": ("a\n", "b\n")}
    assert edits(split, "cite") == {"cite/core.py": ("a\n", "b\n")}


def test_one_diff_is_divided_by_files() -> None:
    """A diff over two repositories goes to each by its files, with their names."""
    text = """# Both

```diff
diff --git a/cite/cite/core.py b/cite/cite/core.py
--- a/cite/cite/core.py
+++ b/cite/cite/core.py
@@ -1 +1 @@
-A = 1
+A = 2
diff --git a/web-app/src/app.js b/web-app/src/app.js
--- a/web-app/src/app.js
+++ b/web-app/src/app.js
@@ -1 +1 @@
-a = 1
+a = 2
```
"""
    split = split_issue(text, FILES)
    assert {path: new for path, (_, new) in edits(split, "cite").items()} == {"cite/core.py": "A = 2\n"}
    assert {path: new for path, (_, new) in edits(split, "web-app").items()} == {"src/app.js": "a = 2\n"}
    plain = text.replace("diff --git a/cite/cite/core.py b/cite/cite/core.py\n", "")
    plain = plain.replace("diff --git a/web-app/src/app.js b/web-app/src/app.js\n", "")
    again = split_issue(plain, FILES)
    assert edits(again, "cite").keys() == {"cite/core.py"}
    assert edits(again, "web-app").keys() == {"src/app.js"}


def test_lines_of_code_are_never_changed() -> None:
    """A path in a block of code stays as it is written there, though it looks like a repository's file."""
    code = 'open("web-app/src/app.js")\n# cite/cite/core.py'
    text = f"# Open\n\n### cite: cite/core.py\n{block(code, code + '.')}"
    split = split_issue(text, FILES)
    assert edits(split, "cite")["cite/core.py"][0] == f"{code}\n"
    assert set(split.texts) == {"cite"}


def test_a_file_that_could_be_in_both_is_asked_about() -> None:
    """README.md is in both, so nothing is guessed; with the repository's name it is clear."""
    text = f"# Say hello\n\n### README.md\n{block('hi', 'hello', 'text')}"
    (problem,) = split_issue(text, FILES).problems
    assert "line 3" in problem
    assert "cite and web-app" in problem
    clear = split_issue(text.replace("### README.md", "### web-app/README.md"), FILES)
    assert clear.problems == []
    assert set(clear.texts) == {"web-app"}
    assert edits(clear, "web-app") == {"README.md": ("hi\n", "hello\n")}


def test_new_files_go_where_their_name_says() -> None:
    """A file that is to be made has no place but its name."""
    text = "# New\n\n### Create `web-app/src/new.js`\n```js\nlet a = 1\n```\n"
    text += "\n### Create `cite/extra.py`\n```python\nA = 1\n```\n"
    split = split_issue(text, FILES)
    assert set(edits(split, "web-app")) == {"src/new.js"}
    # The package is called as its repository, and stands in it.
    assert set(edits(split, "cite")) == {"cite/extra.py"}


def test_an_issue_that_names_nothing_goes_to_all() -> None:
    """A sentence about no file is for each repository to understand."""
    text = "# Say goodbye\n\nEverything should say goodbye at its end.\n"
    split = split_issue(text, FILES)
    assert split.texts == {"cite": text, "web-app": text}


def test_lists_of_files_are_divided_line_by_line() -> None:
    """Of a list of files each repository keeps its own and what is said to all."""
    text = "# Bump\n\n## Files\n- `cite/setup.py`\n- `web-app/package.json`\n- and tell the team\n"
    split = split_issue(text, FILES)
    assert split.texts["cite"] == "# Bump\n\n## Files\n- `setup.py`\n\n- and tell the team\n"
    assert split.texts["web-app"] == "# Bump\n\n## Files\n\n- `package.json`\n- and tell the team\n"


@pytest.mark.parametrize(
    "text", ["", "\n", "```", "---\n", "# \n", "- \n- ", "<!-- a", "\ufeff# x", "a\r\nb", "``` diff\n--- \n"]
)
def test_any_text_can_be_taken_apart(text: str) -> None:
    """Nothing that somebody writes breaks it."""
    assert set(split_issue(text, FILES).texts) == set(FILES)
