"""Large plans: what deciding an input costs doesn't grow with them, and ten thousand parts come to the right end."""

from __future__ import annotations

import sys
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from twelvefold.eventstore.event import NewEvent
from twelvefold.orchestration.decider import decide
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.graph import Graph
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.memo import Memo
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import PatternFields, Task, plan_data
from twelvefold.orchestration.run_state import Fact, Run
from twelvefold.orchestration.saga import Saga

RUN = "0190a0b0c0d0e0f00000000000000001"
SECOND = 1_000_000_000
W = Task("w")
UNDONE = Task("w", undo=Task("undo"))
EVIDENCE = [{"kind": "value", "ref": "sha256:" + "0" * 64}]


class Flow:
    """One run with its agents: they do what is asked in the order of the requests, and are counted."""

    def __init__(self, plan: PatternFields, **requested: Any) -> None:
        self.run = Run(RUN)
        self.memo = Memo()
        self.position = 0
        self.asked: deque[NewEvent] = deque()
        self.taken_back: deque[bytes] = deque()
        self.events = 0
        self.tell("run.requested", {"plan": plan_data(plan), **requested})

    def tell(self, type: str, data: dict[str, Any], path: str = "", cause: bytes = b"") -> None:
        self.position += 1
        id = self.position.to_bytes(16, "big")
        fact = Fact(type, data, path, id, self.position, self.position * SECOND, cause)
        decision = decide(self.run, fact, memo=self.memo)
        self.run = decision.run
        self.events += len(decision.events)
        self.asked += [event for event in decision.events if event.to]
        self.taken_back += decision.withdrawn

    def work(self) -> bool:
        """Let one task be done, or one that was taken back be let go."""
        if self.taken_back:
            self.tell("delivery.withdrawn", {"delivered": True}, cause=self.taken_back.popleft())
            return True
        while self.asked:
            request = self.asked.popleft()
            data = msgspec.json.decode(request.payload)
            if request.id not in self.run.out:
                continue  # it was taken back
            if request.to == "bad":
                self.tell("task.failed", {"reason": "bad"}, data["path"], request.id)
            else:
                self.tell("task.succeeded", {"value": data["input"], "evidence": EVIDENCE}, data["path"], request.id)
            return True
        return False

    def finish(self) -> dict[str, Any]:
        while self.work():
            pass
        return {"outcome": self.run.outcome, **self.run.end}


def lines_of(act: Callable[[], Any]) -> int:
    """Count the lines of Python that an act executes: what it costs, without a clock."""
    count = 0

    def tracer(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def nested(depth: int) -> PatternFields:
    plan: PatternFields = W
    for _ in range(depth):
        plan = Pipeline([plan])
    return plan


def _copied(n: int) -> Flow:
    """A run in which half of the items have a second task, which is the one that is done."""
    flow = Flow(MapReduce(W, list(range(n)), speculate_after_s=10))
    slow, late = [*flow.asked], n // 2
    flow.asked.clear()
    for index in range(late):
        flow.tell("timer.fired", {"timer": f"speculate/0.1.{index}/0"}, f"0.1.{index}")
    flow.asked += slow[late:]
    for _ in range(late // 2):
        assert flow.work()
    return flow


def _chain(n: int) -> Graph:
    steps = [replace(W, name=f"s{k}") for k in range(n)]
    return Graph(steps, {f"s{k}": [f"s{k - 1}"] for k in range(1, n)})


def _layers(n: int) -> Graph:
    """Layers of ten, of which each step needs two of the layer before."""
    steps = [replace(W, name=f"s{k}") for k in range(n)]
    needs = {f"s{k}": [f"s{k - 10}", f"s{(k - 10) // 10 * 10 + (k + 1) % 10}"] for k in range(10, n)}
    return Graph(steps, needs)


def _levels(n: int) -> Flow:
    return Flow(MapReduce(W, list(range(n))), levels={"primary": 5})


def _in_the_middle(flow: Flow, n: int) -> Flow:
    for _ in range(n // 2):
        assert flow.work()
    return flow


def _undoing(plan: PatternFields, n: int, told: int) -> Flow:
    """A run of which about the half has been undone."""
    flow = Flow(plan)
    for _ in range(told + n // 2):
        assert flow.work()
    assert flow.run.undone
    return flow


def _cancelled(plan: PatternFields, n: int) -> Flow:
    """A run that is being cancelled while half of its tasks are out."""
    flow = _in_the_middle(Flow(plan), n)
    flow.tell("run.cancel_requested", {})
    for _ in range(n // 10):
        assert flow.work()
    return flow


HALF_WAY: dict[str, Callable[[int], Flow]] = {
    "map": lambda n: _in_the_middle(Flow(MapReduce(W, list(range(n)))), n),
    "map of a width": lambda n: _in_the_middle(Flow(MapReduce(W, list(range(n)), width=8)), n),
    "map with reducers": lambda n: _in_the_middle(
        Flow(MapReduce(W, list(range(n)), width=8, reduce=Task("sum"), fan_in=10)), n
    ),
    "map with copies": lambda n: _in_the_middle(Flow(MapReduce(W, list(range(n)), speculate_after_s=10)), n),
    "map of sagas": lambda n: _in_the_middle(Flow(MapReduce(Saga([UNDONE, UNDONE]), list(range(n)), width=8)), n),
    "map with wide levels": lambda n: _in_the_middle(
        Flow(MapReduce(W, list(range(2 * n))), levels={"primary": n // 2}), n
    ),
    "map with levels": lambda n: _in_the_middle(_levels(n), n),
    "failed map": lambda n: _in_the_middle(
        Flow(MapReduce(Pipeline([Task("bad", {"$from": "index"})]), list(range(n)))), n
    ),
    "cancelled map": lambda n: _cancelled(MapReduce(W, list(range(n))), n),
    "cancelled pipeline with items": lambda n: _cancelled(Pipeline([W] * 2, items=list(range(n))), n),
    "cancelled map of forks": lambda n: _cancelled(MapReduce(ForkJoin([W, W]), list(range(n // 2))), n),
    "map whose copies win": _copied,
    "pipeline with items": lambda n: _in_the_middle(Flow(Pipeline([W] * 3, items=list(range(n)), in_flight_max=8)), n),
    "pipeline": lambda n: _in_the_middle(Flow(Pipeline([W] * n)), n),
    "saga": lambda n: _in_the_middle(Flow(Saga([UNDONE] * n)), n),
    "undoing of a saga": lambda n: _undoing(Saga([UNDONE] * n + [Task("bad")]), n, n + 1),
    "undoing of a map": lambda n: _undoing(Saga([MapReduce(Saga([UNDONE]), list(range(n))), Task("bad")]), n, n + 1),
    "graph of a chain": lambda n: _in_the_middle(Flow(_chain(n)), n),
    "graph of layers": lambda n: _in_the_middle(Flow(_layers(n)), n),
    "fork": lambda n: _in_the_middle(Flow(ForkJoin([W] * n)), n),
    "fork of forks": lambda n: _in_the_middle(Flow(ForkJoin([ForkJoin([W] * 10)] * (n // 10))), n),
}


@pytest.mark.parametrize("case", HALF_WAY)
def test_an_input_costs_what_it_changes_whatever_the_plans_size(case: str) -> None:
    """In the middle of ten times as large a plan, deciding for the next inputs takes as many steps."""
    small, large = HALF_WAY[case](60), HALF_WAY[case](600)
    costs = [sum(lines_of(flow.work) for _ in range(24)) for flow in (small, large)]
    assert costs[1] <= 1.15 * costs[0]


def test_ten_thousand_items() -> None:
    """A map over ten thousand items, in one go and eight at a time: each value once, in its place."""
    for width in (0, 8):
        flow = Flow(MapReduce(W, list(range(10_000)), width=width))
        end = flow.finish()
        assert end["outcome"] == "succeeded"
        assert end["value"] == list(range(10_000))
        assert len(end["evidence"]) == 501
        assert end["evidence"][-1] == {"kind": "omitted", "count": 9_500}
        assert flow.run.spent.tasks == 10_000


def test_ten_thousand_items_are_taken_back() -> None:
    """When one of ten thousand open items fails, all others are cancelled once, and let go before the run ends."""
    flow = Flow(MapReduce(Task("w"), list(range(10_000))))
    while len(flow.run.tasks) < 10_000:
        flow.work()
    gone = flow.run.tasks[f"0.1.{9_999}"]
    flow.tell("task.failed", {"reason": "bad"}, gone.path, gone.request)
    assert len(flow.taken_back) == len(flow.run.out)
    end = flow.finish()
    assert (end["outcome"], end["at"]) == ("failed", gone.path)
    assert not flow.run.out
    assert not flow.run.timers


@pytest.mark.parametrize("failing", [False, True])
def test_ten_thousand_steps(failing: bool) -> None:
    """A saga of ten thousand steps succeeds, or undoes them all in the exact reverse."""
    flow = Flow(Saga([UNDONE] * 10_000 + [Task("bad" if failing else "w")]))
    undone = []
    while flow.asked:
        if flow.asked[0].to == "undo":
            undone.append(msgspec.json.decode(flow.asked[0].payload)["path"])
        assert flow.work()
    assert flow.run.outcome == ("failed" if failing else "succeeded")
    assert undone == ([f"0.{n}.undo" for n in reversed(range(10_000))] if failing else [])


def test_two_thousand_items_through_five_steps() -> None:
    """Every item goes through every step."""
    end = Flow(Pipeline([W] * 5, items=list(range(2_000)), in_flight_max=100)).finish()
    assert end["value"] == list(range(2_000))


def test_plans_nest_twenty_deep() -> None:
    """A map of plans that nest in each other runs like any other."""
    assert Flow(MapReduce(nested(19), list(range(50)), width=4)).finish()["value"] == list(range(50))


def test_a_run_is_small_in_memory() -> None:
    """What is kept of a run with ten thousand items is far below what an orchestrator may take."""
    tracemalloc.start()
    try:
        flow = Flow(MapReduce(W, list(range(2_000)), width=8))
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1_900):
            flow.work()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / 1_900 < 5_000
