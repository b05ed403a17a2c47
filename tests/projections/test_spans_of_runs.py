"""Spans of what the real deciders do, with agents that die meanwhile: always one whole tree."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.orchestration.plans_to_kill import ALL, SEED
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.reader import LogReader
from twelvefold.projections.otlp_json import document
from twelvefold.projections.runs import ENDS
from twelvefold.projections.span import Span
from twelvefold.projections.spans import Spans
from twelvefold.projections.traceparent import root_of
from twelvefold.tracing.span_source import all_spans, restored

LOGS = Path(__file__).parents[1] / "fixtures" / "logs"


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


@pytest.mark.parametrize("stored", sorted(LOGS.rglob("log.db.gz")), ids=lambda path: path.parent.name)
def test_stored_logs_of_each_version_give_their_traces(stored: Path, tmp_path: Path) -> None:
    """Every run of theirs has one root, which ends where the run did, and every delivery is there."""
    (tmp_path / "log.db").write_bytes(gzip.decompress(stored.read_bytes()))
    with LogReader(tmp_path / "log.db") as log:
        spans = list(all_spans(log))
        events = log.read(limit=10**6)
    asked = {event.run for event in events if event.type in ("run.requested", "run.forked")}
    roots = [span for span in spans if span.span_id == root_of(span.run, "").span_id]
    assert len(roots) == len(asked) > 0
    assert {span.run for span in roots} == asked
    for root in roots:
        ends = [event.time for event in events if event.run == root.run and event.type in ENDS]
        assert root.end == (ends[0] if ends else None)
    started = [event for event in events if event.type == "task.started"]
    assert len([span for span in spans if span.kind == "consumer"]) == len(started)
    assert len({span.span_id for span in spans}) == len(spans)
