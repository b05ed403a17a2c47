"""How far an agent looks ahead: by one, and while tasks are done at once by what is done in a moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twelvefold.agents.look_ahead import AHEAD_MAX, AHEAD_MIN, AHEAD_S, SHORT_HANDLER_S, LookAhead


def after(times: list[float]) -> int:
    """How far it looks ahead after tasks that took so long."""
    pace, ahead = LookAhead(), AHEAD_MIN
    for seconds in times:
        ahead = pace.took(seconds, ahead)
    return ahead


def test_quick_tasks_let_it_look_ahead_and_slow_ones_do_not() -> None:
    """It begins with one, goes as far as it may for tasks that do nothing, and back for those that take a while."""
    assert after([0.0001]) == AHEAD_MIN
    assert after([0.0001] * 50) == AHEAD_MAX
    assert after([0.01] * 50) == AHEAD_MIN
    assert after([0.0001] * 50 + [0.01] * 50) == AHEAD_MIN


def test_one_pause_of_the_machine_does_not_end_it_but_a_long_handler_does() -> None:
    """A quick task that took long once counts as one; a handler that the main thread had to look after ends it."""
    pace, ahead = LookAhead(), AHEAD_MIN
    for _ in range(50):
        ahead = pace.took(0.0001, ahead)
    assert pace.took(3.0, ahead) > AHEAD_MIN
    pace.is_long()
    assert pace.took(0.0001, AHEAD_MIN) == AHEAD_MIN


@given(st.lists(st.floats(0, 10), max_size=60))
def test_what_waits_is_done_in_a_moment(times: list[float]) -> None:
    """Whatever tasks took, it is within its bounds, and about as much as is done in AHEAD_S by the mean."""
    pace, ahead = LookAhead(), AHEAD_MIN
    for seconds in times:
        ahead = pace.took(seconds, ahead)
        assert AHEAD_MIN <= ahead <= AHEAD_MAX
        assert 0 < pace.mean_s <= SHORT_HANDLER_S
        assert (ahead - AHEAD_MIN) * pace.mean_s <= 2 * AHEAD_S + pace.mean_s
