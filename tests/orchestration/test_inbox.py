"""The inbox: what waits for a human over all open runs, under ids that stay; and the list of runs."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.inbox import find_waiting, open_runs, read_inbox, waiting_in
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task
from twelvefold.orchestration.run_errors import AlreadyAnswered, AnswerInvalid, QuestionNotFound
from twelvefold.orchestration.saga import Saga

RUNS = [f"0190a0b0c0d0e0f0000000000000000{n}" for n in range(1, 6)]


def asking(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An agent that asks what its input says, and is content with any answer."""
    if request.get("answers") or request.get("resolved"):
        return "task.succeeded", {"value": request.get("answers")}
    return "task.needs_human", request["input"] or {"reason": "which", "question": "A or B?"}


AGENTS = {
    "good": lambda _: ("task.succeeded", {"value": 1}),
    "bad": lambda _: ("task.failed", {"reason": "broken"}),
    "ask": asking,
}


@pytest.fixture
def here(world: Any) -> Any:
    """A world with agents that do well, fail, and ask."""
    return world({**AGENTS})


def submitted(here: Any, *plans: Plan) -> None:
    for run, plan in zip(RUNS, plans, strict=False):
        here.submit(plan, run=run)
        here.settle_down()
        here.now += 1_000_000_000


def test_everything_that_waits_is_there_oldest_first(here: Any) -> None:
    """Questions, approvals, effects in doubt, failed compensations and stuck work of all open runs; nothing else."""
    once = Retry(attempts_max=1)
    submitted(
        here,
        ForkJoin([Task("good", approval="Ship?"), Task("ask"), Task("good")]),
        Task("ask", {"reason": "in_doubt", "question": "Did it?", "effect": "tool:pay:1"}),
        Saga([Task("good", undo=Task("bad", retry=once)), Task("bad")]),
        Saga([Task("good", pivot=True), Task("bad")]),
        Task("good"),
    )
    found = read_inbox(here.log)
    assert [(one.run, one.path, one.kind, one.takes) for one in found] == [
        (RUNS[0], "0.0", "approval", ("approve", "reject")),
        (RUNS[0], "0.1", "question", ()),
        (RUNS[1], "0", "in_doubt", ("retry", "done", "give_up")),
        (RUNS[2], "0.0.undo", "compensation", ("retry", "done", "give_up")),
        (RUNS[3], "0.1", "stuck", ("retry", "done", "give_up")),
    ]
    assert [one.question for one in found][:3] == ["Ship?", "A or B?", "Did it?"]
    assert [one.agent for one in found] == ["good", "ask", "ask", "bad", "bad"]
    assert all(one.since for one in found)
    assert len({one.id for one in found}) == 5
    assert list(open_runs(here.log)) == RUNS[:4]
    assert read_inbox(here.log, [RUNS[1]]) == [found[2]]


def test_an_id_outlives_restarts_and_other_things_that_happen(here: Any) -> None:
    """The id of a question is the same after kills of the orchestrator and while the run goes on elsewhere."""
    here.submit(ForkJoin([Task("ask"), Task("slow"), Task("good")]), run=RUNS[0])
    here.settle_down()
    (before,) = read_inbox(here.log)
    here.kill()
    here.agents["slow"] = AGENTS["good"]
    here.settle_down()
    assert read_inbox(here.log) == [before]


def test_an_answered_question_is_gone_at_once(here: Any) -> None:
    """An answer counts from the moment it is in the log, though no orchestrator has read it yet."""
    submitted(here, Task("ask"))
    (one,) = read_inbox(here.log)
    here.answer("A", "0", run=RUNS[0])
    assert read_inbox(here.log) == []
    with pytest.raises(AlreadyAnswered) as raised:
        find_waiting(here.log, one.id)
    assert (raised.value.path, raised.value.exit_code) == ("0", 4)
    assert "'A'" in raised.value.became
    here.settle_down()
    assert here.end(RUNS[0])["outcome"] == "succeeded"


def test_an_answer_to_an_earlier_question_is_none(here: Any) -> None:
    """An answer that names what it answers says nothing about what is asked at the same place later."""
    here.agents["ask"] = lambda request: ("task.needs_human", {"question": f"No. {request['attempt']}?"})
    submitted(here, Task("ask"))
    (first,) = read_inbox(here.log)
    here.answer("A", "0", run=RUNS[0], question=first.id)
    here.settle_down()
    (second,) = read_inbox(here.log)
    assert (second.question, second.id != first.id) == ("No. 2?", True)
    here.answer("again", "0", run=RUNS[0], question=first.id)
    here.settle_down()
    assert read_inbox(here.log) == [second]
    here.answer("B", "0", run=RUNS[0], question=second.id)
    here.settle_down()
    assert read_inbox(here.log)[0].question == "No. 3?"


def test_a_deadline_and_a_default_are_shown_and_expire(here: Any) -> None:
    """A question with a time says until when and what counts then; past it, it is gone, and the words say so."""
    here.submit(Task("ask", {"question": "Q?", "expires_s": 60, "default": None}), run=RUNS[0])
    while not (here.feed() or here.work()) or not read_inbox(here.log):
        here.flush()
    (one,) = read_inbox(here.log)
    assert (one.expires, one.default) == (one.since + 60 * 10**9, None)
    here.settle_down()
    assert here.end(RUNS[0])["outcome"] == "succeeded"
    with pytest.raises(AlreadyAnswered, match="time was over"):
        find_waiting(here.log, one.id)


def test_prefixes_find_and_unknown_ids_do_not(here: Any) -> None:
    """Any beginning of an id finds all that begin so; nothing and foreign digits find nothing."""
    submitted(here, ForkJoin([Task("ask")] * 40))
    found = read_inbox(here.log)
    assert len(found) == 40
    for one in found:
        assert one in find_waiting(here.log, one.id[:1].upper())
        assert find_waiting(here.log, one.id) == [one]
    for given in ("", "  ", "xyz", "0" * 12):
        with pytest.raises(QuestionNotFound):
            find_waiting(here.log, given)


def test_the_end_of_a_run_ends_its_questions(here: Any) -> None:
    """A cancelled run asks nothing any more, and its questions say that their task was taken back."""
    submitted(here, Task("ask"))
    (one,) = read_inbox(here.log)
    here.cancel(run=RUNS[0])
    here.settle_down()
    assert read_inbox(here.log) == []
    with pytest.raises(AlreadyAnswered, match="taken back"):
        find_waiting(here.log, one.id)


def test_only_answers_that_count_pass(here: Any) -> None:
    """What is chosen from a list must be of the list; as text it becomes the list's own value."""
    submitted(here, Pipeline([Task("ask", {"question": "How many?", "choices": [1, 2, "many"]})]))
    (one,) = read_inbox(here.log)
    assert (one.check("2"), one.check(1), one.check("many")) == (2, 1, "many")
    with pytest.raises(AnswerInvalid) as raised:
        one.check("3")
    assert raised.value.help() == f"twelvefold answer {one.id} 1"


def test_a_run_that_ended_waits_for_nothing(here: Any) -> None:
    """Whatever the state of its tasks was, an ended run has no questions."""
    submitted(here, Task("good"))
    assert waiting_in(here.fold(RUNS[0]).at_head) == []
