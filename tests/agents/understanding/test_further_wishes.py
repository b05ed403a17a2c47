"""What an issue asks for beside its explicit edits is told, never dropped; what only leads to the edits is not."""

from __future__ import annotations

import pytest

from twelvefold.agents.understanding.structure import understand_issue

PAIR = """**`pkg/api.py`**

Current:
```python
DEFAULT_TIMEOUT = 30
```
Should be:
```python
DEFAULT_TIMEOUT = 60
```
"""
ORDER = "replace `TIMEOUT = 30` with `TIMEOUT = 60` in `pkg/conf.py`"


def further(body: str) -> tuple[str, ...]:
    """The wishes of an issue beside its edits, of which there are some."""
    issue = understand_issue("1.md", f"# Raise the timeout\n\n{body}").issue
    assert issue.edits
    return issue.further


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (f"{PAIR}\n## Also\n\n`get_user` should handle None.\n", "get_user should handle None"),
        (f"{PAIR}\nAlso add a test for it.\n", "Add a test for it"),
        (f"{PAIR}\nPlease update the docs accordingly.\n", "Update the docs accordingly"),
        (f"{PAIR}\nAußerdem soll `get_user` mit None umgehen können.\n", "get_user"),
        (f"Please {ORDER}.\n\nThe function `get_user` must not crash on missing names.\n", "get_user"),
        (f"Please {ORDER} and make `get_user` return None for None.\n", "Make get_user return None"),
        ("Replace `A = 3` with `B = 3` in `pkg/api.py`, and update all callers.\n", "Update all callers"),
        (f"## 1. Timeout\n\n{PAIR}\n## 2. Missing names\n\n`get_user(None)` raises.\n", "2. Missing names"),
        (f"## Tasks\n\n- [ ] add a changelog entry\n- [x] ask Tom\n\n{PAIR}", "Add a changelog entry"),
    ],
)  # fmt: skip
def test_a_wish_beside_edits_is_told(body: str, wish: str) -> None:
    """Whatever its place: a section, a sentence behind the edit, the rest of the edit's own sentence, an open item."""
    (told,) = further(body)
    assert wish in told


@pytest.mark.parametrize(
    "body",
    [
        PAIR,
        f"The timeout is too short, please raise it to 60 seconds as shown.\n\n{PAIR}",
        f"We should double it. It needs to be 60.\n\n## Changes\n\n{PAIR}\n## Notes\n\nNo other changes. Thanks!\n",
        f"{PAIR}\nMake sure the tests pass. Run pytest.\n",
        f"{PAIR}\nLet me know if you have questions. I can open a PR.\n",
        f"The default in `pkg/conf.py` is 30 but should be 60.\n\nPlease {ORDER}. See #12.\n",
        f"{PAIR}\n## Acceptance criteria\n\n- The timeout is 60\n- All tests pass\n",
        f"{PAIR}\nThe rest of `pkg/api.py` must stay as it is.\n",
    ],
)
def test_what_only_speaks_of_the_edits_is_not_told(body: str) -> None:
    """Why they are made, how they are checked, what stays, and politeness."""
    assert further(body) == ()


def test_an_issue_without_edits_has_no_further_wishes() -> None:
    """All of it is work, none of it is beside anything."""
    assert understand_issue("1.md", "# Add a flag\n\nAlso add a test.\n").issue.further == ()


@pytest.mark.parametrize("last", ["Edit: please ignore this.", "Never mind, my mistake.", "Update: ignore this issue"])
def test_an_issue_that_was_taken_back_is_over(last: str) -> None:
    """Its last sentence says so, whatever it asked for before."""
    issue = understand_issue("1.md", f"# X\n\nPlease {ORDER}.\n\n{last}\n").issue
    assert (issue.outcome, issue.reason) == ("nothing_to_do", "issue_closed")
