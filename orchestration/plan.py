"""Plans: the data that says how the tasks of a run fit together.

Owns the task's shape, what all patterns have in common, their one textual form (the same words in Python, JSON and
TOML) and the check of a plan before anything runs. Each pattern has a file of its own, with its shape and what it does
(`pipeline`, `saga`, …); patterns nest freely, and `patterns` names those that there are. Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args, get_origin, get_type_hints

import msgspec

from ..eventstore.names import is_name
from .errors import PlanInvalid
from .values import BOUND, INPUT, ReferenceInvalid, references

#: How deep patterns may nest in one plan, and how many nodes one plan may have: paths are parts of stream names.
NESTING_MAX = 32
NODES_MAX = 50_000
_NAME = re.compile(r"(?!\d+$)[a-z0-9_-]{1,64}")
_RESERVED_NAMES = frozenset({INPUT, *BOUND, "undo"})
#: How msgspec begins to tell of a field that a pattern doesn't have.
_UNKNOWN_FIELD = "Object contains unknown field"
#: How it begins to tell of a word that a field doesn't take.
_UNKNOWN_VALUE = "Invalid enum value"


class Plan:
    """Any pattern: what a field that holds a plan is declared as."""

    __slots__ = ()


class Part(NamedTuple):
    """A plan inside another one: where it stands in the data, and what it may refer to.

    `number` is its path below the pattern's own, "" for one that is run many times (for each item, say). `sees` are
    the names that the pattern binds for it. `after`: it may refer to the parts that stand before it, too.
    """

    place: str
    plan: PatternFields
    number: str = ""
    sees: tuple[str, ...] = ()
    after: bool = True


class PatternFields(msgspec.Struct, Plan, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every pattern has: `name`, by which later siblings refer to its value, and its part in a saga.

    `undo` is the task that compensates this step once it has been completed (or was stopped half-way); `pivot` marks
    the point of no return. Both mean something only for a direct step of a saga and are refused elsewhere.
    """

    name: str = ""
    undo: Plan | None = None
    pivot: bool = False

    #: Whether its parts may have `undo` and `pivot`.
    compensates: ClassVar[bool] = False

    def parts(self) -> Iterator[Part]:
        """Yield the plans inside this one, in the order in which they begin."""
        yield from ()

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the pattern itself in which `$from` may stand, each with its place."""
        yield from ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the pattern's own fields: the place and the problem in words."""
        yield from ()


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
    """One unit of work, given to one idle agent of the queue `agent`: the name of an agent type or of a capability.

    Without an `input` of its own a task gets what the pattern around it hands it: the item of a map, the value of the
    stage before. In `input`, `{"$from": "name", "key": "field"}` stands for the value of an earlier step.
    `requires` lists the kinds of evidence without which a success counts as a failure. `timeout_s` bounds one
    attempt until its answer, `deadline_s` everything from the first request on, also the plan that it may answer with.
    Without `retry` a failure is final (a compensation is tried five times). `effect` says what doing it twice costs: a
    `read` has nothing to undo, a `once` is never tried again by itself. `approval` is a question that a human must
    approve before the task is requested.
    """

    agent: str
    input: Any = None
    requires: Sequence[str] = ()
    retry: Retry | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    effect: Literal["read", "idempotent", "once"] = "idempotent"
    approval: str = ""

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield the input."""
        yield "input", self.input

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the task itself."""
        if not is_name(self.agent):
            yield "agent", f"{self.agent!r} is not the name of a queue"
        for field in ("timeout_s", "deadline_s"):
            seconds = getattr(self, field)
            if seconds is not None:
                yield from out_of_range(field, seconds, above=0)
        if self.retry is not None:
            yield from _retry_problems(self, self.retry)


PATTERNS: dict[str, type[PatternFields]] = {}


def register_pattern(pattern: type[PatternFields]) -> type[PatternFields]:
    """Make a pattern readable from data under its tag; usable as a class decorator."""
    PATTERNS[pattern_of(pattern)] = pattern
    return pattern


def pattern_of(plan: Plan | type[PatternFields]) -> str:
    """Return the word by which a pattern is written in a plan's data: its tag."""
    tag: object = cast(Any, plan).__struct_config__.tag
    return str(tag)


register_pattern(Task)


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
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        place = "" if isinstance(error, RecursionError) else _place_of_foreign(plan)
        raise PlanInvalid(place, f"is not plain data: {error}") from None
    plan_from(data)
    return cast("dict[str, Any]", data)


def _place_of_foreign(value: Any, place: str = "") -> str:
    """Return where in a plan the first thing stands that is no data."""
    if isinstance(value, msgspec.Struct):
        inside = [(f"{place}.{field}".lstrip("."), getattr(value, field)) for field in value.__struct_fields__]
    elif isinstance(value, dict):
        inside = [(f"{place}.{key}", inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(f"{place}[{n}]", inner) for n, inner in enumerate(value)]
    else:
        return place
    for at, inner in inside:
        try:
            msgspec.to_builtins(inner)
        except TypeError:
            return _place_of_foreign(inner, at)
    return place


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


def nodes_of(plan: PatternFields) -> Iterator[PatternFields]:
    """Yield a plan and every plan inside it."""
    yield plan
    for part in plan.parts():
        yield from nodes_of(part.plan)


def _pattern(word: str) -> type[PatternFields]:
    """Return the pattern that a word stands for; raises ValueError."""
    if word in PATTERNS:
        return PATTERNS[word]
    # They register themselves when they are imported; here, as each of them imports this module.
    from . import patterns

    problem = patterns.load().get(word)
    if word not in PATTERNS:
        why = f", which can't be used: {problem}" if problem else f"; known are {', '.join(sorted(PATTERNS))}"
        raise ValueError(f"Unknown pattern {word!r}{why}")
    return PATTERNS[word]


def _convert(wanted: type, value: Any) -> Any:
    """Convert to a field's type; a field declared as Plan takes any registered pattern."""
    if wanted is not Plan:
        raise NotImplementedError(wanted)
    if not isinstance(value, Mapping):
        raise ValueError(f"Expected `object`, got `{type(value).__name__}`")
    word = value.get("pattern", "task")
    if not isinstance(word, str):
        raise ValueError(f"Expected `str`, got `{type(word).__name__}` - at `$.pattern`")
    pattern = _pattern(word)
    try:
        return msgspec.convert({**value, "pattern": word}, pattern, dec_hook=_convert)
    except msgspec.ValidationError as error:
        problem = str(error)
        if problem.startswith(_UNKNOWN_FIELD) and " - at `" not in problem:
            problem += f"; a {word} has {', '.join(pattern.__struct_fields__)}"
        elif problem.startswith(_UNKNOWN_VALUE):
            problem = _with_values(problem, pattern)
        # msgspec adds the outer place to a ValueError, but lets an error of its own pass as it is.
        raise ValueError(problem) from None


def _with_values(problem: str, pattern: type[PatternFields]) -> str:
    """Add the words that there are to msgspec's problem with a field of a pattern that takes only some."""
    told, at, place = problem.partition(" - at `$.")
    wanted = get_type_hints(pattern).get(place.rstrip("`")) if at else None
    if get_origin(wanted) is not Literal:
        return problem
    return f"{told}; there are {', '.join(map(str, get_args(wanted)))}{at}{place}"


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
    _check_fields(plan, at, names)
    before: set[str] = set()
    for part in plan.parts():
        inside = part.plan
        if inside.name in before:
            raise PlanInvalid(f"{at}{part.place}.name", f"{inside.name!r} names an earlier step already")
        visible = names | set(part.sees) | (before if part.after else set())
        yield from _check(inside, f"{at}{part.place}", depth + 1, visible, in_saga=plan.compensates)
        if inside.name:
            before.add(inside.name)
        if inside.undo is not None:
            _check_undo(inside.undo, f"{at}{part.place}.undo", visible | before)
            yield


def _check_undo(undo: Plan, place: str, names: set[str]) -> None:
    if not isinstance(undo, Task):
        raise PlanInvalid(place, "a compensation is one task")
    if undo.undo is not None or undo.pivot or undo.approval:
        raise PlanInvalid(place, "a compensation has no `undo` and no `approval`, and is no `pivot`")
    _check_fields(undo, f"{place}.", names)


def _check_fields(plan: PatternFields, at: str, names: set[str]) -> None:
    """Check what a node itself says."""
    for place, problem in plan.problems():
        raise PlanInvalid(f"{at}{place}", problem)
    for field, value in plan.inputs():
        try:
            for place, reference in references(value):
                if not reference.path and reference.name not in names:
                    raise PlanInvalid(f"{at}{field}{place}", f"no earlier step is named {reference.name!r}")
        except ReferenceInvalid as error:
            raise PlanInvalid(f"{at}{field}{error.place}", error.problem) from None


def out_of_range(
    field: str, number: float, *, least: float = 0, above: float | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the problem of a number that is less than `least` (or not more than `above`), or 1e9 and more."""
    if above is not None and not above < number < 1e9:
        yield field, f"must be more than {above:g} and less than 1e9, is {number:g}"
    elif not least <= number < 1e9:
        yield field, f"must be at least {least:g} and less than 1e9, is {number:g}"


def _retry_problems(task: Task, retry: Retry) -> Iterator[tuple[str, str]]:
    yield from out_of_range("retry.attempts_max", retry.attempts_max, least=1)
    if task.effect == "once" and retry.attempts_max > 1:
        yield "retry.attempts_max", 'a task with `effect = "once"` is not tried again by itself'
    for field, least in (("backoff_s", 0.0), ("factor", 1.0), ("backoff_max_s", 0.0)):
        yield from out_of_range(f"retry.{field}", getattr(retry, field), least=least)
