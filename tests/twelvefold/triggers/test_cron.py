"""When cron lines are due: time zones, clocks that jump, times that nobody was there for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.cron import MISSED_MAX, cron_problem, last_due, next_due


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "zone", "after", "due"),
    [
        ("0 3 * * *", "UTC", "2026-01-01T03:00:00", "2026-01-02T03:00:00"),
        ("0 3 * * *", "UTC", "2026-01-01T02:59:59.9", "2026-01-01T03:00:00"),
        ("@daily", "Europe/Berlin", "2026-01-01T00:00:00", "2026-01-01T23:00:00"),
        ("0 9 * * 1-5", "America/New_York", "2026-07-03T13:00:00", "2026-07-06T13:00:00"),
        # The clock is put from 02:00 to 03:00: right after the gap.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        # It is put from 03:00 back to 02:00: the first of the two.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
    ],
)
def test_the_next_time(line: str, zone: str, after: str, due: str) -> None:
    """A line is due at its own zone's times, and once where the clock jumps."""
    assert next_due(line, zone, at(after)) == at(due)


@pytest.mark.parametrize(
    ("after", "now", "due", "missed"),
    [
        ("2026-01-01T03:00:00", "2026-01-02T02:59:59.999", None, 0),
        ("2026-01-01T03:00:00", "2026-01-02T03:00:00", "2026-01-02T03:00:00", 0),
        ("2026-01-01T02:59:00", "2026-01-01T03:00:30", "2026-01-01T03:00:00", 0),
        ("2026-01-01T03:00:00", "2026-01-05T12:00:00", "2026-01-05T03:00:00", 3),
        ("2026-01-05T03:00:00", "2026-01-01T12:00:00", None, 0),
    ],
)
def test_the_last_time_that_has_passed(after: str, now: str, due: str | None, missed: int) -> None:
    """Of several times that have passed the last is due, and the others are counted; none while the clock is behind."""
    assert last_due("0 3 * * *", "UTC", at(after), at(now)) == (None if due is None else (at(due), missed))


def test_a_long_absence_is_counted_up_to_a_bound() -> None:
    """Years of missed minutes cost nothing."""
    due = last_due("* * * * *", "UTC", at("2016-01-01T00:00:00"), at("2026-01-01T00:00:30"))
    assert due == (at("2026-01-01T00:00:00"), MISSED_MAX)


@settings(deadline=None)
@given(
    line=st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 1,2,3 * * 0", "@hourly"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
    steps=st.lists(st.integers(1, 200_000), min_size=1, max_size=20),
)
def test_no_time_is_due_twice_or_never(line: str, zone: str, start: datetime, steps: list[int]) -> None:
    """However irregularly the clock is looked at, due times grow, and nothing due is left before now."""
    after = now = start.replace(tzinfo=UTC)
    for step in steps:
        now += timedelta(seconds=step)
        found = last_due(line, zone, after, now)
        upcoming = next_due(line, zone, after)
        assert (found is None) == (upcoming > now)
        if found is not None:
            assert after < found[0] <= now
            after = found[0]
            assert next_due(line, zone, after) > now


@pytest.mark.parametrize(
    ("line", "zone"),
    [("x", "UTC"), ("* * * *", "UTC"), ("60 * * * *", "UTC"), ("0 0 31 2 *", "UTC"), ("0 3 * * *", "Mars/Base"),
     ("0 3 * * *", "../../etc/passwd"), ("0 3 * * *", ""), ("", "UTC")],
)  # fmt: skip
def test_lines_that_are_none(line: str, zone: str) -> None:
    """A wrong line or zone is told in words, before anything waits for it."""
    assert cron_problem(line, zone)
    assert not cron_problem("*/5 8-18 * * mon-fri", "Europe/Berlin")
