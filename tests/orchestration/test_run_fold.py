"""The order in which a run's events count: inputs up to `seen`, then the batch that names it, then the rest."""

from __future__ import annotations

from typing import Any

from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.run_fold import fold_run

RUN = "0190a0b0c0d0e0f00000000000000001"


def interleaved(world: Any) -> Any:
    """A timeout fires; before the decision on it lands in the log, the task's success does."""
    here = world({"a": lambda _: ("task.succeeded", {"value": 1})})
    here.submit(Task("a", timeout_s=5))
    here.feed()
    here.flush()
    here.tick()
    here.flush()
    here.feed()
    here.work()
    here.flush()
    return here


def test_a_decision_counts_right_after_the_input_that_it_names(world: Any) -> None:
    """A success that lies between a timeout and the decision on it counts after that decision: it is taken."""
    here = interleaved(world)
    told = here.told()
    assert told.index("timer.fired 0") < told.index("task.succeeded 0") < told.index("task.cancelled 0")
    run = here.fold().at_head
    assert (run.tasks["0"].phase, run.tasks["0"].report.outcome) == ("reported", "succeeded")
    assert here.settle_down().end()["outcome"] == "succeeded"


def test_an_undecided_input_waits_beside_the_state(world: Any) -> None:
    """Until a decision names it or one after it, an input is pending, and only the view at the head includes it."""
    here = interleaved(world)
    fold = here.fold()
    assert [fact.type for fact in fold.pending] == ["task.succeeded"]
    assert fold.run.tasks["0"].phase == "stopping"


def test_the_state_as_of_any_position_is_that_of_the_events_up_to_it(world: Any) -> None:
    """Folding a prefix of the log never needs what comes later, and folding on from it gives the whole."""
    here = interleaved(world).settle_down()
    events = here.log.read(run=RUN)
    statuses = [fold_run(RUN, events[:n]).at_head.status for n in range(len(events) + 1)]
    assert statuses[0] == "unknown"
    assert statuses[-1] == "ended"
    assert statuses == sorted(statuses, key=["unknown", "requested", "open", "ended"].index)


def test_what_orchestration_does_not_read_moves_only_the_end(world: Any) -> None:
    """Progress and effects of a task change nothing of the run's state but where it ends."""
    here = world({})
    here.submit(Task("a"))
    here.settle_down()
    before = here.fold().at_head
    here.append("effect.completed", {"kind": "tool"}, stream=f"task.{RUN}.0")
    after = here.fold().at_head
    assert after.last == here.log.head > before.last
    assert (after.tasks, after.status) == (before.tasks, before.status)
