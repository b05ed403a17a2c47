"""Undoing what the steps of a node have done: in reverse order, each by its compensation, with retries.

Owns what *done* and *undone* mean: a task has done something once it succeeded, or was stopped and nobody knows how
far it came (`doubt`); it is undone once a compensation of it, or of a step around it, has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

from .plan import Part, PatternFields, Task
from .run_state import Run, TaskState, tree_order
from .turn import At, Turn

#: Beyond all positions.
FOREVER = 1 << 62


def undo_parts(plan: PatternFields, at: At, turn: Turn) -> bool:
    """Undo the parts of a pattern that are run once, last first; True once that is over."""
    parts = turn.memo.of_plan(plan, _parts_run_once)
    return _undo(len(parts), lambda n: (parts[n].plan, at.part(plan, parts[n].number)), at, turn)


def undo_in_reverse(places: Sequence[tuple[PatternFields, At]], at: At, turn: Turn) -> bool:
    """Undo plans at places of a node, last first; True once that is over."""
    return _undo(len(places), places.__getitem__, at, turn)


def _undo(count: int, place: Callable[[int], tuple[PatternFields, At]], at: At, turn: Turn) -> bool:
    node = turn.memo.node(at.path, at.depth)
    while node.undone < count:
        if not _end_and_undo(*place(count - 1 - node.undone), turn):
            return False
        node.undone += 1
    return True


def _parts_run_once(plan: PatternFields) -> list[Part]:
    return [part for part in plan.parts() if part.number]


def take_back(places: Sequence[tuple[PatternFields, At]], at: At, turn: Turn, reason: str) -> bool:
    """Cancel what is open of parts of a node that are not needed any more, then undo what they have done.

    True once that is over; until then call it again with the same parts.
    """
    node = turn.memo.node(at.path, at.depth)
    if node.leaving is None:
        node.leaving = _cancel(places, turn, reason)
    while node.leaving:
        path = next(iter(node.leaving))
        if path in turn.run.open and not _is_asked_for(turn.run.tasks[path]):
            return False
        node.leaving.discard(path)
    while node.left < len(places):
        if not _end_and_undo(*places[-1 - node.left], turn):
            return False
        node.left += 1
    return True


def _is_asked_for(task: TaskState) -> bool:
    """Tell whether a task was stopped and only a human's word is waited for: whoever undoes asks for that."""
    return task.phase == "parked" and task.reason == "in_doubt"


def _end_and_undo(step: PatternFields, at: At, turn: Turn) -> bool:
    # What there is to undo follows from how the parts have ended; none of them begins any more.
    turn.wind_up(step, at)
    return undo_step(step, at, turn)


def _cancel(places: Sequence[tuple[PatternFields, At]], turn: Turn, reason: str) -> set[str]:
    """Cancel what is open of parts, with what is left of its timers and questions; return the tasks that were open."""
    run = turn.run
    alone = {place.path for step, place in places if isinstance(step, Task) and _is_alone(run.tasks.get(place.path))}
    roots = {place.path for _, place in places} - alone
    paths = {path for path in alone if path in run.open}
    timers = []
    if roots:
        paths |= {path for path in run.open if _is_at_or_under(path, roots) and not run.tasks[path].undo}
        timers = [timer for timer in turn.timers_in_order() if _is_at_or_under(timer.path, roots)]
    for path in sorted(paths, key=tree_order):
        task = run.tasks[path]
        if task.phase != "stopping" and task.reason != "in_doubt":
            turn.cancel(task, reason)
        turn.cancel_timers(path, task.attempt, ("deadline",))
    for timer in timers:
        if timer.kind != "release" and not timer.path.endswith(".undo") and timer.name in turn.run.timers:
            turn.cancel_timer(timer)
    for key in [key for key in turn.memo.questions if key[0] in paths]:
        del turn.memo.questions[key]
    return paths


def _is_alone(task: TaskState | None) -> bool:
    return task is None or task.plan is None


def _is_at_or_under(path: str, roots: Container[str]) -> bool:
    while path:
        if path in roots:
            return True
        path = path.rpartition(".")[0]
    return False


def undo_step(step: PatternFields, at: At, turn: Turn) -> bool:
    """Undo one step: by its own compensation where it has one, else by undoing what is inside it."""
    place = at.undo()
    if step.undo is None or _is_left_standing(turn.run, at.path):
        return turn.undo(step, at)
    if place.path not in turn.run.tasks and not has_done(turn.run, at.path):
        return True
    assert isinstance(step.undo, Task)  # plans are checked for it
    outcome = turn.advance(step.undo, place)
    if outcome is None:
        return False
    if outcome.kind != "failed":
        if at.path not in turn.run.undone:
            turn.decide("task.compensated", at.path)
        return True
    task = turn.run.tasks[place.path]
    if task.final:
        return True
    _park(task, turn)
    return False


def _is_left_standing(run: Run, path: str) -> bool:
    """Tell whether a rollback leaves what a step did before, as a whole or in parts: then only its parts are looked at.

    What undoes a step undoes all of it; once that has been begun it is brought to its end.
    """
    if run.rollback is None or f"{path}.undo" in run.tasks:
        return False
    done = [done_at(task) for task in _at_or_under(run, path) if _did(task) and not _is_undone(run, task.path)]
    return not done or min(done) <= run.rollback.to


def done_at(task: TaskState) -> int:
    """Return the position at which it was known that a task has done something, the end of time where that isn't."""
    report = task.report
    return (report.position or report.known_at if report is not None else 0) or FOREVER


def _at_or_under(run: Run, path: str) -> Iterator[TaskState]:
    """Yield the tasks at or below a path, of one that has answered with a plan those of the plan."""
    task = run.tasks.get(path)
    if task is not None and task.plan is None:
        yield task
        return
    yield from (task for task in run.tasks.values() if is_under(task.path, path) and task.plan is None)


def has_done(run: Run, path: str) -> bool:
    """Tell whether a task at or below a path has done something that isn't undone, of a fork in the fork itself."""
    task = run.tasks.get(path)
    if task is not None and task.plan is None:
        return _did(task) and not _is_undone(run, path) and not is_ancestors(run, task)
    return any(
        is_under(task.path, path) and _did(task) and not _is_undone(run, task.path) and not is_ancestors(run, task)
        for task in run.tasks.values()
    )


def is_ancestors(run: Run, task: TaskState) -> bool:
    """Tell whether what a task of a fork has done was done before the cut: that is not the fork's to undo."""
    before = run.inherited.get(task.path)
    return before is not None and before.request == task.request


def accounts(run: Run) -> dict[str, Any]:
    """Say what was undone and what was done and is not; tasks that only read have nothing to undo."""
    standing = [t.path for t in run.tasks.values() if _did(t) and t.effect != "read" and not _is_undone(run, t.path)]
    if run.rollback is not None:
        standing = [path for path in standing if done_at(run.tasks[path]) > run.rollback.to]
    return {"undone": sorted(run.undone), "not_undone": sorted(standing)}


def done_work(run: Run) -> Iterator[tuple[str, bool]]:
    """Yield the path of each task that has done something, and whether that is undone.

    Tasks that only read have nothing to undo, and count only where something around them was undone.
    """
    for task in run.tasks.values():
        gone = _is_undone(run, task.path)
        if task.plan is None and _did(task) and (gone or task.effect != "read"):
            yield task.path, gone


def started_below(run: Run, path: str, number_of: Callable[[str], str]) -> list[str]:
    """Return the numbers of the parts of a node of which tasks are known, in the order of the tree.

    `number_of` gives the part's number for a path below the node's own.
    """
    prefix, start = f"{path}.", len(path) + 1
    numbers = {number_of(task[start:]) for task in run.tasks if task.startswith(prefix)}
    return sorted((number for number in numbers if number[0].isdigit()), key=tree_order)


def is_under(path: str, root: str) -> bool:
    """Tell whether a path is root or below it."""
    return path == root or path.startswith(root + ".")


def _park(task: TaskState, turn: Turn) -> None:
    """Leave a compensation that failed for good to a human, saying what is undone and what is not."""
    report = task.report
    reason = report.reason if report else ""
    turn.decide(
        "task.parked",
        task.path,
        what=f"parked/{task.attempt}",
        reason="compensation",
        failure=reason,
        error=report.error if report else None,
        **accounts(turn.run),
    )
    told = report.message or _message(report.error) if report else ""
    if told and (turn.run.rollback is not None or reason == "ref_moved"):
        reason = f"{reason}: {told}"
    turn.ask(task.path, "compensation", f"could not be undone: {reason}")


def _message(error: Any) -> str:
    told = error.get("message") if isinstance(error, dict) else error
    return told if isinstance(told, str) else ""


def _did(task: TaskState) -> bool:
    return not task.undo and (task.doubt or (task.report is not None and task.report.outcome == "succeeded"))


def _is_undone(run: Run, path: str) -> bool:
    return _is_at_or_under(path, run.undone)
