"""What forking a run at a position would mean: what is done anew, what is asked again, what may happen a second time.

Reads the log only. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ..eventstore.large_values import Load
from ..eventstore.run import Readable, read_run
from .facts import fact_of, run_of, text
from .inbox import waiting_in
from .run_fold import fold_run
from .run_state import tree_order

#: What happens beyond its own process: a value that a task only notes doesn't.
_TOUCHES = frozenset({"tool", "process", "git", "model"})


class Repeated(msgspec.Struct, frozen=True):
    """An effect that the parent had after the cut, how often, and that a fork with its layer live may have again."""

    layer: str
    kind: str
    name: str
    effect: str
    count: int


class ForkPreview(msgspec.Struct, frozen=True):
    """`anew` are the tasks, by path and agent, that are requested once more; `done` the paths of those that stay done;
    `served` counts the results recorded for `anew`, which are not done again; `asks` is what a human is asked again.
    """

    run: str
    at: int
    anew: tuple[tuple[str, str], ...]
    done: tuple[str, ...]
    served: int
    asks: tuple[str, ...]
    repeated: tuple[Repeated, ...]
    paused: bool


def preview_fork(log: Readable, run: str, at: int, live: Sequence[str], load: Load | None = None) -> ForkPreview:
    """Return what a fork of a run would begin with; `at` is a position at which it can be forked."""
    events = list(read_run(log, run))
    state = fold_run(run, (event for event in events if event.position <= at), load).at_head
    tasks = [state.tasks[path] for path in sorted(state.tasks, key=tree_order)]
    anew = {task.path: task for task in tasks if task.phase == "requested"}
    results = Counter(
        event.stream.split(".", 2)[-1]
        for event in events
        if event.position <= at and event.type in ("effect.completed", "effect.failed")
    )
    repeated: Counter[tuple[str, str, str, str]] = Counter()
    for event in events:
        if event.position > at and event.type == "effect.completed" and run_of(event) == run:
            data: dict[str, Any] = fact_of(event).data
            kind, effect = text(data.get("kind")), text(data.get("effect"))
            layer = "model" if kind == "model" else "tools"
            if layer in live and kind in _TOUCHES and effect != "read":
                repeated[layer, kind, text(data.get("name")), effect] += 1
    return ForkPreview(
        run,
        at,
        tuple((path, task.agent) for path, task in anew.items()),
        tuple(task.path for task in tasks if task.phase == "reported" and task.report is not None),
        sum(results[path] for path in anew),
        tuple(one.path for one in waiting_in(state)),
        tuple(Repeated(*what, count) for what, count in sorted(repeated.items())),
        state.paused,
    )
