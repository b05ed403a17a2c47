"""A model that answers from the record of an earlier run, and from nothing else.

A reply is found by the hash of everything that was asked (`calls.request_hash`): the same question, word for word, has
the same reply; any other is a miss, which is an error and never a guess. The record is a log, or what `twelvefold log
--run RUN --type 'effect.*' --jsonl` printed of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...eventstore.errors import TwelvefoldError, error_classes
from ..agent_settings import AgentSettings
from .call_place import PLACE
from .calls import request_hash
from .errors import ModelNotUsable, NoSuchReply
from .model import Message, Reply, ToolSpec, Usage

_SQLITE = b"SQLite format 3\0"
#: Events that are read from a log at once.
_PAGE = 1000


class RecordedModel:
    """Replies with what `replies` maps the hash of each request to, in the order in which it was recorded.

    A recorded failure fails again. Asked for what isn't recorded, or more often than it is, it raises NoSuchReply.
    """

    def __init__(self, replies: Mapping[str, Sequence[Reply | TwelvefoldError]], name: str = "recorded") -> None:
        self.name = name
        self.replies = replies
        self._served: dict[str, int] = {}

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Return the recorded reply; raises NoSuchReply, and what the call failed with when it was recorded."""
        digest = request_hash(messages, tools, schema)
        place = PLACE.get()
        nth = self._served.get(digest, 0) if place is None else place.equal
        self._served[digest] = nth + 1
        known = self.replies.get(digest, ())
        if nth >= len(known):
            last = messages[-1].content if messages else ""
            problem = f"{len(known)} replies are recorded to request {digest[:12]}, which ends in {last[-80:]!r}"
            raise NoSuchReply(self.name, problem)
        found = known[nth]
        if isinstance(found, Reply):
            # What it used was paid for when it was recorded.
            return msgspec.structs.replace(found, usage=Usage(0, 0, 0.0))
        raise found


def recorded_replies(facts: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, list[Reply | TwelvefoldError]]:
    """Return replies by the hash of their request, from the types and data of events in their order."""
    requests: dict[str, str] = {}
    found: dict[str, list[Reply | TwelvefoldError]] = {}
    for type, data in facts:
        if not isinstance(data, dict) or data.get("kind") != "model":
            continue
        key = data.get("key", "")
        parameters = data.get("parameters")
        if type == "effect.intended" and isinstance(parameters, dict) and isinstance(parameters.get("request"), str):
            requests[key] = parameters["request"]
        elif type == "effect.completed" and key in requests:
            found.setdefault(requests.pop(key), []).append(msgspec.convert(data["result"], Reply))
        elif type == "effect.failed" and key in requests:
            error = data["error"]
            cls = error_classes().get(error.get("code", ""))
            request = requests.pop(key)
            if cls is not None:
                found.setdefault(request, []).append(cls(**error.get("facts", {})))
    return found


def backend(settings: AgentSettings, rest: str) -> RecordedModel:
    """Make the model of a record, `recorded:FILE` or `recorded:FILE#RUN`; raises ModelNotUsable.

    FILE is a log (`log.db` of a home, or a backup), or lines of JSON as `log --jsonl` prints them.
    """
    name, _, run = rest.partition("#")
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            is_log = file.read(len(_SQLITE)) == _SQLITE
        facts = _of_log(path, run) if is_log else _of_lines(path, run)
        return RecordedModel(recorded_replies(facts), f"recorded:{path.name}")
    except OSError as error:
        remedy = "name a log, or a file with what `twelvefold log --type 'effect.*' --jsonl` prints"
        raise ModelNotUsable(f"recorded:{rest}", error.strerror or str(error), remedy) from error
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelNotUsable(f"recorded:{rest}", f"it can't be read: {error}") from error
    except TwelvefoldError as error:
        raise ModelNotUsable(f"recorded:{rest}", error.message(), error.help() or "") from error


def _of_lines(path: Path, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            event = msgspec.json.decode(line, type=dict[str, Any])
            if not run or str(event.get("run", "")).startswith(run):
                yield str(event.get("type", "")), event.get("data") or {}


def _of_log(path: Path, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a log in pages; what is held as blobs lies in the folder beside it."""
    from ...eventstore.blob_files import BlobFiles
    from ...eventstore.reader import LogReader

    load = BlobFiles(path.parent / "blobs").load
    with LogReader(path) as log:
        after = 0
        while page := log.read(after=after, type="effect.*", limit=_PAGE):
            for event in page:
                if not run or event.run.startswith(run):
                    yield event.type, load(event.data)
            after = page[-1].position
