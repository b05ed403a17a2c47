"""Random histories against the SQLite log and against the log in memory, which is the model."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.integrity import verify
from twelvefold.eventstore.log import Append, Appended
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog

RUNS = ["", "a" * 32, "b" * 32]
STREAMS = ["", "s", "t.u", "t.v"]
TYPES = ["s", "t.happened", "t.u.failed", "Bad"]

events = st.builds(
    NewEvent,
    type=st.sampled_from(TYPES[:3] * 6 + TYPES),
    payload=st.sampled_from(["1", '{"a":"é"}', '{"blob":"' + "0" * 64 + '","size":1}'] * 5 + ["{"]),
    stream=st.sampled_from(STREAMS),
    id=st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")),
    to=st.sampled_from(["", "", "q"]),
    run=st.sampled_from(RUNS),
    seen=st.sampled_from([0, 0, 3]),
)
requests = st.builds(
    Append,
    events=st.lists(events, max_size=4),
    expected_version=st.one_of(
        st.just({}), st.dictionaries(st.sampled_from(STREAMS[1:]), st.integers(0, 4), max_size=2)
    ),
    source=st.sampled_from(["", "x", "Y.1"]),
    marks=st.one_of(
        st.just({}),
        st.dictionaries(st.sampled_from(["m", "n/a", "n/b"]), st.sampled_from([None, "1", "2"]), max_size=2),
    ),
)


def told(results: list[Appended | TwelvefoldError]) -> list[Any]:
    """Make results comparable: errors by their class and facts."""
    return [
        (type(result).__name__, result.facts()) if isinstance(result, TwelvefoldError) else result for result in results
    ]


class SameLogs(RuleBasedStateMachine):
    """Both logs get the same calls and must give the same answers, hashes and times included."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="twelvefold-model-"))
        self.ticks = itertools.count(1, 10)
        self.now = next(self.ticks)
        self.model = MemoryLog(clock=lambda: self.now)
        self.log = SqliteLog(self.folder / "log.db", clock=lambda: self.now)

    @rule(group=st.lists(requests, max_size=5), step=st.integers(-5, 10))
    def append(self, group: list[Append], step: int) -> None:
        self.now += step
        assert told(self.log.append_many(group)) == told(self.model.append_many(group))

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = SqliteLog(self.folder / "log.db", clock=lambda: self.now)

    @rule(
        after=st.integers(0, 20), until=st.one_of(st.none(), st.integers(0, 20)), limit=st.integers(0, 12),
        stream=st.sampled_from([None, None, "s", "t.*", "t.u", "*"]),
        type=st.sampled_from([None, None, "t.*", "s", "t.u.*"]),
        run=st.sampled_from([None, None, *RUNS]), to=st.sampled_from([None, None, "", "q"]),
        source=st.sampled_from([None, None, "x"]), reverse=st.booleans(),
    )  # fmt: skip
    def read(self, **page: Any) -> None:
        assert self.log.read(**page) == self.model.read(**page)

    @invariant()
    def same(self) -> None:
        if hasattr(self, "log"):
            assert self.log.head == self.model.head
            assert self.log.marks() == self.model.marks()
            for stream in STREAMS[1:]:
                assert self.log.version(stream) == self.model.version(stream)
            for pattern in ("*", "t.*", "t.u.*", "t.happened", "s"):
                assert self.log.last_position(pattern) == self.model.last_position(pattern)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            with LogReader(self.folder / "log.db") as reader:
                assert verify(reader).head == self.model.head
            self.log.close()
            shutil.rmtree(self.folder)


TestSameLogs = SameLogs.TestCase
TestSameLogs.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
