"""Forgetting runs: their payloads and blobs are freed, little by little, by the log's one owner.

What is asked for (`run.forget_requested`) commits with a mark, and each step with how far it has come; so whoever is
killed meanwhile leaves the rest to the log's next owner, and the end is the same. Freed is what stands in the run's own
streams, and what the bus and watches wrote of it; events that its agents emitted into other streams belong to those.
Does no I/O but on the log and the blobs that it is given; its owner commits what it proposes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from .blob_names import blobs_named
from .event import Event, NewEvent, new_event, read_json
from .forgotten import DONE, REQUESTED, RunNotForgettable, RunUnknown, forgotten
from .ids import derived_id
from .log import Append, EventLog
from .run import FORKED, Readable
from .sqlite import Connection

#: Marks of runs that are being forgotten, and of forks: `fork/<parent>/<fork>`.
PREFIX, FORKS = "forget/", "fork/"
#: The types that end a run.
ENDS = frozenset({"run.succeeded", "run.nothing_to_do", "run.failed", "run.cancelled", "run.rolled_back"})
_SIZE = """SELECT count(*), sum(length(CAST(data AS BLOB))) FROM events INDEXED BY events_run
    WHERE run = :run AND run <> '' AND data IS NOT NULL
    AND type NOT IN ('run.forget_requested', 'run.forgotten', 'run.forked')
    AND (stream IN ('run.' || :run, 'request.' || :run) OR stream >= :from AND stream < :to
        OR type LIKE 'delivery.%' OR type LIKE 'watch.%' OR type LIKE 'projection.%')"""
_BLOBS = """SELECT DISTINCT blob FROM events INDEXED BY events_run JOIN blob_names USING (position)
    WHERE run = ? AND run <> ''"""
#: Events that are looked at for one step: a moment of the owner's time.
STEP_EVENTS = 500
#: Of events in a run's streams that don't name the run, so many are looked at, and only in runs that aren't longer.
STRAYS_MAX = 10_000
#: Families whose events tell of a run from outside of its streams.
_ABOUT = ("delivery.", "watch.", "projection.")
_KEPT = (REQUESTED, DONE)


def size_of(connection: Connection, run: str) -> tuple[int, int, list[str]]:
    """Return how many payloads of a run may be freed, their bytes, and the blobs named in them; for `LogReader.ask`."""
    count, size = connection.execute(_SIZE, {"run": run, "from": f"task.{run}.", "to": f"task.{run}/"}).fetchone()
    blobs = connection.execute(_BLOBS, (run,)).fetchall()
    return count, size or 0, [name for (name,) in blobs]


class Marked(Readable, Protocol):
    """What reads events and marks: a log, or a reader of its file."""

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix."""


class Blobs(Protocol):
    """The part of a blob store that is needed to free blobs."""

    def free(self, sha256: str) -> int:
        """Remove a stored blob and return its size, 0 where it is not there."""


def parent_of(payload: str) -> str:
    """Return the parent that the payload of a `run.forked` names, "" where it names none."""
    data = read_json(payload)
    return str(data.get("parent", "")) if isinstance(data, dict) else ""


def compact_wish(payload: str) -> bool | None:
    """Return whether a request to forget wants the log's file to be written anew; None where it doesn't say."""
    data = read_json(payload)
    wish = data.get("compact") if isinstance(data, dict) else None
    return wish if isinstance(wish, bool) else None


def marks_of(log: EventLog, events: Sequence[NewEvent]) -> dict[str, str | None]:
    """Return the marks that commit with events: who was forked from whom, and which runs are to be forgotten."""
    marks: dict[str, str | None] = {}
    for event in events:
        if event.type == FORKED:
            marks[f"{FORKS}{parent_of(event.payload)}/{event.stream.removeprefix('run.')}"] = "1"
        elif event.type == REQUESTED and forgotten(log, event.run) is None:
            marks[PREFIX + event.run] = _encode(_Progress())
    return marks


def forks_of(log: Marked, run: str) -> list[str]:
    """Return the runs that were forked from a run and are not forgotten themselves."""
    prefix = f"{FORKS}{run}/"
    found = [name.removeprefix(prefix) for name in log.marks(prefix)]
    return [fork for fork in found if forgotten(log, fork) is None]


def check_forgettable(log: Marked, run: str, together: Collection[str] = ()) -> None:
    """Raise RunUnknown or RunNotForgettable unless a run may be forgotten, together with others."""
    stream = f"run.{run}"
    last = next(iter(log.read(stream=stream, limit=1, reverse=True)), None)
    if last is None:
        raise RunUnknown(run)
    if last.type not in ENDS:
        raise RunNotForgettable(run, "it has not ended")
    living = [fork for fork in forks_of(log, run) if fork not in together]
    if living:
        many = (
            f"{len(living)} forks of it live and read" if len(living) > 1 else f"its fork {living[0]} lives and reads"
        )
        raise RunNotForgettable(run, f"{many} its events", tuple(living))


class _Progress(msgspec.Struct, array_like=True):
    """How far the forgetting of a run has come: the last position looked at, what was freed, blobs to be freed."""

    after: int = 0
    payloads: int = 0
    bytes: int = 0
    blobs: list[str] = []


def _encode(progress: _Progress) -> str:
    return msgspec.json.encode(progress).decode()


_decode = msgspec.json.Decoder(_Progress).decode


class Forgetting:
    """The runs of a log that are being forgotten; `blobs` is where their blobs are, None where there are none."""

    def __init__(self, log: EventLog, blobs: Blobs | None) -> None:
        self._log = log
        self._blobs = blobs
        #: What is still to do, by run, as the marks in the log say.
        self._pending = {name.removeprefix(PREFIX): _decode(text) for name, text in log.marks(PREFIX).items()}

    @property
    def pending(self) -> bool:
        """Whether a run is not forgotten yet."""
        return bool(self._pending)

    @property
    def left(self) -> int:
        """How many runs are not forgotten yet."""
        return len(self._pending)

    def begin(self, run: str) -> None:
        """Take note of a run whose request, and mark, has been committed."""
        self._pending.setdefault(run, _Progress())

    def step(self) -> tuple[Append, Callable[[], None]]:
        """Return the next append to make, and what to call once it is committed; only where something is `pending`.

        Everything proposed before must be committed: what remains of a blob's names is looked up now.
        """
        run, done = next(iter(self._pending.items()))
        page, is_last = self._page(run, done)
        freed = [event for event in page if event.payload is not None and _is_freed(event, run)]
        named = {blob for event in freed for blob in blobs_named(event.payload or "")}
        further = _Progress(
            max([done.after, *(event.position for event in page if event.run == run)]),
            done.payloads + len(freed),
            done.bytes + sum(len((event.payload or "").encode()) for event in freed),
            sorted({*done.blobs, *named}),
        )
        positions = [event.position for event in freed]
        if is_last and not named:
            # Blobs are looked for once nothing names them any more.
            return self._end(run, further, positions)
        append = Append(marks={PREFIX + run: _encode(further)}, frees=positions)
        return append, lambda: self._pending.update({run: further})

    def _page(self, run: str, done: _Progress) -> tuple[list[Event], bool]:
        """Return the run's next events, and whether they are the last ones."""
        found = list(self._log.read(run=run, after=done.after, limit=STEP_EVENTS))
        if len(found) == STEP_EVENTS or done.payloads > STRAYS_MAX:
            # Of a run with so many streams the others could only be found by looking through the whole log.
            return found, len(found) < STEP_EVENTS
        # Whoever writes into a run's streams names the run, but nobody has to.
        streams = (f"run.{run}", f"task.{run}.*", f"request.{run}")
        strays = [event for stream in streams for event in self._log.read(stream=stream, run="", limit=STRAYS_MAX)]
        left = [event for event in strays if event.payload is not None]
        return found + left[:STEP_EVENTS], len(left) <= STEP_EVENTS

    def _end(self, run: str, done: _Progress, frees: Sequence[int] = ()) -> tuple[Append, Callable[[], None]]:
        """Free the blobs that no remaining event names; return the append that says that all is done.

        With it goes what is freed last, where no blobs are: those must be looked for once nothing names them.
        """
        blobs, size = 0, 0
        for blob in done.blobs:
            if self._blobs is not None and not self._log.is_blob_named(blob) and (found := self._blobs.free(blob)):
                blobs, size = blobs + 1, size + found
        facts = {"payloads": done.payloads, "bytes": done.bytes, "blobs": blobs, "blob_bytes": size}
        asked = self._log.read(stream=f"request.{run}", type=REQUESTED, limit=1, reverse=True)
        told = new_event(
            DONE,
            facts,
            stream=f"request.{run}",
            id=derived_id(run, "", DONE, self._log.version(f"request.{run}")),
            run=run,
            cause=asked[0].id if asked else b"",
        )

        def committed() -> None:
            del self._pending[run]

        return Append(events=[told], marks={PREFIX + run: None}, source="bus", frees=frees), committed


def _is_freed(event: Event, run: str) -> bool:
    if event.type in _KEPT or event.type == FORKED:
        # Where a fork was taken is how its events are found.
        return False
    own = event.stream in (f"run.{run}", f"request.{run}") or event.stream.startswith(f"task.{run}.")
    return own or event.type.startswith(_ABOUT)
