"""The process manager on a log in memory: every interleaving, crash and rival comes to the same end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.eventstore.log import Append
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import PatternFields, Retry, Task
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.saga import Saga

TWICE = Retry(attempts_max=2, backoff_s=1)


def agent(outcome: str) -> Any:
    """An agent with one behaviour: its outcome depends on nothing but the request."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        path, attempt = request["path"], request["attempt"]
        if outcome == "flaky":
            return ("task.failed", {"reason": "flaky"}) if attempt == 1 else ("task.succeeded", {"value": path})
        if outcome == "failed":
            return "task.failed", {"reason": f"{path} is bad"}
        if outcome == "planned":
            return "task.planned", {
                "plan": {"pattern": "saga", "steps": [{"agent": "good", "undo": {"agent": "good"}}]}
            }
        if outcome == "nothing":
            return "task.nothing_to_do", {"reason": "clean"}
        return "task.succeeded", {"value": path, "evidence": [{"kind": "value", "ref": path}]}

    return answer


AGENTS = {name: agent(name) for name in ("good", "flaky", "failed", "planned", "nothing")}
undos = st.none() | st.builds(Task, st.sampled_from(["good", "flaky"]))
leaves = st.builds(Task, st.sampled_from(sorted(AGENTS)), retry=st.sampled_from([None, TWICE]))
saga_steps = st.builds(Task, st.sampled_from(["good", "good", "flaky", "planned"]), undo=undos, retry=st.just(TWICE))
plans: st.SearchStrategy[PatternFields] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(Pipeline)
        | st.lists(saga_steps | inner, min_size=1, max_size=4).map(Saga)
    ),
    max_leaves=6,
)
seeds = st.integers(0, 2**32)


def check(here: Any, run: str) -> None:
    """What holds of every log: what was decided is decided again."""
    events = here.log.read(run=run, limit=10**6)
    found = redecide(run, events)
    assert found.agrees, found
    assert (found.older, found.decisions) == (0, sum(event.seen > 0 for event in events))


@settings(max_examples=60, deadline=None)
@given(plans, seeds)
def test_every_order_and_every_crash_lead_to_the_same_end(world: Any, plan: PatternFields, seed: int) -> None:
    """However inputs and decisions interleave, and wherever the orchestrator is killed, a run ends the same."""
    calm = world(AGENTS)
    calm.submit(plan)
    calm.settle_down()
    wild = world(AGENTS, seed=seed)
    run = wild.submit(plan)
    wild.storm()
    assert wild.end() == calm.end()
    assert wild.end()["outcome"] in ("succeeded", "failed", "nothing_to_do")
    assert sorted(wild.told()) == sorted(calm.told())
    check(wild, run)
    assert list(wild.log.marks("run/")) == ["run/seen"]
    assert not wild.out


@settings(max_examples=60, deadline=None)
@given(plans, seeds, st.integers(0, 40))
def test_a_cancel_at_any_moment_comes_to_its_end(world: Any, plan: PatternFields, seed: int, after: int) -> None:
    """Cancelled at any moment, crashes included, a run ends and leaves no request open."""
    here = world(AGENTS, seed=seed)
    run = here.submit(plan)
    here.storm(after)
    here.cancel()
    here.storm(40)
    state = here.fold().at_head
    assert state.status == "ended"
    assert not here.out
    assert not state.timers
    if state.outcome == "cancelled":
        undone, not_undone = set(state.end["undone"]), set(state.end["not_undone"])
        assert undone.isdisjoint(not_undone)
    check(here, run)


@settings(max_examples=40, deadline=None)
@given(st.lists(plans, min_size=2, max_size=5), seeds)
def test_many_runs_do_not_mix(world: Any, many: list[PatternFields], seed: int) -> None:
    """Runs beside each other end as each would alone."""
    wild = world(AGENTS, seed=seed)
    runs = [wild.submit(plan, run=f"{n:032x}") for n, plan in enumerate(many)]
    wild.storm()
    for n, plan in enumerate(many):
        alone = world(AGENTS)
        alone.submit(plan, run=runs[n])
        alone.settle_down()
        assert wild.end(runs[n]) == alone.end(runs[n])
        check(wild, runs[n])


@settings(max_examples=40, deadline=None)
@given(plans, seeds)
def test_a_second_orchestrator_is_harmless(world: Any, plan: PatternFields, seed: int) -> None:
    """Two orchestrators on one log decide the same things once: the slower one's appends are refused or known."""
    here = world(AGENTS, seed=seed)
    run = here.submit(plan)
    calm = world(AGENTS)
    calm.submit(plan)
    calm.settle_down()
    pair = [(here.orchestrator, 0), (Orchestrator(), 0)]
    for _ in range(300):
        n = here.random.randrange(2)
        (here.orchestrator, here.fed), other = pair[n], pair[1 - n]
        here.random.choice((lambda: here.feed(1), here.feed, here.flush, here.flush, here.work, here.tick))()
        pair = [(here.orchestrator, here.fed), other]
    for _ in range(20):
        for n in (0, 1):
            here.orchestrator, here.fed = pair[n]
            here.settle_down()
            pair[n] = (here.orchestrator, here.fed)
    assert here.end() == calm.end()
    assert sorted(here.told()) == sorted(calm.told())
    check(here, run)


def test_timers_fire_in_due_order_and_overdue_ones_at_once(world: Any) -> None:
    """After a stop, what fell due meanwhile fires at once, in the order in which it was due."""
    here = world({})
    for n, timeout_s in enumerate((30, 10, 20)):
        here.submit(Task("nobody"), run=f"{n:032x}", timeout_s=timeout_s)
    here.feed()
    here.flush()
    here.now += 3600 * 10**9
    here.kill()
    here.orchestrator.fire_due(here.now)
    here.flush()
    fired = [event.run for event in here.log.read(type="timer.fired")]
    assert [int(run, 16) for run in fired] == [1, 2, 0]
    here.settle_down()
    assert [here.end(run)["reason"] for run in fired] == ["timeout"] * 3


def test_a_cancelled_timer_never_fires(world: Any) -> None:
    """A timer that was cancelled is not fired when its time comes."""
    here = world(AGENTS)
    here.submit(Pipeline([Task("good", timeout_s=10), Task("nobody")]))
    here.settle_down()
    assert here.log.read(type="timer.fired") == []
    assert here.orchestrator.next_due is None


def test_only_open_runs_are_loaded_again(world: Any) -> None:
    """A start reads the open runs and those not yet begun, no ended one."""
    here = world(AGENTS)
    here.submit(Task("good"), run="a" * 32)
    here.submit(Task("nobody"), run="b" * 32)
    here.settle_down()
    here.submit(Task("nobody"), run="c" * 32)
    here.kill()
    assert here.orchestrator.open_runs == 2
    here.settle_down()
    assert sorted(here.log.marks("run/")) == [f"run/{'b' * 32}", f"run/{'c' * 32}", "run/seen"]


def test_a_decision_that_the_log_will_not_take_fails_the_run(world: Any) -> None:
    """A value that, put into another one, nests deeper than a payload may ends its run, with words."""
    here = world({"deep": lambda _: ("task.succeeded", {"value": nested(198)}), **AGENTS})
    here.submit(Pipeline([Task("deep", name="deep"), Task("good", [[{"$from": "deep"}]])]))
    here.feed()
    here.flush()
    here.work()
    here.feed()
    (batch,) = here.orchestrator.take()
    (error,) = here.log.append_many([Append(events=batch.events, expected_version=batch.expected_version)])
    assert isinstance(error, Exception)
    here.orchestrator.refused(batch.run)
    here.orchestrator.load(batch.run, here.log.read(run=batch.run), unable=str(error))
    here.flush()
    assert here.end()["outcome"] == "failed"
    assert here.end()["reason"] == "undecidable"


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("stream", ["run.short", "run.x.y", f"run.{'G' * 3}".lower()])
def test_malformed_run_ids_are_not_runs(world: Any, stream: str) -> None:
    """A request in a stream that is no run's is not begun."""
    here = world(AGENTS)
    here.append("run.requested", {"plan": {"agent": "good"}}, stream=stream, run="")
    here.settle_down()
    assert here.log.head == 1
