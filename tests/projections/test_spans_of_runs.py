"""Spans of what the real deciders do, with agents that die meanwhile: always one whole tree."""

from __future__ import annotations

import pytest

from tests.orchestration.plans_to_kill import ALL, SEED
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.eventstore.event import Event
from twelvefold.projections.otlp_json import document
from twelvefold.projections.span import Span
from twelvefold.projections.spans import Spans
from twelvefold.tracing.span_source import restored


def played(name: str, after: int) -> Simulation:
    """A plan played to its end, an agent killed on the way where `after` says so."""
    world = Simulation(Agents(SEED), lossy=False)
    if after:
        world.kill_after(after, "agent")
    world.request("run.requested", {"plan": ALL[name]})
    return world.settle_down()


def check_tree(spans: list[Span], events: list[Event]) -> None:
    """One root that lasts as long as the run, everything below it, within its time, and told once."""
    ids = {span.span_id: span for span in spans}
    assert len(ids) == len(spans)
    roots = [span for span in spans if not span.parent_id]
    assert roots == [spans[-1]]
    (root,) = roots
    ends = [event.time for event in events if event.type in ("run.succeeded", "run.failed", "run.cancelled")]
    assert root.end == ends[-1]
    for span in spans:
        assert span.end is not None
        assert root.start <= span.start <= span.end <= root.end
        assert span is root or ids[span.parent_id].start <= span.start
        assert all(link.span_id in ids for link in span.links)
    told = [event for event in events if event.type == "task.started"]
    assert len([span for span in spans if span.kind == "consumer"]) == len(told)
    asked = [event for event in events if event.type == "task.requested"]
    assert len([span for span in spans if span.kind == "producer"]) == len(asked)


@pytest.mark.parametrize("after", [0, 4, 9, 15])
@pytest.mark.parametrize("name", ALL)
def test_every_plan_gives_one_whole_tree(name: str, after: int) -> None:
    """Whatever the pattern, retried, undone, answered, killed: the spans are a tree, and can be taken up anywhere."""
    log = played(name, after).log
    events = log.read(limit=10**6)
    fold = Spans()
    spans = fold.take(events)
    assert fold.open() == []
    check_tree(spans, [event for event in events if event.run == RUN])
    cut = log.head // 2
    before = Spans()
    before.take(events[:cut])
    again = restored(log, before.open_runs, cut)  # type: ignore[arg-type]
    assert document({}, again.take(events[cut:])) == document({}, [span for span in spans if span.closed_by > cut])
