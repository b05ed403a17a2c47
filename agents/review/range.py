"""Which two commits a range of a repository means: `main..branch`, `branch`, `HEAD~3..`, or nothing at all.

Owns the choice of a base: a change is what a branch has that the other side lacks, as a pull request shows it, so the
base is where the two parted. Keeps: the repository is only read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..git import Git
from ..store import find_repository
from ..work_errors import NoCommits, UnknownRevision

#: What the branch that others start from is called where nothing says it.
_USUAL = ("main", "master", "trunk", "develop")


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Two full commits of the repository at `repo`, and in words what they are."""

    repo: str
    base: str
    commit: str
    text: str

    @property
    def empty(self) -> bool:
        """Whether both are the same commit."""
        return self.base == self.commit


def resolve_range(repo: Path, text: str | None = None) -> Range:
    """Find the commits that a range means; raises NotARepository, BareRepository, NoCommits, UnknownRevision."""
    git = Git()
    top = find_repository(git, repo.absolute()).top
    if _commit(git, top, "HEAD") is None and (text is None or "HEAD" in text):
        raise NoCommits(str(top))
    if text is not None and ".." in text:
        first, _, second = text.partition("...") if "..." in text else text.partition("..")
        begin, commit = _known(git, top, first or "HEAD"), _known(git, top, second or "HEAD")
        base = _parted(git, top, begin, commit) or begin
        return Range(repo=str(top), base=base, commit=commit, text=f"{first or 'HEAD'}..{second or 'HEAD'}")
    name = text or "HEAD"
    commit = _known(git, top, name)
    other = _default(git, top, name, commit)
    if other is not None:
        parted = _parted(git, top, _known(git, top, other), commit)
        if parted is not None and parted != commit:
            return Range(repo=str(top), base=parted, commit=commit, text=f"{_short(other)}..{name}")
    if text is None:
        return Range(repo=str(top), base=commit, commit=commit, text=f"{_short(other or 'HEAD')}..HEAD")
    # It is in the default branch already: then that one commit is meant.
    parent = _commit(git, top, f"{commit}^1")
    return Range(repo=str(top), base=parent or commit, commit=commit, text=f"{name}^..{name}")


def _commit(git: Git, top: Path, revision: str) -> str | None:
    wanted = f"{revision.replace(chr(0), '')}^{{commit}}"
    done = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted, at=top, expect=(0, 1, 128))
    return done.text if done.status == 0 else None


def _known(git: Git, top: Path, revision: str) -> str:
    found = _commit(git, top, revision)
    if found is None:
        raise UnknownRevision(str(top), revision)
    return found


def _parted(git: Git, top: Path, one: str, other: str) -> str | None:
    """Return the last commit that both have; None where they have nothing in common."""
    done = git.run("merge-base", one, other, at=top, expect=(0, 1))
    return done.text.split("\n")[0] or None


def _default(git: Git, top: Path, name: str, commit: str) -> str | None:
    """Return the ref of the branch that others start from; of its own remote branch for that branch itself."""
    remote = git.run("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", at=top, expect=(0, 1)).text
    usual = [f"refs/heads/{one}" for one in _USUAL]
    wanted = [f"refs/heads/{remote.removeprefix('refs/remotes/origin/')}", *usual] if remote else usual
    local = next((ref for ref in wanted if _commit(git, top, ref)), None)
    current = git.run("symbolic-ref", "--quiet", "HEAD", at=top, expect=(0, 1)).text
    meant = current if name == "HEAD" else f"refs/heads/{name}"
    if local is not None and meant != local:
        return local
    candidates = [remote, *([f"refs/remotes/origin/{local.removeprefix('refs/heads/')}"] if local else [])]
    return next((ref for ref in candidates if ref and _commit(git, top, ref) not in (None, commit)), local)


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")
