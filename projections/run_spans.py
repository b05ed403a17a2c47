"""The spans of one run, from its events in the order of their positions. Pure.

The run is the root. Below it each request of a task is a short producer's span, and each time that an agent had it in
hands a consumer's, linked to it, with the effects below; a plan within the run is a span around what belongs to it,
waiting for a human one of its own. Keeps: a span that has closed is never touched again, so that it can be exported.
"""

from __future__ import annotations

from collections.abc import Callable

from ..eventstore.event import Event
from . import span_facts as facts
from .runs import ENDS
from .span import Attributes, Span, SpanStatus
from .span_tree import SpanTree
from .span_work import Work
from .traceparent import span_id

#: How many outcomes are remembered for what follows from them.
_ANSWERS_MAX = 4_096


class RunSpans:
    """The open spans of one run, and what is needed to name those to come.

    `first` is the event that opens it: the run's first, or, in a run that had ended, the one that sets it going again;
    `since` its position. With `content`, spans hold what models and tools were given and said.
    """

    def __init__(self, run: str, first: Event, *, content: bool = False) -> None:
        self.ended = False
        self.since = first.position
        self._tree = SpanTree(run, first)
        self._content = content
        self._work: dict[bytes, Work] = {}
        self._by_path: dict[str, bytes] = {}
        self._questions: dict[str, Span] = {}
        #: Which span an outcome came from, by its event.
        self._answers: dict[bytes, str] = {}
        self._wrote: set[str] = set()

    def take(self, event: Event, out: list[Span]) -> None:
        """Take in an event of the run; spans that it closes are added to `out`."""
        self._wrote.add(event.source)
        self._tree.root.last = event.time
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event, out)
        elif event.type in ENDS:
            self._end(event, out)
        elif event.type.startswith("workspace."):
            self._workspace(event)
        elif event.type not in _SILENT:
            self._note(event)

    def exited(self, instance: str, event: Event) -> None:
        """Take in that a process is gone."""
        if instance in self._wrote:
            for work in self._work.values():
                work.exited(instance, event)

    def open(self) -> list[Span]:
        """Return the spans that are open, in the order in which they began."""
        found = [self._tree.root, *self._tree.nodes, *self._questions.values()]
        for work in self._work.values():
            found += work.open()
        return sorted(found, key=lambda span: (span.position, span.start))

    def _requested(self, event: Event, out: list[Span]) -> None:
        task = facts.read(event.payload, facts.Task) or facts.Task()
        self._withdraw(self._by_path.get(task.path), event, out, "requested anew")
        self._answered(task.path, event, out)
        work = self._work[event.id] = Work(self._tree, event, task, content=self._content)
        if task.path:
            # A request that was forgotten doesn't say which task it is for.
            self._by_path[task.path] = event.id
        self._link(work.sent, event)
        work.sent.close(event.time, event.position)
        out.append(work.sent)

    def _cancelled(self, event: Event, out: list[Span]) -> None:
        task = facts.read(event.payload, facts.Task) or facts.Task()
        self._answered(task.path, event, out)
        self._withdraw(self._by_path.get(task.path), event, out, facts.short(task.reason) or "cancelled")

    def _withdraw(self, request: bytes | None, event: Event, out: list[Span], why: str) -> None:
        work = self._taken(request) if request is not None else None
        if work is not None:
            work.withdraw(event, out, why)

    def _taken(self, request: bytes) -> Work | None:
        """Return the work of a request, which is over."""
        work = self._work.pop(request, None)
        if work is not None and self._by_path.get(work.path) == request:
            del self._by_path[work.path]
        return work

    def _reported(self, event: Event, out: list[Span]) -> None:
        """End a delivery with the outcome of its task; a decider's own verdict on a task is noted on the run."""
        work = self._taken(event.cause) if event.stream.startswith("task.") else None
        if work is None:
            self._note(event)
            return
        said = facts.read(event.payload, facts.Outcome) or facts.Outcome()
        if event.type == "task.planned":
            self._tree.planned(work.path, said.plan, event)
        self._answers[event.id] = work.reported(event, said, out) or work.sent.span_id
        if len(self._answers) > _ANSWERS_MAX:
            for old in list(self._answers)[: _ANSWERS_MAX // 2]:
                del self._answers[old]

    def _started(self, event: Event, out: list[Span]) -> None:
        if (work := self._work.get(event.cause)) is not None:
            work.started(event, out)

    def _progressed(self, event: Event, out: list[Span]) -> None:
        if (work := self._work.get(event.cause)) is not None:
            work.progressed(event)

    def _intended(self, event: Event, out: list[Span]) -> None:
        if (work := self._work.get(event.cause)) is not None:
            work.intended(event, out)

    def _done(self, event: Event, out: list[Span]) -> None:
        if (work := self._work.get(event.cause)) is not None:
            work.done(event, out)

    def _parked(self, event: Event, out: list[Span]) -> None:
        """End what was tried too often."""
        self._withdraw(event.cause, event, out, "parked")
        self._note(event)

    def _human(self, event: Event, out: list[Span]) -> None:
        place = facts.read(event.payload, facts.Place) or facts.Place()
        self._answered(place.path, event, out)
        attributes: Attributes = {"twelvefold.run": self._tree.run, "twelvefold.path": place.path}
        if reason := facts.short(place.reason):
            attributes["twelvefold.reason"] = reason
        above = self._tree.above(place.path, event).span_id
        span = self._tree.span(event, span_id("human", event.id), above, "wait for human", attributes)
        self._link(span, event)
        self._questions[place.path] = span

    def _human_done(self, event: Event, out: list[Span]) -> None:
        place = facts.read(event.payload, facts.Place) or facts.Place()
        for path in [place.path] if place.path else list(self._questions):
            self._answered(path, event, out)

    def _answered(self, path: str, event: Event, out: list[Span]) -> None:
        span = self._questions.pop(path, None)
        if span is not None:
            span.attributes["twelvefold.ended_by"] = event.type
            span.close(event.time, event.position)
            self._tree.touch(path, event.time)
            out.append(span)

    def _end(self, event: Event, out: list[Span]) -> None:
        """Close everything."""
        for path in list(self._questions):
            self._answered(path, event, out)
        for request in list(self._work):
            self._withdraw(request, event, out, "the run has ended")
        ended = facts.read(event.payload, facts.Outcome) or facts.Outcome()
        outcome = event.type.removeprefix("run.")
        attributes = self._tree.root.attributes
        attributes["twelvefold.outcome"] = outcome
        if reason := facts.short(ended.reason):
            attributes["twelvefold.reason"] = reason
        status: SpanStatus = "ok" if outcome in ("succeeded", "nothing_to_do") else "unset"
        message = ""
        if outcome == "failed":
            status, message = "error", facts.message_of(ended.error) or facts.short(ended.reason)
            attributes["error.type"] = facts.error_type(ended.error, ended.reason)
        self._tree.close(event, out, status, message)
        self.ended = True

    def _workspace(self, event: Event) -> None:
        work = self._work.get(event.cause)
        span = work.delivery if work is not None and work.delivery is not None else self._tree.root
        said = facts.read(event.payload, facts.Work) or facts.Work()
        attributes: Attributes = {}
        if said.repo:
            attributes["vcs.repository.name"] = said.repo.rstrip("/").rpartition("/")[2]
        if said.commit:
            attributes["vcs.ref.head.revision"] = said.commit
        if said.ref:
            attributes["vcs.ref.head.name"] = said.ref
        span.note(event.type, event.time, attributes)

    def _note(self, event: Event) -> None:
        """Note on the span at hand that something happened which is no span of its own."""
        attributes: Attributes = {"twelvefold.position": event.position}
        work = self._work.get(event.cause)
        if work is not None and work.delivery is not None:
            work.delivery.note(event.type, event.time, attributes)
            return
        if event.stream.startswith(("run.", "request.")):
            place = facts.read(event.payload, facts.Place)
            if place is not None and place.path:
                attributes["twelvefold.path"] = place.path
        self._tree.root.note(event.type, event.time, attributes)

    def _link(self, span: Span, event: Event) -> None:
        """Let a span go back to the one whose outcome has led to it."""
        if cause := self._answers.get(event.cause):
            span.links.append(self._tree.link(cause, "caused by"))


#: What says nothing that the spans don't show.
_SILENT = frozenset({"run.requested", "run.forked", "run.started", "timer.set", "timer.cancelled"})
_HANDLERS: dict[str, Callable[[RunSpans, Event, list[Span]], None]] = {
    "task.requested": RunSpans._requested,
    "task.cancelled": RunSpans._cancelled,
    "task.started": RunSpans._started,
    "task.progressed": RunSpans._progressed,
    "task.planned": RunSpans._reported,
    "task.succeeded": RunSpans._reported,
    "task.nothing_to_do": RunSpans._reported,
    "task.failed": RunSpans._reported,
    "task.needs_human": RunSpans._reported,
    "delivery.parked": RunSpans._parked,
    "effect.intended": RunSpans._intended,
    "effect.completed": RunSpans._done,
    "effect.failed": RunSpans._done,
    "effect.in_doubt": RunSpans._done,
    "human.requested": RunSpans._human,
    "human.answered": RunSpans._human_done,
    "human.expired": RunSpans._human_done,
}
