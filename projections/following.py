"""One projection following the log: its rows in memory and in the store, its checkpoint and its snapshots.

Owns what is committed for one projection, and when rows that were folded beside others take their place. Keeps: what is
in memory and not committed yet are only the rows of the events in hand, so that memory can be dropped at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from ..eventstore.forgotten import DONE as FORGOTTEN
from ..eventstore.reader import LogReader
from .errors import ProjectionFailed, StoreFailed
from .fingerprint import code_of
from .folding import Fold
from .projection import Projection, state_type
from .store import Checkpoint, Store, Total, encoder, hash_of, stored_rows, total_of

#: A snapshot is taken about every so many events.
SNAPSHOT_EVERY = 20_000
#: Beyond so many rows in memory they are read from the store again.
ROWS_IN_MEMORY_MAX = 200_000

_UPDATE = "UPDATE projections SET position = ?, log_hash = ?, rows = ?, hash = ?, parked = ?, error = ? WHERE id = ?"
_PUT = "INSERT OR REPLACE INTO rows (projection, key, state, changed) VALUES (?, ?, ?, ?)"
#: What a row was at the last snapshot is kept when it changes for the first time after that.
_KEEP = (
    "INSERT OR REPLACE INTO history (projection, key, changed, until, state) "
    "SELECT projection, key, changed, ?, state FROM rows WHERE projection = ? AND key = ?"
)
_REMOVE = "DELETE FROM rows WHERE projection = ? AND key = ?"
_TAKEN = "INSERT OR REPLACE INTO snapshots (projection, position, log_hash, rows, hash) VALUES (?, ?, ?, ?, ?)"


class Following:
    """One projection in a store. `known` are the checkpoints that the store has under its name.

    `failure` is what parks it, None while it goes on.
    """

    def __init__(self, store: Store, log: LogReader, projection: Projection[Any], known: Sequence[Checkpoint]) -> None:
        self.projection = projection
        self.failure: ProjectionFailed | None = None
        self._store = store
        self._log = log
        self._encode = encoder()
        self._decode = msgspec.json.Decoder(state_type(projection)).decode
        #: Of our own projections a test sees to it that their states come back as they were.
        self._is_foreign = not type(projection).__module__.startswith(f"{__package__}.")
        self._fold = Fold(projection, log=log, fetch=self._fetch)
        #: Of each row in memory that is stored: its hash, and the position at which it was.
        self._hashes: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._texts: dict[str, bytes | None] = {}
        self._take_up(log, known)

    @property
    def position(self) -> int:
        """The position up to which everything is folded and committed."""
        return self.checkpoint.position

    def _take_up(self, log: LogReader, known: Sequence[Checkpoint]) -> None:
        """Go on with the rows that this code has folded of this log; throw away what nobody can go on with."""
        code, version = code_of(self.projection), self.projection.version
        same_log = [one for one in known if is_of_log(one, log)]
        mine = [one for one in same_log if (one.code, one.version) == (code, version)]
        # Rows that were being built beside others come before those: they are the newer ones.
        mine.sort(key=lambda one: one.live)
        live = next((one for one in same_log if one.live), None)
        for one in known:
            if one not in mine[:1] and one is not live:
                self._store.drop(one.id)
        self._replaces = live if live is not None and live not in mine[:1] else None
        if mine:
            self.checkpoint = replace(mine[0], parked=None, error="")
        else:
            self.checkpoint = self._store.begin(
                self.projection.name, version, code, live=int(live is None), began=log.head
            )
        self._begin_at(self.checkpoint)
        self.start_over(log.last_position(FORGOTTEN))

    def _begin_at(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, with nothing in memory."""
        self.checkpoint = self._next = checkpoint
        self._total = Total(checkpoint.rows, checkpoint.hash)
        taken = "SELECT max(position) FROM snapshots WHERE projection = ?"
        ((last,),) = self._store.ask(taken, (checkpoint.id,))
        self._snapshot = last or 0
        #: Whether every row is in memory, so that one which isn't there needn't be looked for.
        self._has_all = checkpoint.position == 0
        self._drop_memory()

    def start_over(self, forgotten: int) -> None:
        """Fold the rows anew, beside those that are there, if what they were folded from isn't there any more.

        `forgotten` is where the log tells last that payloads were freed: they must be gone from here too, and what is
        left says how the rows are now.
        """
        stale = self.checkpoint.began < forgotten <= self.position
        if not stale or self._replaces is not None or self.failure is not None:
            return
        before = self.checkpoint
        self._begin_at(self._store.begin(before.name, before.version, before.code, live=0, began=self._log.head))
        self._replaces = before

    # --- folding

    def take(self, events: Sequence[Event]) -> None:
        """Fold the next events, in memory; at one that can't be folded, `failure` says so and the rest stays."""
        self.failure = self._folded(events)
        if self.failure is None:
            last: Event | None = events[-1]
        else:
            before = self.failure.position - 1
            last = next((event for event in events if event.position == before), None)
        if last is not None:
            self._next = replace(self._next, position=last.position, log_hash=last.hash)
        if self.failure is not None:
            self._next = replace(self._next, parked=self.failure.position, error=self.failure.reason)

    def _folded(self, events: Sequence[Event]) -> ProjectionFailed | None:
        failure = None
        try:
            self._fold.take(events)
        except ProjectionFailed as error:
            failure = error
        try:
            self._texts = self._written(self._fold.changed)
        except _Unkeepable as error:
            return self._folded_singly(events, error)
        return failure

    def _folded_singly(self, events: Sequence[Event], error: _Unkeepable) -> ProjectionFailed:
        """Find the event after which a state can't be kept, and fold those before it."""
        name = self.projection.name
        self._drop_memory()
        for count, event in enumerate(events):
            try:
                self._fold.take([event])
                self._written(self._fold.changed)
            except (_Unkeepable, ProjectionFailed) as found:
                self._drop_memory()
                self._fold.take(events[:count])
                self._texts = self._written(self._fold.changed)
                if isinstance(found, ProjectionFailed):
                    return found
                return ProjectionFailed(name, event.position, event.type, str(found))
        # Only together were they wrong: code that isn't pure.
        last = events[0]
        self._drop_memory()
        return ProjectionFailed(name, last.position, last.type, f"{error}; folded again, it was not: it isn't pure")

    def _written(self, keys: Iterable[str]) -> dict[str, bytes | None]:
        """Return the states under keys as JSON text; raises _Unkeepable."""
        states, texts = self._fold.states, {}
        for key in keys:
            state = states[key]
            try:
                text = None if state is None else self._encode(state)
                if text is not None and self._is_foreign:
                    found = self._decode(text)
                    if found != state or self._encode(found) != text:
                        raise _Unkeepable(f"the state under {key!r} is not what JSON gives back: {text[:200]!r}")
            except (TypeError, ValueError, RecursionError, OverflowError) as error:
                raise _Unkeepable(f"the state under {key!r} is not what JSON can hold: {error}") from error
            texts[key] = text
        return texts

    def _fetch(self, key: str) -> Any:
        if self._has_all:
            return None
        statement = "SELECT state, changed FROM rows WHERE projection = ? AND key = ?"
        found = self._store.ask(statement, (self.checkpoint.id, key))
        if not found:
            return None
        (row,) = found
        self._hashes[key] = hash_of(key, row[0])
        self._made[key] = row[1]
        return self._decode(row[0])

    def _drop_memory(self) -> None:
        """Forget what isn't committed, and all that can be read again."""
        self._fold.states.clear()
        self._fold.changed.clear()
        self._texts = {}
        self._hashes.clear()
        self._made.clear()
        self._has_all = self.position == 0

    # --- committing

    def commit(self) -> None:
        """Write what was folded, within a transaction of the caller's; raises sqlite.Error."""
        id, position, total = self.checkpoint.id, self._next.position, Total(self._total.rows, self._total.hash)
        rows, gone, kept = [], [], []
        for key, text in self._texts.items():
            made = self._made.get(key)
            if made is not None:
                total.remove(self._hashes[key])
                if made <= self._snapshot:
                    kept.append((position, id, key))
            if text is not None:
                hash = self._hashes[key] = hash_of(key, text)
                self._made[key] = position
                total.add(hash)
                rows.append((id, key, text.decode(), position))
            elif made is not None:
                gone.append((id, key))
                del self._made[key]
        connection = self._store.connection
        connection.executemany(_KEEP, kept)
        connection.executemany(_REMOVE, gone)
        connection.executemany(_PUT, rows)
        self._total = total
        self._next = replace(self._next, rows=total.rows, hash=total.hash)
        one = self._next
        connection.execute(_UPDATE, (position, one.log_hash, one.rows, one.hash, one.parked, one.error, id))
        if position // SNAPSHOT_EVERY > self._snapshot // SNAPSHOT_EVERY:
            connection.execute(_TAKEN, (id, position, one.log_hash, one.rows, one.hash))
            self._snapshot = position

    def committed(self) -> None:
        """Take note that what `commit` wrote is in the file."""
        self.checkpoint = self._next
        self._fold.changed.clear()
        self._texts = {}
        if len(self._fold.states) > ROWS_IN_MEMORY_MAX:
            self._has_all = False
            for key in list(islice(self._fold.states, ROWS_IN_MEMORY_MAX // 2)):
                del self._fold.states[key]
                self._hashes.pop(key, None)
                self._made.pop(key, None)

    def take_place(self) -> None:
        """Put the rows in the place of those that they were folded beside, once they have come as far.

        Raises StoreFailed where what is stored isn't what was folded.
        """
        before = self._replaces
        if before is None or self.failure is not None or self.position < before.position:
            return
        store, one = self._store, self.checkpoint
        stored = total_of(stored_rows(store.connection, one.id))
        if (stored.rows, stored.hash) != (one.rows, one.hash):
            raise StoreFailed(str(store.path), f"the rows of {one.name!r} are not those that were written")
        with store.transaction():
            store.forget(before.id)
            store.connection.execute("UPDATE projections SET live = 1 WHERE id = ?", (one.id,))
        self.checkpoint = self._next = replace(one, live=1)
        self._replaces = None


class _Unkeepable(Exception):
    """A state that the store can't give back as it was."""


def is_of_log(checkpoint: Checkpoint, log: LogReader) -> bool:
    """Tell whether rows were folded from this very log: its chain had this hash at that position."""
    if checkpoint.position == 0:
        return True
    found = log.read(after=checkpoint.position - 1, limit=1)
    return bool(found) and found[0].position == checkpoint.position and found[0].hash == checkpoint.log_hash
