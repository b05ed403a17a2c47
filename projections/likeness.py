"""What is the same in the data of two runs although it is written differently: ids, commits, clocks, places on disk.

Owns which words of an event's data name its own run, an event, a commit or a moment, and what stands for them when two
runs are compared. Keeps: whatever is left differs because the runs differ. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ..eventstore.event import Event
from .alignment import Place

#: Fields of events that say when, by whom, in which process or under which versions something was done, or which hash
#: and number it was given; what they are of is compared itself. The names are the runtime's own, at the top only.
_OF_EVENTS = frozenset({
    "elapsed_s", "instance", "delivery", "due", "due_ns", "key", "decider", "versions", "code", "fork", "lineage",
    "at_time", "recorded", "usage", "progress",
})  # fmt: skip
#: The same of what agents record, wherever it stands.
_PASSING = frozenset({
    "elapsed_s", "duration_s", "timestamp", "time_s", "cpu_s", "wall_s", "rss_bytes", "pid", "cached", "tool_call_id",
})  # fmt: skip
_HASH = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{7,64}(?![0-9a-f])")
#: Measured times: fractions, and whole numbers of units that nobody sets.
_SPAN = re.compile(r"\b(?:\d+\.\d+(?= ?(?:s|sec|seconds?|ms|us|µs|ns)\b)|\d+(?= ?(?:ms|us|µs|ns)\b))")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?")
_WORKSPACE = re.compile(r"[^\s\"']*/workspaces/[0-9a-f]{32}(?=/)")
_SHORT = (7, 8, 12)


class Names:
    """What stands for the words of one run that only it has.

    `trees` has the files (any text that names them) of the commits that are known: equal files, equal name.
    """

    def __init__(
        self, runs: Iterable[str], events: Sequence[Event], places: Mapping[Place, Event], trees: Mapping[str, str]
    ) -> None:
        self._words: dict[str, str] = {}
        self._homes: set[str] = set()
        for run in runs:
            self._name(run, "<run>")
        for place, event in places.items():
            self._words[event.id.hex()] = f"<{place}>"
        for event in events:
            if event.type.startswith("workspace.") and event.payload is not None and isinstance(event.data, dict):
                self._about_files(event.data)
        for commit, files in trees.items():
            self._name(commit, f"<files {files[:12]}>")
        longest_first = sorted(self._homes, key=len, reverse=True)
        self._home = re.compile("|".join(map(re.escape, longest_first)) or "$^")

    def _about_files(self, data: dict[str, Any]) -> None:
        commit, ref, store = data.get("commit"), data.get("ref"), data.get("store")
        if isinstance(store, str) and "/stores/" in store:
            self._homes.add(store.rpartition("/stores/")[0])
        if isinstance(commit, str) and isinstance(ref, str) and ref.startswith("refs/twelvefold/"):
            self._name(commit, f"<commit {'/'.join(PurePosixPath(ref).parts[-2:])}>")

    def _name(self, word: str, name: str) -> None:
        self._words[word] = name
        for length in _SHORT:
            self._words[word[:length]] = name

    def of_event(self, event: Event) -> Any:
        """Return an event's data as `of` does, without what the runtime notes of the event itself."""
        data = event.data
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name not in _OF_EVENTS}
        return self.of(data)

    def of(self, value: Any) -> Any:
        """Return JSON-like data with what names this run's own things replaced, and without what passes."""
        if isinstance(value, dict):
            kept = {self.text(name): item for name, item in value.items() if name not in _PASSING}
            if kept.keys() >= {"effect", "answer", "until"}:
                del kept["until"]  # a position up to which a human's word counts
            if kept.keys() >= {"id", "name", "arguments"}:
                del kept["id"]  # a tool call's, which its service made up
            if _HASH.fullmatch(str(kept.get("key"))):
                del kept["key"]  # by which a result is remembered
            if kept.get("kind") == "value" and str(kept.get("ref", "")).startswith("sha256:"):
                del kept["ref"]  # the hash of a value that is compared itself
            if kept.get("kind") == "file" and "/patches/" in str(kept.get("ref", "")):
                kept.pop("details", None)  # the hash of a patch, which holds its commit
            return {key: self.of(item) for key, item in kept.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, value: str) -> str:
        """Return a text in which all words of this run's own are replaced."""
        if len(value) < _SHORT[0] and not any(letter.isdigit() for letter in value):
            return value
        # Results of tests may have been remembered from another run's workspace.
        value = _WORKSPACE.sub("<workspaces>", value)
        value = _HEX.sub(lambda found: self._words.get(found[0], found[0]), self._home.sub("<home>", value))
        return _SPAN.sub("<t>", _MOMENT.sub("<moment>", value))


#: Stands for what one of two values doesn't have.
ABSENT = "(nothing)"


def differences(a: Any, b: Any, place: str = "", most: int = 20) -> list[tuple[str, Any, Any]]:
    """Return where two JSON-like values differ: the field, what the first has there, and the second; at most so many.

    Fields are in the order of the first value. ABSENT stands for what one of them doesn't have.
    """
    found: list[tuple[str, Any, Any]] = []
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            inner = f"{place}.{key}" if place else str(key)
            if key in a and key in b:
                found += differences(a[key], b[key], inner, most - len(found))
            else:
                found.append((inner, a.get(key, ABSENT), b.get(key, ABSENT)))
            if len(found) >= most:
                break
        return found[:most]
    if isinstance(a, list) and isinstance(b, list):
        for number in range(max(len(a), len(b))):
            inner = f"{place}[{number}]"
            if number < len(a) and number < len(b):
                found += differences(a[number], b[number], inner, most - len(found))
            else:
                found.append((inner, _at(a, number), _at(b, number)))
            if len(found) >= most:
                break
        return found[:most]
    return [] if type(a) is type(b) and a == b else [(place, a, b)]


def _at(values: list[Any], number: int) -> Any:
    return values[number] if number < len(values) else ABSENT
