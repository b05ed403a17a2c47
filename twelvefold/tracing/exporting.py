"""Exporting once: spans into a sink, in batches, counted.

Owns what is left out by sampling, and that a receiver which is gone is not asked again for each batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..projections.span import Span
from .settings import TraceSettings
from .sinks import Sink


class Exported(msgspec.Struct, kw_only=True):
    """What an export has come to. `traces` counts those that spans were of."""

    target: str
    spans: int = 0
    traces: int = 0
    open: int = 0
    delivered: int = 0
    rejected: int = 0
    undelivered: int = 0
    unsampled: int = 0
    reason: str = ""


def sampled(span: Span, settings: TraceSettings) -> bool:
    """Tell whether the settings want a span's trace to be exported."""
    # Where a trace isn't the run's own, somebody else has begun it and has said whether it is sampled.
    return settings.sampler.keeps(span.trace_id, span.flags, has_parent=span.trace_id != span.run)


def export(spans: Iterable[Span], sink: Sink, settings: TraceSettings, *, sample: bool) -> Exported:
    """Send spans and return what came of it; closes the sink, which keeps nothing if an exception ends this."""
    told = Exported(target=sink.target)
    #: By their hash: an id has 16 bytes, of which a few suffice to tell so many apart.
    traces: set[int] = set()
    batch: list[Span] = []
    good = False
    try:
        for span in spans:
            if sample and not sampled(span, settings):
                told.unsampled += 1
                continue
            told.spans += 1
            told.open += span.end is None
            traces.add(hash(span.trace_id))
            batch.append(span)
            if len(batch) >= settings.batch_max:
                _send(batch, sink, told)
                batch = []
        _send(batch, sink, told)
        good = True
    finally:
        sink.close(good=good)
    told.traces = len(traces)
    return told


def _send(batch: list[Span], sink: Sink, told: Exported) -> None:
    if not batch:
        return
    if told.undelivered:
        told.undelivered += len(batch)  # it doesn't answer: each further batch would only wait for its time-out
        return
    sent = sink.send(batch)
    told.delivered += sent.delivered
    told.rejected += sent.rejected
    told.undelivered += len(batch) - sent.delivered - sent.rejected
    told.reason = sent.reason or told.reason
