"""What each message of a client means: who may ask, what is proposed to the log, and what is answered.

Every request with a number is answered exactly once, after the commit that it needs, or with a refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..eventstore.blob_names import blobs_named
from ..eventstore.blobs import BlobStore
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent
from ..eventstore.log import Append, Appended
from ..eventstore.names import is_name, is_pattern
from . import authority, forgetting, run_marks
from .commit import Done
from .errors import BadRequest, ReservedFamily, WatchConflict
from .forgetting import Forgets
from .greeting import Greeting
from .reading import read_page
from .sessions import Session
from .stats import stats_of
from .unreadable import Unreadable
from .wire import (
    Ack,
    Answer,
    Bind,
    Bye,
    ClientMessage,
    Fail,
    Freed,
    GiveBack,
    Gone,
    Hello,
    Keep,
    Last,
    OpenWatch,
    Page,
    Ping,
    Pong,
    Post,
    Read,
    Request,
    Started,
    Stats,
    Unbind,
    Who,
    refusal,
)

if TYPE_CHECKING:
    from .broker import Broker

#: Pages that one peer may have asked for and not got yet; more are refused.
READS_PER_PEER_MAX = 64


class Requests:
    """Handles messages for one broker."""

    def __init__(
        self,
        broker: Broker,
        blobs: BlobStore | None,
        keys: dict[str, str],
        nonce: bytes,
        incarnation: int,
        lease_s: float,
    ) -> None:
        self._broker = broker
        self._blobs = blobs
        self._nonce = nonce
        self.forgets = Forgets(broker, blobs)
        self.greeting = Greeting(broker, keys, nonce, incarnation, lease_s)
        self.reads: deque[tuple[Session, Read]] = deque()
        self.refused = 0
        self._handlers: dict[type, Callable[[Session, Any], None]] = {
            Post: self._post,
            Read: self._read,
            Ping: self._ping,
            Last: self._last,
            Bind: self._bind,
            Unbind: self._unbind,
            Fail: self._fail,
            Freed: self._freed,
            OpenWatch: self._open_watch,
            Keep: self._keep,
            Stats: self._stats,
            Bye: self._bye,
            GiveBack: self._give_back,
            Gone: self._gone,
            Started: self._started,
            Unreadable: self._unreadable,
        }

    def take(self, identity: bytes, session: Session | None, message: ClientMessage | Unreadable) -> None:
        """Handle one message of a peer."""
        if isinstance(message, Hello):
            session = self.greeting.hello(identity, session, message)
            if session is not None:
                for bind in message.binds:
                    self._bind(session, bind)
        elif session is None or session.lapsed:
            self._broker.sessions.send(identity, Who(self._nonce))
        else:
            session.heard = self._broker.clock()
            self._handlers[type(message)](session, message)

    def _refuse(self, session: Session, seq: int, error: TwelvefoldError) -> None:
        self.refused += 1
        self._broker.sessions.send(session.identity, refusal(seq, error))

    def _answer(self, session: Session, seq: int, value: Any) -> None:
        """Answer with a value or an error."""
        if isinstance(value, TwelvefoldError):
            self._refuse(session, seq, value)
        else:
            self._broker.sessions.send(session.identity, Answer(seq, value))

    # --- life and death --------------------------------------------------------------------------------------------

    def _bye(self, session: Session, _: Bye) -> None:
        self._broker.finish()
        self._broker.liveness.end(session, "said goodbye", counted=False)

    def _ping(self, session: Session, ping: Ping) -> None:
        if ping.answered:
            self._broker.sessions.send(session.identity, Pong(self._broker.log.head))

    def _gone(self, session: Session, gone: Gone) -> None:
        if session.role != "supervisor":
            self._refuse(session, gone.seq, BadRequest("only the supervisor says who is gone"))
            return
        self._broker.finish()
        self._broker.liveness.gone(gone.instance, gone.pid)
        self._broker.finish()
        self._answer(session, gone.seq, None)

    def _started(self, session: Session, started: Started) -> None:
        if session.role != "supervisor":
            self._refuse(session, started.seq, BadRequest("only the supervisor says who was started"))
            return
        self._broker.liveness.started(started.instance)
        self._answer(session, started.seq, None)

    # --- appends ------------------------------------------------------------------------------------------------------

    def _post(self, session: Session, post: Post) -> None:
        settle = self._broker.settling.settle
        for request in post.requests:
            is_free = authority.is_free(request.events)
            if not is_free and session.settled_in == self._broker.commit.turn and _waits(session, request):
                # Its settle closes the task's stream to what follows.
                self._broker.finish()
            fault = self._request_fault(session, request, is_free)
            if fault is not None:
                self._refuse(session, request.seq, fault)
                continue
            expected = request.expected
            if not is_free and session.role != "orchestrator":
                expected = {**expected, **authority.first_of_run(request.events)}
            marks: Mapping[str, str | None] = request.marks
            done: Done = partial(self._appended, session, request)
            if not is_free and forgetting.concerns(request.events):
                marks = {**marks, **self.forgets.marks(request.events)}
                done = self.forgets.telling(request.events, done)
            append = Append(events=request.events, expected_version=expected, source=session.instance, marks=marks)
            if request.settle is not None:
                if not settle(session, request.settle, append, done):
                    self._broker.finish()
                    settle(session, request.settle, append, done)
            elif request.withdraw:
                # Settles that came before it in this turn are decided first.
                self._broker.finish()
                self._broker.withdrawing.append(append, request.withdraw, done)
                # Those that come after it are judged by what their senders still hold then.
                self._broker.finish()
            else:
                self._broker.commit.propose(append, done)

    def _unreadable(self, session: Session, message: Unreadable) -> None:
        self._post(session, Post(message.sound))
        for seq, fault in message.faults:
            self._refuse(session, seq, fault)

    def _request_fault(self, session: Session, request: Request, is_free: bool) -> TwelvefoldError | None:
        role, events, settle = session.role, request.events, request.settle
        # A settle of what isn't held any more appends nothing: `settling` says whether it is repeated or stale.
        if not is_free and (settle is None or (settle.key, settle.position) in session.holds):
            fault: TwelvefoldError | None = authority.judge(role, events, session.holds)
            if fault is not None:
                return fault
            if (problem := authority.cut_fault(events, self._broker.log.head)) is not None:
                return BadRequest(problem)
            if forgetting.concerns(events) and (fault := self.forgets.fault_of(events)) is not None:
                return fault
        if request.withdraw and role != "orchestrator":
            return BadRequest("only the orchestrator withdraws deliveries")
        for name in request.marks:
            if role != "orchestrator" or not name.startswith(run_marks.PREFIX):
                return ReservedFamily(f"mark {name}", "the marks", role, "marks run/* are the orchestrator's")
        if self._blobs is not None:
            for event in events:
                if '"blob"' in event.payload and blobs_named(event.payload):
                    return self._blob_fault(self._blobs, session, events)
        return None

    def _blob_fault(self, blobs: BlobStore, session: Session, events: Sequence[NewEvent]) -> TwelvefoldError | None:
        """Make the blobs that events name durable, or say why that can't be done."""
        if not is_name(session.instance.lower()):
            return BadRequest(f"an instance named {session.instance!r} has no folder for blobs")
        try:
            for event in events:
                blobs.admit(session.instance, event.payload)
        except TwelvefoldError as error:
            return error
        except OSError as error:
            return BadRequest(f"a blob cannot be taken in: {error}")
        return None

    def _appended(self, session: Session, request: Request, result: Appended | TwelvefoldError) -> None:
        if isinstance(result, TwelvefoldError):
            self._refuse(session, request.seq, result)
            return
        events = result.events
        last = events[-1].position if events else 0
        ack = Ack(request.seq, last, [] if request.brief else list(events))
        self._broker.sessions.ack(session, ack, patient=request.patient)

    # --- groups -------------------------------------------------------------------------------------------------------

    def _bind(self, session: Session, bind: Bind) -> None:
        done = partial(self._answer, session, bind.seq)
        if not self._broker.desk.bind(session, bind, done):
            self._broker.finish()
            self._broker.desk.bind(session, bind, done)

    def _unbind(self, session: Session, unbind: Unbind) -> None:
        if unbind.unused:
            self._broker.finish()
        self._broker.desk.unbind(session, unbind.key)
        for held in unbind.unused:
            self._broker.settling.returned(session, held)
        self._answer(session, unbind.seq, None)

    def _give_back(self, session: Session, back: GiveBack) -> None:
        self._broker.finish()
        for held in back.unused:
            self._broker.settling.returned(session, held)
        for key in session.groups:
            # Where it could not give back what it was asked for, another may.
            self._broker.desk.stir(self._broker.desk.groups[key])
        self._answer(session, back.seq, None)

    def _fail(self, session: Session, fail: Fail) -> None:
        self._broker.finish()

        def done(result: Any) -> None:
            self._answer(session, fail.seq, result if isinstance(result, TwelvefoldError) else None)

        self._broker.settling.fail(session, fail.held, fail.error, fail.retry_in_s, done)

    def _freed(self, session: Session, freed: Freed) -> None:
        self._broker.withdrawing.freed(session, freed.held)

    # --- reading and watching -----------------------------------------------------------------------------------------

    def _read(self, session: Session, read: Read) -> None:
        if (read.pattern is not None and not is_pattern(read.pattern)) or read.limit < 1 or read.after < 0:
            self._refuse(session, read.seq, BadRequest(f"no page {read.pattern!r}, {read.limit} after {read.after}"))
        elif session.reading >= READS_PER_PEER_MAX:
            self._refuse(session, read.seq, BadRequest(f"more than {READS_PER_PEER_MAX} pages asked for at once"))
        else:
            session.reading += 1
            self.reads.append((session, read))

    def serve_reads(self, events_max: int) -> None:
        """Serve pages, in the order in which they were asked for, until about so many events have been sent."""
        served = 0
        while self.reads and served < events_max:
            session, read = self.reads.popleft()
            session.reading -= 1
            try:
                events, more = read_page(self._broker.log, read)
            except TwelvefoldError as error:
                self._refuse(session, read.seq, error)
            else:
                served += 100 + len(events)
                self._broker.sessions.send(session.identity, Page(read.seq, events, more))

    def _last(self, session: Session, last: Last) -> None:
        if not is_pattern(last.pattern):
            self._refuse(session, last.seq, BadRequest(f"{last.pattern!r} is not a pattern"))
            return
        self._answer(session, last.seq, self._broker.publisher.last_position(last.pattern))

    def _open_watch(self, session: Session, wish: OpenWatch) -> None:
        if not is_pattern(wish.pattern) or (wish.name and not is_name(wish.name)) or (wish.after or 0) < 0:
            self._refuse(session, wish.seq, BadRequest(f"no watch {wish.name!r} of {wish.pattern!r} at {wish.after}"))
            return
        self._broker.finish()
        head = self._broker.log.head
        if not wish.name:
            self._answer(session, wish.seq, head if wish.after is None else wish.after)
            return
        mark = _watch_mark(wish.name)
        stored = self._broker.log.marks(mark).get(mark)
        if stored is None:
            start = head if wish.after is None else wish.after
            keep = Append(marks={mark: f"{start} {wish.pattern}"})
            self._broker.commit.propose(keep, partial(self._value_kept, session, wish.seq, start))
            return
        position, _, bound = stored.partition(" ")
        if bound != wish.pattern:
            self._refuse(session, wish.seq, WatchConflict(wish.name, bound, wish.pattern))
        else:
            self._answer(session, wish.seq, int(position))

    def _keep(self, session: Session, keep: Keep) -> None:
        if not is_pattern(keep.pattern) or (keep.name and not is_name(keep.name)) or keep.position < 0:
            self._refuse(session, keep.seq, BadRequest(f"no such watch: {keep.name!r} of {keep.pattern!r}"))
            return
        # What a position may carry along is not judged as an append is: only what is free for everybody anyway.
        if any(event.type != "watch.parked" for event in keep.events) or not authority.is_free(keep.events):
            self._refuse(session, keep.seq, BadRequest("only watch.parked is stored with the position of a watch"))
            return
        marks: dict[str, str | None] = {}
        if keep.name:
            marks[_watch_mark(keep.name)] = f"{keep.position} {keep.pattern}"
        append = Append(events=keep.events, marks=marks, source=session.instance, keeps_marks=True)
        self._broker.commit.propose(append, partial(self._value_kept, session, keep.seq, keep.position))

    def _value_kept(self, session: Session, seq: int, value: int, result: Appended | TwelvefoldError) -> None:
        self._answer(session, seq, result if isinstance(result, TwelvefoldError) else value)

    def _stats(self, session: Session, stats: Stats) -> None:
        self._answer(session, stats.seq, stats_of(self._broker))


def _waits(session: Session, request: Request) -> bool:
    """Tell whether events depend on what becomes of the sender's settles of this turn: not those of other tasks."""
    return any(not event.stream.startswith("task.") or event.stream in session.closing for event in request.events)


def _watch_mark(name: str) -> str:
    return f"watch/{name}"
