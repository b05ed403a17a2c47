"""Formations and ports, from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.errors import FormationInvalid
from twelvefold.orchestration.formation import parse_formation, port_of, quantities
from twelvefold.orchestration.procfile_options import ProcessOptions

NAMES = ["web", "Fixer", "clock"]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("fixer=3", {"Fixer": 3}),
        (" web = 2 , clock=0 ", {"web": 2, "clock": 0}),
        ("all=1", {"web": 1, "Fixer": 1, "clock": 1}),
        ("fixer=3,all=1", {"web": 1, "Fixer": 3, "clock": 1}),
        ("all=0,web=1", {"web": 1, "Fixer": 0, "clock": 0}),
        ("web=1,web=2", {"web": 2}),
    ],
)
def test_formations_are_read(text: str, counts: dict[str, int]) -> None:
    """Counts go to the processes named, `all` to the others, in the Procfile's spelling."""
    assert parse_formation(text, NAMES) == counts


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("web", 1, "'web' has no count"),
        ("web=1,,clock=1", 7, "expected NAME=COUNT"),
        ("web=1, nobody=2", 8, "no process 'nobody'"),
        ("web=-1", 5, "whole number"),
        ("web=1.5", 5, "whole number"),
        ("web=99999", 5, "from 0 to 10000"),
        ("web=²", 5, "whole number"),
        ("web=", 5, "whole number"),
    ],
)
def test_each_slip_is_named_where_it_is(text: str, column: int, words: str) -> None:
    """What cannot be a formation is refused with its column, and the help shows one that can."""
    with pytest.raises(FormationInvalid) as caught:
        parse_formation(text, NAMES)
    assert caught.value.column == column
    assert words in caught.value.message()
    assert "web=2" in caught.value.help()


@given(st.text(alphabet="web=al,fixr 0123456789-.", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, counts of known processes come back, or an error that points into it."""
    try:
        counts = parse_formation(text, NAMES)
    except FormationInvalid as error:
        assert 1 <= error.column <= len(text) + 1
    else:
        assert set(counts) <= set(NAMES)


def test_quantity_holds_where_the_formation_is_silent() -> None:
    """A count comes from the formation, else from `quantity`, else it is one."""
    options = {"web": ProcessOptions(quantity=4), "clock": ProcessOptions(quantity=0)}
    assert quantities(NAMES, options, {"web": 2}) == {"web": 2, "Fixer": 1, "clock": 0}


def test_ports_are_those_of_foreman_and_honcho() -> None:
    """Each line has a hundred ports from the base, each of its processes one of them."""
    assert [port_of(5000, line, number) for line, number in ((0, 1), (0, 2), (1, 1), (2, 3))] == [
        5000,
        5001,
        5100,
        5202,
    ]
