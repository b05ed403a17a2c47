"""Runs written by hand: the events that orchestrator and agents would have written, into any log."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.log import Append, EventLog

REPOSITORY = "0123456789abcdef01234567"


@dataclass
class MadeRun:
    """One run of a task `0` with tasks below it. Its words, as `elapsed_s`, differ from those of every other run."""

    log: EventLog
    run: str
    home: str = "/home/user/.twelvefold"
    requests: dict[str, bytes] = field(default_factory=dict)
    _count: int = 0
    _cause: bytes = b""

    def write(self, type: str, stream: str, data: Any, cause: bytes = b"", seen: int = 0) -> Event:
        """Append one event."""
        self._count += 1
        id = hashlib.sha256(f"{self.run} {self._count}".encode()).digest()[:16]
        event = new_event(type, data, stream=stream, id=id, run=self.run, cause=cause, seen=seen)
        return self.log.append(Append(events=[event])).events[0]

    def own(self, type: str, **data: Any) -> Event:
        """A decision, or the request that all begins with."""
        seen = self.log.head if self._cause else 0
        event = self.write(type, f"run.{self.run}", data, self._cause, seen)
        self._cause = self._cause or event.id
        return event

    def begin(self, **caller: Any) -> None:
        """Ask for the run, and start it."""
        plan = {"pattern": "task", "agent": "worker", "input": {"issue": {"name": "a.md", "text": "# Do it"}}}
        self.own("run.requested", plan=plan, caller={"program": "tests", "pid": len(self.run), **caller}, labels={})
        self.own("run.started", versions={"twelvefold": self.run[:3]})

    def request(self, path: str, agent: str = "worker", **data: Any) -> Event:
        """Request a task, and let it start."""
        event = self.own("task.requested", path=path, agent=agent, attempt=1, **{"input": {}} | data)
        self.requests[path] = event.id
        self.say("task.started", path, instance=f"worker.{self.run[:4]}", attempt=1, delivery=1)
        return event

    def say(self, type: str, path: str, **data: Any) -> Event:
        """What the task's holder reports."""
        return self.write(type, f"task.{self.run}.{path}", data, self.requests[path])

    def effect(
        self, path: str, kind: str, name: str, parameters: Any, result: Any, *, read: bool = False, **facts: Any
    ) -> Event:
        """An effect with its intent and result; `read` ones have no intent."""
        digest = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:32]
        key = {"kind": kind, "name": name, "effect": "read" if read else "idempotent", "key": f"{kind}:{name}:{digest}"}
        if read:
            facts = {"parameters": parameters, **facts}
        else:
            self.say("effect.intended", path, **key, parameters=parameters)
        return self.say("effect.completed", path, **key, result=result, elapsed_s=len(self.run) / 7, **facts)

    def asked(self, path: str, said: list[tuple[str, str]], reply: str, since: int = 0, model: str = "m") -> Event:
        """A model call with these new messages."""
        messages = [{"role": role, "content": text} for role, text in said]
        prompts = [{"name": "fixer", "hash": "f" * 64}]
        asked = {"model": model, "prompts": prompts, "request": self.run, "since": since, "messages": messages}
        usage = {"tokens_in": 10, "tokens_out": 2, "usd": 0.5}
        result = {"text": reply, "model": model, "usage": usage}
        return self.effect(path, "model", model, asked, result, usage=usage)

    @property
    def store(self) -> str:
        """Where the run's commits lie."""
        return f"{self.home}/stores/{REPOSITORY}/{self.run}.git"

    def laid_out(self, path: str, commit: str) -> Event:
        """A workspace that begins at a commit."""
        folder = f"{self.home}/workspaces/{self.run}/{path}"
        return self.say("workspace.created", path, folder=folder, store=self.store, commit=commit)

    def committed(self, path: str, commit: str, number: int, *files: str) -> Event:
        """What the task has changed."""
        ref = f"refs/twelvefold/{self.run}/{path}/{number}"
        return self.say("workspace.committed", path, store=self.store, commit=commit, ref=ref, files_changed=[*files])

    def answer(self, path: str, outcome: str = "succeeded", **data: Any) -> Event:
        """The task's answer."""
        return self.say(f"task.{outcome}", path, **data)

    def end(self, outcome: str = "succeeded", **data: Any) -> Event:
        """The run's end."""
        return self.own(f"run.{outcome}", **data)
