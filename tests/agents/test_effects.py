"""Effects: at least once in the world, once in the record, served from there when a task is delivered again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.errors import EffectFailed, InvalidParameters, UnknownTool
from twelvefold.agents.response import Evidence, ToolResponse
from twelvefold.agents.tool import Effect, tool
from twelvefold.agents.trial import Trial, run_task
from twelvefold.agents.turn import TaskOutcome


class Writer(BaseAgent):
    """Writes lines to a file, as one kind of effect, and dies (as a process would) before the line named `die_at`.

    `before`: it dies before it touches the world, else after it did but before the result is recorded.
    """

    def __init__(self, file: Path, effect: Effect, lines: list[str], die_at: str = "", before: bool = False) -> None:
        self.file, self.effect, self.lines, self.die_at, self.before = file, effect, lines, die_at, before

    def write(self, line: str) -> int:
        if line == self.die_at and self.before:
            raise KeyboardInterrupt
        with self.file.open("a") as file:
            file.write(line + "\n")
        if line == self.die_at:
            raise KeyboardInterrupt
        return len(self.file.read_text().splitlines())

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        counts = []
        for line in self.lines:
            do = lambda line=line: self.write(line)  # noqa: E731
            counts.append(context.effect("process", "write", {"line": line}, do, effect=self.effect))
        return ToolResponse.succeeded(counts)


def deliver_twice(tmp_path: Path, effect: Effect, die_at: str, *, before: bool = False) -> tuple[Trial, TaskOutcome]:
    trial, file, lines = Trial(), tmp_path / "out", ["a", "b", "b", "c"]
    dying = Writer(file, effect, lines, die_at, before)
    request = trial.request(dying)
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(dying, request)
    return trial, trial.deliver(Writer(file, effect, lines), request, delivery=2)


def test_what_has_a_result_is_served_and_an_idempotent_one_in_doubt_is_repeated(tmp_path: Path) -> None:
    """After a death in the third effect, the first two are served, the third and fourth are live."""
    trial, outcome = deliver_twice(tmp_path, "idempotent", "c")
    assert (tmp_path / "out").read_text().split() == ["a", "b", "b", "c", "c"]
    assert outcome.value == [1, 2, 3, 5]
    assert len(trial.events("effect.completed")) == 4
    assert [event.data["parameters"]["line"] for event in trial.events("effect.intended")] == ["a", "b", "b", "c", "c"]


@pytest.mark.parametrize("before", [True, False])
def test_a_once_effect_in_doubt_is_not_repeated_but_asked_about(tmp_path: Path, before: bool) -> None:
    """An intent of a `once` effect without a result is never done again: the task needs a human."""
    trial, outcome = deliver_twice(tmp_path, "once", "c", before=before)
    assert (outcome.outcome, outcome.reason) == ("needs_human", "in_doubt")
    assert (tmp_path / "out").read_text().split().count("c") == (0 if before else 1)
    (doubt,) = trial.events("effect.in_doubt")
    assert doubt.data["parameters"] == {"line": "c"}
    (settled,) = trial.events("task.needs_human")
    assert "write" in settled.data["question"]


def test_a_doubt_is_recorded_once_however_often_it_is_met(tmp_path: Path) -> None:
    """A third delivery, after a holder died between recording the doubt and settling, says the same again."""
    trial, _ = deliver_twice(tmp_path, "once", "c")
    request = msgspec.structs.replace(trial.request(Writer(tmp_path / "out", "once", [])), input=None)
    (asked,) = trial.events("effect.in_doubt")
    request = msgspec.structs.replace(request, id=asked.cause, run=asked.run)
    outcome = trial.deliver(Writer(tmp_path / "out", "once", ["a", "b", "b", "c"]), request, delivery=3)
    assert outcome.reason == "in_doubt"
    assert len(trial.events("effect.in_doubt")) == 1


def test_a_handler_cannot_hide_an_effect_in_doubt(tmp_path: Path) -> None:
    """A handler that swallows the doubt and reports success is overruled."""

    class Hiding(Writer):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            try:
                return super().execute_task(task, context)
            except Exception:  # noqa: BLE001 - the swallowing is what is tested
                return ToolResponse.succeeded("all fine")

    trial, file = Trial(), tmp_path / "out"
    dying = Hiding(file, "once", ["a"], "a")
    request = trial.request(dying)
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(dying, request)
    outcome = trial.deliver(Hiding(file, "once", ["a"]), request, delivery=2)
    assert (outcome.outcome, outcome.reason) == ("needs_human", "in_doubt")


def test_reads_record_only_their_result(tmp_path: Path) -> None:
    """A read has no intent; its result is served when the task is delivered again."""
    trial, outcome = deliver_twice(tmp_path, "read", "c")
    assert trial.events("effect.intended") == []
    assert outcome.value == [1, 2, 3, 5]
    assert [event.data["parameters"]["line"] for event in trial.events("effect.completed")] == ["a", "b", "b", "c"]


def test_a_retry_does_its_effects_anew_but_not_what_was_to_happen_once(tmp_path: Path) -> None:
    """A new attempt is a new request: idempotent effects run again, a completed `once` effect does not."""
    for effect, lines in (("idempotent", ["a", "a"]), ("once", ["a"])):
        trial, file = Trial(), tmp_path / effect
        agent = Writer(file, effect, ["a"])  # type: ignore[arg-type]
        first = trial.request(agent)
        trial.deliver(agent, first)
        second = trial.request(agent, run=first.run, attempt=2)
        assert trial.deliver(agent, second).outcome == "succeeded"
        assert file.read_text().split() == lines


class Failing(BaseAgent):
    def __init__(self) -> None:
        self.touched = 0

    @tool(effect="idempotent")
    def burn(self, what: str) -> int:
        """Fail."""
        self.touched += 1
        raise OSError(f"{what} burns")

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        seen = []
        try:
            context.call("burn", what="paper")
        except EffectFailed as error:
            seen.append(error.message())
        seen.append(self._apply_action({"tool": "burn", "parameters": {"what": "wood"}}).error)  # type: ignore[union-attr]
        try:
            context.effect("process", "look", {}, lambda: self._raise())
        except UnknownTool as error:
            seen.append(error.tool)
        if task == "die":
            raise KeyboardInterrupt
        return ToolResponse.succeeded(seen)

    def _raise(self) -> None:
        self.touched += 1
        raise UnknownTool("hammer", ("saw",))


def test_failures_are_recorded_and_raised_the_same_when_served() -> None:
    """A failed effect is a fact too: served again it raises the same error and touches nothing."""
    trial, agent = Trial(), Failing()
    request = trial.request(agent, "die")
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    assert agent.touched == 3
    again = msgspec.structs.replace(request, input="")
    outcome = trial.deliver(agent, again, delivery=2)
    assert agent.touched == 3
    assert outcome.value[0] == "effect burn failed: OSError: paper burns"
    assert "wood burns" in outcome.value[1]
    assert outcome.value[2] == "hammer"
    assert len(trial.events("effect.failed")) == 3
    at = trial.events("effect.failed")[0].data["error"]["at"]
    assert "test_effects.py" in at


def test_parameters_are_checked_before_an_intent_is_recorded() -> None:
    """A call with wrong parameters raises and leaves no effect behind."""

    class Wrong(Failing):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            with pytest.raises(InvalidParameters):
                context.call("burn", what=1)
            with pytest.raises(UnknownTool):
                context.call("freeze")
            with pytest.raises(ValueError, match="kind"):
                context.effect("idempotent", "burn", {}, lambda: None)
            return ToolResponse.succeeded(None)

    trial = Trial()
    assert run_task(Wrong(), trial=trial).outcome == "succeeded"
    assert trial.events("effect.*") == []


class Point(msgspec.Struct):
    x: int
    y: tuple[int, ...] = ()


class Typed(BaseAgent):
    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        point = context.effect("process", "measure", {}, lambda: Point(1, (2, 3)), effect="read", result=Point)
        plain = context.effect("process", "count", {}, lambda: (1, 2), effect="read")
        if task == "die":
            raise KeyboardInterrupt
        assert isinstance(point, Point)
        return ToolResponse.succeeded([point.x, list(point.y), plain, str(type(plain))])


def test_results_have_one_form_live_and_served() -> None:
    """A result passes through JSON both times, and is converted to the declared type."""
    trial = Trial()
    live = run_task(Typed()).value
    request = trial.request(Typed(), "die")
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(Typed(), request)
    served = trial.deliver(Typed(), msgspec.structs.replace(request, input=""), delivery=2).value
    assert live == served == [1, [2, 3], [1, 2], "<class 'list'>"]


def test_a_result_that_cannot_be_recorded_is_a_failed_effect() -> None:
    """What isn't JSON-like fails the effect with its intent closed, rather than leaving it in doubt."""

    class Odd(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            return ToolResponse.succeeded(context.effect("process", "odd", {}, object))

    trial = Trial()
    outcome = run_task(Odd(), trial=trial)
    assert (outcome.outcome, outcome.reason) == ("failed", "effect_failed")
    assert [event.type for event in trial.events("effect.*")] == ["effect.intended", "effect.failed"]


class Several(BaseAgent):
    @tool(effect="idempotent")
    async def wait_for(self, other: int) -> int:
        """Meet another call."""
        self.arrived.add(other)
        deadline = time.monotonic() + 10
        while len(self.arrived) < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        return len(self.arrived)

    async def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        self.arrived: set[int] = set()
        responses = await asyncio.gather(*(context.call_async("wait_for", other=n) for n in range(3)))
        return ToolResponse.succeeded([response.data for response in responses])


def test_async_effects_run_side_by_side() -> None:
    """Async calls gathered in a handler are all under way at once, each with its intent and result."""
    trial = Trial()
    assert run_task(Several(), trial=trial).value == [3, 3, 3]
    assert len(trial.events("effect.intended")) == len(trial.events("effect.completed")) == 3


def test_a_workspace_commit_goes_into_the_effect_that_made_it(tmp_path: Path) -> None:
    """The attached workspace is asked after each effect that isn't a read, and its last commit is known again."""
    found = []

    class Committing(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            found.append((context.redelivered, context.recorded_commit))
            commits = iter(["c1", None, "c3"])
            context.attach_workspace(lambda: next(commits))
            for n in range(3):
                context.effect("git", "edit", {"n": n}, lambda: None, effect="idempotent")
                context.effect("git", "look", {"n": n}, lambda: None, effect="read")
            if task == "die":
                raise KeyboardInterrupt
            return ToolResponse.succeeded(None)

    trial = Trial()
    request = trial.request(Committing(), "die")
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(Committing(), request)
    trial.deliver(Committing(), msgspec.structs.replace(request, input=""), delivery=2)
    assert found == [(False, None), (True, "c3")]
    assert [event.data.get("commit") for event in trial.events("effect.completed")][::2] == ["c1", None, "c3"]


def test_values_too_large_for_an_event_go_through_blobs() -> None:
    """Results of a megabyte and more are recorded, served and handed on whole."""
    large = "x" * (3 << 20)

    class Large(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            assert task["before"] == large
            value = context.effect("process", "produce", {"p": large}, lambda: large)
            assert value == large
            if context.redelivered:
                return ToolResponse.succeeded([value, "served"])
            raise KeyboardInterrupt

    trial = Trial()
    held = trial.hold({"before": large})
    request = trial.request(Large(), held)
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(Large(), request)
    outcome = trial.deliver(Large(), request, delivery=2)
    assert outcome.value == [large, "served"]
    (settled,) = trial.events("task.succeeded")
    assert settled.data["value"].keys() == {"blob", "size"}
    assert max(len(event.payload or "") for event in trial.events()) < 1 << 20


class Proving(BaseAgent):
    """Succeeds with the evidence it is told to give."""

    def __init__(self, evidence: list[Evidence], data: Any = None) -> None:
        self.evidence, self.data = evidence, data

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        context.effect("process", "act", {}, lambda: 1)
        context.record("noted", {"a": 1})
        effect = context.ledger.done[0][1].id.hex()
        given = [msgspec.structs.replace(one, ref=effect) if one.ref == "<effect>" else one for one in self.evidence]
        return ToolResponse.succeeded(self.data, given)


def test_evidence_that_resolves_is_recorded_and_completed(tmp_path: Path) -> None:
    """Effects, files, values and test reports are looked up; the runtime adds effects and the data's hash itself."""
    file = tmp_path / "made"
    file.write_text("made")
    given = [
        Evidence("effect", "<effect>"),
        Evidence("tests", "<effect>", {"passed": 1}),
        Evidence("file", str(file)),
        Evidence("value", {"a": 1}),
    ]
    outcome = run_task(Proving(given, data=5))
    assert outcome.outcome == "succeeded"
    assert [one.kind for one in outcome.evidence] == ["effect", "tests", "file", "value"]
    assert len(outcome.evidence[2].details["sha256"]) == 64
    older = run_task(Proving([], data=5))
    assert [one.kind for one in older.evidence] == ["value", "effect"]


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence("effect", "00" * 16),
        Evidence("tests", "no such report"),
        Evidence("file", "/nonexistent/file"),
        Evidence("value", "something else"),
        Evidence("hearsay", "trust me"),
        Evidence("file", 5),
        Evidence("file", __file__, {"sha256": "00"}),
    ],
)
def test_evidence_that_does_not_resolve_makes_the_task_failed(evidence: Evidence) -> None:
    """A success whose evidence isn't there is recorded as failed with reason `evidence`, never as succeeded."""
    trial = Trial()
    outcome = run_task(Proving([evidence], data=5), trial=trial)
    assert (outcome.outcome, outcome.reason) == ("failed", "evidence")
    assert trial.events("task.succeeded") == []
    assert evidence.kind in trial.events("task.failed")[0].data["error"]["message"]
