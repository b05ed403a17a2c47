"""Random plans of all patterns, and agents for them whose answers follow from the request alone.

The one place where plans are made up: what is to hold of every plan is tried on these. The same seed gives the same
plan and the same agents, wherever and whenever they run: two runs of a plan can only differ by what happened to them.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

Data = dict[str, Any]
Answer = tuple[str, Data]

#: Patterns of which the outcome may depend on who is first, and fields that bring the clock in.
_TIMED = ("race", "scatter_gather")
_TIMED_FIELDS = ("timeout_s", "deadline_s", "speculate_after_s", "budget")
#: The pattern of a plan that gives each of its items exactly once in its value.
SLICING = ("map_reduce", "pipeline")


class Plans:
    """A source of plans. `timed` allows what depends on the clock, or on who is first."""

    def __init__(self, seed: object, *, timed: bool = True, leaves: int = 8) -> None:
        self._chance = random.Random(f"plan {seed}")
        self._timed = timed
        self._left = leaves
        self._made = 0

    def plan(self, depth: int = 0) -> Data:
        """Make a plan, of all patterns, nested at most four deep."""
        makers: list[Callable[[int], Data]] = [self._task]
        if depth < 4 and self._left > 1:
            makers += [self._pipeline, self._pipeline, self._saga, self._saga, self._fork, self._critique]
            makers += [self._map, self._map, self._streaming, self._graph]
            if self._timed:
                makers += [self._race, self._scatter]
        return self._chance.choice(makers if depth else makers[1:] or makers)(depth)

    def slices(self) -> tuple[Data, list[int]]:
        """Make a plan over items whose value, once it succeeds, holds each of them exactly once; and the items."""
        items = [100 + n for n in range(self._chance.randint(1, 7))]
        make = self._chance.choice((self._map, self._streaming))
        return make(0, items=items, body=self._through), items

    # --- tasks

    def _task(self, depth: int = 0) -> Data:
        self._left -= 1
        kinds = ["good", "good", "good", "good", "flaky", "flaky", "idle", "bad", "planner", "asker", "approved"]
        kind = self._chance.choice(kinds)
        if self._timed and depth <= 3 and self._chance.random() < 0.1:
            # What it plans may be done by then, or be taken back half-way.
            return {"agent": "planner", "deadline_s": self._chance.choice((1.0, 3.0, 20.0))}
        if kind == "approved":
            return {"agent": "good", "approval": "may it?"}
        if kind == "planner" and depth > 3:
            kind = "good"
        task: Data = {"agent": kind}
        if kind == "flaky" or self._chance.random() < 0.2:
            task["retry"] = {"attempts_max": self._chance.choice((2, 3)), "backoff_s": self._chance.choice((0.0, 1.0))}
        if self._timed and self._chance.random() < 0.15:
            task["timeout_s"] = self._chance.choice((0.5, 5.0))
            if self._chance.random() < 0.4:
                task["agent"] = "nobody"
        if self._timed and self._chance.random() < 0.1:
            task["deadline_s"] = 20.0
        if self._chance.random() < 0.1:
            task["effect"] = "read"
        return task

    def _through(self, depth: int = 1) -> Data:
        """A plan that hands on what it is given, whatever it takes."""
        self._left -= 1
        task: Data = {"agent": self._chance.choice(("good", "good", "slow"))}
        if self._chance.random() < 0.3:
            task = {"agent": "flaky", "retry": {"attempts_max": 3, "backoff_s": 1.0}}
        choice = self._chance.random()
        if depth > 2 or choice < 0.5:
            return task
        if choice < 0.75:
            return {"pattern": "pipeline", "steps": [task, self._through(depth + 1)]}
        return {"pattern": "saga", "steps": [{**task, "undo": {"agent": "undo"}}, self._through(depth + 1)]}

    # --- patterns

    def _parts(self, depth: int, most: int = 3) -> list[Data]:
        return [self.plan(depth + 1) for _ in range(self._chance.randint(1, most))]

    def _steps(self, depth: int) -> list[Data]:
        """Steps of which some are named, and used further on."""
        steps = self._parts(depth)
        names: list[str] = []
        for step in steps:
            if step.get("agent") and names and self._chance.random() < 0.3:
                step["input"] = {"before": {"$from": self._chance.choice(names), "default": None}}
            if self._chance.random() < 0.4:
                self._made += 1
                step["name"] = f"step{self._made}"
                names.append(step["name"])
        return steps

    def _pipeline(self, depth: int) -> Data:
        return {"pattern": "pipeline", "steps": self._steps(depth)}

    def _saga(self, depth: int) -> Data:
        steps = self._steps(depth)
        for step in steps:
            if self._chance.random() < 0.7:
                step["undo"] = {"agent": self._chance.choice(("undo", "undo", "undo_flaky"))}
        if self._chance.random() < 0.2:
            pivot = self._chance.choice(steps)
            if pivot.get("agent"):
                pivot["pivot"] = True
        return {"pattern": "saga", "steps": steps}

    def _fork(self, depth: int) -> Data:
        branches = self._parts(depth)
        join = "all"
        if self._timed:
            join = self._chance.choice(("all", "any", "quorum(1)", f"quorum({len(branches)})"))
        rest = self._chance.choice(("cancel", "await")) if self._timed else "cancel"
        return {"pattern": "fork_join", "branches": branches, "join": join, "rest": rest}

    def _graph(self, depth: int) -> Data:
        """Steps that each need some of those before them, by their values or by name."""
        steps = self._steps(depth)
        names = [step["name"] for step in steps if "name" in step]
        after = {name: [other for other in names[:n] if self._chance.random() < 0.5] for n, name in enumerate(names)}
        return {"pattern": "graph", "steps": steps, "after": {name: needed for name, needed in after.items() if needed}}

    def _race(self, depth: int) -> Data:
        return {"pattern": "race", "branches": self._parts(depth), "stagger_s": self._chance.choice((0.0, 2.0))}

    def _scatter(self, depth: int) -> Data:
        self._left -= 1
        agents = [self._chance.choice(("good", "scorer", "flaky", "slow")) for _ in range(self._chance.randint(1, 3))]
        gather = self._chance.choice(("all", "first", "majority", "quorum(1)", "best(score)"))
        plan: Data = {"pattern": "scatter_gather", "agents": agents, "input": "?", "gather": gather}
        if self._chance.random() < 0.4:
            plan["deadline_s"] = 3.0
        return plan

    def _critique(self, depth: int) -> Data:
        self._left -= 1
        rounds = self._chance.randint(1, 3)
        return {
            "pattern": "critique",
            "worker": {"agent": "good"},
            "critic": {"agent": "critic"},
            "rounds_max": rounds,
        }

    def _map(self, depth: int, items: list[int] | None = None, body: Callable[[int], Data] | None = None) -> Data:
        chance = self._chance
        plan: Data = {"pattern": "map_reduce", "map": (body or self.plan)(depth + 1)}
        given = [chance.randint(0, 9) for _ in range(chance.randint(0, 4))] if items is None else items
        if body is None and chance.random() < 0.3:
            plan["split"] = {"agent": "splitter", "input": given}
        else:
            plan["items"] = given
        if chance.random() < 0.5:
            plan["reduce"] = {"agent": "good"}
            plan["fan_in"] = chance.choice((0, 2, 3))
        if chance.random() < 0.5:
            plan["width"] = chance.randint(1, 3)
        if self._timed and chance.random() < 0.3:
            plan["speculate_after_s"] = chance.choice((0.5, 3.0))
        return plan

    def _streaming(self, depth: int, items: list[int] | None = None, body: Callable[[int], Data] | None = None) -> Data:
        chance = self._chance
        steps = [(body or self.plan)(depth + 1) for _ in range(chance.randint(1, 3))]
        given = [chance.randint(0, 9) for _ in range(chance.randint(0, 3))] if items is None else items
        plan: Data = {"pattern": "pipeline", "steps": steps, "items": given}
        if chance.random() < 0.5:
            plan["in_flight_max"] = chance.randint(1, 3)
        if self._timed and chance.random() < 0.4:
            plan["ordered"] = False
        return plan


class Agents:
    """The agents of such plans. What one answers follows from the seed and the request, not from when it is asked."""

    def __init__(self, seed: object) -> None:
        self._seed = seed

    def __call__(self, request: Data, to: str) -> Answer | None:
        """Answer a request; None where nobody is there for it."""
        path, attempt = request["path"], request["attempt"]
        dice = zlib.crc32(f"{self._seed}/{path}".encode())
        value: Data = {"by": path, "slices": sorted(slices_in(request["input"])), "score": dice % 5}
        done = "task.succeeded", {"value": value, "evidence": [{"kind": "value", "ref": path}]}
        match to:
            case "nobody":
                return None
            case "bad":
                return "task.failed", {"reason": "bad"}
            case "idle":
                return "task.nothing_to_do", {"reason": "clean"}
            case "flaky" | "undo_flaky":
                return ("task.failed", {"reason": "flaky"}) if attempt == 1 else done
            case "asker":
                asked = {"reason": "which", "question": "A or B?"}
                return done if request.get("answers") else ("task.needs_human", asked)
            case "planner":
                plan = Plans(f"{self._seed}/{path}", timed=False, leaves=3).plan(3)
                return "task.planned", {"plan": plan}
            case "given_plan":
                return "task.planned", {"plan": request["input"]}
            case "splitter":
                return "task.succeeded", {"value": request["input"]}
            case "critic":
                verdict = {"accepted": dice % 3 == 0, "feedback": "more"}
                return "task.succeeded", {"value": verdict}
        return done


def slices_in(value: Any) -> list[int]:
    """Return the items in a value, each as often as it occurs."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [value]
    if isinstance(value, dict):
        return (
            slices_in(value["slices"]) if "slices" in value else [n for one in value.values() for n in slices_in(one)]
        )
    return [n for one in value for n in slices_in(one)] if isinstance(value, list) else []


def is_timed(plan: Data) -> bool:
    """Tell whether the outcome of a plan may depend on the clock, or on who is first."""
    return any(
        node.get("pattern") in _TIMED
        or any(node.get(field) is not None for field in _TIMED_FIELDS)
        or node.get("join", "all") != "all"
        or node.get("ordered") is False
        for node in nodes_in(plan)
    )


def nodes_in(plan: Any) -> Iterator[Data]:
    """Yield every table of a plan's data that is a plan."""
    if isinstance(plan, dict):
        if "pattern" in plan or "agent" in plan:
            yield plan
        for value in plan.values():
            yield from nodes_in(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from nodes_in(value)
