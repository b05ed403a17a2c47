"""Running handlers again on their record: the same code does the same, and any change of it is named, at its place."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.agent_settings import NO_SETTINGS
from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.errors import EffectFailed
from twelvefold.agents.journal import AgentPlaces, pack
from twelvefold.agents.replay.found import Found, Rerun
from twelvefold.agents.replay.record import TaskRecord, task_records
from twelvefold.agents.replay.rerun import rerun
from twelvefold.agents.response import Evidence, ToolResponse
from twelvefold.agents.tool import tool
from twelvefold.agents.trial import Trial
from twelvefold.bus.errors import ReservedFamily
from twelvefold.eventstore.event import NewEvent

Handler = Callable[["Acting", Any, TaskContext], Any]


class Acting(BaseAgent):
    """Does what it was made with."""

    workflow_stages = ("first", "second", "third")

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.world: list[Any] = []

    @tool(effect="read")
    def look(self, n: int) -> ToolResponse:
        """Look."""
        self.world.append(("look", n))
        return ToolResponse(True, data=n * 10)

    @tool(effect="once")
    def send(self, n: int) -> ToolResponse:
        """Send."""
        self.world.append(("send", n))
        if n < 0:
            raise ValueError("nothing is negative")
        return ToolResponse(True, data=f"sent {n}")

    @tool(effect="idempotent")
    def put(self, n: int) -> ToolResponse:
        """Put."""
        self.world.append(("put", n))
        return ToolResponse(True, data=n)

    def execute_task(self, task: Any, context: TaskContext) -> Any:
        return self.handler(self, task, context)


def recorded(handler: Handler, input: Any = 3, tmp_path: Path | None = None, **asked: Any) -> tuple[Trial, TaskRecord]:
    """Do a task once for real, and return what the log holds of it."""
    trial = Trial(tmp_path)
    agent = Acting(handler)
    trial.deliver(agent, trial.request(agent, input, **asked))
    (record,) = task_records(trial.events())
    return trial, record


def again(handler: Handler, trial: Trial, record: TaskRecord) -> Rerun:
    """Run the recorded task again; nothing is done to the world, nor to the log."""
    agent, before = Acting(handler), len(trial.events())
    found = rerun(agent, record, trial.places, NO_SETTINGS)
    assert agent.world == []
    assert len(trial.events()) == before
    return found


def found_in(handler: Handler, changed: Handler, input: Any = 3) -> Found:
    """Return where a changed handler parts from what the other one has recorded."""
    trial, record = recorded(handler, input)
    assert again(handler, trial, record).status == "ok"
    told = again(changed, trial, record)
    assert told.status == "different"
    assert told.found is not None
    assert any(event.position == told.found.position for event in trial.events())
    return told.found


def works(self: Acting, task: Any, context: TaskContext) -> ToolResponse:
    """Every sort of thing that a handler does."""
    self.current_stage = "first"
    seen = context.call("look", n=task).data
    token = context.record("token", lambda: "a token")
    context.emit("acting.saw", {"seen": seen})
    self.current_stage = "second"
    sent = context.call("send", n=seen).data
    put = context.effect("process", "build", {"of": seen}, lambda: {"built": seen}, effect="idempotent")
    self.progress = 1.0
    return ToolResponse.succeeded({"sent": sent, "put": put, "token": token}, [Evidence("value", token)], "well")


def test_the_same_code_does_the_same() -> None:
    """Calls, facts, noted values, stages and evidence all come out again, and every effect is served."""
    trial, record = recorded(works)
    told = again(works, trial, record)
    assert (told.status, told.served, told.found) == ("ok", 4, None)


CHANGES: dict[str, tuple[str, str, str, Any, Any]] = {
    # What is changed into what; the event at which it shows, the field, what was recorded, what is done today.
    "value": ('{"sent": sent,', '{"sent": sent + "!",', "data.value.sent", "sent 30", "sent 30!"),
    "message": ('"well"', '"very well"', "data.message", "well", "very well"),
    "evidence": ('[Evidence("value", token)]', "[]", "data.evidence[0].ref", None, None),
    "parameters": ("send\", n=seen", "send\", n=seen + 1", "data.parameters.n", 30, 31),
    "fact": ('{"seen": seen}', '{"seen": task}', "data.seen", 30, 3),
    "stage": ('"second"', '"third"', "data.stage", "first", "third"),
    "outcome": (
        "return ToolResponse.succeeded(", "raise ValueError(", "type", "task.succeeded", "task.failed"
    ),
    "no fact": ('context.emit("acting.saw", {"seen": seen})', "pass", "fact", None, None),
    "another fact": ('self.progress = 1.0', 'context.emit("acting.more", 1)', "fact", None, None),
    "no call": ('context.call("send", n=seen).data', '"sent 30"', "effect", None, None),
    "another call": ('self.progress = 1.0', 'context.call("put", n=1)', "effect", None, None),
    "called twice": ('self.progress = 1.0', 'context.call("send", n=30)', "effect", None, None),
    "a number": ('"put": put,', '"put": {"built": 30.0},', "data.value.put.built", 30, 30.0),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_one_line_is_named(what: str) -> None:
    """Whatever a line does otherwise is found at the recorded event at which it shows first."""
    import inspect

    old, new, field, was, now = CHANGES[what]
    source = inspect.getsource(works)
    assert source.count(old) == 1
    scope = dict(globals())
    exec(source.replace(old, new), scope)
    found = found_in(works, scope["works"])
    assert found.field == field
    if was is not None:
        assert (found.recorded, found.today) == (was, now)
        assert type(found.today) is type(now)


def test_a_call_of_another_kind_is_named() -> None:
    """A tool that is declared otherwise would be recorded otherwise."""

    def before(self: Acting, task: Any, context: TaskContext) -> Any:
        return ToolResponse(True, data=context.effect("tool", "x", 1, lambda: 1, effect="idempotent"))

    def after(self: Acting, task: Any, context: TaskContext) -> Any:
        return ToolResponse(True, data=context.effect("tool", "x", 1, lambda: 1, effect="once"))

    found = found_in(before, after)
    assert (found.event, found.field, found.recorded, found.today) == (
        "effect.intended",
        "data.effect",
        "idempotent",
        "once",
    )


def test_calls_in_another_order_are_named() -> None:
    """What was done one after the other is done so again."""

    def handler(order: tuple[int, ...]) -> Handler:
        return lambda self, task, context: ToolResponse(True, data=sorted(context.call("put", n=n).data for n in order))

    found = found_in(handler((1, 2)), handler((2, 1)))
    assert (found.event, found.field, found.note) == ("effect.intended", "effect", "in another order")


def test_calls_side_by_side_may_come_in_any_order() -> None:
    """Where calls overlap, nothing is made of which came first."""

    def handler(order: tuple[int, ...], waits: bool) -> Handler:
        async def work(self: Acting, task: Any, context: TaskContext) -> Any:
            async def do(n: int) -> int:
                if waits:
                    await asyncio.sleep(0.02 * n)
                return n

            doing = [
                context.effect_async("process", "x", n, lambda n=n: do(n), effect="idempotent")  # type: ignore[misc]
                for n in order
            ]
            return ToolResponse(True, data=sum(await asyncio.gather(*doing)))

        return work

    trial, record = recorded(handler((3, 1, 2), True))
    for order in ((1, 2, 3), (3, 2, 1)):
        assert again(handler(order, False), trial, record).status == "ok"


def test_calls_of_threads_are_served() -> None:
    """A handler may call from threads of its own."""

    def handler(self: Acting, task: Any, context: TaskContext) -> Any:
        found: list[int] = []
        threads = [threading.Thread(target=lambda n=n: found.append(context.call("put", n=n).data)) for n in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return ToolResponse(True, data=sorted(found))

    trial, record = recorded(handler)
    assert again(handler, trial, record).status == "ok"


def test_failures_are_served_and_compared_without_their_lines() -> None:
    """An effect that failed fails again; a handler that raises is the same, whatever line it raises in."""

    def before(self: Acting, task: Any, context: TaskContext) -> Any:
        context.call("send", n=-1)

    def after(self: Acting, task: Any, context: TaskContext) -> Any:
        nothing = None
        assert nothing is None
        context.call("send", n=-1)

    def otherwise(self: Acting, task: Any, context: TaskContext) -> Any:
        try:
            context.call("send", n=-1)
        except EffectFailed as error:
            raise KeyError("another") from error

    trial, record = recorded(before)
    assert record.outcome is not None
    assert record.outcome.data["reason"] == "effect_failed"
    assert again(after, trial, record).status == "ok"
    told = again(otherwise, trial, record).found
    assert told is not None
    assert (told.field, told.recorded, told.today) == ("data.reason", "effect_failed", "exception")


def test_a_plan_is_compared_like_any_answer() -> None:
    """A coordinator that would plan otherwise is found in its plan."""

    def handler(n: int) -> Handler:
        def plan(self: Acting, task: Any, context: TaskContext) -> Any:
            return ToolResponse.planned({"pattern": "task", "agent": "echo", "input": n})

        return plan

    found = found_in(handler(1), handler(2))
    assert (found.event, found.field, found.recorded, found.today) == ("task.planned", "data.plan.input", 1, 2)


def test_what_humans_answered_is_known_again() -> None:
    """A question, and the answer that an attempt was given, are the same; another question is a difference."""

    def handler(question: str) -> Handler:
        def ask(self: Acting, task: Any, context: TaskContext) -> Any:
            return ToolResponse(True, data=context.ask(question, choices=["a", "b"]))

        return ask

    assert found_in(handler("which?"), handler("who?")).field == "data.question"
    trial, record = recorded(handler("which?"), answers=[("which?", "b")])
    assert record.outcome is not None
    assert record.outcome.data["value"] == "b"
    assert again(handler("which?"), trial, record).status == "ok"
    told = again(handler("who?"), trial, record).found
    assert told is not None
    assert (told.field, told.today) == ("type", "task.needs_human")


def killed(trial: Trial, handler: Handler, times: int = 1) -> TaskRecord:
    """Begin a task whose process dies, so often."""
    agent = Acting(handler)
    request = trial.request(agent, 3)
    for delivery in range(1, times + 1):
        data = {"instance": "trial", "attempt": 1, "delivery": delivery}
        started = NewEvent(
            type="task.started", payload=pack(data, trial.journal), stream=request.stream, run=request.run,
            cause=request.id,
        )  # fmt: skip
        trial.journal.append([started])
        with pytest.raises(KeyboardInterrupt):
            trial.deliver(Acting(handler), request, delivery)
    return next(iter(task_records(trial.events())))


def test_a_task_without_an_end_is_the_same_as_far_as_it_came() -> None:
    """What a killed holder did is looked at, what comes after the end of its record is not."""

    def handler(first: int) -> Handler:
        def work(self: Acting, task: Any, context: TaskContext) -> Any:
            context.call("put", n=first)
            if self.world:
                raise KeyboardInterrupt
            context.call("send", n=2)
            return ToolResponse(True)

        return work

    trial = Trial()
    record = killed(trial, handler(1))
    assert record.outcome is None
    told = again(handler(1), trial, record)
    assert (told.status, told.served) == ("ok", 1)
    # Without an end nobody knows what would have come, so another first call is the end of what is recorded.
    assert again(handler(2), trial, record).status == "ok"


def test_a_withdrawn_task_hears_of_it_where_its_record_ends() -> None:
    """A handler that works until it is cancelled comes to an end when it is run again."""

    def work(self: Acting, task: Any, context: TaskContext) -> Any:
        context.call("put", n=1)
        if self.world:
            raise KeyboardInterrupt
        while not context.cancelled:
            context.wait_cancelled(0.01)
        return ToolResponse.failed("cancelled", "it was asked to stop")

    trial = Trial()
    assert again(work, trial, killed(trial, work)).status == "ok"


def test_what_an_earlier_delivery_did_is_served_to_the_later_one() -> None:
    """After a death the record is of both deliveries; the handler is run as the last one."""

    def dies_at(n: int) -> Handler:
        def work(self: Acting, task: Any, context: TaskContext) -> Any:
            context.emit("acting.began", {"again": context.redelivered})
            done = [context.call("put", n=1).data]
            if n == 1:
                raise KeyboardInterrupt
            done.append(context.call("put", n=2).data)
            return ToolResponse(True, data=done)

        return work

    trial = Trial()
    killed(trial, dies_at(1))
    agent = Acting(dies_at(0))
    request = next(iter(task_records(trial.events()))).request
    data = {"instance": "trial", "attempt": 1, "delivery": 2}
    stream = f"task.{request.run}.0"
    payload = pack(data, trial.journal)
    trial.journal.append(
        [NewEvent(type="task.started", payload=payload, stream=stream, run=request.run, cause=request.id)]
    )
    from twelvefold.agents.journal import request_of

    trial.deliver(agent, request_of(request, trial.journal), delivery=2)
    (record,) = task_records(trial.events())
    assert [event.data for event in record.facts] == [{"again": False}, {"again": True}]
    told = again(dies_at(0), trial, record)
    assert (told.status, told.served) == ("ok", 2)


def test_an_effect_in_doubt_is_in_doubt_again() -> None:
    """A task that ended with the question whether an effect had happened ends so again."""

    def work(self: Acting, task: Any, context: TaskContext) -> Any:
        def die() -> None:
            raise KeyboardInterrupt

        context.effect("process", "pay", 1, die, effect="once")
        return ToolResponse(True)

    trial = Trial()
    record = killed(trial, work)
    from twelvefold.agents.journal import request_of

    outcome = trial.deliver(Acting(work), request_of(record.request, trial.journal), delivery=2)
    assert outcome.reason == "in_doubt"
    (record,) = task_records(trial.events())
    assert again(work, trial, record).status == "ok"


def test_evidence_that_was_looked_up_is_not_looked_up_again(tmp_path: Path) -> None:
    """A file that proved a result may be gone by now; one that is newly named was never proved."""
    proof, other = tmp_path / "proof.txt", tmp_path / "other.txt"
    proof.write_text("it is so")
    other.write_text("so, too")

    def naming(file: Path) -> Handler:
        return lambda self, task, context: ToolResponse.succeeded(1, [Evidence("file", str(file))])

    trial, record = recorded(naming(proof))
    proof.unlink()
    assert again(naming(proof), trial, record).status == "ok"
    told = again(naming(other), trial, record).found
    assert told is not None
    assert (told.field, told.recorded, told.today) == ("data.evidence[0].ref", str(proof), str(other))


def test_evidence_that_was_missing_is_missing_again(tmp_path: Path) -> None:
    """A task that failed for want of a proof fails again, even if the proof has come meanwhile."""
    proof = tmp_path / "proof.txt"

    def naming(self: Acting, task: Any, context: TaskContext) -> Any:
        return ToolResponse.succeeded(1, [Evidence("file", str(proof))])

    trial, record = recorded(naming)
    assert record.outcome is not None
    assert record.outcome.data["reason"] == "evidence"
    proof.write_text("now it is")
    assert again(naming, trial, record).status == "ok"


def test_large_values_are_compared_as_what_they_hold(tmp_path: Path) -> None:
    """A value that went into a blob is compared with what is returned today, not by its name."""

    def of(letter: str) -> Handler:
        return lambda self, task, context: ToolResponse(True, data={"text": letter * 3_000_000})

    trial, record = recorded(of("a"))
    assert record.outcome is not None
    assert len(record.outcome.payload or "") < 10_000
    # In memory blobs are the journal's; a home has them in files.
    for digest, content in trial.journal._blobs.items():
        place = trial.places.blobs / digest[:2] / digest
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    assert again(of("a"), trial, record).status == "ok"
    told = again(of("b"), trial, record).found
    assert told is not None
    assert told.field == "data.value.text"


def test_what_may_not_be_emitted_is_refused_again() -> None:
    """A handler that was refused a reserved type meets the same refusal."""

    def work(self: Acting, task: Any, context: TaskContext) -> Any:
        try:
            context.emit("run.succeeded", {})
        except ReservedFamily as error:
            return ToolResponse(True, data=type(error).__name__)
        return ToolResponse(True, data="taken")

    trial = Trial()
    agent = Acting(work)
    request = trial.request(agent, 1)
    answer: dict[str, Any] = {"value": "ReservedFamily", "evidence": [], "message": None}
    settled = NewEvent(
        type="task.succeeded", payload=json.dumps(answer), stream=request.stream, run=request.run, cause=request.id
    )
    trial.journal.append([settled])
    (record,) = task_records(trial.events())
    told = again(work, trial, record).found
    # Only the evidence that the runtime adds was not written by hand above.
    assert told is not None
    assert told.field.startswith("data.evidence")


def test_an_emitted_fact_comes_back_as_it_was_recorded() -> None:
    """A handler that goes on with the position of its own event gets the recorded one."""

    def work(self: Acting, task: Any, context: TaskContext) -> Any:
        return ToolResponse(True, data=context.emit("acting.said", {"n": 1}).position)

    trial, record = recorded(work)
    assert again(work, trial, record).status == "ok"


def test_places_name_folders_as_they_were() -> None:
    """What a handler says of a folder here is compared as the folder's recorded name."""
    from twelvefold.agents.replay.places import Places

    places = Places()
    assert places.as_recorded({"cwd": "/tmp/x/0"}) == {"cwd": "/tmp/x/0"}
    places.add("/tmp/x/0", "/home/u/.twelvefold/workspaces/r/0", "", lambda commit: None)
    recorded_name = {"cwd": "/home/u/.twelvefold/workspaces/r/0/src"}
    assert places.as_recorded({"cwd": "/tmp/x/0/src"}) == recorded_name
    assert places.as_here(recorded_name) == {"cwd": "/tmp/x/0/src"}
    assert AgentPlaces(Path("/h")).workspaces == Path("/h/workspaces")
