"""A hierarchy in one process: what primary and secondary agents answer, and how its levels and its tree are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.agents.journal import HumanAnswer
from twelvefold.agents.primary import QUESTION, Assignment, PrimaryAgent
from twelvefold.agents.secondary import SecondaryAgent
from twelvefold.agents.trial import run_task
from twelvefold.hierarchy import assignment_of
from twelvefold.orchestration.complexity import Complexity
from twelvefold.orchestration.hierarchy import Roles, Work, arranged, check_work, leaves, numbered, walk
from twelvefold.orchestration.hierarchy_view import HierarchyView
from twelvefold.orchestration.plan import Task, nodes_of, plan_from
from twelvefold.orchestration.slice_errors import SlicesCyclic, SlicesInvalid, TaskUnclear

RUN = "0190a0b0c0d0e0f00000000000000001"


def assignment(parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"do": "decompose", "assignment": {"text": "All of it", "subtasks": parts}, **more}


def hierarchy(stage: Any, worker: Any) -> dict[str, Any]:
    """The real agents, by queue: primary and secondary as they are, the worker as the test says."""

    def real(agent: Any) -> Any:
        def act(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
            outcome = run_task(agent, data["input"], path=data["path"])
            if outcome.outcome == "planned":
                return "task.planned", {"plan": outcome.value}
            return f"task.{outcome.outcome}", {"value": outcome.value, "reason": outcome.reason, "error": outcome.error}

        return act

    return {"primary": real(PrimaryAgent()), "secondary": real(SecondaryAgent()), "tertiary": worker}


def view(stage: Any) -> HierarchyView:
    return HierarchyView(RUN, stage.log.read(run=RUN, limit=10**6))


def test_a_task_is_taken_apart_done_and_put_together(world: Any) -> None:
    """Each part is one task of a worker on the third level, with its checks and the values of what it needs."""
    stage, told = world(), {}

    def worker(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        told[data["input"]["id"]] = data["input"]
        return "task.succeeded", {"value": f"did {data['input']['task']}"}

    stage.agents = hierarchy(stage, worker)
    parts = [
        {"title": "Code", "subtasks": [{"title": "Write"}, {"title": "Clean", "depends_on": ["1.1"]}]},
        {"title": "Document", "checks": ["it builds"], "depends_on": ["1"], "input": {"format": "md"}},
    ]
    stage.submit(Task("primary", assignment(parts)), levels={"primary": 1})
    stage.settle_down()
    end = stage.end()
    assert end["outcome"] == "succeeded", stage.told()
    assert end["value"]["title"] == "All of it"
    assert [(one["id"], one["value"]) for one in end["value"]["subtasks"]] == [
        ("1.1", "did Write"), ("1.2", "did Clean"), ("2", "did Document"),
    ]  # fmt: skip
    assert told["1.2"]["results"] == {"1.1": "did Write"}
    assert told["2"]["results"] == {"1": ["did Write", "did Clean"]}
    assert (told["2"]["checks"], told["2"]["input"], told["2"]["text"]) == (
        ["it builds"],
        {"format": "md"},
        "All of it",
    )
    seen = view(stage)
    tree = seen.tree()
    assert tree is not None
    assert (tree.agent, tree.level, [child.agent for child in tree.children]) == (
        "primary", "primary", ["secondary", "secondary", "primary"],
    )  # fmt: skip
    below = [(leaf.id, leaf.level, leaf.agent) for child in tree.children for leaf in child.children]
    assert below == [("1.1", "tertiary", "tertiary"), ("1.2", "tertiary", "tertiary"), ("2", "tertiary", "tertiary")]
    assert [(one.id, one.outcome) for one in seen.subtasks()] == [(id, "succeeded") for id in ("1.1", "1.2", "2")]
    assert seen.status()["levels"]["tertiary"] == {
        "running": 0, "requested": 0, "waiting": 0, "planned": 0, "ended": 3, "limit": 30,
    }  # fmt: skip


def test_the_status_tells_who_runs_and_who_waits(world: Any) -> None:
    """With one tertiary slot for three parts, one is requested, one waits behind it, and the limits are shown."""
    stage = world()
    stage.agents = {**hierarchy(stage, None), "tertiary": lambda data: None}
    parts = [{"title": "All", "subtasks": [{"title": "a"}, {"title": "b"}, {"title": "c"}]}]
    stage.submit(Task("primary", assignment(parts)), levels={"tertiary": 1})
    stage.settle_down()
    levels = view(stage).status()["levels"]
    assert (levels["tertiary"]["requested"], levels["tertiary"]["waiting"], levels["tertiary"]["limit"]) == (1, 2, 1)
    assert (levels["primary"]["planned"], levels["secondary"]["planned"]) == (1, 1)
    (request,) = [event for event in stage.out.values() if event.to == "tertiary"]
    stage.report(request, "task.started", {})
    stage.settle_down()
    assert view(stage).status()["levels"]["tertiary"]["running"] == 1


def test_values_are_handed_on_by_reference(world: Any) -> None:
    """Whatever a part's value looks like, even as a reference does, those after it get it as it is, at any depth."""
    odd = {"$from": "nowhere", "text": "x"}
    for room in (1, 2, 3):
        stage, told = world(), {}

        def worker(data: dict[str, Any], told: dict[str, Any] = told) -> tuple[str, dict[str, Any]]:
            told[data["input"]["id"]] = data["input"]["results"]
            return "task.succeeded", {"value": odd}

        stage.agents = hierarchy(stage, worker)
        inner = {"title": "b", "subtasks": [{"title": "c"}, {"title": "d", "depends_on": ["2.1.1", "1"]}]}
        parts = [{"title": "a"}, {"title": "deep", "subtasks": [inner, {"title": "e", "depends_on": ["2.1"]}]}]
        stage.submit(Task("primary", assignment(parts, roles={"room": room})), depth_max=room)
        stage.settle_down()
        assert stage.end()["outcome"] == "succeeded", stage.told()
        assert told["2.1.2"] == {"1": odd, "2.1.1": odd}
        assert told["2.2"] == {"2.1": [odd, odd]}
        assert told["1"] == told["2.1.1"] == {}


@pytest.mark.parametrize("room", [1, 2, 3, 4])
def test_the_depth_that_is_allowed_is_used_and_never_passed(world: Any, room: int) -> None:
    """With room for fewer answers the same work is planned by those above: the result is the same, at any depth."""
    stage = world()
    stage.agents = hierarchy(stage, lambda data: ("task.succeeded", {"value": data["input"]["id"]}))
    deep = {
        "title": "b",
        "subtasks": [{"title": "c", "subtasks": [{"title": "d"}, {"title": "e", "depends_on": ["1.1"]}]}],
    }
    parts = [{"title": "a", "subtasks": [{"title": "x"}, deep]}, {"title": "last", "depends_on": ["1.2.1.1"]}]
    stage.submit(Task("primary", assignment(parts, roles={"room": room})), depth_max=room)
    stage.settle_down()
    assert stage.end()["outcome"] == "succeeded", stage.told()
    values = {one["id"]: one["value"] for one in stage.end()["value"]["subtasks"]}
    assert values == {id: id for id in ("1.1", "1.2.1.1", "1.2.1.2", "2")}
    deepest = max(task.level for task in stage.fold().at_head.tasks.values())
    assert deepest == min(room, 4 if room > 3 else room)


def test_an_answer_beyond_the_depth_fails_with_words(world: Any) -> None:
    """A worker that answers with a plan where none is allowed any more fails, and so does the task."""
    stage = world()
    stage.agents = hierarchy(stage, lambda data: ("task.planned", {"plan": {"agent": "tertiary"}}))
    stage.submit(Task("primary", assignment([{"title": "a"}])), depth_max=2)
    stage.settle_down()
    end = stage.end()
    assert (end["outcome"], end["reason"]) == ("failed", "plan")
    assert "at most 2 deep" in end["error"]


def test_parts_that_need_each_other_crosswise_are_coordinated_as_one() -> None:
    """Groups whose members need each other in both directions become one group; the order of the members is kept."""
    parts = numbered(
        [
            Work("Code", subtasks=(Work("a"), Work("b", depends_on=("2.1",)))),
            Work("Documents", subtasks=(Work("c", depends_on=("1.1",)), Work("d", depends_on=("1",)))),
            Work("Check", depends_on=("1", "2")),
        ]
    )
    check_work(parts)
    order = arranged(parts)
    assert [part.id for part in order] == ["1+2", "3"]
    assert [part.id for part in arranged(order[0].subtasks)] == ["1.1", "2.1", "1.2", "2.2"]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([{"title": "a", "depends_on": ["9"]}], "'9'"),
        ([{"title": "a", "id": "x"}, {"title": "b", "id": "x"}], "two subtasks"),
    ],
)
def test_wrong_parts_are_refused(parts: list[dict[str, Any]], problem: str) -> None:
    """A dependency on nothing, or two parts of one name, fail the primary's task in words, and nothing begins."""
    outcome = run_task(PrimaryAgent(), assignment(parts))
    assert (outcome.outcome, outcome.reason) == ("failed", "slices_invalid")
    assert problem in str(outcome.message)
    with pytest.raises(SlicesInvalid, match="the subtask"):
        check_work(
            numbered(
                [Work(one["title"], one.get("id", ""), depends_on=tuple(one.get("depends_on", ()))) for one in parts]
            )
        )


def test_a_circle_among_parts_is_named() -> None:
    """Parts that need each other in a circle, through their groups too, are refused with the circle."""
    parts = numbered([Work("a", subtasks=(Work("b", depends_on=("2",)),)), Work("c", depends_on=("1",))])
    with pytest.raises(SlicesCyclic) as caught:
        check_work(parts)
    assert caught.value.cycle in (("1.1", "2", "1.1"), ("2", "1.1", "2"))
    parts = numbered([Work("a", depends_on=("1.1",), subtasks=(Work("b"),))])
    with pytest.raises(SlicesCyclic):
        check_work(parts)


def test_a_text_is_decomposed_by_its_signals() -> None:
    """Without parts of its own a task is taken apart by decomposition; an atomic one is its own only part."""
    outcome = run_task(PrimaryAgent(), {"do": "decompose", "assignment": {"text": "Fix the typo in README.md: teh"}})
    steps = outcome.value["steps"]
    assert len(steps[0]["steps"]) == 1
    assert steps[0]["steps"][0]["input"]["part"]["title"].startswith("Fix the typo")
    asked = ("Rename `f` of `a.py` to `g`", "Document `g` in `docs/guide.md`", "Add a test in `tests/test_a.py`")
    text = "# Two things\n\n" + "".join(f"- {one}\n" for one in asked)
    outcome = run_task(PrimaryAgent(), {"do": "decompose", "assignment": {"text": text, "override": "moderate"}})
    parts = outcome.value["steps"][0]["steps"]
    assert len(parts) > 1
    assert all(part["agent"] == "secondary" for part in parts)
    assert Roles().room == 3


def test_a_task_in_which_nothing_can_be_checked_is_asked_about() -> None:
    """No worker gets a vague text: its author is asked what shall be checked, and his answer joins the task."""
    given = {"do": "decompose", "assignment": {"text": "make it better", "override": "moderate"}}
    asked = run_task(PrimaryAgent(), given)
    assert (asked.outcome, asked.reason) == ("needs_human", "vague")
    assert "what shall be checked" in QUESTION
    for nothing in ("", "  ", "approve", None):
        assert run_task(PrimaryAgent(), given, answers=[(QUESTION, nothing)]).outcome == "needs_human"
    assert run_task(PrimaryAgent(), given, answers=[("another question", "`a.py`")]).outcome == "needs_human"
    assert run_task(PrimaryAgent(), given, answers=[(QUESTION, "reject")]).reason == "rejected"

    def parts(answer: str) -> list[Any]:
        plain = {"do": "decompose", "assignment": {"text": "make it better"}}
        outcome = run_task(PrimaryAgent(), plain, answers=[(QUESTION, ""), (QUESTION, answer)], attempt=3)
        nodes = nodes_of(plan_from(outcome.value))
        return [one.input for one in nodes if isinstance(one, Task) and one.agent != "primary"]

    told = parts("`app.py` starts in under 100 ms")
    assert all("`app.py` starts in under 100 ms" in str(one) for one in told)
    (only,) = parts("that it is nicer")
    title = "make it better\n\nthat it is nicer"
    assert (only["part"]["title"], only["part"]["checks"]) == (title, ["that it is nicer"])


def test_every_issue_at_every_level_can_be_coordinated() -> None:
    """Whatever decomposition finds in real issues, however deep it is told to go, has an order that can be kept."""
    files = sorted((Path(__file__).parent / "issues").rglob("*.md"))
    assert len(files) >= 5
    counts = set()
    for file in files:
        for level in Complexity:
            assignment = Assignment(file.read_text(), override=level)
            answer = PrimaryAgent().decompose(assignment, Roles(room=1))
            if answer.reason == "vague":
                said = [HumanAnswer(QUESTION, "it takes half the time")]
                answer = PrimaryAgent().decompose(assignment, Roles(room=1), answers=said)
            plan = plan_from(answer.data)
            queues = [node.agent for node in nodes_of(plan) if isinstance(node, Task)]
            assert queues.count("tertiary") == len(queues) - 1 >= 1
            counts.add(len(queues))
    assert len(counts) > 3


@st.composite
def works(draw: st.DrawFn) -> list[Work]:
    """Trees of parts whose leaves depend on earlier leaves, anywhere in the tree."""

    def part(level: int) -> Work:
        count = draw(st.integers(0, 3)) if level < 3 else 0
        return Work("w", subtasks=tuple(part(level + 1) for _ in range(count)))

    parts = numbered([part(1) for _ in range(draw(st.integers(1, 3)))])
    order = draw(st.permutations([leaf.id for leaf in leaves(parts)]))
    needs = {
        id: tuple(draw(st.sets(st.sampled_from(order[:n]), max_size=2))) if n else () for n, id in enumerate(order)
    }

    def needing(one: Work) -> Work:
        return msgspec.structs.replace(
            one, depends_on=needs.get(one.id, ()), subtasks=tuple(map(needing, one.subtasks))
        )

    return [needing(one) for one in parts]


@settings(max_examples=60, deadline=None)
@given(parts=works(), room=st.integers(1, 4), limit=st.sampled_from([1, 2, 30]), seed=st.integers(0, 2**32))
def test_every_part_is_done_once_after_what_it_needs(
    world: Any, parts: list[Work], room: int, limit: int, seed: int
) -> None:
    """Whatever the tree, the dependencies across it, the depth, the limits and the kills of the orchestrator."""
    check_work(parts)
    needs = {leaf.id: leaf.depends_on for leaf in leaves(parts)}
    stage, done = world(seed=seed), []

    def worker(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        id = data["input"]["id"]
        assert {*needs[id]} <= {*done}, (id, done)
        done.append(id)
        return "task.succeeded", {"value": id}

    stage.agents = hierarchy(stage, worker)
    given = assignment(msgspec.to_builtins(parts), roles={"room": room})
    stage.submit(Task("primary", given), depth_max=room, levels={"secondary": limit, "tertiary": limit})
    stage.storm(150)
    end = stage.end()
    assert end["outcome"] == "succeeded", stage.told()
    assert {one["id"]: one["value"] for one in end["value"]["subtasks"]} == {id: id for id in needs}
    assert sorted(done) == sorted(needs)
    assert len([*walk(parts)]) >= len(done)


@pytest.mark.parametrize("task", [5, None, ["a"], "", " ", {"text": ""}, {"subtasks": []}, {"text": "x", "files": []}])
def test_what_is_no_task_is_refused_in_words(task: Any) -> None:
    """Neither a text nor an object with a text, or one with words that mean nothing: told at once, and how it looks."""
    with pytest.raises(TaskUnclear):
        assignment_of(task)
