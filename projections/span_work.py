"""The spans of one request of a task: how it was sent, who had it in hands, and the effects meanwhile. Pure.

Owns the delivery at hand. Keeps: an agent that died leaves its spans open until the task goes on or is taken back; then
they end when its process did, or when it was last heard of.
"""

from __future__ import annotations

import msgspec

from ..eventstore.event import Event
from . import span_facts as facts
from .span import Attributes, Span, SpanStatus
from .span_tree import SpanTree
from .traceparent import delivery_span, effect_span, span_id

_INTERRUPTED = "its agent was gone before it ended"
_UNRECORDED = "its result was never recorded"


class _Progress(msgspec.Struct):
    progress: float = 0.0
    stage: str | None = None


class Work:
    """One request of a task, by its event. With `content`, spans hold what models and tools were given and said."""

    def __init__(self, tree: SpanTree, request: Event, task: facts.Task, *, content: bool) -> None:
        self.path = task.path
        self.delivery: Span | None = None
        self.effects: dict[str, Span] = {}
        self._tree = tree
        self._content = content
        self._queue = request.to or task.agent
        self._died = 0
        self._common: Attributes = {
            "twelvefold.run": tree.run,
            "twelvefold.path": self.path,
            "twelvefold.attempt": task.attempt,
        }
        if name := tree.step_at(self.path):
            self._common["twelvefold.step"] = name
        if task.undo:
            self._common["twelvefold.undo"] = True
        attributes = self._common | facts.message_attributes(request, "send", self._queue)
        above = tree.above(self.path, request).span_id
        #: The producer's span, which has ended as it has begun.
        self.sent = tree.span(request, span_id("send", request.id), above, f"send {self._queue}", attributes)
        self.sent.kind = "producer"
        self._common |= facts.work_attributes(task.input)

    def started(self, event: Event, out: list[Span]) -> None:
        """Begin a delivery; one before it, whose agent is gone, ends here."""
        if self.delivery is not None:
            self.interrupt(event, out)
        self._died = 0
        if not self.path:
            # The request was forgotten; the stream still says which task it was for.
            self.path = event.stream.split(".", 2)[-1]
            self._common["twelvefold.path"] = self.path
        attributes = self._common | facts.message_attributes(event, "process", self._queue)
        attributes["messaging.message.id"] = event.cause.hex()
        attributes |= {
            "messaging.consumer.group.name": self._queue,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self._queue,
            "gen_ai.conversation.id": event.run,
            "service.instance.id": event.source,
        }
        above = self._tree.above(self.path, event).span_id
        span = self._tree.span(event, delivery_span(event.id), above, f"invoke_agent {self._queue}", attributes)
        span.kind = "consumer"
        span.links.append(self._tree.link(self.sent.span_id, "delivery of"))
        self.delivery = span

    def exited(self, instance: str, event: Event) -> None:
        """Take in that a process is gone, perhaps the one that had the task in hands."""
        span = self.delivery
        if span is None or span.attributes.get("service.instance.id") != instance:
            return
        how = facts.read(event.payload, facts.Place) or facts.Place()
        attributes: Attributes = {"service.instance.id": instance}
        told = (("process.pid", how.pid), ("process.exit.code", how.exit), ("twelvefold.process.signal", how.signal))
        attributes |= {name: value for name, value in told if value is not None}
        self._died = event.time
        span.note("process.exited", event.time, attributes)

    def progressed(self, event: Event) -> None:
        """Note how far the task is."""
        if self.delivery is not None:
            said = facts.read(event.payload, _Progress) or _Progress()
            attributes: Attributes = {"twelvefold.progress": said.progress}
            if said.stage:
                attributes["twelvefold.stage"] = said.stage
            self.delivery.note("progress", event.time, attributes)

    def intended(self, event: Event, out: list[Span]) -> None:
        """Begin an effect."""
        if self.delivery is None:
            return
        effect = facts.read(event.payload, facts.Effect) or facts.Effect(key=event.cause.hex())
        before = self.effects.pop(effect.key, None)
        if before is not None:
            self._end(before, event, out, _UNRECORDED)
        self.effects[effect.key] = self._effect(event, effect, event.time)
        self.delivery.last = event.time

    def done(self, event: Event, out: list[Span]) -> None:
        """End an effect; one that only its result is recorded of says there how long it took."""
        if self.delivery is None:
            return
        effect = facts.read(event.payload, facts.Effect) or facts.Effect(key=event.cause.hex())
        span = self.effects.pop(effect.key, None)
        if span is None:
            start = event.time - int(min(max(effect.elapsed_s, 0.0), 1e9) * 1e9)
            span = self._effect(event, effect, max(start, self.delivery.start))
        span.attributes |= facts.result_attributes(effect, content=self._content)
        status: SpanStatus = "unset"
        message = ""
        if event.type == "effect.failed":
            status, message = "error", facts.message_of(effect.error) or "failed"
            span.attributes["error.type"] = facts.error_type(effect.error)
        elif event.type == "effect.in_doubt":
            status, message = "error", "nobody can tell whether it happened"
            span.attributes["error.type"] = "in_doubt"
        self.delivery.last = event.time
        span.close(event.time, event.position, status, message)
        out.append(span)

    def reported(self, event: Event, said: facts.Outcome, out: list[Span]) -> str:
        """End the delivery with the outcome of the task; return the span's id, "" where there was none."""
        self._tree.touch(self.path, event.time)
        delivery = self.delivery
        if delivery is None:
            return ""
        outcome = event.type.removeprefix("task.")
        delivery.attributes["twelvefold.outcome"] = outcome
        if reason := facts.short(said.reason):
            delivery.attributes["twelvefold.reason"] = reason
        status: SpanStatus = "ok" if outcome in ("succeeded", "nothing_to_do", "planned") else "unset"
        message = ""
        if outcome == "failed":
            status, message = "error", facts.message_of(said.error) or facts.short(said.message) or "failed"
            kind = delivery.attributes["error.type"] = facts.error_type(said.error, said.reason)
            delivery.note("exception", event.time, {"exception.type": kind, "exception.message": message})
        elif outcome == "needs_human" and (question := facts.short(said.question)):
            delivery.attributes["twelvefold.question"] = question
        self._close(event, out, status, message)
        return delivery.span_id

    def withdraw(self, event: Event, out: list[Span], why: str) -> None:
        """End what is in an agent's hands, as nobody wants it any more."""
        self._tree.touch(self.path, event.time)
        if self.delivery is None:
            return
        self.delivery.attributes["twelvefold.withdrawn"] = why
        if self._died:
            self.interrupt(event, out)
        else:
            self._close(event, out, "unset", "")

    def interrupt(self, event: Event, out: list[Span]) -> None:
        """End a delivery whose agent is gone, when it was last heard of."""
        delivery, self.delivery = self.delivery, None
        assert delivery is not None
        until = self._died or max([delivery.last, *(effect.last for effect in self.effects.values())])
        for span in (*self.effects.values(), delivery):
            span.attributes["twelvefold.interrupted"] = True
            span.attributes["error.type"] = "interrupted"
            span.close(until, event.position, "error", _INTERRUPTED)
            out.append(span)
        self.effects.clear()

    def open(self) -> list[Span]:
        """Return the spans that are open."""
        return [*([] if self.delivery is None else [self.delivery]), *self.effects.values()]

    def _effect(self, event: Event, effect: facts.Effect, start: int) -> Span:
        assert self.delivery is not None
        attributes: Attributes = {"twelvefold.run": event.run, "twelvefold.path": self.path}
        attributes |= facts.effect_attributes(effect, content=self._content)
        name, kind = facts.effect_name(effect)
        span = self._tree.span(event, effect_span(event.id), self.delivery.span_id, name, attributes)
        span.start, span.kind = start, kind
        return span

    def _close(self, event: Event, out: list[Span], status: SpanStatus, message: str) -> None:
        delivery, self.delivery = self.delivery, None
        assert delivery is not None
        for effect in self.effects.values():
            self._end(effect, event, out, _UNRECORDED)
        self.effects.clear()
        delivery.close(event.time, event.position, status, message)
        out.append(delivery)

    def _end(self, effect: Span, event: Event, out: list[Span], message: str) -> None:
        effect.attributes["error.type"] = "unrecorded"
        effect.close(event.time, event.position, "error", message)
        out.append(effect)
