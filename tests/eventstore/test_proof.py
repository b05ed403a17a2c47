"""The proof that goes with events taken out of a log: what was changed, left out or put in is named."""

from __future__ import annotations

import msgspec
import pytest

from twelvefold.eventstore.chain import GENESIS
from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.proof import Flaw, Stretch, flaw_in


def events() -> list[Event]:
    """Ten events of one log."""
    log = MemoryLog()
    for n in range(10):
        log.append(Append(events=[new_event("demo.happened", {"n": n}, id=n.to_bytes(16, "big"))], source="tests"))
    return log.read()


def stretch(known: list[Event], after: int, until: int) -> Stretch:
    """A stretch of their chain."""
    before = known[after - 1].hash if after else GENESIS
    return Stretch(after, until, before.hex(), known[until - 1].hash.hex())


def test_stretches_of_a_log_are_proven_with_and_without_payloads() -> None:
    """A link, which is an event without its payload, chains as the event does."""
    known = events()
    links = [msgspec.structs.replace(event, payload=None) if event.position % 2 else event for event in known]
    assert flaw_in([stretch(known, 0, 10)], links) is None
    parts = [stretch(known, 1, 3), stretch(known, 6, 7)]
    assert flaw_in(parts, [links[1], links[2], links[6]]) is None


@pytest.mark.parametrize("name", [name for name in Event.__struct_fields__ if name != "payload"])
def test_no_field_can_be_changed(name: str) -> None:
    """Whatever is changed in an event, its position is named."""
    known = events()
    value = getattr(known[4], name)
    other = value + 1 if isinstance(value, int) else value + (b"x" if isinstance(value, bytes) else "x")
    changed = [*known[:4], msgspec.structs.replace(known[4], **{name: other}), *known[5:]]
    flaw = flaw_in([stretch(known, 0, 10)], changed)
    assert flaw is not None
    assert flaw.position == 5


def test_faults_are_named() -> None:
    """Data that was changed, events that are missing, were added or moved, and stretches that don't fit."""
    known = events()
    whole = [stretch(known, 0, 10)]
    altered = msgspec.structs.replace(known[4], payload='{"n":5}')
    assert flaw_in(whole, [*known[:4], altered, *known[5:]]) == Flaw(5, "its data is not what was appended")
    assert flaw_in(whole, [*known[:4], *known[5:]]) == Flaw(5, "the event is missing")
    assert flaw_in(whole, known[:9]) == Flaw(10, "the event is missing")
    assert flaw_in(whole, [*known, known[9]]) == Flaw(10, "it stands outside of every stretch of the chain")
    assert flaw_in([stretch(known, 0, 5), stretch(known, 4, 10)], known) == Flaw(
        5, "the stretches of the chain overlap, or hold nothing"
    )
    forged = [Stretch(0, 10, GENESIS.hex(), known[8].hash.hex())]
    assert flaw_in(forged, known) == Flaw(10, "the chain has another hash there")
    assert flaw_in([Stretch(2, 10, GENESIS.hex(), known[9].hash.hex())], known[2:]) is not None
