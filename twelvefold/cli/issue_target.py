"""What a TARGET on the command line means: an issue file, or a sentence that says what is to be done."""

from __future__ import annotations

from pathlib import Path


def issue_of(target: str) -> tuple[str, str]:
    """Return name and text of the issue that a target means; raises TargetMissing and UnreadableIssue."""
    from ..agents.job import read_issue
    from ..errors import TargetMissing

    path = Path(target)
    try:
        is_there = path.exists()
    except OSError:
        is_there = False  # longer than a file's name can be
    if is_there:
        return path.name, read_issue(path)
    words = len(target.split())
    # "Correct the typo in README.md" is a sentence, "my issue.md" a file.
    if words < 2 or (words < 4 and path.suffix in (".md", ".txt")):
        raise TargetMissing(target)
    return "", target
