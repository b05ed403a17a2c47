"""Plans: the data that says how the tasks of a run fit together.

Owns the shapes of the patterns, their one textual form (the same words in Python, JSON and TOML) and the check of a
plan before anything runs. What a pattern *does* is its decider's (`task`, `pipeline`, `saga`). Patterns nest freely
and further ones are registered with `register_pattern`. Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from ..eventstore.names import is_name
from .errors import PlanInvalid
from .values import INPUT, ReferenceInvalid, references

#: How deep patterns may nest in one plan, and how many nodes one plan may have: paths are parts of stream names.
NESTING_MAX = 32
NODES_MAX = 10_000
_NAME = re.compile(r"(?!\d+$)[a-z0-9_-]{1,64}")
_RESERVED_NAMES = frozenset({INPUT, "undo"})


class Plan:
    """Any pattern: what a field that holds a plan is declared as."""

    __slots__ = ()


class PatternFields(msgspec.Struct, Plan, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every pattern has: `name`, by which later siblings refer to its value, and its part in a saga.

    `undo` is the task that compensates this step once it has been completed (or was stopped half-way); `pivot` marks
    the point of no return. Both mean something only for a direct step of a saga and are refused elsewhere.
    """

    name: str = ""
    undo: Plan | None = None
    pivot: bool = False


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often a task is tried, and how long between two tries: backoff_s, times `factor` after each, up to a bound.

    `unless` lists the reasons of a failure after which trying again is pointless.
    """

    attempts_max: int = 3
    backoff_s: float = 1.0
    factor: float = 2.0
    backoff_max_s: float = 60.0
    unless: Sequence[str] = ()

    def delay_s(self, failures: int) -> float:
        """Return the seconds to wait after this many failures in a row (from 1)."""
        return float(min(self.backoff_s * self.factor ** min(failures - 1, 64), self.backoff_max_s))


class Task(PatternFields, frozen=True, tag_field="pattern", tag="task"):
    """One unit of work, given to one idle agent of the queue `agent`.

    `requires` lists the kinds of evidence without which a success counts as a failure. `timeout_s` bounds one
    attempt, `deadline_s` all of them from the first request on. Without `retry` a failure is final (a compensation
    is tried five times). `effect` says what doing it twice costs: a `read` has nothing to undo, a `once` is never
    tried again by itself. In `input`, `{"$from": "name", "key": "field"}` stands for the value of an earlier step.
    """

    agent: str
    input: Any = None
    requires: Sequence[str] = ()
    retry: Retry | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    effect: Literal["read", "idempotent", "once"] = "idempotent"


class Pipeline(PatternFields, frozen=True, tag_field="pattern", tag="pipeline"):
    """Steps one after the other; the first that fails ends it. Its value is its last step's."""

    steps: Sequence[Plan]


class Saga(PatternFields, frozen=True, tag_field="pattern", tag="saga"):
    """Steps one after the other; when one fails, those before it are undone in reverse order.

    From the success of a step marked `pivot` on nothing is undone any more: what fails then waits for a human.
    """

    steps: Sequence[Plan]


PATTERNS: dict[str, type[PatternFields]] = {}


def register_pattern(pattern: type[PatternFields]) -> type[PatternFields]:
    """Make a pattern readable from data under its tag; usable as a class decorator."""
    PATTERNS[pattern_of(pattern)] = pattern
    return pattern


def pattern_of(plan: Plan | type[PatternFields]) -> str:
    """Return the word by which a pattern is written in a plan's data: its tag."""
    tag: object = cast(Any, plan).__struct_config__.tag
    return str(tag)


for _pattern in (Task, Pipeline, Saga):
    register_pattern(_pattern)


def plan_from(data: Any, names: Sequence[str] = ()) -> PatternFields:
    """Make a plan of JSON-like data and check it; a table without `pattern` is a task.

    `names` are the names whose values it may refer to besides its own (for a plan that a task answers with). Raises
    PlanInvalid, which names the place.
    """
    try:
        plan = cast(PatternFields, msgspec.convert(data, Plan, dec_hook=_convert))
    except msgspec.ValidationError as error:
        raise _problem_of(error) from None
    except RecursionError:
        raise PlanInvalid("", f"nests deeper than {NESTING_MAX} patterns") from None
    checked = sum(1 for _ in _check(plan, "", 1, {INPUT, *names}, in_saga=False))
    if checked > NODES_MAX:
        raise PlanInvalid("", f"has {checked} nodes, at most {NODES_MAX} are allowed")
    return plan


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return the JSON-like form of a plan, checked as `plan_from` does; raises PlanInvalid."""
    try:
        data = msgspec.to_builtins(plan)
    except (TypeError, RecursionError) as error:
        raise PlanInvalid("", f"is not plain data: {error}") from None
    plan_from(data)
    return cast("dict[str, Any]", data)


def parse_plan(text: str, form: Literal["json", "toml"], source: str = "") -> PatternFields:
    """Read a plan from the text of a JSON or TOML file; raises PlanInvalid, which names the place in `source`."""
    try:
        data = tomllib.loads(text) if form == "toml" else msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise PlanInvalid("", f"is not {form.upper()}: {error}", source) from None
    try:
        return plan_from(data)
    except PlanInvalid as problem:
        raise PlanInvalid(problem.place, problem.problem, source) from None


def steps_of(plan: Plan) -> Sequence[PatternFields]:
    """Return the direct steps of a composite pattern, none for a task."""
    return cast("Sequence[PatternFields]", getattr(plan, "steps", ()))


def _convert(wanted: type, value: Any) -> Any:
    """Convert to a field's type; a field declared as Plan takes any registered pattern."""
    if wanted is not Plan:
        raise NotImplementedError(wanted)
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected `object`, got `{type(value).__name__}`")
    word = value.get("pattern", "task")
    pattern = PATTERNS.get(word) if isinstance(word, str) else None
    if pattern is None:
        raise ValueError(f"Unknown pattern {word!r}; known are {', '.join(sorted(PATTERNS))}")
    try:
        return msgspec.convert({**value, "pattern": word}, pattern, dec_hook=_convert)
    except msgspec.ValidationError as error:
        # msgspec adds the outer place to a ValueError, but lets an error of its own pass as it is.
        raise ValueError(str(error)) from None


def _problem_of(error: msgspec.ValidationError) -> PlanInvalid:
    """Turn msgspec's `problem - at `$.inner` - at `$.outer`` into the place `outer.inner` and the problem."""
    problem, *places = str(error).split(" - at `")
    place = "".join(part.rstrip("`").removeprefix("$") for part in reversed(places)).lstrip(".")
    return PlanInvalid(place, problem[:1].lower() + problem[1:])


def _check(plan: PatternFields, place: str, depth: int, names: set[str], *, in_saga: bool) -> Iterator[None]:
    """Check one node and all below it, in the order in which they would run; yields once for each."""
    at = f"{place}." if place else ""
    if depth > NESTING_MAX:
        raise PlanInvalid(place, f"nests deeper than {NESTING_MAX} patterns")
    if plan.name and (not _NAME.fullmatch(plan.name) or plan.name in _RESERVED_NAMES):
        raise PlanInvalid(f"{at}name", f"{plan.name!r} cannot name a step: use lower-case letters, digits, - and _")
    if (plan.undo is not None or plan.pivot) and not in_saga:
        raise PlanInvalid(place, f"`{'pivot' if plan.pivot else 'undo'}` belongs to a step of a saga")
    if plan.pivot and not isinstance(plan, Task):
        raise PlanInvalid(f"{at}pivot", "only a single task can be the point of no return")
    yield
    if isinstance(plan, Task):
        _check_task(plan, at, names)
    elif not steps_of(plan):
        raise PlanInvalid(f"{at}steps", "has no steps")
    seen = set(names)
    for n, step in enumerate(steps_of(plan)):
        if step.name in seen - names:
            raise PlanInvalid(f"{at}steps[{n}].name", f"{step.name!r} names an earlier step already")
        yield from _check(step, f"{at}steps[{n}]", depth + 1, seen, in_saga=isinstance(plan, Saga))
        if step.name:
            seen.add(step.name)
        if step.undo is not None:
            _check_undo(step.undo, f"{at}steps[{n}].undo", seen)
            yield


def _check_undo(undo: Plan, place: str, names: set[str]) -> None:
    if not isinstance(undo, Task):
        raise PlanInvalid(place, "a compensation is one task")
    if undo.undo is not None or undo.pivot:
        raise PlanInvalid(place, "a compensation has no `undo` and is no `pivot`")
    _check_task(undo, f"{place}.", names)


def _check_task(task: Task, at: str, names: set[str]) -> None:
    if not is_name(task.agent):
        raise PlanInvalid(f"{at}agent", f"{task.agent!r} is not the name of a queue")
    for field in ("timeout_s", "deadline_s"):
        seconds = getattr(task, field)
        if seconds is not None and not 0 < seconds < 1e9:
            raise PlanInvalid(f"{at}{field}", f"must be more than 0 and less than 1e9 seconds, is {seconds:g}")
    if task.retry is not None:
        _check_retry(task, task.retry, f"{at}retry")
    try:
        for place, reference in references(task.input):
            if not reference.path and reference.name not in names:
                raise PlanInvalid(f"{at}input{place}", f"no earlier step is named {reference.name!r}")
    except ReferenceInvalid as error:
        raise PlanInvalid(f"{at}input{error.place}", error.problem) from None


def _check_retry(task: Task, retry: Retry, place: str) -> None:
    if retry.attempts_max < 1:
        raise PlanInvalid(f"{place}.attempts_max", f"must be at least 1, is {retry.attempts_max}")
    if task.effect == "once" and retry.attempts_max > 1:
        raise PlanInvalid(f"{place}.attempts_max", 'a task with `effect = "once"` is not tried again by itself')
    for field, least in (("backoff_s", 0.0), ("factor", 1.0), ("backoff_max_s", 0.0)):
        number = getattr(retry, field)
        if not least <= number < 1e9:
            raise PlanInvalid(f"{place}.{field}", f"must be at least {least:g} and less than 1e9, is {number:g}")
