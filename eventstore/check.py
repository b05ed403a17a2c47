"""What makes an event well formed, checked before anything is written: no garbage is ever stored.

Pure but for a bounded memory of names found good, which most appends hit: the log checks every event, and the names
of one stream of work are the same few again and again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from .errors import InvalidEvent, PayloadTooLarge, TwelvefoldError
from .event import NewEvent
from .names import is_name

PAYLOAD_SIZE_MAX: Final = 1 << 20
#: Deeper payloads would meet the recursion limit of some reader.
PAYLOAD_DEPTH_MAX: Final = 200
#: No text of up to so many bytes can nest too deep: a level takes two brackets.
SHALLOW_SIZE_MAX: Final = 2 * PAYLOAD_DEPTH_MAX
SOURCE_LENGTH_MAX: Final = 255
INTEGER_MAX: Final = (1 << 63) - 1

_GOOD_NAMES_MAX = 100_000
_RUN = re.compile(r"[0-9a-f]{32}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[0-9a-f-]{1,200})?")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[\[\]{}]")
#: Skips over JSON text without building objects; refuses what is not JSON.
skip_json = msgspec.json.Decoder(msgspec.Raw).decode

#: Names and run ids that passed, "" among them where empty is allowed.
good_names: set[str] = set()
good_runs: set[str] = {""}


def is_good_name(text: str) -> bool:
    """Tell whether text is a name, remembering the good ones."""
    if not is_name(text):
        return False
    if len(good_names) >= _GOOD_NAMES_MAX:
        good_names.clear()
    good_names.add(text)
    return True


def is_good_run(text: str) -> bool:
    """Tell whether text is empty or a run's id, 32 hex digits; remembers the good ones."""
    if text and _RUN.fullmatch(text) is None:
        return False
    if len(good_runs) >= _GOOD_NAMES_MAX:
        good_runs.clear()
    good_runs.add(text)
    return True


def is_good_trace(text: str) -> bool:
    """Tell whether text is a W3C traceparent."""
    return _TRACE.fullmatch(text) is not None


def fault_of(event: NewEvent, index: int) -> TwelvefoldError | None:
    """Say what is wrong with an event, or None; `index` is its place in the append."""
    faults = (
        ("type", event.type not in good_names and not is_good_name(event.type), "is not a name"),
        ("stream", bool(event.stream) and not is_good_name(event.stream), "is not a name"),
        ("to", bool(event.to) and not is_good_name(event.to), "is not the name of a queue"),
        ("run", not is_good_run(event.run), "is not a run's id of 32 hex digits"),
        ("id", len(event.id) != 16, "does not have 16 bytes"),
        ("cause", bool(event.cause) and len(event.cause) != 16, "is not an event's id of 16 bytes"),
        ("trace", bool(event.trace) and not is_good_trace(event.trace), "is not a W3C traceparent"),
        ("schema", not 1 <= event.schema <= INTEGER_MAX, "is not a version number from 1"),
        ("seen", not 0 <= event.seen <= INTEGER_MAX, "is not a position"),
    )
    for field, bad, reason in faults:
        if bad:
            return InvalidEvent(index, field, reason)
    return payload_fault(event.payload, index)


def payload_fault(payload: str, index: int) -> TwelvefoldError | None:
    """Say what is wrong with a payload, or None."""
    try:
        text = payload.encode()
    except UnicodeEncodeError as error:
        return InvalidEvent(index, "payload", f"has no UTF-8 form: {error.reason}")
    if len(text) > PAYLOAD_SIZE_MAX:
        return PayloadTooLarge(index, len(text), PAYLOAD_SIZE_MAX)
    try:
        skip_json(text)
    except RecursionError:
        return InvalidEvent(index, "payload", f"is nested deeper than {PAYLOAD_DEPTH_MAX} levels")
    except msgspec.DecodeError as error:
        reason = "escapes half of a surrogate pair" if _is_json_to_python(payload) else str(error)
        return InvalidEvent(index, "payload", f"is not JSON that any parser reads: {reason}")
    if is_too_deep(payload):
        return InvalidEvent(index, "payload", f"is nested deeper than {PAYLOAD_DEPTH_MAX} levels")
    return None


def _is_json_to_python(payload: str) -> bool:
    """Tell whether the standard library reads what msgspec doesn't: it lets escaped halves of characters pass."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def is_too_deep(payload: str) -> bool:
    """Tell whether valid JSON text nests deeper than PAYLOAD_DEPTH_MAX; looks only at text that could."""
    if len(payload) <= SHALLOW_SIZE_MAX or payload.count("[") + payload.count("{") <= PAYLOAD_DEPTH_MAX:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRING.sub("", payload)):
        depth += 1 if bracket in "[{" else -1
        if depth > PAYLOAD_DEPTH_MAX:
            return True
    return False


def append_fault(source: str, marks: Mapping[str, str | None]) -> TwelvefoldError | None:
    """Say what is wrong with an append beside its events, or None."""
    if len(source) > SOURCE_LENGTH_MAX or not source.isprintable():
        return InvalidEvent(0, "source", f"is not printable text of at most {SOURCE_LENGTH_MAX} characters")
    for name, value in marks.items():
        try:
            name.encode()
            (value or "").encode()
        except UnicodeEncodeError:
            return InvalidEvent(0, "marks", "have no UTF-8 form")
        if "\0" in name or not name:
            return InvalidEvent(0, "marks", "need names")
    return None
