"""Hierarchies, patterns of slices and multi-stage pipelines on real agents, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.agent_errors import AgentsMissing
from twelvefold.bus.errors import BusNotRunning
from twelvefold.orchestration.control import ControlRequest, ask
from twelvefold.orchestration.errors import RunNotFound
from twelvefold.orchestration.slice_errors import SlicesCyclic

from ..conftest import eventually
from .conftest import CALC, RIGHT, JobHome, make_repo

pytestmark = pytest.mark.e2e

AGENTS = '''
import os, time
from pathlib import Path

import twelvefold as tf


class WorkerAgent(tf.BaseAgent):
    """Does its part: echoes it, fails, waits for a file, or marks that it is at work."""

    def execute_task(self, task: dict) -> tf.ToolResponse:
        do = task.get("input") or {}
        if do.get("fail"):
            return tf.ToolResponse.failed("asked_to", "as it was asked to")
        if "mark" in do:
            mark = Path(do["mark"]) / f"{task['id']}.{os.getpid()}"
            mark.touch()
            time.sleep(0.05)
            crowd = len(list(mark.parent.iterdir()))
            mark.unlink()
            return tf.ToolResponse.succeeded({"crowd": crowd, "pid": os.getpid()})
        while "until" in do and not Path(do["until"]).exists():
            time.sleep(0.01)
        return tf.ToolResponse.succeeded({"did": task["task"], "pid": os.getpid(), "results": task["results"]})


class Doubler(tf.BaseAgent):
    """Doubles a number; fails the first time where it is asked to."""

    def execute_task(self, task: object, context: tf.TaskContext) -> tf.ToolResponse:
        number = task["n"] if isinstance(task, dict) else task
        if isinstance(task, dict) and task.get("flaky") and context.attempt == 1:
            return tf.ToolResponse.failed("flaky", "the first time it fails")
        if isinstance(number, list):
            return tf.ToolResponse.succeeded(sum(number))
        return tf.ToolResponse.succeeded(number * 2)


class Splitting(tf.BaseAgent):
    """Answers with a plan."""

    def execute_task(self, task: int) -> tf.MapReduce:
        return tf.MapReduce(tf.Task("doubler"), list(range(task)), reduce=tf.Task("doubler"))
'''
PROCFILE = """\
doubler: twelvefold agent facades_agents:Doubler
splitting: twelvefold agent facades_agents:Splitting
"""


@pytest.fixture(scope="module")
def project(shared_home: JobHome) -> Iterator[Path]:
    """A project whose `up` has two doublers and one that splits; the test's own process is in it."""
    folder = shared_home.folder / "project"
    folder.mkdir()
    (folder / "facades_agents.py").write_text(AGENTS)
    (folder / "Procfile").write_text(PROCFILE)
    up = shared_home("up", "-d", "--wait", "-c", "doubler=2", cwd=folder)
    assert up.status == 0, up.err
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, shared_home, folder)
        yield folder


def enter(patch: pytest.MonkeyPatch, home: JobHome, folder: Path) -> None:
    """Be in a folder as a user's program is, with the home that its command line has."""
    patch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("TWELVEFOLD_")]:
        patch.delenv(name)
    patch.setenv("TWELVEFOLD_HOME", str(home.home))
    patch.setenv("TWELVEFOLD_RUNTIME_DIR", str(home.runtime))


def test_a_task_answers_with_a_plan_that_is_carried_out(project: Path) -> None:
    """A real agent returns a plan: its tasks run on others, and its value is the task's."""
    with tf.connect_sync() as bus:
        result = bus.wait(bus.submit(tf.Pipeline([tf.Task("splitting", 5), tf.Task("doubler")])), 60)
    assert (result.outcome, result.value) == ("succeeded", 2 * sum(2 * n for n in range(5)))
    with tf.connect_sync() as bus:
        (planned,) = bus.read(type="task.planned", run=result.run)
        assert planned.data["plan"]["pattern"] == "map_reduce"


def test_slices_run_in_the_pattern_that_suits_them(project: Path) -> None:
    """Equal slices and one that needs them all become a map and its reducer; each finds its own value."""
    executor = tf.PatternExecutor()
    slices = [tf.TaskSlice(f"part {n}", n) for n in range(20)]
    slices.append(tf.TaskSlice("sum", depends_on=[one.id for one in slices]))
    found = asyncio.run(executor.execute_auto_pattern(slices, ["doubler"], wait_s=60))
    assert (found.success, found.pattern, found.outcome) == (True, tf.OrchestrationPattern.MAP_REDUCE, "succeeded")
    assert "'sum'" in found.recommended
    assert [one.value for one in found.results] == [2 * n for n in range(20)] + [sum(2 * n for n in range(20))]
    assert found.value == found["sum"].value
    assert all(one.evidence for one in found.results)
    assert found.elapsed_s > 0


@pytest.mark.parametrize("pattern", [one for one in tf.OrchestrationPattern if one.name != "RACE"])
def test_each_pattern_runs_on_real_agents(project: Path, pattern: tf.OrchestrationPattern) -> None:
    """Three independent slices succeed under each of the five patterns, in their order."""
    slices = [tf.TaskSlice(id, n) for n, id in enumerate("abc", 1)]
    found = asyncio.run(tf.PatternExecutor().execute_pattern(pattern, slices, ["doubler"], wait_s=60))
    assert found.success, found
    wanted = {"scatter_gather": [[2], [4], [6]]}.get(pattern.value, [2, 4, 6])
    assert [one.value for one in found.results] == wanted
    assert found.run


def test_a_queue_that_nobody_serves_is_told(project: Path) -> None:
    """Slices for an agent that isn't there are refused with its queue, instead of waiting for ever."""
    with pytest.raises(AgentsMissing, match="doubble"):
        asyncio.run(tf.PatternExecutor().execute_auto_pattern([tf.TaskSlice("a", 1)], ["doubble"]))


def test_a_circle_never_starts(project: Path) -> None:
    """Slices that need each other in a circle are refused before there is a run."""
    slices = [tf.TaskSlice("a", depends_on=["b"]), tf.TaskSlice("b", depends_on=["a"])]
    with tf.connect_sync() as bus:
        before = len(list(bus.read(type="run.requested")))
        with pytest.raises(SlicesCyclic, match="'a' needs 'b' needs 'a'"):
            asyncio.run(tf.PatternExecutor().execute_auto_pattern(slices, ["doubler"]))
        assert len(list(bus.read(type="run.requested"))) == before


def test_a_multi_stage_pipeline_of_agents_and_functions(project: Path) -> None:
    """Agents that follow each other are one run with their retries; functions run here; an item may leave early."""

    async def go() -> tuple[tf.PipelineResult, tf.PipelineResult, tf.MultiStagePipeline]:
        async with tf.connect() as bus:
            stages = [
                tf.PipelineStage("prepare", lambda item, context: {"n": item, **context}),
                tf.PipelineStage("double", agent="doubler", retry=tf.Retry(attempts_max=2, backoff_s=0.01)),
                tf.PipelineStage("again", agent="doubler", exit_when=lambda value: value > 100),
                tf.PipelineStage("third", agent="doubler"),
            ]
            pipeline = tf.MultiStagePipeline(stages, bus=bus)
            near = await pipeline.process_item_async(5, {"flaky": True})
            far = await pipeline.process_item_async(50, {})
            return near, far, pipeline

    near, far, pipeline = asyncio.run(go())
    assert (near.value, near.exited_at, [one.attempts for one in near.stages]) == (40, None, [1, 2, 1, 1])
    assert near.stages[1].run == near.stages[2].run != near.stages[3].run
    assert (far.value, far.exited_at) == (200, "again")
    told = pipeline.telemetry.snapshot()["stages"]
    assert (told["double"]["retries"], told["again"]["exits"], told["third"]["calls"]) == (1, 1, 1)
    assert told["double"]["latency_max_s"] >= 0.01

    async def failing() -> tf.PipelineResult:
        async with tf.connect() as bus:
            stage = tf.PipelineStage("text", agent="doubler")
            return await tf.MultiStagePipeline([stage], bus=bus).process_item_async({"no": "n"})

    failed = asyncio.run(failing())
    assert (failed.outcome, failed.stopped_at, failed.reason) == ("failed", "text", "exception")


def test_a_hierarchy_joins_an_up_and_adds_what_it_lacks(project: Path, shared_home: JobHome) -> None:
    """The coordinators and the user's worker are started beside the lines of a running `up`, once."""
    orchestrator = tf.HierarchicalOrchestrator(
        worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 2}, home=shared_home.home
    )
    task = {"text": "Do it", "subtasks": [{"title": "a", "subtasks": [{"title": "x"}, {"title": "y"}]}, {"title": "b"}]}
    for _ in range(2):
        found = asyncio.run(orchestrator.orchestrate_complex_task(task, wait_s=120))
        assert found.success, found
        assert [(one.id, one.value["did"]) for one in found.subtasks] == [("1.1", "x"), ("1.2", "y"), ("2", "b")]
    listed = shared_home("ps", "--json", cwd=project).json
    names = [one["name"].rpartition(".")[0] for one in listed]
    assert [names.count(name) for name in ("primary", "secondary", "doubler")] == [1, 2, 2]
    assert len([name for name in names if name.startswith("worker")]) == 2


def test_limits_hold_among_real_processes(project: Path, shared_home: JobHome) -> None:
    """With six workers and a limit of three, three are at work at once and never more; all parts are done."""
    limits = {"tertiary": 3}
    orchestrator = tf.HierarchicalOrchestrator(worker="facades_agents:WorkerAgent", max_agents_per_level=limits)
    asyncio.run(orchestrator.orchestrate_complex_task({"text": "warm", "subtasks": [{"title": "a"}]}, wait_s=120))
    line = next(
        one["name"] for one in shared_home("ps", "--json", cwd=project).json if one["name"].startswith("worker")
    )
    assert shared_home("scale", f"{line.rpartition('.')[0]}=6", cwd=project).status == 0
    marks = project / "marks"  # where a project's own agents may write
    marks.mkdir()
    parts = [{"title": f"part {n}", "input": {"mark": str(marks)}} for n in range(12)]
    task = {"text": "Many", "subtasks": [{"title": "all", "subtasks": parts}]}
    found = asyncio.run(orchestrator.orchestrate_complex_task(task, wait_s=120))
    crowds = [one.value["crowd"] for one in found.subtasks]
    assert len(crowds) == 12
    assert max(crowds) <= 3
    assert max(crowds) > 1, "nothing ran beside anything"
    assert found.levels["tertiary"] == {
        "running": 0, "requested": 0, "waiting": 0, "planned": 0, "ended": 12, "limit": 3,
    }  # fmt: skip


def test_a_task_at_work_is_seen_and_cancelled(project: Path, tmp_path: Path) -> None:
    """Status and tree show who works and who waits; a cancel ends the task, and tells so where it has ended."""
    orchestrator = tf.HierarchicalOrchestrator(
        worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 1}
    )
    never = {"until": str(tmp_path / "never")}
    parts = [{"title": "a", "input": never}, {"title": "b", "input": never}, {"title": "c", "depends_on": ["1"]}]
    task = {"text": "Slow", "subtasks": [{"title": "all", "subtasks": [{**one, "depends_on": []} for one in parts]}]}

    async def go() -> tf.OrchestrationResult:
        doing = asyncio.create_task(orchestrator.orchestrate_complex_task(task, "slow one", wait_s=120))

        def level() -> dict[str, Any]:
            try:
                found: dict[str, Any] = orchestrator.get_orchestration_status("slow one")["levels"]["tertiary"]
            except RunNotFound:
                return {}
            return found

        await asyncio.to_thread(eventually, lambda: level().get("running") == 1, 60)
        assert (level()["waiting"], level()["limit"]) == (2, 1)
        tree = orchestrator.get_agent_hierarchy("slow one")
        (working,) = tree["children"][0]["children"]
        assert (working["title"], working["level"], working["state"]) == ("a", "tertiary", "running")
        assert working["instance"].startswith("worker")
        assert orchestrator.cancel_orchestration("slow one", "enough") is True
        return await doing

    found = asyncio.run(go())
    assert (found.success, found.outcome, found.orchestration_id) == (False, "cancelled", "slow one")
    assert orchestrator.get_orchestration_status("slow one")["status"] == "ended"
    assert orchestrator.cancel_orchestration("slow one") is False
    with pytest.raises(RunNotFound):
        orchestrator.get_orchestration_status("another one")


def test_a_killed_coordinator_changes_nothing(project: Path, tmp_path: Path) -> None:
    """kill -9 of every agent of the hierarchy while a part is being done: the same parts, the same end."""
    orchestrator = tf.HierarchicalOrchestrator(
        worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 2}
    )
    go_on = tmp_path / "go"
    task = {
        "text": "Held",
        "subtasks": [
            {"title": "first", "input": {"until": str(go_on)}},
            {"title": "second", "depends_on": ["1"]},
            {"title": "third", "depends_on": ["2"]},
        ],
    }
    settings = tf.load_settings()

    async def go() -> tf.OrchestrationResult:
        doing = asyncio.create_task(orchestrator.orchestrate_complex_task(task, "held", wait_s=120))

        def running() -> bool:
            try:
                return bool(orchestrator.get_orchestration_status("held")["levels"]["tertiary"]["running"])
            except RunNotFound:
                return False

        await asyncio.to_thread(eventually, running, 60)
        killed = 0
        for place in ask(settings.home, settings.runtime_dir, ControlRequest("ps")):
            if place["name"].startswith(("primary", "secondary", "worker", "orchestrator")) and place["pid"]:
                os.kill(place["pid"], signal.SIGKILL)
                killed += 1
        assert killed >= 4
        go_on.touch()
        return await doing

    found = asyncio.run(go())
    assert found.success, found
    assert [(one.value["did"], one.outcome) for one in found.subtasks] == [
        ("first", "succeeded"), ("second", "succeeded"), ("third", "succeeded"),
    ]  # fmt: skip


def test_a_failed_part_fails_the_task_with_its_reason(project: Path) -> None:
    """The part that failed is told, with where it stands, and what depended on it never began."""
    orchestrator = tf.HierarchicalOrchestrator(
        worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 2}
    )
    task = {
        "text": "No",
        "subtasks": [{"title": "bad", "input": {"fail": True}}, {"title": "after", "depends_on": ["1"]}],
    }
    found = asyncio.run(orchestrator.orchestrate_complex_task(task, wait_s=120))
    assert (found.success, found.outcome, found.reason) == (False, "failed", "asked_to")
    assert [(one.title, one.outcome, one.reason) for one in found.subtasks] == [("bad", "failed", "asked_to")]


@pytest.mark.long
def test_a_hierarchy_starts_what_belongs_to_nobody(own_home: JobHome, tmp_path: Path) -> None:
    """Without an `up`, agents are started for the task, and an unserved queue is told instead of waited for."""
    (tmp_path / "facades_agents.py").write_text(AGENTS)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, own_home, tmp_path)
        orchestrator = tf.HierarchicalOrchestrator(
            worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 2}
        )
        text = "Fix the typo `teh` in `README.md`"
        found = asyncio.run(orchestrator.orchestrate_complex_task(text, "one", wait_s=120))
        assert found.success, found
        assert (found.complexity, [one.value["did"] for one in found.subtasks]) == ("atomic", [text])
        again = asyncio.run(orchestrator.orchestrate_complex_task(text, "one", wait_s=120))
        assert (again.run, again.value) == (found.run, found.value)
        with pytest.raises(AgentsMissing, match="nobodys"):
            asyncio.run(tf.HierarchicalOrchestrator(worker="nobodys").orchestrate_complex_task(text, wait_s=120))
        assert own_home("down", cwd=tmp_path).status == 0
        # What was done can be looked at when nothing runs any more.
        assert orchestrator.get_orchestration_status("one")["outcome"] == "succeeded"
        with pytest.raises(BusNotRunning):
            asyncio.run(tf.PatternExecutor().execute_pattern("pipeline", [tf.TaskSlice("a")], ["x"]))


def test_a_job_joins_what_a_hierarchy_has_started(own_home: JobHome, tmp_path: Path) -> None:
    """What belongs to nobody takes in the agents that a later `run` needs, wherever the first ones are loaded from."""
    folder = tmp_path / "my agents"
    folder.mkdir()
    (folder / "facades_agents.py").write_text(AGENTS)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, own_home, folder)
        orchestrator = tf.HierarchicalOrchestrator(
            worker="facades_agents:WorkerAgent", max_agents_per_level={"tertiary": 1}
        )
        assert asyncio.run(orchestrator.orchestrate_complex_task("Fix the typo `teh` in `a.md`", wait_s=120)).success
    ended = own_home.job(make_repo(tmp_path / "repo", CALC), RIGHT)
    assert ended.status == 0, ended.err
    assert ended.json["outcome"] == "succeeded"
