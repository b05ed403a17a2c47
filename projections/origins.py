"""Where a commit of a run comes from: the effect that made it, the model call that chose it, what that was asked.

Owns how these follow from each other in a task's stream. Leaves which commit a line is from to whoever has git, and
chains of causes beyond the run to whoever has the log. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event

_ID = re.compile(r"[0-9a-f]{32}")
_RESULTS = ("effect.completed", "effect.failed")


class ModelCall(msgspec.Struct, frozen=True):
    """A model call: its intent and its result as recorded, and all messages that it was asked with, earlier calls'
    included.
    """

    asked: Event
    answered: Event
    messages: tuple[dict[str, Any], ...]


class Origin(msgspec.Struct, frozen=True):
    """What made a commit: the event that says so first, the effect (None where it was made outside of one), with its
    intent (None where it has none), the model call before it, and the action that the model chose.
    """

    event: Event
    effect: Event | None = None
    intent: Event | None = None
    model: ModelCall | None = None
    action: Event | None = None


def origin_of(events: Sequence[Event], commit: str) -> Origin | None:
    """Return where a commit comes from, None where no event of these says that it was made.

    `events` are all of a run's, in position order, with payloads and values loaded.
    """
    made = next((event for event in events if is_made(event, commit)), None)
    if made is None:
        return None
    own = _of_one_request(events, made)
    effect = next((event for event in own if event.position >= made.position and _holds(event, commit)), None)
    if effect is None:
        return Origin(made)
    key = _data(effect).get("key")
    intents = (event for event in own if event.type == "effect.intended" and event.position < effect.position)
    intent = next((event for event in reversed(list(intents)) if _data(event).get("key") == key), None)
    before = [event for event in own if event.position < (intent or made).position]
    answered = _last(before, "model")
    if answered is None:
        return Origin(made, effect, intent)
    action = _last([event for event in before if event.position > answered.position], "value", "action")
    return Origin(made, effect, intent, _call(before, answered), action)


def conversation(before: Sequence[dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all messages of a model call, given those of the call before it in its task, and what was recorded of it.

    A record has only the messages that are new, and how many came before them.
    """
    since, new = asked.get("since"), asked.get("messages")
    known = list(before[: since if isinstance(since, int) and since > 0 else 0])
    return known + ([one for one in new if isinstance(one, dict)] if isinstance(new, list) else [])


def commits_before(events: Sequence[Event], commit: str) -> list[str]:
    """Return the commits that the request which made this one has made before it, in order."""
    made = next((event for event in events if is_made(event, commit)), None)
    if made is None:
        return []
    found: dict[str, None] = {}
    for event in _of_one_request(events, made):
        if event.position < made.position and event.type in ("workspace.committed", *_RESULTS):
            data = _data(event)
            commits = data.get("commits")
            named = [data.get("commit"), *(commits.values() if isinstance(commits, dict) else ())]
            found |= dict.fromkeys(one for one in named if isinstance(one, str))
    found.pop(commit, None)
    return list(found)


def is_made(event: Event, commit: str) -> bool:
    """Tell whether an event says that a commit was made.

    The result of an effect names the files as they were after it, which may be those that the task was given; what was
    made is told by an event of its own. Only where another run's record was served, that one has it.
    """
    data = _data(event)
    if event.type == "workspace.committed":
        return data.get("commit") == commit
    asked = data.get("parameters")
    given = asked.get("commit") if isinstance(asked, dict) else None
    return "recorded" in data and given != commit and _holds(event, commit)


def _of_one_request(events: Sequence[Event], made: Event) -> list[Event]:
    """Return what a task has recorded for one request: in a fork also for the one that it goes on from."""
    causes = {made.cause}
    path = made.stream.split(".", 2)[-1]
    for event in reversed(events):
        fork = _data(event).get("fork") if event.type == "task.requested" and event.id in causes else None
        carries = fork.get("carries") if isinstance(fork, dict) else None
        carried = carries if isinstance(carries, list) else []
        causes |= {bytes.fromhex(one) for one in carried if isinstance(one, str) and _ID.fullmatch(one)}
    return [
        event
        for event in events
        if event.cause in causes and event.stream.startswith("task.") and event.stream.split(".", 2)[-1] == path
    ]


def _holds(event: Event, commit: str) -> bool:
    """Tell whether an effect's result holds a commit."""
    if event.type not in _RESULTS:
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
    """Put a call together with all of its messages."""
    messages: list[dict[str, Any]] = []
    for event in events:
        # One that was served from another run's record has what was asked in its result.
        data = _data(event) if event.type in ("effect.intended", "effect.completed") else {}
        asked = data.get("parameters")
        if data.get("kind") != "model" or not isinstance(asked, dict):
            continue
        messages = conversation(messages, asked)
        if data.get("key") == _data(answered).get("key"):
            return ModelCall(event, answered, tuple(messages))
    return None


def _data(event: Event) -> dict[str, Any]:
    data = event.data if event.payload is not None else None
    return data if isinstance(data, dict) else {}
