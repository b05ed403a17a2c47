"""The contract of a log (`eventstore/log.py`), which every backend keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.errors import (
    DuplicateConflict,
    InvalidEvent,
    PayloadTooLarge,
    TwelvefoldError,
    VersionConflict,
)
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import JOINT, Append, EventLog
from twelvefold.eventstore.memory_log import MemoryLog

RUN = "0" * 31 + "1"
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def positions(log: EventLog, **filters: Any) -> list[int]:
    return [event.position for event in log.read(**filters)]


def test_an_event_comes_back_as_it_was_appended(log: EventLog, fact: Any) -> None:
    """Every field survives, and the log adds position, version, time and hashes."""
    new = fact("task.succeeded", '{"a": [1, "é"]}', stream="task.x.0", schema=3, to="fixer", run=RUN,
               cause=b"c" * 16, trace=TRACE, seen=7)  # fmt: skip
    (event,) = log.append(Append(events=[new], source="fixer.1")).events
    assert log.read() == [event] == [log.event_of(new.id)]
    assert (event.position, event.version, event.stream, event.source) == (1, 1, "task.x.0", "fixer.1")
    assert (event.type, event.schema, event.to, event.run, event.cause, event.trace, event.seen) == (
        "task.succeeded", 3, "fixer", RUN, b"c" * 16, TRACE, 7)  # fmt: skip
    assert event.payload == '{"a": [1, "é"]}'
    assert event.data == {"a": [1, "é"]}
    assert event.time > 1_600_000_000 * 10**9
    assert len(event.hash) == len(event.data_hash) == 32


def test_an_empty_log_has_nothing(log: EventLog) -> None:
    """Head 0, no events, no versions, no marks."""
    assert (log.head, log.read(), log.version("demo"), log.marks()) == (0, [], 0, {})
    assert log.event_of(bytes(16)) is None
    assert log.last_position("*") == log.last_position("demo.*") == 0


def test_stream_defaults_to_the_first_token_of_the_type(log: EventLog, fact: Any) -> None:
    """An event without a stream goes into the one named like its family."""
    assert log.append(Append(events=[fact("demo.happened")])).events[0].stream == "demo"


def test_positions_and_versions_are_gap_free(log: EventLog, fact: Any) -> None:
    """Positions count over all streams, versions within each, refused appends leave no hole."""
    for n in range(6):
        log.append_many([
            Append(events=[fact(stream="a"), fact(stream="b")]),
            Append(events=[fact(stream="a"), fact(type="Bad Name")]),
            Append(events=[fact(stream="a")], expected_version={"a": 99}),
            Append(events=[fact(stream="a")], expected_version={"a": 2 * n + 1}),
        ])  # fmt: skip
    events = log.read()
    assert [event.position for event in events] == list(range(1, 19))
    for stream in ("a", "b"):
        versions = [event.version for event in events if event.stream == stream]
        assert versions == list(range(1, len(versions) + 1))
        assert log.version(stream) == len(versions)


def test_known_ids_with_equal_content_give_their_positions_and_nothing_else_is_checked(
    log: EventLog, fact: Any
) -> None:
    """A resent append is recognised even where its expected version no longer holds; its marks are not set again."""
    request = Append(events=[fact(), fact()], expected_version={"demo": 0}, marks={"m": "1"})
    first = log.append(request)
    log.append(Append(events=[fact()], marks={"m": "2"}))
    again = log.append(request)
    assert (first.fresh, again.fresh) == (True, False)
    assert list(again.events) == list(first.events)
    assert log.head == 3
    assert log.marks() == {"m": "2"}


def test_time_source_trace_and_seen_are_no_content(log: EventLog) -> None:
    """An event resent by another instance, with another trace, is the same event."""
    first = log.append(Append(events=[NewEvent(type="a.b", id=b"i" * 16, trace=TRACE, seen=1)], source="x"))
    again = log.append(Append(events=[NewEvent(type="a.b", id=b"i" * 16, stream="a", seen=2)], source="y"))
    assert not again.fresh
    assert list(again.events) == list(first.events)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "a.c"},
        {"stream": "s"},
        {"payload": "2"},
        {"schema": 2},
        {"to": "q"},
        {"run": RUN},
        {"cause": b"c" * 16},
    ],
)
def test_a_known_id_with_other_content_is_a_conflict(log: EventLog, changed: dict[str, Any]) -> None:
    """Stream, type, schema, to, run, cause and data are content."""
    fields: dict[str, Any] = {"type": "a.b", "payload": "1", "stream": "a", "id": b"i" * 16}
    log.append(Append(events=[NewEvent(**fields)]))
    with pytest.raises(DuplicateConflict) as caught:
        log.append(Append(events=[NewEvent(**(fields | changed))]))
    assert (caught.value.id, caught.value.position) == ((b"i" * 16).hex(), 1)
    assert log.head == 1


def test_a_partly_known_append_is_a_conflict_before_versions_are_looked_at(log: EventLog, fact: Any) -> None:
    """Known in part is judged before the expected version."""
    old, new = fact(), fact()
    log.append(Append(events=[old]))
    with pytest.raises(DuplicateConflict):
        log.append(Append(events=[new, old], expected_version={"demo": 5}))
    assert log.event_of(new.id) is None


def test_the_expected_version_guards_each_stream_named(log: EventLog, fact: Any) -> None:
    """An append over several streams is refused whole where one of them has moved."""
    log.append(Append(events=[fact(stream="a")]))
    with pytest.raises(VersionConflict) as caught:
        log.append(Append(events=[fact(stream="a"), fact(stream="b")], expected_version={"a": 1, "b": 1}))
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("b", 1, 0)
    assert (log.head, log.version("a"), log.version("b")) == (1, 1, 0)
    log.append(Append(events=[fact(stream="a"), fact(stream="b")], expected_version={"a": 1, "b": 0}))
    assert log.head == 3


def test_requests_of_a_group_see_those_before_them(log: EventLog, fact: Any) -> None:
    """Within one commit, versions and ids of earlier requests count; a refused one hurts no other."""
    first = Append(events=[fact(stream="a")], expected_version={"a": 0})
    results = log.append_many([
        first,
        Append(events=[fact(stream="a")], expected_version={"a": 0}),
        first,
        Append(events=[fact(stream="a", payload="{")]),
        Append(events=[NewEvent(type="x.y", id=first.events[0].id)]),
        Append(events=[fact(stream="a")], expected_version={"a": 1}),
    ])  # fmt: skip
    kinds = [type(result).__name__ for result in results]
    assert kinds == ["Appended", "VersionConflict", "Appended", "InvalidEvent", "DuplicateConflict", "Appended"]
    assert not isinstance(results[2], TwelvefoldError) and not results[2].fresh
    assert positions(log) == [1, 2]


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("type", {"type": ""}), ("type", {"type": "A.b"}), ("type", {"type": "a..b"}), ("type", {"type": "a" * 256}),
        ("stream", {"stream": "a b"}), ("stream", {"stream": "a\n"}), ("to", {"to": "é"}),
        ("id", {"id": b""}), ("id", {"id": bytes(15)}), ("run", {"run": "1"}), ("run", {"run": "A" * 32}),
        ("cause", {"cause": b"c"}), ("trace", {"trace": "x"}), ("trace", {"trace": TRACE + "\0"}),
        ("schema", {"schema": 0}), ("schema", {"schema": 1 << 63}), ("seen", {"seen": -1}), ("seen", {"seen": 1 << 70}),
        ("payload", {"payload": ""}), ("payload", {"payload": "{"}), ("payload", {"payload": "nan"}),
        ("payload", {"payload": '"\ud800"'}), ("payload", {"payload": '"\0"'}), ("payload", {"payload": "1 2"}),
        ("payload", {"payload": "[" * 300 + "]" * 300}), ("payload", {"payload": "[" * 5000 + "]" * 5000}),
    ],
)  # fmt: skip
def test_a_malformed_event_is_refused_with_its_place_and_field(
    log: EventLog, fact: Any, field: str, changed: dict[str, Any]
) -> None:
    """Nothing of an append is kept where one of its events is malformed, and the error names it."""
    with pytest.raises(InvalidEvent) as caught:
        log.append(Append(events=[fact(), fact(**changed)], marks={"m": "1"}))
    assert (caught.value.index, caught.value.field) == (1, field)
    assert (log.head, log.marks()) == (0, {})
    assert log.append(Append(events=[fact()])).events[0].version == 1


def test_half_a_character_is_told_as_such(log: EventLog, fact: Any) -> None:
    """Python's own JSON lets escaped surrogates pass, other readers don't: the error says what is wrong."""
    with pytest.raises(InvalidEvent, match="surrogate"):
        log.append(Append(events=[fact(payload='{"name": "\\ud800"}')]))
    with pytest.raises(InvalidEvent, match="malformed"):
        log.append(Append(events=[fact(payload="{1}")]))


def test_an_id_stands_in_an_append_once(log: EventLog, fact: Any) -> None:
    """Two events with one id are no append."""
    event = fact()
    with pytest.raises(InvalidEvent, match="twice"):
        log.append(Append(events=[fact(), event, event]))
    assert log.head == 0


def test_a_payload_of_one_mebibyte_fits_and_no_larger_one(log: EventLog, fact: Any) -> None:
    """The limit is exact, in bytes of UTF-8."""
    text = '"' + "é" * ((1 << 19) - 1) + '"'
    log.append(Append(events=[fact(payload=text)]))
    assert log.read()[0].payload == text
    with pytest.raises(PayloadTooLarge) as caught:
        log.append(Append(events=[fact(payload=text[:-1] + 'x"')]))
    assert caught.value.size == (1 << 20) + 1


def test_deep_but_not_too_deep_payloads_fit(log: EventLog, fact: Any) -> None:
    """Brackets in strings don't count as depth."""
    log.append(Append(events=[fact(payload="[" * 200 + '"' + "[{" * 500 + '"' + "]" * 200)]))
    assert log.head == 1


@pytest.mark.parametrize("source", ["a\nb", "x" * 256, "\ud800"])
def test_a_source_is_short_printable_text(log: EventLog, fact: Any, source: str) -> None:
    """Whatever a peer calls itself, lists of events stay readable."""
    with pytest.raises(InvalidEvent, match="source"):
        log.append(Append(events=[fact()], source=source))


def test_time_never_decreases(fact: Any, tmp_path: Path) -> None:
    """Where the clock is set back, events keep the last time; the clock is an argument."""
    times = iter([100, 50, 200])
    log = MemoryLog(clock=lambda: next(times))
    for _ in range(3):
        log.append(Append(events=[fact()]))
    assert [event.time for event in log.read()] == [100, 100, 200]


def test_reads_filter_and_page(log: EventLog, fact: Any) -> None:
    """Each filter, alone and combined, forwards and backwards, in pages of any size."""
    for n in range(30):
        log.append(Append(
            events=[fact(f"task.{('started', 'failed')[n % 2]}", stream=f"task.r{n % 3}.0",
                         run=RUN if n % 5 == 0 else "", to="fixer" if n % 7 == 0 else "")],
            source=f"agent.{n % 4}",
        ))  # fmt: skip
    everything = list(range(1, 31))
    assert positions(log) == everything
    assert positions(log, reverse=True) == everything[::-1]
    assert positions(log, after=10, until=12) == [11, 12]
    assert positions(log, after=28, until=99) == [29, 30]
    assert positions(log, after=30) == positions(log, limit=0) == positions(log, until=0) == []
    assert positions(log, stream="task.r1.0") == [n + 1 for n in range(30) if n % 3 == 1]
    assert positions(log, stream="task.r1.*", limit=2) == [2, 5]
    assert positions(log, stream="task.*", reverse=True, limit=2) == [30, 29]
    assert positions(log, stream="*", limit=2) == [1, 2]
    assert (
        positions(log, stream="task.r1") == positions(log, stream="task.r1.0.*") == positions(log, stream="nope") == []
    )
    assert positions(log, stream="task.r1.0", after=7, until=20) == [8, 11, 14, 17, 20]
    assert positions(log, stream="task.r1.0", after=8, until=20, reverse=True, limit=2) == [20, 17]
    assert positions(log, type="task.failed", limit=3) == [2, 4, 6]
    assert positions(log, type="task.*", after=27) == [28, 29, 30]
    assert positions(log, type="other.*") == positions(log, type="task.failed.*") == []
    assert positions(log, run=RUN) == [1, 6, 11, 16, 21, 26]
    assert positions(log, run=RUN, type="task.failed", reverse=True) == [26, 16, 6]
    assert positions(log, to="fixer", after=1) == [8, 15, 22, 29]
    assert positions(log, source="agent.2", limit=3, reverse=True) == [27, 23, 19]
    assert positions(log, source="agent.2", stream="task.r2.0") == [3, 15, 27]
    paged: list[int] = []
    while page := positions(log, after=paged[-1] if paged else 0, limit=7, stream="task.r0.0"):
        paged += page
    assert paged == [n + 1 for n in range(30) if n % 3 == 0]


def test_last_positions_by_pattern(log: EventLog, fact: Any) -> None:
    """Known for every prefix of a type and for all types, without reading the log."""
    log.append_many([Append(events=[fact(type)]) for type in ("a.b.c", "a.b", "d", "a.x")])
    expected = {"*": 4, "a.*": 4, "a.b.*": 1, "a.b.c": 1, "a.b": 2, "d": 3, "a.x": 4, "a": 0, "d.*": 0, "b.*": 0}
    assert {pattern: log.last_position(pattern) for pattern in expected} == expected


def test_marks_change_with_their_append_or_not_at_all(log: EventLog, fact: Any) -> None:
    """Marks are set and removed in the commit of their events; a refused append leaves them."""
    log.append(Append(events=[fact()], marks={"run/b": "1", "run/a": "2", "rum": "3"}))
    log.append(Append(marks={"run/a": None, "run/c": "ü"}))
    log.append_many([Append(events=[fact()], marks={"run/b": "no"}, expected_version={"demo": 9})])
    log.append_many([Append(marks={"run/b": "no"}, expected_version={"demo": 9})])
    assert log.marks("run/") == {"run/b": "1", "run/c": "ü"}
    assert list(log.marks()) == ["rum", "run/b", "run/c"]
    assert log.head == 1


def test_joined_texts_of_one_transaction_become_one_mark(log: EventLog, fact: Any) -> None:
    """The texts of the appends that stand are joined in their order; a later transaction writes the mark anew."""
    log.append_many([
        Append(events=[fact()], joined={"slot": "1"}),
        Append(events=[fact()], joined={"slot": "no"}, expected_version={"demo": 9}),
        Append(joined={"slot": "2", "other": "ü"}, marks={"m": "1"}),
    ])  # fmt: skip
    assert log.marks() == {"slot": f"1{JOINT}2", "other": "ü", "m": "1"}
    log.append(Append(events=[fact()], joined={"slot": "3"}))
    assert log.marks("slot") == {"slot": "3"}


def test_marks_may_be_kept_although_the_events_stood_before(log: EventLog, fact: Any) -> None:
    """A resent append changes marks only where it says so, and not where it is refused."""
    known = [fact(), fact()]
    log.append(Append(events=known))
    again = log.append(Append(events=known, marks={"m": "1"}, joined={"slot": "1"}, keeps_marks=True))
    assert (again.fresh, log.marks()) == (False, {"m": "1", "slot": "1"})
    log.append(Append(events=known, marks={"m": "2"}, joined={"slot": "2"}))
    log.append_many([Append(events=[known[0], fact()], marks={"m": "3"}, joined={"slot": "3"}, keeps_marks=True)])
    assert (log.head, log.marks()) == (2, {"m": "1", "slot": "1"})


def test_an_append_of_nothing_is_nothing(log: EventLog) -> None:
    """No events and no marks: fresh, and empty."""
    assert (log.append(Append()).events, log.append_many([]), log.head) == ([], [], 0)


def test_a_number_too_large_for_a_float_does_not_poison_the_log(log: EventLog, fact: Any) -> None:
    """JSON has no largest number; what was appended can be read back."""
    log.append(Append(events=[fact(payload='{"n": 1e999, "i": 123456789012345678901234567890}')]))
    assert log.read()[0].data == {"n": float("inf"), "i": 123456789012345678901234567890}
    log.append(Append(events=[fact(payload="[" + "9" * 5000 + ", -" + "9" * 5000 + "]")]))
    assert log.read()[1].data == [float("inf"), float("-inf")]
