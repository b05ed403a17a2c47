"""Plans as data: one form in Python, JSON and TOML, and errors that point at the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import (
    PatternFields,
    Plan,
    Retry,
    Task,
    parse_plan,
    plan_data,
    plan_from,
)
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.steps import steps_of

JOB = Saga(
    [
        Task("issue_fixer", {"repo": "/r"}, name="fix", undo=Task("issue_fixer", {"undo": True}), requires=["commit"]),
        Task("testing", {"commit": {"$from": "fix", "key": "commit"}}, name="test", timeout_s=60, effect="read"),
        Task("publisher", {"commit": {"$from": "fix", "key": "commit"}}, pivot=True, retry=Retry(attempts_max=2)),
    ]
)

JOB_TOML = """
pattern = "saga"

[[steps]]
agent = "issue_fixer"
name = "fix"
input = {repo = "/r"}
requires = ["commit"]
undo = {agent = "issue_fixer", input = {undo = true}}

[[steps]]
agent = "testing"
name = "test"
input = {commit = {"$from" = "fix", key = "commit"}}
timeout_s = 60
effect = "read"

[[steps]]
agent = "publisher"
input = {commit = {"$from" = "fix", key = "commit"}}
pivot = true
retry = {attempts_max = 2}
"""


def test_python_json_and_toml_are_one_form() -> None:
    """The same plan written in Python, JSON and TOML is equal, and survives being written and read again."""
    assert parse_plan(JOB_TOML, "toml") == JOB
    assert plan_from(plan_data(JOB)) == JOB
    assert parse_plan(msgspec.json.encode(plan_data(JOB)).decode(), "json") == JOB


@pytest.mark.parametrize(
    ("data", "place", "problem"),
    [
        (3, "", "expected `object`, got `int`"),
        ({"pattern": "loop"}, "", "unknown pattern 'loop'"),
        ({"agent": "a", "colour": 1}, "", "unknown field `colour`; a task has agent, input, requires, "),
        ({"pattern": "pipeline", "steps": []}, "steps", "no steps"),
        ({"pattern": "pipeline", "steps": [{"agent": "a"}, {"agent": 3}]}, "steps[1].agent", "expected `str`"),
        ({"pattern": "saga", "steps": [{"agent": "a", "undo": {"agent": 3}}]}, "steps[0].undo.agent", "expected `str`"),
        ({"pattern": "saga", "steps": [{"agent": "a", "undo": {"agent": "B C"}}]}, "steps[0].undo.agent", "queue"),
        ({"pattern": "pipeline", "steps": [{"agent": "a", "pivot": True}]}, "steps[0]", "step of a saga"),
        ({"agent": "a", "undo": {"agent": "b"}}, "", "step of a saga"),
        ({"agent": "a", "timeout_s": 0}, "timeout_s", "more than 0"),
        ({"agent": "a", "effect": "once", "retry": {}}, "retry.attempts_max", "not tried again"),
        ({"agent": "a", "retry": {"attempts_max": 0}}, "retry.attempts_max", "at least 1"),
        ({"agent": "a", "name": "12"}, "name", "cannot name a step"),
        (
            {"pattern": "pipeline", "steps": [{"agent": "a", "effect": "twice"}]},
            "steps[0].effect",
            "invalid enum value 'twice'; there are read, idempotent, once",
        ),
        ({"pattern": "fork_join", "branches": [], "rest": "drop"}, "rest", "'drop'; there are cancel, await"),
        ({"agent": "a", "input": {"x": [{"$from": "fix"}]}}, "input.x[0]", "no earlier step is named 'fix'"),
        ({"agent": "a", "input": {"$from": "input", "keys": 1}}, "input", "no 'keys'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data: Any, place: str, problem: str) -> None:
    """An invalid plan is refused with the place of the mistake, written as one would index it."""
    with pytest.raises(PlanInvalid) as caught:
        plan_from(data)
    assert caught.value.place == place
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("plan", "place", "problem"),
    [
        (
            Pipeline([Task("a"), ForkJoin([Task("b", {"x": [1, object()]})])]),
            "steps[1].branches[0].input.x[1]",
            "plain",
        ),
        (Pipeline([Task("a", retry=cast(Any, object()))]), "steps[0].retry", "plain data"),
        (Task("a", {"ratio": [0.5, float("nan")]}), "input.ratio[1]", "JSON has no number nan"),
        (MapReduce(map=Task("a"), items=[1, float("-inf")]), "items[1]", "JSON has no number -inf"),
    ],
)
def test_what_is_no_data_is_named_with_its_place(plan: Plan, place: str, problem: str) -> None:
    """What can't be written as JSON is refused where it stands: a NaN would reach its agent as null."""
    with pytest.raises(PlanInvalid) as caught:
        plan_data(plan)
    assert caught.value.place == place
    assert problem in caught.value.problem


def test_references_lead_backwards_only() -> None:
    """A step may refer to earlier siblings and those of patterns around it, never to a later one or itself."""
    later = Pipeline([Task("a", {"$from": "b"}), Task("b", name="b")])
    with pytest.raises(PlanInvalid):
        plan_data(later)
    outer = Pipeline([Task("a", name="a"), Pipeline([Task("b", {"$from": "a"})])])
    assert plan_from(plan_data(outer)) == outer


def test_a_compensation_may_refer_to_its_own_step() -> None:
    """The undo of a step may use the value of the step that it undoes."""
    saga = Saga([Task("a", name="a", undo=Task("a", {"$from": "a"})), Task("b")])
    assert plan_from(plan_data(saga)) == saga


def test_the_same_name_twice_is_refused() -> None:
    """Two steps of one pattern can't share a name, as a reference would be ambiguous."""
    with pytest.raises(PlanInvalid, match="names an earlier step"):
        plan_data(Pipeline([Task("a", name="x"), Task("b", name="x")]))


def test_bottomless_plans_are_refused() -> None:
    """A plan that nests without end is refused with an error of ours, however deep it is."""
    for depth in (33, 5000):
        data: dict[str, Any] = {"agent": "a"}
        for _ in range(depth):
            data = {"pattern": "pipeline", "steps": [data]}
        with pytest.raises(PlanInvalid, match="nests deeper"):
            plan_from(data)


def test_an_unreadable_file_is_named() -> None:
    """A plan file that is not TOML or JSON is refused with the file's name."""
    with pytest.raises(PlanInvalid, match=r"plan\.toml.*not TOML"):
        parse_plan("steps = [", "toml", "plan.toml")
    with pytest.raises(PlanInvalid, match=r"plan\.json"):
        parse_plan("{", "json", "plan.json")


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name not in ("input", "undo"))
json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
tasks = st.builds(
    Task, names, json_like, requires=st.lists(names, max_size=2), effect=st.sampled_from(["read", "once"])
)
plans: st.SearchStrategy[PatternFields] = st.recursive(
    tasks,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(Pipeline) | st.lists(inner, min_size=1, max_size=3).map(Saga)
    ),
    max_leaves=8,
)


@given(plans)
def test_every_plan_survives_its_data(plan: PatternFields) -> None:
    """Whatever can be built can be written as data and read back as the same plan."""
    assert plan_from(plan_data(plan)) == plan
    assert len(steps_of(plan)) == len(plan_data(plan).get("steps", []))


def test_the_documented_plans_are_plans() -> None:
    """The examples in docs/plans.md, Python and TOML, are valid as they stand."""
    text = (Path(__file__).parents[2] / "docs" / "plans.md").read_text()
    code: dict[str, list[str]] = {}
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        code.setdefault(language, []).append(block)
    found: dict[str, Any] = {}
    exec(code["python"][0], found)
    assert [step.agent for step in steps_of(plan_from(plan_data(found["plan"])))] == ["booker", "checker", "payer"]
    written = [parse_plan(block, "toml") for block in code["toml"]]
    assert [step.agent for step in steps_of(written[0])] == ["booker", "payer"]
