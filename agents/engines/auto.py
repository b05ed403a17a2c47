"""The choice of the engine: one by name, or one after the other until one takes the issue.

Owns the order and what is said of those that did not do it. Keeps: each engine starts from the files as they were
before any other had tried; an engine that has taken the issue decides how it ends, unless it only ran out of ways.
"""

from __future__ import annotations

import msgspec

from ..context import TaskContext
from ..issue import Issue
from ..workspace import Workspace
from .engine import AUTO, FixResult, FixTask, engine_named, engine_names
from .errors import EngineNotLoadable

#: Whose failure is final: what an issue states exactly and what can't be made is not guessed at by another engine.
_EXACT = "patch"


def fix_with(task: FixTask, issue: Issue, context: TaskContext, workspace: Workspace) -> FixResult:
    """Have the task's engine, or with `auto` each in turn, fix an issue in a workspace.

    The result names the engine that decided it, and what became of those tried before. Raises UnknownEngine.
    """
    names = engine_names() if task.engine == AUTO else [task.engine]
    tried: list[dict[str, str]] = []
    last: FixResult | None = None
    for name in names:
        context.attach_workspace(lambda: None)
        found = _attempt(name, task, issue, context, workspace)
        if found is None:
            found = FixResult(outcome="needs_human", reason="not_mine", message="it takes no such issue", mine=False)
        found = msgspec.structs.replace(found, engine=name)
        if found.mine and (found.outcome != "failed" or name == _EXACT):
            return msgspec.structs.replace(found, tried=tried)
        tried.append({"engine": name, "reason": found.reason, "message": found.message})
        last = _weightier(last, found)
    assert last is not None  # there is always one engine
    if len(names) == 1:
        return msgspec.structs.replace(last, tried=[])
    said = [f"`{one['engine']}`: {one['message'].rstrip('.')}" for one in tried if one["engine"] != last.engine]
    message = f"{last.message.rstrip('.')}. {'; '.join(said)}." if said else last.message
    return msgspec.structs.replace(last, message=message, tried=tried)


def _attempt(name: str, task: FixTask, issue: Issue, context: TaskContext, workspace: Workspace) -> FixResult | None:
    try:
        engine = engine_named(name)
    except EngineNotLoadable as error:
        if task.engine != AUTO:
            raise
        # One broken distribution must not keep the others from their work.
        return FixResult(outcome="needs_human", reason="engine_not_loadable", message=error.message(), mine=False)
    return engine.fix(task, issue, workspace, context)


def _weightier(one: FixResult | None, two: FixResult) -> FixResult:
    """Of two attempts, return that which says more: the last one that took the issue, else the first."""
    return two if one is None or two.mine else one
