"""What a run would do about an issue, without a run: the same decision, and the change of engines that need no model.

Owns trying the fixer in a folder of its own that is removed afterwards. Leaves the explicit edits, which need not even
that, to `dry_run`. Keeps: the repository is only read, no home is made, nothing is left; no model is asked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from .agent_settings import AgentSettings
from .dry_run import preview
from .engines.engine import AUTO
from .git import Git
from .issue_saga import EXACT, JobTask, part_name, part_tasks
from .job import Request
from .part_notes import not_done_note, wish_notes

#: The engines that cost money or depend on a service: a dry run says that they would be asked.
_ASKED_IN_RUNS = frozenset({"model"})
_RUN = "0" * 32


def rehearse(job: JobTask, request: Request, settings: AgentSettings) -> dict[str, Any]:
    """Return `{outcome, message, files_changed, diff, kind, level, parts, notes}` of what a run would begin with.

    `notes` are sentences on what nobody would work on. `outcome` is null where a model would be asked. Raises what the
    fixer raises before it begins (UnknownEngine).
    """
    from .smart_issue import decide, open_engines

    able = open_engines(job.engine, settings, job.command)
    decided = decide(job, _RUN, open_engines=able)
    found = _rehearsed(job, request, settings, decided, able=able)
    return {**found, "notes": [*wish_notes(decided["left"], found["outcome"] or ""), *found.get("notes", ())]}


def _rehearsed(
    job: JobTask, request: Request, settings: AgentSettings, decided: dict[str, Any], *, able: bool
) -> dict[str, Any]:
    issue = decided["issue"]
    told: dict[str, Any] = {"kind": issue["kind"], "level": issue["level"], "parts": decided["parts"]}
    if decided["plan"] is None:
        outcome = "nothing_to_do" if issue["outcome"] == "nothing_to_do" else "needs_human"
        message = f"{issue['reason']}: {issue['message']}"
        return {"outcome": outcome, "message": message, "files_changed": [], "diff": "", **told}
    tasks = part_tasks(decided["plan"])
    exact = preview(job.issue.name, job.issue.text, request)
    if len(tasks) == 1 and (job.engine == EXACT or not able or not _is_open(exact)):
        return {**exact, **told}
    engines = _engines(job, settings)
    if asked := [name for name in engines if name in _ASKED_IN_RUNS]:
        message = f"the engine `{asked[0]}` would be asked; a dry run asks no model"
        return {"outcome": None, "message": message, "files_changed": [], "diff": "", **told}
    return {**_tried(job, tasks, settings), **told}


def _is_open(exact: dict[str, Any]) -> bool:
    """Tell whether an issue states no edits, so that another engine is asked."""
    return exact["outcome"] == "needs_human" and str(exact["message"]).startswith("no_explicit_edits")


def _engines(job: JobTask, settings: AgentSettings) -> list[str]:
    """Return the engines that would be asked for what isn't stated edit by edit, in their order."""
    if job.engine != AUTO:
        return [job.engine]
    from .engines.engine import engine_names

    able = {"model": bool(settings.model or settings.model_url), "command": bool(job.command or settings.fixer_command)}
    return [name for name in engine_names() if name != EXACT and able.get(name, True)]


def _tried(job: JobTask, tasks: list[dict[str, Any]], settings: AgentSettings) -> dict[str, Any]:
    """Have the fixer do the parts one after the other in a home that is removed afterwards."""
    from .fixer import NOT_DONE, IssueFixerAgent
    from .store import Stores
    from .trial import Trial, run_task

    with tempfile.TemporaryDirectory(prefix="twelvefold-dry-") as folder:
        trial = Trial(Path(folder), settings)
        commit, message, notes = job.base, "", list[str]()
        made: dict[str, str] = {}
        for number, given in enumerate(tasks):
            task = {**given, "after": [], "start": commit if commit != job.base else None}
            task |= {"needs": [made.get(one["$from"]) for one in given["needs"]]} if "needs" in given else {}
            outcome = run_task(IssueFixerAgent(), task, trial=trial, run=_RUN, path=f"0.0.{number}")
            if outcome.outcome == "nothing_to_do" and outcome.reason == NOT_DONE:
                notes.append(not_done_note(outcome.value, outcome.message))
                continue
            message = outcome.message or message
            if outcome.outcome == "succeeded":
                commit = made[part_name(number)] = outcome.value["commit"]
            elif outcome.outcome != "nothing_to_do" or (number == 0 and len(tasks) == 1):
                told = f"{outcome.reason}: {outcome.message}"
                return {"outcome": outcome.outcome, "message": told, "files_changed": [], "diff": ""}
        stores = Stores(Git(), trial.places.stores)
        store = stores.find_run(_RUN)
        if store is None or commit == job.base:
            return {"outcome": "nothing_to_do", "message": f"no_change: {message}", "files_changed": [], "diff": ""}
        options = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")
        diff = stores.git.run("diff", *options, job.base, commit, git_dir=store.git_dir).out
        names = stores.git.run("diff", "--name-only", "-z", *options, job.base, commit, git_dir=store.git_dir).out
    changed = sorted(name.decode("utf-8", "backslashreplace") for name in names.split(b"\0") if name)
    shown = diff.decode("utf-8", "replace")
    return {
        "outcome": "succeeded",
        "message": f"{message}; tests were not run",
        "files_changed": changed,
        "diff": shown,
        "notes": notes,
    }


def as_job(issue: tuple[str, str], request: Request, **more: Any) -> JobTask:
    """Return the task of a job on an issue, by its name and text."""
    name, text = issue
    given = {"issue": {"name": name, "text": text}, "repo": request.repo, "base": request.base, **more}
    return msgspec.convert({key: value for key, value in given.items() if value is not None}, JobTask)
