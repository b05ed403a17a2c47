"""The Procfile's grammar, from outside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.errors import ProcfileInvalid
from twelvefold.orchestration.procfile import ProcfileLine, parse_procfile

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True).filter(lambda name: name.lower() != "all")
COMMANDS = st.text(st.characters(blacklist_characters="\0\n\r", blacklist_categories=["Cs"]), min_size=1).filter(
    lambda text: text == text.strip()
)


@given(st.lists(st.tuples(NAMES, COMMANDS), unique_by=lambda pair: pair[0].lower()))
def test_what_is_written_is_read(pairs: list[tuple[str, str]]) -> None:
    """Every list of names and commands survives being written as a Procfile."""
    text = "".join(f"{name}: {command}\n" for name, command in pairs)
    assert [(line.name, line.command) for line in parse_procfile(text)] == pairs


@given(st.text())
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    """Whatever the text, it parses, or the error points at a line and column that it has."""
    try:
        lines = parse_procfile(text)
    except ProcfileInvalid as error:
        source = text.removeprefix("\ufeff").split("\n")[error.line - 1].removesuffix("\r")
        assert source == error.source
        assert 1 <= error.column <= len(source) + 1
        assert f"Procfile:{error.line}:{error.column}" in error.message()
    else:
        assert len({line.name.lower() for line in lines}) == len(lines)
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", line.name) and line.command for line in lines)


def test_comments_blank_lines_crlf_and_bom_are_no_obstacle() -> None:
    """Files as editors on all systems leave them are read."""
    text = "\ufeff# processes\r\n\r\nweb:\tpython -m http.server $PORT \r\n  worker : ./work  # not a comment\r\n"
    assert parse_procfile(text) == (
        ProcfileLine("web", "python -m http.server $PORT", 3),
        ProcfileLine("worker", "./work  # not a comment", 4),
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("web python", 1, 4, "no colon"),
        ("ok: true\nweb server: x", 2, 4, "' ' cannot be"),
        (": x", 1, 1, "needs a name"),
        ("wéb: x", 1, 2, "'é' cannot be"),
        ("web:   ", 1, 8, "no command"),
        ("a: x\0y", 1, 5, "NUL"),
        ("ALL: x", 1, 1, "every process"),
        ("web: a\n\n  Web: b", 3, 3, "line 1 has 'web'"),
        ("w" * 65 + ": x", 1, 65, "at most 64"),
    ],
)
def test_each_slip_is_named_where_it_is(text: str, line: int, column: int, words: str) -> None:
    """Each kind of malformed line is refused with file, line, column, a caret below the source, and a help."""
    with pytest.raises(ProcfileInvalid) as caught:
        parse_procfile(text, "dir/Procfile")
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert words in error.message()
    assert f"dir/Procfile:{line}:{column}" in error.message()
    assert error.message().splitlines()[-1].index("^") == len("   | ") + column - 1
    assert "twelvefold check -f dir/Procfile" in error.help()


def test_only_the_newline_ends_a_line() -> None:
    """A form feed or a Unicode line separator inside a command is a part of it, as for a shell."""
    assert [line.command for line in parse_procfile("a: x\x0cy\u2028z")] == ["x\x0cy\u2028z"]
