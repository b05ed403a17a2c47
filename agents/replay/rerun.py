"""One task, run again on its record: the same turn as in an agent's process, with nothing behind it.

Owns the context that serves a handler, and the comparing of outcomes. Keeps: `ok` is said only where every call, every
fact and the outcome were looked at, as far as the record goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from ...eventstore.large_values import may_hold
from ..agent_settings import AgentSettings, settings_of_run
from ..base import BaseAgent
from ..context import TaskContext
from ..effects import EffectLedger
from ..errors import EvidenceUnresolved
from ..evidence import Resolver, value_hash
from ..journal import AgentPlaces, TaskRequest, load, request_of
from ..response import Evidence, ToolResponse
from ..tool import Effect
from ..turn import TaskOutcome, perform
from ..workspace import Workspace
from .found import Found, Parted, RecordEnds, Rerun, at, first_difference
from .journal import JournalThen, ReplayJournal
from .ledger import ReplayLedger
from .places import Places
from .record import TaskRecord, data_of, loaded

#: Looked up anew: all that they need is the record of the task.
_OWN_KINDS = frozenset({"effect", "tests", "review", "value"})
#: Where an error was raised says nothing of what was done: a line added above moves it.
_OF_ERRORS = ("at", "frames", "help")


class ReplayContext(TaskContext):
    """A task's context whose world is its record."""

    def __init__(
        self, agent: BaseAgent, request: TaskRequest, journal: ReplayJournal, home: AgentPlaces, settings: AgentSettings
    ) -> None:
        record, files = journal.record, journal.places
        super().__init__(agent, request, journal, home, settings, contained=_was_contained(record))
        self.record_of_task = record
        self.files = files
        self.replayed = ReplayLedger(request, journal, record, files)
        self.ledger = self.replayed
        # A delivery begins with the files as the one before it left them.
        before = EffectLedger(request, JournalThen(record, home.blobs, files))
        self.ledger.last_commits, self._redelivered = before.last_commits, before.redelivered
        self._evidence = [dict(one) for one in _evidence_of(record, journal)]
        began = 0
        if record.began:
            began, self.ledger.began = record.began[-1].position, record.began[-1].id
        files.since = began
        #: The workspaces that were laid out in the last delivery and not asked for yet.
        self.created = [one for one in record.own if one.type == "workspace.created" and one.position > began]

    @cached_property
    def settings(self) -> AgentSettings:
        """What is set here; where no model is, the name of the one that the task had, which is asked nothing."""
        fork = self.request.fork
        found = settings_of_run(self._told, self.journal, self.run, () if fork is None else fork.lineage)
        if found.model or found.model_url:
            return found
        named = (data_of(event) for event in self.record_of_task.own if event.type.startswith("effect."))
        asked = next((str(one.get("name")) for one in named if one.get("kind") == "model"), "")
        return msgspec.structs.replace(found, model=asked)

    @property
    def redelivered(self) -> bool:
        """Whether the delivery that is done again had another one before it."""
        return self._redelivered

    @property
    def cancelled(self) -> bool:
        """Whether the task was withdrawn: as far as is known, once all that is recorded of it was done."""
        return self.record_of_task.outcome is None and self.replayed.exhausted

    def wait_cancelled(self, timeout_s: float | None = None) -> bool:
        """Tell whether the task was withdrawn; waiting takes no time here, and what it would wait for comes not."""
        if timeout_s is None and not self.cancelled:
            raise RecordEnds
        return self.cancelled

    async def effect_async(
        self, kind: str, name: str, parameters: Any, do: Callable[[], Awaitable[Any]], *, effect: Effect = "once",
        result: Any = Any,
    ) -> Any:  # fmt: skip
        """Serve an effect; others may be under way beside it."""
        self.replayed.concurrent = True
        return self.effect(kind, name, parameters, lambda: None, effect=effect, result=result)

    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Take every report, however soon it comes after another."""
        self.journal.append_soon(self._event("task.progressed", _report(fraction, stage), self.stream))

    def workspace(self, repo: str | Path, commit: str, *, name: str = "") -> AbstractContextManager[Workspace]:
        """Lay out a workspace with the files of a commit, which can only be read; they follow what is served."""
        from .files import replayed_copy

        return replayed_copy(self, repo, commit, name)

    def resolver(self, kind: str) -> Resolver | None:
        """Return what looks up evidence by the record, None for kinds that need nothing else."""
        return None if kind in _OWN_KINDS else self._resolve

    def _resolve(self, evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
        """Return evidence as it was recorded; what wasn't is returned as it is, and shows in the outcome."""
        for known in self._evidence:
            if known["kind"] == evidence.kind and _is_same(known.get("ref"), evidence.ref):
                self._evidence.remove(known)
                return msgspec.convert(known, Evidence)
        outcome = self.record_of_task.outcome
        error = loaded(outcome, self.journal).get("error") if outcome is not None else None
        facts = error.get("facts") if isinstance(error, dict) and error.get("class") == "EvidenceUnresolved" else None
        if isinstance(facts, dict) and (facts.get("kind"), facts.get("ref")) == (evidence.kind, evidence.ref):
            raise EvidenceUnresolved(**facts)
        return evidence


def rerun(
    agent: BaseAgent,
    record: TaskRecord,
    places: AgentPlaces,
    settings: AgentSettings,
    files: Places | None = None,
) -> Rerun:
    """Run a task again with today's agent and compare with what was recorded; raises nothing but what ends a process.

    `places` are the task's folders, what can be looked at of its workspaces is `files`.
    """
    journal = ReplayJournal(record, places.blobs, files or Places())
    context: ReplayContext | None = None
    try:
        began = record.began
        delivery = data_of(began[-1]).get("delivery") if began else 1
        request = request_of(record.request, journal, delivery if isinstance(delivery, int) else 1)
        context = ReplayContext(agent, request, journal, places, settings)
        outcome = perform(agent, context)
        found = _compared(record, context, journal, outcome.event(request, journal).type, outcome)
    except Parted as parted:
        found = parted.found
    except RecordEnds:
        found = None
    served = context.replayed.served_count if context is not None else 0
    return Rerun("ok" if found is None else "different", found, served=served)


def _compared(
    record: TaskRecord, context: ReplayContext, journal: ReplayJournal, type: str, outcome: TaskOutcome
) -> Found | None:
    if record.outcome is None:
        return None  # it would have come to an end now, which the recorded one had no time to
    left = context.replayed.left() or journal.left(context.replayed.is_doing)
    event = outcome.event(context.request, journal)
    data = msgspec.json.decode(event.payload)
    today = _as_recorded(context.files, _comparable(load(data, journal) if may_hold(event.payload) else data))
    recorded = _comparable(loaded(record.outcome, journal))
    note = _why(outcome)
    if left is not None:
        return msgspec.structs.replace(left, note=f"{left.note}; the task fails now: {note}") if note else left
    if type != record.outcome.type:
        return at(record.outcome, "type", record.outcome.type, type, note)
    place = first_difference(recorded, today, "data")
    return None if place is None else at(record.outcome, *place, note)


def _as_recorded(files: Places, data: dict[str, Any]) -> dict[str, Any]:
    """Return an outcome with folders named as they were, and the hash of its value as it is then."""
    named: dict[str, Any] = files.as_recorded(data)
    if named.get("value") != data.get("value"):
        here, then = value_hash(data["value"]), value_hash(named["value"])
        evidence = [{**one, "ref": then} if one.get("ref") == here else one for one in named.get("evidence") or ()]
        named = {**named, "evidence": evidence}
    return named


def _why(outcome: TaskOutcome) -> str:
    """Return why a task fails today, in a sentence."""
    if outcome.error is None:
        return ""
    hint = (
        ": what writes, or connects, belongs into an effect" if outcome.error.get("class") == "PermissionError" else ""
    )
    return f"{outcome.reason}: {outcome.message}{hint}"


def _comparable(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out where an error was raised, and put the effects that the runtime adds as evidence into one order."""
    data = dict(data)
    if isinstance(data.get("error"), dict):
        data["error"] = {name: value for name, value in data["error"].items() if name not in _OF_ERRORS}
    evidence = data.get("evidence")
    if isinstance(evidence, list):
        is_effect = [isinstance(one, dict) and one.get("kind") == "effect" and len(one) == 2 for one in evidence]
        effects = sorted((one for one, own in zip(evidence, is_effect, strict=True) if own), key=lambda one: one["ref"])
        data["evidence"] = [one for one, own in zip(evidence, is_effect, strict=True) if not own] + effects
    return data


def _was_contained(record: TaskRecord) -> bool:
    return record.outcome is None or data_of(record.outcome).get("contained", True) is True


def _evidence_of(record: TaskRecord, journal: ReplayJournal) -> list[dict[str, Any]]:
    recorded = loaded(record.outcome, journal).get("evidence") if record.outcome is not None else None
    return [one for one in recorded if isinstance(one, dict)] if isinstance(recorded, list) else []


def _is_same(recorded: Any, given: Any) -> bool:
    """Tell whether recorded evidence is what was given; files are recorded with their whole path."""
    if recorded == given:
        return True
    return isinstance(recorded, str) and isinstance(given, str) and recorded.endswith(f"/{given.removeprefix('./')}")


def _report(fraction: float, stage: str | None) -> dict[str, Any]:
    return {"progress": round(fraction, 4), "stage": stage}
