"""Which files of a folder are told of, and when: whole, once, and never what nobody has put there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from twelvefold.project_errors import WatchedFolderMissing
from twelvefold.project_file import ISSUE_PATTERNS
from twelvefold.triggers.folder import FolderScan


class Looking:
    """Looks at a folder with a clock of its own."""

    def __init__(self, folder: Path, *patterns: str) -> None:
        self.scan = FolderScan(folder, patterns or ISSUE_PATTERNS, settle_s=1.0)
        self.now = 0.0

    def look(self, after_s: float = 2.0) -> dict[str, bytes]:
        """What is told of after a while."""
        self.now += after_s
        return {found.path.name: found.content for found in self.scan.look(self.now)}

    def settled(self) -> dict[str, bytes]:
        """What is told of once files have been as they are for long enough."""
        first = self.look()
        return {**first, **self.look()}


@pytest.fixture
def looking(tmp_path: Path) -> Looking:
    """A look at an empty folder."""
    return Looking(tmp_path)


def test_a_file_is_told_of_once(looking: Looking, tmp_path: Path) -> None:
    """A new file is told of when it has settled, once; with other words, again; after a restart, again."""
    (tmp_path / "1.md").write_text("one")
    assert looking.look() == {} and looking.scan.waits
    assert looking.look() == {"1.md": b"one"} and not looking.scan.waits
    assert looking.settled() == {}
    (tmp_path / "1.md").write_text("other")
    assert looking.settled() == {"1.md": b"other"}
    assert Looking(tmp_path).settled() == {"1.md": b"other"}


def test_a_file_that_changes_is_waited_for(looking: Looking, tmp_path: Path) -> None:
    """While a file grows it isn't told of, nor while it is empty."""
    file = tmp_path / "1.md"
    file.touch()
    assert looking.settled() == {} and not looking.scan.waits
    for n in range(1, 5):
        file.write_text("x" * n)
        assert looking.look() == {}
    assert looking.look() == {"1.md": b"xxxx"}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a file open for writing, and closes it when it is told to."""
    program = "import sys; f = open(sys.argv[1], 'w'); f.write('half'); f.flush(); print('ready', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{program}; f.write(' and half'); f.close(); print('done', flush=True); input()",
         str(tmp_path / "1.md")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_slow_writer_is_waited_for(looking: Looking, writer: subprocess.Popen[str]) -> None:
    """However long somebody pauses with a file open, half of it is not told of."""
    for _ in range(5):
        assert looking.look(100) == {}
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "done\n"
    assert looking.settled() == {"1.md": b"half and half"}


def test_editors_and_what_is_moved_in(looking: Looking, tmp_path: Path) -> None:
    """What editors leave aside doesn't count; a file that is moved into its place does, whole."""
    for name in (".1.md.swp", "1.md~", "#1.md#", ".#1.md", "4913", "1.md.tmp", "1.md.part", "~$1.md", ".hidden.md"):
        (tmp_path / name).write_text("draft")
    assert looking.settled() == {}
    (tmp_path / "1.md.tmp").rename(tmp_path / "1.md")
    assert looking.settled() == {"1.md": b"draft"}
    (tmp_path / "1.md.part").replace(tmp_path / "1.md")
    assert looking.settled() == {"1.md": b"draft"}  # another file, which the key of its run finds out to be the same


def test_no_links_pipes_and_folders(looking: Looking, tmp_path: Path) -> None:
    """A link to somebody's secret, a pipe that would never end, a folder: none is an issue."""
    (tmp_path / "secret").write_text("key")
    (tmp_path / "link.md").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    assert looking.settled() == {}


def test_names_that_fit_no_pattern(tmp_path: Path) -> None:
    """Only the patterns that were asked for count."""
    for name in ("a.csv", "a.md", "b.CSV", "run.sh"):
        (tmp_path / name).write_text("x")
    assert Looking(tmp_path, "*.csv").settled() == {"a.csv": b"x"}
    assert Looking(tmp_path).settled() == {"a.md": b"x"}


def test_unreadable_and_too_large(looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be read is told of with the reason, once."""
    monkeypatch.setattr("twelvefold.triggers.folder.SIZE_MAX", 10)
    (tmp_path / "large.md").write_text("x" * 11)
    looking.look()
    looking.now += 2
    (found,) = looking.scan.look(looking.now)
    assert "more than 10 bytes" in found.problem and looking.settled() == {}


def test_a_folder_that_goes(looking: Looking, tmp_path: Path) -> None:
    """A folder that is removed, or never was, is an error and no empty folder."""
    gone = FolderScan(tmp_path / "gone", ISSUE_PATTERNS)
    with pytest.raises(WatchedFolderMissing):
        list(gone.look(0))
    (tmp_path / "file").touch()
    with pytest.raises(WatchedFolderMissing):
        list(FolderScan(tmp_path / "file", ISSUE_PATTERNS).look(0))
    assert eventually(lambda: looking.settled() == {})
