"""Where a commit of a run comes from: the effect that made it, the model call that chose it, what that was asked.

Owns how these follow from each other in a task's stream. Leaves which commit a line is from to whoever has git, and
chains of causes beyond the run to whoever has the log. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event


class ModelCall(msgspec.Struct, frozen=True):
    """A model call: its intent and its result as recorded, and all messages that it was asked with, earlier calls'
    included.
    """

    asked: Event
    answered: Event
    messages: tuple[dict[str, Any], ...]


class Origin(msgspec.Struct, frozen=True):
    """What made a commit: the event that names it, the effect (None where it was made outside of one), with its intent
    (None for a `read` effect, which has none), the model call before it, and the action that the model chose.
    """

    committed: Event
    effect: Event | None = None
    intent: Event | None = None
    model: ModelCall | None = None
    action: Event | None = None


def origin_of(events: Sequence[Event], commit: str) -> Origin | None:
    """Return where a commit comes from, None where no event of these says that it was made.

    `events` are all of a run's, in position order, with payloads and values loaded.
    """
    committed = next((event for event in events if is_commit_of(event, commit)), None)
    if committed is None:
        return None
    own = [event for event in events if event.stream == committed.stream and event.cause == committed.cause]
    effect = next((event for event in own if event.position > committed.position and _made(event, commit)), None)
    if effect is None:
        return Origin(committed)
    key = _data(effect).get("key")
    intents = (event for event in own if event.type == "effect.intended" and event.position < effect.position)
    intent = next((event for event in reversed(list(intents)) if _data(event).get("key") == key), None)
    before = [event for event in own if event.position < (intent or committed).position]
    answered = _last(before, "model")
    if answered is None:
        return Origin(committed, effect, intent)
    action = _last([event for event in before if event.position > answered.position], "value", "action")
    return Origin(committed, effect, intent, _call(before, answered), action)


def commits_before(events: Sequence[Event], commit: str) -> list[str]:
    """Return the commits that the request which made this one has made before it, in order."""
    committed = next((event for event in events if is_commit_of(event, commit)), None)
    if committed is None:
        return []
    return [
        _data(event)["commit"]
        for event in events
        if event.position < committed.position
        and event.type == "workspace.committed"
        and (event.stream, event.cause) == (committed.stream, committed.cause)
        and isinstance(_data(event).get("commit"), str)
    ]


def is_commit_of(event: Event, commit: str) -> bool:
    """Tell whether an event says that a commit was made."""
    return event.type == "workspace.committed" and _data(event).get("commit") == commit


def _made(event: Event, commit: str) -> bool:
    """Tell whether an effect's result holds a commit."""
    if event.type not in ("effect.completed", "effect.failed"):
        return False
    data = _data(event)
    commits = data.get("commits")
    return data.get("commit") == commit or (isinstance(commits, dict) and commit in commits.values())


def _last(events: Sequence[Event], kind: str, name: str = "") -> Event | None:
    for event in reversed(events):
        data = _data(event) if event.type == "effect.completed" else {}
        if data.get("kind") == kind and (not name or data.get("name") == name):
            return event
    return None


def _call(events: Sequence[Event], answered: Event) -> ModelCall | None:
    """Put a call together: each record has only the messages that are new in it, and how many came before them."""
    messages: list[dict[str, Any]] = []
    for event in events:
        data = _data(event) if event.type == "effect.intended" else {}
        asked = data.get("parameters")
        if data.get("kind") != "model" or not isinstance(asked, dict):
            continue
        since, new = asked.get("since"), asked.get("messages")
        messages = messages[: since if isinstance(since, int) and since > 0 else 0]
        messages += [one for one in new if isinstance(one, dict)] if isinstance(new, list) else []
        if data.get("key") == _data(answered).get("key") and event.position < answered.position:
            return ModelCall(event, answered, tuple(messages))
    return None


def _data(event: Event) -> dict[str, Any]:
    data = event.data if event.payload is not None else None
    return data if isinstance(data, dict) else {}
