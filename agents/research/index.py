"""The index of research: passages of all files that were ever asked about, in one SQLite file below the home.

Owns the file. Passages belong to contents, not to paths or commits, so that what was indexed once is never indexed
again. Keeps: several agents may use it at once (each write is one transaction, waiting for the others'); it can be
removed at any time, and one that is broken or of another version is made anew. `sqlite` is imported here only.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from .passages import passages_of
from .sources import FileFact, Source, contents_of, files_of, history_of
from .symbols import suffix_of
from .words import compounds

#: In the file's name, so that another version never meets it.
VERSION = 3
#: How long a transaction waits for those of other agents, in seconds.
_PATIENCE_S = 120.0
_FILES_AT_ONCE = 200
#: Of so many commits of each repository the list of files is kept.
_TREES_MAX = 8


class Found(msgspec.Struct, frozen=True):
    """A passage that matches: a file's (`path`, lines from 1), or of a commit's message (`path` empty)."""

    source: Source
    path: str
    commit: str
    start: int
    end: int
    names: str
    text: str
    score: float


class ResearchIndex:
    """The index in a folder, open while a `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"index-{VERSION}.db"
        self._guard = folder / "index.guard"

    def __enter__(self) -> ResearchIndex:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._errors = _sqlite().DatabaseError
        try:
            self._open()
        except self._errors as error:
            if isinstance(error, _sqlite().OperationalError) and "locked" in str(error):
                raise
            self._start_anew()
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, source: Source) -> tuple[int, int, list[str]]:
        """Take in a repository's commit; return how many files it has, how many were new, and what is left out."""
        files, left = files_of(source)
        tree = self._tree(source, files)
        new = self._unknown(files)
        for start in range(0, len(new), _FILES_AT_ONCE):
            rows = [(_key(file), passages) for file, passages in _passages(source, new[start : start + _FILES_AT_ONCE])]
            with self._transaction():
                for key, passages in rows:
                    if self._db.execute("INSERT OR IGNORE INTO contents VALUES (?)", (key,)).rowcount:
                        self._insert(passages)
        self._add_history(source, tree)
        return len(files), len(new), left

    def search(self, sources: Sequence[Source], query: str, limit: int) -> list[Found]:
        """Return the passages of these commits that match an FTS5 query, best first by BM25."""
        trees = self._trees(sources)
        marks = ",".join("?" * len(trees))
        rows = self._db.execute(
            "SELECT p.content, p.start, p.stop, p.names, p.body, bm25(passages_fts, 8.0, 2.0, 1.0) AS score"
            " FROM passages_fts JOIN passages p ON p.id = passages_fts.rowid WHERE passages_fts MATCH ?"
            f" AND p.content IN (SELECT content FROM files WHERE tree IN ({marks})) ORDER BY score LIMIT ?",
            (query, *trees, limit),
        ).fetchall()
        return list(self._placed(rows, trees))

    def first_passages(self, sources: Sequence[Source], places: Sequence[tuple[Source, str]]) -> list[Found]:
        """Return the first passage of each of these files."""
        found: list[Found] = []
        trees = {source.path: tree for tree, source in self._trees(sources).items()}
        for source, path in places:
            rows = self._db.execute(
                "SELECT p.content, p.start, p.stop, p.names, p.body, 0.0 FROM files f JOIN passages p USING (content)"
                " WHERE f.tree = ? AND f.path = ? ORDER BY p.start LIMIT 1",
                (trees[source.path], path),
            ).fetchall()
            found += [Found(source, path, source.commit, row[1], row[2], row[3], row[4], 0.0) for row in rows]
        return found

    def paths(self, sources: Sequence[Source]) -> Iterator[tuple[Source, str]]:
        """Yield every file of these commits."""
        for tree, source in self._trees(sources).items():
            for (path,) in self._db.execute("SELECT path FROM files WHERE tree = ? AND path != ''", (tree,)):
                yield source, path

    def count(self, query: str | None = None) -> int:
        """Return how many passages there are, or how many match a query."""
        table = "passages" if query is None else "passages_fts WHERE passages_fts MATCH ?"
        return int(self._db.execute(f"SELECT count(*) FROM {table}", () if query is None else (query,)).fetchone()[0])

    def _open(self) -> None:
        from sqlite_utils import Database

        connection = _sqlite().connect(str(self.path), timeout=_PATIENCE_S, isolation_level=None)
        self._db = connection
        try:
            with self._alone():
                database = Database(connection)
                if "files" not in database.table_names():
                    _make(database)
            connection.execute("SELECT count(*) FROM trees").fetchone()
        except BaseException:
            connection.close()
            raise

    def _start_anew(self) -> None:
        """Put a file that is no index of ours out of the way and begin another one; who has it open keeps the old."""
        with self._alone():
            for name in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                name.unlink(missing_ok=True)
        self._open()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._guard.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _trees(self, sources: Sequence[Source]) -> dict[int, Source]:
        found = {}
        for source in sources:
            given = (source.path, source.commit)
            row = self._db.execute("SELECT id FROM trees WHERE repo = ? AND version = ?", given).fetchone()
            if row is not None:
                found[int(row[0])] = source
        return found

    def _tree(self, source: Source, files: Sequence[FileFact]) -> int:
        """Return the number of a commit's list of files, made where there is none; old ones of it are forgotten."""
        given = (source.path, source.commit)
        with self._transaction():
            row = self._db.execute("SELECT id FROM trees WHERE repo = ? AND version = ?", given).fetchone()
            if row is not None:
                return int(row[0])
            tree = int(
                self._db.execute("INSERT INTO trees (repo, version, history) VALUES (?, ?, '')", given).lastrowid
            )
            rows = [(tree, file.path, _key(file)) for file in files]
            self._db.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)
            known = self._db.execute("SELECT id FROM trees WHERE repo = ? ORDER BY id DESC", (source.path,)).fetchall()
            for (old,) in known[_TREES_MAX:]:
                self._db.execute("DELETE FROM files WHERE tree = ?", (old,))
                self._db.execute("DELETE FROM trees WHERE id = ?", (old,))
            if known[_TREES_MAX:]:
                unused = "content NOT IN (SELECT content FROM files)"
                self._db.execute(f"DELETE FROM passages WHERE {unused}")
                self._db.execute(f"DELETE FROM contents WHERE {unused}")
            return tree

    def _unknown(self, files: Sequence[FileFact]) -> list[FileFact]:
        by_key = {_key(file): file for file in files}
        known = {row[0] for row in self._db.execute("SELECT content FROM contents")}
        return [file for key, file in by_key.items() if key not in known]

    def _add_history(self, source: Source, tree: int) -> None:
        """Take in the messages of commits that are new since the last commit of the repository that was read."""
        if self._db.execute("SELECT history FROM trees WHERE id = ?", (tree,)).fetchone()[0]:
            return
        last = self._db.execute(
            "SELECT id, version FROM trees WHERE repo = ? AND history != '' ORDER BY id DESC LIMIT 1", (source.path,)
        ).fetchone()
        commits = history_of(source, last[1] if last else None)
        with self._transaction():
            if last:
                known = "SELECT ?, path, content FROM files WHERE tree = ? AND path = ''"
                inherited = self._is_part(source, last[1])
                self._db.execute(f"INSERT INTO files {known}", (tree, last[0])) if inherited else None
            for one in commits:
                key = f"commit {one.commit}"
                self._db.execute("INSERT INTO files VALUES (?, '', ?)", (tree, key))
                if self._db.execute("INSERT OR IGNORE INTO contents VALUES (?)", (key,)).rowcount:
                    lines = one.message.count("\n") + 1
                    words = f"{one.author} {one.time[:10]} {compounds(one.message)}"
                    self._insert([(key, 1, lines, "", words, one.message)])
            self._db.execute("UPDATE trees SET history = 'read' WHERE id = ?", (tree,))

    def _is_part(self, source: Source, older: str) -> bool:
        from ..git import Git

        asked = ("merge-base", "--is-ancestor", older, source.commit)
        return Git().run(*asked, at=Path(source.path), expect=(0, 1, 128)).status == 0

    def _insert(self, passages: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(
            "INSERT INTO passages (content, start, stop, names, words, body) VALUES (?, ?, ?, ?, ?, ?)", passages
        )

    def _placed(self, rows: Sequence[tuple[Any, ...]], trees: dict[int, Source]) -> Iterator[Found]:
        """Say in which files each content stands: one passage may be in several."""
        marks = ",".join("?" * len(trees))
        for content, start, stop, names, text, score in rows:
            where = self._db.execute(
                f"SELECT tree, path FROM files WHERE content = ? AND tree IN ({marks}) ORDER BY tree, path LIMIT 3",
                (content, *trees),
            ).fetchall()
            for tree, path in where:
                source = trees[tree]
                commit = source.commit if path else str(content).removeprefix("commit ")
                yield Found(source, path, commit, start, stop, names, text, -float(score))


def _make(database: Any) -> None:
    database["contents"].create({"content": str}, pk="content")
    database["trees"].create({"id": int, "repo": str, "version": str, "history": str}, pk="id")
    database["trees"].create_index(["repo", "version"], unique=True)
    columns = {"id": int, "content": str, "start": int, "stop": int, "names": str, "words": str, "body": str}
    database["passages"].create(columns, pk="id")
    database["passages"].create_index(["content"])
    database["passages"].enable_fts(["names", "words", "body"], create_triggers=True, tokenize="porter unicode61")
    # Last, as its presence says that all the others are there.
    database["files"].create({"tree": int, "path": str, "content": str})
    database["files"].create_index(["tree", "path"])
    database["files"].create_index(["content", "tree"])


def _passages(source: Source, files: Sequence[FileFact]) -> Iterator[tuple[FileFact, list[tuple[Any, ...]]]]:
    for file, text in contents_of(source, files):
        rows: list[tuple[Any, ...]] = []
        if text is not None:
            lines = text.split("\n")
            for one in passages_of(text, file.path):
                body = "\n".join(lines[one.start - 1 : one.end])
                names = "\n".join(one.names)
                words = f"{names.replace('_', ' ')} {compounds(body)}"
                rows.append((_key(file), one.start, one.end, names, words, body))
        yield file, rows


def _key(file: FileFact) -> str:
    """Return what a content's passages are known by: how it is cut depends on what kind of file it is, too."""
    return f"{file.blob} {suffix_of(file.path)}"


def _sqlite() -> Any:
    from sqlite_utils import utils

    return vars(utils)["sqlite3"]  # the one that it has chosen: a process has one SQLite library
