"""When a model call is tried again, and after how long.

Owns the judgement; the loop is tenacity's. Keeps: what the service asked to wait for is waited for, or the call ends
where that takes longer than its time; what can't come good by itself isn't tried again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from .http_exchange import Broken, Refused, Unreadable

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

ATTEMPTS_MAX = 5
#: The first wait where the service names none; each further one is at most twice as long, up to the longest.
WAIT_FIRST_S = 0.5
WAIT_LONGEST_S = 20.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


def retrying(within_s: float, wait_first_s: float = WAIT_FIRST_S) -> AsyncRetrying:
    """Return the loop for one call, which has so long in all."""
    from tenacity import (
        AsyncRetrying,
        retry_if_exception,
        stop_after_attempt,
        stop_before_delay,
        wait_random_exponential,
    )

    backoff = wait_random_exponential(multiplier=wait_first_s, max=WAIT_LONGEST_S)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = asked_wait_s(error.headers, time.time()) if isinstance(error, Refused) else None
        return backoff(state) if asked is None else asked

    return AsyncRetrying(
        retry=retry_if_exception(may_pass),
        wait=wait,
        stop=stop_after_attempt(ATTEMPTS_MAX) | stop_before_delay(within_s),
        reraise=True,
    )


def may_pass(error: BaseException) -> bool:
    """Tell whether the same call may succeed when it is tried again."""
    if isinstance(error, Refused):
        # A quota that is used up says 429 too; waiting doesn't fill it.
        return error.status in _PASSING and "insufficient_quota" not in error.said
    return isinstance(error, Broken | Unreadable)


def asked_wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return how long a service asked to wait: seconds, or a date by its own clock; None where it didn't."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    found = _number(text)
    if found is not None:
        return found
    until = _moment(text)
    if until is None:
        return None
    here = _moment(headers.get("date", ""))
    return max(until - (now_s if here is None else here), 0.0)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
