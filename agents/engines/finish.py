"""What all engines do at the end: one commit of what has become of the files, and the words of its message.

Owns the check of a tree that a model or a foreign program has made. Keeps: what is published holds no link out of the
repository, nothing beyond what the task may change, and never a change that was not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..edits import Edit
from .engine import FixTask


def issue_hash(task: FixTask) -> str:
    """Return what tells the text of a task's issue from any other, for the key of an effect."""
    return hashlib.sha256(task.issue.text.encode("utf-8", "surrogatepass")).hexdigest()


def commit_message(title: str, name: str, run: str, edits: Sequence[Edit]) -> str:
    """Return the message of the commit: the issue's title, the files, and trailers that lead back to issue and run."""
    paths = list(dict.fromkeys(edit.path for edit in edits))
    count = f"{len(edits)} edit{'s' if len(edits) > 1 else ''}, as stated in the issue:"
    listed = [f"- {path}" for path in paths[:50]] + ([f"- and {len(paths) - 50} more files"] if len(paths) > 50 else [])
    return "\n".join([title, "", count, *listed, "", *trailers(name, run)])


def trailers(name: str, run: str) -> list[str]:
    """Return the trailers of a commit's message that lead back to the issue and the run."""
    issue = [f"Twelvefold-Issue: {' '.join(name.split())}"] if name.strip() else []
    return [*issue, f"Twelvefold-Run: {run}"]
