"""The one document in which `run --json` ends: what became of a run of the built-in job, read off its events.

Owns the keys of that document. Pure: the same events give the same document, today and from a copy of the log. Keeps:
what did not happen is null, and nothing is claimed that no event says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event
from ..eventstore.large_values import Load, is_reference
from ..orchestration.result import Cost
from ..orchestration.run_fold import fold_run
from ..orchestration.run_state import Run, TaskState
from ..orchestration.steps import steps_of
from .part_notes import decision_notes, decision_of, engine_notes, part_notes, undone_wishes


def job_report(run_id: str, events: Iterable[Event], load: Load | None = None) -> dict[str, Any]:
    """Return the document for a run; `events` are all of the run's, in position order.

    `load` puts in values that are held as blobs.

    `outcome` and `elapsed_s` are null while the run is open; a run of another plan has its tasks, evidence and
    positions, and null for what only the built-in job has.
    """
    known = list(events)
    run = fold_run(run_id, known, load).at_head
    steps = _steps(run)
    asked = {**_input(known, _first_fix(run, steps), load), **_input(known, "0", load)}
    several = _repositories(run, steps, decision_of(known, load)) or _undecided(asked)
    tested = [_value(run, one["steps"].get("test")) for one in several] or [_value(run, steps.get("test"))]
    report = run.end
    undone = undone_wishes(
        run, [path for one in several or [{"steps": steps}] for path in _fix_paths(run, one["steps"])]
    )
    document = {
        "run": run_id,
        "outcome": run.outcome or None,
        "reason": _reason(run, tested, undone),
        "repo": asked.get("repo"),
        "base_commit": asked.get("base"),
        **_change(run, steps),
        "notes": [
            *_notes(run),
            *decision_notes(known, run.outcome, load),
            *part_notes(run, steps),
            *undone,
            *(note for one in (several or [{"steps": steps}]) for note in _fix_notes(run, one["steps"])),
            *(remark for test in tested for remark in _remarks(test)),
        ],
        "evidence": _evidence(run, report),
        "tasks": [_task(task, run) for _, task in sorted(run.tasks.items(), key=lambda item: _order(item[0]))],
        "cost": _cost(event for event in known if event.run == run_id),
        "positions": {"first": run.first or None, "last": run.last or None},
        "elapsed_s": _elapsed(run),
    }
    if "offer" in steps:
        document["pull_request"] = _value(run, steps["offer"]).get("pull_request")
    if several:
        document["repos"] = [
            {"name": one["name"], "repo": one["repo"], "base_commit": one["base"], **_change(run, one["steps"])}
            for one in several
        ]
    return document


def _change(run: Run, steps: Mapping[str, str]) -> dict[str, Any]:
    """What has become of one repository, whose steps have these paths."""
    fixes = [_value(run, path) for path in _fix_paths(run, steps)]
    test, review, publish = (_value(run, steps.get(name)) for name in ("test", "review", "publish"))
    published = _published(run, steps.get("publish", ""))
    return {
        "branch": publish.get("branch") if published else None,
        "commit": next((fix["commit"] for fix in reversed(fixes) if fix.get("commit")), None),
        "patch": publish.get("patch") if published else None,
        "files_changed": _files_changed(fixes),
        "tests": _tests(test),
        "review": {"findings": review["findings"]} if isinstance(review.get("findings"), list) else None,
    }


def _repositories(run: Run, steps: Mapping[str, str], decision: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The repositories of a job over several, each with the paths of its own steps (see `repositories/several.py`)."""
    found = []
    for n, one in enumerate(decision.get("repos") or (), 1):
        own = {"fix": steps.get(f"fix-{n}"), "publish": steps.get(f"publish-{n}")}
        for name in ("test", "review"):
            own[name] = f"{steps[name + 's']}.{n - 1}" if f"{name}s" in steps else None
        found.append({**one, "steps": {name: path for name, path in own.items() if path}})
    return found


def _undecided(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The repositories that a job over several was asked for, as long as nothing is decided about them."""
    given = asked.get("repos")
    known = [one for one in given if isinstance(one, dict) and "repo" in one] if isinstance(given, list) else []
    return [{"name": one.get("name"), "repo": one["repo"], "base": one.get("base"), "steps": {}} for one in known]


def refusal_report(error: TwelvefoldError, repo: str) -> dict[str, Any]:
    """Return the same document for a job that could not even be started: failed, with the reason, and no run."""
    return unneeded_report("failed", error.message(), repo)


def unneeded_report(outcome: str, reason: str, repo: str, base: str | None = None) -> dict[str, Any]:
    """Return the same document for an issue that gets no run: with its outcome, the reason, and no run."""
    report = {**job_report("", []), "run": None, "outcome": outcome, "reason": reason, "repo": repo}
    return {**report, "base_commit": base, "cost": dict(msgspec.to_builtins(Cost()))}


def _notes(run: Run) -> list[str]:
    """What the caller found worth saying when it started the run, such as changes that were left out."""
    given = run.input.get("notes") if isinstance(run.input, dict) else None
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []


def _fix_notes(run: Run, steps: Mapping[str, str]) -> list[str]:
    return [note for path in _fix_paths(run, steps) for note in engine_notes(_value(run, path))]


def _remarks(test: Mapping[str, Any]) -> list[str]:
    """What is worth knowing of tests that passed: that some fail as before, didn't run any more, or are unsteady."""
    if test.get("status") != "passed":
        return []
    told = [f"tests: {test['reason']}"] if test.get("reason") else []
    flaky = list(test.get("flaky") or ())
    if flaky:
        more = f" and {len(flaky) - 5} more" if len(flaky) > 5 else ""
        told.append(f"tests: unsteady, failing at times without the change as well: {', '.join(flaky[:5])}{more}")
    return told


def _steps(run: Run) -> dict[str, str]:
    """The paths of the job's named steps: of the plan that its first task has answered with, or of the run's own."""
    first = run.tasks.get("0")
    plan = first.plan if first is not None and first.plan is not None else run.plan
    return {step.name: f"0.{n}" for n, step in enumerate(steps_of(plan))} if plan is not None else {}


def _fix_paths(run: Run, steps: Mapping[str, str]) -> list[str]:
    """The paths of the tasks that fix: one, or one for each part of the issue."""
    path = steps.get("fix")
    if path is None:
        return []
    below = [other for other in run.tasks if other.startswith(f"{path}.") and other[len(path) + 1 :].isdigit()]
    return sorted(below, key=_order) or [path]


def _first_fix(run: Run, steps: Mapping[str, str]) -> str | None:
    return next(iter(_fix_paths(run, steps)), None)


def _files_changed(fixes: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """What all parts together have changed; null where nothing was fixed."""
    found = [fix["files_changed"] for fix in fixes if isinstance(fix.get("files_changed"), list)]
    return sorted({name for names in found for name in names}) if found else None


def _input(events: Iterable[Event], path: str | None, load: Load | None) -> Mapping[str, Any]:
    """The input with which the step at a path was requested first."""
    for event in events:
        data = event.data if path is not None and event.type == "task.requested" else None
        if isinstance(data, dict) and data.get("path") == path and isinstance(data.get("input"), dict):
            given = data["input"]
            given = load(given) if load is not None and is_reference(given) else given
            return given if isinstance(given, dict) else {}
    return {}


def _value(run: Run, path: str | None) -> Mapping[str, Any]:
    task = run.tasks.get(path or "")
    value = task.report.value if task is not None and task.report is not None else None
    return value if isinstance(value, dict) else {}


def _published(run: Run, path: str) -> bool:
    """Tell whether the branch was made by the task at a path, and has not been taken back."""
    task = run.tasks.get(path)
    done = task is not None and task.report is not None and task.report.outcome == "succeeded"
    return done and path not in run.undone


def _reason(run: Run, tested: Sequence[Mapping[str, Any]], undone: Sequence[str]) -> str | None:
    """Say why it ended so: in the words of the run's end, or what limits a success (a part is lacking, or tests)."""
    if run.outcome == "succeeded":
        untested = [test for test in tested if test.get("status") in ("none", "unusable")]
        limits = ["only a part of the issue was done"] if undone else []
        limits += [str(test.get("reason") or "nothing was tested") for test in untested[:1]]
        return "; ".join(limits) or None
    if not run.outcome:
        return None
    if run.end.get("reason") == "timeout":
        return "timeout"
    told = _deciding(run)
    parts = [run.end.get("reason"), *((told.report.reason, _words(told)) if told and told.report else ())]
    seen = [part for n, part in enumerate(parts) if isinstance(part, str) and part and part not in parts[:n]]
    return ": ".join(seen) or None


def _deciding(run: Run) -> TaskState | None:
    """The task whose outcome the run's is: the one that its end names, else the first with that outcome."""
    if named := run.tasks.get(str(run.end.get("at"))):
        return named
    for _, task in sorted(run.tasks.items(), key=lambda item: _order(item[0])):
        if task.report is not None and task.report.outcome == run.outcome and not task.undo:
            return task
    # What failed beyond the point of no return waits for a human, and is why the run does.
    return next((task for task in run.tasks.values() if task.phase == "parked"), None)


def _words(task: TaskState) -> str:
    report = task.report
    if report is None:
        return ""
    error = report.error.get("message") if isinstance(report.error, dict) else report.error
    question = report.question if isinstance(report.question, str) else ""
    return str(report.message or error or question or "")


def _tests(test: Mapping[str, Any]) -> dict[str, Any] | None:
    if not test or test.get("status") in (None, "none"):
        return None
    return {
        "status": test.get("status"),
        "command": test.get("command"),
        "before": _counts(test.get("before")),
        "after": _counts(test.get("after")),
        "newly_failing": test.get("newly_failing", []),
    }


def _counts(side: Any) -> dict[str, Any] | None:
    return {key: side.get(key) for key in ("passed", "failed")} if isinstance(side, dict) else None


def _evidence(run: Run, end: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = end.get("evidence")
    if not isinstance(given, list):
        reports = (task.report for _, task in sorted(run.tasks.items(), key=lambda item: _order(item[0])))
        given = [item for report in reports if report is not None for item in report.evidence]
    return [{"kind": item.get("kind"), "ref": item.get("ref")} for item in given if isinstance(item, dict)]


def _task(task: TaskState, run: Run) -> dict[str, Any]:
    outcome: str | None = task.report.outcome if task.report else None
    if task.plan is not None and task.path == "0":
        outcome = run.outcome or None  # of a task that answered with a plan, it is the plan's
    return {"path": task.path, "agent": task.agent, "outcome": outcome}


def _order(path: str) -> tuple[tuple[int, str], ...]:
    """Paths in the order of their numbers, `0.2` before `0.10`, and a compensation after its step."""
    return tuple((int(part), "") if part.isdigit() else (1 << 30, part) for part in path.split("."))


def _cost(events: Iterable[Event]) -> dict[str, Any]:
    """Add up what completed model calls of a run itself say that they used; None for what none of them said."""
    cost = Cost()
    for event in events:
        data = event.data if event.type == "effect.completed" else None
        if isinstance(data, dict) and data.get("kind") == "model":
            cost = cost.plus(data.get("usage"))
    return dict(msgspec.to_builtins(cost))


def _elapsed(run: Run) -> float | None:
    if not run.outcome or not run.requested_ns:
        return None
    return round((run.last_ns - run.requested_ns) / 1e9, 6)
