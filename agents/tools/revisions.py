"""How a model names a commit, and which one that is.

Keeps: only `HEAD`, `START` and ids, with steps back, are taken; no text becomes an option or another expression of git.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from ..workspace import Workspace
from .bench import Refusal

_REVISION = re.compile(r"(HEAD|START|[0-9a-f]{4,64})((?:~[0-9]{0,4}|\^[0-9]?){0,10})")

Revision = Annotated[
    str, Meta(max_length=120, description="A commit id, HEAD, or START (where the task began), with ~1 for one before")
]


def resolve(workspace: Workspace, revision: str) -> str:
    """Return the full id of a commit of the workspace's history; raises Refusal."""
    found = _REVISION.fullmatch(revision.strip())
    if found is None:
        raise Refusal("unknown_revision", f"{revision!r} is neither a commit id nor HEAD or START, with ~n behind")
    base = {"HEAD": workspace.commit, "START": workspace.start}.get(found[1], found[1])
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}{found[2]}^{{commit}}")
    answer = workspace.git.run(*asked, git_dir=workspace.store.git_dir, expect=(0, 1, 128))
    if answer.status:
        raise Refusal("unknown_revision", f"{revision} names no commit")
    return answer.text
