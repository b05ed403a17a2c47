"""What analyzers found after a change, less what they found before it: only what the change brings counts.

Pure. A finding is known again by its rule, its words and the text of its line, wherever that line has moved to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from .analysis import ToolRun
from .analyzers import ANALYZERS, harm_of, judged
from .change import Change
from .finding import Finding
from .tool_answers import Raw

_KEPT_CLEAN = {one.name for one in ANALYZERS if one.kept_clean}


def brought(change: Change, after: Sequence[ToolRun], before: Mapping[str, ToolRun]) -> list[Finding]:
    """Return the findings of a change: those of its files or any other that weren't there before it.

    `before` lacks tools that had found nothing after the change.
    """
    found = []
    for run in after:
        name = run.report.name
        earlier = before.get(name)
        known = Counter(_key(raw, change, new=False) for raw in earlier.raws) if earlier is not None else Counter()
        clean = name in _KEPT_CLEAN and run.own and earlier is not None and not earlier.raws
        # Lines that the change didn't touch claim their earlier findings first.
        for raw in sorted(run.raws, key=lambda one: _on_change(one, change)):
            key = _key(raw, change, new=True)
            if known[key] > 0:
                known[key] -= 1
                continue
            found.append(_finding(name, raw, change, kept_clean=clean))
    return found


def _on_change(raw: Raw, change: Change) -> bool:
    file = change.file(raw.path)
    return file is not None and file.brings(raw.line, raw.end_line)


def _key(raw: Raw, change: Change, *, new: bool) -> tuple[str, str, str, str]:
    file = change.file(raw.path) if new else None
    path = file.old_path if file is not None else raw.path
    # Messages tell of lines and columns, which move.
    return path, raw.rule, re.sub(r"\d+", "0", raw.message), raw.text


def _finding(tool: str, raw: Raw, change: Change, *, kept_clean: bool) -> Finding:
    severity, confidence = judged(tool, raw, kept_clean=kept_clean)
    elsewhere = "" if _on_change(raw, change) else " (brought about by the change, though this line didn't change)"
    return Finding(
        file=raw.path,
        line=raw.line,
        end_line=raw.end_line if raw.end_line is not None and raw.end_line > raw.line else None,
        rule=raw.rule,
        severity=severity,
        confidence=confidence,
        message=f"{raw.message}{elsewhere}",
        harm=harm_of(tool, raw.rule),
        tool=tool,
    )
