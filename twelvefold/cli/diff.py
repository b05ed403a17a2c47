"""`twelvefold diff`: two runs, and the first thing in which they differ."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from ..projections.diff import EventDifference, FieldDifference, RunDiff, TaskSide, Usage
from ..projections.likeness import differences
from ..run_diff import Comparison, Side, WorkspaceDifference, compare, side_of
from ..run_place import open_run
from ..settings import load_settings
from .output import Style, note, write, write_json

#: How many differing events, fields of a state and files are told one by one.
EVENTS_MAX, STATES_MAX, FILES_MAX = 10, 10, 10
#: How much of a value is shown, and how much of it before the place where two differ.
_SHOWN, _BEFORE = 100, 30


def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="Its id, or the first digits of it.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The other one, its fork for instance.")],
    every: Annotated[bool, typer.Option("--all", help="Show every difference, not only the first ones.")] = False,
    patch: Annotated[bool, typer.Option("--patch", "-p", help="Show how files differ, line by line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Compare two runs to their first difference: events, state, files, prompts, cost and time.

    Events are aligned by what caused them, so that it doesn't matter how tasks were interleaved; a fork and its parent
    share what lies before the cut. Ids, commits of equal files, clocks and folders of the runs' own don't count as
    differences. Works on imported runs, too. Exit status 0 where nothing differs but code, cost and time, else 1. With
    --json the keys are a, b (run, outcome, events, forgotten, versions), differs, shared (events, until), events (same,
    differs, only_a, only_b: counts; first, list: kind, path, type, place, position_a, position_b, fields: field, a, b),
    state (field, a, b), files (workspace, commit_a, commit_b, files: path, kind; missing, patch), prompts (path,
    number, position_a, position_b, lines), cost and time (a, b, tasks).
    """
    home = load_settings().home
    sides = []
    for given in (run_a, run_b):
        with open_run(home, given, "twelvefold diff") as (log, run, place):
            sides.append(side_of(log, run, place))
    found = compare(sides[0], sides[1], patches=patch)
    if as_json:
        write_json(document_of(found))
    else:
        _show(found, every=every)
    return 1 if found.differs else 0


def document_of(found: Comparison) -> dict[str, Any]:
    """Return the document of --json."""
    events = found.events
    kinds = [one.kind for one in events.events]
    return {
        "a": _side(found.a),
        "b": _side(found.b),
        "differs": found.differs,
        "shared": {"events": events.shared, "until": events.shared_until or None},
        "events": {
            "same": events.same,
            **{kind: kinds.count(kind) for kind in ("differs", "only_a", "only_b")},
            "first": msgspec.to_builtins(events.first),
            "list": msgspec.to_builtins(events.events),
        },
        "state": msgspec.to_builtins(found.state),
        "files": msgspec.to_builtins(found.files),
        "prompts": msgspec.to_builtins(events.prompts),
        "cost": {
            "a": msgspec.to_builtins(events.usage[0]),
            "b": msgspec.to_builtins(events.usage[1]),
            "tasks": [
                {"path": one.path, "a": _usage_of(one.a), "b": _usage_of(one.b)}
                for one in events.tasks
                if _usage_of(one.a) != _usage_of(one.b)
            ],
        },
        "time": {
            "a": events.elapsed_s[0],
            "b": events.elapsed_s[1],
            "tasks": [{"path": one.path, "a": _seconds(one.a), "b": _seconds(one.b)} for one in events.tasks],
        },
    }


def _side(side: Side) -> dict[str, Any]:
    outcome = side.state["outcome"]
    return {
        "run": side.run,
        "outcome": outcome,
        "events": len(side.events),
        "forgotten": side.forgotten,
        "versions": side.versions,
    }


def _usage_of(side: TaskSide | None) -> Any:
    return None if side is None else msgspec.to_builtins(side.usage)


def _seconds(side: TaskSide | None) -> float | None:
    return None if side is None else side.elapsed_s


def _show(found: Comparison, *, every: bool) -> None:
    """Write the comparison as people read it."""
    style, events = Style(sys.stdout), found.events
    for name, side in (("a", found.a), ("b", found.b)):
        outcome = side.state["outcome"] or "open"
        write(f"{style.bold(name)}  {side.run}  {outcome}  {style.dim(f'{len(side.events)} events')}")
        if side.forgotten:
            write(style.yellow(f"   the data of {side.forgotten} events was forgotten, so it can't be compared"))
    if events.shared:
        write(style.dim(f"   both begin with the same {events.shared} events, up to position {events.shared_until}"))
    if not found.differs:
        write(style.green("no difference") + f": {events.shared + events.same} events, states and files are alike")
    _show_events(events, style, every)
    if found.state:
        write(style.bold("state"))
        _show_fields(found.state if every else found.state[:STATES_MAX], style, "  ")
        _more(len(found.state), STATES_MAX, every, style)
    if found.files:
        write(style.bold("files"))
        for one in found.files:
            _show_files(one, style, every)
    if events.prompts:
        write(style.bold("prompts"))
        for prompt in events.prompts if every else events.prompts[:1]:
            at = f"(positions {prompt.position_a} and {prompt.position_b})"
            write(f"  {style.cyan(prompt.path)} model call {prompt.number} {style.dim(at)}")
            for line in prompt.lines:
                write("    " + _painted(line, style))
        _more(len(events.prompts), 1, every, style)
    _show_versions(found, style)
    _show_sums(events, style)


def _show_versions(found: Comparison, style: Style) -> None:
    """Write which code was another one: no difference of what was done, but often why there is one."""
    for name, a, b in differences(found.a.versions, found.b.versions):
        write(f"{style.bold('code')}   {name}  {style.dim(f'a {a}; b {b}')}")


def _show_events(events: RunDiff, style: Style, every: bool) -> None:
    first = events.first
    if first is None:
        return
    kinds = [one.kind for one in events.events]
    counts = f"{kinds.count('differs')} differ, {kinds.count('only_a')} only in a, {kinds.count('only_b')} only in b"
    write(f"{style.bold('events')}  {style.dim(f'{events.same} alike, {counts}')}")
    write(f"  {style.red('first')}  {_where(first, style)}")
    _show_fields(first.fields, style, "    ")
    rest = events.events[1:]
    for one in rest if every else rest[: EVENTS_MAX - 1]:
        named = ", ".join(field.field.removeprefix("data.") for field in one.fields[:3])
        write(f"  then   {_where(one, style)}  {style.dim(named)}")
        if every:
            _show_fields(one.fields, style, "    ")
    _more(len(rest), EVENTS_MAX - 1, every, style)


def _where(one: EventDifference, style: Style) -> str:
    at = f"a {one.position_a}, b {one.position_b}"
    if one.kind != "differs":
        at = f"only in a, {one.position_a}" if one.kind == "only_a" else f"only in b, {one.position_b}"
    return f"{style.cyan(one.place)}  {style.dim(f'({at})')}"


def _show_fields(fields: tuple[FieldDifference, ...], style: Style, lead: str) -> None:
    for one in fields:
        write(f"{lead}{one.field}")
        a, b = excerpts(one.a, one.b)
        write(f"{lead}  {style.red('a ' + a)}")
        write(f"{lead}  {style.green('b ' + b)}")


def excerpts(a: Any, b: Any) -> tuple[str, str]:
    """Return two values as short texts on one line, each from shortly before the place where they differ."""
    texts = [msgspec.json.encode(value).decode() for value in (a, b)]
    pairs = enumerate(zip(*texts, strict=False))
    place = next((n for n, (one, other) in pairs if one != other), min(map(len, texts)))
    start = place - _BEFORE if place > _SHOWN - _BEFORE else 0
    cut = [text[start : start + _SHOWN] for text in texts]
    shown = [
        ("…" if start else "") + part + ("…" if start + _SHOWN < len(text) else "")
        for part, text in zip(cut, texts, strict=True)
    ]
    return shown[0], shown[1]


def _show_files(one: WorkspaceDifference, style: Style, every: bool) -> None:
    commits = " ".join((commit or "-")[:12] for commit in (one.commit_a, one.commit_b))
    write(f"  {style.cyan(one.workspace)}  {style.dim(commits)}")
    if one.files is None:
        missing = ", ".join(commit[:12] for commit in one.missing)
        write("    " + style.yellow(f"no store has {missing} any more, so its files can't be compared"))
        return
    words = {"differs": "", "only_a": "  only in a", "only_b": "  only in b"}
    for file in one.files if every else one.files[:FILES_MAX]:
        write(f"    {file.path}{style.dim(words[file.kind])}")
    _more(len(one.files), FILES_MAX, every, style)
    for line in (one.patch or "").splitlines():
        write("    " + _painted(line, style))


def _painted(line: str, style: Style) -> str:
    return style.green(line) if line.startswith("+") else style.red(line) if line.startswith("-") else style.dim(line)


def _more(count: int, shown: int, every: bool, style: Style) -> None:
    if count > shown and not every:
        write("  " + style.dim(f"… {count - shown} more (--all)"))


def _show_sums(events: RunDiff, style: Style) -> None:
    costs = [_in_words(usage) for usage in events.usage]
    if any(usage.model_calls for usage in events.usage):
        write(f"{style.bold('cost')}   a {costs[0]}; b {costs[1]}")
    times = [f"{seconds:.2f} s" for seconds in events.elapsed_s]
    write(f"{style.bold('time')}   a {times[0]}; b {times[1]}")
    far = [
        (abs(one.a.elapsed_s - one.b.elapsed_s), one.path, one.a.elapsed_s, one.b.elapsed_s)
        for one in events.tasks
        if one.a is not None and one.b is not None and one.a.elapsed_s is not None and one.b.elapsed_s is not None
    ]
    for _, path, a, b in sorted(far, reverse=True)[:3]:
        write(f"  {style.cyan(path)}  {style.dim(f'a {a:.2f} s, b {b:.2f} s')}")
    if events.first is not None:
        note("whole events: twelvefold log --after POSITION --limit 1 --data")


def _in_words(usage: Usage) -> str:
    tokens = "+".join("?" if one is None else str(one) for one in (usage.tokens_in, usage.tokens_out))
    return f"{usage.model_calls} model calls, {tokens} tokens, {'?' if usage.usd is None else f'{usage.usd:g}'} USD"
