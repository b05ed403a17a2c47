"""When a cron line is due, in a time zone: the next time, and the last of those that have passed. Pure.

What a line means is `cronsim`'s, which does as Debian's cron: a time that a clock skips in spring is due right after,
one that comes twice in autumn is due once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

#: Times that were missed are counted up to so many.
MISSED_MAX = 1000
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip


def cron_problem(line: str, time_zone: str) -> str:
    """Return what is wrong with a cron line or a time zone, "" for nothing."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"there is no time zone {time_zone!r}; one is written like Europe/Berlin"
    try:
        if next(CronSim(_line(line), datetime(2024, 1, 1, tzinfo=zone)), None) is None:
            return f"`{line}` never comes"
    except CronSimError as error:
        return f"`{line}` is no cron line: {str(error).lower()}; one is written like 0 3 * * 1-5"
    return ""


def next_due(line: str, time_zone: str, after: datetime) -> datetime:
    """Return the first time of a line after a moment, in UTC."""
    # Cron knows whole minutes; what is within the minute of a time comes after it.
    found = next(CronSim(_line(line), after.astimezone(ZoneInfo(time_zone))))
    return found.astimezone(UTC)


def last_due(line: str, time_zone: str, after: datetime, now: datetime) -> tuple[datetime, int] | None:
    """Return the last time of a line after `after` that is not after `now`, and how many came before it; else None."""
    backwards = CronSim(_line(line), (now + timedelta(minutes=1)).astimezone(ZoneInfo(time_zone)), reverse=True)
    passed = (moment for moment in (found.astimezone(UTC) for found in backwards) if moment <= now)
    due: datetime | None = None
    missed = 0
    for moment in islice(passed, MISSED_MAX + 1):
        if moment <= after:
            break
        if due is None:
            due = moment
        else:
            missed += 1
    return None if due is None else (due, missed)


def _line(line: str) -> str:
    return _SHORT.get(line.strip().lower(), line.strip())
