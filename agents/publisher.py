"""The one door out: a run's commit becomes a branch of the user's repository, and a patch file.

Owns that step and its undoing. Runs no foreign code: it takes a repository, a commit and a ref, no hook, filter or
configured program is started, and nothing of the repository changes but that ref, its reflog and added objects. Keeps:
a branch is made, never moved; and removed only while it is where it was put, by compare-and-swap.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .fork_stores import own_ref
from .git import UPLOAD_PACK, Git, check_branch, check_commit
from .repositories.allowed import require
from .response import Evidence, ToolResponse
from .store import Repository, RunStore, Stores, find_repository
from .work_errors import CommitMissing, GitFailed, RefMoved, RefTaken

_FETCH = (
    "fetch",
    "--quiet",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-prune",
    "--no-prune-tags",
    "--no-write-commit-graph",
    "--upload-pack",
    UPLOAD_PACK,
)
#: The name of the effect that makes a branch's patch file.
PATCH = "format-patch"


class PublishTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be published: `commit` (made on `base`) of the run's store, as `ref` of the repository at `repo`."""

    repo: str
    commit: str
    base: str
    ref: str


class UnpublishTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be taken back; a `commit` of None was never made, so it cannot have been published."""

    repo: str
    ref: str
    commit: str | None = None


class PublisherAgent(BaseAgent):
    """Publishes a commit as a branch below `twelvefold/`, and takes it back."""

    workflow_stages = ("publish", "patch", "unpublish")

    def execute_task(self, task: dict[str, Any], context: TaskContext) -> ToolResponse:
        """Answer with `{branch, ref, commit, patch}`, proved by the branch; or undo such a task."""
        # Of a fork, the branch of the run that it comes from is not its to make or to delete.
        task = {**task, "ref": own_ref(task["ref"], context)} if isinstance(task.get("ref"), str) else task
        if context.undo:
            return self._unpublish(msgspec.convert(task, UnpublishTask), context)
        return self._publish(msgspec.convert(task, PublishTask), context)

    def _publish(self, task: PublishTask, context: TaskContext) -> ToolResponse:
        check_commit(task.commit)
        check_commit(task.base)
        check_branch(task.ref)
        stores = Stores(Git(), context.places.stores)
        repository = find_repository(stores.git, Path(task.repo))
        store = stores.run_store_of(repository, context.run)
        if store is None:
            raise CommitMissing(str(context.places.stores), task.commit)

        def publish() -> None:
            stores.require(store, task.commit)
            publish_ref(stores.git, repository, store, task.commit, task.ref)
            context.emit("workspace.published", {"repo": task.repo, "commit": task.commit, "ref": task.ref})

        require(context, repository.top, "write")
        self.current_stage = "publish"
        context.effect("git", "publish", msgspec.to_builtins(task), publish, effect="idempotent")
        self.current_stage = "patch"
        target = patch_path(context.places.patches, task.repo, task.ref)
        parameters = {"base": task.base, "commit": task.commit, "file": str(target)}
        context.effect(
            "git",
            PATCH,
            parameters,
            lambda: write_patch(stores.git, store, task.base, task.commit, target),
            effect="idempotent",
        )
        branch = task.ref.removeprefix("refs/heads/")
        value = {"branch": branch, "ref": task.ref, "commit": task.commit, "patch": str(target)}
        evidence = [
            Evidence("commit", task.commit, {"repo": task.repo, "ref": task.ref}),
            Evidence("file", str(target)),
        ]
        return ToolResponse.succeeded(value, evidence, f"published as {branch}")

    def _unpublish(self, task: UnpublishTask, context: TaskContext) -> ToolResponse:
        self.current_stage = "unpublish"
        check_branch(task.ref)
        if task.commit is None:
            return ToolResponse.succeeded({"deleted": False}, message="nothing had been published")
        commit = check_commit(task.commit)
        git = Git()

        def unpublish() -> bool:
            deleted = delete_ref(git, find_repository(git, Path(task.repo)), task.ref, commit)
            patch_path(context.places.patches, task.repo, task.ref).unlink(missing_ok=True)
            context.emit("workspace.unpublished", parameters)
            return deleted

        parameters = {"repo": task.repo, "ref": task.ref, "commit": commit}
        deleted = context.effect("git", "unpublish", parameters, unpublish, effect="idempotent")
        return ToolResponse.succeeded({"deleted": deleted}, message="removed" if deleted else "it was gone already")


def publish_ref(git: Git, repository: Repository, store: RunStore, commit: str, ref: str) -> None:
    """Bring a commit of a run's store into a repository as a new branch; one that is there already is left as it is.

    Raises RefTaken where the ref is at another commit or cannot be made beside another branch, GitFailed otherwise.
    """
    found = commit_at(git, repository, ref)
    if found == commit:
        return
    if found:
        raise RefTaken(str(repository.top), ref, f"it is there, at {found[:12]}")
    if commit_at(git, repository, "refs/heads/twelvefold"):
        raise RefTaken(str(repository.top), ref, "a branch named `twelvefold` is in its way")
    # The name holds this run's id, and this task has one holder: a lock on it is one that was killed here.
    (repository.common_dir / f"{ref}.lock").unlink(missing_ok=True)
    source = ("--", str(store.git_dir), f"{commit}:{ref}")
    git.run(*_FETCH, *source, at=repository.top, settings=_plain_url(store.git_dir))
    found = commit_at(git, repository, ref)
    if found != commit:
        raise RefTaken(str(repository.top), ref, f"it is at {found[:12] or 'nothing'} after it was made")


def delete_ref(git: Git, repository: Repository, ref: str, commit: str) -> bool:
    """Delete a published branch if it is where it was put; tell whether there was one. Raises RefMoved otherwise."""
    found = commit_at(git, repository, ref)
    if not found:
        return False
    if found != commit or is_checked_out(git, repository, ref):
        raise RefMoved(str(repository.top), ref, commit, found)
    try:
        git.run("update-ref", "--no-deref", "-d", ref, commit, at=repository.top)
    except GitFailed as error:
        found = commit_at(git, repository, ref)
        if found and found != commit:
            raise RefMoved(str(repository.top), ref, commit, found) from error
        raise
    return True


def move_ref(git: Git, repository: Repository, store: RunStore, ref: str, commit: str, was: str) -> bool:
    """Move a published branch to another commit if it is where it was put (`was`); tell whether it had to be moved.

    A `was` of "" stands for a branch that isn't there. Raises RefMoved where it is somewhere else, or checked out.
    """
    found = commit_at(git, repository, ref)
    if found == commit:
        return False
    if found != was or (found and is_checked_out(git, repository, ref)):
        raise RefMoved(str(repository.top), ref, was, found)
    source = ("--", str(store.git_dir), commit)
    git.run(*_FETCH, *source, at=repository.top, settings=_plain_url(store.git_dir))
    try:
        git.run("update-ref", "--no-deref", ref, commit, was or "0" * len(commit), at=repository.top)
    except GitFailed as error:
        found = commit_at(git, repository, ref)
        if found != was:
            raise RefMoved(str(repository.top), ref, was, found) from error
        raise
    return True


def is_checked_out(git: Git, repository: Repository, ref: str) -> bool:
    """Tell whether a branch is checked out, in any working tree of its repository."""
    shown = git.run("for-each-ref", "--format=%(HEAD)%(worktreepath)", "--", ref, at=repository.top).text
    return bool(shown.strip())


def patch_path(folder: Path, repo: str, ref: str) -> Path:
    """Return where the patch file for a branch is kept: one run may publish the same one in several repositories."""
    own = f"{Path(repo).name}-{hashlib.sha256(os.fsencode(repo)).hexdigest()[:6]}"
    return folder / own / f"{check_branch(ref).rsplit('/', 1)[1]}.patch"


def write_patch(git: Git, store: RunStore, base: str, commit: str, target: Path) -> str:
    """Write the commits after base as a mailbox for `git am`, synced and at once; return its path."""
    options = (
        "--stdout",
        "--binary",
        "--full-index",
        "--no-renames",
        "--no-signature",
        "--no-ext-diff",
        "--no-textconv",
    )
    patch = git.run("format-patch", *options, f"{base}..{commit}", git_dir=store.git_dir).out
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = target.with_name(f".{target.name}.making")
    with making.open("wb") as file:
        file.write(patch)
        file.flush()
        os.fsync(file.fileno())
    making.rename(target)
    return str(target)


def _plain_url(path: Path) -> dict[str, str]:
    """Return a setting by which no `url.….insteadOf` of the repository's own leads a path of ours somewhere else."""
    return {f"url.{path}.insteadOf": str(path)}


def commit_at(git: Git, repository: Repository, ref: str) -> str:
    """Return the commit that a ref of a repository names, "" where there is no such ref."""
    return git.run("rev-parse", "--verify", "--quiet", ref, at=repository.top, expect=(0, 1)).text
