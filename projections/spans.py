"""Spans from the log: every event in the order of positions goes in, spans come out as they close. Pure.

Owns which run an event belongs to, when one begins again, and what is needed to get here again: a span follows from the
events of its run and the ends of processes alone, so folding those of the open runs is enough. Live, late or repeated,
the same spans come out in the same order, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..eventstore.event import Event
from . import span_facts as facts
from .run_spans import RunSpans
from .span import Span, SpanLink
from .traceparent import parse_traceparent, span_id

#: What begins a run, and what sets one going again that had ended.
_FIRST = frozenset({"run.requested", "run.forked"})
_AGAIN = frozenset({"task.requested", "run.rollback_requested", "run.rolling_back", "human.requested"})


class Spans:
    """The fold. With `content`, spans hold what models and tools were given and said."""

    def __init__(self, *, content: bool = False) -> None:
        self._content = content
        self._runs: dict[str, RunSpans] = {}

    def take(self, events: Iterable[Event]) -> list[Span]:
        """Take in events and return the spans that have closed, in the order in which they did."""
        out: list[Span] = []
        runs = self._runs
        for event in events:
            run = event.run
            if not run:
                if event.type == "process.exited":
                    self._exited(event)
                elif event.trace:
                    _publish(event, out)
                continue
            known = runs.get(run)
            if known is None:
                if event.type not in _FIRST and event.type not in _AGAIN:
                    continue  # what comes after the end of a run tells nothing of work
                known = runs[run] = RunSpans(run, event, content=self._content)
            known.take(event, out)
            if known.ended:
                del runs[run]
        return out

    def open(self) -> list[Span]:
        """Return the spans that are open now, those of one run after those of the other."""
        return [span for run in self._runs.values() for span in run.open()]

    @property
    def open_runs(self) -> dict[str, int]:
        """The runs with open spans, and the position from which each has to be folded to get here again."""
        return {run: spans.since for run, spans in self._runs.items()}

    def _exited(self, event: Event) -> None:
        said = facts.read(event.payload, facts.Place)
        if said is None or not said.instance:
            return
        for run in self._runs.values():
            run.exited(said.instance, event)


def _publish(event: Event, out: list[Span]) -> None:
    """Add the span of an event outside of runs that belongs to somebody's trace."""
    given = parse_traceparent(event.trace)
    if given is None:
        return
    queue = event.to or event.type
    attributes = facts.message_attributes(event, "send", queue) | {"twelvefold.position": event.position}
    del attributes["messaging.message.conversation_id"]
    span = Span(
        trace_id=given.trace_id,
        span_id=span_id("send", event.id),
        parent_id=given.span_id,
        name=f"send {queue}",
        start=event.time,
        kind="producer",
        attributes=attributes,
        links=[SpanLink(given.trace_id, span_id("send", event.cause), "caused by")] if event.cause else [],
        remote=True,
        flags=given.flags,
        last=event.time,
        position=event.position,
    )
    span.close(event.time, event.position)
    out.append(span)
