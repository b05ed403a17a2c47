"""Exporting live: everything once, in order, across restarts and outages; counted, and never held in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from tests.projections.told import Told
from twelvefold.projections.otlp_json import document
from twelvefold.projections.span import Span
from twelvefold.projections.spans import Spans
from twelvefold.tracing.following import RETRY_MOST_S, Follower
from twelvefold.tracing.progress import (
    Progress,
    all_progress,
    only_exporter,
    progress_path,
    read_progress,
    write_progress,
)  # fmt: skip
from twelvefold.tracing.settings import trace_settings
from twelvefold.tracing.sinks import FileSink, LinesSink, Sent
from twelvefold.tracing.span_source import restored

SETTINGS = trace_settings({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "3"})


class Receiver:
    """A receiver that takes spans while it is up, and refuses those that it is told to."""

    target = "receiver"

    def __init__(self) -> None:
        self.up = True
        self.got: list[Span] = []
        self.refuses: set[str] = set()
        self.asked = 0

    def send(self, spans: Sequence[Span]) -> Sent:
        self.asked += 1
        assert 0 < len(spans) <= 3
        if not self.up:
            return Sent(0, reason="connection refused")
        taken = [span for span in spans if span.name not in self.refuses]
        self.got += taken
        return Sent(len(taken), len(spans) - len(taken), "bad name" if len(taken) < len(spans) else "")

    def close(self, *, good: bool = True) -> None:
        """Nothing to end."""


def busy(seed: int) -> Told:
    """A log in which a few runs go on at once: agents work, die, ask, and some runs never end."""
    chance = random.Random(seed)
    told = Told()
    runs = [f"{n:032x}" for n in range(1, 6)]
    steps = []
    for run in runs:
        mine: list[tuple[str, int]] = [("requested", 0)]
        for n in range(chance.randint(1, 4)):
            mine += [("task", n), ("started", n), ("intended", n)]
            mine += chance.choice([[], [("died", n), ("started", n)], [("completed", n)]])
            mine += [(chance.choice(["succeeded", "failed", "needs_human"]), n)]
        steps.append((run, [*mine, ("end", 0)] if chance.random() < 0.7 else mine))
    requests = {}
    while any(left for _, left in steps):
        run, left = chance.choice([one for one in steps if one[1]])
        what, n = left.pop(0)
        told.run = run
        if what == "requested":
            told.requested({"pattern": "pipeline", "steps": []})
        elif what == "task":
            requests[run, n] = told.task(f"0.{n}", "echo")
        elif what == "died":
            told.add("process.exited", {"instance": f"i{run}", "signal": 9}, run="", stream="process.echo.1")
        elif what == "end":
            told.add(chance.choice(["run.succeeded", "run.failed"]), {})
        elif what in ("intended", "completed"):
            told.effect(requests[run, n], what, by=f"i{run}")
        else:
            told.reported(requests[run, n], f"task.{what}", {}, by=f"i{run}")
    return told


def followed(told: Told, receiver: Receiver, path: Path, said: list[str] | None = None) -> Follower:
    """A follower of a log, as a process that has just begun has it."""
    progress = read_progress(path) or Progress(target="receiver")
    return Follower(told.log, receiver, SETTINGS, path, progress, (said if said is not None else []).append)  # type: ignore[arg-type]


def caught_up(follower: Follower, now: float = 0.0) -> None:
    """Let it send all there is."""
    for _ in range(1000):
        follower.step(now)
        if not follower.is_behind:
            return
    raise AssertionError("it never catches up")


@pytest.mark.parametrize("seed", range(20))
def test_the_fold_can_be_taken_up_anywhere(seed: int) -> None:
    """From the open runs at any position the same spans follow as from the beginning."""
    told = busy(seed)
    whole, fold = Spans(), Spans()
    expected = whole.take(told.events)
    for event in told.events:
        again = restored(told.log, fold.open_runs, event.position - 1)  # type: ignore[arg-type]
        rest = again.take(told.log.read(after=event.position - 1, limit=10_000))
        assert document({}, rest) == document({}, [one for one in expected if one.closed_by >= event.position])
        fold.take([event])


@pytest.mark.parametrize("seed", range(5))
def test_every_span_arrives_once_and_in_order_whenever_the_exporter_is_killed(tmp_path: Path, seed: int) -> None:
    """A follower that is made anew between any two steps delivers what one alone does, while the log grows."""
    chance = random.Random(seed)
    told, path, receiver = busy(seed), tmp_path / "p.json", Receiver()
    expected = Spans().take(told.events)
    whole, told.log = told.events, Told().log
    grown = Told()
    for event in whole:
        # The same log, as far as it has grown.
        grown.log._events.append(event)
        grown.log._by_stream.setdefault(event.stream, []).append(event)
        if chance.random() < 0.3:
            caught_up(followed(grown, receiver, path))
    caught_up(followed(grown, receiver, path))
    assert document({}, receiver.got) == document({}, expected)
    assert read_progress(path).delivered == len(expected)  # type: ignore[union-attr]


def test_an_outage_is_counted_and_made_up_for(tmp_path: Path) -> None:
    """While nobody takes spans they are counted, asked for ever more rarely, and all sent afterwards."""
    told, path, receiver, said = busy(3), tmp_path / "p.json", Receiver(), list[str]()
    expected = Spans().take(told.events)
    receiver.up = False
    follower = followed(told, receiver, path, said)
    now, waits = 0.0, []
    for _ in range(12):
        follower.step(now)
        waits.append(follower._retry_at - now)
        now = follower._retry_at
    assert receiver.asked == 12
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_MOST_S
    row = read_progress(path)
    assert row is not None
    assert (row.delivered, row.undelivered, row.position) == (0, len(expected), 0)
    assert row.failing_since
    assert row.reason == "connection refused"
    assert len(follower._waiting) <= len(expected)
    receiver.up = True
    while follower.is_behind:
        now += RETRY_MOST_S
        follower.step(now)
    assert document({}, receiver.got) == document({}, expected)
    row = read_progress(path)
    assert row is not None
    assert (row.delivered, row.undelivered, row.failing_since) == (len(expected), 0, 0)
    assert len(said) == 2


def test_asking_in_between_asks_nobody(tmp_path: Path) -> None:
    """Before its time a receiver that is down isn't asked again, and what closes meanwhile is counted."""
    told, receiver = busy(4), Receiver()
    receiver.up = False
    follower = followed(told, receiver, tmp_path / "p.json")
    follower.step(0.0)
    before = follower.progress.undelivered
    told.run = "f" * 32
    told.requested({"pattern": "task", "agent": "echo"})
    told.add("run.succeeded", {})
    assert follower.step(0.5) > 0
    assert receiver.asked == 1
    assert follower.progress.undelivered == before + 1


def test_what_is_refused_for_good_is_counted_and_not_sent_again(tmp_path: Path) -> None:
    """A receiver that never takes a span doesn't hold up the others."""
    told, receiver, said = busy(5), Receiver(), list[str]()
    receiver.refuses = {"send echo"}
    path = tmp_path / "p.json"
    caught_up(followed(told, receiver, path, said))
    expected = Spans().take(told.events)
    row = read_progress(path)
    assert row is not None
    assert row.rejected == sum(span.name == "send echo" for span in expected)
    assert row.delivered == len(expected) - row.rejected
    assert "bad name" in said[0]


def test_another_log_in_the_same_place_is_exported_from_its_beginning(tmp_path: Path) -> None:
    """A position that the log doesn't have says that it is another one."""
    told, receiver, path = busy(6), Receiver(), tmp_path / "p.json"
    write_progress(path, Progress(target="receiver", position=10_000, delivered=7))
    caught_up(followed(told, receiver, path))
    assert len(receiver.got) == len(Spans().take(told.events))


def test_progress_that_can_t_be_read_is_none(tmp_path: Path) -> None:
    """A torn or foreign file costs an export from the beginning, and nothing else; each place has its own."""
    path = progress_path(tmp_path, "http://a")
    with only_exporter(path) as alone, only_exporter(path) as second:
        assert (alone, second) == (True, False)
        path.write_text('{"target": ')
        assert read_progress(path) is None
        write_progress(path, Progress(target="a", delivered=3))
        write_progress(progress_path(tmp_path, "http://b"), Progress(target="b"))
    assert [one.target for one in all_progress(tmp_path)] == ["a", "b"]
    with only_exporter(path) as alone:
        assert alone


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """An export that fails leaves the file that was there; one that is followed loses half a line at most."""
    file = tmp_path / "t.json"
    file.write_text("before")
    spans = Spans().take(busy(1).events)
    sink = FileSink(file, SETTINGS)
    sink.send(spans[:2])
    sink.close(good=False)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
    sink = FileSink(file, SETTINGS)
    sink.send(spans[:2])
    sink.send(spans[2:])
    sink.close()
    assert file.read_bytes() == document(SETTINGS.resource, spans)
    lines = tmp_path / "t.jsonl"
    lines.write_bytes(b'{"whole": 1}\n{"torn": ')
    waiting = LinesSink(lines, SETTINGS)
    # Whoever waits for another exporter to end leaves alone what that one is writing.
    assert lines.read_bytes().endswith(b'torn": ')
    waiting.send(spans)
    assert lines.read_bytes() == b'{"whole": 1}\n' + document(SETTINGS.resource, spans)


def test_another_log_in_the_place_of_the_one_that_was_exported_is_exported_whole(tmp_path: Path) -> None:
    """Whether it is longer or shorter; a progress that doesn't know of its log yet goes on as it was."""
    old, path = busy(1), tmp_path / "p.json"
    caught_up(followed(old, Receiver(), path))
    shorter, longer = Told("2" * 32), Told("3" * 32)
    for other in (shorter, longer):
        other.requested({"pattern": "pipeline", "steps": []})
        other.add("run.succeeded", {})
    for _ in range(old.log.head):
        longer.add("demo.happened", {}, run="", stream="demo")
    known = path.read_bytes()
    for other in (shorter, longer):
        path.write_bytes(known)
        receiver, said = Receiver(), list[str]()
        caught_up(followed(other, receiver, path, said))
        assert [span.run for span in receiver.got] == [other.run]
        assert "another log" in said[0]
    path.write_bytes(known)
    unknowing = read_progress(path)
    assert unknowing is not None
    assert unknowing.log_hash
    write_progress(path, structs.replace(unknowing, log_hash=""))
    said = []
    follower = followed(longer, Receiver(), path, said)
    assert (follower.progress.position, said) == (unknowing.position, [])


def test_a_full_disk_is_told_of_once(tmp_path: Path) -> None:
    """The log of a process isn't filled with it as well, and spans go out all the same."""
    told, receiver, said = busy(2), Receiver(), list[str]()
    follower = followed(told, receiver, tmp_path / "gone" / "p.json", said)
    caught_up(follower)
    for n in range(3):
        told.run = f"{n + 9:032x}"
        told.requested({"pattern": "pipeline", "steps": []})
        told.add("run.succeeded", {})
        caught_up(follower)
    assert len(receiver.got) > 3
    assert [text for text in said if "can't be written" in text] == said[:1]
    (tmp_path / "gone").mkdir()
    told.run = "e" * 32
    told.requested({"pattern": "pipeline", "steps": []})
    told.add("run.succeeded", {})
    caught_up(follower)
    assert read_progress(tmp_path / "gone" / "p.json") is not None
