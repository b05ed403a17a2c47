"""Evidence of the kind `commit`: looked up in git before a task may say that it succeeded.

Owns the resolver, which `evidence` imports when it first meets such a piece. Keeps: a commit counts only where it can
be reached now, in the run's own store or, with `details` of `repo` and `ref`, as that branch of the user's repository.
"""

from __future__ import annotations

from pathlib import Path

from .context import TaskContext
from .errors import EvidenceUnresolved
from .git import Git, check_branch, is_commit
from .response import Evidence, ToolResponse
from .store import Stores


def resolve_commit(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    """Return the evidence if its commit is where it says; raises EvidenceUnresolved."""
    git = Git()
    commit = evidence.ref
    if not is_commit(commit):
        raise EvidenceUnresolved(evidence.kind, commit, "it is not a full commit id")
    if "ref" in evidence.details:
        ref, repo = check_branch(evidence.details["ref"]), Path(str(evidence.details.get("repo")))
        found = git.run("rev-parse", "--verify", "--quiet", ref, at=repo, expect=(0, 1)).text
        if found != commit:
            raise EvidenceUnresolved(evidence.kind, commit, f"{ref} of {repo} is at {found or 'nothing'}")
        return evidence
    stores = Stores(git, context.places.stores)
    store = stores.find_run(context.run, commit)
    if store is None:
        raise EvidenceUnresolved(evidence.kind, commit, "it is not in the run's store")
    return Evidence(evidence.kind, commit, {**evidence.details, "store": str(store.git_dir)})
