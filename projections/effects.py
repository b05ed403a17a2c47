"""The read model of effects: each call that touched the world, of each task, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..eventstore.event import Event
from .projection import Projection, facts_reader, number, task_of, text

_STATES = {
    "effect.intended": "intended",
    "effect.completed": "completed",
    "effect.failed": "failed",
    "effect.in_doubt": "in_doubt",
}


class _Facts(msgspec.Struct, frozen=True, gc=False):
    """What of an effect's record counts here; results and parameters may be large, and are left alone."""

    key: Any = ""
    kind: Any = ""
    name: Any = ""
    effect: Any = ""
    elapsed_s: Any = None
    commit: Any = ""
    error: Any = None


_facts = facts_reader(_Facts)


class EffectRow(msgspec.Struct, frozen=True, gc=False):
    """One effect. `state` is intended (begun, nothing more is known), completed, failed or in_doubt; `intents` counts
    how often it was begun. `effect` is read, idempotent or once; `commit` holds the workspace's files after it.
    """

    state: str
    kind: str = ""
    name: str = ""
    effect: str = ""
    intents: int = 0
    began_ns: int | None = None
    ended_ns: int | None = None
    elapsed_s: float | None = None
    source: str | None = None
    commit: str | None = None
    error: str | None = None
    last: int = 0


class Effects(Projection[EffectRow | None]):
    """All effects, by run, path and key."""

    name = "effects"
    types = tuple(_STATES)
    key_names = ("run", "path", "key")
    columns = ("run", "path", "kind", "name", "effect", "state", "elapsed_s")
    by_run = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the effect's key behind its task's."""
        run, path = task_of(event)
        key = text(_facts(event).key)
        return (f"{run}/{path}/{key}",) if run and path and key else ()

    def initial(self, key: str) -> EffectRow | None:
        """Return nothing."""
        return None

    def apply(self, state: EffectRow | None, event: Event) -> EffectRow | None:
        """Return the effect after what was recorded of it."""
        facts, now = _facts(event), _STATES[event.type]
        before = state or EffectRow(now)
        begins, ends = now == "intended", now in ("completed", "failed")
        elapsed_s = float(number(facts.elapsed_s)) if ends else before.elapsed_s
        return EffectRow(
            now,
            text(facts.kind) or before.kind,
            text(facts.name) or before.name,
            text(facts.effect) or before.effect,
            before.intents + begins,
            event.time if begins else before.began_ns,
            event.time if ends else None,
            elapsed_s,
            event.source,
            text(facts.commit) or before.commit,
            _error(facts.error) if now == "failed" else None,
            event.position,
        )


def _error(error: Any) -> str:
    """Return an error in short: the class, and the first line of what it says."""
    if not isinstance(error, dict):
        return text(error)[:200]
    words = text(error.get("message")).partition("\n")[0]
    named = text(error.get("error")) or text(error.get("type")) or text(error.get("code"))
    return ": ".join(part for part in (named, words) if part)[:200]
