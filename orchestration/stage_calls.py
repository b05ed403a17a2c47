"""Stages that are plain functions: called in this process, tried again, timed out, and what their answers mean.

Nothing of them is recorded: what was done is lost with the process. Stages that have to survive it are agents.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from .plan import Retry
from .slice_errors import StageInvalid

ONCE = Retry(attempts_max=1)


class StageExit(msgspec.Struct, frozen=True):
    """Returned by a stage: the item leaves the pipeline here, with this value, and well."""

    value: Any = None


class Called(msgspec.Struct, frozen=True):
    """How a call ended: `outcome` as a task's, `exits` where the item leaves the pipeline with it."""

    outcome: str
    value: Any = None
    reason: str = ""
    error: str = ""
    attempts: int = 1
    exits: bool = False


def check_call(name: str, do: Callable[..., Any], timeout_s: float | None) -> bool:
    """Tell whether a function takes a context beside the item; raises StageInvalid for one that can't be a stage."""
    if not callable(do):
        raise StageInvalid(name, f"{type(do).__name__} is no function")
    if timeout_s is not None and not _is_async(do):
        raise StageInvalid(name, "only an async function can be timed out: a thread can't be ended")
    try:
        parameters = list(inspect.signature(do).parameters.values())
    except ValueError:
        return False  # a built-in one that doesn't tell
    placed = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    if len([one for one in needed if one.kind is not one.VAR_POSITIONAL]) > 2:
        raise StageInvalid(name, "its function needs more than an item and a context")
    return len(placed) > 1 and (placed[1].default is placed[1].empty or placed[1].name == "context")


async def call(
    do: Callable[..., Any], arguments: tuple[Any, ...], retry: Retry | None, timeout_s: float | None
) -> Called:
    """Call a stage's function until it succeeds or its tries are used up."""
    policy = retry or ONCE
    attempt = 1
    while True:
        called = await _try(do, arguments, timeout_s, attempt)
        if called.outcome != "failed" or attempt >= policy.attempts_max or called.reason in policy.unless:
            return called
        await asyncio.sleep(policy.delay_s(attempt))
        attempt += 1


async def _try(do: Callable[..., Any], arguments: tuple[Any, ...], timeout_s: float | None, attempt: int) -> Called:
    try:
        async with asyncio.timeout(timeout_s):
            # A plain function may take its time: it doesn't hold up the others.
            value = await do(*arguments) if _is_async(do) else await asyncio.to_thread(do, *arguments)
            if inspect.isawaitable(value):
                value = await value
    except TimeoutError as error:
        reason = "timeout" if timeout_s is not None else "TimeoutError"
        return Called("failed", reason=reason, error=str(error) or f"not done in {timeout_s} s", attempts=attempt)
    except Exception as error:  # noqa: BLE001  the boundary where a stage's exceptions become facts
        return Called("failed", reason=type(error).__name__, error=f"{type(error).__name__}: {error}", attempts=attempt)
    return _meaning(value, attempt)


def _meaning(value: Any, attempt: int) -> Called:
    """Return what an answer means: a value, an early exit, or the outcome that a ToolResponse tells."""
    if isinstance(value, StageExit):
        return Called("succeeded", value.value, attempts=attempt, exits=True)
    outcome = getattr(value, "outcome", None)
    if outcome is None or not all(hasattr(value, name) for name in ("success", "data", "error", "reason")):
        return Called("succeeded", value, attempts=attempt)
    if outcome == "planned":
        problem = "a stage in this process can't answer with a plan: let an agent do it"
        return Called("failed", reason="plan", error=problem, attempts=attempt)
    said = value.error or value.message or ""
    return Called(str(outcome), value.data, value.reason or ("agent" if outcome == "failed" else ""), said, attempt)


def _is_async(do: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(do) or inspect.iscoroutinefunction(getattr(do, "__call__", None))  # noqa: B004
