"""Random plans, orders, crashes, pauses, answers and deadlines: what humans do comes through whatever else happens."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.inbox import Waiting, read_inbox
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import PatternFields, Retry, Task
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.saga import Saga

from .checking import check_decisions

TWICE = Retry(attempts_max=2, backoff_s=1)


def asking(terms: dict[str, Any]) -> Any:
    """An agent that asks before it succeeds, as long as nobody has answered."""

    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if request.get("answers") or request.get("resolved"):
            return "task.succeeded", {"value": request["path"]}
        return "task.needs_human", {"reason": "which", "question": "A or B?", **terms}

    return answer


AGENTS: dict[str, Any] = {
    "good": lambda request: ("task.succeeded", {"value": request["path"]}),
    "bad": lambda request: ("task.failed", {"reason": "broken"}),
    "ask": asking({}),
    "choose": asking({"choices": ["A", "B"]}),
    "hasty": asking({"expires_s": 5, "default": "A"}),
    "strict": asking({"expires_s": 5}),
    "doubt": asking({"reason": "in_doubt", "effect": "tool:pay:1"}),
    "boss": lambda _: ("task.planned", {"plan": {"agent": "ask"}}),
}
leaves = st.builds(
    Task,
    st.sampled_from(sorted(AGENTS)),
    retry=st.sampled_from([None, TWICE]),
    approval=st.sampled_from(["", "", "Ok?"]),
)
undos = st.none() | st.builds(Task, st.sampled_from(["good", "bad", "ask"]), retry=st.just(Retry(attempts_max=1)))
saga_steps = st.builds(
    Task, st.sampled_from(["good", "ask", "doubt", "bad"]), undo=undos, approval=st.sampled_from(["", "Ok?"])
)
plans: st.SearchStrategy[PatternFields] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(Pipeline)
        | st.lists(saga_steps | inner, min_size=1, max_size=3).map(Saga)
        | st.lists(inner, min_size=2, max_size=3).map(ForkJoin)
        | st.lists(inner, min_size=2, max_size=3).map(lambda some: Race(some, stagger_s=2))
    ),
    max_leaves=6,
)
budgets = st.none() | st.fixed_dictionaries({"tasks": st.integers(0, 6)})


def meddle(here: Any, times: int) -> None:
    """Let a human do something random now and then: pause, resume, answer something, answer nothing, answer late."""
    seen: list[Waiting] = []
    for _ in range(times):
        here.storm(here.random.randrange(12), settle=False)
        seen += read_inbox(here.log)
        choice = here.random.randrange(4)
        if choice < 2:
            type = ("run.pause_requested", "run.resume_requested")[choice]
            here.append(type, {}, stream=f"request.{here.fold().run.id}")
        elif seen:
            one = here.random.choice(seen)
            here.answer(here.random.choice((*one.takes, "A", None)), one.path, question=one.id)


def content(here: Any, *, rounds: int = 60) -> None:
    """Resume the run, and answer all that it asks, with what brings it on, until it has ended."""
    here.append("run.resume_requested", {}, stream=f"request.{here.fold().run.id}")
    for _ in range(rounds):
        here.settle_down()
        waiting = read_inbox(here.log)
        if not waiting:
            return
        for one in waiting:
            here.answer("give_up" if "give_up" in one.takes else (*one.takes, "A")[0], one.path, question=one.id)
    raise AssertionError("it asks for ever")


@settings(max_examples=150, deadline=None)
@given(plans, st.integers(0, 2**32), budgets)
def test_every_run_that_is_answered_ends(world: Any, plan: PatternFields, seed: int, budget: Any) -> None:
    """Whatever humans do in whatever order, with kills between: resumed and answered a run ends, and leaves nothing."""
    here = world(AGENTS, seed=seed)
    run = here.submit(plan, budget=budget or {})
    meddle(here, 12)
    content(here)
    state = here.fold().at_head
    assert state.status == "ended", here.told()
    assert (dict(state.timers), here.out) == ({}, {})
    assert here.log.marks("run/").keys() == {"run/seen"}
    if budget:
        undos = sum(task.attempt for task in state.tasks.values() if task.undo)
        assert state.spent.tasks - undos <= budget["tasks"]
    check_decisions(run, here.log.read(run=run, limit=10**6))


@settings(max_examples=80, deadline=None)
@given(plans, st.integers(0, 2**32))
def test_a_pause_holds_whatever_happens(world: Any, plan: PatternFields, seed: int) -> None:
    """Between the decisions to pause and to resume nothing is requested but what undoes."""
    here = world(AGENTS, seed=seed)
    here.submit(plan)
    meddle(here, 10)
    content(here)
    paused = False
    for event in here.log.read(limit=10**6):
        if event.type == "run.paused":
            paused = True
        elif event.type == "run.resumed" and "answered" not in event.data:
            paused = False
        elif event.type == "task.requested" and not event.data["undo"]:
            assert not paused, here.told()


@settings(max_examples=80, deadline=None)
@given(plans, st.integers(0, 2**32))
def test_a_resting_run_has_nothing_to_do_but_to_ask(world: Any, plan: PatternFields, seed: int) -> None:
    """A run is marked as resting only while no task of it is out, and whenever it is idle and asks it rests."""
    here = world(AGENTS, seed=seed)
    here.submit(plan)
    meddle(here, 6)
    here.agents = {}
    while here.feed():
        here.flush()
    state = here.fold().at_head
    resting = any(mark.endswith(" resting") for mark in here.log.marks("run/").values())
    assert resting == (state.status == "resting")
    if resting:
        assert not state.out
        assert read_inbox(here.log)
        assert {one.path for one in read_inbox(here.log)} >= set(state.resting_on)
