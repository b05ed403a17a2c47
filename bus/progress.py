"""What a group has settled, in a form that costs one small mark a settle and can be read again after a crash. Pure.

A settle writes its position and fence into the *slot* of its transaction, which it shares with the others that stand:
a refused settle leaves no trace, and a transaction costs one small mark. Slots are a ring: now and then a *baseline*
mark says everything up to a position is settled but the positions listed, and older slots may be overwritten. Names
of marks: `<key>`, `<key>/<slot>`.

Invariant: a position is settled exactly if the baseline covers it or a slot names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ..eventstore.log import JOINT
from .wire import Fence

SLOTS = 1024
#: A baseline is due after so many settles, or so many slots (half of the ring).
BASELINE_SETTLES = 2048
BASELINE_SLOTS = SLOTS // 2
#: At least so many settles are remembered by their fence, so that a resent one is answered as the first was.
RECENT_MIN = 4096


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
        #: A baseline is wanted before the next slot: after a start it is not known how many were used.
        self.is_long = False
        self._settles = 0
        self._baseline_at = 0
        self._serial = 0
        self._turn = 0
        self._slot = ""
        #: Two generations: the older one is dropped whole.
        self._recent: dict[int, Fence] = {}
        self._less_recent: dict[int, Fence] = {}

    def slot_text(self, turn: int, position: int, fence: Fence) -> tuple[str, str]:
        """Return the mark and what to join to it that settles a position; `turn` is new for each transaction."""
        if turn != self._turn:
            self._turn = turn
            self._serial += 1
            self._slot = f"{self.prefix}/{self._serial % SLOTS:04d}"
        self._settles += 1
        if self._settles >= BASELINE_SETTLES or self._serial - self._baseline_at >= BASELINE_SLOTS:
            self.is_long = True
        return self._slot, f"{self._serial} {position} {fence[0]} {fence[1]}"

    def continue_after(self, serial: int) -> None:
        """Have the next slot follow this one."""
        self._serial = max(self._serial, serial)

    def settled(self, position: int, fence: Fence) -> None:
        """Note that a settle has been committed."""
        if len(self._recent) >= RECENT_MIN:
            self._less_recent, self._recent = self._recent, {}
        self._recent[position] = fence
        if position > self.settled_max:
            self.settled_max = position

    def settled_under(self, position: int) -> Fence | None:
        """Return the fence under which a position was settled lately, or None."""
        return self._recent.get(position) or self._less_recent.get(position)

    def baseline_mark(self, unsettled: Iterable[int], loaded: int) -> tuple[str, str]:
        """Return a new baseline, which covers all settles noted so far.

        `unsettled` are the known positions whose settle has not been committed, `loaded` is how far they are known.
        """
        upto = min(self.settled_max, loaded)
        self.is_long = False
        self._settles = 0
        self._baseline_at = self._serial
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
    texts = [text.split(JOINT) for name, text in marks.items() if name != prefix]
    settles = sorted(tuple(map(int, text.split(" "))) for slot in texts for text in slot)
    for serial, position, incarnation, counter in settles:
        # The ring goes on where it stopped: the latest settles are the ones whose acks may have got lost.
        progress.continue_after(serial)
        progress.settled(position, (incarnation, counter))
        if position > baseline.upto:
            progress.skip.add(position)
        else:
            still_open.discard(position)
    progress.open = sorted(still_open)
    progress.is_long = True
    return progress
