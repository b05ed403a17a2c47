"""Starting a run from within a task: the same `run.requested` as from anywhere else, as an effect.

Keeps: however often the task is delivered or tried again, the run is started once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.errors import DuplicateConflict
from ..eventstore.ids import derived_id
from ..orchestration.plan import Plan, plan_data, plan_from
from ..orchestration.submit import run_of_key, run_request

if TYPE_CHECKING:
    from .context import TaskContext


def start_run(context: TaskContext, plan: Plan | Mapping[str, Any], key: str, request: Mapping[str, Any]) -> str:
    """Request a run and return its id: that of the key, else one of this task's own; raises PlanInvalid, …."""
    actual = plan_from(dict(plan)) if isinstance(plan, Mapping) else plan
    parameters = {"plan": plan_data(actual), "key": key, **request}
    text = msgspec.json.encode(parameters, order="sorted").decode()
    own = derived_id(context.run, context.path, f"submit:{text}", context.nth_equal(f"submit:{text}")).hex()
    run = run_of_key(key) if key else own
    caller = {"agent": context.request.agent, "run": context.run, "path": context.path}
    asked = {"caller": caller, "trace": context.traceparent, **request}
    event = run_request(run, actual, key=key, put=context.journal.put_blob, **asked)
    event = msgspec.structs.replace(event, cause=context.request.id)

    def do() -> str:
        try:
            context.journal.append([event])
        except DuplicateConflict:
            return run  # it was requested before: by an earlier attempt, or by whoever else has this key
        return run

    started: str = context.effect("value", "submit", parameters, do, effect="idempotent", result=str)
    return started
