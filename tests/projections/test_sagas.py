"""The read model of sagas tells of each how far it has come, what of it is undone, what stands, and what is stuck."""

from __future__ import annotations

from typing import Any

from tests.orchestration.simulation import RUN, Simulation
from twelvefold.eventstore.run import read_run
from twelvefold.projections.folding import Fold
from twelvefold.projections.sagas import Sagas

GOOD: dict[str, Any] = {"agent": "good", "undo": {"agent": "good"}}
STUBBORN: dict[str, Any] = {"agent": "good", "undo": {"agent": "bad", "retry": {"attempts_max": 8}}}


def answering(request: dict[str, Any], to: str) -> tuple[str, dict[str, Any]] | None:
    """Good agents succeed, bad ones fail, and slow ones never answer."""
    if to == "slow":
        return None
    done = {"value": 1, "evidence": [{"kind": "value", "ref": "1"}]}
    return ("task.failed", {"reason": "bad"}) if to == "bad" else ("task.succeeded", done)


def saga(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"pattern": "saga", "steps": list(steps), **fields}


def told(plan: dict[str, Any], *, until: str = "") -> list[dict[str, Any]]:
    """Play a plan to its end and return the sagas, as they were right after the first event of type `until`."""
    world = Simulation(answering, lossy=False)
    world.request("run.requested", {"plan": plan})
    world.settle_down()
    fold, projection = Fold(Sagas()), Sagas()
    for event in read_run(world.log, RUN):
        fold.take([event])
        if event.type == until:
            break
    else:
        assert not until, world.told()
    return [row for key, state in fold.rows() for row in projection.shown(key, state)]


def states(row: dict[str, Any]) -> tuple[str, list[str]]:
    return row["state"], [step["state"] for step in row["steps"]]


def test_a_saga_that_succeeds_is_done() -> None:
    """All steps are done, and the run's end changes nothing of that."""
    (row,) = told(saga(GOOD, {"agent": "good"}))
    assert (row["run"], row["path"]) == (RUN, "0")
    assert states(row) == ("done", ["done", "done"])
    assert row["begun_ns"] <= row["ended_ns"]
    assert [step["compensation"] for step in row["steps"]] == [True, False]


def test_while_it_goes_on_it_is_running() -> None:
    """Steps that have not begun wait."""
    (row,) = told(saga(GOOD, GOOD, {"agent": "slow"}), until="task.succeeded")
    assert states(row) == ("running", ["done", "waiting", "waiting"])


def test_a_failure_compensates_what_was_done() -> None:
    """Backwards, step by step, until all is undone."""
    plan = saga(GOOD, GOOD, {"agent": "bad"})
    assert states(told(plan, until="task.compensated")[0]) == ("compensating", ["done", "compensated", "failed"])
    assert states(told(plan)[0]) == ("compensated", ["compensated", "compensated", "failed"])


def test_nothing_to_undo_is_a_plain_failure() -> None:
    """The first step fails: there is nothing that stands, and nothing that was undone."""
    assert states(told(saga({"agent": "bad"}, GOOD))[0]) == ("failed", ["failed", "waiting"])


def test_a_compensation_that_fails_is_stuck_and_then_stands() -> None:
    """It waits for a human; when that gives up, what was done stands."""
    plan = saga(GOOD, STUBBORN, {"agent": "bad"})
    row = told(plan, until="task.parked")[0]
    assert states(row) == ("stuck", ["done", "stuck", "failed"])
    assert row["steps"][1]["reason"] == "compensation"
    row = told(plan)[0]
    assert row["state"] == "irreversible"
    assert row["steps"][1]["state"] == "standing"


def test_work_without_a_compensation_stands() -> None:
    """What can't be undone is named where the saga fails."""
    row = told(saga(GOOD, {"agent": "good"}, {"agent": "bad"}))[0]
    assert states(row) == ("irreversible", ["compensated", "standing", "failed"])


def test_beyond_the_pivot_a_failure_is_stuck() -> None:
    """From the success of a pivot on nothing is undone: what fails then waits for a human."""
    row = told(saga(GOOD, {"agent": "good", "pivot": True}, {"agent": "bad"}), until="task.parked")[0]
    assert states(row) == ("stuck", ["done", "done", "stuck"])
    assert row["past_pivot"]


def test_sagas_of_items_and_inside_each_other_are_found() -> None:
    """Each item's saga stands under its own path; a saga inside a step is told beside the one around it."""
    rows = {row["path"]: row for row in told({"pattern": "map_reduce", "items": [1, 2], "map": saga(GOOD, GOOD)})}
    assert {path: states(row) for path, row in rows.items()} == {
        "0.1.0": ("done", ["done", "done"]),
        "0.1.1": ("done", ["done", "done"]),
    }
    rows = {row["path"]: row for row in told(saga(GOOD, saga(GOOD, GOOD), {"agent": "bad"}))}
    assert states(rows["0.1"]) == ("compensated", ["compensated", "compensated"])
    assert rows["0"]["state"] == "compensated"


def test_a_plan_that_a_task_answers_with_is_looked_into() -> None:
    """Its sagas stand below the task's path."""

    def planning(request: dict[str, Any], to: str) -> tuple[str, dict[str, Any]] | None:
        return ("task.planned", {"plan": saga(GOOD, GOOD)}) if to == "planner" else answering(request, to)

    world = Simulation(planning, lossy=False)
    world.request("run.requested", {"plan": {"pattern": "pipeline", "steps": [{"agent": "planner"}]}})
    world.settle_down()
    fold = Fold(Sagas())
    fold.take(read_run(world.log, RUN))
    (row,) = Sagas().shown(RUN, fold.states[RUN])
    assert (row["path"], states(row)) == ("0.0", ("done", ["done", "done"]))
