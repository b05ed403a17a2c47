"""The index of research: made once for a content, shared by processes, worth nothing when it is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import git, make_repo
from twelvefold.agents.research.index import ResearchIndex
from twelvefold.agents.research.search import search
from twelvefold.agents.research.sources import open_source

SEARCHER = """
import sys
from pathlib import Path
from twelvefold.agents.research.search import search
from twelvefold.agents.research.sources import open_source
found = search(sys.argv[1], [open_source(Path(path)) for path in sys.argv[3:]], Path(sys.argv[2]))
print(found.citations[0].path, sum(one.indexed for one in found.sources))
"""


def test_a_content_is_indexed_once(projects: dict[str, Path], tmp_path: Path) -> None:
    """A second question indexes nothing, a change only the changed file, a renamed or copied file nothing."""
    source = open_source(projects["mail"])
    with ResearchIndex(tmp_path / "index") as index:
        files, new, _ = index.add(source)
        # Empty files have nothing to say.
        assert (files, new) == (5, 5)
        assert index.add(source)[1] == 0
        outbox = projects["mail"] / "mail/outbox.py"
        outbox.write_text(outbox.read_text() + "\nLATER = 1\n")
        git(projects["mail"], "commit", "--quiet", "-am", "Later")
        assert index.add(open_source(projects["mail"]))[1] == 1
        (projects["mail"] / "copy.py").write_text(outbox.read_text())
        git(projects["mail"], "mv", "mail/address.py", "mail/post.py")
        git(projects["mail"], "add", "-A")
        git(projects["mail"], "commit", "--quiet", "-m", "Move")
        assert index.add(open_source(projects["mail"]))[1] == 0
    found = search("is_valid_address", [open_source(projects["mail"])], tmp_path / "index").citations[0]
    assert found.path == "mail/post.py"


def test_several_processes_share_it(projects: dict[str, Path], tmp_path: Path) -> None:
    """Six processes at once, on an index that isn't there yet, find the same, and each content stands there once."""
    for n in range(60):
        (projects["site"] / f"page{n}.md").write_text(f"# Page {n}\n\nThis is about topic{n}.\n")
    git(projects["site"], "add", "-A")
    git(projects["site"], "commit", "--quiet", "-m", "Pages")
    command = [sys.executable, "-c", SEARCHER, "retry_delay", str(tmp_path / "index"), *map(str, projects.values())]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    told = [process.communicate(timeout=120)[0].split() for process in running]
    assert [one[0] for one in told] == ["mail/outbox.py"] * 6
    with ResearchIndex(tmp_path / "index") as index:
        assert index.count('"topic7"') == 1


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "another"])
def test_a_broken_index_is_made_anew(projects: dict[str, Path], tmp_path: Path, damage: str) -> None:
    """Whatever lies in its place, the answer is the same."""
    sources = [open_source(path) for path in projects.values()]
    first = search("retry_delay", sources, tmp_path / "index")
    (file,) = (tmp_path / "index").glob("*.db")
    content = file.read_bytes()
    if damage == "another":
        make_repo(tmp_path / "x", {"a": "a"})
        content = b"SQLite format 3\0" + b"\0" * 5000
    file.write_bytes(
        {"garbage": b"not a database" * 1000, "cut": content[: len(content) // 3], "empty": b""}.get(damage, content)
    )
    assert search("retry_delay", sources, tmp_path / "index").citations == first.citations


def test_a_stale_index_invents_nothing(projects: dict[str, Path], tmp_path: Path) -> None:
    """A passage whose text in the index is not what git has is dropped, not quoted."""
    sources = [open_source(path) for path in projects.values()]
    with ResearchIndex(tmp_path / "index") as index:
        for source in sources:
            index.add(source)
        index._db.execute("UPDATE passages SET body = replace(body, '5 MB', '9 MB')")
    found = search("How large may attachments of a letter be?", sources, tmp_path / "index")
    assert found.dropped >= 1
    assert not any("9 MB" in one.text for one in found.citations)


def test_a_rewritten_history_is_not_cited(projects: dict[str, Path], tmp_path: Path) -> None:
    """Messages of commits that are no part of the history any more are not found."""
    asked = "Why was the wait between attempts changed?"
    search(asked, [open_source(projects["mail"])], tmp_path / "index")
    git(projects["mail"], "reset", "--quiet", "--hard", "HEAD~1")
    found = search(asked, [open_source(projects["mail"])], tmp_path / "index")
    assert not [one for one in found.citations if one.kind == "commit"]


def test_old_lists_of_files_are_forgotten(projects: dict[str, Path], tmp_path: Path) -> None:
    """Of many commits only the latest are kept, and contents that none of them has are gone."""
    for n in range(12):
        (projects["site"] / "number.md").write_text(f"# Number\n\nIt is zahl{n}zahl.\n")
        git(projects["site"], "add", "-A")
        git(projects["site"], "commit", "--quiet", "-m", "Count")
        with ResearchIndex(tmp_path / "index") as index:
            index.add(open_source(projects["site"]))
    with ResearchIndex(tmp_path / "index") as index:
        assert index.count('"zahl0zahl"') == 0
        assert index.count('"zahl11zahl"') == 1
        assert index.count('"zahl8zahl"') == 1


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Large files, binary data, pointers of LFS and submodules are no passages, and the first and last are told."""
    other = make_repo(tmp_path / "other", {"a": "a"})
    repo = make_repo(tmp_path / "repo", {"big.txt": "zebra\n" * 100_000, "small.txt": "zebra zebra\n"})
    (repo / "data.bin").write_bytes(b"zebra\0zebra")
    (repo / "film.mp4").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\nzebra\n"
    )
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    git(repo, "add", "-A")
    git(repo, "commit", "--quiet", "-m", "Odd things")
    found = search("zebra", [open_source(repo)], tmp_path / "index")
    assert [one.path for one in found.citations] == ["small.txt"]
    assert sorted(found.sources[0].notes) == ["1 large file left out", "1 submodule left out"]


def test_lines_that_are_no_utf8_are_not_quoted(tmp_path: Path) -> None:
    """A file in another encoding is cited by those lines that can be quoted to the byte, and by no other."""
    repo = make_repo(tmp_path / "repo", {"a.txt": "x"})
    (repo / "latin.txt").write_bytes(b"zebra caf\xe9\n" + b"\n" * 60 + b"giraffe plain\r\n")
    git(repo, "add", "-A")
    git(repo, "commit", "--quiet", "-m", "Latin")
    assert search("zebra", [open_source(repo)], tmp_path / "index").citations == []
    (plain,) = search("giraffe", [open_source(repo)], tmp_path / "index").citations
    assert plain.text == "giraffe plain\r"
