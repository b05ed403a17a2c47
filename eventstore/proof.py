"""Proof that events were taken out of a log as they stand in it: stretches of its chain, each from one hash to another.

A stretch is a range of positions without a gap. Of the events in it that aren't shown, the header and the hash of the
payload stand in as *links*, so that the chain through all of them can be walked again; what is shown has its payload,
too. So nothing that is shown was changed, and nothing within a stretch is left out unseen. That the chain is the one
that somebody means, only its hash tells, when compared with the one in the log. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from .chain import data_hash_of, hash_of
from .event import Event


class Stretch(msgspec.Struct, frozen=True):
    """The positions after `after` up to `until`, and the chain's hashes (in hex) at both."""

    after: int
    until: int
    before: str
    hash: str


class Flaw(msgspec.Struct, frozen=True):
    """The first position at which a proof fails, and why; position 0 where it is none's."""

    position: int
    reason: str


def flaw_in(stretches: Iterable[Stretch], events: Iterable[Event]) -> Flaw | None:
    """Walk the chain along stretches and return the first fault, None where there is none.

    `events` are all of them in the order of positions, links included.
    """
    iterator = iter(events)
    last = 0
    for stretch in stretches:
        if stretch.after < last or stretch.until <= stretch.after:
            return Flaw(stretch.after + 1, "the stretches of the chain overlap, or hold nothing")
        last = stretch.until
        flaw = _flaw_along(stretch, iterator)
        if flaw is not None:
            return flaw
    extra = next(iterator, None)
    return None if extra is None else Flaw(extra.position, "it stands outside of every stretch of the chain")


def _flaw_along(stretch: Stretch, events: Iterator[Event]) -> Flaw | None:
    previous = bytes.fromhex(stretch.before)
    for position in range(stretch.after + 1, stretch.until + 1):
        event = next(events, None)
        if event is None or event.position != position:
            return Flaw(position, "the event is missing")
        if event.payload is not None and data_hash_of(event.payload) != event.data_hash:
            return Flaw(position, "its data is not what was appended")
        if hash_of(event, previous) != event.hash:
            return Flaw(position, "its header is not what was appended, or the event before it is another one")
        previous = event.hash
    return None if previous.hex() == stretch.hash else Flaw(stretch.until, "the chain has another hash there")
