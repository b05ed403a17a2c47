"""What `trace` shows of spans: the tree with times and bars, and the documents of `--json`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ..projections.span import Span
from ..projections.traceparent import root_of
from .output import Style, harmless, on_terminal, rfc3339
from .run_documents import listed

#: How many spans below one are shown before the others are only counted.
CHILDREN_MAX = 30
_BAR = 24
#: Terminals that are narrower show no bars.
_BAR_FROM = 100
_SIGNS = {"ok": ("✓", "green"), "error": ("✗", "red"), "unset": ("·", "dim")}


def span_document(span: Span) -> dict[str, Any]:
    """Return what `trace --json` has for a span."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id or None,
        "name": span.name,
        "kind": span.kind,
        "start": rfc3339(span.start),
        "end": rfc3339(span.end) if span.end is not None else None,
        "duration_s": round((span.end - span.start) / 1e9, 9) if span.end is not None else None,
        "open": span.end is None,
        "status": span.status,
        "message": span.message or None,
        "attributes": span.attributes,
        "events": [{"time": rfc3339(one.time), "name": one.name, "attributes": one.attributes} for one in span.events],
        "links": [{"trace_id": one.trace_id, "span_id": one.span_id, "why": one.why} for one in span.links],
        "position": span.position,
    }


def trace_document(run: str, spans: Sequence[Span]) -> dict[str, Any]:
    """Return what `trace --json` prints: the run, how its trace stands, and all spans in the order of their begin."""
    root, ordered = root_span(run, spans), sorted(spans, key=_began)
    return {
        "run": run,
        "trace": root.trace_id,
        "state": "open" if any(span.end is None for span in spans) else "ended",
        "outcome": outcome_of(root, spans),
        "start": rfc3339(root.start),
        "end": rfc3339(root.end) if root.end is not None else None,
        "duration_s": round((root.end - root.start) / 1e9, 9) if root.end is not None else None,
        "spans": [span_document(span) for span in ordered],
    }


def root_span(run: str, spans: Sequence[Span]) -> Span:
    """Return the span of the run itself."""
    own = root_of(run, "").span_id
    return next((span for span in spans if span.span_id == own), spans[0])


def outcome_of(root: Span, spans: Sequence[Span]) -> str | None:
    """Return how a run has ended at last: what sets it going again, such as a rollback, has a span below its root."""
    again = [
        span
        for span in spans
        if span.parent_id == root.span_id and span.attributes.get("gen_ai.operation.name") == "invoke_workflow"
    ]
    last = max([root, *again], key=_began)
    found = last.attributes.get("twelvefold.outcome")
    return None if last.end is None or found is None else str(found)


def trace_lines(run: str, spans: Sequence[Span], style: Style, *, whole: bool = False) -> Iterator[str]:
    """Yield the lines of a trace: when each span began and how long it took, in the tree that they form.

    Sending and taking are one line unless `whole`, which shows all spans and every child.
    """
    root = root_span(run, spans)
    yield from _heading(root, spans, style)
    yield from _Picture(root, spans, style, whole).lines()


def _heading(root: Span, spans: Sequence[Span], style: Style) -> Iterator[str]:
    outcome = outcome_of(root, spans) or "open"
    open_spans = sum(span.end is None for span in spans)
    counted = f"{len(spans)} spans" + (f", {open_spans} open" if open_spans else "")
    yield f"{style.bold(outcome)}  {root.run}  {style.dim(counted)}"
    if root.trace_id != root.run:
        caller = f", below span {root.parent_id}" if root.remote else ""
        yield f"  {style.dim('trace')}  {root.trace_id}{style.dim(caller)}"
    if parent := root.attributes.get("twelvefold.fork.parent"):
        at = root.attributes.get("twelvefold.fork.at")
        yield f"  {style.dim('forked from')}  {harmless(str(parent))} {style.dim(harmless(f'at {at}'))}"


class _Picture:
    """The tree of one trace as text."""

    def __init__(self, root: Span, spans: Sequence[Span], style: Style, whole: bool) -> None:
        self._style, self._whole = style, whole
        self._start = root.start
        self._until = max([root.start + 1, *(_end(span) for span in spans)])
        self._bars = on_terminal() and shutil.get_terminal_size().columns >= _BAR_FROM
        self._sent = {span.span_id: span for span in spans if span.kind == "producer"}
        shown = [span for span in spans if whole or span.kind != "producer"]
        known = {span.span_id for span in shown}
        self._below: dict[str, list[Span]] = {}
        for span in sorted(shown, key=_began):
            self._below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)

    def lines(self) -> Iterator[str]:
        """Yield its lines."""
        for span in self._below.get("", ()):
            yield from self._lines(span, "", "")

    def _lines(self, span: Span, lead: str, below: str) -> Iterator[str]:
        yield self._line(span, lead)
        children = self._below.get(span.span_id, [])
        shown = children if self._whole or len(children) <= CHILDREN_MAX else children[:CHILDREN_MAX]
        hidden = len(children) - len(shown)
        for n, child in enumerate(shown):
            last = n == len(shown) - 1 and not hidden
            yield from self._lines(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))
        if hidden:
            yield f"{' ' * self._margin}{below}└─ {self._style.dim(f'{hidden} more (--all shows them)')}"

    @property
    def _margin(self) -> int:
        return 24 + (_BAR + 2 if self._bars else 0)

    def _line(self, span: Span, lead: str) -> str:
        style = self._style
        sign, paint = ("…", "yellow") if span.end is None else _SIGNS[span.status]
        took = _duration(_end(span) - span.start) + ("…" if span.end is None else " ")
        times = f"{'+' + _duration(span.start - self._start):>11} {took:>11} "
        bar = f"{self._bar(span, paint)}  " if self._bars else ""
        told = [style.cyan(harmless(span.name)), style.dim(harmless(str(span.attributes.get("twelvefold.path", ""))))]
        told += [style.dim(harmless(word)) for word in self._notes(span)]
        return f"{style.dim(times)}{bar}{lead}{getattr(style, paint)(sign)} {'  '.join(filter(None, told))}"

    def _notes(self, span: Span) -> Iterator[str]:
        attributes = span.attributes
        if step := attributes.get("twelvefold.step"):
            yield str(step)
        if attributes.get("twelvefold.undo"):
            yield "undo"
        attempt = attributes.get("twelvefold.attempt", 1)
        if isinstance(attempt, int) and attempt > 1:
            yield f"attempt {attempt}"
        sent = next((self._sent[one.span_id] for one in span.links if one.span_id in self._sent), None)
        if span.kind == "consumer" and sent is not None and span.start - sent.start >= 1_000_000:
            yield f"waited {_duration(span.start - sent.start)}"
        tokens = [attributes.get(f"gen_ai.usage.{way}_tokens") for way in ("input", "output")]
        if any(isinstance(one, int) for one in tokens):
            yield "+".join("?" if one is None else str(one) for one in tokens) + " tokens"
        if withdrawn := attributes.get("twelvefold.withdrawn"):
            yield f"withdrawn: {withdrawn}"
        outcome = attributes.get("twelvefold.outcome")
        if span.kind == "consumer" and outcome in ("needs_human", "nothing_to_do", "planned"):
            yield str(outcome)
        exits = [one for one in span.events if one.name == "process.exited"]
        if exits:
            how = exits[-1].attributes
            told = [f"signal {how['twelvefold.process.signal']}"] if "twelvefold.process.signal" in how else []
            told += [f"exit {how['process.exit.code']}"] if "process.exit.code" in how else []
            yield f"its process ended ({listed(told) or 'nobody knows how'})"
        if span.message:
            yield " ".join(span.message.split())[:160]

    def _bar(self, span: Span, paint: str) -> str:
        """Return where a span lies in the whole of the trace."""
        whole = self._until - self._start
        first = min(int((span.start - self._start) / whole * _BAR), _BAR - 1)
        last = max(first + 1, min(-(-(_end(span) - self._start) * _BAR // whole), _BAR))
        drawn = "━" * (last - first) if _end(span) > span.start else "╹"
        painted = self._style.cyan(drawn) if paint == "dim" else getattr(self._style, paint)(drawn)
        return " " * first + painted + " " * (_BAR - first - len(drawn))


def _began(span: Span) -> tuple[int, int, bool]:
    # What was sent comes before what takes it, and what holds others before those.
    return span.start, span.position, span.end is not None


def _end(span: Span) -> int:
    return span.last if span.end is None else span.end


def _duration(ns: int) -> str:
    """Return a time as people read it, with three figures that count."""
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.3g} ms" if ns < 999_500_000 else "1 s"
    seconds = ns / 1e9
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24:02d}h"


def show(run: str, spans: Sequence[Span], *, whole: bool) -> str:
    """Return a trace as text for standard output."""
    return "\n".join(trace_lines(run, spans, Style(sys.stdout), whole=whole))
