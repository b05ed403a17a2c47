"""Citations: a place in a repository at a commit, and proof that what is quoted stands there.

Owns the form `repo@commit:path:first-last` (`repo@commit` for lines of a commit's message), the look-up, and the
resolver of evidence of the kind `citation`. Keeps: a citation counts only where the quoted text is, byte for byte, what
git has in that place now.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from ..context import TaskContext
from ..errors import EvidenceUnresolved
from ..git import Git, is_commit
from ..repository_errors import CitationInvalid
from ..response import Evidence, ToolResponse


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """One passage that is quoted. `lines` are the first and the last, from 1; `text` is exactly these lines.

    `name` is what the repository is called, `repo` where it is; `path` is empty for a commit's message. `text_hash` is
    `sha256:` and the hash of `text` in UTF-8. `names` are what the passage defines, or the headings that it is below.
    """

    n: int
    ref: str
    name: str
    repo: str
    commit: str
    path: str
    lines: tuple[int, int]
    text: str
    text_hash: str
    names: tuple[str, ...] = ()
    kind: str = "file"
    author: str = ""
    time: str = ""
    score: float = 0.0


def reference(repo: str, commit: str, path: str, lines: tuple[int, int]) -> str:
    """Return the form in which a place is cited."""
    return f"{repo}@{commit}:{path}:{lines[0]}-{lines[1]}" if path else f"{repo}@{commit}"


def text_hash(text: str) -> str:
    """Return `sha256:` and the hash of a text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def lines_at(repo: Path, commit: str, path: str, lines: tuple[int, int]) -> str:
    """Return the lines that stand there, without the newline at their end; raises CitationInvalid."""
    shown = reference(repo.name, commit, path, lines)
    git = Git()
    if not is_commit(commit):
        raise CitationInvalid(shown, "it names no full commit")
    if path:
        found = git.run("cat-file", "blob", f"{commit}:{path}", at=repo, expect=(0, 128))
        if found.status:
            raise CitationInvalid(shown, "there is no such file at that commit")
        content = found.out
    else:
        found = git.run("cat-file", "commit", commit, at=repo, expect=(0, 128))
        if found.status:
            raise CitationInvalid(shown, "there is no such commit")
        content = found.out.partition(b"\n\n")[2].strip(b"\n")
    rows = content.split(b"\n")
    if rows and not rows[-1]:
        rows.pop()
    first, last = lines
    if not 1 <= first <= last <= len(rows):
        raise CitationInvalid(shown, f"there are {len(rows)} lines")
    try:
        return b"\n".join(rows[first - 1 : last]).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CitationInvalid(shown, "these lines are not UTF-8, so they can't be quoted as they are") from error


def check(citation: Citation) -> None:
    """Raise CitationInvalid unless a citation quotes what stands in its place."""
    there = lines_at(Path(citation.repo), citation.commit, citation.path, citation.lines)
    if there != citation.text or text_hash(there) != citation.text_hash:
        raise CitationInvalid(citation.ref, "what is quoted is not what stands there")


def evidence_of(citation: Citation) -> Evidence:
    """Return a citation as evidence, which the runtime looks up before the task may have succeeded."""
    details: dict[str, Any] = {
        "repo": citation.repo,
        "commit": citation.commit,
        "path": citation.path,
        "lines": list(citation.lines),
        "text_hash": citation.text_hash,
    }
    return Evidence("citation", citation.ref, details)


def resolve_citation(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    """Return the evidence if its place holds the text that it names by its hash; raises EvidenceUnresolved."""
    facts = evidence.details
    try:
        first, last = facts["lines"]
        place = (str(facts["commit"]), str(facts.get("path") or ""), (int(first), int(last)))
        there = lines_at(Path(str(facts["repo"])), *place)
    except CitationInvalid as error:
        raise EvidenceUnresolved(evidence.kind, evidence.ref, error.problem) from error
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceUnresolved(evidence.kind, evidence.ref, f"its details lack or misstate {error}") from error
    if text_hash(there) != facts.get("text_hash"):
        raise EvidenceUnresolved(evidence.kind, evidence.ref, "what is quoted is not what stands there")
    name, at, _ = str(evidence.ref).partition("@")
    if not at or str(evidence.ref) != reference(name, *place):
        raise EvidenceUnresolved(evidence.kind, evidence.ref, "its reference and its details name different places")
    return evidence
