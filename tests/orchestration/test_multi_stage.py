"""Multi-stage pipelines whose stages are functions: order, retries, early exits, failures and what is measured."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from twelvefold.agents.response import ToolResponse
from twelvefold.orchestration.multi_stage import MultiStagePipeline, PipelineResult, PipelineStage
from twelvefold.orchestration.pipeline_telemetry import StageTelemetry
from twelvefold.orchestration.plan import Retry
from twelvefold.orchestration.slice_errors import StageInvalid
from twelvefold.orchestration.stage_calls import StageExit

QUICK = Retry(attempts_max=3, backoff_s=0)


def process(pipeline: MultiStagePipeline, item: Any, context: Any = None) -> PipelineResult:
    return asyncio.run(pipeline.process_item_async(item, context))


async def double(item: int) -> int:
    return item * 2


def add(item: int, context: dict[str, int]) -> int:
    return item + context["add"]


def test_an_item_goes_through_functions_of_every_shape() -> None:
    """Async and plain functions, with a context and without, take the item on in their order."""
    pipeline = MultiStagePipeline(
        [PipelineStage("double", double), PipelineStage("add", add), PipelineStage("text", str)]
    )
    found = process(pipeline, 4, {"add": 1})
    assert (found.success, found.outcome, found.value) == (True, "succeeded", "9")
    assert [(one.name, one.value) for one in found.stages] == [("double", 8), ("add", 9), ("text", "9")]
    assert found.elapsed_s >= sum(one.latency_s for one in found.stages) * 0.99


def test_a_stage_is_tried_again_by_its_own_retry() -> None:
    """A stage that fails twice succeeds on its third try; one whose reason is excepted is not tried again."""
    tries: list[int] = []

    def flaky(item: int) -> int:
        tries.append(item)
        if len(tries) < 3:
            raise OSError("not now")
        return item

    pipeline = MultiStagePipeline([PipelineStage("flaky", flaky, retry=QUICK)])
    found = process(pipeline, 1)
    assert (found.success, found.stages[0].attempts) == (True, 3)
    assert pipeline.telemetry.stage("flaky").retries == 2
    tries.clear()
    never = PipelineStage("flaky", flaky, retry=Retry(attempts_max=3, backoff_s=0, unless=["OSError"]))
    found = process(MultiStagePipeline([never]), 1)
    assert (found.success, found.reason, len(tries)) == (False, "OSError", 1)


def test_a_failure_stops_the_item_and_is_told() -> None:
    """No later stage runs; the stage, the reason and the error are in the result, and nothing is raised."""
    reached = []

    def broken(item: Any) -> Any:
        raise KeyError(item)

    pipeline = MultiStagePipeline([PipelineStage("broken", broken), PipelineStage("after", reached.append)])
    found = process(pipeline, "x")
    assert (found.success, found.outcome, found.stopped_at, found.reason) == (False, "failed", "broken", "KeyError")
    assert found.error == "KeyError: 'x'"
    assert found.value is None
    assert not reached
    assert pipeline.telemetry.stage("broken").errors == 1


@pytest.mark.parametrize(
    ("response", "outcome", "value"),
    [
        (ToolResponse.succeeded(5), "succeeded", 5),
        (ToolResponse.nothing_to_do("clean"), "nothing_to_do", 1),
        (ToolResponse.failed("bad", "it broke"), "failed", None),
        (ToolResponse.needs_human("unsure", "Which?"), "needs_human", None),
        (ToolResponse.planned({"agent": "a"}), "failed", None),
    ],
)
def test_a_response_means_what_it_says(response: ToolResponse, outcome: str, value: Any) -> None:
    """A function that answers as agents do fails, asks or has nothing to do as they do; none of it is a value."""
    found = process(MultiStagePipeline([PipelineStage("agentlike", lambda item: response)]), 1)
    assert (found.outcome, found.value, found.success) == (outcome, value, outcome in ("succeeded", "nothing_to_do"))


def test_an_item_may_leave_early() -> None:
    """A value that satisfies `exit_when`, or a StageExit, ends the way with success, and names the stage."""
    stages = [
        PipelineStage("cache", lambda item: item, exit_when=lambda value: value == "hit"),
        PipelineStage("look", lambda item: StageExit("found") if item == "near" else item),
        PipelineStage("ask", lambda item: f"asked {item}"),
    ]
    pipeline = MultiStagePipeline(stages)
    ends = [(one.value, one.exited_at) for one in (process(pipeline, item) for item in ("hit", "near", "far"))]
    assert ends == [("hit", "cache"), ("found", "look"), ("asked far", None)]
    told = pipeline.telemetry.snapshot()
    assert (told["items"], [told["stages"][name]["exits"] for name in ("cache", "look", "ask")]) == (3, [1, 1, 0])
    assert [told["stages"][name]["calls"] for name in ("cache", "look", "ask")] == [3, 2, 1]
    wrong = PipelineStage("w", lambda item: item, exit_when=lambda value: bool(1 / 0))
    assert process(MultiStagePipeline([wrong]), 1).reason == "ZeroDivisionError"


def test_stages_are_added_where_they_are_wanted() -> None:
    """At a position or at the end; wrong places, second names and half stages are refused."""
    pipeline = MultiStagePipeline([PipelineStage("last", lambda item: [*item, "last"])])
    pipeline.add_stage(PipelineStage("first", lambda item: [*item, "first"]), 0)
    pipeline.add_stage(PipelineStage("end", lambda item: [*item, "end"]))
    assert process(pipeline, []).value == ["first", "last", "end"]
    for stage, position in (
        (PipelineStage("first", double), None), (PipelineStage("x", double), 4), (PipelineStage("x", double), -1),
        (PipelineStage("x"), None), (PipelineStage("x", double, agent="a"), 0), (PipelineStage("x", agent="a"), 0),
        (PipelineStage("x", lambda a, b, c: a), None), (PipelineStage("x", add, timeout_s=1), None),
        (PipelineStage("", double), None), (PipelineStage("x", 5), None),  # type: ignore[arg-type]
    ):  # fmt: skip
        with pytest.raises(StageInvalid):
            pipeline.add_stage(stage, position)
    assert len(pipeline.stages) == 3


def test_an_async_stage_is_timed_out() -> None:
    """A try that takes longer than it may has failed, and its function is cancelled."""
    cancelled = threading.Event()

    async def slow(item: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    found = process(MultiStagePipeline([PipelineStage("slow", slow, timeout_s=0.01)]), 1)
    assert (found.reason, found.stopped_at) == ("timeout", "slow")
    assert cancelled.is_set()


def test_many_items_are_on_the_way_at_once() -> None:
    """A stage that waits for another item's arrival ends: items don't wait for each other, in threads neither."""
    meeting = threading.Barrier(3)

    def meet(item: int) -> int:
        meeting.wait(20)
        return item

    pipeline = MultiStagePipeline([PipelineStage("meet", meet), PipelineStage("double", double)])

    async def all_of_them() -> list[Any]:
        return [one.value for one in await asyncio.gather(*map(pipeline.process_item_async, range(3)))]

    assert asyncio.run(all_of_them()) == [0, 2, 4]
    assert pipeline.telemetry.items == 3


def test_latencies_are_told_by_their_shares() -> None:
    """Half of the items took no longer than the median, and all no longer than the maximum."""
    stage = StageTelemetry()
    assert stage.latency_s(0.5) == 0.0
    for n in range(100, 0, -1):
        stage.note(n / 100, 1, failed=False, exited=False)
    assert (stage.latency_s(0.5), stage.latency_s(0.99), stage.latency_s(1.0)) == (0.5, 0.99, 1.0)
    assert stage.snapshot()["latency_mean_s"] == pytest.approx(0.505)
