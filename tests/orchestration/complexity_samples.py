"""Issues with levels: measured from real fixes (`issues/`, `released/`), or invented and guessed by a maintainer."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import msgspec

from twelvefold.agents.assessment import analyze_complexity
from twelvefold.orchestration.complexity import Complexity

FOLDER = Path(__file__).parent


class Sample(msgspec.Struct, frozen=True):
    """An issue's text and the level that it has; None for one that cannot be acted on as it stands."""

    name: str
    text: str
    level: Complexity | None
    named_files: tuple[str, ...] = ()
    bait_paths: tuple[str, ...] = ()


def measured() -> list[Sample]:
    """Return the development set: levels measured from the fixes that were merged."""
    found = []
    for row in json.loads((FOLDER / "issues" / "labels.json").read_text()):
        # As they are in the file, CRLF included.
        text = (FOLDER / "issues" / row["file"]).read_bytes().decode()
        level = Complexity(row["level"]) if row["level"] and row["expected"] == "actionable" else None
        found.append(Sample(row["file"], text, level, tuple(row["named_files"]), tuple(row["bait_paths"])))
    return found


def invented() -> list[Sample]:
    """Return the invented issues, their level by the folder they lie in."""
    files = sorted((FOLDER / "invented").glob("*/*.md"))
    return [Sample(file.stem, file.read_text(), Complexity(file.parent.name)) for file in files]


def released(half: str = "") -> list[Sample]:
    """Return issues after changes of published packages, measured by the difference of two releases.

    Levels as in the development set. `half` in their labels tells which were looked at together: "first" and "second"
    are a random split, "third" and "fourth" were written later and judged blind before anything was changed for them.
    """
    folder = FOLDER / "released"
    rows = [row for row in json.loads((folder / "labels.json").read_text()) if half in ("", row["half"])]
    return [Sample(row["file"], (folder / row["file"]).read_text(), Complexity(row["level"])) for row in rows]


class Score(msgspec.Struct, frozen=True):
    """How well levels were met: wanted, found and confidence of each."""

    rows: list[tuple[Complexity, Complexity, float]]

    def share(self, within: int) -> float:
        """Return the share of levels that are off by at most so many."""
        order = list(Complexity)
        near = [abs(order.index(found) - order.index(wanted)) <= within for wanted, found, _ in self.rows]
        return sum(near) / len(near)

    def shown(self, title: str) -> str:
        """Return accuracies and the confusion matrix as text."""
        lines = [
            f"{title}: {len(self.rows)} issues, {self.share(0):.0%} exact, {self.share(1):.0%} within one level, "
            f"mean confidence {sum(sure for *_, sure in self.rows) / len(self.rows):.2f}",
            " wanted \\ found ".ljust(16) + "".join(level.rjust(12) for level in Complexity),
        ]
        for wanted in Complexity:
            counts = [sum(1 for a, b, _ in self.rows if (a, b) == (wanted, found)) for found in Complexity]
            lines.append(f" {wanted}".ljust(16) + "".join(str(count or ".").rjust(12) for count in counts))
        return "\n".join(lines)


def score(samples: list[Sample], change: object = None) -> Score:
    """Judge all samples that have a level, their texts changed first where a change is given."""
    rows = []
    for sample in samples:
        if sample.level is not None:
            text = change(sample.text) if callable(change) else sample.text
            judged = analyze_complexity(text)
            rows.append((sample.level, judged.level, judged.confidence))
    return Score(rows)


def without_code(text: str) -> str:
    """Drop the fenced code blocks."""
    return re.sub(r"(?ms)^```.*?^```[ ]*$\n?", "", text.replace("\r\n", "\n"))


def without_marks(text: str) -> str:
    """Drop the backticks around inline code."""
    return re.sub(r"(?<!`)`(?!`)", "", text)


def without_lists(text: str) -> str:
    """Make paragraphs of list items."""
    return re.sub(r"(?m)^\s*(?:[-*]|\d+\.) (?:\[[ x]\] )?", "", text)


def shuffled(text: str, seed: int) -> str:
    """Put the paragraphs behind the title into another order; code and lists stay with what leads to them."""
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in text.replace("\r\n", "\n").split("\n"):
        fenced ^= line.lstrip().startswith("```")
        if line.strip() or fenced:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    glued: list[str] = []
    for block in blocks:
        text = "\n".join(block)
        if glued and text.startswith(("```", " ", "|", "-", "*", "1.", "2.")):
            glued[-1] += "\n\n" + text
        elif text:
            glued.append(text)
    title, *rest = glued
    random.Random(seed).shuffle(rest)
    return "\n\n".join([title, *rest]) + "\n"


SYNONYMS = {
    "please": "kindly",
    "should": "ought to",
    "everywhere": "in all places",
    "both": "the two",
    "remove": "take out",
    "option": "flag",
    "docs": "documentation",
    "documentation": "docs",
    "must": "has to",
    "want": "wish for",
    "would like": "would love",
    "page": "chapter",
    "nothing": "not a thing",
}


def paraphrased(text: str) -> str:
    """Say the same in other words."""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, SYNONYMS)) + r")\b", re.IGNORECASE)
    return pattern.sub(lambda found: SYNONYMS[found[0].lower()], text)
