"""Two runs, compared to their first difference: events by their places, what models were asked, cost and time.

Owns the comparison of events. Runs share what they begin with in common (a fork and its parent), and are aligned by
causation after it (`alignment`), with words that name only themselves put aside (`likeness`). Leaves the states of runs
and their files to whoever can fold and read them. Keeps: the first difference is one that no earlier one explains, as
causes come before what they cause. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from ..eventstore.event import Event
from ..eventstore.run import FORKED
from .alignment import ANSWERS, Pair, Place, merge, places_of, shared
from .likeness import Names, differences
from .origins import conversation

Kind = Literal["differs", "only_a", "only_b"]
#: How many differences of one event are told, and how many lines of a prompt's.
FIELDS_MAX, LINES_MAX = 8, 60
_MODEL = "effect model"


class FieldDifference(msgspec.Struct, frozen=True):
    """One field, and what stands there in each run; ids and commits of a run's own are written as `<…>`."""

    field: str
    a: Any
    b: Any


class EventDifference(msgspec.Struct, frozen=True):
    """What stands at one place in two runs. `position` is None in the run that has nothing there; then no fields are
    told.
    """

    kind: Kind
    path: str
    type: str
    place: str
    position_a: int | None
    position_b: int | None
    fields: tuple[FieldDifference, ...] = ()


class PromptDifference(msgspec.Struct, frozen=True):
    """The `number`th model call of a task (from 1), asked differently: lines of a diff of all its messages."""

    path: str
    number: int
    position_a: int
    position_b: int
    lines: tuple[str, ...]


class Usage(msgspec.Struct, frozen=True):
    """What model calls used; None where no call said that."""

    model_calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    usd: float | None = 0.0


class TaskSide(msgspec.Struct, frozen=True):
    """What one task took in one run: seconds from its first request to its last answer (None: none yet), and usage."""

    elapsed_s: float | None
    usage: Usage


class TaskDifference(msgspec.Struct, frozen=True):
    """One task in both runs; None in the run that has not requested it."""

    path: str
    a: TaskSide | None
    b: TaskSide | None


class RunDiff(msgspec.Struct, frozen=True):
    """The comparison. `shared` counts the events that both begin with, the last at `shared_until`; `same` those that
    are alike after them. `events` are all differences, the first one first.
    """

    shared: int
    shared_until: int
    same: int
    events: tuple[EventDifference, ...]
    prompts: tuple[PromptDifference, ...]
    usage: tuple[Usage, Usage]
    elapsed_s: tuple[float, float]
    tasks: tuple[TaskDifference, ...]
    names: tuple[Names, Names]

    @property
    def first(self) -> EventDifference | None:
        """The first difference, None where all events are alike."""
        return self.events[0] if self.events else None


def diff(
    a: Sequence[Event],
    b: Sequence[Event],
    runs: tuple[Sequence[str], Sequence[str]],
    trees: Mapping[str, str] | None = None,
) -> RunDiff:
    """Compare the events of two runs, each whole and in order (as `read_run` gives them), values loaded from blobs.

    `runs` are the ids of each and of the runs that it was forked from; `trees` maps commits to what names their files,
    as far as known: commits with equal files count as equal then.
    """
    common = shared(a, b)
    all_a, all_b = places_of(a), places_of(b)
    names = Names(runs[0], a, all_a, trees or {}), Names(runs[1], b, all_b, trees or {})
    data = _data_of(all_a, names[0]), _data_of(all_b, names[1])
    same = 0
    events: list[EventDifference] = []
    prompts: list[PromptDifference] = []
    for pair in merge(_after(all_a, a, common), _after(all_b, b, common)):
        place = pair.place
        values = data[0].get(place), data[1].get(place)
        found = _compared(pair, values)
        if found is None:
            same += 1
            continue
        events.append(found)
        if place.what == _MODEL and pair.a is not None and pair.b is not None:
            lines = prompt_lines(*values)
            if lines:
                prompts.append(PromptDifference(place.path, place.n + 1, pair.a.position, pair.b.position, lines))
    sides = _tasks(a), _tasks(b)
    paths = sorted({*sides[0], *sides[1]}, key=_tree_order)
    return RunDiff(
        common,
        a[common - 1].position if common else 0,
        same,
        tuple(events),
        tuple(prompts),
        (_usage(a), _usage(b)),
        (_elapsed(a), _elapsed(b)),
        tuple(TaskDifference(path, sides[0].get(path), sides[1].get(path)) for path in paths),
        names,
    )


def _after(places: dict[Place, Event], events: Sequence[Event], common: int) -> dict[Place, Event]:
    """Return the places after the first `common` events."""
    last = events[common - 1].position if common else 0
    return {place: event for place, event in places.items() if event.position > last}


def _data_of(places: dict[Place, Event], names: Names) -> dict[Place, Any]:
    """Return the data of events as they are compared; of a model call with all of its messages."""
    found: dict[Place, Any] = {}
    said: dict[str, list[dict[str, Any]]] = {}
    for place, event in places.items():
        data = found[place] = names.of_event(event)
        asked = data.get("parameters") if place.what == _MODEL and isinstance(data, dict) else None
        if isinstance(asked, dict):
            asked["messages"] = said[place.path] = conversation(said.get(place.path, []), asked)
            for passing in ("since", "request"):
                asked.pop(passing, None)  # how many messages were recorded before, and a hash of all
            data.pop("name", None)  # the model's, which stands in the parameters
            if isinstance(data.get("result"), dict):
                data["result"].pop("model", None)
    return found


def _compared(pair: Pair, values: tuple[Any, Any]) -> EventDifference | None:
    """Return how two events differ, None where they are alike."""
    a, b = pair.a, pair.b
    event = a if a is not None else b
    assert event is not None
    kind: Kind = "only_b" if a is None else "only_a" if b is None else "differs"
    fields: list[FieldDifference] = []
    if a is not None and b is not None:
        fields = [] if a.type == b.type else [FieldDifference("type", a.type, b.type)]
        fields += [FieldDifference(*found) for found in differences(values[0], values[1], most=FIELDS_MAX)]
        if not fields:
            return None
    place = pair.place
    at = (None if a is None else a.position, None if b is None else b.position)
    return EventDifference(kind, place.path, event.type, str(place), at[0], at[1], tuple(fields))


def prompt_lines(a: Any, b: Any) -> tuple[str, ...]:
    """Return a diff of what two model calls were asked, given their data; nothing where it is alike."""
    lines = list(difflib.unified_diff(_prompt_text(a), _prompt_text(b), lineterm="", n=2))[2:]
    more = len(lines) - LINES_MAX
    return (*lines[:LINES_MAX], *([f"… {more} more lines"] if more > 0 else []))


def _prompt_text(data: Any) -> list[str]:
    """Lay out the messages of a model call as lines, with the names and hashes of its prompts before them."""
    asked = data.get("parameters") if isinstance(data, dict) else None
    asked = asked if isinstance(asked, dict) else {}
    prompts = asked.get("prompts")
    lines = [f"prompt {one.get('name')} {one.get('hash')}" for one in prompts or () if isinstance(one, dict)]
    messages = asked.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            lines += [f"[{message.get('role')}]", *str(message.get("content") or "").splitlines()]
            calls = message.get("tool_calls")
            lines += [msgspec.json.encode(call, order="sorted").decode() for call in calls or ()]
    return lines


def _tasks(events: Sequence[Event]) -> dict[str, TaskSide]:
    """Return what each task of a run took, by path."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    own: dict[str, list[Event]] = {}
    for event in events:
        family = event.stream.partition(".")[0]
        if event.type == "task.requested" and family == "run" and event.payload is not None:
            told = event.data
            data = told if isinstance(told, dict) else {}
            path = str(data.get("path") or "")
            if path not in begun or "fork" in data:
                # What a fork goes on with took the parent the rest.
                begun[path] = event.time
        elif family == "task":
            path = event.stream.split(".", 2)[-1]
            if event.type in ANSWERS:
                ended[path] = event.time
            elif event.type == "effect.completed":
                own.setdefault(path, []).append(event)
    return {
        path: TaskSide(
            round((ended[path] - start) / 1e9, 6) if path in ended else None,
            _usage(own.get(path, [])),
        )
        for path, start in begun.items()
    }


def _usage(events: Sequence[Event]) -> Usage:
    """Add up what completed model calls say that they used; what none of them says is not known."""
    calls = 0
    sums: dict[str, Any] = dict.fromkeys(("tokens_in", "tokens_out", "usd"))
    for event in events:
        data = event.data if event.type == "effect.completed" and event.payload is not None else None
        if not isinstance(data, dict) or data.get("kind") != "model":
            continue
        calls += 1
        given = data.get("usage")
        for name, value in (given if isinstance(given, dict) else {}).items():
            if name in sums and isinstance(value, int | float) and not isinstance(value, bool):
                sums[name] = (sums[name] or 0) + value
    return Usage(calls, **sums) if calls else Usage()


def _elapsed(events: Sequence[Event]) -> float:
    """Return how many seconds a run took: what it shares, up to each cut, and from its own beginning to its end."""
    cuts = [n for n, event in enumerate(events) if event.type == FORKED]
    parts = [events[start:end] for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    return round(sum((part[-1].time - part[0].time) / 1e9 for part in parts if part), 6)


def _tree_order(path: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (1 << 30, part) for part in path.split("."))
