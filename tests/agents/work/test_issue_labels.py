"""Old and new texts labelled within a line, several in a paragraph, and in German and French."""

from __future__ import annotations

import pytest

from twelvefold.agents.issue import parse_issue

FILES = ["a.py", "b.py", "c.py"]
OLD, NEW = "```\nx = 1\n```", "```\nx = 2\n```"
ONE = [("a.py", "x = 1", "x = 2")]
BOTH = [*ONE, ("b.py", "y = 1", "y = 2")]
TWICE = [*ONE, ("a.py", "y = 1", "y = 2")]


def read(body: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The edits of an issue, and what keeps others from being one."""
    edits, problems = parse_issue(f"# Title\n\n{body}\n").edits(FILES)
    found = [(edit.path, (edit.old or "").strip(), (edit.new or "").strip()) for edit in edits]
    return found, [problem.text for problem in problems]


READ = {
    "bold in a line": ("### `a.py`\n**Current:** `x = 1` **Should be:** `x = 2`", ONE),
    "file in front": ("In `a.py`: **Current:** `x = 1`, **Should be:** `x = 2`.", ONE),
    "file labelled": ("**File:** `a.py` **Old:** `x = 1` **New:** `x = 2`", ONE),
    "file behind": ("- **Old:** `x = 1` **New:** `x = 2` in `a.py`", ONE),
    "items": (
        "- `a.py`: **Before:** `x = 1` → **After:** `x = 2`\n- `b.py`: **Before:** `y = 1`; **After:** `y = 2`",
        BOTH,
    ),
    "remark": ("### `a.py`\n**Current:** `x = 1` **Should be:** `x = 2` (see the docs)", ONE),
    "two in a paragraph": ("### `a.py`\nOld: `x = 1`\nNew: `x = 2`\nOld: `y = 1`\nNew: `y = 2`", TWICE),
    "two in a line": ("### `a.py`\n**Old:** `x = 1` **New:** `x = 2`. **Old:** `y = 1` **New:** `y = 2`", TWICE),
    "a couple with its own file": ("Replace `x = 1` with `x = 2` in `a.py` and `y = 1` with `y = 2` in `b.py`.", BOTH),
    "and another file": (
        "Replace `x = 1` with `x = 2` in `a.py` and `y = 1` with `y = 2` in `b.py` and `c.py`.",
        [*BOTH, ("c.py", "y = 1", "y = 2")],
    ),
    "Aktuell, Soll": (f"### `a.py`\nAktuell:\n{OLD}\n\nSoll:\n{NEW}", ONE),
    "Aktueller Code": (f"Datei: `a.py`\n\nAktueller Code:\n{OLD}\n\nNeuer Code:\n{NEW}", ONE),
    "Vorher, Nachher": (f"### `a.py`\n**Vorher**\n{OLD}\n\n**Nachher**\n{NEW}", ONE),
    "steht, sollte heißen": (f"In `a.py` steht:\n{OLD}\n\nEs sollte heißen:\n{NEW}", ONE),
    "Aktuell steht, richtig wäre": (f"Aktuell steht in `a.py`:\n{OLD}\n\nRichtig wäre:\n{NEW}", ONE),
    "Ersetze, durch": (f"### `a.py`\nErsetze\n{OLD}\n\ndurch\n{NEW}", ONE),
    "Aktuell und Soll in einer Zeile": ("### `a.py`\n**Aktuell:** `x = 1` **Soll:** `x = 2`", ONE),
    "ein Satz": ("Ersetze bitte `x = 1` durch `x = 2` in der Datei `a.py`.", ONE),
    "die Datei zuerst": ("In `a.py` bitte `x = 1` durch `x = 2` ersetzen.", ONE),
    "zwei Paare": ("Ersetze `x = 1` durch `x = 2` und `y = 1` durch `y = 2` in `a.py`.", TWICE),
    "zwei Paare, Verb am Ende": ("In `a.py` `x = 1` durch `x = 2` und `y = 1` durch `y = 2` ersetzen.", TWICE),
    "eine Tabelle": ("| Datei | Vorher | Nachher |\n|---|---|---|\n| `a.py` | `x = 1` | `x = 2` |", ONE),
    "Actuel, Devrait être": (f"### `a.py`\nActuel :\n{OLD}\n\nDevrait être :\n{NEW}", ONE),
    "Code actuel": (f"Fichier : `a.py`\n\nCode actuel :\n{OLD}\n\nNouveau code :\n{NEW}", ONE),
    "Avant, Après": (f"### `a.py`\nAvant :\n{OLD}\n\nAprès :\n{NEW}", ONE),
    "Remplacer, par": (f"### `a.py`\nRemplacer\n{OLD}\n\npar\n{NEW}", ONE),
    "une phrase": ("Dans `a.py`, remplacez `x = 1` par `x = 2`.", ONE),
    "deux fichiers": ("Remplacez `x = 1` par `x = 2` dans `a.py` et `y = 1` par `y = 2` dans `b.py`.", BOTH),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_labelled_is_read(case: str) -> None:
    """Every couple of texts is an edit of the file that is named for it; none is left out, none goes elsewhere."""
    body, wanted = READ[case]
    assert read(body) == (wanted, [])


@pytest.mark.parametrize(
    "body",
    [
        "**Current behaviour:** `f()` returns 1. **Expected:** `f()` returns 2, see `a.py`.",
        "The output of `a.py` was before: `[1]`, after: `[1, 2]`.",
        "In `a.py` sends a mail from: `me` to: `you`.",
        "`x = 1` durch `x = 2` ersetzen wäre falsch, siehe `a.py`.",
        "Bitte nicht `x = 1` durch `x = 2` ersetzen, auch nicht in `a.py`.",
        "Soll ich `x = 1` durch `x = 2` in `a.py` ersetzen?",
        "Remplacer `x = 1` par `x = 2` dans `a.py` ne suffit pas.",
        "Wenn der Test rot ist, ersetze `x = 1` durch `x = 2` in `a.py`.",
        "Ersetze `x = 1` durch `x = 2` in `a.py`, falls nötig.",
        "Ersetze `x = 1` durch `x = 2` oder `x = 3` in `a.py`.",
        "### `a.py`\n**Current:** `x = 1` **Should be:** `x = 2` (only if it is needed)",
    ],
)
def test_what_is_no_order_is_no_edit(body: str) -> None:
    """Behaviour, questions, conditions and what shall not be done change no file."""
    assert read(body)[0] == []
