"""Edits: what is replaced, what is refused and why, and that everything else stays byte for byte."""

from __future__ import annotations

import codecs
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twelvefold.agents.edits import EVERY, AlreadyThere, Applied, Edit, EditFailure, apply_edits, unsafe_path
from twelvefold.agents.text_file import decode

CODE = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"

#: A busy machine is no finding.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def edit(old: str | None, new: str | None, path: str = "a.txt", **more: Any) -> Edit:
    return Edit(path=path, old=old, new=new, **more)


def made(content: bytes, *edits: Edit, path: str = "a.txt") -> bytes | None:
    """Apply edits to one file and return its new content."""
    result = apply_edits(edits, {path: content})
    assert isinstance(result, Applied), result
    return result.contents[path]


def refused(content: bytes | None, *edits: Edit, path: str = "a.txt") -> EditFailure:
    """Apply edits to one file and return the one failure."""
    result = apply_edits(edits, {path: content})
    assert isinstance(result, list), result
    assert len(result) == 1, result
    return result[0]


def test_a_block_of_lines_is_replaced() -> None:
    """A code block stands for whole lines, indentation included."""
    new = made(CODE.encode(), edit("    return 1\n", "    x = 1\n    return x\n", lines=True))
    assert new == CODE.replace("    return 1", "    x = 1\n    return x").encode()


def test_lines_are_preferred_to_parts_of_lines() -> None:
    """A line that only contains the old text isn't an occurrence where it stands as a line of its own."""
    assert made(b"pip install x\npip install x2\n", edit("pip install x\n", "pip install y\n", lines=True)) == (
        b"pip install y\npip install x2\n"
    )


def test_a_part_of_a_line_is_replaced() -> None:
    """A block that stands nowhere as whole lines may stand with another indentation, or within quotes or brackets."""
    assert made(b"if x:\n    a = 1\n", edit("a = 1\n", "a = 2\n", lines=True)) == b"if x:\n    a = 2\n"
    assert made(b"f(g(1), 'x y')\n", edit("x y\n", "x z\n", lines=True)) == b"f(g(1), 'x z')\n"


def test_several_lines_do_not_take_the_place_of_an_indented_part() -> None:
    """Only the first of several new lines would get the indentation that stands there, so that is no match."""
    failure = refused(b"if x:\n    a = 1  # one\n", edit("a = 1\n", "a = 1\nb = 1\n", lines=True))
    assert failure.reason == "old_text_missing"


def test_words_are_not_cut() -> None:
    """Inline code isn't found inside of a longer word."""
    assert made(b"import port\n", edit("port", "door")) == b"import door\n"
    assert refused(b"import os\n", edit("port", "door")).reason == "old_text_missing"


@pytest.mark.parametrize(("count", "outcome"), [(1, None), (2, None), (3, b"y y y\n"), (4, None), (EVERY, b"y y y\n")])
def test_number_of_occurrences(count: int, outcome: bytes | None) -> None:
    """An old text must occur exactly as often as stated; the lines of all occurrences are named otherwise."""
    if outcome is not None:
        assert made(b"x x x\n", edit("x", "y", count=count)) == outcome
        return
    failure = refused(b"x x\nx\n", edit("x", "y", count=1 if count == 2 else count))
    assert failure.reason == "old_text_ambiguous"
    assert failure.places == [1, 1, 2]


def test_all_or_none() -> None:
    """One edit that can't be made keeps all others from being made, in every file, and all failures are told."""
    edits = [edit("a", "b"), edit("nope", "b", line=7), edit("zzz", "b", "c.txt"), edit("q", "r", "d.txt")]
    result = apply_edits(edits, {"a.txt": b"a\n", "c.txt": None, "d.txt": b"\0"})
    assert isinstance(result, list)
    assert [(f.reason, f.edit, f.path, f.line) for f in result] == [
        ("old_text_missing", 2, "a.txt", 7),
        ("file_missing", 3, "c.txt", 0),
        ("not_text", 4, "d.txt", 0),
    ]


def test_texts_are_looked_for_in_the_file_as_it_was() -> None:
    """An edit doesn't see what another one has made: two names can be exchanged."""
    assert made(b"a b\n", edit("a", "b"), edit("b", "a")) == b"b a\n"


def test_overlapping_edits_are_refused() -> None:
    """Two edits that want the same text have no defined result."""
    failure = refused(CODE.encode(), edit("def f():\n    return 1\n", "x\n", lines=True), edit("return 1", "return 3"))
    assert failure.reason == "edits_overlap"
    assert failure.places == [2]
    assert refused(b"aaa\naa\na\n", edit("a\na", "b", count=EVERY)).reason == "old_text_missing"


def test_an_edit_told_twice_is_one() -> None:
    """The same pair in two places of an issue is made once."""
    assert made(b"a = 1\n", edit("a = 1", "a = 2", line=3), edit("a = 1", "a = 2", line=9)) == b"a = 2\n"


def test_hint_at_other_indentation() -> None:
    """A text that is there with other white space is pointed at."""
    failure = refused(b"x\n\n\tif a:\n\t\tb()\n", edit("if a:\n    b()\n", "c\n", lines=True))
    assert failure.places == [3]
    assert "indentation" in failure.message


def test_hint_at_a_similar_line() -> None:
    """The most similar line is pointed at."""
    failure = refused(b"one\ntimeout_s = 15  # seconds\n", edit("timeout_s = 16  # seconds", "x"))
    assert failure.places == [2]


def test_already_made() -> None:
    """Where every new text is there and no old one, nothing is to be done; an insertion isn't made twice."""
    insertion = edit("    return 1\n", "    x = 1\n    return 1\n", lines=True)
    once = made(CODE.encode(), insertion)
    again = apply_edits([insertion], {"a.txt": once})
    assert again == AlreadyThere(["a.txt:2"])


def test_a_short_new_text_proves_nothing() -> None:
    """That `60` stands somewhere doesn't mean that the edit was made."""
    assert refused(b"size = 60\n", edit("15", "60")).reason == "old_text_missing"


def test_half_made() -> None:
    """Where some edits had been made and others not, none is: nobody knows whether they still fit."""
    edits = [edit("alpha", "omega"), edit("gamma", "delta")]
    assert refused(b"omega gamma\n", *edits).reason == "old_text_missing"


def test_lines_go_with_their_line_end() -> None:
    """Removing lines leaves no empty one behind, at the end of the file either."""
    assert made(b"a\nb\nc\n", edit("b\n", "", lines=True)) == b"a\nc\n"
    assert made(b"a\nb", edit("b\n", "", lines=True)) == b"a"
    assert made(b"a\nb\nc\n", edit("b\n", "\n", lines=True)) == b"a\n\nc\n"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n"])
def test_form_of_a_file_is_kept(mark: bytes, end: bytes, last: bytes) -> None:
    """Byte-order mark, line ends and a missing last line end stay as they are."""
    last = end if last else b""
    before = mark + end.join([b"one", b"two", b"three"]) + last
    after = mark + end.join([b"one", b"2", b"zwei", b"three"]) + last
    assert made(before, edit("two\n", "2\nzwei\n", lines=True)) == after
    assert made(before, edit("three\n", "3\n", lines=True)) == before.replace(b"three", b"3")


def test_mixed_line_ends_stay_mixed() -> None:
    """Lines that aren't touched keep their ends; new ones take after the line that they replace."""
    assert made(b"a\r\nb\nc\r\nd\n", edit("c\n", "c\ne\n", lines=True)) == b"a\r\nb\nc\r\ne\r\nd\n"
    assert made(b"a\r\nb\nc\r\nd\n", edit("b\n", "b\ne\n", lines=True)) == b"a\r\nb\ne\nc\r\nd\n"
    assert made(b"a\r\nb\nc\r\n", edit("a\nb\nc\n", "x\n", lines=True)) == b"x\r\n"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_encoding_is_kept(encoding: str) -> None:
    """A file in another encoding is edited in it, and refused where it lacks a character."""
    content = "grün = 1\nblau = 2\n".encode(encoding)
    assert made(content, edit("grün = 1\n", "größe = 1\n", lines=True)) == "größe = 1\nblau = 2\n".encode(encoding)
    if encoding == "latin-1":
        assert refused(content, edit("blau", "日本")).reason == "not_text"


def test_declared_encoding() -> None:
    """A Python file's own declaration is believed."""
    content = "# -*- coding: koi8-r -*-\nx = 'привет'\n".encode("koi8-r")
    new = made(content, edit("x = 'привет'", "x = 'пока'", "a.py"), path="a.py")
    assert new == "# -*- coding: koi8-r -*-\nx = 'пока'\n".encode("koi8-r")


def test_python_that_would_not_parse_is_refused() -> None:
    """A file that parsed must parse afterwards; one that didn't is nobody's measure."""
    bad = edit("return 1", "return (1", "a.py")
    assert refused(CODE.encode(), bad, path="a.py").reason == "syntax_broken"
    assert made(("(\n" + CODE).encode(), bad, path="a.py") is not None


def test_files_are_made_and_removed() -> None:
    """A diff against /dev/null makes or removes a whole file, and never replaces another one."""
    new, gone = edit(None, "x\n"), edit("x\n", None)
    assert apply_edits([new], {"a.txt": None}) == Applied({"a.txt": b"x\n"}, [("a.txt", [1])])
    assert apply_edits([new], {"a.txt": b"x\n"}) == AlreadyThere(["a.txt:1"])
    assert refused(b"y\n", new).reason == "file_exists"
    assert made(b"x\n", gone) is None
    assert refused(b"y\n", gone).reason == "old_text_missing"
    assert refused(None, gone).reason == "file_missing"
    assert refused(b"x\n", gone, edit("x", "y")).reason == "edits_overlap"


def test_a_diff_says_which_of_several_places() -> None:
    """Where a text stands several times, the line that a diff's hunk names decides, if it stands exactly there."""
    content = b"a\nb\na\nb\n"
    assert made(content, edit("a\nb\n", "a\nc\n", lines=True, at_line=3)) == b"a\nb\na\nc\n"
    assert refused(content, edit("a\nb\n", "a\nc\n", lines=True, at_line=2)).reason == "old_text_ambiguous"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        ".git/config",
        "a/.GIT/hooks/x",
        ".git",
        "git~1/config",
        ".git. /config",
        "~/x",
        "",
        "a//b",
        "./a",
        "a/",
        "C:\\x",
        "C:x",
        "a\\b",
        "a\0b",
        " a",
    ],
)
def test_paths_that_lead_out_are_refused(path: str) -> None:
    """No path leaves the repository or enters git's own folder."""
    assert unsafe_path(path)
    assert refused(None, edit("a", "b", path), path=path).reason == "unsafe_path"


@unhurried
@given(st.binary(max_size=200))
def test_any_file_survives_decoding(content: bytes) -> None:
    """A file is either binary, or comes out of decoding and encoding as it went in."""
    file = decode(content)
    assert file is None or file.replaced([]) == content


lines = st.lists(st.text(alphabet="ab xé\u2028\x0b", min_size=0, max_size=6), min_size=1, max_size=8)


@unhurried
@given(before=lines, old=lines, after=lines, new=lines, end=st.sampled_from(["\n", "\r\n"]), data=st.data())
def test_only_the_old_text_changes(
    before: list[str], old: list[str], after: list[str], new: list[str], end: str, data: st.DataObject
) -> None:
    """Whatever the texts, an edit that is made changes its occurrence and not one byte around it."""
    content = end.join([*before, *old, *after]).encode()
    block = "".join(f"{line}\n" for line in old)
    result = apply_edits([edit(block, "".join(f"{line}\n" for line in new), lines=True)], {"a.txt": content})
    if isinstance(result, Applied) and result.contents:
        changed = result.contents["a.txt"]
        assert changed is not None
        (place,) = result.places[0][1]
        text = content.decode().split(end)
        start = place - 1
        if text[start : start + len(old)] == old:
            assert changed == end.join([*text[:start], *new, *text[start + len(old) :]]).encode()
    elif isinstance(result, list):
        assert result[0].reason in ("old_text_missing", "old_text_ambiguous")
