"""Verifying files: that stores hold every commit that the log names, and restored workspaces what they were given.

Walks the events about files, then each run's stores by git's own means. Leaves the log itself to `integrity`. Keeps: it
changes nothing, works while runs go on, and what was forgotten or is at work is not held against anybody.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path, PurePosixPath
from shlex import quote

import msgspec

from ..bus import run_marks
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event
from ..eventstore.forgotten import forgotten
from ..eventstore.reader import LogReader
from ..projections.workspace_files import COMMITTED, CREATED, RESTORED, RunFiles, WorkspaceFiles, apply
from .git import Git, is_commit
from .stored_files import tree_of

_PAGE = 1000
_TYPES = ("workspace.*", RESTORED)
_CHUNK = 1 << 20


class FilesVerdict(msgspec.Struct, frozen=True):
    """What was found whole: commits that the log names, and workspaces that a rollback has laid out."""

    commits: int
    workspaces: int


@dataclass(eq=False)
class FilesDamaged(TwelvefoldError):
    """Files are not what the log says: a commit is gone or damaged, or a workspace was changed since a rollback.

    Every effect that changed files has its commit in the run's store, and a rollback lays such commits out. `position`
    is the first event whose commit or workspace is not as it says.
    """

    code = "E533"
    exit_code = 6
    position: int
    run: str
    place: str
    problem: str
    to: int = 0

    def message(self) -> str:
        """Name the position, the run, the place and what is wrong there."""
        told = f"the files of run {self.run} are not those recorded at position {self.position}"
        return f"{told}: {self.place} {self.problem}"

    def help(self) -> str:
        """Lay a workspace out again; a store only a backup has."""
        if self.to:
            return f"have them laid out again: twelvefold rollback {self.run} --to {self.to} --reason repair --yes"
        return f"look with `git -C {quote(self.place)} fsck`, and put it back from your last copy of the home's stores"


@dataclass
class _Named:
    """What the log names of one run: its files as folded, and by store each commit with the ref and first position."""

    files: RunFiles = field(default_factory=RunFiles)
    commits: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)
    #: Where a rollback was told of last, and the position that it went back to.
    restored: tuple[int, int] = (0, 0)


def verify_files(home: Path, log: LogReader) -> FilesVerdict:
    """Check the stores and the restored workspaces of a home's runs; raises FilesDamaged for the first bad position."""
    named: dict[str, _Named] = {}
    for event in _events(log):
        if event.run:
            _take(named.setdefault(event.run, _Named()), event)
    git, open_runs = Git(), log.marks(run_marks.PREFIX)
    verdict, worst = FilesVerdict(0, 0), None
    for run, one in named.items():
        try:
            found = _check(home, run, one, git, is_open=f"{run_marks.PREFIX}{run}" in open_runs)
            verdict = FilesVerdict(verdict.commits + found.commits, verdict.workspaces + found.workspaces)
        except FilesDamaged as damaged:
            if forgotten(log, run) is None and (worst is None or damaged.position < worst.position):
                worst = damaged
    if worst is not None:
        raise worst
    return verdict


def _events(log: LogReader) -> Iterator[Event]:
    """Yield the events about files, in the order of positions."""
    yield from merge(*(_of_type(log, type) for type in _TYPES), key=lambda event: event.position)


def _of_type(log: LogReader, type: str) -> Iterator[Event]:
    after = 0
    while page := log.read(type=type, after=after, limit=_PAGE):
        yield from page
        after = page[-1].position


def _take(named: _Named, event: Event) -> None:
    data = event.data if event.payload is not None else None
    named.files = apply(named.files, event)
    if not isinstance(data, dict):
        return
    if event.type == RESTORED:
        to = data.get("to")
        named.restored = (event.position, to if isinstance(to, int) else 0)
    elif event.type in (CREATED, COMMITTED) and is_commit(data.get("commit")) and isinstance(data.get("store"), str):
        ref = data.get("ref")
        known = named.commits.setdefault(data["store"], {})
        known.setdefault(data["commit"], (event.position, ref if isinstance(ref, str) else ""))


def _check(home: Path, run: str, named: _Named, git: Git, *, is_open: bool) -> FilesVerdict:
    commits = workspaces = 0
    for told, wanted in named.commits.items():
        store = home / "stores" / PurePosixPath(told).parent.name / PurePosixPath(told).name
        _check_store(run, store, wanted, git)
        commits += len(wanted)
    for one in named.files.workspaces.values():
        if one.is_open and one.position == named.restored[0] and not is_open:
            _check_workspace(home, run, one, named.restored[1], git)
            workspaces += 1
    return FilesVerdict(commits, workspaces)


def _check_workspace(home: Path, run: str, one: WorkspaceFiles, to: int, git: Git) -> None:
    folder = home / "workspaces" / run / one.key
    store = home / "stores" / PurePosixPath(one.store).parent.name / PurePosixPath(one.store).name
    if tree_of(folder, store, one.commit, git) is None:
        problem = f"is not as commit {one.commit[:12]} has it" if folder.exists() else "is not there"
        raise FilesDamaged(one.position, run, str(folder), problem, to)


def _check_store(run: str, store: Path, wanted: Mapping[str, tuple[int, str]], git: Git) -> None:
    """Check that a store has each commit with all of its files, under its ref, and that what it holds is whole."""
    first = min(wanted.values())[0]
    if not store.is_dir():
        raise FilesDamaged(first, run, str(store), "is not there")
    listed = git.run("for-each-ref", "--format=%(refname) %(objectname)", "refs/twelvefold", git_dir=store).text
    refs = dict(row.split(" ", 1) for row in listed.splitlines())
    for commit, (position, ref) in sorted(wanted.items(), key=lambda one: one[1]):
        if ref and refs.get(ref) != commit:
            raise FilesDamaged(position, run, str(store), f"has lost {ref}, which is to name commit {commit[:12]}")
    for object in _damaged(store):
        raise FilesDamaged(_naming(store, wanted, object, git), run, str(store), f"holds a damaged object, {object}")
    if not _is_whole(store, wanted, git):
        for commit, (position, _) in sorted(wanted.items(), key=lambda one: one[1]):
            if not _is_whole(store, [commit], git):
                raise FilesDamaged(position, run, str(store), f"lacks commit {commit[:12]}, or something in it")


def _is_whole(store: Path, commits: Iterable[str], git: Git) -> bool:
    """Tell whether a store has commits, and everything in them that isn't their run's base."""
    lines = "".join(f"{commit}\n" for commit in commits).encode()
    asked = ("rev-list", "--objects", "--missing=print", "--stdin")
    found = git.run(*asked, git_dir=store, stdin=lines + b"^refs/heads/base\n", expect=(0, 128))
    return not found.status and not any(row.startswith("?") for row in found.text.splitlines())


def _naming(store: Path, wanted: Mapping[str, tuple[int, str]], object: str, git: Git) -> int:
    """Return the first position whose commit needs an object; the first of all where git can't tell."""
    for commit, (position, _) in sorted(wanted.items(), key=lambda one: one[1]):
        found = git.run("rev-list", "--objects", "--no-object-names", commit, git_dir=store, expect=(0, 128))
        if found.status or object in found.text.split():
            return position
    return min(wanted.values())[0]


def _damaged(store: Path) -> Iterator[str]:
    """Yield the loose objects of a store whose content isn't what their name says."""
    for path in sorted((store / "objects").glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        if not is_commit(name):
            continue  # what git is writing just now
        digest = hashlib.new("sha1" if len(name) == 40 else "sha256", usedforsecurity=False)
        unpacked = zlib.decompressobj()
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(unpacked.decompress(chunk))
        except (OSError, zlib.error):
            yield name
            continue
        if digest.hexdigest() != name:
            yield name
