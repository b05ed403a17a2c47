"""Why a line is as it is: the commit it is from, the effect that made that, the model call, what caused it all.

Owns the way from a line to a run: through git's blame, the trailer that commits of jobs have, or the events that name
the commit; a commit that was made anew on the way (rebased, squashed) is found by the line's text. Then through the
run's steps, as a job's one commit has been made of many. Reads only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath
from shlex import quote

import msgspec

from .agents.blame import BlamedLine, blame, file_at, message_of
from .agents.git import Git
from .agents.run_trees import store_at, trees_of
from .errors import PrefixAmbiguous
from .eventstore.event import Event
from .eventstore.forgotten import refuse_forgotten
from .eventstore.large_values import may_hold
from .eventstore.presence import is_there
from .eventstore.run import read_run
from .eventstore.storage_errors import LogNotFound
from .orchestration.errors import RunNotFound
from .projections.origins import Origin, commits_before, is_made, origin_of
from .run_file_errors import LineInSeveral, LineNotFound, LineNotOurs
from .run_log import RunLog
from .run_place import imported_runs, imports_folder, open_run

_TRAILER = re.compile(r"^Twelvefold-Run: ([0-9a-f]{32})\s*$", re.MULTILINE)
#: As git quotes the messages of what it has squashed; anybody's words may look like it.
_QUOTED = re.compile(r"^[ \t]+Twelvefold-Run: ([0-9a-f]{32})\s*$", re.MULTILINE)
#: Causes are followed so far at most; a chain is as long as a run is deep.
_CAUSES_MAX = 1000
_PAGE = 1000


class Reason(msgspec.Struct, frozen=True):
    """The answer. `line` is as blamed in the repository, `step` the commit of the run that brought the line, `by` how
    that was found (`commit`: it is the very commit, `text`: by what the line says). `causes` lead from the request of
    the task to what the run was asked for, and beyond where another run has asked.
    """

    run: str
    line: BlamedLine
    step: BlamedLine
    by: str
    origin: Origin
    causes: tuple[Event, ...]


def why(
    home: Path, line: BlamedLine, place: str, *, run: str = "", at: Path | None = None, git_dir: Path | None = None
) -> Reason:
    """Return why a line is as it is that was blamed in a repository, or in a store of `run`; `place` is for errors.

    Raises LineNotOurs where no run of the home, or imported there, has made it; RunForgotten; GitFailed.
    """
    git = Git()
    message = message_of(git, line.commit, at=at, git_dir=git_dir)
    named = dict.fromkeys([run, *_TRAILER.findall(message)] if run else _TRAILER.findall(message))
    for candidate in chain(named, _runs_that_made(home, line.commit), dict.fromkeys(_QUOTED.findall(message))):
        try:
            with open_run(home, candidate, "") as (log, found, kept):
                reason = _in_run(git, log, found, kept, line)
        except (RunNotFound, PrefixAmbiguous, LogNotFound):
            continue
        if reason is not None:
            return reason
    raise LineNotOurs(place, line.commit, line.author, line.subject)


def line_of_run(home: Path, given: str, path: str, line: int) -> tuple[BlamedLine, Path] | None:
    """Blame a line of what a run has made last of a path; return it with the store it was found in, None for none.

    Where the run works on several repositories, `path` may begin with the name of one. Raises RunNotFound,
    PrefixAmbiguous, RunForgotten, LineInSeveral where the run has made the line in more than one, and LineNotFound for
    a fork that has laid out no files, as all was served from another run's record.
    """
    with open_run(home, given, "twelvefold why --run") as (log, run, kept):
        refuse_forgotten(log, run, "say why a line is as it is")
        events = _events(log, run)
    names = _repositories(events)
    served = _served_by(events)
    if served and not names:
        reason = f"run {run} has laid out no files: run {served} had made them, and its record was served"
        raise LineNotFound(f"{path}:{line}", reason, f"twelvefold why --run {served} {quote(f'{path}:{line}')}")
    found = _lines_at(events, kept, names, path, line)
    top, _, rest = path.partition("/")
    if not found and rest and len(names) > 1:
        found = _lines_at(events, kept, {key: name for key, name in names.items() if name == top}, rest, line)
    ours = {key: one for key, one in found.items() if any(is_made(event, one[0].commit) for event in events)}
    if len(ours) > 1:
        raise LineInSeveral(f"{path}:{line}", run, tuple(sorted(names[key] for key in ours)))
    return next(iter((ours or found).values()), None)


def _lines_at(
    events: Sequence[Event], kept: Path, names: Mapping[str, str], path: str, line: int
) -> dict[str, tuple[BlamedLine, Path]]:
    """Blame a line of what was made last of a path in each of these repositories."""
    git = Git()
    found: dict[str, tuple[BlamedLine, Path]] = {}
    for store, commit in _commits_of(events, path):
        key, folder = _repository(store), store_at(kept, store)
        if key in found or key not in names or not trees_of(git, folder, [commit]):
            continue
        blamed = blame(git, commit, path, line, git_dir=folder)
        if blamed is not None:
            found[key] = (blamed, folder)
            if len(found) == len(names):
                break
    return found


def _repositories(events: Sequence[Event]) -> dict[str, str]:
    """Return what tells the repositories of a run's stores apart, each with its name as the tasks were told it."""
    told = [event for event in events if event.payload is not None and isinstance(event.data, dict)]
    asked = {event.data.get("path"): event.data.get("input") for event in told if event.type == "task.requested"}
    found: dict[str, str] = {}
    for event in told:
        store = event.data.get("store")
        if event.type in ("workspace.created", "workspace.committed") and isinstance(store, str):
            given = asked.get(event.stream.split(".", 2)[-1])
            repo = given.get("repo") if isinstance(given, dict) else None
            found[_repository(store)] = PurePath(repo).name if isinstance(repo, str) else _repository(store)
    return found


def _served_by(events: Sequence[Event]) -> str:
    """Return the run whose record was served to a fork last, "" for none."""
    for event in reversed(events):
        data = event.data if event.type == "effect.completed" and event.payload is not None else None
        recorded = data.get("recorded") if isinstance(data, dict) else None
        if isinstance(recorded, dict) and isinstance(recorded.get("run"), str):
            return str(recorded["run"])
    return ""


def _repository(store: str) -> str:
    """Return what names the repository of a store: the folder in which every run has its own."""
    return PurePath(store).parent.name


def _in_run(git: Git, log: RunLog, run: str, kept: Path, line: BlamedLine) -> Reason | None:
    refuse_forgotten(log, run, "say why a line is as it is")
    events = _events(log, run)
    store = _store_of(git, events, kept, line.commit)
    found = _by_text(git, events, kept, line) if store is None else (store, line)
    if found is None:
        return None
    step = _refined(git, events, *found)
    origin = origin_of(events, step.commit)
    if origin is None:
        return None
    by = "text" if store is None else "commit"
    return Reason(run, line, step, by, origin, tuple(_causes(log, origin.event.cause)))


def _store_of(git: Git, events: Sequence[Event], kept: Path, commit: str) -> Path | None:
    """Return the store that has a commit which the run has made; None where it has made none such."""
    if not any(is_made(event, commit) for event in events):
        return None
    stores = dict.fromkeys(store_at(kept, store) for store, _ in _commits_of(events, ""))
    return next((store for store in stores if trees_of(git, store, [commit])), next(iter(stores), None))


def _by_text(git: Git, events: Sequence[Event], kept: Path, line: BlamedLine) -> tuple[Path, BlamedLine] | None:
    """Find the line in what the run has made last of its path, by its text, the nearest to its number."""
    wanted = line.text.rstrip("\r")
    for store, commit in _commits_of(events, line.path):
        folder = store_at(kept, store)
        content = file_at(git, commit, line.path, git_dir=folder) if trees_of(git, folder, [commit]) else None
        lines = (content or b"").decode("utf-8", "replace").split("\n")
        numbers = [n for n, text in enumerate(lines, 1) if text.rstrip("\r") == wanted]
        for number in sorted(numbers, key=lambda n: abs(n - line.line)):
            found = blame(git, commit, line.path, number, git_dir=folder)
            if found is not None and any(is_made(event, found.commit) for event in events):
                return folder, found
    return None


def _commits_of(events: Sequence[Event], path: str) -> Iterator[tuple[str, str]]:
    """Yield store and commit of what a run has made, the last first: what may have changed a path, then all others.

    A commit that was served from another run's record may be in any store of the run, so that each is named with it.
    """
    told = [event for event in reversed(events) if event.payload is not None and isinstance(event.data, dict)]
    laid = (event.data.get("store") for event in told if event.type in ("workspace.created", "workspace.committed"))
    stores = dict.fromkeys(store for store in laid if isinstance(store, str))
    others: list[tuple[str, str]] = []
    for event in told:
        data = event.data
        if event.type == "workspace.committed":
            made = [(str(data.get("store")), str(data.get("commit")))]
        elif event.type == "effect.completed" and "recorded" in data and isinstance(data.get("commit"), str):
            made = [(store, data["commit"]) for store in stores]
        else:
            continue
        if event.type == "workspace.committed" and path not in (data.get("files_changed") or ()):
            others += made
        else:
            yield from made
    yield from others


def _refined(git: Git, events: Sequence[Event], store: Path, line: BlamedLine) -> BlamedLine:
    """Find the step that brought a line: a commit made of others at the end has the files of the last of them."""
    before = commits_before(events, line.commit)
    trees = trees_of(git, store, [*before, line.commit])
    if line.commit not in trees:
        return line
    last = next((commit for commit in reversed(before) if trees.get(commit) == trees[line.commit]), None)
    found = None if last is None else blame(git, last, line.path, line.line, git_dir=store)
    known = found is not None and any(is_made(event, found.commit) for event in events)
    return found if found is not None and known else line


def _events(log: RunLog, run: str) -> list[Event]:
    return [
        msgspec.structs.replace(event, payload=msgspec.json.encode(log.load(event.data)).decode())
        if event.payload is not None and may_hold(event.payload)
        else event
        for event in read_run(log, run)
    ]


def _causes(log: RunLog, id: bytes) -> Iterator[Event]:
    """Yield the events that led to something, the nearest first, as far as the log has them."""
    for _ in range(_CAUSES_MAX):
        event = log.event_of(id) if id else None
        if event is None:
            return
        yield event
        id = event.cause


def _runs_that_made(home: Path, commit: str) -> Iterator[str]:
    """Yield the runs whose events name a commit as made; looks at all of them, as its message doesn't say."""
    if is_there(home / "log.db"):
        with RunLog(home) as log:
            yield from (event.run for event in _naming(log, "workspace.committed", commit))
    for run in imported_runs(home):
        with RunLog(imports_folder(home) / run) as log:
            # A fork's may have been served from a record that isn't here.
            if any(is_made(event, commit) for event in _naming(log, "*", commit)):
                yield run


def _naming(log: RunLog, type: str, commit: str) -> Iterator[Event]:
    """Yield the events of a type that hold a commit's id, the latest first."""
    until: int | None = None
    while page := log.read(type=type, until=until, limit=_PAGE, reverse=True):
        yield from (event for event in page if event.payload and commit in event.payload)
        until = page[-1].position - 1
