"""Structured answers: asked for by schema, checked, repaired a bounded number of times, and never guessed."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

import twelvefold as tf
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.models.calls import schema_of


class Part(msgspec.Struct):
    """A part with parts."""

    name: str
    parts: list[Part] = []


class Verdict(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for."""

    size: Annotated[int, msgspec.Meta(ge=0, le=9)]
    why: str = ""


class Judge(tf.BaseAgent):
    """Asks once, as its task says."""

    def __init__(self, **asked: Any) -> None:
        self.asked = asked

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        model = tf.model_from(context.settings)
        assert model is not None
        answer = tf.ask_model(context, model, [tf.Message("user", task)], **self.asked)
        return tf.ToolResponse.succeeded([msgspec.to_builtins(answer.value), answer.calls])


def judged(service: Any, trial: tf.Trial | None = None, **asked: Any) -> Any:
    """Have the service's model judge, and return how the task ended."""
    settings = AgentSettings(model="m", model_url=service.url, model_timeout_s=120)
    return tf.run_task(Judge(**asked), "How large?", trial=trial or tf.Trial(settings=settings))


@pytest.mark.parametrize(
    "said",
    [
        '{"size": 3}',
        'Sure!\n```json\n{"size": 3}\n```\nAnything else?',
        '<think>It {could} be 5.</think>\n{"size": 3, "why": ""}',
        'The answer is {"size": 3} as asked.',
    ],
)
def test_the_value_is_found_in_what_is_said(service: Any, behave: Any, said: str) -> None:
    """JSON alone, in a fence, behind a thought or in a sentence is the answer."""
    service.will(behave.text(said))
    assert judged(service, result=Verdict).value == [{"size": 3, "why": ""}, 1]
    assert service.asked[0]["response_format"]["json_schema"]["schema"]["required"] == ["size"]


def test_a_wrong_answer_is_repaired(service: Any, behave: Any) -> None:
    """What doesn't fit goes back with what is wrong, and the prompts of both calls are recorded."""
    service.will(behave.text('{"size": "large"}'), behave.text('{"size": 77}'), behave.text('{"size": 7}'))
    trial = tf.Trial(settings=AgentSettings(model="m", model_url=service.url))
    assert judged(service, trial, result=Verdict).value == [{"size": 7, "why": ""}, 3]
    told = [one["messages"][-1]["content"] for one in service.asked[1:]]
    assert "'large' is not of type 'integer' - at `$.size`" in told[0]
    assert "77 is greater than the maximum of 9" in told[1]
    prompts = [one.data["parameters"]["prompts"] for one in trial.events("effect.intended")]
    assert [[prompt["name"] for prompt in used] for used in prompts] == [[], ["repair"], ["repair"]]


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_repairs_are_bounded(service: Any, behave: Any, repairs: int) -> None:
    """After so many repairs the call has failed, and says where the last answer doesn't fit."""
    service.will(behave.text('{"size": 3, "colour": "red"}'))
    outcome = judged(service, result=Verdict, repairs_max=repairs)
    assert (outcome.outcome, outcome.reason) == ("failed", "model_answer_invalid")
    assert "colour" in (outcome.message or "")
    assert len(service.asked) == repairs + 1


def test_a_schema_of_ones_own_is_checked(service: Any, behave: Any) -> None:
    """Without a type the value is as it was said, once it fits the schema."""
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1}
    service.will(behave.text('["c"]'), behave.text('["b", "a"]'))
    assert judged(service, schema=schema).value == [["b", "a"], 2]


def test_a_schema_that_is_none_is_the_callers_mistake(service: Any, behave: Any) -> None:
    """A schema that isn't one isn't the model's fault: nothing is asked."""
    service.will(behave.text("{}"))
    outcome = judged(service, schema={"type": "thing"})
    assert (outcome.outcome, outcome.reason) == ("failed", "exception")
    assert service.asked == []


def test_an_answer_that_was_cut_is_told_so(service: Any, behave: Any) -> None:
    """A reply that ended at the length limit is repaired by being shorter."""
    cut = behave.body('{"size": 3, "why": "because')
    cut["choices"][0]["finish_reason"] = "length"
    service.will(behave.raw(200, msgspec.json.encode(cut)), behave.text('{"size": 3}'))
    assert judged(service, result=Verdict).value[1] == 2
    assert "cut off at the length limit" in service.asked[1]["messages"][-1]["content"]


def test_a_type_that_holds_itself_has_a_schema() -> None:
    """The schema of a type stands in place at its top, its parts beside it."""
    schema = schema_of(Part)
    assert schema["type"] == "object"
    assert schema["properties"]["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert "Part" in schema["$defs"]
    assert "$defs" not in schema_of(Verdict)


def test_a_served_answer_is_checked_alike(service: Any, behave: Any) -> None:
    """Delivered again, a task gets its repaired answer from the record, and the service isn't asked."""
    service.will(behave.text("no"), behave.text('{"size": 4}'))
    trial = tf.Trial(settings=AgentSettings(model="m", model_url=service.url))
    agent = Judge(result=Verdict)
    request = trial.request(agent, "How large?")
    first = trial.deliver(agent, request)
    again = trial.deliver(agent, request, delivery=2)
    assert first.value == again.value == [{"size": 4, "why": ""}, 2]
    assert len(service.asked) == 2
