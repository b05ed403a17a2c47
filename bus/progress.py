"""What a group has settled, in a form that costs one small mark a settle and can be read again after a crash. Pure.

A settle writes one *slot* mark (position and fence) in its own append, so that a refused settle leaves no trace and
no settle depends on another. Slots are a ring: now and then a *baseline* mark says everything up to a position is
settled but the positions listed, and older slots may be overwritten. Names of marks: `<key>`, `<key>/<slot>`.

Invariant: a position is settled exactly if the baseline covers it or a slot names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .wire import Fence

SLOTS = 4096
#: A baseline is due after this many settles; the rest of the ring is room for what one commit holds.
BASELINE_EVERY = 1024


class Baseline(msgspec.Struct, frozen=True):
    """Every matching event after `after` and up to `upto` is settled, but those in `open`; pattern "" for a queue.

    Beyond `upto`, those in `done` are settled.
    """

    pattern: str
    after: int
    upto: int
    open: list[int]
    done: list[int] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Baseline).decode


class Progress:
    """The settled part of one group. `prefix` is the name of its baseline mark."""

    def __init__(self, prefix: str, pattern: str, after: int) -> None:
        self.prefix = prefix
        self.pattern = pattern
        self.after = after
        self.upto = after
        #: As of the last start: positions up to `upto` that are not settled, …
        self.open: list[int] = []
        #: … and settled positions above it, to be skipped when they are loaded.
        self.skip: set[int] = set()
        self.settled_max = after
        self.since_baseline = 0
        self._serial = 0
        self._recent: dict[int, Fence] = {}

    def slot_mark(self, position: int, fence: Fence) -> tuple[str, str]:
        """Return the mark that settles a position, to be committed with its results."""
        serial = self._serial = self._serial + 1
        self.since_baseline += 1
        return f"{self.prefix}/{serial % SLOTS:04d}", f"{serial} {position} {fence[0]} {fence[1]}"

    def continue_after(self, serial: int) -> None:
        """Have the next slot follow this one."""
        self._serial = max(self._serial, serial)

    def settled(self, position: int, fence: Fence) -> None:
        """Note that a settle has been committed."""
        recent = self._recent
        if len(recent) >= SLOTS:
            del recent[next(iter(recent))]
        recent[position] = fence
        if position > self.settled_max:
            self.settled_max = position

    def settled_under(self, position: int) -> Fence | None:
        """Return the fence under which a position was settled lately, or None."""
        return self._recent.get(position)

    def baseline_mark(self, unsettled: Iterable[int], loaded: int) -> tuple[str, str]:
        """Return a new baseline, which covers all settles noted so far.

        `unsettled` are the known positions whose settle has not been committed, `loaded` is how far they are known.
        """
        upto = min(self.settled_max, loaded)
        self.since_baseline = 0
        open = sorted(position for position in unsettled if position <= upto)
        text = _encode(Baseline(self.pattern, self.after, upto, open, sorted(self.skip)))
        return self.prefix, text.decode()


def restore(prefix: str, marks: Mapping[str, str]) -> Progress:
    """Make the progress of a group again from its marks (baseline and slots); raises KeyError without a baseline."""
    baseline = _decode(marks[prefix])
    progress = Progress(prefix, baseline.pattern, baseline.after)
    progress.upto = progress.settled_max = baseline.upto
    still_open = set(baseline.open)
    progress.skip.update(baseline.done)
    slots = sorted(tuple(map(int, text.split(" "))) for name, text in marks.items() if name != prefix)
    for serial, position, incarnation, counter in slots:
        # The ring goes on where it stopped: the latest settles are the ones whose acks may have got lost.
        progress.continue_after(serial)
        progress.settled(position, (incarnation, counter))
        if position > baseline.upto:
            progress.skip.add(position)
        else:
            still_open.discard(position)
    progress.open = sorted(still_open)
    # A new baseline comes before the next slot: how many were used since the last one is not known.
    progress.since_baseline = SLOTS
    return progress
