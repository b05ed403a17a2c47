"""Changes to several files are made together or not at all, and no file is left broken."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.tools.conftest import picture
from twelvefold.agents.tool_errors import EditsRefused, PathRefused
from twelvefold.agents.tools.syntax import broken_by, check_syntax
from twelvefold.agents.tools.transaction import PARKED, Edits
from twelvefold.agents.tools.tree import FileTree

START = {"a.txt": b"a", "d/b.txt": b"b", "d/e/c.txt": b"c", "run.sh": b"#!/bin/sh\n", "x.py": b"x = 1\n"}


def lay_out(folder: Path) -> Path:
    """Make the files from which each test starts."""
    for name, content in START.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "run.sh").chmod(0o755)
    return folder


class FullDisk(FileTree):
    """A tree whose disk is full when a folder is opened for the n-th time while changes are made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.left: int | None = None

    @contextmanager
    def open_folder(self, parts: list[str], *, make: list[str] | None = None) -> Iterator[int]:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        with super().open_folder(parts, make=make) as handle:
            yield handle


NAMES = st.sampled_from([*START, "new.txt", "n/e/w.txt", "d/new.txt", "d/e/f/g.txt"])
WRITES = st.tuples(st.just("write"), NAMES, st.binary(max_size=5))
MOVES = st.tuples(st.just("move"), NAMES, NAMES)
DELETES = st.tuples(st.just("delete"), NAMES, st.just(""))


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(WRITES | MOVES | DELETES, max_size=6), fails_at=st.integers(1, 30))
def test_a_change_that_fails_half_way_leaves_every_file_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]], fails_at: int
) -> None:
    """Wherever the disk runs full: either all was done, or content, modes and folders are those from before."""
    folder = lay_out(tmp_path_factory.mktemp("t"))
    before = picture(folder)
    tree = FullDisk(folder)
    edits = Edits(tree)
    for what, path, more in steps:
        if what == "write":
            edits.write(path, more, unchecked=True)  # type: ignore[arg-type]
        elif what == "move":
            edits.move(path, more)
        else:
            edits.delete(path)
    wanted = {path: edits.read(path) for path in edits.paths}
    tree.left = fails_at
    try:
        edits.make()
    except (EditsRefused, OSError):
        tree.left = None
        assert picture(folder) == before
        return
    held = {name: content for name, (_, content) in picture(folder).items() if isinstance(content, bytes)}
    found = {name: content for name, content in held.items() if PARKED not in name}
    expected = {**START, **wanted}
    assert found == {path: content for path, content in expected.items() if content is not None}


def test_changes_are_seen_before_they_are_made_and_all_at_once(tmp_path: Path) -> None:
    """What was collected is read back; files change by `make` alone; modes stay, and can be set."""
    folder = lay_out(tmp_path)
    edits = Edits(FileTree(folder))
    edits.write("a.txt", b"2")
    edits.move("run.sh", "bin/go")
    edits.write("bin/go", b"#!/bin/bash\n")
    edits.write("tool", b"", executable=True)
    assert (edits.read("a.txt"), edits.read("run.sh"), edits.read("bin/go")) == (b"2", None, b"#!/bin/bash\n")
    assert (folder / "a.txt").read_bytes() == b"a" and not (folder / "bin").exists()
    assert edits.make() == ["a.txt", "bin/go", "run.sh", "tool"]
    assert (folder / "bin/go").read_bytes() == b"#!/bin/bash\n"
    assert (folder / "bin/go").stat().st_mode & 0o111 and (folder / "tool").stat().st_mode & 0o111
    assert not [path for path in folder.rglob("*") if path.name.startswith(".twelvefold")]


def test_one_refusal_refuses_all(tmp_path: Path) -> None:
    """A file that would no longer parse, or isn't there, keeps the others from being changed; each is named."""
    folder = lay_out(tmp_path)
    before = picture(folder)
    edits = Edits(FileTree(folder))
    edits.write("a.txt", b"2")
    edits.write("x.py", b"x = (\n")
    edits.delete("nowhere")
    with pytest.raises(EditsRefused) as refused:
        edits.make()
    assert [failure["reason"] for failure in refused.value.failures] == ["file_missing", "syntax_broken"]
    assert picture(folder) == before


def test_names_of_files_that_are_being_changed_are_not_taken(tmp_path: Path) -> None:
    """The names under which files are set aside can't be asked for."""
    with pytest.raises(PathRefused):
        Edits(FileTree(lay_out(tmp_path))).write(".twelvefold-0", b"")


GOOD = {
    "a.py": "x: int = 1\n",
    "a.json": "[1, 2]",
    "a.toml": "a = 1\n",
    "a.xml": "<a><b/></a>",
    "a.ini": "[a]\nb = 1\n",
    "a.cfg": "[a]\nb\n",
    "a.md": "((( \x00",
    "Makefile": "a:\n",
}
BAD = {
    "a.py": "x = (\n",
    "a.pyi": "def\n",
    "a.json": "[1,]",
    "a.toml": "a = \n",
    "a.xml": "<a>",
    "a.svg": "<a></b>",
    "a.ini": "b = 1\n",
}


@pytest.mark.parametrize("path", GOOD)
def test_what_parses_is_not_called_broken(path: str) -> None:
    """Also where no parser knows the file."""
    assert check_syntax(path, GOOD[path].encode()) is None


@pytest.mark.parametrize("path", BAD)
def test_what_does_not_parse_is_told_with_its_place(path: str) -> None:
    """A new file may not be broken, nor one that was whole; one that was broken already may stay so."""
    assert check_syntax(path, BAD[path].encode())
    assert "would not be" in str(broken_by(path, None, BAD[path].encode()))
    assert broken_by(path, BAD[path].encode(), BAD[path].encode() + b" ") is None
    good: dict[str, str] = {**GOOD, "a.pyi": "x: int\n", "a.svg": "<a/>"}
    assert "no longer" in str(broken_by(path, good[path].encode(), BAD[path].encode()))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.py", b"x = " + b"(" * 100_000),
        ("a.py", b"-" * 100_000 + b"1"),
        ("a.py", b"a" + b".b" * 100_000),
        ("a.json", b"[" * 1_000_000),
        ("a.toml", b"a = " + b"[" * 100_000),
        ("a.xml", b"<a>" * 100_000),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 1000 + b'"><!ENTITY d "&b;&b;&b;">]><a>&d;</a>'),
        ("a.py", b"\0"),
        ("a.json", b"\xff\xfe\x00"),
        ("a.ini", b"\xff[a]"),
        ("a.toml", b"\xff"),
        ("a.py", b"# coding: nothing\n"),
    ],
)
def test_no_content_harms_a_parser(path: str, content: bytes) -> None:
    """Deep, endless and undecodable files come to an answer."""
    found = check_syntax(path, content)
    assert found is None or found.strip()


def test_a_chain_of_tests_shares_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place where the process stands doesn't matter for what a path means."""
    folder = lay_out(tmp_path / "w")
    monkeypatch.chdir("/")
    edits = Edits(FileTree(folder))
    edits.write("d/b.txt", b"2")
    assert edits.make() == ["d/b.txt"]
    assert (folder / "d/b.txt").read_bytes() == b"2"
