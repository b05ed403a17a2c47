"""How a repository stands: its branch and commit, and what somebody should know before work starts from it.

Owns looking, which changes nothing and starts no program that a repository's settings name. Keeps: every odd state has
an answer in words: what is left out, where history ends, which files aren't there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..git import Git
from ..store import Repository, find_repository
from ..work_errors import BareRepository, NotARepository

#: How a file of Git LFS begins whose content isn't in the repository.
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LFS_SIZE_MAX = 1024
_LISTED_MAX = 3


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a repository stands. `branch` is None on a detached HEAD, `commit` without commits, `clean` when unknown.

    `remarks` are sentences; `problem` says why no work can start here, None where it can.
    """

    path: str
    branch: str | None = None
    commit: str | None = None
    clean: bool | None = None
    remarks: list[str] = []
    problem: str | None = None


def standing(path: Path, git: Git | None = None) -> Standing:
    """Look at the repository at a path; what keeps work from starting there is told, and never raised."""
    git = git or Git()
    try:
        repository = find_repository(git, path.absolute())
    except (BareRepository, NotARepository) as error:
        return Standing(path=str(path), problem=error.message())
    top = repository.top
    commit = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", at=top, expect=(0, 1, 128)).text or None
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD", at=top, expect=(0, 1)).text or None
    changed, untracked = uncommitted(git, top)
    return Standing(
        path=str(top),
        branch=branch,
        commit=commit,
        clean=not (changed or untracked),
        remarks=list(remarks(git, repository, commit)) if commit else [],
        problem=None if commit else "no commits yet",
    )


def remarks(git: Git, repository: Repository, commit: str) -> Iterator[str]:
    """Yield what to know of a commit of a repository before work starts from it."""
    top = repository.top
    head = git.run("rev-parse", "--verify", "--quiet", "HEAD", at=top, expect=(0, 1, 128)).text
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD", at=top, expect=(0, 1)).text
    if not branch:
        yield f"HEAD is detached at {head[:12]}: work starts from {commit[:12]}, and no branch of yours follows"
    elif head == commit:
        yield from _behind(git, top, branch)
    else:
        ahead = _count(git, top, f"{commit}..HEAD")
        if ahead:
            yield f"the base {commit[:12]} is {_commits(ahead)} behind {branch}"
    if repository.shallow:
        known = _count(git, top, commit) or 0
        yield f"the clone is shallow: its history ends after {_commits(known)}, and git log and blame with it"
    yield from _unlike_files(git, top, commit)


def uncommitted(git: Git, top: Path) -> tuple[int, int]:
    """Return how many files of a checkout are changed, and how many untracked; submodules aren't looked into."""
    command = ("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all")
    status = git.run(*command, at=top, settings=_without_filters(git, top))
    rows = [row for row in status.out.split(b"\0") if row]
    untracked = sum(row.startswith(b"??") for row in rows)
    return len(rows) - untracked, untracked


def submodules_of(git: Git, top: Path, commit: str) -> list[str]:
    """Return the paths at which a commit has submodules."""
    return [path for mode, _, path in _tree(git, top, commit) if mode == "160000"]


def is_lfs_pointer(content: bytes) -> bool:
    """Tell whether a file's content only stands for one that Git LFS keeps elsewhere."""
    return len(content) <= _LFS_SIZE_MAX and content.startswith(LFS_POINTER)


def _behind(git: Git, top: Path, branch: str) -> Iterator[str]:
    upstream = git.run(
        "rev-parse", "--abbrev-ref", "--symbolic-full-name", f"{branch}@{{upstream}}", at=top, expect=(0, 1, 128)
    )
    missing = _count(git, top, f"HEAD..{upstream.text}") if not upstream.status and upstream.text else 0
    if missing:
        yield f"{branch} is {_commits(missing)} behind {upstream.text} as last fetched: pull first to include them"


def _unlike_files(git: Git, top: Path, commit: str) -> Iterator[str]:
    tree = _tree(git, top, commit)
    if modules := [path for mode, _, path in tree if mode == "160000"]:
        yield f"submodules are left out, their folders are empty and can't be changed: {_listed(modules)}"
    if pointers := _lfs_pointers(git, top, tree):
        yield f"Git LFS keeps the content of {_listed(pointers)} elsewhere: here they are pointers, not the files"


def _lfs_pointers(git: Git, top: Path, tree: list[tuple[str, str, str]]) -> list[str]:
    attributes = [blob for _, blob, path in tree if path.rpartition("/")[2] == ".gitattributes"]
    # Without a filter named lfs nothing is one, and most repositories are spared the reading.
    if not any(re.search(rb"filter=lfs\b", content) for content in _contents(git, top, attributes)):
        return []
    files = [(blob, path) for mode, blob, path in tree if mode.startswith("100")]
    asked = "\n".join(blob for blob, _ in files).encode() + b"\n"
    told = git.run("cat-file", "--batch-check=%(objectsize)", at=top, stdin=asked).out.split(b"\n")
    small = [one for one, size in zip(files, told, strict=False) if size.isdigit() and int(size) <= _LFS_SIZE_MAX]
    contents = _contents(git, top, [blob for blob, _ in small])
    return [path for (_, path), content in zip(small, contents, strict=True) if is_lfs_pointer(content)]


def _contents(git: Git, top: Path, blobs: list[str]) -> list[bytes]:
    if not blobs:
        return []
    out = git.run("cat-file", "--batch", at=top, stdin="\n".join(blobs).encode() + b"\n").out
    found: list[bytes] = []
    at = 0
    for _ in blobs:
        head, _, _ = out[at : at + 200].partition(b"\n")
        at += len(head) + 1
        words = head.split()
        size = int(words[2]) if len(words) == 3 else 0  # `<name> missing` in a partial clone
        found.append(out[at : at + size])
        at += size + 1 if len(words) == 3 else 0
    return found


def _tree(git: Git, top: Path, commit: str) -> list[tuple[str, str, str]]:
    """Return mode, blob and path of each file of a commit."""
    out = git.run("ls-tree", "-r", "-z", "--full-tree", commit, at=top).out
    rows = (row.partition(b"\t") for row in out.split(b"\0") if row)
    facts = ((head.decode().split(), name.decode("utf-8", "surrogateescape")) for head, _, name in rows)
    return [(mode, blob, path) for (mode, _, blob), path in facts]


def _count(git: Git, top: Path, commits: str) -> int | None:
    found = git.run("rev-list", "--count", "--end-of-options", commits, at=top, expect=(0, 128, 129))
    return None if found.status else int(found.text)


def _commits(number: int) -> str:
    return f"{number} commit{'' if number == 1 else 's'}"


def _without_filters(git: Git, top: Path) -> dict[str, str]:
    """Settings by which no filter program of a repository is started to compare files."""
    listed = git.run("config", "-z", "--name-only", "--get-regexp", r"^filter\.", at=top, expect=(0, 1)).out
    names = [name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name]
    return {name: "false" if name.endswith(".required") else "" for name in names}


def _listed(paths: list[str]) -> str:
    more = len(paths) - _LISTED_MAX
    return ", ".join(sorted(paths)[:_LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
