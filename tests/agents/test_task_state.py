"""`context.state` and `context.submit`: recorded, served when delivered again, and done once across a crash."""

from __future__ import annotations

from typing import Any

import pytest

import twelvefold as tf
from twelvefold.orchestration.submit import run_of_key

PLAN = {"agent": "echo", "input": "a"}


class Counting(tf.BaseAgent):
    """Counts in shared state, and may die right after a change."""

    def __init__(self) -> None:
        self.dies = False
        self.seen: list[Any] = []

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        """Do what the task names."""
        state = context.state("counters")
        self.seen.append(getattr(self, task)(state, context))
        if self.dies:
            raise KeyboardInterrupt
        return tf.ToolResponse.succeeded(self.seen[-1])

    def count(self, state: Any, _: tf.TaskContext) -> Any:
        """Increment, twice."""
        state.update("hits", lambda hits: hits + 1, 0)
        return state.update("hits", lambda hits: hits + 1, 0).value

    def twice(self, state: Any, _: tf.TaskContext) -> Any:
        """Put the same value two times."""
        return [state.put("same", 1).version, state.put("same", 1).version]

    def remove(self, state: Any, _: tf.TaskContext) -> Any:
        """Delete."""
        return [state.delete("hits"), state.delete("hits"), state.get("hits", "none")]

    def conflict(self, state: Any, _: tf.TaskContext) -> Any:
        """Write on top of a version that is not."""
        with pytest.raises(tf.VersionConflict):
            state.compare_and_set("hits", 0, 7)
        return state.entry("hits").version

    def start(self, _: Any, context: tf.TaskContext) -> Any:
        """Start runs, with and without a key."""
        return [context.submit(PLAN, key="mine"), context.submit(PLAN), context.submit(PLAN)]


def test_state_in_a_task_is_served_when_delivered_again() -> None:
    """A task that died after its changes finds them as it left them, and changes nothing twice."""
    trial, agent = tf.Trial(), Counting()
    request = trial.request(agent, "count")
    agent.dies = True
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    agent.dies = False
    assert trial.deliver(agent, request, delivery=2).value == 2
    assert agent.seen == [2, 2]
    assert [event.data["value"] for event in trial.events("state.put")] == [1, 2]
    other = trial.deliver(agent, trial.request(agent, "count"))
    assert other.value == 4


@pytest.mark.parametrize("task", ["count", "twice", "start"])
def test_a_change_whose_result_was_not_recorded_is_made_once(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Death between a change and its record, at each change: the change is found again, not repeated."""
    whole = tf.Trial()
    wanted = _changes(whole, Counting(), whole.request(Counting(), task))
    for fatal in range(len(wanted)):
        trial, agent = tf.Trial(), Counting()
        request = trial.request(agent, task)
        append, count = trial.journal.append, iter(range(1000))

        def dying(events, *rest, **more):  # type: ignore[no-untyped-def]
            appended = append(events, *rest, **more)  # noqa: B023
            if events[0].type in ("state.put", "run.requested") and next(count) == fatal:  # noqa: B023
                raise KeyboardInterrupt
            return appended

        with monkeypatch.context() as patch:
            patch.setattr(trial.journal, "append", dying)
            with pytest.raises(KeyboardInterrupt):
                trial.deliver(agent, request)
        assert len(_changes(trial, agent, request, delivery=2)) == len(wanted)


def _changes(trial: tf.Trial, agent: Counting, request: Any, delivery: int = 1) -> list[tf.Event]:
    trial.deliver(agent, request, delivery)
    return [*trial.events("state.put"), *trial.events("run.requested")]


def test_deleting_and_conflicts_in_a_task() -> None:
    """Deleting tells whether there was something, and a conflict raises what it raises outside."""
    trial, agent = tf.Trial(), Counting()
    trial.deliver(agent, trial.request(agent, "count"))
    assert trial.deliver(agent, trial.request(agent, "conflict")).value == 2
    assert trial.deliver(agent, trial.request(agent, "remove")).value == [True, False, "none"]
    assert len(trial.events("state.deleted")) == 1


def test_a_task_starts_runs_once() -> None:
    """A key gives its run, whoever asks; without one each call of a task has a run, the same for its next attempt."""
    trial, agent = tf.Trial(), Counting()
    request = trial.request(agent, "start")
    first = trial.deliver(agent, request).value
    assert first[0] == run_of_key("mine") and len(set(first)) == 3
    again = trial.deliver(agent, trial.request(agent, "start", run=request.run, attempt=2)).value
    assert again == first
    other = trial.deliver(agent, trial.request(agent, "start")).value
    assert other[0] == first[0] and not set(other[1:]) & set(first)
    events = trial.events("run.requested")
    assert len(events) == 5 and events[0].data["key"] == "mine"
    assert events[0].data["caller"] == {"agent": "counting", "run": request.run, "path": "0"}
