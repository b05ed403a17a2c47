"""What is to be reviewed, as two commits in a run's store: a commit against its base, or a patch on its base.

Owns finding both. Keeps: a patch is applied to an index of its own, not to files, so that nothing in it can reach the
disk; the user's repository is only read.
"""

from __future__ import annotations

from pathlib import Path

from ..git import Git, check_commit
from ..store import RunStore, Stores, find_repository
from ..work_errors import CommitMissing

PATCH_BYTES_MAX = 64 << 20


def open_store(stores: Stores, repo: str, run: str, base: str, commit: str | None) -> RunStore:
    """Return the run's store with both commits in it: of the run itself, or fetched from the user's repository.

    Raises CommitMissing where neither has one, and what finding the repository raises.
    """
    repository = find_repository(stores.git, Path(repo))
    store = stores.open_run(repository, run, base)
    if commit is not None and not stores.has(store.git_dir, check_commit(commit)):
        stores.keep_base(repository, commit)
        stores.require(store, commit)
    stores.require(store, base)
    return store


def commit_patch(stores: Stores, store: RunStore, path: str, base: str, patch: bytes) -> tuple[str | None, str]:
    """Commit a patch on top of a base in the run's store; return the commit, or None and why it can't be applied.

    `patch` may be a plain diff, or a mailbox as `git format-patch` writes it.
    """
    git: Git = stores.git
    if len(patch) > PATCH_BYTES_MAX:
        return None, f"the patch is larger than {PATCH_BYTES_MAX >> 20} MiB"
    index = store.index(f"{path}.patch")
    with stores.writing(store):
        index.unlink(missing_ok=True)
        try:
            git.run("read-tree", base, git_dir=store.git_dir, index=index)
            # Without --unsafe-paths git refuses names that lead out of the tree, or into `.git`.
            options = ("--cached", "--whitespace=nowarn", "--binary")
            done = git.run("apply", *options, git_dir=store.git_dir, index=index, stdin=patch, expect=(0, 1, 128))
            if done.status:
                return None, _why(done.err)
            tree = git.run("write-tree", git_dir=store.git_dir, index=index).text
        finally:
            index.unlink(missing_ok=True)
        # Its time is fixed: the same patch on the same base is the same commit.
        made = git.run("commit-tree", "-p", base, "-F", "-", tree, git_dir=store.git_dir, stdin=b"Patch\n", time_s=1)
        git.run("update-ref", "--no-deref", store.ref(path, "patch"), made.text, git_dir=store.git_dir)
    if not stores.has(store.git_dir, made.text):
        raise CommitMissing(str(store.git_dir), made.text)
    return made.text, ""


def _why(said: str) -> str:
    lines = [line.removeprefix("error: ").strip() for line in said.splitlines() if line.strip()]
    return f"the patch can't be applied to the base: {'; '.join(lines[:3]) or 'git says nothing more'}"
