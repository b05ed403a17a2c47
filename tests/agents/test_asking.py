"""Agents that ask humans: the turn ends, the answer reaches the next attempt, and what is in doubt can be settled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.fixer import IssueText
from twelvefold.agents.fixer import with_answers as told_issue
from twelvefold.agents.journal import HumanAnswer
from twelvefold.agents.response import ToolResponse
from twelvefold.agents.testing import TestingTask
from twelvefold.agents.testing import with_answers as told_tests
from twelvefold.agents.trial import Trial, run_task


class Asking(BaseAgent):
    """Asks twice, the second time with terms."""

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        colour = context.ask("Which colour?")
        sure = context.ask(f"Really {colour}?", reason="sure", choices=["yes", "no"], expires_s=60, default="no")
        return ToolResponse.succeeded([colour, sure])


def test_a_question_ends_the_turn() -> None:
    """Without an answer the task needs a human, with the question and nothing done after it."""
    trial = Trial()
    outcome = run_task(Asking(), trial=trial)
    assert (outcome.outcome, outcome.reason, outcome.message) == ("needs_human", "question", "Which colour?")
    (settled,) = trial.events("task.needs_human")
    assert {name: settled.data[name] for name in ("question", "reason")} == {
        "question": "Which colour?",
        "reason": "question",
    }
    assert not {"expires_s", "default", "choices"} & settled.data.keys()


def test_an_answer_reaches_the_place_that_asked() -> None:
    """The next attempt gets the answer where it asked, and goes on to its next question, whose terms are recorded."""
    trial = Trial()
    outcome = run_task(Asking(), trial=trial, answers=[("Which colour?", "red")])
    assert outcome.message == "Really red?"
    (settled,) = trial.events("task.needs_human")
    terms = {name: settled.data[name] for name in ("reason", "expires_s", "default", "choices")}
    assert terms == {"reason": "sure", "expires_s": 60, "default": "no", "choices": ["yes", "no"]}
    answers = [("Which colour?", "red"), ("Really red?", "yes")]
    assert run_task(Asking(), answers=answers).value == ["red", "yes"]


def test_an_answer_of_any_size() -> None:
    """Answers and inputs that are too large for the request's event reach the handler whole."""
    colour = "r" * (2 << 20)
    answers = [("Which colour?", colour), (f"Really {colour}?", "yes")]
    assert run_task(Asking(), "i" * (2 << 20), answers=answers).value == [colour, "yes"]


def test_an_answer_to_another_question_is_none() -> None:
    """An answer belongs to its question: a handler that comes to another one asks anew."""
    assert run_task(Asking(), answers=[("Which size?", "red")]).message == "Which colour?"


def test_equal_questions_are_told_apart_by_their_number() -> None:
    """Asked twice, the same question has two answers."""

    class Twice(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            return ToolResponse.succeeded([context.ask("Next?"), context.ask("Next?")])

    assert run_task(Twice(), answers=[("Next?", 1)]).outcome == "needs_human"
    assert run_task(Twice(), answers=[("Next?", 1), ("Next?", 2)]).value == [1, 2]


def test_a_handler_cannot_go_on_without_the_answer() -> None:
    """A handler that swallows the end of its turn is overruled."""

    class Hiding(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            try:
                context.ask("May I?")
            except Exception:  # noqa: BLE001 - the swallowing is what is tested
                return ToolResponse.succeeded("done anyway")
            return ToolResponse.succeeded("asked")

    outcome = run_task(Hiding())
    assert (outcome.outcome, outcome.message, outcome.value) == ("needs_human", "May I?", None)


def test_a_response_may_ask_with_terms() -> None:
    """`ToolResponse.needs_human` takes the same terms, and the next attempt sees question and answer."""

    class Answering(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            if context.answers:
                return ToolResponse.succeeded([context.answers[-1].question, context.answers[-1].answer])
            return ToolResponse.needs_human("unsure", "A or B?", {"seen": 1}, expires_s=5, default=None, choices="AB")

    trial = Trial()
    assert run_task(Answering(), trial=trial).value == {"seen": 1}
    (settled,) = trial.events("task.needs_human")
    assert (settled.data["expires_s"], settled.data["default"], settled.data["choices"]) == (5, None, ["A", "B"])
    assert run_task(Answering(), answers=[("A or B?", "A")]).value == ["A or B?", "A"]


@pytest.mark.parametrize("expires_s", [0, -1, float("nan"), 1e12])
def test_a_deadline_that_is_none_is_refused(expires_s: float) -> None:
    """A question whose time can't be is a mistake of its author, and not silently one without end."""
    with pytest.raises(ValueError, match="expires_s"):
        ToolResponse.needs_human("r", "q?", expires_s=expires_s)


def test_terms_must_be_plain_data() -> None:
    """A default that can't be recorded fails the task with words."""

    class Odd(BaseAgent):
        def execute_task(self, task: Any) -> ToolResponse:
            return ToolResponse.needs_human("r", "q?", expires_s=1, default=object())

    assert run_task(Odd()).reason == "invalid_response"


class Paying(BaseAgent):
    """Pays once; dies the first time after the payment went out."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        def pay() -> dict[str, int]:
            with self.file.open("a") as out:
                out.write("paid\n")
            if self.file.read_text().count("paid") == 1:
                raise KeyboardInterrupt
            return {"ref": 2}

        return ToolResponse.succeeded(context.effect("tool", "pay", {"sum": 5}, pay, effect="once"))


def in_doubt(tmp_path: Path) -> tuple[Trial, Paying, str, str, int]:
    """A payment whose end nobody knows: trial, agent, run, the effect's key, and where the question stands."""
    trial, agent = Trial(), Paying(tmp_path / "paid")
    request = trial.request(agent)
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    assert trial.deliver(agent, request, delivery=2).reason == "in_doubt"
    (asked,) = trial.events("task.needs_human")
    return trial, agent, request.run, asked.data["effect"], asked.position


def test_an_effect_that_a_human_says_is_done_is_not_repeated(tmp_path: Path) -> None:
    """Told that it happened, the next attempt gets the human's value as its result, and the ones after it, too."""
    trial, agent, run, key, until = in_doubt(tmp_path)
    known = {"effect": key, "answer": "done", "until": until, "value": {"ref": 7}}
    for attempt in (2, 3):
        again = trial.request(agent, run=run, attempt=attempt, resolved=[known])
        assert trial.deliver(agent, again).value == {"ref": 7}
    assert agent.file.read_text().count("paid") == 1


def test_an_effect_that_a_human_says_may_be_repeated_is_repeated_once(tmp_path: Path) -> None:
    """Told that it didn't happen, the next attempt does it, and what it has done stays done."""
    trial, agent, run, key, until = in_doubt(tmp_path)
    known = {"effect": key, "answer": "retry", "until": until}
    for attempt in (2, 3):
        again = trial.request(agent, run=run, attempt=attempt, resolved=[known])
        assert trial.deliver(agent, again).value == {"ref": 2}
    assert agent.file.read_text().count("paid") == 2


def test_a_doubt_that_comes_after_a_humans_word_is_a_new_one(tmp_path: Path) -> None:
    """What a human knew of the first try says nothing of the next one, which is asked about again."""
    trial, agent, run, key, until = in_doubt(tmp_path)
    known = {"effect": key, "answer": "retry", "until": until}
    agent.file.write_text("")
    second = trial.request(agent, run=run, attempt=2, resolved=[known])
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, second)
    assert trial.deliver(agent, second, delivery=2).reason == "in_doubt"
    third = trial.request(agent, run=run, attempt=3, resolved=[known])
    assert trial.deliver(agent, third).reason == "in_doubt"
    assert agent.file.read_text().count("paid") == 1


def test_what_a_model_call_used_is_recorded_for_budgets() -> None:
    """The `usage` in a model call's result stands beside it in the event; other effects have none."""

    class Modelling(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            result = {"text": "hi", "usage": {"tokens_in": 3, "tokens_out": 1, "usd": 0.01}}
            context.effect("model", "chat", {"prompt": "hello"}, lambda: result, effect="idempotent")
            context.effect("tool", "look", {}, lambda: result, effect="read")
            return ToolResponse.succeeded(1)

    trial = Trial()
    run_task(Modelling(), trial=trial)
    model, tool = trial.events("effect.completed")
    assert model.data["usage"] == {"tokens_in": 3, "tokens_out": 1, "usd": 0.01}
    assert "usage" not in tool.data


def test_a_humans_text_is_read_in_place_of_the_issue() -> None:
    """The last answer replaces what the issue says, under its title unless it has its own; no text changes nothing."""
    issue = IssueText("7.md", "# Double is wrong\n\nIt adds.\n")
    assert told_issue(issue, []) == issue
    assert told_issue(issue, [HumanAnswer("q", None), HumanAnswer("q", " ")]) == issue
    said = [HumanAnswer("q", "first"), HumanAnswer("q", "### `a.py`\n…")]
    assert told_issue(issue, said) == IssueText("7.md", "# Double is wrong\n\n### `a.py`\n…")
    assert told_issue(issue, [HumanAnswer("q", "# Other\n\nx")]).text == "# Other\n\nx"


def test_a_human_names_a_test_command_or_accepts_an_untested_change() -> None:
    """`accept` lets the change pass untested, any other text is the command to test with."""
    task = TestingTask(repo="/r", base="b", commit="c")
    assert told_tests(task, [HumanAnswer("q", "accept")]).allow_untested
    assert told_tests(task, [HumanAnswer("q", "reject")]) == task
    named = told_tests(task, [HumanAnswer("q", " make check "), HumanAnswer("q", None)])
    assert (named.test_command, named.allow_untested) == ("make check", False)
