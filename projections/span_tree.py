"""The tree that a run's spans form: its root, and the spans around what belongs to a plan within the run. Pure.

Owns which span is above a path. A pattern within a plan has no events of its own: its span begins with the first of
what belongs to it, and lasts as long as that does, which is known for certain once the run has ended.
"""

from __future__ import annotations

from ..eventstore.event import Event
from . import span_facts as facts
from .span import Attributes, Span, SpanLink, SpanStatus
from .traceparent import parse_traceparent, root_of, span_id


class SpanTree:
    """The root of a run and its plans' spans; `first` is the event that begins it, or sets it going again."""

    def __init__(self, run: str, first: Event) -> None:
        self.run = run
        place = root_of(run, first.trace)
        self.trace_id, self._flags = place.trace_id, place.flags
        self._nodes: dict[str, Span] = {}
        self._plans: dict[str, facts.Plan] = {}
        self.root = self._begin(first, place.span_id)

    def _begin(self, first: Event, own: str) -> Span:
        given = parse_traceparent(first.trace) if first.trace else None
        attributes: Attributes = {
            "twelvefold.run": self.run,
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.conversation.id": self.run,
        }
        above = given.span_id if given is not None else ""
        links = []
        if first.type == "run.requested":
            asked = facts.read(first.payload, facts.Requested) or facts.Requested()
            plan = self._plans["0"] = facts.plan_of(asked.plan)
            label = facts.short(asked.labels.get("job")) or plan.name or plan.agent or plan.pattern
            attributes["twelvefold.pattern"] = plan.pattern
            attributes |= {f"twelvefold.label.{key}": facts.short(text) for key, text in asked.labels.items()}
        elif first.type == "run.forked":
            cut = facts.read(first.payload, facts.Place) or facts.Place()
            label = "fork"
            attributes |= {"twelvefold.fork.parent": cut.parent, "twelvefold.fork.at": cut.at}
            parent = root_of(cut.parent, first.trace)
            links.append(SpanLink(parent.trace_id, parent.span_id, "forked from"))
        else:
            # What had ended goes on: its root may be exported long since, so this is a span of its own below it.
            label = "rollback" if "roll" in first.type else "again"
            own, above = span_id("again", first.id), own
            given = None
        attributes["gen_ai.workflow.name"] = label
        root = self.span(first, own, above, f"invoke_workflow {label}", attributes)
        root.links, root.remote = links, given is not None
        return root

    def span(self, event: Event, own: str, above: str, name: str, attributes: Attributes) -> Span:
        """Return a new span that begins with an event."""
        return Span(
            trace_id=self.trace_id,
            span_id=own,
            parent_id=above,
            name=name,
            start=event.time,
            run=self.run,
            attributes=attributes,
            links=[],
            flags=self._flags,
            last=event.time,
            position=event.position,
        )

    def link(self, span: str, why: str) -> SpanLink:
        """Return a link to another span of this trace."""
        return SpanLink(self.trace_id, span, why)

    def planned(self, path: str, plan: object, event: Event) -> None:
        """Take in that the task at a path has answered with a plan."""
        self._plans[path] = facts.plan_of(plan)
        self._node(path, event, opens=True)

    def step_at(self, path: str) -> str:
        """Return the name that a plan gives to what stands at a path, "" for none."""
        found = self._plan_at(path)
        return found.name if found is not None else ""

    def above(self, path: str, event: Event) -> Span:
        """Return the span that what stands at a path belongs to."""
        # A compensation belongs to what the task that it undoes belongs to.
        above = path.removesuffix(".undo").rpartition(".")[0]
        return self._node(above, event) if above else self.root

    def touch(self, path: str, time: int) -> None:
        """Let all that a path belongs to last until then."""
        while path:
            node = self._nodes.get(path)
            if node is not None:
                node.last = max(node.last, time)
            path = path.rpartition(".")[0]

    @property
    def nodes(self) -> list[Span]:
        """The spans around what belongs to plans, all of which are open until the run has ended."""
        return list(self._nodes.values())

    def close(self, event: Event, out: list[Span], status: SpanStatus, message: str) -> None:
        """Close all of it, the root last."""
        for node in sorted(self._nodes.values(), key=lambda span: (span.position, span.span_id), reverse=True):
            node.close(node.last, event.position)
            out.append(node)
        self.root.close(event.time, event.position, status, message)
        out.append(self.root)

    def _node(self, path: str, event: Event, *, opens: bool = False) -> Span:
        """Return the span around all that belongs to a path, opening it if there is none."""
        found = self._nodes.get(path)
        if found is not None:
            return found
        if path == "0" and not opens:
            return self.root  # the run's own plan
        plan = self._plan_at(path)
        attributes: Attributes = {"twelvefold.run": self.run, "twelvefold.path": path}
        if plan is not None:
            attributes["twelvefold.pattern"] = plan.pattern
        own = span_id("node", f"{self.root.span_id}/{path}")
        name = (plan.name or plan.pattern) if plan is not None else "plan"
        found = self._nodes[path] = self.span(event, own, self.above(path, event).span_id, name, attributes)
        return found

    def _plan_at(self, path: str) -> facts.Plan | None:
        """Return what the innermost plan that is known says of a path."""
        if path in self._plans:
            return self._plans[path]
        steps: list[str] = []
        while path:
            path, _, last = path.rpartition(".")
            steps.insert(0, last)
            if path in self._plans:
                return facts.in_plan(self._plans[path], steps)
        return None
