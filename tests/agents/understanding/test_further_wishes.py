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
        (f"{PAIR}\n- add an option for the timeout\n", "Add an option for the timeout"),
        (f"{PAIR}\n- `pkg/api.py`: validate the input\n", "validate the input"),
        (f"{PAIR}\n## Acceptance criteria\n\n- A new option exists\n- The timeout is 60\n", "A new option exists"),
        (f"{PAIR}\nDon't forget the changelog.\n", "changelog"),
        (f"{PAIR}\nDo the same in `pkg/web.py`.\n", "pkg/web.py"),
        (f"{PAIR}\n`pkg/net.py` crashes when the host is empty.\n", "pkg/net.py crashes"),
        (f"{PAIR}\nIt should also warn below the header.\n", "warn"),
        (f"{PAIR}\nIt should warn when it is reached.\n", "warn"),
        (f"{PAIR}\nClose the file handle in `pkg/io.py`.\n", "Close the file handle"),
        (f"{PAIR}\nKeep every request below it in the client.\n", "Keep every request"),
        (f"{PAIR}\nMake all handlers async.\n", "Make all handlers async"),
        (f"{PAIR}\nAll tests should use the new fixture.\n", "fixture"),
        (f"{PAIR}\nThanks, and please also update the docs!\n", "docs"),
        (f"{PAIR}\nOptionally, add a progress bar.\n", "progress bar"),
        (f"{PAIR}\nドキュメントも更新してください。\n", "更新"),
        (f"{PAIR}\nMettez aussi à jour la documentation.\n", "documentation"),
        (f"{PAIR}\n## Add a changelog entry\n", "Add a changelog entry"),
        (f"## Parser\n\nIt crashes on empty input.\n\n## Timeout\n\n{PAIR}", "Parser"),
        (f"## Bug A\n\nThe parser crashes.\n\n## Bug B\n\n{PAIR}", "Bug A"),
        (f"{PAIR}\n| Task | Who |\n|---|---|\n| Add retries | Tom |\n", "Add retries"),
        (f"{PAIR}\nThe CLI should accept:\n\n```\ntool --slow\n```\n", "The CLI should accept: tool --slow"),
        (f"The CLI should accept:\n\n```\ntool --slow\n```\n\n{PAIR}", "The CLI should accept: tool --slow"),
        (f"{PAIR}\nThe config must support:\n\n- profiles\n- includes\n", "must support: profiles, includes"),
        (f"{PAIR}\nExpected: the tool prints a warning on slow networks.\n", "prints a warning"),
        (f"{PAIR}\nAcceptance: the tool exits with 2 for bad input.\n", "exits with 2"),
        (f"{PAIR}\n## Expected behavior\n\nUsers see a progress bar meanwhile.\n", "progress bar"),
        (f"{PAIR}\n- [ ] docs\n", "Docs"),
        (f"{PAIR}\nMerci d'ajouter un test.\n", "ajouter un test"),
        (f"{PAIR}\n`pkg/web.py` has the same problem.\n", "the same problem"),
        (f"{PAIR}\nUsers want dark mode.\n", "dark mode"),
        (f"{PAIR}\nReemplaza `A = 1` por `A = 2` en `pkg/web.py`.\n", "Reemplaza"),
        (f"{PAIR}\nIn pkg/web.py the constant RETRIES goes from 3 to 4.\n", "RETRIES"),
        (f"{PAIR}\nIn addition, dark mode.\n", "dark mode"),
        (f'{PAIR}\nIn pkg/web.py, replace "A = 1" with "A = 2".\n', "A = 2"),
        (f"{PAIR}\nIn `pkg/web.py`, use `A = 2` instead of `A = 1`.\n", "instead of A = 1"),
        (f"{PAIR}\npkg/web.py: A = 1 -> A = 2\n", "A = 1 -> A = 2"),
        (f"{PAIR}\nOn line 3 of pkg/web.py, swap the two arguments.\n", "swap the two"),
        (f'In pkg/web.py, replace "A = 1" with "A = 2".\n\n{PAIR}', "A = 2"),
        (f"{PAIR}\nThe same in `pkg/web.py`.\n", "The same in"),
        (f"Please {ORDER}; update callers accordingly.\n", "Update callers"),
        (f"Please {ORDER} & update the callers.\n", "Update the callers"),
        (f"Please {ORDER} while adding a warning.\n", "warning"),
        ("In `pkg/api.py`, replace `A = 3` with `B = 3` and `C = 3` with `D = 3`, and update it.\n", "Update it"),
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
        "Rename `pkg/a.py` to `pkg/b.py`.\n",
        "Delete the file `pkg/a.py`.\n",
        "Bump the version to 1.3.0 in `pyproject.toml` and `package.json`.\n",
        f"{PAIR}\n## Checklist\n\n- [ ] I would be willing to open a PR\n- [x] I searched\n",
        f"{PAIR}\nPlease review and merge.\n",
        f"{PAIR}\nPlease close this issue when done, and release a new version.\n",
        f"{PAIR}\nPlease make exactly this change, and nothing more.\n",
        f"{PAIR}\nNo documentation changes are needed.\n",
        f"{PAIR}\nMake sure the indentation is kept.\n",
        f"{PAIR}\nThis should fix it, and has to go into 1.3. It should then be 60.\n",
        f"{PAIR}\nNote that others already use 60.\n",
        f"{PAIR}\n## Why\n\nWith 30 the server must turn large uploads down.\n",
        f"{PAIR}\nWithout this, `pkg/web.py` crashes.\n",
        f"In `pkg/web.py`, it is called with 30, as users report.\n\n{PAIR}",
        f"In `pkg/api.py`, change the timeout:\n\n{PAIR}",
        f"{PAIR}\nExpected: DEFAULT_TIMEOUT is 60.\n",
        f"## Expected behaviour\n\nUploads of large files succeed.\n\n## Fix\n\n{PAIR}",
        f"The file should contain:\n\n```\nDEFAULT_TIMEOUT = 60\n```\n\n{PAIR}",
        f"{PAIR}\nAdditionally, this makes uploads safer.\n",
        f"{PAIR}\nExample:\n\n```\ntool --slow\n```\n",
        f"## Problem\n\nIt crashes.\n\n## Fix\n\n{PAIR}\n## Testing\n\nNothing fails.\n",
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


def test_a_title_that_asks_for_more_than_its_edits_is_told() -> None:
    """What stands behind its "and" is work like any other."""
    issue = understand_issue("1.md", f"# Raise the timeout and add retries to the client\n\n{PAIR}").issue
    assert issue.further == ("Add retries to the client",)
    listed = understand_issue("1.md", f"# Raise the timeout, drop Python 3.8\n\n{PAIR}").issue
    assert listed.further == ("Drop Python 3.8",)
    plain = understand_issue("1.md", f"# Correct the api and raise the timeout\n\n{PAIR}").issue
    assert plain.further == ()
