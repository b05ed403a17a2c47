"""Reading, listing and changing files with the tools of a workspace."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.agents.tools.conftest import Desk
from twelvefold.agents.errors import InvalidParameters


def test_a_file_is_read_with_its_lines_numbered(desk: Desk) -> None:
    """A whole file, and some of its lines, with how many there are."""
    whole = desk.did("read_file", path="src/shop/prices.py")
    assert whole["text"].startswith("def price") and whole["lines_total"] == 6 and not whole["truncated"]
    some = desk.did("read_file", path="src/shop/prices.py", start_line=2, end_line=2)
    assert (some["text"], some["start_line"], some["end_line"]) == ("    return n * 2\n", 2, 2)
    assert desk.did("read_file", path="src/shop/__init__.py")["lines_total"] == 0
    assert desk.refused("read_file", path="README.md", start_line=9) == "no_such_line"
    assert desk.refused("read_file", path="nowhere.py") == "file_missing"
    assert desk.refused("read_file", path="src") == "path_refused"


def test_long_files_come_in_parts(desk_on: Callable[..., Desk]) -> None:
    """Going on at `next_line` gives the whole file, and nothing twice; one endless line is cut and that is said."""
    lines = [f"{number} {'x' * 50}\n" for number in range(5000)]
    desk = desk_on({"long.txt": "".join(lines), "line.txt": "y" * 100_000 + "\nend\n"})
    at, parts = 1, []
    while True:
        part = desk.did("read_file", path="long.txt", start_line=at)
        parts.append(part["text"])
        if not part["truncated"]:
            break
        at = part["next_line"]
    assert "".join(parts) == "".join(lines) and len(parts) > 2
    cut = desk.did("read_file", path="line.txt")
    assert len(cut["text"]) == 64_000 and "line 1 is longer" in cut["cut"] and cut["next_line"] == 2
    assert desk.did("read_file", path="line.txt", start_line=2)["text"] == "end\n"


def test_binary_and_foreign_files_are_told(desk_on: Callable[..., Desk]) -> None:
    """A binary file isn't shown as text; another encoding is read and named; a line ends where git says."""
    desk = desk_on({"a.bin": b"\0\1\2", "latin.txt": "é\n".encode("latin-1"), "odd.txt": "a\x0cb\u2028c\r\nd\n"})
    response = desk.call("read_file", path="a.bin")
    assert response.reason == "binary_file" and response.data["size"] == 3
    assert desk.did("read_file", path="latin.txt")["encoding"] == "latin-1"
    odd = desk.did("read_file", path="odd.txt")
    assert (odd["lines_total"], odd["text"]) == (2, "a\x0cb\u2028c\nd\n")


def test_what_is_neither_file_nor_folder_is_refused(desk: Desk) -> None:
    """A FIFO would hold a reader up for ever."""
    os.mkfifo(desk.folder / "pipe")
    assert desk.call("read_file", path="pipe").reason == "path_refused"
    assert desk.did("list_files")["total"] == 7
    with (desk.folder / "large").open("wb") as file:
        file.truncate(20 << 20)
    assert desk.call("read_file", path="large").reason == "file_too_large"


def test_files_are_listed_by_pattern(desk: Desk) -> None:
    """Names anywhere, paths from the top, folders; but neither what .gitignore leaves out nor what tests leave."""
    (desk.folder / "build").mkdir()
    for name in ("build/out.txt", "note.log", "new.txt"):
        (desk.folder / name).write_text("")
    (desk.folder / "src/shop/__pycache__").mkdir()
    (desk.folder / "src/shop/__pycache__/prices.cpython-311.pyc").write_bytes(b"")
    found = desk.did("list_files")["files"]
    assert found == sorted([".gitignore", "README.md", "data/table.json", "new.txt", "pyproject.toml", *SOURCES])
    assert desk.did("list_files", pattern="*.py")["files"] == SOURCES
    assert desk.did("list_files", pattern="src/**/*.py")["files"] == SOURCES[:2]
    assert desk.did("list_files", pattern="src/")["files"] == SOURCES[:2]
    assert desk.did("list_files", pattern="{data,src}/**/pr*.py")["files"] == ["src/shop/prices.py"]
    limited = desk.did("list_files", limit=2)
    assert (len(limited["files"]), limited["total"], limited["truncated"]) == (2, 8, True)
    assert desk.refused("list_files", pattern="{a,b}" * 10) == "invalid_pattern"


SOURCES = ["src/shop/__init__.py", "src/shop/prices.py", "tests/test_prices.py"]


def test_an_exact_text_is_replaced(desk: Desk) -> None:
    """Where it stands once it becomes the new one, and the commit holds that file and no other change."""
    data = desk.did("edit_file", path="src/shop/prices.py", old_text="def tax(n", new_text="def tax(net")
    assert data["lines"] == [5]
    assert desk.text("src/shop/prices.py").count("net") == 1
    assert desk.changed() == ["src/shop/prices.py"]
    assert desk.committed("src/shop/prices.py") == desk.text("src/shop/prices.py")


def test_a_text_must_occur_as_often_as_said(desk: Desk) -> None:
    """Ambiguous and missing texts are refused with the lines; a stated count is kept to; overlaps are none."""
    path, old = "src/shop/prices.py", "return n * 2"
    response = desk.call("edit_file", path=path, old_text=old, new_text="return n")
    assert response.reason == "old_text_ambiguous" and response.data["lines"] == [2, 6]
    assert desk.refused("edit_file", path=path, old_text=old, new_text="return n", count=3) == "old_text_ambiguous"
    missing = desk.call("edit_file", path=path, old_text="return  n * 2", new_text="return n")
    assert missing.reason == "old_text_missing" and "line 2" in str(missing.error)
    assert desk.did("edit_file", path=path, old_text=old, new_text="# twice\n    return n", count=2)["lines"] == [2, 7]
    assert desk.call("edit_file", path="README.md", old_text="thing", new_text="thing").outcome == "nothing_to_do"
    desk.did("write_file", path="aaa.txt", text="aaa")
    assert desk.refused("edit_file", path="aaa.txt", old_text="aa", new_text="b", count=2) == "edits_overlap"


def test_part_of_a_word_is_a_text_too(desk: Desk) -> None:
    """An exact text is found wherever it stands, so that one hidden in a longer word makes it ambiguous."""
    desk.did("write_file", path="w.txt", text="get_user\n")
    desk.did("edit_file", path="w.txt", old_text="get_", new_text="find_")
    assert desk.text("w.txt") == "find_user\n"


def test_an_edit_keeps_what_it_does_not_replace(desk_on: Callable[..., Desk]) -> None:
    """Line ends, byte-order mark, encoding, a missing last newline and the executable bit stay."""
    files = {
        "crlf.txt": b"one\r\ntwo\r\nthree",
        "bom.txt": b"\xef\xbb\xbfone\n",
        "latin.py": b"# coding: latin-1\nx='\xe9'\n",
    }
    desk = desk_on(files)
    (desk.folder / "README.md").chmod(0o755)
    desk.did("edit_file", path="crlf.txt", old_text="one\ntwo", new_text="1\n2\n2b")
    desk.did("edit_file", path="bom.txt", old_text="one", new_text="1")
    desk.did("edit_file", path="latin.py", old_text="x=", new_text="ü =")
    desk.did("edit_file", path="README.md", old_text="Sells", new_text="Sold")
    assert (desk.folder / "crlf.txt").read_bytes() == b"1\r\n2\r\n2b\r\nthree"
    assert (desk.folder / "bom.txt").read_bytes() == b"\xef\xbb\xbf1\n"
    assert (desk.folder / "latin.py").read_bytes() == b"# coding: latin-1\n\xfc ='\xe9'\n"
    assert (desk.folder / "README.md").stat().st_mode & 0o777 == 0o755
    assert desk.refused("edit_file", path="latin.py", old_text="ü", new_text="漢") == "not_text"


def test_no_edit_breaks_a_file(desk_on: Callable[..., Desk]) -> None:
    """What parsed before must parse afterwards; what didn't is nobody's to keep from being edited."""
    desk = desk_on({"broken.py": "def (\n", "a.ini": "[a]\nb = 1\n"})
    assert (
        desk.refused("edit_file", path="src/shop/prices.py", old_text="def tax(", new_text="def tax((")
        == "syntax_broken"
    )
    assert desk.refused("edit_file", path="data/table.json", old_text="1}", new_text="1,}") == "syntax_broken"
    assert desk.refused("edit_file", path="pyproject.toml", old_text='"1.0"', new_text="1.0.1") == "syntax_broken"
    assert desk.refused("edit_file", path="a.ini", old_text="[a]\n", new_text="") == "syntax_broken"
    desk.did("edit_file", path="broken.py", old_text="def (", new_text="def ((")


def test_several_edits_are_all_made_or_none(desk: Desk) -> None:
    """Each sees those before it; one that can't be made is named, and no file changes; a broken file in between may."""
    first = {"path": "README.md", "old_text": "Sells", "new_text": "Buys"}
    then = {"path": "README.md", "old_text": "Buys things", "new_text": "Buys all"}
    opens = {"path": "src/shop/prices.py", "old_text": "def tax(n", "new_text": "def tax((n"}
    closes = {"path": "src/shop/prices.py", "old_text": "((n", "new_text": "(n"}
    missing = {"path": "pyproject.toml", "old_text": "nowhere", "new_text": ""}
    response = desk.call("edit_files", edits=[first, then, missing])
    assert (response.reason, response.data["edit"]) == ("old_text_missing", 3)
    assert desk.refused("edit_files", edits=[first, opens]) == "syntax_broken"
    assert desk.changed() == []
    assert desk.did("edit_files", edits=[first, opens, then, closes])["files_changed"] == ["README.md"]
    assert desk.text("README.md") == "# Shop\n\nBuys all.\n"
    assert desk.refused("edit_files", edits=[first, {**first, "path": "../x"}]) in ("old_text_missing", "path_refused")


def test_a_file_is_written_whole(desk: Desk) -> None:
    """New with its folders, or in place of what was; what .gitignore leaves out is committed where a tool wrote it."""
    assert desk.did("write_file", path="build/deep/run.sh", text="#!/bin/sh\n", executable=True)["created"]
    assert not desk.did("write_file", path="README.md", text="new\n")["created"]
    assert (desk.folder / "build/deep/run.sh").stat().st_mode & 0o111 == 0o111
    assert desk.committed("build/deep/run.sh") == "#!/bin/sh\n"
    again = desk.call("write_file", path="README.md", text="new\n")
    assert (again.success, again.outcome) == (True, "nothing_to_do")
    assert desk.changed() == ["README.md", "build/deep/run.sh"]


def test_a_new_file_must_parse_unless_it_is_meant_not_to(desk: Desk) -> None:
    """A broken Python file is refused, and written where that is asked for."""
    assert desk.refused("write_file", path="bad.py", text="def (") == "syntax_broken"
    desk.did("write_file", path="bad.py", text="def (", unchecked=True)
    desk.did("write_file", path="tsconfig.json", text="{ /* a comment */ }")
    desk.did("write_file", path="{{ cookiecutter.name }}/a.py", text="{{ it }} = (")


def test_files_are_moved_and_deleted(desk: Desk) -> None:
    """With their mode, over no other file; folders that hold nothing else go."""
    (desk.folder / "data/table.json").chmod(0o755)
    desk.did("move_file", path="data/table.json", to="tables/deep/first.json")
    assert not (desk.folder / "data").exists()
    assert (desk.folder / "tables/deep/first.json").stat().st_mode & 0o111
    assert desk.refused("move_file", path="README.md", to="pyproject.toml") == "file_exists"
    assert desk.refused("move_file", path="nowhere", to="x") == "file_missing"
    assert desk.refused("move_file", path="README.md", to="README.md") == "file_exists"
    desk.did("delete_file", path="tables/deep/first.json")
    assert not (desk.folder / "tables").exists()
    assert desk.refused("delete_file", path="tables/deep/first.json") == "file_missing"
    assert desk.refused("delete_file", path="src") == "path_refused"
    assert desk.changed() == ["data/table.json"]


def test_a_second_name_of_a_file_is_not_written_through(desk: Desk, outside: os.PathLike[str]) -> None:
    """A hard link that leads outside is replaced, never written into."""
    os.link(os.path.join(outside, "secret.txt"), desk.folder / "linked.txt")  # noqa: PTH118
    desk.did("write_file", path="linked.txt", text="mine\n")
    assert desk.text("linked.txt") == "mine\n"


def test_parameters_are_checked(desk: Desk) -> None:
    """Unknown, missing and wrong parameters never reach a file."""
    for parameters in ({}, {"path": 5}, {"path": "README.md", "start_line": 0}, {"path": "README.md", "more": 1}):
        with pytest.raises(InvalidParameters):
            desk.context.call(desk.tools["read_file"], parameters)


def test_schemas_are_small_and_say_what_a_model_must_know(desk: Desk) -> None:
    """Each tool has a description and a flat schema whose every required parameter is described or plain."""
    names = "read_file list_files search_files edit_file edit_files write_file apply_diff move_file delete_file"
    assert set(desk.tools) == {
        *names.split(),
        "git_log",
        "git_blame",
        "git_diff",
        "git_show",
        "git_commit",
        "run_command",
        "run_tests",
    }
    for tool in desk.tools.values():
        schema = tool.schema()
        assert len(tool.description) > 40 and "$defs" not in schema and schema["additionalProperties"] is False
        assert tool.timeout_s is not None and tool.effect in ("read", "idempotent")


def test_files_made_to_exhaust_are_answered_soon(desk_on: Callable[..., Desk]) -> None:
    """Millions of lines, of occurrences, of lines much like another: no call takes long or much memory."""
    shuffled = [("abcdefgh " * 50)[number % 9 :] + str(number * 7919 % 100_003) for number in range(19_000)]
    files = {"lines.txt": "\n" * 3_000_000, "same.txt": "a" * 4_000_000, "like.txt": "\n".join(shuffled)}
    desk = desk_on(files)
    last = desk.did("read_file", path="lines.txt", start_line=3_000_000)
    assert (last["lines_total"], last["text"]) == (3_000_000, "\n")
    assert desk.refused("edit_file", path="same.txt", old_text="a", new_text="b") == "old_text_ambiguous"
    missing = "abcdefgh " * 49 + "abcdefhg x\nmore"
    assert desk.refused("edit_file", path="like.txt", old_text=missing, new_text="b") == "old_text_missing"
    assert desk.refused("edit_file", path="lines.txt", old_text="x", new_text="b") == "old_text_missing"
