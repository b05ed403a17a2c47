"""Effects: everything a task does to the world, recorded so that it happens at least once and is recorded once.

Owns the ledger of one delivered task: intent, do, result, as events in `task.<run>.<path>`, and the rule for a task
that is delivered again: what has a result is served from the record, an intent without one is in doubt. Leaves to
`journal` where events go, to `context` what an agent's author calls. Keeps: the world isn't touched for an `idempotent`
or `once` effect before its intent is durable, and its caller doesn't learn the result before that is.

An effect's key is its kind and name, the hash of its parameters, and how many equal calls came before it. Records are
those of the same request; a retry is a new request and does its effects anew, but for `once`: what was completed stays
done. In a fork a request goes on from those that it carries, of the runs that the fork comes from; and layers that are
not live are answered from their record (`past`), or the task has failed.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ..eventstore.errors import TwelvefoldError, error_classes
from ..eventstore.event import Event, NewEvent
from ..eventstore.ids import derived_id
from .errors import EffectFailed, EffectInDoubt, TaskWithdrawn
from .faults import compact
from .fork_errors import RecordedMiss
from .journal import Journal, TaskRequest, load, pack
from .past import Past, layer_of, request_of_model
from .tool import Effect
from .tracing import current_traceparent, of_delivery, of_effect, placed

_encode = msgspec.json.Encoder(order="sorted").encode

#: What kind of thing an effect is, beside how it may be repeated.
KINDS = ("tool", "model", "process", "git", "value")


class Call(msgspec.Struct, frozen=True):
    """One effect about to happen. `key` tells it from all others of its task."""

    kind: str
    name: str
    effect: Effect
    parameters: Any
    key: str


class Recorded(msgspec.Struct, frozen=True):
    """The result of an effect as it stands in the log; `error` is None for one that completed."""

    id: bytes
    result: Any = None
    error: dict[str, Any] | None = None

    def value(self, call: Call) -> Any:
        """Return the result, or raise what the effect failed with."""
        if self.error is None:
            return self.result
        raise _rebuilt(self.error) or EffectFailed(call.name, self.error)


class WorkspaceCommits:
    """The last commit of each workspace of the task at a path, folded from the events of one request."""

    def __init__(self, path: str) -> None:
        self.last: dict[str, str] = {}
        self._path = path
        self._begun: set[str] = set()
        #: Committed within effects whose result hasn't come yet.
        self._within: dict[str, str] = {}

    def apply(self, type: str, data: dict[str, Any]) -> None:
        """Take in one event."""
        if type == "workspace.committed":
            # The ref holds the task's path and the workspace's name.
            key = str(data.get("ref", "")).split("/")[-2:][0]
            name = key.removeprefix(self._path).removeprefix(".")
            (self._within if self._begun else self.last)[name] = data["commit"]
        elif type == "effect.intended":
            self._begun.add(data["key"])
        elif type in ("effect.completed", "effect.failed") and data["effect"] != "read":
            self._begun.discard(data["key"])
            made = {"": data["commit"]} if data.get("commit") else {}
            self.last |= self._within | made | (data.get("commits") or {})
            self._within.clear()


class EffectLedger:
    """The effects of one delivered task. Calls may come from several threads; each call is one at a time.

    `snapshots`, by the names of the task's workspaces, are asked after each effect that isn't `read` for the commit
    that holds the workspace's files, which goes into the result (None: nothing changed). `last_commits` are those as of
    the last recorded effect; what an effect committed whose result was never recorded doesn't count, as it is redone.
    `restores`, by the same names, are told the commit of each result that is served from another run's record.
    """

    def __init__(self, request: TaskRequest, journal: Journal) -> None:
        self.request = request
        self.journal = journal
        self.snapshots: dict[str, Callable[[], str | None]] = {}
        self.restores: dict[str, Callable[[str], object]] = {}
        self.in_doubt: EffectInDoubt | None = None
        #: What a recorded layer was asked for in vain: the task has failed, whatever its handler makes of it.
        self.missed: RecordedMiss | None = None
        self.withdrawn = threading.Event()
        self.done: list[tuple[Call, Recorded]] = []
        #: What models were asked so far (see `models.calls`), by the hash of each request, served ones too.
        self.asked_models: list[str] = []
        self.last_commits: dict[str, str] = {}
        #: The id of the event that says that this delivery has begun.
        self.began = request.id
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._results: dict[str, Recorded] = {}
        self._intents: set[str] = set()
        self._intended: Counter[str] = Counter()
        self._doubted: set[str] = set()
        fork = request.fork
        self._past = Past(journal, fork, request.path, request.attempt) if fork is not None and fork.lineage else None
        if not request.fresh:
            past = () if self._past is None else self._past.below()
            self._load([*past, *journal.history(request.stream)])

    def _load(self, history: Sequence[Event]) -> None:
        retried = {one.effect: one.until for one in self.request.resolved if one.answer == "retry"}
        commits = WorkspaceCommits(self.request.path)
        carried = self.request.fork.carries if self.request.fork is not None else ()
        requests = {self.request.id, *map(bytes.fromhex, carried)}
        for event in history:
            own = event.cause in requests
            data = load(event.data, self.journal)
            if own:
                commits.apply(event.type, data)
            if not event.type.startswith("effect.") or not (own or data["effect"] == "once"):
                continue
            if event.type == "effect.intended" and not own and event.position <= retried.get(data["key"], 0):
                continue  # a human knows that it didn't happen
            if event.type == "effect.intended":
                self._intents.add(data["key"])
                self._intended[data["key"]] += 1
            elif event.type == "effect.in_doubt" and own:
                self._doubted.add(data["key"])
            elif event.type == "effect.completed":
                self._results[data["key"]] = Recorded(event.id, data.get("result"))
            elif event.type == "effect.failed":
                self._intents.discard(data["key"])
                if own:
                    self._results[data["key"]] = Recorded(event.id, error=data["error"])
        self.last_commits = commits.last
        for one in self.request.resolved:
            if one.answer == "done":
                self._results[one.effect] = Recorded(self.request.id, one.value)

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this task left records."""
        return bool(self._results or self._intents)

    def call(self, kind: str, name: str, parameters: Any, effect: Effect) -> Call:
        """Number a call and give it its key; raises ValueError for an unknown kind, TaskWithdrawn once withdrawn."""
        if kind not in KINDS:
            raise ValueError(f"effect kind {kind!r} is none of {', '.join(KINDS)}")
        if effect not in ("read", "idempotent", "once"):
            raise ValueError(f"effect {effect!r} is none of read, idempotent, once")
        if self.withdrawn.is_set():
            raise TaskWithdrawn(self.request.run, self.request.path)
        if self.missed is not None:
            raise self.missed
        digest = hashlib.sha256(_encode(parameters)).hexdigest()[:32]
        key = f"{kind}:{name}:{digest}"
        with self._lock:
            nth = self._seen[key]
            self._seen[key] += 1
        return Call(kind, name, effect, parameters, f"{key}:{nth}")

    def served(self, call: Call) -> Recorded | None:
        """Return what is recorded for a call, or None where it is to be done; raises EffectInDoubt, RecordedMiss."""
        recorded = self._results.get(call.key)
        if recorded is not None:
            self.done.append((call, recorded))
            return recorded
        if self._past is not None and (recorded := self._served_by(self._past, call)) is not None:
            return recorded
        if call.key in self._intents and call.effect == "once":
            raise self.doubt(call)
        return None

    def _served_by(self, past: Past, call: Call) -> Recorded | None:
        """Return what another run's record holds for a call, noted as this run's own; None where it is to be done."""
        begun = call.key in self._intents and call.effect == "once"
        found = past.carried(call.key) if begun else None
        layer, asked = layer_of(call), request_of_model(call)
        # The call of a model is counted once its place is taken, so it counts itself.
        equal = max(0, self.asked_models.count(asked) - 1) if asked else 0
        if found is None and (layer is None or not past.is_live(call)):
            found = past.find(call, equal)
        elif found is None and asked:
            found = past.replied(call, equal)
        if found is not None:
            return self._take_over(call, found)
        if layer is not None and not past.is_live(call):
            self.missed = RecordedMiss(layer, call.name, call.key, past.parent)
            raise self.missed
        return None

    def _take_over(self, call: Call, event: Event) -> Recorded:
        """Note a result of another run as this one's, without its cost, and bring the files to where it left them."""
        data = load(event.data, self.journal)
        kept = ("result", "error", "commit", "commits")
        facts = {"parameters": call.parameters} | {name: data[name] for name in kept if name in data}
        facts |= {"elapsed_s": 0.0, "recorded": {"run": event.run, "position": event.position}}
        own = self._event(event.type, call, facts)
        self.journal.append_soon(own)
        commits = ({"": data["commit"]} if data.get("commit") else {}) | (data.get("commits") or {})
        self.last_commits |= commits
        for name, commit in commits.items():
            if (restore := self.restores.get(name)) is not None:
                restore(commit)
        recorded = Recorded(own.id, data.get("result"), data.get("error"))
        with self._lock:
            self.done.append((call, recorded))
        return recorded

    def doubt(self, call: Call) -> EffectInDoubt:
        """Record that nobody can tell whether an effect happened, once, and return the error that says so."""
        self.in_doubt = EffectInDoubt(call.name, call.key)
        if call.key not in self._doubted:
            self.journal.append([self._event("effect.in_doubt", call, {"parameters": call.parameters})])
        return self.in_doubt

    def intend(self, call: Call) -> None:
        """Make the intent durable; a `read` effect has none."""
        if call.effect != "read":
            self.journal.append([self._event("effect.intended", call, {"parameters": call.parameters})])

    def complete(self, call: Call, result: Any, started: float) -> Recorded:
        """Record a result (see `as_json`), and wait until it is durable unless the effect is `read`.

        What a model call says it has used (`usage` in its result) is recorded beside it, where budgets count it.
        """
        facts: dict[str, Any] = {"result": result, "elapsed_s": round(time.monotonic() - started, 6)}
        if call.kind == "model" and isinstance(result, dict) and isinstance(result.get("usage"), dict):
            facts["usage"] = result["usage"]
        if call.effect == "read":
            facts["parameters"] = call.parameters
        else:
            facts |= self._snapshot()
        return self._record("effect.completed", call, facts, result=result)

    def fail(self, call: Call, error: BaseException, started: float, *, snapshot: bool = True) -> Recorded:
        """Record an exception in its compact form, and wait until it is durable unless the effect is `read`.

        What it changed before it failed is committed, too, unless `snapshot` is false, as somebody is still at work.
        """
        compacted = compact(error)
        facts = {"error": compacted, "elapsed_s": round(time.monotonic() - started, 6)}
        if snapshot and call.effect != "read" and not self.withdrawn.is_set():
            try:
                facts |= self._snapshot()
            except (TwelvefoldError, OSError) as second:
                facts["snapshot_error"] = compact(second)  # what the effect failed with matters more
        return self._record("effect.failed", call, facts, error=compacted)

    def _snapshot(self) -> dict[str, Any]:
        """Have every workspace's files committed, and return what goes into the result: `commit`, and `commits`."""
        made = {name: commit for name, take in list(self.snapshots.items()) if (commit := take()) is not None}
        self.last_commits |= made
        facts: dict[str, Any] = {"commit": made[""]} if "" in made else {}
        named = {name: commit for name, commit in made.items() if name}
        return facts | ({"commits": named} if named else {})

    def _record(self, type: str, call: Call, facts: dict[str, Any], **outcome: Any) -> Recorded:
        event = self._event(type, call, facts)
        if call.effect == "read":
            self.journal.append_soon(event)
        else:
            self.journal.append([event])
        recorded = Recorded(event.id, **outcome)
        with self._lock:
            self.done.append((call, recorded))
        return recorded

    def _event(self, type: str, call: Call, facts: dict[str, Any]) -> NewEvent:
        data = {"kind": call.kind, "name": call.name, "effect": call.effect, "key": call.key, **facts}
        return NewEvent(
            type=type,
            payload=pack(data, self.journal),
            stream=self.request.stream,
            id=self._id(type, call),
            run=self.request.run,
            cause=self.request.id,
            trace=self.request.trace,
        )

    def _id(self, type: str, call: Call) -> bytes:
        """Return the id of one fact of one request, so that a record cannot stand twice.

        Intents count those before them in the log, which outlives the bus's own count of deliveries.
        """
        nth = self._intended[call.key] if type == "effect.intended" else 0
        fact = {"effect.intended": "intent", "effect.in_doubt": "doubt"}.get(type, "result")
        return derived_id(self.request.run, self.request.path, f"{self.request.id.hex()}:{call.key}:{fact}", nth)

    def run(self, call: Call, do: Callable[[], Any]) -> Any:
        """Call what does an effect, at the effect's place in the run's trace."""
        with placed(partial(self._place, call)):
            return do()

    async def run_async(self, call: Call, do: Callable[[], Awaitable[Any]]) -> Any:
        """Do as `run` for what is awaited."""
        with placed(partial(self._place, call)):
            return await do()

    def traceparent(self) -> str:
        """Return where the code that asks is in the run's trace: in an effect, else in the task itself."""
        return current_traceparent() or of_delivery(self.request.run, self.request.trace, self.began)

    def _place(self, call: Call) -> str:
        first = self._id("effect.completed" if call.effect == "read" else "effect.intended", call)
        return of_effect(self.request.run, self.request.trace, first)


def _rebuilt(error: dict[str, Any]) -> TwelvefoldError | None:
    """Make an equal error of ours from its recorded facts, so that a handler meets the same class both times."""
    cls = error_classes().get(error.get("code", ""))
    return None if cls is None else cls(**error.get("facts", {}))
