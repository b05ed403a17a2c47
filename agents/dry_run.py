"""What the engine `patch` would change, without a run, a workspace or a store: reads the repository and writes nothing.

Leaves out what only a run can tell: whether the project's tests still pass.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from .edits import Applied, apply_edits, named_paths, spread
from .engines.engine import FixResult, IssueText
from .engines.patch import holders, incomplete, not_made, states_nothing, unsafe_edits
from .fixer import read_issue_text
from .git import Git
from .job import Request


def preview(issue_name: str, issue_text: str, request: Request) -> dict[str, Any]:
    """Return `{outcome, message, files_changed, diff}` of applying the issue's edits to the base commit."""
    issue, refusal = read_issue_text(IssueText(issue_name, issue_text))
    if issue is None:
        return _told(refusal)
    if nothing := states_nothing(issue):
        return _told(nothing)
    git, top = Git(), Path(request.repo)
    rows = git.run("ls-tree", "-r", "-z", "--full-tree", request.base, at=top).out.split(b"\0")
    modes = {}
    for row in rows:
        head, _, name = row.partition(b"\t")
        if name:
            modes[name.decode("utf-8", "surrogateescape")] = head.split()[0].decode()
    edits, problems = issue.edits(modes)
    if problems:
        return _told(incomplete(issue, edits, problems))
    edits, unclear = spread(edits, lambda text: holders(git, request.base, text, modes, at=top))
    if unclear:
        return _told(not_made(unclear, modes))
    if unsafe := unsafe_edits(edits, modes):
        return _told(not_made(unsafe, modes))
    before: dict[str, bytes | None] = {
        path: git.run("cat-file", "blob", f"{request.base}:{path}", at=top).out
        for path in named_paths(edits)
        if path in modes
    }
    made = apply_edits(edits, before)
    if not isinstance(made, Applied):
        return _told(not_made(made, modes))
    changed = sorted(path for path, new in made.contents.items() if new != before.get(path))
    diff = "".join(_diff(path, before.get(path), made.contents[path]) for path in changed)
    return {
        "outcome": "succeeded",
        "message": f"{_count(len(edits), 'edit')} in {_count(len(changed), 'file')}; tests were not run",
        "files_changed": changed,
        "diff": diff,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(result: FixResult) -> dict[str, Any]:
    return {
        "outcome": result.outcome,
        "message": f"{result.reason}: {result.message}",
        "files_changed": [],
        "diff": "",
    }


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
