"""Two runs side by side, wherever each is kept: their events, states, files, prompts, cost and time.

Joins the comparison of events (`projections.diff`) with what only higher levels can fold and read: states and files.
Reads the homes' files only, whether a bus runs or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .agents.git import Git
from .agents.job_report import job_report
from .agents.run_trees import FileDifference, changed_files, patch_between, store_at, trees_of
from .eventstore.event import Event
from .eventstore.forgotten import refuse_forgotten
from .eventstore.large_values import may_hold
from .eventstore.run import parts_of, read_run
from .orchestration.errors import RunNotFound
from .orchestration.result import RunView
from .projections.diff import FieldDifference, RunDiff, diff
from .projections.likeness import differences
from .projections.workspace_files import RunFiles, WorkspaceFiles, files_of
from .run_log import RunLog

#: How many differences of the two states are told.
STATES_MAX = 50


class Side(msgspec.Struct, frozen=True):
    """One run: its id, where it is kept, its events with values loaded, its state and its files.

    `versions` are those of what ran last: of the program, of each pattern's decider, of each agent's code.
    """

    run: str
    place: Path
    lineage: tuple[str, ...]
    events: Sequence[Event]
    state: dict[str, Any]
    files: RunFiles
    forgotten: int
    versions: dict[str, Any]


class WorkspaceDifference(msgspec.Struct, frozen=True):
    """The files of one workspace (a task's path, with a name behind a dot where it has several) at the end of each run.

    Commits are None where a run has no such workspace. `files` is None where that can't be told, as a store has lost a
    commit (`missing` names it), and empty where all are equal.
    """

    workspace: str
    commit_a: str | None
    commit_b: str | None
    files: tuple[FileDifference, ...] | None
    missing: tuple[str, ...] = ()
    patch: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """All of it. `state` are the fields in which the runs' states differ, `files` the workspaces that aren't equal."""

    a: Side
    b: Side
    events: RunDiff
    state: tuple[FieldDifference, ...]
    files: tuple[WorkspaceDifference, ...]

    @property
    def differs(self) -> bool:
        """Whether anything differs but time and cost, which always do."""
        return bool(self.events.events or self.state or self.files)


def side_of(log: RunLog, run: str, place: Path) -> Side:
    """Read one run whole; raises RunForgotten, and RunNotFound for an id that events only carry."""
    for part in parts_of(log, run, log.head):
        refuse_forgotten(log, part.run, "be compared")
    events = [_loaded(log, event) for event in read_run(log, run)]
    view = RunView(run)
    for event in events:
        view.take(event)
    if view.status == "unknown":
        raise RunNotFound(run)
    lineage = tuple(part.run for part in parts_of(log, run, log.head))
    forgotten = sum(event.payload is None for event in events)
    state = _state(run, view, events)
    return Side(run, place, lineage, events, state, files_of(events), forgotten, _versions(events))


def compare(a: Side, b: Side, *, patches: bool = False) -> Comparison:
    """Compare two runs; with `patches` the difference of each workspace is told line by line. Raises GitFailed."""
    git = Git()
    trees = {**_trees(git, a), **_trees(git, b)}
    events = diff(a.events, b.events, (a.lineage, b.lineage), trees)
    told = differences(events.names[0].of(a.state), events.names[1].of(b.state), most=STATES_MAX)
    state = tuple(FieldDifference(*one) for one in told)
    keys = sorted({*a.files.workspaces, *b.files.workspaces})
    pairs = [(key, a.files.workspaces.get(key), b.files.workspaces.get(key)) for key in keys]
    compared = (_workspace(git, key, (a, one), (b, other), trees, patches) for key, one, other in pairs)
    found: dict[tuple[str | None, ...], WorkspaceDifference] = {}
    for one in compared:
        if one.files is None or one.files:
            # Later tasks look at what an earlier one has made: that is told once.
            found.setdefault((trees.get(one.commit_a or ""), trees.get(one.commit_b or ""), *one.missing), one)
    return Comparison(a, b, events, state, tuple(found.values()))


def _loaded(log: RunLog, event: Event) -> Event:
    """Return an event with what it holds as blobs in its payload."""
    if event.payload is None or not may_hold(event.payload):
        return event
    return msgspec.structs.replace(event, payload=msgspec.json.encode(log.load(event.data)).decode())


def _state(run: str, view: RunView, events: Sequence[Event]) -> dict[str, Any]:
    """Return how a run stands, without when and at what cost; evidence is compared with the events that name it."""
    report = job_report(run, events)
    for name in ("run", "cost", "positions", "elapsed_s", "evidence"):
        report.pop(name, None)
    result = view.result()
    tasks = {
        one.path: {"agent": one.agent, "outcome": one.outcome, "reason": one.reason, "attempts": one.attempts}
        for one in result.tasks
    }
    ends = {"value": result.value, "undone": list(result.undone), "not_undone": list(result.not_undone)}
    return {**report, **ends, "tasks": tasks}


def _versions(events: Sequence[Event]) -> dict[str, Any]:
    """Return the versions that a run's events tell, the latest of each."""
    found: dict[str, Any] = {}
    for event in events:
        data = event.data if event.type in ("run.started", "task.started") and event.payload is not None else None
        if not isinstance(data, dict):
            continue
        told, code = data.get("versions"), data.get("code")
        found |= told if isinstance(told, dict) else {}
        if isinstance(code, str):
            name, _, version = code.partition("@")
            found.setdefault("agents", {})[name] = version
    return found


def _trees(git: Git, side: Side) -> dict[str, str]:
    """Return what names the files of every commit that a run's events name, as far as its stores have them."""
    stores: dict[str, None] = {}
    commits: dict[str, None] = {}
    for event in side.events:
        told = event.type.startswith(("workspace.", "effect.")) and event.payload is not None
        data = event.data if told else None
        if not isinstance(data, dict):
            continue
        named = data.get("commits")
        given = (data.get("commit"), *(named.values() if isinstance(named, dict) else ()))
        commits |= dict.fromkeys(commit for commit in given if isinstance(commit, str))
        if event.type != "workspace.fetched" and isinstance(data.get("store"), str):
            stores[data["store"]] = None
    found: dict[str, str] = {}
    for store in stores:
        found |= trees_of(git, store_at(side.place, store), [one for one in commits if one not in found])
    return found


def _workspace(
    git: Git,
    key: str,
    a: tuple[Side, WorkspaceFiles | None],
    b: tuple[Side, WorkspaceFiles | None],
    trees: dict[str, str],
    patches: bool,
) -> WorkspaceDifference:
    (side_a, one), (side_b, other) = a, b
    commits = (one.commit if one else None), (other.commit if other else None)
    missing = tuple(commit for commit in commits if commit is not None and commit not in trees)
    if one is None or other is None:
        return _of_one(git, key, a if one is not None else b, trees, patches, first=one is not None)
    if missing:
        return WorkspaceDifference(key, commits[0], commits[1], () if one.commit == other.commit else None, missing)
    if trees[one.commit] == trees[other.commit]:
        return WorkspaceDifference(key, commits[0], commits[1], ())
    places = (store_at(side_a.place, one.store), one.commit), (store_at(side_b.place, other.store), other.commit)
    patch = patch_between(git, *places) if patches else None
    return WorkspaceDifference(key, commits[0], commits[1], tuple(changed_files(git, *places)), patch=patch)


def _of_one(
    git: Git, key: str, a: tuple[Side, WorkspaceFiles | None], trees: dict[str, str], patches: bool, *, first: bool
) -> WorkspaceDifference:
    """Compare a workspace that only one of the runs has with what it was laid out at."""
    side, held = a
    assert held is not None
    commits = (held.commit if first else None), (None if first else held.commit)
    missing = tuple(commit for commit in dict.fromkeys((held.start, held.commit)) if commit not in trees)
    if held.start == held.commit:
        return WorkspaceDifference(key, commits[0], commits[1], (), missing)
    if missing:
        return WorkspaceDifference(key, commits[0], commits[1], None, missing)
    store = store_at(side.place, held.store)
    before, after = (store, held.start), (store, held.commit)
    places = (after, before) if first else (before, after)
    patch = patch_between(git, *places) if patches else None
    return WorkspaceDifference(key, commits[0], commits[1], tuple(changed_files(git, *places)), patch=patch)
