"""Evidence: looked up before a task may say that it succeeded.

Owns the registry of resolvers and those that need nothing but the task itself: effects, files, values, test reports.
The `commit` resolver belongs to the stores and registers itself. Keeps: an unknown kind never resolves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from .context import TaskContext
from .errors import EvidenceUnresolved
from .response import Evidence, ToolResponse

#: Looks a piece of evidence up and returns it as it is to be recorded; raises EvidenceUnresolved.
Resolver = Callable[[Evidence, TaskContext, ToolResponse], Evidence]

#: Named effects that the runtime adds by itself to a result, at most.
EFFECT_COUNT_MAX = 100

_encode = msgspec.json.Encoder(order="sorted").encode
_resolvers: dict[str, Resolver | str] = {}


def register_resolver(kind: str, resolver: Resolver | str) -> None:
    """Set what resolves a kind; a string `module:function` is imported when it is first needed."""
    _resolvers[kind] = resolver


def _resolver(kind: str) -> Resolver | None:
    found = _resolvers.get(kind)
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(module, __package__), name)
        assert callable(found)
        _resolvers[kind] = found
    return found


def value_hash(value: Any) -> str:
    """Return `sha256:` and the hash of JSON-like data with sorted keys."""
    return "sha256:" + hashlib.sha256(_encode(value)).hexdigest()


def resolved(response: ToolResponse, context: TaskContext) -> list[Evidence]:
    """Resolve a response's evidence and add what the runtime knows by itself: recorded effects, the data's hash.

    Raises EvidenceUnresolved for the first piece that isn't there, whoever's fault that is.
    """
    found = []
    for evidence in response.evidence:
        resolver = context.resolver(evidence.kind) or _resolver(evidence.kind)
        if resolver is None:
            raise EvidenceUnresolved(evidence.kind, evidence.ref, "there is no resolver for this kind")
        try:
            found.append(resolver(evidence, context, response))
        except EvidenceUnresolved:
            raise
        except Exception as error:
            raise EvidenceUnresolved(evidence.kind, evidence.ref, f"{type(error).__name__}: {error}") from error
    if not any(one.kind == "value" for one in found):
        found.append(Evidence("value", value_hash(response.data)))
    named = {one.ref for one in found if one.kind == "effect"}
    own = [recorded for call, recorded in context.ledger.done if call.effect != "read" and recorded.error is None]
    return found + [Evidence("effect", one.id.hex()) for one in own[-EFFECT_COUNT_MAX:] if one.id.hex() not in named]


def _effect(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    for call, recorded in context.ledger.done:
        if evidence.ref in (recorded.id.hex(), call.key) and recorded.error is None:
            return msgspec.structs.replace(evidence, ref=recorded.id.hex())
    raise EvidenceUnresolved(evidence.kind, evidence.ref, "no effect with this id completed in this task")


def _tests(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    return _effect(evidence, context, response)


def _file(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    path = Path(evidence.ref)
    if not path.is_file():
        raise EvidenceUnresolved(evidence.kind, evidence.ref, "there is no such file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = evidence.details.get("sha256", digest)
    if expected != digest:
        raise EvidenceUnresolved(evidence.kind, evidence.ref, f"its SHA-256 is {digest}, not {expected}")
    return msgspec.structs.replace(evidence, ref=str(path.absolute()), details={**evidence.details, "sha256": digest})


def _value(evidence: Evidence, context: TaskContext, response: ToolResponse) -> Evidence:
    known = {value_hash(response.data), *map(value_hash, context.values.values())}
    digest = evidence.ref if evidence.ref in list(known) else value_hash(evidence.ref)
    if digest in known:
        return msgspec.structs.replace(evidence, ref=digest)
    raise EvidenceUnresolved(evidence.kind, evidence.ref, "it is neither the returned data nor a recorded value")


register_resolver("effect", _effect)
register_resolver("commit", ".commit_evidence:resolve_commit")
register_resolver("tests", _tests)
register_resolver("review", _tests)
register_resolver("file", _file)
register_resolver("citation", ".research.citation:resolve_citation")
register_resolver("value", _value)
