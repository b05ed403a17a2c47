"""`twelvefold run --plan FILE`: a plan of the user's own, followed to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..built_in import QUEUES, needed_by
from ..errors import DataInvalid
from ..orchestration.budget import budget_from
from ..orchestration.plan import PatternFields, pattern_of
from ..orchestration.run_errors import BudgetInvalid
from ..orchestration.run_state import Run
from ..orchestration.task_tree import task_tree
from ..plan_runs import ground, queues_of, read_plan
from ..run_log import RunLog
from ..settings import load_settings
from ..tracing.caller import caller_traceparent
from .output import Style, note, write, write_json
from .run_documents import tree_lines


def budget_of(text: str | None) -> dict[str, float]:
    """Return the budget that `tasks=100,usd=2.5` means; raises BudgetInvalid."""
    bounds: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, equals, amount = part.partition("=")
        try:
            number = float(amount)
        except ValueError:
            raise BudgetInvalid(name, f"{amount!r} is no number" if equals else "needs `=` and a number") from None
        bounds[name] = int(number) if name in ("tasks", "tokens") and number.is_integer() else number
    budget_from(bounds)
    return bounds


def input_of(text: str | None, target: str | None) -> Any:
    """Return a plan's input: JSON, `@FILE` with JSON, or the name and text of a target; raises DataInvalid."""
    if text is None:
        if target is None:
            return None
        from .issue_target import issue_of

        name, words = issue_of(target)
        return {"name": name, "text": words}
    source = text[1:] if text.startswith("@") else "--input"
    given = _read(Path(source)) if text.startswith("@") else text
    try:
        return msgspec.json.decode(given)
    except msgspec.DecodeError as error:
        raise DataInvalid(source, 1, 1, given.split("\n", 1)[0][:200], str(error).lower()) from None


def run_plan(
    file: Path,
    *,
    input: Any,
    budget: Mapping[str, float],
    timeout_s: float | None,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    key: str = "",
) -> int:
    """Do a plan and return the exit status."""
    plan = read_plan(file)
    if dry_run:
        return _show(plan, as_json)
    labels = {"plan": file.name}
    return follow_plan(
        plan, labels=labels, input=input, budget=budget, timeout_s=timeout_s, detach=detach, as_json=as_json, key=key
    )


def follow_plan(
    plan: PatternFields,
    *,
    labels: Mapping[str, str],
    input: Any,
    budget: Mapping[str, float],
    timeout_s: float | None,
    detach: bool,
    as_json: bool,
    key: str = "",
) -> int:
    """Submit a plan, follow it to its end and return the exit status."""
    from .. import jobs
    from ..orchestration import submit
    from .run_end import end_of

    settings = load_settings()
    queues = queues_of(plan)
    owned = ground(settings, os.environ, queues)
    with jobs.connect(settings) as client:
        built_in = set(queues) <= QUEUES
        jobs.require_agents(client, settings, owned=owned and built_in, queues=(*queues, *needed_by(queues)))
        run = submit.submit(
            client,
            plan,
            key=key,
            input=input,
            budget=budget,
            timeout_s=timeout_s,
            labels=labels,
            caller=jobs.caller_of(settings),
            trace=caller_traceparent(),
        )
        return end_of(client, run, owned=owned, detach=detach, as_json=as_json, report=report)


def report(client: Any, run: str) -> dict[str, Any]:
    """Return the document that says what became of a plan: `twelvefold status` has the same."""
    from .status import document_of

    with RunLog(load_settings().home) as log:
        return document_of(log, run)[1]


def _show(plan: PatternFields, as_json: bool) -> int:
    """Show a plan that was read and checked, as the tree that it will be."""
    if as_json:
        write_json({"plan": plan, "queues": queues_of(plan)})
    else:
        write("\n".join(tree_lines(task_tree(Run("", plan=plan)), Style(sys.stdout))))
        note(f"dry run: the {pattern_of(plan)} is a plan, for the agents {', '.join(queues_of(plan))}")
    return 0


def _read(path: Path) -> str:
    from ..errors import DataUnreadable

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(str(path), getattr(error, "strerror", None) or str(error)) from error
