"""The bus's part in forgetting runs: it judges the request, and frees step by step between its other work.

What is freed and in which order is `eventstore/forgetting`'s. Owns which request is taken, and when the write-ahead
file is emptied afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..eventstore import forgetting
from ..eventstore.blobs import BlobStore
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent
from ..eventstore.forgotten import REQUESTED, refuse_forgotten
from ..eventstore.log import Appended
from ..eventstore.run import FORKED
from .commit import Done
from .errors import BadRequest

if TYPE_CHECKING:
    from .broker import Broker

#: A larger file is written anew only where that is asked for: the bus does nothing else for a second or more.
COMPACT_BYTES_MAX = 128 << 20
ROLLBACK = "run.rollback_requested"
_CONCERNED = frozenset({REQUESTED, FORKED, ROLLBACK})
#: How long freeing rests after an append of it has failed: the disk is full, say.
REST_S = 5.0


def concerns(events: Sequence[NewEvent]) -> bool:
    """Tell, as quick as can be, whether any of these events has to do with forgetting."""
    for event in events:  # noqa: SIM110  a generator costs each append ten times as much
        if event.type in _CONCERNED:
            return True
    return False


class Forgets:
    """Forgets runs for one broker. `blobs` is where blobs are freed, None where the bus has none."""

    def __init__(self, broker: Broker, blobs: BlobStore | None) -> None:
        self._broker = broker
        self._forgetting = forgetting.Forgetting(broker.log, blobs)
        self._wipe_due = self._forgetting.pending
        self._rests_until = 0.0
        #: Whether the file is to be written anew, None where that depends on its size; and why it could not be.
        self._compact: bool | None = None
        self._problem = ""
        self._steps = self._compacted = 0

    @property
    def stats(self) -> dict[str, bool | int | str]:
        """Whether something is still to be freed or given back to the disk, runs left, and steps made; how often the
        file was `compacted`, and `problem`: why it could not be."""
        pending = self._forgetting.pending
        return {
            "busy": pending or self._wipe_due, "runs": self._forgetting.left, "steps": self._steps,
            "compacted": self._compacted,
            "problem": self._problem,
        }  # fmt: skip

    @property
    def pending(self) -> bool:
        """Whether there is something to be freed now."""
        return self._forgetting.pending and not self._rests_until

    def fault_of(self, events: Sequence[NewEvent]) -> TwelvefoldError | None:
        """Say why runs may not be forgotten, or forked or rolled back, as these events want it; None where they may."""
        # Judged by all that was proposed before.
        self._broker.finish()
        log, wanted = self._broker.log, [event.run for event in events if event.type == REQUESTED]
        try:
            for event in events:
                if event.type == ROLLBACK:
                    refuse_forgotten(log, event.stream.removeprefix("request."), "be rolled back")
                elif event.type == FORKED:
                    refuse_forgotten(log, forgetting.parent_of(event.payload), "be forked")
                elif event.type == REQUESTED and event.stream != f"request.{event.run}":
                    return BadRequest(f"{REQUESTED} stands in request.<run> and carries that run's id")
            for run in wanted:
                forgetting.check_forgettable(log, run, together=wanted)
        except TwelvefoldError as error:
            return error
        return None

    def marks(self, events: Sequence[NewEvent]) -> Mapping[str, str | None]:
        """Return the marks that commit with events."""
        return forgetting.marks_of(self._broker.log, events)

    def telling(self, events: Sequence[NewEvent], done: Done) -> Done:
        """Return what is to be told of an append of these events, so that freeing begins once it is committed."""
        asked = [event for event in events if event.type == REQUESTED]
        runs = [event.run for event in asked]
        if not runs:
            return done
        wishes = [wish for event in asked if (wish := forgetting.compact_wish(event.payload)) is not None]

        def appended(result: Appended | TwelvefoldError) -> None:
            if isinstance(result, Appended):
                self._compact = (self._compact or any(wishes)) if wishes else self._compact
                for run in runs:
                    self._forgetting.begin(run)
            done(result)

        return appended

    def turn(self) -> None:
        """Free a little, where there is something to be freed."""
        if self.pending:
            append, committed = self._forgetting.step()

            def done(result: Appended | TwelvefoldError) -> None:
                if isinstance(result, TwelvefoldError):
                    self._rests_until = self._broker.clock() + REST_S
                else:
                    committed()

            self._broker.commit.propose(append, done)
            self._broker.finish()
            self._wipe_due = True
            self._steps += 1

    def tick(self) -> None:
        """Go on after a rest; empty the write-ahead file, where what was freed stands, once no reader holds it."""
        if self._rests_until and self._broker.clock() >= self._rests_until:
            self._rests_until = 0.0
        if self._wipe_due and not self._forgetting.pending:
            self._compact_if_wanted()
            self._wipe_due = not self._broker.log.wipe()

    def _compact_if_wanted(self) -> None:
        """Write the file anew where somebody asked for it, or where that takes no longer than a moment."""
        log, wanted = self._broker.log, self._compact
        self._compact, self._problem = None, ""
        if wanted is None:
            wanted = int(log.stats().get("file_bytes", 0)) <= COMPACT_BYTES_MAX
        if wanted:
            try:
                log.compact()
                self._compacted += 1
            except TwelvefoldError as error:
                # Nothing is lost but space, and whoever asked can read why.
                self._problem = error.message()
            # Nobody was listened to meanwhile: what they said is still on its way, and no silence of theirs.
            for session in self._broker.sessions.by_identity.values():
                session.heard = self._broker.clock()
