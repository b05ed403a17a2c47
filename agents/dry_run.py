"""What the engine `patch` would change, without a run, a workspace or a store: reads the repository and writes nothing.

Leaves out what only a run can tell: whether the project's tests still pass.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from .edits import AlreadyThere, Applied, apply_edits
from .git import Git
from .issue import parse_issue
from .job import Request

_REGULAR = ("100644", "100755")


def preview(issue_name: str, issue_text: str, request: Request) -> dict[str, Any]:
    """Return `{outcome, message, files_changed, diff}` of applying the issue's edits to the base commit."""
    issue = parse_issue(issue_text, issue_name)
    if issue.over:
        return _told("nothing_to_do", f"the issue's status says: {issue.over}")
    if not issue_text.strip():
        return _told("failed", "the issue is empty")
    if not issue.pairs and not issue.problems:
        return _told("needs_human", "the issue states no explicit edits")
    git, top = Git(), Path(request.repo)
    rows = git.run("ls-tree", "-r", "-z", "--full-tree", request.base, at=top).out.split(b"\0")
    modes = {}
    for row in rows:
        head, _, name = row.partition(b"\t")
        if name:
            modes[name.decode("utf-8", "surrogateescape")] = head.split()[0].decode()
    edits, problems = issue.edits(modes)
    if problems:
        return _told("needs_human", "; ".join(f"line {problem.line} {problem.text}" for problem in problems))
    before: dict[str, bytes | None] = {
        path: git.run("cat-file", "blob", f"{request.base}:{path}", at=top).out
        for path in dict.fromkeys(edit.path for edit in edits)
        if modes.get(path) in _REGULAR
    }
    made = apply_edits(edits, before)
    if isinstance(made, AlreadyThere):
        return _told("nothing_to_do", "every new text is there already")
    if not isinstance(made, Applied):
        return _told("failed", "; ".join(failure.message for failure in made))
    changed = sorted(path for path, new in made.contents.items() if new != before.get(path))
    diff = "".join(_diff(path, before.get(path), made.contents[path]) for path in changed)
    return {
        "outcome": "succeeded",
        "message": f"{len(edits)} edits apply in {len(changed)} files; tests were not run",
        "files_changed": changed,
        "diff": diff,
    }


def _told(outcome: str, message: str) -> dict[str, Any]:
    return {"outcome": outcome, "message": message, "files_changed": [], "diff": ""}


def _diff(path: str, old: bytes | None, new: bytes | None) -> str:
    """Return a unified diff of one file's contents; an absent side is /dev/null."""

    def lines(content: bytes | None) -> list[str]:
        return (content or b"").decode("utf-8", "replace").splitlines(keepends=True)

    found = difflib.unified_diff(
        lines(old),
        lines(new),
        "/dev/null" if old is None else f"a/{path}",
        "/dev/null" if new is None else f"b/{path}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found)
