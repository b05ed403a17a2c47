"""What a repository holds at one commit, for research: its files as texts, and the messages of its history.

Owns reading git for that. Keeps: a repository is only read, also a bare one; every file is of the commit that is named,
never of the checkout; and what is left out, and why, is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..git import Git, check_commit
from ..repositories.standing import is_lfs_pointer
from ..work_errors import NoCommits, NotARepository, UnknownRevision

#: A larger file is data, not text that somebody wrote.
FILE_SIZE_MAX = 400_000
#: So many of the latest commits are read of a history.
COMMITS_MAX = 20_000
_BATCH_BYTES = 16 << 20


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at one commit: what it is called, where it is, and what else to know of it."""

    name: str
    path: str
    commit: str
    notes: tuple[str, ...] = ()


class FileFact(msgspec.Struct, frozen=True):
    """One file of a commit: its path, the hash of its content, its size."""

    path: str
    blob: str
    size: int


class CommitFact(msgspec.Struct, frozen=True):
    """One commit: id, author's name, time (ISO 8601) and message."""

    commit: str
    author: str
    time: str
    message: str


def open_source(path: Path, name: str = "", revision: str | None = None) -> Source:
    """Find a repository, bare or not, and the commit to read, HEAD by default.

    Raises NotARepository, NoCommits, UnknownRevision.
    """
    git, path = Git(), path.absolute()
    if not path.is_dir():
        raise NotARepository(str(path), exists=False)
    asked = ("--is-bare-repository", "--is-shallow-repository", "--is-inside-git-dir")
    found = git.run("rev-parse", *asked, at=path, expect=(0, 128))
    if found.status:
        raise NotARepository(str(path))
    bare, shallow, inside = found.text.split("\n")[:3]
    if bare != "true":
        top = git.run("rev-parse", "--path-format=absolute", "--show-toplevel", at=path, expect=(0, 128)).text
        if inside == "true" or Path(top).resolve() != path.resolve():
            raise NotARepository(str(path), top=top)
    wanted = f"{(revision or 'HEAD').replace(chr(0), '')}^{{commit}}"
    head = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted, at=path, expect=(0, 1, 128))
    if head.status:
        raise UnknownRevision(str(path), revision) if revision not in (None, "HEAD") else NoCommits(str(path))
    notes = ["its history is shallow: what came before is not known"] if shallow == "true" else []
    if bare != "true":
        notes += _uncommitted(git, path)
    own = name or path.resolve().name.removesuffix(".git")
    return Source(name=own, path=str(path.resolve()), commit=check_commit(head.text), notes=tuple(notes))


def files_of(source: Source) -> tuple[list[FileFact], list[str]]:
    """Return the files that can be read as text, and in sentences what is left out."""
    git, at = Git(), Path(source.path)
    out = git.run("ls-tree", "-r", "-z", "--full-tree", source.commit, at=at).out
    rows = [row.partition(b"\t") for row in out.split(b"\0") if row]
    entries = [(head.decode().split(), name.decode("utf-8", "surrogateescape")) for head, _, name in rows]
    left: Counter[str] = Counter()
    plain = [(facts[2], path) for facts, path in entries if facts[0].startswith("100")]
    left["submodule"] = sum(facts[0] == "160000" for facts, _ in entries)
    asked = "\n".join(blob for blob, _ in plain).encode() + b"\n"
    told = git.run("cat-file", "--batch-check=%(objectsize)", at=at, stdin=asked).out.split(b"\n") if plain else []
    files = []
    for (blob, path), size in zip(plain, told, strict=False):
        if not size.isdigit():
            left["file that a partial clone lacks"] += 1
        elif int(size) > FILE_SIZE_MAX:
            left["large file"] += 1
        elif any("\udc80" <= letter <= "\udcff" for letter in path):
            left["file whose name is not UTF-8"] += 1
        elif int(size):
            files.append(FileFact(path, blob, int(size)))
    return files, [f"{n} {what}{'s' if n > 1 else ''} left out" for what, n in left.items() if n]


def contents_of(source: Source, blobs: Sequence[FileFact]) -> Iterator[tuple[FileFact, str | None]]:
    """Yield each file with its text, None for one that is none: binary data, or a pointer of Git LFS."""
    git, at = Git(), Path(source.path)
    batch: list[FileFact] = []
    for number, one in enumerate(blobs, 1):
        batch.append(one)
        if number == len(blobs) or sum(file.size for file in batch) > _BATCH_BYTES:
            out = git.run("cat-file", "--batch", at=at, stdin="\n".join(f.blob for f in batch).encode() + b"\n").out
            yield from _taken_apart(out, batch)
            batch = []


def _taken_apart(out: bytes, batch: Sequence[FileFact]) -> Iterator[tuple[FileFact, str | None]]:
    place = 0
    for file in batch:
        end = out.index(b"\n", place)
        words = out[place:end].split()
        place = end + 1
        content = b"\0"
        if len(words) == 3:
            content = out[place : place + int(words[2])]
            place += int(words[2]) + 1
        yield file, text_of(content)


def text_of(content: bytes) -> str | None:
    """Return a file's content as text with its lines as git counts them, or None where it is none."""
    if b"\0" in content or is_lfs_pointer(content):
        return None
    return content.decode("utf-8", "replace")


def history_of(source: Source, known: str | None = None) -> list[CommitFact]:
    """Return the commits of a history, the latest first, without those that `known` has."""
    git, at = Git(), Path(source.path)
    if known is not None:
        there = git.run("merge-base", "--is-ancestor", known, source.commit, at=at, expect=(0, 1, 128)).status == 0
        known = known if there else None
    form = "--format=%H%x1f%an%x1f%aI%x1f%B%x1e"
    commits = [f"^{known}"] if known else []
    out = git.run(
        "log", "--no-show-signature", f"--max-count={COMMITS_MAX}", form, source.commit, *commits, "--", at=at
    ).out
    found = []
    for row in out.decode("utf-8", "replace").split("\x1e"):
        facts = row.lstrip("\n").split("\x1f", 3)
        if len(facts) == 4:
            found.append(CommitFact(facts[0], facts[1], facts[2], facts[3].strip("\n")))
    return found


def first_with(source: Source, text: str, timeout_s: float = 20.0) -> str | None:
    """Return the first commit of a history after which a text occurs more often in its files than before, or None."""
    git = Git(timeout_s=timeout_s)
    command = ("log", "--no-show-signature", "--no-textconv", "--no-ext-diff", "--format=%H", "--reverse", f"-S{text}")
    found = git.run(*command, source.commit, "--", at=Path(source.path), expect=(0, -9, 124, 128, 137))
    lines = found.text.split()
    return lines[0] if not found.status and lines else None


def _uncommitted(git: Git, path: Path) -> list[str]:
    from ..repositories.standing import uncommitted

    changed, _ = uncommitted(git, path)
    return [f"{changed} changed file{'s' if changed > 1 else ''} not committed, so left out"] if changed else []
