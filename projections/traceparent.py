"""Who belongs to which trace: ids of traces and spans, and the W3C `traceparent` that carries them. Pure.

Owns the derivation: a run's trace is the one that its caller handed in, else the run's own id; a span's id follows from
the event that began it. So an agent knows the id of a span before anything is exported, and every export gives the
same. What spans there are is `spans`' business.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

_SAMPLED = 1


class TraceContext(msgspec.Struct, frozen=True):
    """A place in a trace: 32 and 16 hex digits, and the flags of which the lowest bit says that it is sampled."""

    trace_id: str
    span_id: str
    flags: int = _SAMPLED

    @property
    def is_sampled(self) -> bool:
        """Whether whoever began the trace wants it recorded."""
        return bool(self.flags & _SAMPLED)

    def header(self) -> str:
        """Return it as a `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags & 0xFF:02x}"


@lru_cache(maxsize=256)
def parse_traceparent(text: str) -> TraceContext | None:
    """Return what a `traceparent` says, None for one that says nothing; fields of later versions are not looked at."""
    version, *fields = text.strip().split("-")
    if len(fields) < 3 or len(version) != 2 or version == "ff" or (version == "00" and len(fields) > 3):
        return None
    trace_id, span_id, flags = fields[:3]
    if (len(trace_id), len(span_id), len(flags)) != (32, 16, 2):
        return None
    digits = version + trace_id + span_id + flags
    if not set(digits) <= set("0123456789abcdef") or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16))


def span_id(kind: str, of: bytes | str) -> str:
    """Return the id of the span of a kind that something (an event, by its id; a run; a path) has."""
    seed = of.encode() if isinstance(of, str) else of
    found = blake2b(seed, digest_size=8, person=kind.encode()).hexdigest()
    return found if int(found, 16) else "0" * 15 + "1"


def root_of(run: str, trace: str) -> TraceContext:
    """Return the place of a run's first span; `trace` is the traceparent that its events carry, "" for none."""
    given = parse_traceparent(trace) if trace else None
    own = span_id("run", run)
    if given is None:
        return TraceContext(run if int(run or "0", 16) else "0" * 31 + "1", own)
    return TraceContext(given.trace_id, own, given.flags)


def delivery_span(started: bytes) -> str:
    """Return the id of the span of a task in an agent's hands, by the id of its `task.started`."""
    return span_id("delivery", started)


def effect_span(first: bytes) -> str:
    """Return the id of an effect's span, by the id of its `effect.intended`, or of its result where there is none."""
    return span_id("effect", first)
