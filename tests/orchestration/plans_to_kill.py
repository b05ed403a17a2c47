"""Plans on which every kill is tried: one of each pattern, and one that nests all of them, three plans deep.

Their outcome and value follow from the plan alone, whoever is killed when, with the agents of `random_plans`. Times are
short, as real processes wait for them too.
"""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]

#: The seed of their agents.
SEED = 2
QUEUES = ("good", "bad", "flaky", "idle", "asker", "given_plan", "splitter", "critic", "undo", "undo_flaky")

GOOD: Data = {"agent": "good"}
BAD: Data = {"agent": "bad"}
FLAKY: Data = {"agent": "flaky", "retry": {"attempts_max": 3, "backoff_s": 0.01}}
NOBODY: Data = {"agent": "nobody", "timeout_s": 0.1, "retry": {"attempts_max": 2, "backoff_s": 0.01}}
UNDO: Data = {"agent": "undo"}
UNDO_FLAKY: Data = {"agent": "undo_flaky", "retry": {"attempts_max": 3, "backoff_s": 0.01}}
UNDONE: Data = {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {**FLAKY, "undo": UNDO_FLAKY}, BAD]}

EACH: dict[str, Data] = {
    "task": FLAKY,
    "pipeline": {"pattern": "pipeline", "steps": [{**GOOD, "input": 5}, FLAKY, GOOD]},
    "pipeline_of_items": {"pattern": "pipeline", "items": [1, 2, 3], "steps": [GOOD, FLAKY], "in_flight_max": 2},
    "map_reduce": {
        "pattern": "map_reduce",
        "split": {"agent": "splitter", "input": [1, 2, 3, 4, 5]},
        "map": FLAKY,
        "reduce": GOOD,
        "fan_in": 2,
        "width": 2,
    },
    "fork_join": {"pattern": "fork_join", "branches": [GOOD, BAD, FLAKY], "join": "quorum(2)", "rest": "await"},
    "failed_fork": {
        "pattern": "fork_join",
        "branches": [{"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {"agent": "nobody"}]}, NOBODY],
    },
    "race": {"pattern": "race", "branches": [{"agent": "nobody"}, FLAKY]},
    "scatter_gather": {"pattern": "scatter_gather", "agents": ["good", "splitter", "good"], "input": [7]},
    "critique": {"pattern": "critique", "worker": GOOD, "critic": {"agent": "critic"}, "rounds_max": 5},
    "saga": UNDONE,
    "pivot": {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {**GOOD, "pivot": True}, FLAKY]},
    "graph": {
        "pattern": "graph",
        "steps": [{**GOOD, "name": "a", "input": 1}, {**FLAKY, "name": "b", "input": 2}, {**GOOD, "name": "c"}],
        "after": {"c": ["a", "b"]},
    },
}

_INNERMOST: Data = {
    "pattern": "fork_join",
    "branches": [UNDONE, {"pattern": "pipeline", "steps": [GOOD, {"agent": "asker"}]}, NOBODY],
    "join": "quorum(1)",
    "rest": "await",
}
_INNER: Data = {
    "pattern": "saga",
    "steps": [
        {"agent": "given_plan", "input": _INNERMOST, "undo": UNDO},
        {
            "pattern": "map_reduce",
            "items": [1, 2],
            "map": {"pattern": "pipeline", "steps": [FLAKY, GOOD]},
            "reduce": GOOD,
        },
        {**FLAKY, "undo": UNDO_FLAKY},
        BAD,
    ],
}
NESTED: Data = {
    "pattern": "pipeline",
    "steps": [
        {**FLAKY, "name": "first", "input": 8},
        {"agent": "asker", "approval": "may it go on?"},
        {
            "pattern": "fork_join",
            "branches": [{"agent": "given_plan", "input": _INNER}, {"pattern": "race", "branches": [NOBODY, GOOD]}],
            "join": "any",
            "rest": "await",
        },
        {**GOOD, "input": [{"$from": "first"}, 9]},
    ],
}
ALL = {**EACH, "nested": NESTED}
