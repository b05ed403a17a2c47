"""Tasks of forks: what is served from the record of the run that the fork comes from, and what is a miss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.agents.journal import TaskRequest, pack, request_of
from twelvefold.agents.models.calls import ask
from twelvefold.agents.models.model import Message, Reply, Usage
from twelvefold.agents.trial import Trial
from twelvefold.eventstore.event import Event, NewEvent

PARENT, FORK, SECOND = "a" * 32, "b" * 32, "c" * 32
Script = Callable[[tf.TaskContext], Any]


class Scripted(tf.BaseAgent):
    """Does what the test says."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def execute_task(self, task: Any, context: tf.TaskContext) -> tf.ToolResponse:
        """Answer with what the script returns."""
        return tf.ToolResponse(success=True, data=self.script(context))


class World:
    """What the scripts touch: each call is counted, and has another result."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, context: tf.TaskContext, name: str, kind: str = "tool", effect: Any = "idempotent") -> Any:
        """Have an effect of this name."""

        def do() -> str:
            self.calls.append(name)
            if name.startswith("bad"):
                raise RuntimeError(name)
            return f"{name} {len(self.calls)}"

        return context.effect(kind, name, {"of": name}, do, effect=effect)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def forked(
    trial: Trial, carried: TaskRequest | None, until: int, *, live: tuple[str, ...] = (), run: str = FORK, **more: Any
) -> TaskRequest:
    """Ask a fork of the parent's run for the task at path 0, which was known at the cut if `carried` is."""
    lineage = more.pop("lineage", [{"run": PARENT, "until": until, "record": trial.journal.log.head}])
    carries = more.pop("carries", [carried.id.hex()] if carried is not None else [])
    origin = {"lineage": lineage, "live": list(live), "carries": carries, "inherited": bool(carries) or until > 0}
    data = {"path": "0", "agent": "scripted", "fork": origin, **more}
    payload = pack(data, trial.journal)
    event = NewEvent(type="task.requested", payload=payload, stream=f"run.{run}", run=run, to="scripted")
    return request_of(trial.journal.append([event])[0], trial.journal, fresh=True)


def positions(trial: Trial, type: str) -> list[int]:
    return [event.position for event in trial.events(type)]


def own(trial: Trial, run: str = FORK) -> list[Event]:
    return [event for event in trial.events("effect.*") if event.run == run]


def test_results_below_the_cut_are_served_and_others_follow_the_layers(trial: Trial) -> None:
    """Below the cut always; above it from the record where the layer isn't live, for real where it is."""
    world = World()

    def script(context: tf.TaskContext) -> Any:
        return [world.call(context, "one"), world.call(context, "ask", kind="model"), world.call(context, "two")]

    agent = Scripted(script)
    request = trial.request(agent, run=PARENT)
    trial.deliver(agent, request)
    assert world.calls == ["one", "ask", "two"]
    at = positions(trial, "effect.completed")[0]
    recorded = trial.deliver(agent, forked(trial, request, at))
    assert recorded.value == ["one 1", "ask 2", "two 3"]
    assert world.calls == ["one", "ask", "two"]
    kept = [event.data for event in own(trial)]
    assert [(data["name"], data["recorded"]["run"]) for data in kept] == [("ask", PARENT), ("two", PARENT)]
    assert all("usage" not in data for data in kept)
    tools = trial.deliver(agent, forked(trial, request, at, live=("tools",), run=SECOND))
    assert tools.value == ["one 1", "ask 2", "two 4"]
    both = trial.deliver(agent, forked(trial, request, at, live=("model", "tools"), run="d" * 32))
    assert both.value == ["one 1", "ask 5", "two 6"]


@pytest.mark.parametrize("swallowed", [True, False])
def test_a_miss_fails_the_task_whatever_its_handler_makes_of_it(trial: Trial, swallowed: bool) -> None:
    """What isn't recorded is never done, the calls after it neither, also those of a live layer."""
    world = World()
    first = Scripted(lambda context: world.call(context, "one"))
    request = trial.request(first, run=PARENT)
    trial.deliver(first, request)

    def other(context: tf.TaskContext) -> Any:
        try:
            return world.call(context, "another")
        except Exception:
            if not swallowed:
                raise
        return world.call(context, "ask", kind="model")

    outcome = trial.deliver(Scripted(other), forked(trial, request, request.delivery, live=("model",)))
    assert (outcome.outcome, outcome.reason) == ("failed", "recorded_miss")
    assert "another" in str(outcome.error)
    assert "--live tools" in str(outcome.error)
    assert world.calls == ["one"]


def test_what_would_be_undone_was_never_done(trial: Trial) -> None:
    """A compensation that misses has nothing to do, rather than to wait for a human."""
    world = World()
    agent = Scripted(lambda context: world.call(context, "undo it"))
    outcome = trial.deliver(agent, forked(trial, None, 0, undo=True))
    assert (outcome.outcome, outcome.reason) == ("nothing_to_do", "not_live")
    assert world.calls == []


def test_values_of_its_own_need_no_record(trial: Trial) -> None:
    """A task may note a value that nobody recorded, as that touches nothing; a recorded one is served."""
    agent = Scripted(lambda context: [context.record("old", lambda: 1)])
    request = trial.request(agent, run=PARENT)
    trial.deliver(agent, request)
    newer = Scripted(lambda context: [context.record("old", lambda: 2), context.record("new", lambda: 3)])
    assert trial.deliver(newer, forked(trial, request, trial.journal.log.head)).value == [1, 3]
    assert trial.deliver(newer, forked(trial, request, 1, run=SECOND)).value == [1, 3]


def test_a_fork_killed_between_calls_goes_on(trial: Trial) -> None:
    """Delivered again it is served the same, each result noted once."""
    world, dies = World(), [True]

    def script(context: tf.TaskContext) -> Any:
        values = [world.call(context, "one"), world.call(context, "two")]
        if dies[0]:
            raise KeyboardInterrupt
        return [*values, world.call(context, "three")]

    agent = Scripted(script)
    dies[0] = False
    request = trial.request(agent, run=PARENT)
    trial.deliver(agent, request)
    asked = forked(trial, request, 1)
    dies[0] = True
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, asked)
    dies[0] = False
    assert trial.deliver(agent, asked, delivery=2).value == ["one 1", "two 2", "three 3"]
    assert [event.data["name"] for event in own(trial)] == ["one", "two", "three"]


def test_recorded_failures_fail_again_and_retries_meet_their_own_record(trial: Trial) -> None:
    """Each attempt is answered from the same attempt of the parent, before any other."""
    world, well = World(), [False]

    def script(context: tf.TaskContext) -> Any:
        return world.call(context, "good" if well[0] else "bad")

    agent = Scripted(script)
    trial.deliver(agent, trial.request(agent, run=PARENT))
    well[0] = True
    trial.deliver(agent, trial.request(agent, run=PARENT, attempt=2))
    well[0] = False
    again = trial.deliver(agent, forked(trial, None, 0))
    assert (again.outcome, again.reason) == ("failed", "effect_failed")
    well[0] = True
    assert trial.deliver(agent, forked(trial, None, 0, attempt=2)).value == "good 2"
    assert world.calls == ["bad", "good"]


def test_what_was_begun_before_the_cut_is_not_done_twice(trial: Trial) -> None:
    """Of an effect that must not happen twice, begun below the cut, what is known later is known to the fork, too."""
    world = World()
    agent = Scripted(lambda context: world.call(context, "pay", effect="once"))
    request = trial.request(agent, run=PARENT)
    trial.deliver(agent, request)
    begun = positions(trial, "effect.intended")[0]
    live = ("model", "tools")
    assert trial.deliver(agent, forked(trial, request, begun, live=live)).value == "pay 1"
    head = trial.journal.log.head
    lineage = [{"run": PARENT, "until": begun, "record": begun}]
    asked = trial.deliver(agent, forked(trial, request, begun, live=live, run=SECOND, lineage=lineage))
    assert (asked.outcome, asked.reason) == ("needs_human", "in_doubt")
    assert world.calls == ["pay"]
    paid = trial.deliver(agent, forked(trial, None, head, live=live, run="d" * 32))
    assert paid.value == "pay 1", "what was paid by an earlier attempt stays paid"


def test_a_fork_of_a_fork_has_the_record_of_both(trial: Trial) -> None:
    """The nearest run's results come first; what it shares with its own parent is its record as well."""
    world = World()

    def script(context: tf.TaskContext) -> Any:
        return [world.call(context, name) for name in ("one", "two")]

    agent = Scripted(script)
    request = trial.request(agent, run=PARENT)
    trial.deliver(agent, request)
    at = positions(trial, "effect.completed")[0]
    between = forked(trial, request, at, live=("tools",))
    assert trial.deliver(agent, between).value == ["one 1", "two 3"]
    head = trial.journal.log.head
    lineage = [{"run": FORK, "until": head, "record": head}, {"run": PARENT, "until": at, "record": at}]
    last = forked(trial, None, head, run=SECOND, lineage=lineage, carries=[request.id.hex(), between.id.hex()])
    assert trial.deliver(agent, last).value == ["one 1", "two 3"]
    assert own(trial, SECOND) == []
    above = forked(trial, None, at, run="d" * 32, lineage=lineage, carries=[request.id.hex()])
    assert trial.deliver(agent, above).value == ["one 1", "two 3"]
    assert world.calls == ["one", "two", "two"]


def test_what_its_parent_does_after_the_fork_is_none_of_its_record(trial: Trial) -> None:
    """Else the same task would be answered in another way when it is delivered again."""
    world = World()
    agent = Scripted(lambda context: world.call(context, "one"))
    request = trial.request(agent, run=PARENT)
    asked = forked(trial, None, 0)
    trial.deliver(agent, request)
    assert trial.deliver(agent, asked).reason == "recorded_miss"


def test_settings_of_a_fork(trial: Trial) -> None:
    """They are those of the run that it comes from, with what forks were given in their place."""

    def begin(type: str, run: str, data: dict[str, Any]) -> int:
        event = NewEvent(type=type, payload=pack(data, trial.journal), stream=f"run.{run}", run=run)
        return trial.journal.append([event])[0].position

    begin("run.requested", PARENT, {"caller": {"settings": {"model": "first", "model_context": 4000}}})
    begin("run.forked", FORK, {"set": {"settings.model": "second", "budget.tokens": 3}})
    at = trial.journal.log.head
    begin("run.forked", SECOND, {"set": {"settings.model_context": 5000}})
    agent = Scripted(lambda context: [context.settings.model, context.settings.model_context])
    one = forked(trial, None, 0, lineage=[{"run": PARENT, "until": 1, "record": 1}])
    assert trial.deliver(agent, one).value == ["second", 4000]
    lineage = [{"run": FORK, "until": at, "record": at}, {"run": PARENT, "until": 1, "record": 1}]
    assert trial.deliver(agent, forked(trial, None, 0, run=SECOND, lineage=lineage)).value == ["second", 5000]
    lineage[0]["until"] = 1
    assert trial.deliver(agent, forked(trial, None, 0, run=SECOND, lineage=lineage)).value == ["first", 5000]


class Counting:
    """A model that counts what it is asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []

    def complete(self, messages: Any, tools: Any = (), schema: Any = None) -> Reply:
        """Answer with the number of the question."""
        self.asked.append(messages[-1].content)
        return Reply(f"{self.name} {len(self.asked)}", usage=Usage(10, 5, 0.5))


def test_models_are_answered_by_what_they_are_asked(trial: Trial) -> None:
    """Word for word and in order, whatever the model is called now; another word is a miss; live ones are asked."""
    old, new = Counting("old"), Counting("new")
    today, asked = [old], ["same", "same", "other"]
    agent = Scripted(lambda context: [ask(context, today[-1], [Message("user", text)]).text for text in asked])
    request = trial.request(agent, run=PARENT)
    assert trial.deliver(agent, request).value == ["old 1", "old 2", "old 3"]
    today.append(new)
    assert trial.deliver(agent, forked(trial, request, 1)).value == ["old 1", "old 2", "old 3"]
    assert not [event for event in own(trial) if "usage" in event.data]
    first = positions(trial, "effect.completed")[0]
    live = trial.deliver(agent, forked(trial, request, first, live=("model",), run=SECOND))
    assert live.value == ["old 1", "new 1", "new 2"], "what was replied below the cut stays"
    assert new.asked == asked[1:]
    asked[2] = "another"
    missed = trial.deliver(agent, forked(trial, request, first, run="d" * 32))
    assert (missed.reason, len(new.asked)) == ("recorded_miss", 2)
